"""From what was sent to the arguments of an operation, held to the bounds of its declaration.

Rule of this file: pure, and strict. A number has one spelling, a parameter is there once, and what is wrong is told by
the name that it was sent under, with its value and what was expected.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect as shapes

from callmarket.bridge.api.contract.declaration import ACK, Body, Declaration, Parameter
from callmarket.bridge.api.contract.fields import AN_INSTANT
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.api.spelling import whole
from callmarket.bridge.server.requests.strict import EXPECTED, decoded, in_short

# Far more than any operation has; a longer query is not taken apart.
QUERY_FIELDS_MAX: Final = 1_000
# Of each part of a path that is a name.
NAMES_KEPT: Final = 256


class Option:
    """A parameter of a path, a query or a header: what it may be, and how it is read."""

    def __init__(self, parameter: Parameter) -> None:
        """Look at its type, once."""
        self._parameter: Final = parameter
        self.name: Final = parameter.wire_name
        # One that is left out is not there; nobody writes "null".
        self._kind: Final = parameter.kind_if_given
        kinds = _plain(shapes.type_info(self._kind))
        self.several: Final = any(isinstance(kind, shapes.ListType) for kind in kinds)
        """It may be given several times."""
        numbers = [kind for kind in kinds if isinstance(kind, shapes.IntType)]
        self.bounds: Final = (int(numbers[0].ge or 0), int(numbers[0].le or 0)) if numbers else None
        """Of a whole number, the least and the most."""
        self.words: Final = tuple(
            str(word) for kind in kinds if isinstance(kind, shapes.LiteralType) for word in kind.values
        )
        """Those that it may be, if not all."""
        days = any(isinstance(kind, shapes.DateType) for kind in kinds)
        # A number is text in a query; a time that is a number would be read as one of 1970.
        self._is_number: Final = any(isinstance(kind, shapes.FloatType) for kind in kinds)
        self._expected: Final = "a day, as 2026-01-31" if days else ""
        # The same markets and accounts are named again and again, and to match a pattern takes a microsecond.
        self.of_path: Final[Callable[[str], Any]] = lru_cache(NAMES_KEPT)(lambda text: self.read((text,)))

    def read(self, values: Sequence[str]) -> Any:
        """The argument that these values are. Raises `Invalid`."""
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
    """How the arguments of one declaration are read."""

    def __init__(self, declaration: Declaration, *, takes_ack: bool) -> None:
        """Prepare what can be."""
        self._declaration: Final = declaration
        self._paths: Final = {one.name: Option(one) for one in declaration.paths}
        self.options: Final = {one.wire_name: Option(one) for one in declaration.queries}
        """The parameters of the query by name."""
        if takes_ack:
            self.options[ACK] = Option(Parameter(ACK, ACK, Ack, "durable", "query"))
        self._headers: Final = {one.wire_name.lower().encode(): one for one in declaration.headers}
        self._decoder: Final = msgspec.json.Decoder(declaration.body or Body)
        self._required: Final = [one.wire_name for one in declaration.queries if one.is_required]
        self.has_query: Final = bool(self._required)
        """Whether there is a parameter without which nothing can be asked."""
        self.has_body: Final = declaration.body is not None
        self.has_headers: Final = bool(declaration.headers)
        self.has_command_id: Final = declaration.has_command_id
        account = declaration.account
        self.acting: Final = account.name if account is not None and account.is_required else ""
        """The argument that is the account of whoever asks; empty if there is none, or it may be left out."""
        # Most bodies are their arguments as they are.
        self._is_plain: Final = all(one.name == one.wire_name and one.decode is None for one in declaration.fields)
        self._python_names: Final = {one.wire_name: one.name for one in declaration.queries}
        self.wire_names: Final = {
            one.name: one.wire_name for one in declaration.parameters if one.name != one.wire_name
        }
        """Those that are called otherwise where they are sent."""

    def read_query(self, query_string: bytes) -> dict[str, Any]:
        """The arguments of the query, and `ack` where it is given.

        A mistyped parameter is not silently its default, and of two values neither counts. Raises `Invalid`.
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
        given = {name: value for name, value in headers if name in self._headers}
        return {
            self._headers[name].name: Option(self._headers[name]).read([value.decode("latin-1")])
            for name, value in given.items()
        }

    def read_body(self, body: bytes) -> dict[str, Any]:
        """The arguments of the body. Raises `Invalid`, `msgspec.DecodeError` and `UnicodeDecodeError`."""
        value = decoded(body, self._decoder)
        if self._is_plain:
            return msgspec.structs.asdict(value)
        return {one.name: one.read(getattr(value, one.wire_name)) for one in self._declaration.fields}

    def _known(self) -> str:
        return f"one of {', '.join(sorted(self.options))}" if self.options else "no parameters"


def _plain(kind: shapes.Type) -> list[shapes.Type]:
    """The types that a parameter may have, without what is said about them."""
    match kind:
        case shapes.Metadata(type=described):
            return _plain(described)
        case shapes.UnionType(types=types):
            return [plain for one in types for plain in _plain(one)]
        case _:
            return [kind]


assert AN_INSTANT in EXPECTED.values()
