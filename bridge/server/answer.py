"""Answers that are written without the framework.

Rule of this file: bytes and headers, nothing else.
"""

from bridge.server.asgi import Send
from bridge.server.problem import MEDIA_TYPE, Problem
from bridge.server.problems import body_of, headers_of

_JSON = b"application/json"


async def answer_json(send: Send, status: int, body: bytes, more: tuple[bytes, bytes]) -> None:
    """A result, with one header more."""
    headers = [
        (b"content-type", _JSON),
        (b"content-length", b"%d" % len(body)),
        more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def answer_problem(send: Send, problem: Problem) -> None:
    """A problem."""
    body = body_of(problem)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in headers_of(problem).items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
