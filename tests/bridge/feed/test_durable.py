"""The feed on a real PostgreSQL: nothing that is not durable leaves; kills and takeovers lose and double nothing.

Method: the database is frozen; processes that lead are killed and handed over while clients read their streams over
sockets, break off at random and resume at whoever leads. In the end each client's messages are those of the journal.
"""

import asyncio
import random
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import psycopg
import pytest

from callmarket import AsyncExchange, Exchange, ManualClock, open_exchange
from callmarket.bridge.api.errors import Invalid, Unavailable
from callmarket.bridge.feed import limits
from callmarket.bridge.feed.encoded import FeedRow
from callmarket.persistence.archive.journal import ArchivedJournal
from callmarket.persistence.archive.prune import carry_out, plan
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.snapshot_follower import Follower
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from tests.bridge.feed.test_feed import awaited, read
from tests.support.feed_client import ClientBook, ClientStream, Said
from tests.support.following import projected
from tests.support.own_server import OwnServer
from tests.support.small_market import WAIT_S_MAX, furnish
from tests.support.victim import ROOT


def journaled(url: str, after_seq: int = 0) -> list[Said]:
    """All that there is to say of a journal."""
    with PostgresJournal(url, 0, reader=True) as journal:
        rows = [FeedRow(row.entry, row.events, 0) for row in journal.read(after_seq)]
    return [msgspec.json.decode(encoded.data) for row in rows for encoded in row.messages]


@awaited
async def test_the_book_of_the_exchange_can_be_rebuilt_from_the_stream(
    market: Exchange, database_url: str, clock: ManualClock
) -> None:
    """Over a restart too: the feed begins anew, the stream does not."""
    furnish(market, "a", "b", tokens=100_000)
    exchange, client = AsyncExchange(market), ClientStream()
    reading = asyncio.create_task(read(client, await market.node.feed.subscribe(after_seq=0), 10**9))
    await exchange.offer_slot("m", "s1")
    await asyncio.gather(
        *(exchange.place_bid("m", "ab"[number % 2], f"t{number}", 5 + number) for number in range(300))
    )
    await exchange.clear_round("m")
    market.close()
    await reading
    assert client.end == {"reason": "it was handed over", "resume_after_seq": client.last_id, "key_ended": False}
    with open_exchange(database_url, clock=clock) as again:
        exchange = AsyncExchange(again)
        assert client.last_id == again.durable_seq
        subscription = await again.node.feed.subscribe(after_seq=client.last_id)
        await exchange.offer_slot("m", "s2")
        seq = (await exchange.place_bid("m", "a", "late", 7)).stamp.seq
        await read(client, subscription, seq)
        assert client.kept == journaled(database_url)
        book = ClientBook()
        for said in client.kept:
            book.hear(said)
        theirs = msgspec.to_builtins(await exchange.get_order_book("m"))
        assert book.book("m") == {"bids": list(theirs["bids"]), "asks": list(theirs["asks"])}
        assert [bid["task_id"] for bid in theirs["bids"]] == ["late"]


def test_nothing_leaves_while_the_database_is_frozen(own_server: OwnServer, own_url: str) -> None:
    """The engine goes on, the stream stands still, and then goes on with all of it."""

    async def run(market: Exchange) -> None:
        quick, client = AsyncExchange(market.acknowledging("applied")), ClientStream()
        reading = asyncio.create_task(read(client, await market.node.feed.subscribe(after_seq=0), 50))
        waiter = market.node.feed.awards_of("a")
        while not client.kept:  # noqa: ASYNC110 -- it is the client that must hear it, not an event of ours
            await asyncio.sleep(0.01)
        with own_server.frozen():
            await quick.offer_slot("m", "s")
            while (
                seq := (await quick.place_bid("m", "a", f"t{market.read(lambda state: state.seq)}", 5)).stamp.seq
            ) < 49:
                pass
            assert (await quick.clear_round("m")).stamp.seq == 50
            assert not await waiter.wait(0, 0.3)
            assert client.said("bid.placed", "slot.offered", "round") == []
            assert client.last_id is not None
            assert client.last_id <= market.durable_seq < seq
        await asyncio.wait_for(reading, WAIT_S_MAX)
        assert await waiter.wait(0, WAIT_S_MAX)
        assert client.kept == journaled(own_url)
        assert len(client.said("round")) == 1

    with open_exchange(own_url) as market:
        furnish(market, "a")
        asyncio.run(asyncio.wait_for(run(market), WAIT_S_MAX))


def test_a_stream_cannot_begin_before_a_cut(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says from where it can be had, at the beginning and for who was caught up with by the cut."""
    monkeypatch.setattr(limits, "RECENT_ROWS_MAX", 3)
    with open_exchange(database_url) as market:
        furnish(market, *(f"a{number}" for number in range(30)))
        with PostgresJournal(database_url, 0, reader=True) as journal, PostgresSnapshots(database_url, 0) as snapshots:
            Follower(journal, snapshots, 3).take()
        for number in range(10):
            market.place_bid("m", "a1", f"t{number}", 5)
        with (
            ArchivedJournal(PostgresJournal(database_url, 0, reader=True), tmp_path, 0) as archived,
            PostgresSnapshots(database_url, 0) as snapshots,
        ):
            projected(database_url)
            carry_out(database_url, archived, snapshots, plan(archived, snapshots, 0, 0), tmp_path, lambda _: None)
        with psycopg.connect(database_url) as connection:
            (first_seq,) = connection.execute("SELECT min(seq) FROM journal").fetchone() or (0,)
        assert first_seq > 2

        async def run() -> None:
            with pytest.raises(Invalid, match=f"after_seq: expected at least {first_seq - 1}"):
                await market.node.feed.subscribe(after_seq=first_seq - 2)
            client = ClientStream()
            await read(client, await market.node.feed.subscribe(after_seq=first_seq - 1), market.durable_seq)
            assert client.kept == journaled(database_url, first_seq - 1)

        asyncio.run(run())


def test_a_standby_refers_to_the_leader(market: Exchange, database_url: str) -> None:
    with open_exchange(database_url, standby=True) as standby, pytest.raises(Unavailable, match="stands by"):
        _ = standby.node.feed


# --- processes -----------------------------------------------------------------------------------------------------


class Served:
    """A process that leads, or will, and the port of its stream once it does."""

    def __init__(self, url: str, seed: int, *role: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.feed_process", url, str(seed), *role],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait_for(self, word: str) -> list[str]:
        """Its next line must begin with this word; what follows it."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline().split()
        assert said[:1] == [word], said
        return said[1:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S_MAX)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


async def stream_of(client: ClientStream, where: dict[str, int], over: asyncio.Event, rng: random.Random) -> int:
    """Read from whoever leads, break off now and then, and resume, until all is over; how often that was."""
    connections = 0
    while not (over.is_set() and (client.last_id or 0) >= where["last_seq"]):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", where["port"])
        except OSError:
            await asyncio.sleep(0.05)
            continue
        connections += 1
        writer.write((client.connect() or "0").encode() + b"\n")
        left = rng.choice((rng.randint(1, 200_000), 10**9))
        try:
            while left > 0 and (piece := await reader.read(rng.choice((1_000, 65_536)))):
                client.hear(piece[:left])
                left -= len(piece)
                if over.is_set() and (client.last_id or 0) >= where["last_seq"]:
                    break
        except OSError:
            pass
        writer.close()
        await asyncio.sleep(0.01)
    return connections


def test_kills_and_takeovers_lose_and_double_nothing(database_url: str, seed: int) -> None:
    """Three clients over three leaders: one killed, one handed over, one that goes on."""
    rng, where, over = random.Random(seed), {"port": 0, "last_seq": 2**60}, asyncio.Event()
    clients, connections = [ClientStream() for _ in range(3)], []
    leader = Served(database_url, 1)
    living = [leader]

    async def read_all() -> None:
        readers = [stream_of(client, where, over, random.Random(rng.random())) for client in clients]
        connections.extend(await asyncio.gather(*readers))

    def until_heard(more: int) -> None:
        before = [len(client.kept) for client in clients]
        pause = threading.Event()
        for _ in range(int(WAIT_S_MAX / 0.05)):
            if all(len(client.kept) > at + more for client, at in zip(clients, before, strict=True)):
                return
            pause.wait(0.05)
        raise AssertionError([len(client.kept) for client in clients])

    reading = threading.Thread(target=lambda: asyncio.run(read_all()))
    try:
        where["port"] = int(leader.wait_for("ready")[0])
        reading.start()
        for how in ("killed", "handed over"):
            successor = Served(database_url, len(living) + 1, "standby")
            living.append(successor)
            successor.wait_for("standing")
            until_heard(300)
            if how == "killed":
                leader.process.kill()
            else:
                command = [sys.executable, "-m", "callmarket", "handover", "--url", database_url]
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=WAIT_S_MAX)
            where["port"] = int(successor.wait_for("ready")[0])
            leader = successor
        until_heard(300)
        with psycopg.connect(database_url) as connection:
            (where["last_seq"],) = connection.execute("SELECT max(seq) FROM journal").fetchone() or (0,)
        over.set()
        reading.join(WAIT_S_MAX)
        assert not reading.is_alive()
    finally:
        over.set()
        where["last_seq"] = 0
        for one in living:
            one.kill()
    there = journaled(database_url)
    for client in clients:
        assert client.last_id is not None
        assert client.kept == [said for said in there if said["seq"] <= client.last_id]
        assert client.last_id > 900
    assert sum(connections) >= 9, connections
