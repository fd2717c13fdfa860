"""The signature of an operation as an HTTP request: where each argument goes, its wire format, and its bounds.

Rule of this file: nothing depends on a particular operation. Bodies, queries, paths and their bounds are derived from
the annotations of a function, once, at import; so there is no second list to keep in step.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, defstruct

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Where = Literal["path", "query", "body", "account", "header", "server"]

COMMAND_ID: Final = "command_id"
# Which step the reply waits for. It concerns the whole request, and only the server reads it.
ACK: Final = "ack"


class Acting:
    """Marks the account that acts. Over HTTP the key or a header names it; it is never a field of a body."""


class InQuery:
    """Marks an argument of a change that is a query parameter instead of a field of the body."""


@dataclass(frozen=True)
class InHeader:
    """Marks an argument that is sent as the header `name`."""

    name: str


@dataclass(frozen=True)
class Wire:
    """The wire format of an argument if it differs from Python's: type, conversions, and a suffix of the name."""

    kind: Any
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any] | None = None
    suffix: str = ""


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all bodies. Unknown fields are refused: a misspelled one must not silently get its default."""


class _Missing(NamedTuple):
    """The default of a required argument."""


REQUIRED: Final = _Missing()


@dataclass(frozen=True)
class Parameter:
    """An argument: in Python (`name`, `default`) and on the wire (`wire_name`, `kind`)."""

    name: str
    wire_name: str
    kind: Any
    default: Any
    where: Where
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED

    @property
    def kind_if_given(self) -> Any:
        """Its type without None: a value that is given is never null."""
        kinds = tuple(kind for kind in get_args(self.kind) if kind is not type(None))
        is_union = get_origin(self.kind) in (Union, UnionType)
        return Union[kinds] if is_union else self.kind  # noqa: UP007 -- built from a tuple

    def written(self, value: Any) -> Any:
        """The wire format of a Python value."""
        return value if self.encode is None or value is None else self.encode(value)

    def read(self, value: Any) -> Any:
        """The Python value of a wire value."""
        return value if self.decode is None or value is None else self.decode(value)


class Declaration:
    """The signature of a function as an HTTP request: its path, query, headers and body, and its result."""

    def __init__(
        self,
        function: Callable[..., Any],
        method: Method,
        path: str,
        tag: str,
        summary: str,
        *,
        status: int = 200,
        problems: tuple[int, ...] = (),
        example: Mapping[str, Any] | None = None,
        given: int = 0,
    ) -> None:
        """`path` is below /api/v1, or whole if it begins with `/api/`. The first `given` arguments are the server's."""
        self.function: Final = function
        self.name: Final[str] = function.__name__
        self.method: Final[Method] = method
        self.path: Final = path
        self.tag: Final = tag
        self.summary: Final = summary
        self.status: Final = status
        self.problems: Final = problems
        self.example: Final = example
        """A body that is right."""
        self.doc: Final = inspect.getdoc(function) or ""
        self.signature: Final = _without(inspect.signature(function), given)
        hints = get_type_hints(function, include_extras=True)
        self.returns: Final = hints.pop("return")
        self.parameters: Final = tuple(
            self._parameter(one, hints[one.name]) for one in self.signature.parameters.values()
        )
        self.paths: Final = self._at("path")
        self.queries: Final = self._at("query")
        self.headers: Final = tuple(one for one in self._at("header") if one.name != COMMAND_ID)
        self.fields: Final = self._at("body")
        self.body: Final[type[Struct] | None] = self._struct() if self.fields else None
        self.account: Final = next((one for one in self.parameters if one.where == "account"), None)
        """The account that acts; None if it is part of the path, or if there is none."""
        self.payer: Final = next((n for n, kind in hints.items() if _marked(kind, Acting) is not None), "")
        """The name of the argument that is marked `Acting`, in the path or not; empty if there is none."""
        self.has_command_id: Final = COMMAND_ID in self.signature.parameters

    def _at(self, where: Where) -> tuple[Parameter, ...]:
        return tuple(one for one in self.parameters if one.where == where)

    def _parameter(self, one: inspect.Parameter, annotation: Any) -> Parameter:
        wire = _marked(annotation, Wire)
        header = _marked(annotation, InHeader)
        default = REQUIRED if one.default is inspect.Parameter.empty else one.default
        name, kind = one.name, _plain(annotation)
        if header is not None:
            name = header.name
        if wire is not None:
            name, kind = name + wire.suffix, wire.kind if default is not None else wire.kind | None
        decode, encode = (None, None) if wire is None else (wire.decode, wire.encode)
        if encode is not None and default not in (REQUIRED, None):
            # The OpenAPI document shows the default in its wire format, so it must survive a round trip.
            wire_default = encode(default)
            assert decode is None or decode(wire_default) == default, (self.name, name)
        return Parameter(one.name, name, kind, default, self._where(one.name, annotation), encode, decode)

    def _where(self, name: str, annotation: Any) -> Where:
        if name == ACK:
            return "server"
        if name == COMMAND_ID or _marked(annotation, InHeader) is not None:
            return "header"
        if "{" + name + "}" in self.path:
            return "path"
        if _marked(annotation, Acting) is not None:
            return "account"
        if self.method == "GET" or _marked(annotation, InQuery) is not None:
            return "query"
        return "body"

    def _struct(self) -> type[Struct]:
        """The struct of the body. Its fields are keyword-only, so required ones may follow optional ones."""
        fields = [
            (one.wire_name, one.kind) if one.is_required else (one.wire_name, one.kind, one.written(one.default))
            for one in self.fields
        ]
        name = "".join(part.title() for part in self.name.split("_"))
        namespace = {"__doc__": self.doc.partition("\n\n")[0]}
        return defstruct(f"{name}Body", fields, bases=(Body,), namespace=namespace, frozen=True, kw_only=True)

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call by name, with defaults. Raises `TypeError` as a call of the function would."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


def _without(signature: inspect.Signature, given: int) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[given:])


def _marked(annotation: Any, marker: Any) -> Any:
    """The mark of this class on an annotation or on a member of its union; None if there is none."""
    for one in _annotated(annotation):
        for mark in get_args(one)[1:]:
            if mark is marker or isinstance(mark, marker):
                return mark
    return None


def _annotated(annotation: Any) -> list[Any]:
    parts = [annotation]
    if get_origin(annotation) not in (Annotated, None):
        parts += get_args(annotation)
    return [one for one in parts if get_origin(one) is Annotated]


def _plain(annotation: Any) -> Any:
    """The annotation without the marks of this module, which msgspec does not know."""
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        kept = [mark for mark in marks if not isinstance(mark, Wire | InHeader) and mark not in (Acting, InQuery)]
        inner = _plain(kind)
        for mark in kept:
            inner = Annotated[inner, mark]
        return inner
    if get_origin(annotation) is not None and type(None) in get_args(annotation):
        return Union[tuple(_plain(one) for one in get_args(annotation))]  # noqa: UP007 -- built from a tuple
    return annotation
