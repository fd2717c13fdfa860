"""The OpenAPI document: what the declarations say, completed by what is true of all of them.

Rule of this file: nothing is said here that the code does not do. Paths, parameters and bodies come from declarations,
shapes from the very structs that are decoded and encoded, so that there is no second list to be kept in step.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from callmarket.bridge.api.contract.declaration import ACK, Declaration, Parameter
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.http.headers import (
    ACCOUNT_HEADER,
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MIN_SEQ_HEADER,
    REQUEST_ID_HEADER,
    SEQ_HEADER,
)
from callmarket.bridge.api.http.problem import MEDIA_TYPE, Problem
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.server.endpoint import JSON, Answer, Endpoint
from callmarket.bridge.server.examples import BODIES, VALUES
from callmarket.bridge.server.requests.arguments import Option
from callmarket.engine.limits import NAME_CHARS_MAX, SEQ_MAX

Node = dict[str, Any]

_REF: Final = "#/components/schemas/"
_PAGE: Final = re.compile(r"\bPage_(\w+)_$")
_VISIBLE: Final = "^[!-~]+$"
# Things that one of several accounts of a key may own; elsewhere the account is in the path or does not matter.
_OWNED: Final = ("Bids", "Slots", "Commitments")
# How long a text can be that is a time or a day: what is longer is none.
_CHARS_MAX: Final = {"date-time": 40, "date": 10}

# What an operation may answer with, besides its result: any with a key, a question, a change.
_ALWAYS: Final = (400, 401, 403, 429, 500, 503)
_QUESTION: Final = (404,)
_CHANGE: Final = (404, 408, 409, 413, 422, 504)
_PUBLIC: Final = (400, 500)
_PROBLEMS: Final = {
    400: "A field has the wrong type, range or pattern. Nothing happened.",
    401: "No API key, or none that is good.",
    402: "The available balance does not cover the bid or the payment.",
    403: "The key may not do this.",
    404: "There is nothing of this name.",
    408: "The body came too slowly.",
    409: "The market's state does not allow it; `reason` says why.",
    410: "The row after which it goes on was acknowledged and is lost: begin anew.",
    413: "The body is too large.",
    422: "The request contradicts itself, or its Idempotency-Key was used for another one.",
    429: "More requests than this key may make; see Retry-After.",
    500: "An error of the service.",
    503: "Nothing happened: the database is away, the queue is full, or another process leads; see Retry-After.",
    504: "It was applied but is not known to be durable. Send it again with the same Idempotency-Key.",
}
_ACK: Final = Parameter(ACK, ACK, Ack, "durable", "query")
_ACK_WORDS: Final = (
    "Reply when it is `durable`, or as soon as it is `applied`: then it may still be lost; or when the tables have it "
    "too (`projected`)."
)
_STREAMS: Final = {
    "text/event-stream": "Server-sent events, until somebody ends it.",
    "text/plain": "The exposition format 0.0.4.",
}

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


class Document:
    """The document as bytes, and what follows from it."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Describe these. Some 50 ms."""
        self.endpoints: Final = endpoints
        types = _types(endpoints)
        found, components = msgspec.json.schema_components(types, ref_template=_REF + "{name}")
        schemas = dict(zip(map(repr, types), found, strict=True))
        for annotation in types:
            _tell_times(annotation, components)
        responses: Node = {}
        paths: Node = {}
        for endpoint in endpoints:
            said = _operation(endpoint, schemas)
            _share_problems(said["responses"], responses)
            paths.setdefault(endpoint.template, {})[endpoint.method.lower()] = said
        tree = _head() | {"paths": paths}
        tree["components"] |= {"responses": responses, "schemas": components}
        self.body: Final = msgspec.json.encode(_polished(tree))
        """The document as JSON."""
        self.tree: Final[Node] = msgspec.json.decode(self.body)
        """The document as a reader has it."""
        self.options: Final[Mapping[str, Mapping[str, Option]]] = {
            endpoint.declaration.name: endpoint.arguments.options for endpoint in endpoints
        }
        """The parameters of each operation's query."""


def operations(tree: Node) -> Iterator[tuple[str, str, Node]]:
    """All operations of a document: method, path, and what is said of it."""
    for path, item in tree["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _head() -> Node:
    """What the document says of the service as a whole."""
    key = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "cmk_KEYID_SECRET",
        "description": "A key that an admin made with `POST /api/v1/keys` or `callmarket keys create`.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "callmarket", "version": "1", "description": _DESCRIPTION},
        "security": [{"apiKey": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "components": {"securitySchemes": {"apiKey": key}},
    }


def _operation(endpoint: Endpoint, schemas: Mapping[str, Node]) -> Node:
    """All that is said of one operation."""
    declaration = endpoint.declaration
    said: Node = {
        "operationId": declaration.name,
        "tags": [declaration.tag],
        "summary": declaration.summary,
        "description": declaration.doc,
        "responses": _responses(endpoint, schemas),
    }
    parameters = [_parameter(one, one.where) for one in (*declaration.paths, *declaration.queries)]
    if endpoint.takes_ack:
        parameters.append(_parameter(_ACK, "query") | {"description": _ACK_WORDS})
    parameters += [_parameter(one, one.where) for one in declaration.headers]
    parameters += _headers_read(endpoint)
    if parameters:
        said["parameters"] = parameters
    if declaration.body is not None:
        media = {"schema": schemas[repr(declaration.body)], "example": BODIES[declaration.name]}
        said["requestBody"] = {"required": True, "content": {JSON: media}}
    if endpoint.is_public:
        said["security"] = []
    return said


def statuses_of(endpoint: Endpoint) -> tuple[int, ...]:
    """The problems that an operation may answer with."""
    declaration = endpoint.declaration
    if endpoint.is_public:
        return tuple(sorted({*_PUBLIC, *declaration.problems}))
    kind = _CHANGE if endpoint.is_keyed else _QUESTION if isinstance(declaration, Operation) else ()
    return tuple(sorted({*_ALWAYS, *kind, *declaration.problems}))


def _responses(endpoint: Endpoint, schemas: Mapping[str, Node]) -> Node:
    has_key = not endpoint.is_public
    returned = _returned(endpoint.declaration)
    responses: Node = {}
    parts = _parts(returned)
    if parts:
        answer = {"description": _words(parts[0]), "content": {JSON: {"schema": _schema(returned, schemas)}}}
    else:
        described = {"schema": {"type": "string"}}
        answer = {"description": _STREAMS[endpoint.media_type], "content": {endpoint.media_type: described}}
    answer["headers"] = _headers_sent(endpoint.declaration.status, problem=False, has_key=has_key)
    if endpoint.declaration.name == "place_bid":
        answer["links"] = _links()
    responses[str(endpoint.declaration.status)] = answer
    for status, description in endpoint.more.items():
        content = {JSON: {"schema": _schema(returned, schemas)}}
        headers = _headers_sent(int(status), problem=False, has_key=has_key)
        responses[str(int(status))] = {"description": description, "content": content, "headers": headers}
    for status in statuses_of(endpoint):
        responses[str(status)] = {
            "description": _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": schemas[repr(Problem)]}},
            "headers": _headers_sent(status, problem=True, has_key=has_key),
        }
    return dict(sorted(responses.items()))


def _types(endpoints: Iterable[Endpoint]) -> list[Any]:
    """All that goes in or out, each once and in the order of the operations."""
    types: dict[str, Any] = {repr(Problem): Problem}
    for endpoint in endpoints:
        body = endpoint.declaration.body
        parts = [*_parts(_returned(endpoint.declaration)), *([] if body is None else [body])]
        types.update((repr(part), part) for part in parts)
    return list(types.values())


def _returned(declaration: Declaration) -> Any:
    """What an operation returns: of an answer with a status of its own, what is in it."""
    if isinstance(declaration, Operation):
        return declaration.result
    annotation = declaration.returns
    is_answer = get_origin(annotation) is Annotated and get_args(annotation)[0] is Answer
    return get_args(annotation)[1] if is_answer else annotation


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The types that a result is made of. Of a list whose items are one of several, those."""
    if get_origin(annotation) is list:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    kind = get_origin(annotation) or annotation
    # Anything else is a stream, or a text of its own, which is no JSON.
    is_shape = inspect.isclass(kind) and issubclass(kind, msgspec.Struct) and kind is not Answer
    return (annotation,) if is_shape else ()


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


def _parameter(parameter: Parameter, where: str) -> Node:
    """A parameter: one that is left out has its default; none is ever null."""
    schema = msgspec.json.schema(parameter.kind_if_given)
    if "enum" in schema:
        schema = {"type": "string"} | schema
    if chars_max := _CHARS_MAX.get(schema.get("format", "")):
        schema["maxLength"] = chars_max
    said: Node = {"name": parameter.wire_name, "in": where, "required": parameter.is_required or where == "path"}
    if words := schema.pop("description", ""):
        said["description"] = words
    if not said["required"] and parameter.default is not None:
        schema["default"] = parameter.written(parameter.default)
    if said["required"]:
        said["example"] = VALUES[parameter.wire_name]
    return said | {"schema": schema}


def _headers_read(endpoint: Endpoint) -> list[Node]:
    """The headers that an operation listens to: a change, or a question."""
    if endpoint.is_public:
        return []
    if not endpoint.is_keyed:
        return [_min_seq_read()]
    words = "Names this request. Sent again with the same key it is done once, and answered with what was done."
    read = [_header_read(IDEMPOTENCY_HEADER, IDEMPOTENCY_KEY_CHARS_MAX, words)]
    if endpoint.declaration.tag in _OWNED:
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


def _headers_sent(status: int, *, problem: bool, has_key: bool) -> Node:
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


def _share_problems(responses: Node, shared: Node) -> None:
    """Put what is the same for many operations in one place."""
    for status, response in responses.items():
        if MEDIA_TYPE in response["content"]:
            name = f"Problem{status}" if "401" in responses else f"PublicProblem{status}"
            assert shared.setdefault(name, response) == response, (name, response)
            responses[status] = {"$ref": f"#/components/responses/{name}"}


def _links() -> Node:
    """What can be done with a bid that was placed."""
    bid_id = {"bid_id": "$response.body#/bid_id"}
    return {name: {"operationId": name, "parameters": bid_id} for name in ("bid", "why", "amend_bid", "cancel_bid")}


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
