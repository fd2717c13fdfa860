"""One request, one response: the handler of a path, derived from a declaration.

Rule of this file: it translates and bounds; the service or a route does the work. Checks that hold for all operations
are made here, so that no operation can forget one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from callmarket.bridge.api.contract.declaration import ACK, COMMAND_ID, Declaration
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.errors import Forbidden, Invalid, Refused, Unauthorized
from callmarket.bridge.api.http.headers import IDEMPOTENCY_HEADER
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.server.http.asgi import Application, Scope
from callmarket.bridge.server.requests.arguments import Arguments
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.service import Service

JSON: Final = "application/json"
PREFIX: Final = "/api/v1"

encode: Final = msgspec.json.Encoder().encode


class Answer(Struct, frozen=True):
    """A whole response."""

    body: bytes
    status: int = HTTPStatus.OK
    media_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()


class Asked(Struct):
    """A request that was admitted."""

    scope: Scope
    values: Mapping[str, str]
    """The parameters of its path, by name."""
    caller: Caller | None
    """None if the path is public."""
    body: bytes = b""


Perform = Callable[[Service, Caller | None, dict[str, Any], Ack], Awaitable[Any]]


@dataclass(frozen=True)
class Endpoint:
    """The handler of one path and method."""

    declaration: Declaration
    perform: Perform
    is_keyed: bool = False
    """Whether it takes an Idempotency-Key."""
    takes_ack: bool = False
    media_type: str = JSON
    more: Mapping[int, Any] = field(default_factory=dict)
    """Other statuses that it may respond with and that are not problems, with their descriptions."""
    is_public: bool = False

    @cached_property
    def arguments(self) -> Arguments:
        """How its arguments are read. Derived once."""
        return Arguments(self.declaration, takes_ack=self.takes_ack)

    @cached_property
    def template(self) -> str:
        """Its whole path, with parameters in braces."""
        path = self.declaration.path
        is_whole = self.is_public or path.startswith("/api/") or self.declaration.tag == "Metrics"
        return path if is_whole else PREFIX + path

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.declaration.method

    async def serve(self, service: Service, asked: Asked) -> Answer | Application:
        """The response, or an ASGI application that streams one. Raises as the market does, and `HttpError`."""
        arguments, caller = self.arguments, asked.caller
        if caller is not None:
            self._check(caller)
        elif not self.is_public:
            # A second check: `gateway` admits no request without a key, however its path was spelled.
            raise Unauthorized("an API key is needed: Authorization: Bearer cmk_...")
        given = arguments.read_path(asked.values)
        ack: Ack = "durable"
        if asked.scope["query_string"] or arguments.has_query:
            given |= arguments.read_query(asked.scope["query_string"])
            ack = given.pop(ACK, ack)
        if arguments.has_headers:
            given |= arguments.read_headers(asked.scope["headers"])
        # Where no field is known, any that is sent is refused: it was meant for something.
        if arguments.has_body or asked.body:
            given |= arguments.read_body(asked.body)
        if caller is not None:
            if arguments.acting:
                given[arguments.acting] = service.bidder(caller)
            if arguments.has_command_id:
                given[COMMAND_ID] = caller.command_id
        try:
            answer = await self.perform(service, caller, given, ack)
        except (Invalid, Refused) as error:
            # By the name under which it was sent.
            error.field = arguments.wire_names.get(error.field, error.field)
            raise
        if isinstance(answer, Answer):
            return answer
        if callable(answer):
            stream: Application = answer
            return stream
        return Answer(encode(answer), self.declaration.status)

    def _check(self, caller: Caller) -> None:
        """The checks of every operation, before its arguments are read. Raises `Forbidden` and `Invalid`."""
        asks = self.method == "GET"
        if not (asks or caller.principal.may_change):
            raise Forbidden(f"key {caller.principal.key_id} may only read")
        # A caller that sends an Idempotency-Key relies on it, so it is refused where it would have no effect.
        if caller.command_id and not (self.is_keyed or asks):
            raise Invalid(IDEMPOTENCY_HEADER, caller.command_id, "no such header: this operation does not remember it")


def endpoint_of(operation: Operation[..., Any]) -> Endpoint:
    """The endpoint of an operation of the market."""

    async def perform(service: Service, caller: Caller | None, given: dict[str, Any], ack: Ack) -> Any:
        assert caller is not None, operation.name
        return await service.carry_out(caller, operation, given, ack)

    return Endpoint(operation, perform, is_keyed=operation.is_change, takes_ack=operation.has_command_id)
