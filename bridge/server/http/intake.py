"""Request bodies, bounded in bytes and in time.

Rule of this file: a body is complete, or the request is refused; no client holds memory or a connection for ever.
"""

import asyncio
import functools
import types
from collections.abc import Generator
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

from callmarket.bridge.server.http.asgi import Message, Receive
from callmarket.bridge.server.http.http_error import HttpError

T = TypeVar("T")

# A thousand bids of the longest names take some 700 kB.
BODY_BYTES_MAX: Final = 1_048_576
# A body of that size at 100 kB/s. Agents send their bodies in one piece.
BODY_S_MAX: Final = 10.0


class BodyTooLarge(HttpError):
    """The body is over the bound."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX} bytes")


class BodyTooSlow(HttpError):
    """The body was not complete in time."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_TIMEOUT, f"the body was not complete after {BODY_S_MAX:.0f} s")


class Gone(Exception):
    """The client disconnected before its request was complete, so there is nothing to answer."""


def check_length(content_length: bytes | None) -> None:
    """Raise `BodyTooLarge` if the Content-Length is over the bound, before any of the body is read."""
    if content_length is not None and int(content_length) > BODY_BYTES_MAX:
        raise BodyTooLarge


async def whole_body(receive: Receive) -> bytes:
    """The body, within `BODY_S_MAX`. Raises `BodyTooLarge`, `BodyTooSlow` or `Gone`."""
    until_s = asyncio.get_running_loop().time() + BODY_S_MAX
    message = await _next(receive, BODY_S_MAX)
    body = message["body"] if message["type"] == "http.request" else b""
    if message.get("more_body") or len(body) > BODY_BYTES_MAX:
        return await _rest(receive, body, until_s)
    return body


class Bounded:
    """A `receive` for a stream, with the same bounds. After the body it waits, without bound, until the client goes."""

    def __init__(self, receive: Receive) -> None:
        """Wrap this `receive`."""
        self._receive = receive
        self._bytes = 0
        self._whole = False
        self._until_s = 0.0

    async def __call__(self) -> Message:
        """The next message. Raises `BodyTooLarge`, `BodyTooSlow` or, before the end of the body, `Gone`."""
        if self._whole:
            return await self._receive()
        now_s = asyncio.get_running_loop().time()
        self._until_s = self._until_s or now_s + BODY_S_MAX
        message = await _next(self._receive, self._until_s - now_s)
        if message["type"] == "http.request":
            self._bytes += len(message["body"])
            self._whole = not message["more_body"]
            if self._bytes > BODY_BYTES_MAX:
                raise BodyTooLarge
        return message


async def _rest(receive: Receive, first: bytes, until_s: float) -> bytes:
    chunks, size = [first], len(first)
    more = True
    while more:
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge
        message = await _next(receive, until_s - asyncio.get_running_loop().time())
        if message["type"] != "http.request":
            raise Gone
        chunks.append(message["body"])
        size += len(message["body"])
        more = message["more_body"]
    return b"".join(chunks)


async def _next(receive: Receive, within_s: float) -> Message:
    # The first step runs without a time-out, which would cost more than reading the body: usually it is there already.
    begun = receive().__await__()
    try:
        waits_for = next(begun)
    except StopIteration as stop:
        message: Message = stop.value
    else:
        try:
            async with asyncio.timeout(within_s):
                message = await _rest_of(begun, waits_for)
        except TimeoutError:
            raise BodyTooSlow from None
    if message["type"] == "http.disconnect":
        raise Gone
    return message


@types.coroutine
def _rest_of(begun: Generator[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
    """Await the rest of an awaitable whose first step has run and has yielded `waits_for`."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 -- it is passed on to the awaitable, as a cancellation must be
            step = functools.partial(begun.throw, error)
        else:
            step = functools.partial(next, begun)
        try:
            waits_for = step()
        except StopIteration as stop:
            return cast(T, stop.value)
