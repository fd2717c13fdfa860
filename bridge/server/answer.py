"""Responses as bytes and headers.

Rule of this file: it encodes and sends; what a response says is decided elsewhere.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.api.http.problem import MEDIA_TYPE, Problem
from callmarket.bridge.server.endpoint import JSON, Answer
from callmarket.bridge.server.fairness.places import RETRY_AFTER_S
from callmarket.bridge.server.http.asgi import Send
from callmarket.bridge.server.problems import body_of, headers_of, problem_of

_JSON: Final = b"application/json"
# Sent to a client that connects while the server is full. Uvicorn's own limit sends no Retry-After, and it counts
# requests that are answered already.
FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LINE_END: Final = b"\r\n"
# Made in advance: it is sent when there is no time to make one.
_CROWDED: Final = problem_of(Unavailable("too many requests are waiting already", RETRY_AFTER_S))
_CROWDED_BODY: Final = body_of(_CROWDED)
_CLOSES: Final = b"connection: close\r\n\r\n"


async def answer_whole(send: Send, answer: Answer, *, is_head: bool = False) -> None:
    """Send a response; for HEAD only its headers."""
    headers = [
        (b"content-type", _JSON if answer.media_type is JSON else answer.media_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body, "more_body": False})


async def answer_problem(send: Send, problem: Problem, allow: Sequence[str] = ()) -> None:
    """Send a problem. `allow`: the methods for the Allow header, if the method was the problem."""
    body = body_of(problem)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in headers_of(problem).items()),
        *([(b"allow", ", ".join(allow).encode())] if allow else []),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Crowded:
    """The response to requests that are turned away unread.

    It is encoded once a second, when the server's default headers change; only the request id differs in each.
    """

    def __init__(self) -> None:
        """Nothing is encoded until the first response."""
        self._headers: object = None
        self._head = b""

    def answer(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> bytes:
        """The bytes of the response, beginning with these headers."""
        if headers is not self._headers:
            self._headers = headers
            whole = problem_bytes(_CROWDED, headers, closes=False)
            self._head = whole[: -len(_CROWDED_BODY) - len(_LINE_END)]
        return b"%brequest-id: %b\r\n\r\n%b" % (self._head, request_id.encode(), _CROWDED_BODY)


def problem_bytes(problem: Problem, headers: Iterable[tuple[bytes, bytes]], *, closes: bool) -> bytes:
    """A problem as the server would send it, beginning with these headers; for responses made outside of ASGI."""
    body = body_of(problem)
    lines = [b"%b: %b\r\n" % header for header in headers]
    lines += [f"{name.lower()}: {value}\r\n".encode() for name, value in headers_of(problem).items()]
    if problem.request_id:
        lines.append(b"request-id: %b\r\n" % problem.request_id.encode())
    lines.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (MEDIA_TYPE.encode(), len(body)))
    return STATUS_LINE[problem.status] + b"".join(lines) + (_CLOSES if closes else b"\r\n") + body
