"""The headers of requests and answers in the OpenAPI document: those that many operations share.

Rule of this file: headers only; one that a single operation reads is a parameter of its declaration.
"""

from typing import Any, Final

from callmarket.bridge.api.http.headers import (
    ACCOUNT_HEADER,
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MIN_SEQ_HEADER,
    REQUEST_ID_HEADER,
    SEQ_HEADER,
)
from callmarket.bridge.server.endpoint import Endpoint
from callmarket.engine.limits import NAME_CHARS_MAX, SEQ_MAX

Node = dict[str, Any]

_VISIBLE: Final = "^[!-~]+$"
# Tags whose operations act for one of the key's accounts; elsewhere the account is in the path or does not matter.
_OWNED: Final = ("Bids", "Slots", "Commitments")


def headers_read(endpoint: Endpoint) -> list[Node]:
    """The request headers of an operation: those of a change, or that of a query."""
    if endpoint.is_public:
        return []
    if not endpoint.is_keyed:
        return [_min_seq_read()]
    words = "Identifies this request. If it is sent again with the same key, it is carried out once and answered alike."
    read = [_header_read(IDEMPOTENCY_HEADER, IDEMPOTENCY_KEY_CHARS_MAX, words)]
    if endpoint.declaration.tag in _OWNED:
        words = "The account that the request acts for, if the key has several. It must be one of them."
        read.append(_header_read(ACCOUNT_HEADER, NAME_CHARS_MAX, words))
    return read


def _min_seq_read() -> Node:
    words = f"The answer includes all rows of the journal up to this one: the `{SEQ_HEADER}` of an earlier answer."
    schema = {"type": "integer", "minimum": 0, "maximum": SEQ_MAX}
    return {"name": MIN_SEQ_HEADER, "in": "header", "required": False, "schema": schema, "description": words}


def _header_read(name: str, chars_max: int, words: str) -> Node:
    schema = {"type": "string", "minLength": 1, "maxLength": chars_max, "pattern": _VISIBLE}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": words}


def headers_sent(status: int, *, problem: bool, has_key: bool) -> Node:
    """The response headers of an answer with this status."""
    sent = {
        REQUEST_ID_HEADER: _header_sent(
            "Identifies this request in the log of the service: the id that the client sent, or else a new one."
        )
    }
    if not problem and has_key:
        words = (
            f"The answer includes all durable rows up to this one. Send it as `{MIN_SEQ_HEADER}` with the next query."
        )
        sent[SEQ_HEADER] = _header_sent(words, "integer", required=False)
    if problem and status in (429, 503, 504):
        sent["Retry-After"] = _header_sent("After how many seconds to try again.", "integer")
    if problem and status == 503:
        sent["Callmarket-Leader"] = _header_sent("The address of the leader, if it is another process.", required=False)
    if status == 401:
        sent["WWW-Authenticate"] = _header_sent("`Bearer`: an API key is needed.")
    return sent


def _header_sent(words: str, kind: str = "string", *, required: bool = True) -> Node:
    return {"description": words, "required": required, "schema": {"type": kind}}
