"""The OpenAPI document, derived from the declarations and completed by what holds for all operations.

Rule of this file: the document describes what the code does. Paths, parameters and bodies come from the declarations,
schemas from the structs that are decoded and encoded, so that there is no second list to keep in step.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from callmarket.bridge.api.contract.declaration import ACK, Declaration, Parameter
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.http.problem import MEDIA_TYPE, Problem
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.server.endpoint import JSON, Answer, Endpoint
from callmarket.bridge.server.openapi.examples import VALUES
from callmarket.bridge.server.openapi.headers import Node, headers_read, headers_sent
from callmarket.bridge.server.openapi.words import ACK_WORDS, DESCRIPTION, PROBLEMS, STREAMS, TAGS
from callmarket.bridge.server.requests.arguments import Option

_REF: Final = "#/components/schemas/"
_PAGE: Final = re.compile(r"\bPage_(\w+)_$")
# The longest texts that can be a time or a date.
_CHARS_MAX: Final = {"date-time": 40, "date": 10}

# Problems that an operation may respond with: any with a key, a query, a change, and one without a key.
_ALWAYS: Final = (400, 401, 403, 429, 500, 503)
_ERRORS: Final = {"NotFound": "404", "Conflict": "409", "Refused": "with a refusal"}
_QUESTION: Final = (404,)
_CHANGE: Final = (404, 408, 409, 413, 422, 504)
_PUBLIC: Final = (400, 500)
_ACK: Final = Parameter(ACK, ACK, Ack, "durable", "query")


class Document:
    """The document as bytes and as a tree, and the query parameters of each operation."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Describe these endpoints. About 50 ms."""
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
        """The document as decoded JSON."""
        self.options: Final[Mapping[str, Mapping[str, Option]]] = {
            endpoint.declaration.name: endpoint.arguments.options for endpoint in endpoints
        }
        """The query parameters of each operation, by operation and name."""


def operations(tree: Node) -> Iterator[tuple[str, str, Node]]:
    """All operations of a document: method, path and description of each."""
    for path, item in tree["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _head() -> Node:
    """The parts of the document about the service as a whole."""
    key = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "cmk_KEYID_SECRET",
        "description": "A key that an admin made with `POST /api/v1/keys` or `callmarket keys create`.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "callmarket", "version": "1", "description": DESCRIPTION},
        "security": [{"apiKey": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "components": {"securitySchemes": {"apiKey": key}},
    }


def _operation(endpoint: Endpoint, schemas: Mapping[str, Node]) -> Node:
    """The description of one operation."""
    declaration = endpoint.declaration
    said: Node = {
        "operationId": declaration.name,
        "tags": [declaration.tag],
        "summary": declaration.summary,
        "description": _over_http(declaration.doc),
        "responses": _responses(endpoint, schemas),
    }
    parameters = [_parameter(one, one.where) for one in (*declaration.paths, *declaration.queries)]
    if endpoint.takes_ack:
        parameters.append(_parameter(_ACK, "query") | {"description": ACK_WORDS})
    parameters += [_parameter(one, one.where) for one in declaration.headers]
    parameters += headers_read(endpoint)
    if parameters:
        said["parameters"] = parameters
    if declaration.body is not None:
        media = {"schema": schemas[repr(declaration.body)], "example": declaration.example}
        said["requestBody"] = {"required": True, "content": {JSON: media}}
    if endpoint.is_public:
        said["security"] = []
    return said


def _over_http(doc: str) -> str:
    """The docstring of an operation, with statuses for the errors that it raises in Python."""
    for error, status in _ERRORS.items():
        doc = doc.replace(f"`{error}`", status)
    return doc.replace("Raises ", "Answers ").replace(" raises ", " answers ")


def statuses_of(endpoint: Endpoint) -> tuple[int, ...]:
    """The statuses of the problems that an operation may respond with."""
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
        answer = {"description": _answered(returned, parts), "content": {JSON: {"schema": _schema(returned, schemas)}}}
    else:
        described = {"schema": {"type": "string"}}
        answer = {"description": STREAMS[endpoint.media_type], "content": {endpoint.media_type: described}}
    answer["headers"] = headers_sent(endpoint.declaration.status, problem=False, has_key=has_key)
    if endpoint.declaration.name == "place_bid":
        answer["links"] = _links()
    responses[str(endpoint.declaration.status)] = answer
    for status, description in endpoint.more.items():
        content = {JSON: {"schema": _schema(returned, schemas)}}
        headers = headers_sent(int(status), problem=False, has_key=has_key)
        responses[str(int(status))] = {"description": description, "content": content, "headers": headers}
    for status in statuses_of(endpoint):
        responses[str(status)] = {
            "description": PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": schemas[repr(Problem)]}},
            "headers": headers_sent(status, problem=True, has_key=has_key),
        }
    return dict(sorted(responses.items()))


def _types(endpoints: Iterable[Endpoint]) -> list[Any]:
    """The types of all results and bodies, each once, in the order of the operations."""
    types: dict[str, Any] = {repr(Problem): Problem}
    for endpoint in endpoints:
        body = endpoint.declaration.body
        parts = [*_parts(_returned(endpoint.declaration)), *([] if body is None else [body])]
        types.update((repr(part), part) for part in parts)
    return list(types.values())


def _returned(declaration: Declaration) -> Any:
    """The type of an operation's result; of an `Answer`, the type that its body encodes."""
    if isinstance(declaration, Operation):
        return declaration.result
    annotation = declaration.returns
    is_answer = get_origin(annotation) is Annotated and get_args(annotation)[0] is Answer
    return get_args(annotation)[1] if is_answer else annotation


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The structs of a result: the members of a union; of a list, those of its items; none for a stream or a text."""
    if get_origin(annotation) is list:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    kind = get_origin(annotation) or annotation
    # Anything else is a stream or a text, not JSON.
    is_shape = inspect.isclass(kind) and issubclass(kind, msgspec.Struct) and kind is not Answer
    return (annotation,) if is_shape else ()


def _answered(returned: Any, parts: tuple[Any, ...]) -> str:
    """What a result is, in a sentence for each shape that it may have."""
    words = " Or: ".join(_words(part) for part in parts)
    return f"For each in its order: {words}" if get_origin(returned) is list else words


def _words(annotation: Any) -> str:
    """The first line of the docstring of a result's type."""
    return (inspect.getdoc(get_origin(annotation) or annotation) or "").partition("\n")[0]


def _tell_times(annotation: Any, components: Node) -> None:
    """Mark times as `date-time`. Msgspec omits the format for types that allow no zone; all times here have one."""
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
    """A parameter. An omitted one has its default; null is never a value."""
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


def _share_problems(responses: Node, shared: Node) -> None:
    """Move problem responses into the components, where operations share them."""
    for status, response in responses.items():
        if MEDIA_TYPE in response["content"]:
            name = f"Problem{status}" if "401" in responses else f"PublicProblem{status}"
            assert shared.setdefault(name, response) == response, (name, response)
            responses[status] = {"$ref": f"#/components/responses/{name}"}


def _links() -> Node:
    """The operations on a bid that was placed."""
    bid_id = {"bid_id": "$response.body#/bid_id"}
    return {name: {"operationId": name, "parameters": bid_id} for name in ("bid", "why", "amend_bid", "cancel_bid")}


def _polished(value: Any, key: str = "") -> Any:
    """The same with readable schema names, patterns that JSON Schema knows, and descriptions without indentation."""
    if isinstance(value, dict):
        # The format `duration` is that of RFC 3339, without fractions of seconds; ours have them, as ISO 8601 allows.
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
            # Python's notation for the end of the text; in JSON Schema `$` means just that, without a line break.
            return value.replace(r"\Z", "$")
        case "description":
            return inspect.cleandoc(value)
        case _:
            return value


def _renamed(name: str) -> str:
    return _PAGE.sub(r"\1Page", name)
