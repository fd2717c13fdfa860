"""A body as it comes: whole, in pieces, too large, too slow, or broken off; each ends in time and leaves nothing.

Method: a `receive` that the test writes, as the server gives one to the application; the bounds are made small.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from callmarket.bridge.server.http import intake
from callmarket.bridge.server.http.intake import BodyTooLarge, BodyTooSlow, Bounded, Gone, check_length, whole_body

WAIT_S = 60.0
Message = dict[str, Any]
GONE: Message = {"type": "http.disconnect"}


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own, for a bounded time."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), WAIT_S))

    return run


class Pieces:
    """A `receive` that gives these messages, at once or after a turn of the loop, and then waits for ever."""

    def __init__(self, *messages: Message, waits: bool = False) -> None:
        self.messages = list(messages)
        self.waits = waits
        self.waited = asyncio.Event()
        self.ended_by: list[type[BaseException]] = []

    async def __call__(self) -> Message:
        if self.waits:
            await asyncio.sleep(0)
        if self.messages:
            return self.messages.pop(0)
        self.waited.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.ended_by.append(type(error))
            raise
        raise AssertionError("it waits for ever")


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def bounded_body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    """The body, as the framework reads it."""
    bounded, body, more = Bounded(receive), b"", True
    while more:
        message = await bounded()
        body += message["body"]
        more = message["more_body"]
    return body


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_BYTES_MAX", 10)


ways = pytest.mark.parametrize("read", [whole_body, bounded_body])
at_once = pytest.mark.parametrize("waits", [False, True])


@ways
@at_once
@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"0123456789")],
        [piece(b"01234", more=True), piece(b"56789")],
        [piece(b"", more=True), piece(b"0123456789", more=True), piece(b"")],
        [piece(bytes([48 + number]), more=number < 9) for number in range(10)],
    ],
)
@awaited
async def test_a_body_of_any_pieces_is_whole(
    read: Callable[[Any], Awaitable[bytes]], waits: bool, messages: list[Message]
) -> None:
    assert await read(Pieces(*messages, waits=waits)) == b"0123456789"


@ways
@at_once
@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"0123456789A")],
        [piece(b"0123456789A", more=True)],
        [piece(b"01234", more=True), piece(b"56789A", more=True)],
        [piece(b"0123456789", more=True), piece(b"A", more=True), piece(b"")],
    ],
)
@awaited
async def test_a_body_that_is_too_large_is_refused_without_the_rest_of_it(
    read: Callable[[Any], Awaitable[bytes]], waits: bool, messages: list[Message]
) -> None:
    with pytest.raises(BodyTooLarge):
        await read(Pieces(*messages, waits=waits))


@ways
@at_once
@pytest.mark.parametrize("messages", [[GONE], [piece(b"0123", more=True), GONE]])
@awaited
async def test_a_client_that_disconnects_before_its_body_is_whole_raises_gone(
    read: Callable[[Any], Awaitable[bytes]], waits: bool, messages: list[Message]
) -> None:
    with pytest.raises(Gone):
        await read(Pieces(*messages, waits=waits))


@ways
@pytest.mark.parametrize("messages", [[], [piece(b"0123", more=True)]])
@awaited
async def test_a_body_that_does_not_come_in_time_is_refused_and_waited_for_no_more(
    read: Callable[[Any], Awaitable[bytes]], messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_S_MAX", 0.02)
    receive = Pieces(*messages)
    with pytest.raises(BodyTooSlow):
        await read(receive)
    assert receive.ended_by == [asyncio.CancelledError]


@ways
@awaited
async def test_the_time_limit_is_for_all_pieces_of_a_body_together(
    read: Callable[[Any], Awaitable[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends a byte now and then is no better off."""
    monkeypatch.setattr(intake, "BODY_S_MAX", 0.02)

    async def dripping() -> Message:
        await asyncio.sleep(0.005)
        return piece(b"", more=True)

    with pytest.raises(BodyTooSlow):
        await read(dripping)


@ways
@awaited
async def test_a_reader_that_is_cancelled_cancels_what_it_waits_for(read: Callable[[Any], Awaitable[bytes]]) -> None:
    """As at the end of a service: whoever gives the body lets go of what it holds."""
    receive = Pieces(piece(b"0123", more=True))
    reading = asyncio.ensure_future(read(receive))
    await receive.waited.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert receive.ended_by == [asyncio.CancelledError]


@awaited
async def test_after_the_body_there_is_no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """That somebody hangs up is heard for as long as the answer takes."""
    monkeypatch.setattr(intake, "BODY_S_MAX", 0.0)
    for receive in (Bounded(Pieces(piece(b"01"), GONE)),):
        assert await receive() == piece(b"01")
        assert await receive() == GONE


@pytest.mark.parametrize("length", [None, b"0", b"10"])
def test_a_length_within_the_bound_is_fine(length: bytes | None) -> None:
    check_length(length)


def test_a_length_beyond_the_bound_is_refused_before_any_of_it_comes() -> None:
    with pytest.raises(BodyTooLarge):
        check_length(b"11")
