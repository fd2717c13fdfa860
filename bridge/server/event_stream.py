"""A live stream as an answer: bytes until the client goes or does not keep up, or the exchange or its key ends.

Rule of this file: nobody waits for a slow reader. Its connection is closed when its queue is full, whether it reads the
last words or not.
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

# What a stream that was ended gets to take its last words.
LAST_WORDS_S_MAX: Final = 2.0


class EventStream:
    """An ASGI application that answers with a stream."""

    def __init__(self, subscription: Subscription, stay: AbstractContextManager[None], share: Share) -> None:
        """The stream of this subscription; with it the key's share is closed. Its reader is there within `stay`."""
        self._subscription = subscription
        self._stay = stay
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until one of the three happens."""
        assert scope["type"] == "http", scope["type"]
        headers = [
            (b"content-type", sse.MEDIA_TYPE.encode()),
            (b"cache-control", b"no-store"),
            # Proxies that collect answers before they pass them on are told not to.
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
