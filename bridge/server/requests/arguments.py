"""From a request to the arguments of an operation, checked against the bounds of its declaration.

Rule of this file: pure and strict. A number has one spelling, and a parameter occurs once. An error has the name under
which the argument was sent, its value and what was expected.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect as shapes

from callmarket.bridge.api.contract.declaration import ACK, Body, Declaration, Parameter
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.api.spelling import whole
from callmarket.bridge.server.requests.strict import decoded, in_short, plain

# Far more than any operation has; a query with more is not parsed.
QUERY_FIELDS_MAX: Final = 1_000
# How many parsed values are cached for each path parameter.
NAMES_KEPT: Final = 256


class Option:
    """A parameter of a path, a query or a header: its allowed values, and how it is parsed."""

    def __init__(self, parameter: Parameter) -> None:
        """Inspect its type, once."""
        self._parameter: Final = parameter
        self.name: Final = parameter.wire_name
        # An optional parameter is omitted, not sent as "null".
        self._kind: Final = parameter.kind_if_given
        kinds = list(plain(shapes.type_info(self._kind)))
        self.several: Final = any(isinstance(kind, shapes.ListType) for kind in kinds)
        """Whether it may be given several times."""
        numbers = [kind for kind in kinds if isinstance(kind, shapes.IntType)]
        self.bounds: Final = _bounds_of(numbers[0]) if numbers else None
        """The least and the greatest value of a whole number; None for other types."""
        self.words: Final = tuple(
            str(word) for kind in kinds if isinstance(kind, shapes.LiteralType) for word in kind.values
        )
        """The allowed words; empty if it is not one of a fixed set."""
        days = any(isinstance(kind, shapes.DateType) for kind in kinds)
        # A query has numbers as text, so floats are read leniently. Times are not: a number would be a time of 1970.
        self._is_number: Final = any(isinstance(kind, shapes.FloatType) for kind in kinds)
        self._expected: Final = "a day, as 2026-01-31" if days else ""
        # The same markets and accounts are named again and again, and matching a pattern takes a microsecond.
        self.of_path: Final[Callable[[str], Any]] = lru_cache(NAMES_KEPT)(lambda text: self.read((text,)))

    def read(self, values: Sequence[str]) -> Any:
        """Parse the values that were sent for it, of which there is at least one. Raises `Invalid`."""
        if self.several:
            return self._convert(list(values), values[-1])
        if len(values) > 1:
            raise Invalid(self.name, "twice", "one value")
        text = values[0]
        if self.words and text not in self.words:
            raise Invalid(self.name, text, f"one of {', '.join(self.words)}")
        if self.bounds is None:
            return self._convert(text, text)
        least, most = self.bounds
        number = whole(text, most)
        if number is None or number < least:
            raise Invalid(self.name, text, f"a whole number from {least} to {most}, in digits")
        return number

    def _convert(self, value: Any, text: str) -> Any:
        try:
            return self._parameter.read(msgspec.convert(value, self._kind, strict=not self._is_number))
        except msgspec.ValidationError as error:
            raise Invalid(self.name, text, self._expected or in_short(str(error))) from None


class Arguments:
    """Parses the arguments of one declaration."""

    def __init__(self, declaration: Declaration, *, takes_ack: bool) -> None:
        """Derive what is needed for each request, once. `takes_ack` adds the query parameter `ack`."""
        self._declaration: Final = declaration
        self._paths: Final = {one.name: Option(one) for one in declaration.paths}
        self.options: Final = {one.wire_name: Option(one) for one in declaration.queries}
        """The query parameters by name."""
        if takes_ack:
            self.options[ACK] = Option(Parameter(ACK, ACK, Ack, "durable", "query"))
        self._headers: Final = {one.wire_name.lower().encode(): (one.name, Option(one)) for one in declaration.headers}
        self._decoder: Final = msgspec.json.Decoder(declaration.body or Body)
        self._required: Final = [one.wire_name for one in declaration.queries if one.is_required]
        self.has_query: Final = bool(self._required)
        """Whether some query parameter is required."""
        self.has_body: Final = declaration.body is not None
        self.has_headers: Final = bool(declaration.headers)
        self.has_command_id: Final = declaration.has_command_id
        account = declaration.account
        self.acting: Final = account.name if account is not None and account.is_required else ""
        """The argument that is the caller's account; empty if there is none, or if it is optional."""
        # Most bodies need no conversion.
        self._is_plain: Final = all(one.name == one.wire_name and one.decode is None for one in declaration.fields)
        self._python_names: Final = {one.wire_name: one.name for one in declaration.queries}
        self.wire_names: Final = {
            one.name: one.wire_name for one in declaration.parameters if one.name != one.wire_name
        }
        """The names under which arguments are sent, where these differ."""

    def read_query(self, query_string: bytes) -> dict[str, Any]:
        """The arguments of the query, and `ack` if it is given.

        Raises `Invalid`, also for an unknown parameter, so that a mistyped one is not silently ignored, and for one
        that is given twice.
        """
        found: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX
            )
        except (UnicodeDecodeError, ValueError):
            text = query_string.decode("latin-1")
            raise Invalid("query", text, f"at most {QUERY_FIELDS_MAX} parameters, as UTF-8 in `%` escapes") from None
        for name, value in pairs:
            if name not in self.options:
                raise Invalid(name, value, self._known())
            found.setdefault(name, []).append(value)
        for name in self._required:
            if name not in found:
                raise Invalid(name, None, "a value: it is required")
        return {self._python_names.get(name, name): self.options[name].read(values) for name, values in found.items()}

    def read_path(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The arguments of the path. Raises `Invalid`."""
        return {name: option.of_path(values[name]) for name, option in self._paths.items()}

    def read_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
        """The arguments that are headers. Raises `Invalid`."""
        given: dict[str, Any] = {}
        for header, value in headers:
            if header in self._headers:
                name, option = self._headers[header]
                given[name] = option.read([value.decode("latin-1")])
        return given

    def read_body(self, body: bytes) -> dict[str, Any]:
        """The arguments of the body. Raises `Invalid`, `msgspec.DecodeError` and `UnicodeDecodeError`."""
        value = decoded(body, self._decoder)
        if self._is_plain:
            return msgspec.structs.asdict(value)
        return {one.name: one.read(getattr(value, one.wire_name)) for one in self._declaration.fields}

    def _known(self) -> str:
        return f"one of {', '.join(sorted(self.options))}" if self.options else "no parameters"


def _bounds_of(number: shapes.IntType) -> tuple[int, int]:
    assert number.ge is not None and number.le is not None, "a number in a path or a query has both bounds"
    return number.ge, number.le
