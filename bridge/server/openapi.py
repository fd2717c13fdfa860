"""The OpenAPI document: what the routes say of themselves, completed by what is true of all of them.

Rule of this file: nothing is said here that the code does not do. Paths and parameters come from the signatures of the
routes, shapes from the very structs that are decoded and encoded, so that there is no second list to be kept in step.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.routes import HTTPRoute

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.headers import (
    ACCOUNT_HEADER,
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MIN_SEQ_HEADER,
    REQUEST_ID_HEADER,
    SEQ_HEADER,
)
from callmarket.bridge.api.problem import MEDIA_TYPE, Problem
from callmarket.bridge.api.spelling import whole
from callmarket.bridge.server.examples import BODIES, VALUES
from callmarket.engine.limits import NAME_CHARS_MAX, SEQ_MAX

Node = dict[str, Any]

_REF: Final = "#/components/schemas/"
_JSON: Final = "application/json"
_PAGE: Final = re.compile(r"\bPage_(\w+)_$")
_VISIBLE: Final = "^[!-~]+$"
# Things that one of several accounts of a key may own; elsewhere the account is in the path or does not matter.
_OWNED: Final = ("Bids", "Slots", "Commitments")

TAGS: Final = {
    "Markets": "Markets, their books, quotes and figures; calling them, and when they are called.",
    "Slots": "What is sold: offering, withdrawing, and what became of the award.",
    "Bids": "Placing, changing and taking back bids, and why they won or lost.",
    "Awards": "What was won.",
    "Wallets": "Accounts and their tokens.",
    "Budgets": "What quests may spend in a day while the auction cannot be used.",
    "Artifacts": "What is researched: what it is worth, what work on it may cost, and what it has.",
    "Commitments": "Tokens committed to artifacts: stakes, and bounties for work on them.",
    "Holds": "Tokens set aside for a stake, a bounty or whatever the reason says, and how that ended.",
    "Keys": "API keys, and what one's own may do.",
    "Events": "What becomes durable, as a live stream.",
    "Platform": "Second paths to the same answers, for who moves over from the auction of an agent platform.",
    "Metrics": "What this process counts, for Prometheus.",
    "Service": "Is it alive, is it ready, and what do its problems mean. Without a key.",
}

_DESCRIPTION: Final = """\
A call market for agent compute. Agents bid tokens for slots; each call of a market gives the slots to the best bids, \
which pay what others force them to.

- Every request needs an API key, `Authorization: Bearer cmk_...`. Who acts is the key's account, never a field.
- A command is answered when it is durable. `seq` is its row in the journal; everything up to `durable_seq` is safe.
- A command with an `Idempotency-Key` can be sent again, and is done once: within a day if it moves tokens, otherwise \
among the last 65,536 commands that were done. Where that would not be so, the key is refused.
- Every error is a problem of RFC 9457: decide by `type`, which is a path here that says what to do about it.
- A key has a rate: a question takes from it what it costs, a batch what its bids do. `429` says when to come back.
- Some answers come from tables that follow the journal within milliseconds: their `seq` is how far. A question with \
`Callmarket-Min-Seq` waits for them. Send the `Callmarket-Seq` of the last answer, and you see what you did.
- Lists are pages: hand `next` back as `after`. Times are ISO 8601 with a zone, durations ISO 8601, tokens whole.
- A field or a parameter that is not in this document is refused.
"""


def config() -> OpenAPIConfig:
    """What the document says of the service as a whole."""
    return OpenAPIConfig(
        title="callmarket",
        version="1",
        description=_DESCRIPTION,
        use_handler_docstrings=True,
        create_examples=False,
        components=Components(
            security_schemes={
                "apiKey": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="cmk_KEYID_SECRET",
                    description="A key that an admin made with `POST /api/v1/keys` or `callmarket keys create`.",
                )
            }
        ),
        security=[{"apiKey": []}],
        tags=[Tag(name, text) for name, text in TAGS.items()],
    )


class Option(msgspec.Struct, frozen=True):
    """A query parameter."""

    several: bool
    """It may be given several times."""
    bounds: tuple[int, int] | None
    """Of a whole number, the least and the most."""
    words: tuple[str, ...]
    """Those that it may be, if not all."""

    def check(self, name: str, values: Sequence[str]) -> None:
        """Check that it is given once and written as it has to be. The rest is its type's. Raises `Invalid`."""
        if not self.several and len(values) > 1:
            raise Invalid(name, "twice", "one value")
        if self.words and values[0] not in self.words:
            raise Invalid(name, values[0], f"one of {', '.join(self.words)}")
        if self.bounds is not None:
            least, most = self.bounds
            number = whole(values[0], most)
            if number is None or number < least:
                raise Invalid(name, values[0], f"a whole number from {least} to {most}, in digits")


class Document:
    """The document as bytes, and what follows from it."""

    def __init__(self, app: Litestar) -> None:
        """Describe all routes of this application. Some 0.3 s."""
        handlers = {str(handler.operation_id): handler for handler in handlers_of(app)}
        types = _types(handlers.values())
        found, components = msgspec.json.schema_components(types, ref_template=_REF + "{name}")
        schemas = dict(zip(map(repr, types), found, strict=True))
        for annotation in types:
            _tell_times(annotation, components)
        # By way of JSON, so that what the framework keeps as objects is plain.
        tree: Node = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
        for _, _, operation in operations(tree):
            _complete(operation, handlers[operation["operationId"]], schemas)
            _share_problems(operation["responses"], tree["components"].setdefault("responses", {}))
        tree["components"]["schemas"] = components
        self.body: Final = msgspec.json.encode(_polished(tree))
        """The document as JSON."""
        self.tree: Final[Node] = msgspec.json.decode(self.body)
        """The document as a reader has it."""
        self.options: Final = {operation["operationId"]: _options(operation) for _, _, operation in operations(tree)}
        """Of each operation its query parameters."""
        self.keyed: Final = frozenset(
            operation["operationId"] for _, _, operation in operations(tree) if _is_keyed(operation)
        )
        """The operations that an Idempotency-Key makes safe to send again."""
        self._methods: Final = [(_pattern(path), tuple(map(str.upper, item))) for path, item in tree["paths"].items()]

    def methods(self, path: str) -> tuple[str, ...]:
        """What can be done with a path, for who has tried something else."""
        methods = next((methods for pattern, methods in self._methods if pattern.fullmatch(path)), ("GET",))
        return (*methods, "HEAD") if "GET" in methods else methods


def handlers_of(app: Litestar) -> Iterator[HTTPRouteHandler]:
    """All handlers that the document is about."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if handler.resolve_include_in_schema() and handler.operation_id:
                    yield handler


def operations(tree: Node) -> Iterator[tuple[str, str, Node]]:
    """All operations of a document: method, path, and what is said of it."""
    for path, item in tree["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _types(handlers: Iterable[HTTPRouteHandler]) -> list[Any]:
    """All that goes in or out, each once and in the order of the routes."""
    types: dict[str, Any] = {repr(Problem): Problem}
    for handler in handlers:
        given = handler.parsed_data_field
        parts = [*_parts(_result(handler)), *([] if given is None else [given.annotation])]
        types.update((repr(part), part) for part in parts)
    return list(types.values())


def _result(handler: HTTPRouteHandler) -> Any:
    """What a route returns: of an answer with a status of its own, what is in it."""
    annotation = handler.parsed_return_field.annotation
    return get_args(annotation)[0] if get_origin(annotation) is Response else annotation


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The types that a result is made of. Of a list whose items are one of several, those."""
    if get_origin(annotation) is list:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    kind = get_origin(annotation) or annotation
    # Anything else is a stream, which is no JSON.
    return (annotation,) if inspect.isclass(kind) and issubclass(kind, msgspec.Struct) else ()


def _words(annotation: Any) -> str:
    """What a result is, in its own first line."""
    return (inspect.getdoc(get_origin(annotation) or annotation) or "").partition("\n")[0]


def _tell_times(annotation: Any, components: Node) -> None:
    """Say that times are times: of those that might have no zone the encoder says nothing, and all of ours have one."""
    waiting, known = [msgspec.inspect.type_info(annotation)], set()
    while waiting:
        match waiting.pop():
            case msgspec.inspect.StructType(cls=cls, fields=fields) if cls not in known:
                known.add(cls)
                waiting += [field.type for field in fields]
                shape = components.get(cls.__name__, {"properties": {}})["properties"]
                for field in fields:
                    kinds = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
                    if any(isinstance(kind, msgspec.inspect.DateTimeType) for kind in kinds) and shape:
                        _as_time(shape[field.encode_name])
            case msgspec.inspect.UnionType(types=types):
                waiting += types
            case msgspec.inspect.VarTupleType(item_type=item):
                waiting.append(item)
            case _:
                pass


def _as_time(field: Node) -> None:
    for kind in field.get("anyOf", [field]):
        if kind["type"] == "string":
            kind["format"] = "date-time"


def _schema(annotation: Any, schemas: Mapping[str, Node]) -> Node:
    parts = [schemas[repr(part)] for part in _parts(annotation)]
    one = parts[0] if len(parts) == 1 else {"anyOf": parts}
    return {"type": "array", "items": one} if get_origin(annotation) is list else one


def _complete(operation: Node, handler: HTTPRouteHandler, schemas: Mapping[str, Node]) -> None:
    """Say what is true of every operation, and put the exact shapes in."""
    given = handler.parsed_data_field
    parameters = [_parameter(parameter) for parameter in operation.pop("parameters", ())]
    parameters += _headers_read(operation)
    if parameters:
        operation["parameters"] = parameters
    if given is not None:
        example = BODIES[given.annotation]
        media = {"schema": schemas[repr(given.annotation)], "example": msgspec.to_builtins(example)}
        operation["requestBody"] = {"required": True, "content": {_JSON: media}}
    responses = operation["responses"]
    ok = str(handler.status_code)
    stream = _JSON not in responses[ok].get("content", {_JSON: {}})
    if not stream:
        responses[ok] = {
            "description": _words(_parts(_result(handler))[0]),
            "content": {_JSON: {"schema": _schema(_result(handler), schemas)}},
        }
    for status, response in responses.items():
        for media_type, media in response["content"].items():
            if media_type == MEDIA_TYPE:
                media["schema"] = schemas[repr(Problem)]
            elif status != ok:
                # The same words with another status: `readyz` where the process is not ready.
                media["schema"] = _schema(_result(handler), schemas)
        response["headers"] = _headers_sent(int(status), MEDIA_TYPE in response["content"], has_key="401" in responses)
    if handler.operation_id == "place_bid":
        responses[ok]["links"] = _links()
    operation.pop("deprecated", None)
    if operation.get("security") == [{}]:
        operation["security"] = []


def _parameter(parameter: Node) -> Node:
    """A parameter without what is said by default, and with a value that works."""
    kept: Node = {
        key: parameter[key] for key in ("name", "in", "required", "schema", "description") if key in parameter
    }
    kept["schema"].pop("description", None)
    if parameter["in"] == "path" or parameter.get("required"):
        kept["example"] = VALUES[parameter["name"]]
    return kept


def _headers_read(operation: Node) -> list[Node]:
    """The headers that an operation listens to: a command, or a question."""
    read: list[Node] = []
    if "504" not in operation["responses"]:
        return [_min_seq_read()] if operation["responses"].keys() >= {"401"} else read
    words = "Names this request. Sent again with the same key it is done once, and answered with what was done."
    read.append(_header_read(IDEMPOTENCY_HEADER, IDEMPOTENCY_KEY_CHARS_MAX, words))
    if set(operation["tags"]) & set(_OWNED):
        words = "For whom the request is, where the key has several accounts. It has to be one of the key's."
        read.append(_header_read(ACCOUNT_HEADER, NAME_CHARS_MAX, words))
    return read


def _min_seq_read() -> Node:
    words = f"The answer has what this row of the journal did. From a `{SEQ_HEADER}` that this caller was given before."
    schema = {"type": "integer", "minimum": 0, "maximum": SEQ_MAX}
    return {"name": MIN_SEQ_HEADER, "in": "header", "required": False, "schema": schema, "description": words}


def _header_read(name: str, chars_max: int, words: str) -> Node:
    schema = {"type": "string", "minLength": 1, "maxLength": chars_max, "pattern": _VISIBLE}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": words}


def _headers_sent(status: int, problem: bool, *, has_key: bool) -> Node:
    sent = {
        REQUEST_ID_HEADER: _header_sent(
            "Names this request in the log of the service: what it named itself, or else a new name."
        )
    }
    if not problem and has_key:
        words = f"It tells of what is durable up to this row; as `{MIN_SEQ_HEADER}` the next question is sure of it."
        sent[SEQ_HEADER] = _header_sent(words, "integer", required=False)
    if problem and status in (429, 503, 504):
        sent["Retry-After"] = _header_sent("In how many seconds to ask again.", "integer")
    if problem and status == 503:
        sent["Callmarket-Leader"] = _header_sent("Who leads, where that is another process.", required=False)
    if status == 401:
        sent["WWW-Authenticate"] = _header_sent("`Bearer`: an API key is needed.")
    return sent


def _header_sent(words: str, kind: str = "string", *, required: bool = True) -> Node:
    return {"description": words, "required": required, "schema": {"type": kind}}


def _pattern(path: str) -> re.Pattern[str]:
    """What a path matches, its parameters being one step each."""
    return re.compile("[^/]+".join(map(re.escape, re.split(r"\{\w+\}", path))))


def _share_problems(responses: Node, shared: Node) -> None:
    """Put what is the same for many operations in one place."""
    for status, response in responses.items():
        if MEDIA_TYPE in response["content"]:
            name = f"Problem{status}"
            assert shared.setdefault(name, response) == response, (name, response)
            responses[status] = {"$ref": f"#/components/responses/{name}"}


def _links() -> Node:
    """What can be done with a bid that was placed."""
    bid_id = {"bid_id": "$response.body#/bid_id"}
    return {name: {"operationId": name, "parameters": bid_id} for name in ("bid", "why", "amend_bid", "cancel_bid")}


def _is_keyed(operation: Node) -> bool:
    return any(parameter["name"] == IDEMPOTENCY_HEADER for parameter in operation.get("parameters", ()))


def _options(operation: Node) -> Mapping[str, Option]:
    parameters = (one for one in operation.get("parameters", ()) if one["in"] == "query")
    return {parameter["name"]: _option(parameter["schema"]) for parameter in parameters}


def _option(schema: Node) -> Option:
    kinds = [kind["type"] for kind in schema.get("oneOf", [schema])]
    # The framework leaves out a bound that is 0.
    bounds = (int(schema.get("minimum", 0)), int(schema["maximum"])) if "integer" in kinds else None
    return Option("array" in kinds, bounds, tuple(word for word in schema.get("enum", ()) if word is not None))


def _polished(value: Any, key: str = "") -> Any:
    """The same with names that people read, patterns that every JSON Schema knows, and text without indentation."""
    if isinstance(value, dict):
        # That format is the one of RFC 3339, in which seconds have no fraction; ours have, as ISO 8601 allows.
        told = {name: item for name, item in value.items() if (name, item) != ("format", "duration")}
        return {_renamed(name): _polished(item, name) for name, item in told.items()}
    if isinstance(value, list):
        return [_polished(item) for item in value]
    if not isinstance(value, str):
        return value
    match key:
        case "$ref":
            return _renamed(value)
        case "pattern":
            # Python's word for the end; elsewhere `$` is the end, and no line break may come after it.
            return value.replace(r"\Z", "$")
        case "description":
            return inspect.cleandoc(value)
        case _:
            return value


def _renamed(name: str) -> str:
    return _PAGE.sub(r"\1Page", name)
