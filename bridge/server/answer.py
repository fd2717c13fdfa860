"""Answers as they are sent.

Rule of this file: bytes and headers, nothing else.
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
# What whoever finds no room hears. The server's own bound would say no without saying when to come back, and counts
# what is answered already.
FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LINE_END: Final = b"\r\n"
# In a time in which there is none to make more of.
_CROWDED: Final = problem_of(Unavailable("more requests wait already than can be served soon", RETRY_AFTER_S))
_CROWDED_BODY: Final = body_of(_CROWDED)
_CLOSES: Final = b"connection: close\r\n\r\n"


async def answer_whole(send: Send, answer: Answer, *, is_head: bool = False) -> None:
    """An answer; of one to HEAD its head."""
    headers = [
        (b"content-type", _JSON if answer.media_type is JSON else answer.media_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body, "more_body": False})


async def answer_problem(send: Send, problem: Problem, allow: Sequence[str] = ()) -> None:
    """A problem; with what could be done instead, where the method was none."""
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
    """What whoever is turned away hears. Made once a second, when the server's own headers change, but for an id."""

    def __init__(self) -> None:
        """Nobody was turned away yet."""
        self._headers: object = None
        self._head = b""

    def answer(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> bytes:
        """The answer, with these headers first."""
        if headers is not self._headers:
            self._headers = headers
            whole = problem_bytes(_CROWDED, headers, closes=False)
            self._head = whole[: -len(_CROWDED_BODY) - len(_LINE_END)]
        return b"%brequest-id: %b\r\n\r\n%b" % (self._head, request_id.encode(), _CROWDED_BODY)


def problem_bytes(problem: Problem, headers: Iterable[tuple[bytes, bytes]], *, closes: bool) -> bytes:
    """A problem as the server would send it, with these headers first; for who has no application to say it."""
    body = body_of(problem)
    lines = [b"%b: %b\r\n" % header for header in headers]
    lines += [f"{name.lower()}: {value}\r\n".encode() for name, value in headers_of(problem).items()]
    if problem.request_id:
        lines.append(b"request-id: %b\r\n" % problem.request_id.encode())
    lines.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (MEDIA_TYPE.encode(), len(body)))
    return STATUS_LINE[problem.status] + b"".join(lines) + (_CLOSES if closes else b"\r\n") + body
