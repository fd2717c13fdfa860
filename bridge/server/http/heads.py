"""Checks of a request's head where two servers might read it differently (RFC 9110, RFC 9112).

The parser knows the grammar of the lines; the version, the target, the one Host and the end of the body are checked
here.
Rule of this file: pure. A head is accepted unchanged or refused; nothing is guessed and nothing repaired.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.http.problem import TYPE_PREFIX, Problem
from callmarket.bridge.api.spelling import whole

# Clients of the market send a few hundred bytes; proxies add cookies and traces.
HEAD_BYTES_MAX: Final = 65_536

# A name or an address, and perhaps a port: no user, no path (RFC 3986, 3.2.2).
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
# No body comes near it; the parser cannot represent a greater number.
_LENGTH_MAX: Final = 2**63 - 1
# Bytes of each line besides its name and value: a colon, a space and the end of the line.
_LINE_BYTES: Final = 4
_CHECKED: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_VALUE_CHARS_MAX: Final = 200


class BadMessage(Exception):
    """Bytes that are not a valid request, or one that is not supported. Where the next message begins is not known."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem: Final = problem


class Framing(Struct, frozen=True):
    """Where the body of a request ends."""

    body_bytes: int = 0
    """The Content-Length; 0 for a chunked body, which ends with its last chunk."""
    chunked: bool = False
    continues: bool = False
    """Whether the client waits for 100 Continue before it sends the body (Expect: 100-continue)."""


_NO_BODY: Final = Framing()


def wrong(field: str, value: bytes | str, expected: str) -> BadMessage:
    """The error of a head with an invalid field."""
    text = value if isinstance(value, str) else value[:_VALUE_CHARS_MAX].decode("latin-1")
    words = str(Invalid(field, text, expected))
    status = int(HTTPStatus.BAD_REQUEST)
    return BadMessage(
        Problem(TYPE_PREFIX + "invalid", "Invalid", status, words, field=field, value=text, bound=expected)
    )


def unserved(status: HTTPStatus, words: str) -> BadMessage:
    """The error of a valid message that is not supported."""
    return BadMessage(Problem("about:blank", status.phrase, int(status), words))


TOO_LARGE: Final = unserved(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head of the request is larger than {HEAD_BYTES_MAX} bytes"
)


def origin_form(method: bytes, target: bytes) -> bytes:
    """The path and query of a request target. Raises `BadMessage`."""
    if method == b"CONNECT":
        raise unserved(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is not supported")
    if b"#" in target:
        raise wrong("target", target, "a path and a query, without a fragment")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or _HOST.fullmatch(absolute[1]) is None:
        raise wrong("target", target, "a path, or an http address without a user")
    rest: bytes = absolute[2]
    return rest if rest.startswith(b"/") else b"/" + rest


def check_head(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], bytes_max: int) -> Framing:
    """Check a head, and find where the body ends. Header names are in lower case. Raises `BadMessage`.

    About 1 us for the headers of an agent.
    """
    size = len(target)
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        size += len(name) + len(value) + _LINE_BYTES
        if name in _CHECKED:
            if name in found:
                raise wrong(name.decode().title(), "twice", "one header of this name")
            found[name] = value
    if size > bytes_max:
        raise TOO_LARGE
    if version not in ("1.1", "1.0"):
        raise unserved(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 and HTTP/1.0 are supported")
    _check_host(version, found.get(b"host"))
    if len(found) == (b"host" in found):
        return _NO_BODY
    chunked = _is_chunked(version, found.get(b"transfer-encoding"), found.get(b"content-length"))
    continues = _continues(found.get(b"expect")) and version == "1.1"
    return Framing(_length(found.get(b"content-length", b"0")), chunked, continues)


def _check_host(version: str, host: bytes | None) -> None:
    if host is None and version == "1.1":
        raise wrong("Host", "none", "one header of this name")
    if host is not None and _HOST.fullmatch(host) is None:
        raise wrong("Host", host, "a host, and perhaps a port")


def _length(value: bytes) -> int:
    length = whole(value.decode("latin-1"), _LENGTH_MAX)
    if length is None:
        raise wrong("Content-Length", value, "a whole number, in digits")
    return length


def _continues(expectation: bytes | None) -> bool:
    if expectation is not None and expectation.lower() != b"100-continue":
        raise unserved(HTTPStatus.EXPECTATION_FAILED, "Expect: only 100-continue is supported")
    return expectation is not None


def _is_chunked(version: str, coding: bytes | None, length: bytes | None) -> bool:
    if coding is None:
        return False
    if version == "1.0":
        raise wrong("Transfer-Encoding", coding, "none in HTTP/1.0")
    if length is not None:
        raise wrong("Content-Length", length, "none beside Transfer-Encoding")
    if coding.lower() != b"chunked":
        raise unserved(HTTPStatus.NOT_IMPLEMENTED, "Transfer-Encoding: only chunked is supported")
    return True
