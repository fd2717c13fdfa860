"""The caller of a request: its key, the account it acts for, and the key that makes a retry safe.

Rule of this file: from headers to values, once per request. `bridge.access` decides what the caller may do.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from callmarket.bridge.access.principal import Principal
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.http.headers import (
    ACCOUNT_HEADER,
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MIN_SEQ_HEADER,
    REQUEST_ID_HEADER,
)
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.api.spelling import whole
from callmarket.engine.limits import NAME_CHARS_MAX, SEQ_MAX

_VISIBLE: Final = re.compile("[!-~]*")


class Headers(Struct):
    """The headers of a request that the market reads. Values are the raw bytes; None if there is no such header."""

    authorization: bytes | None = None
    account: bytes | None = None
    idempotency_key: bytes | None = None
    request_id: bytes | None = None
    last_event_id: bytes | None = None
    min_seq: bytes | None = None
    content_length: bytes | None = None


class Caller(Struct):
    """A client with a valid key, in one request."""

    principal: Principal
    account: str
    """The account that the header Callmarket-Account names; empty if there is none."""
    command_id: str
    """The Idempotency-Key. Empty if there is none; then a retry is a new command."""
    request_id: str
    seen: Seen = msgspec.field(default_factory=Seen)
    """The highest durable row that the caller knows of, from its header and from the response."""
    seq: int = 0
    """The last row that the request made, for the log; 0 if it made none."""

    def note(self, seq: int, durable_seq: int) -> None:
        """Note that the request made the row `seq` while rows up to `durable_seq` were durable."""
        self.seq = seq
        self.seen.note(min(seq, durable_seq))


# The characters of UUIDs, ULIDs, trace ids and the request ids of proxies.
_REQUEST_ID: Final = re.compile(rb"[0-9A-Za-z._:/+=-]{1,128}")

_FIELDS: Final = {
    b"authorization": "authorization",
    ACCOUNT_HEADER.lower().encode(): "account",
    IDEMPOTENCY_HEADER.lower().encode(): "idempotency_key",
    REQUEST_ID_HEADER.lower().encode(): "request_id",
    b"last-event-id": "last_event_id",
    MIN_SEQ_HEADER.lower().encode(): "min_seq",
    b"content-length": "content_length",
}


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that the market reads. Raises `Invalid` if one occurs twice: which one counts would be a guess."""
    headers = Headers()
    for name, value in raw:
        field = _FIELDS.get(name)
        if field is not None:
            if getattr(headers, field) is not None:
                raise Invalid(name.decode(), "twice", "one header of this name")
            setattr(headers, field, value)
    return headers


def idempotency_key(value: bytes) -> str:
    """The command id of an Idempotency-Key. Raises `Invalid`, also if it is empty: the client means to rely on it."""
    return _visible(IDEMPOTENCY_HEADER, value, IDEMPOTENCY_KEY_CHARS_MAX)


def request_id_of(value: bytes) -> str:
    """The id that a client gave its request; empty if it is not fit to be logged."""
    fits = _REQUEST_ID.fullmatch(value)
    return value.decode("ascii") if fits else ""


def account_name(value: bytes) -> str:
    """The account of a Callmarket-Account. Raises `Invalid`."""
    return _visible(ACCOUNT_HEADER, value, NAME_CHARS_MAX)


def min_seq_of(value: bytes) -> int:
    """The row of a Callmarket-Min-Seq. Raises `Invalid`."""
    text = value.decode("latin-1")
    seq = whole(text, SEQ_MAX)
    if seq is None:
        raise Invalid(MIN_SEQ_HEADER, text, f"a whole number up to {SEQ_MAX}, in digits")
    return seq


def _visible(header: str, value: bytes, chars_max: int) -> str:
    if not 0 < len(value) <= chars_max:
        raise Invalid(header, f"{len(value)} characters", f"1 to {chars_max}")
    text = value.decode("latin-1")
    if _VISIBLE.fullmatch(text) is None:
        raise Invalid(header, text, "visible ASCII characters without spaces")
    return text
