"""The feed in one loop and several: order, resuming, bounds, ends. Rows come from a thread, as from the writer's.

Method: real rows that the engine decided, a journal in memory, clients that read the text of the stream; the bounds are
made small, for one that is never met is never tested.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from callmarket.bridge.api.errors import Invalid, Unavailable
from callmarket.bridge.feed import limits, sse
from callmarket.bridge.feed.broker import BEHIND
from callmarket.bridge.feed.encoded import FeedRow
from callmarket.bridge.feed.filters import Filter, filter_of
from callmarket.bridge.feed.source import Feed
from callmarket.bridge.feed.subscription import SLOW_READER, Subscription
from callmarket.engine.codec import SealedRow
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.errors import Fenced
from callmarket.persistence.journal import memory
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from tests.support.feed_client import ClientStream, Said
from tests.support.sealed import batches, bids, story

WAIT_S = 60.0


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own, for a bounded time."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), WAIT_S))

    return run


class Source:
    """Rows that become durable: first in a journal, then in a feed."""

    def __init__(self, rows: Sequence[SealedRow], before: int = 0) -> None:
        """`before` rows are there before the feed begins."""
        self.rows = rows
        self.database = MemoryDatabase()
        self.journal = MemoryJournal(self.database)
        self.journal.claim()
        if before:
            self.journal.append(rows[:before])
        self.feed = Feed(before, lambda: MemoryJournal(self.database))

    def bring(self, count: int | None = None) -> None:
        """The next rows, in this thread."""
        rows = self.rows[self.feed.seq :][:count]
        self.journal.append(rows)
        self.feed.durable(rows)

    def bring_all(self, seed: int, pause: Callable[[], object] = lambda: None) -> threading.Thread:
        """All that are left, in batches, in a thread of their own."""

        def run() -> None:
            for batch in batches(self.rows[self.feed.seq :], seed):
                pause()
                self.bring(len(batch))

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def said(self, wanted: Filter | None = None, after_seq: int = 0) -> list[Said]:
        """All that a client must have been told in the end."""
        rows = [FeedRow(row.entry, row.events, 0) for row in self.rows if row.entry.seq > after_seq]
        messages = [
            encoded for row in rows for encoded in row.messages if wanted is None or wanted.lets_through(encoded)
        ]
        return [msgspec.json.decode(encoded.data) for encoded in messages]


async def read(client: ClientStream, subscription: Subscription, until_seq: int) -> None:
    """Read until the client has heard of this row, or the stream ends."""
    client.connect()
    async for piece in sse.stream(subscription, 0.05):
        client.hear(piece)
        if client.last_id is not None and client.last_id >= until_seq:
            break


async def told(subscription: Subscription, count: int) -> list[int]:
    """The seqs of the next so many messages of rows."""
    seqs: list[int] = []
    while len(seqs) < count:
        assert subscription.end is None, subscription.end
        seqs += [one.seq for row in await subscription.next(WAIT_S) for one in row if one.kind != "watermark"]
    return seqs


@pytest.fixture(autouse=True)
def _quick_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATERMARK_EVERY_S", 0.01)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that turns fast, and small slices."""
    monkeypatch.setattr(limits, "RECENT_ROWS_MAX", 60)
    monkeypatch.setattr(limits, "SLICE_ROWS", 7)
    monkeypatch.setattr(limits, "CHUNK_BYTES", 500)


@awaited
async def test_a_subscriber_gets_rows_from_its_subscription_on() -> None:
    source = Source(bids(50), before=10)
    source.bring(15)
    with await source.feed.subscribe() as subscription:
        thread = source.bring_all(1)
        assert await told(subscription, 46) == list(range(26, 72)), "21 rows came before the first bid"
        assert subscription.end is None
    thread.join()


@pytest.mark.usefixtures("small")
@awaited
async def test_after_each_row_the_stream_goes_on_with_the_next() -> None:
    """From any row, also the last: with another subscriber, so that rows are dispatched; with rows that are not yet."""
    source = Source(bids(120), before=22)
    with await source.feed.subscribe() as other:
        for first in (23, 58):
            source.bring(35)
            assert await told(other, 35) == list(range(first, first + 35))
        late = 92
        for after_seq in range(21, 93):
            with await source.feed.subscribe(after_seq=after_seq) as subscription:
                assert await told(subscription, late - after_seq) == list(range(after_seq + 1, late + 1))
            if after_seq % 3 == 0 and late < 115:
                # It is durable, and the loop has not come to it yet: one begins before it, one after it.
                source.bring(1)
                late += 1
                before = await source.feed.subscribe(after_seq=late - 1)
                after = await source.feed.subscribe()
                at = await source.feed.subscribe(after_seq=late)
                source.bring(1)
                late += 1
                # This one goes live before the loop has come to the row that it is after.
                assert await told(after, 1) == [late]
                assert await told(before, 2) == [late - 1, late]
                assert await told(at, 1) == [late]
                for one in (before, after, at):
                    one.close()


@pytest.mark.usefixtures("small")
def test_every_message_once_however_often_a_client_is_lost(seed: int) -> None:
    """Clients break off at any byte and resume by the last id: from the ring, from the journal, between the two."""
    drops = 0
    for one in range(seed % 1_000_000, seed % 1_000_000 + 5):
        drops += asyncio.run(asyncio.wait_for(lose_clients(one), WAIT_S))
    assert drops > 10, "nobody was ever lost"


async def lose_clients(seed: int) -> int:
    """Run some clients on one random history; how often they were lost."""
    rng = random.Random(seed)
    source = Source(story(seed, 1_500).rows, before=rng.randint(0, 300))
    last_seq = len(source.rows)
    filters = [
        filter_of(),
        filter_of(),
        filter_of(["market0"]),
        filter_of(kinds=["award", "round", "watermark"]),
        filter_of(kinds=["watermark", "bid"], bidder_id="agent0"),
    ]
    thread = source.bring_all(seed, lambda: threading.Event().wait(rng.choice((0, 0, 0.002))))

    async def client(wanted: Filter, rng: random.Random) -> tuple[ClientStream, int]:
        mine, drops = ClientStream(), 0
        while mine.last_id is None or mine.last_id < last_seq:
            # The first time from the very beginning, which only the journal has.
            after_seq = sse.after_seq_of(mine.connect()) or 0
            if after_seq > source.feed.seq:
                await asyncio.sleep(0.001)
                continue
            subscription = await source.feed.subscribe(wanted, after_seq)
            drops += 1
            left = rng.choice((rng.randint(0, 3_000), rng.randint(0, 30_000), 10**9))
            async for piece in sse.stream(subscription, 0.02):
                mine.hear(piece[:left])
                left -= len(piece)
                if left <= 0 or (mine.last_id or 0) >= last_seq:
                    break
                await asyncio.sleep(rng.choice((0, 0, 0.001)))
            subscription.close()
            if rng.random() < 0.2:
                await asyncio.sleep(rng.uniform(0, 0.02))
        return mine, drops

    heard = await asyncio.gather(*(client(one, random.Random(rng.random())) for one in filters))
    thread.join()
    for wanted, (mine, _) in zip(filters, heard, strict=True):
        assert mine.kept == source.said(wanted), wanted
    return sum(drops - 1 for _, drops in heard)


@awaited
async def test_a_slow_reader_is_cut_off_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUEUE_MESSAGES_MAX", 50)
    monkeypatch.setattr(limits, "SLICE_ROWS", 20)
    source = Source(bids(400))
    slow, quick = await source.feed.subscribe(), await source.feed.subscribe()
    reader = asyncio.create_task(told(quick, 401))
    first = await slow.next(WAIT_S)
    assert [one.kind for row in first for one in row] == ["watermark"], "it learns at once where it begins"
    source.bring(25)
    handed_out = await told(slow, 5)
    source.bring_all(1)
    await asyncio.wait_for(slow.ended.wait(), WAIT_S)
    assert slow.end is not None
    assert slow.end.reason == SLOW_READER
    assert slow.end.resume_after_seq == handed_out[-1]
    assert await slow.next(1) == [], "its queue is let go of"
    assert len(await reader) == 401
    assert quick.end is None
    # And it is where it was.
    again = await source.feed.subscribe(after_seq=slow.end.resume_after_seq)
    assert handed_out + await told(again, 401 - len(handed_out)) == await reader
    quick.close()
    again.close()


@awaited
async def test_a_queue_is_bounded_by_its_bytes_but_takes_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUEUE_BYTES_MAX", 10)
    source = Source(bids(10))
    with await source.feed.subscribe() as subscription:
        await subscription.next(WAIT_S)
        source.bring(21)
        assert await told(subscription, 1) == [1], "the market; accounts are not said"
        source.bring(1)
        assert await told(subscription, 1) == [22]
        source.bring(1)
        assert await told(subscription, 1) == [23]
        source.bring(2)
        await asyncio.wait_for(subscription.ended.wait(), WAIT_S)
        assert subscription.end is not None
        assert subscription.end.resume_after_seq == 23


@awaited
async def test_messages_that_were_handed_out_take_no_room_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps up is never cut off, however much it has been told in all: by count and by bytes."""
    monkeypatch.setattr(limits, "QUEUE_MESSAGES_MAX", 3)
    monkeypatch.setattr(limits, "QUEUE_BYTES_MAX", 5_000)
    source = Source(bids(200))
    with await source.feed.subscribe() as subscription:
        await subscription.next(WAIT_S)
        source.bring(22)
        assert await told(subscription, 2) == [1, 22]
        for seq in range(23, 220, 2):
            # Two at once, because a row alone is always taken.
            source.bring(2)
            assert await told(subscription, 2) == [seq, seq + 1]


@awaited
async def test_a_queue_is_bounded_by_its_messages_however_few_rows_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a row are taken, or none; and what waits is counted in messages and in bytes, and to nought at the end."""
    source = Source(story(3, 400).rows)
    sizes = [len(FeedRow(row.entry, row.events, 0).messages) for row in source.rows]
    most = max(sizes) + 3
    assert most > 6, "no row has several messages"
    monkeypatch.setattr(limits, "QUEUE_MESSAGES_MAX", most)
    slow, quick = await source.feed.subscribe(), await source.feed.subscribe()
    for one in (slow, quick):
        await one.next(WAIT_S)
    waiting = 0
    for seq, size in enumerate(sizes, 1):
        source.bring(1)
        while source.feed._hub_here().dispatched_seq < seq:  # noqa: ASYNC110 -- it is what is waited for
            await asyncio.sleep(0)
        waiting += size
        assert (slow.end is None) == (waiting <= most), "it ends with the first row that has no room"
        if size:
            assert await told(quick, size) == [seq] * size
        assert (quick._messages, quick._bytes, len(quick._queue)) == (0, 0, 0)
    assert slow.end is not None
    assert slow.end.reason == SLOW_READER
    quick.close()


@awaited
async def test_thousands_hear_the_same_and_one_more_is_refused() -> None:
    source = Source(bids(20))
    subscriptions = [await source.feed.subscribe() for _ in range(limits.SUBSCRIBERS_MAX)]
    with pytest.raises(Unavailable, match="the most") as caught:
        await source.feed.subscribe()
    assert caught.value.retry_after_s
    readers = [asyncio.create_task(told(one, 21)) for one in subscriptions]
    await asyncio.sleep(0)
    thread = source.bring_all(3)
    heard = await asyncio.gather(*readers)
    thread.join()
    assert all(one == heard[0] for one in heard)
    subscriptions.pop().close()
    subscriptions.append(await source.feed.subscribe())
    for one in subscriptions:
        one.close()
        one.close()
    (await source.feed.subscribe()).close()


@pytest.mark.parametrize("after_seq", [-1, 32, "5", True, 1.0])
@awaited
async def test_a_row_that_is_not_durable_cannot_be_resumed_after(after_seq: Any) -> None:
    source = Source(bids(100), before=20)
    source.bring(11)
    with pytest.raises(Invalid, match=r"after_seq.*0 to 31"):
        await source.feed.subscribe(after_seq=after_seq)


@pytest.mark.usefixtures("small")
@awaited
async def test_a_loop_that_falls_behind_ends_its_streams_and_misses_nothing() -> None:
    """The rows of a whole ring and more come while the loop does something else."""
    source = Source(bids(500))
    client = ClientStream()
    subscription = await source.feed.subscribe(after_seq=0)
    await read(client, await source.feed.subscribe(after_seq=0), 0)
    await subscription.next(WAIT_S)
    with source.feed.awards_of("agent0") as waiter:
        source.bring()
        assert await waiter.wait(0, WAIT_S), "it may have missed one, so it looks"
    await asyncio.wait_for(subscription.ended.wait(), WAIT_S)
    assert subscription.end is not None
    assert subscription.end.reason == BEHIND
    again = await source.feed.subscribe(after_seq=subscription.end.resume_after_seq)
    await read(client, again, len(source.rows))
    assert client.kept == source.said()


@pytest.mark.usefixtures("small")
@awaited
async def test_a_loop_that_fell_behind_goes_on_where_the_ring_buffer_ends() -> None:
    """With somebody who waits for an award all the while, so that the loop never rests and begins anew."""
    source = Source(bids(200))
    with source.feed.awards_of("agent0") as waiter:
        source.bring(150)
        assert await waiter.wait(0, WAIT_S), "it may have missed one, so it looks"
        with await source.feed.subscribe() as subscription:
            source.bring(20)
            assert await told(subscription, 20) == list(range(151, 171))


@pytest.mark.usefixtures("small")
@awaited
async def test_a_journal_that_cannot_be_read_ends_a_stream_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader goes on from there once it can be read again, and has each message once."""
    monkeypatch.setattr(memory, "SCAN_ROWS", 40)
    source = Source(bids(200), before=150)

    def scan(*_: object) -> None:
        raise persistence_errors.Unavailable("the database is away")

    subscription = await source.feed.subscribe(after_seq=0)
    seqs: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(MemoryJournal, "scan", scan)
        while subscription.end is None:
            seqs += [one.seq for row in await subscription.next(WAIT_S) for one in row if one.kind != "watermark"]
        with pytest.raises(Unavailable, match="the database is away"):
            await source.feed.subscribe(after_seq=0)
    assert "the database is away" in subscription.end.reason
    assert not subscription.end.key_ended
    assert subscription.end.resume_after_seq == seqs[-1] == 40
    again = await source.feed.subscribe(after_seq=subscription.end.resume_after_seq)
    source.bring()
    assert seqs + await told(again, 221 - 40) == [1, *range(22, 222)]
    again.close()


@awaited
async def test_the_end_of_a_leader_ends_its_streams_after_the_last_row() -> None:
    source = Source(bids(30))
    clients = [ClientStream() for _ in range(3)]
    readers = [asyncio.create_task(read(client, await source.feed.subscribe(after_seq=0), 10**9)) for client in clients]
    waiter = source.feed.awards_of("agent0")
    waiting = asyncio.create_task(waiter.wait(0, WAIT_S))
    await asyncio.sleep(0.01)
    source.bring()
    source.feed.end("it was handed over")
    source.feed.failed(Fenced("another leads"))
    await asyncio.gather(*readers)
    for client in clients:
        assert client.kept == source.said()
        assert client.end == {"reason": "it was handed over", "resume_after_seq": len(source.rows), "key_ended": False}
    with pytest.raises(Unavailable, match="handed over"):
        await waiting
    with pytest.raises(Unavailable, match="handed over"):
        await source.feed.subscribe()
    with pytest.raises(Unavailable, match="handed over"):
        source.feed.awards_of("agent0")


def test_loops_do_not_disturb_each_other(seed: int) -> None:
    """Two that read, one that was closed with a subscriber in it."""
    source = Source(bids(300))
    asyncio.run(_leave_open(source))
    begun = threading.Barrier(3)
    heard: list[list[Said]] = []

    async def run() -> None:
        client = ClientStream()
        subscription = await source.feed.subscribe(after_seq=0)
        await asyncio.to_thread(begun.wait, WAIT_S)
        await read(client, subscription, len(source.rows))
        heard.append(client.kept)

    loops = [threading.Thread(target=lambda: asyncio.run(run())) for _ in range(2)]
    for loop in loops:
        loop.start()
    begun.wait(WAIT_S)
    source.bring_all(seed).join()
    for loop in loops:
        loop.join(WAIT_S)
    assert heard == [source.said()] * 2


async def _leave_open(source: Source) -> None:
    await source.feed.subscribe()


@awaited
async def test_a_subscriber_to_the_watermark_alone_is_woken_by_it() -> None:
    """However long he would have waited, and again and again."""
    source = Source(bids(60), before=10)
    with await source.feed.subscribe(filter_of(kinds=["watermark"])) as subscription:
        for seq in (30, 50, 70):
            source.bring(seq - source.feed.seq)
            told_seq = 0
            while told_seq < seq:
                ((mark,),) = await subscription.next(WAIT_S * 10)
                told_seq = mark.seq
            assert (mark.kind, told_seq) == ("watermark", seq)


@awaited
async def test_the_watermark_is_sent_at_intervals_under_any_load() -> None:
    source = Source(bids(60), before=10)
    broker, planned = source.feed._hub_here(), list[tuple[float, Callable[[], None]]]()
    broker._loop = SimpleNamespace(call_later=lambda *call: planned.append(call))  # type: ignore[misc,assignment]
    with await source.feed.subscribe() as subscription:
        await subscription.next(WAIT_S)
        for seq in (20, 30, 40, 50, 60, 70):
            source.bring(seq - source.feed.seq)
            while broker.dispatched_seq < seq:  # noqa: ASYNC110 -- it is what is waited for
                await asyncio.sleep(0)
            if seq in (40, 70):
                ((in_s, tell),) = planned
                assert in_s == limits.WATERMARK_EVERY_S
                planned.clear()
                tell()


@awaited
async def test_an_end_is_heard_where_nothing_else_comes() -> None:
    source = Source(bids(30), before=30)
    subscription = await source.feed.subscribe()
    await subscription.next(WAIT_S)
    waiting = asyncio.create_task(source.feed.awards_of("agent0").wait(0, WAIT_S * 10))
    reading = asyncio.create_task(subscription.next(WAIT_S * 10))
    await asyncio.sleep(0.01)
    source.feed.end("it was handed over")
    assert await reading == []
    assert subscription.end is not None
    assert subscription.end.reason == "it was handed over"
    with pytest.raises(Unavailable, match="handed over"):
        await waiting


@awaited
async def test_a_silent_market_is_said_to_be_alive_and_a_filter_gets_the_watermark() -> None:
    source = Source(bids(60))
    pieces = sse.stream(await source.feed.subscribe(filter_of(kinds=["round", "watermark"])), 0.01)
    assert await anext(pieces) == sse.OPENING
    assert b"id: 0\nevent: watermark" in await anext(pieces)
    assert await anext(pieces) == sse.HEARTBEAT
    for seq in (30, len(source.rows)):
        source.bring(seq - source.feed.seq)
        while (piece := await anext(pieces)) == sse.HEARTBEAT:
            pass
        assert piece.startswith(b"id: %d\nevent: watermark" % seq), "no row of it was wanted"
    await pieces.aclose()
    subscribers = await source.feed.subscribe(filter_of(kinds=["round"]))
    assert await subscribers.next(0.05) == []
    subscribers.close()
