"""An HTTP request to the service, derived from the declaration of its operation.

Rule of this file: values only. Nothing depends on the address, on retries, or on a particular operation.
"""

import re
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from callmarket.bridge.api.contract.fields import PathName
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.api.names import OWN, expected_in_words
from callmarket.engine.limits import NAME_CHARS_MAX

T = TypeVar("T")

PREFIX: Final = "/api/v1"
# For a batch the service appends the number of each bid, up to "/9999".
COMMAND_ID_CHARS_MAX: Final = NAME_CHARS_MAX - len("/9999")

_STEP: Final = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and the function that reads its answer. With a `command_id` it is a change, and is safe to retry.

    `patience_s`: the time that its answer may take in addition to the usual time-outs.
    """

    method: str
    target: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    account: str = ""
    command_id: str = ""
    patience_s: float = 0.0


Plan = Generator[Call[Any], Any, T]
"""A generator of calls. It is sent the result of each; an error of a call is thrown in where it was yielded."""


def alone(call: Call[T]) -> Plan[T]:
    """The plan of one call."""
    result: T = yield call
    return result


def call_of(
    operation: Operation[..., T], given: Mapping[str, Any], account: str, ack: Ack = "durable", patience_s: float = 0.0
) -> Call[T]:
    """The call for an operation with these arguments. It acts for `account` if no argument names one.

    Raises `Invalid` for arguments that HTTP cannot carry.
    """
    command_id = given.get("command_id", "") or (uuid.uuid4().hex if operation.is_change else "")
    check_command_id(command_id)
    query = {one.wire_name: one.written(given[one.name]) for one in operation.queries}
    query = {name: value for name, value in query.items() if value is not None}
    if operation.has_command_id and ack != "durable":
        query["ack"] = ack
    payer = given[operation.payer] if operation.payer else OWN
    return Call(
        operation.method,
        target(path(operation.path, given), query),
        reader(operation.result),
        body_of(operation, given),
        account if payer == OWN else payer,
        command_id,
        patience_s,
    )


def body_of(operation: Operation[..., Any], given: Mapping[str, Any]) -> bytes | None:
    """The JSON body of an operation; None if it has none."""
    if operation.body is None:
        return None
    return msgspec.json.encode(
        operation.body(**{one.wire_name: one.written(given[one.name]) for one in operation.fields})
    )


def path(template: str, given: Mapping[str, Any]) -> str:
    """A path with its parameters filled in and escaped. Raises `Invalid` for a name that does not fit into a path."""
    return PREFIX + _STEP.sub(lambda step: _part(step[1], given[step[1]]), template)


def target(path: str, query: Mapping[str, Any]) -> str:
    """A path with its query string."""
    return f"{path}?{urlencode({name: _text(value) for name, value in query.items()})}" if query else path


@cache
def reader(kind: Any) -> Callable[[bytes], Any]:
    """The decoder for answers of this type, which raises `msgspec.MsgspecError` for other bodies. Cached."""
    return msgspec.json.Decoder(kind).decode


def check_command_id(command_id: str) -> None:
    """Check that a command id fits into its header. Raises `Invalid`."""
    if len(command_id) > COMMAND_ID_CHARS_MAX:
        raise Invalid("command_id", command_id, f"at most {COMMAND_ID_CHARS_MAX} characters over HTTP")


def _part(field: str, value: str | int) -> str:
    if isinstance(value, str):
        try:
            msgspec.convert(value, PathName)
        except msgspec.ValidationError as error:
            raise Invalid(field, value, expected_in_words(str(error))) from None
    return quote(str(value), safe="")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
