"""A live stream as a response. It ends when the client leaves or is too slow, its key ends, or the exchange is closed.

Rule of this file: nothing waits for a slow reader. Its connection is closed when its queue is full, whether or not it
reads the last event.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Final

from callmarket.bridge.feed import sse
from callmarket.bridge.feed.subscription import Subscription
from callmarket.bridge.server.fairness.shares import Share
from callmarket.bridge.server.http.asgi import Receive, Scope, Send

# How long the client of an ended stream has to read the last event.
LAST_WORDS_S_MAX: Final = 2.0


class EventStream:
    """An ASGI application that answers with a stream."""

    def __init__(self, subscription: Subscription, stay: AbstractContextManager[None], share: Share) -> None:
        """Stream this subscription. When the stream ends, `share` is closed; `stay` is entered while it lasts."""
        self._subscription = subscription
        self._stay = stay
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until all is sent, the client has gone, or the subscription has ended."""
        assert scope["type"] == "http", scope["type"]
        headers = [
            (b"content-type", sse.MEDIA_TYPE.encode()),
            (b"cache-control", b"no-store"),
            # Tells proxies not to buffer the response.
            (b"x-accel-buffering", b"no"),
        ]
        with self._share, self._subscription, self._stay:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sending = asyncio.create_task(_send_all(sse.stream(self._subscription), send))
            gone = asyncio.create_task(_until_gone(receive))
            ended = asyncio.create_task(self._subscription.ended.wait())
            tasks = (sending, gone, ended)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if ended.done() and not gone.done():
                    await asyncio.wait((sending, gone), timeout=LAST_WORDS_S_MAX, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _send_all(pieces: AsyncIterator[bytes], send: Send) -> None:
    async with contextlib.aclosing(pieces):  # type: ignore[type-var]  # an async generator
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
