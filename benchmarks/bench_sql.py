"""The market beside the SQL that it replaces, on one PostgreSQL, by turns in one run.

    python3 dev.py bench-parts benchmarks/bench_sql.py -s

Rule of this file: the SQL way is the strong one of `sql_way`. A ratio is SQL / ours: above 1 ours is faster. Beside
both stands the INSERT of our journal row alone. All is drawn before the clock runs; medians.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Final

import psycopg
import pytest
from psycopg.types.numeric import Int4, Int8
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from benchmarks.sql_way import SqlBid, SqlWay
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.messages import Ack, Request
from callmarket.bridge.market.app import open_exchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.persistence.database.connections import connect
from callmarket.persistence.embedded import EmbeddedServer, ensure_database
from callmarket.persistence.journal.postgres import read_chunk, read_position

RESTING: Final = 100_000
SINGLES: Final = 500
BATCH: Final = 500
BURST: Final = 100_000
CALLS: Final = {5: 25, 100: 15, 1_000: 7}

BARE: Final = """
INSERT INTO journal (shard_id, seq, epoch, at_us, actor, command_id, rules, command, events, digest)
VALUES (%b, %b, %b, %b, %b, %b, %b, %b::text::json, %b::text::json, %b)
"""


def sql_bids() -> Iterator[SqlBid]:
    """Bids without end, as the market's own are drawn."""
    draw = random.Random(workload.SEED)
    for number in count():
        price_tokens = draw.randint(workload.PRICE_MIN_TOKENS, workload.PRICE_MAX_TOKENS)
        yield SqlBid(f"agent-{draw.randrange(workload.BIDDERS)}", f"task-{number}", price_tokens)


class Ours:
    """The market, with as many bids that rest, and more to come."""

    def __init__(self, market: Exchange) -> None:
        """Let so many bids rest, and the tables follow."""
        self.market: Final = market
        self._fast: Final = market.acknowledging("applied")
        self._slots = 0
        market.open_market(workload.MARKET)
        for number in range(workload.BIDDERS):
            self._fast.open_account(f"agent-{number}")
            self._fast.mint(f"agent-{number}", 10**12, "grant:initial")
        at_us = time.time_ns() // 1_000
        entries = workload.place_bids(1, RESTING + SINGLES + 3 * BURST)
        self._requests: Final = (Request(one.actor, workload.later(one.command, at_us)) for one in entries)
        self.submit(self.some(RESTING), "projected")

    def some(self, count: int) -> list[Request]:
        """The next bids."""
        return [next(self._requests) for _ in range(count)]

    def submit(self, requests: Sequence[Request], last: Ack) -> None:
        """Place them in batches; wait for the last one as `last` says."""
        for start in range(0, len(requests), BATCH):
            is_last = start + BATCH >= len(requests)
            accepted(self.market.node.submit(requests[start : start + BATCH], last if is_last else "applied"))

    def follow(self) -> None:
        """Return when the tables have all, so that nothing of ours is at work any more."""
        self.market.acknowledging("projected").mint("agent-0", 1, "grant:initial")

    def by_turns(self, ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
        """How long both take, one after the other; theirs is not beside our tables."""
        our_s = timed_s(ours)
        self.follow()
        return our_s, timed_s(theirs)

    def clear(self, k: int) -> Callable[[], object]:
        """What calls, with as many slots on sale; nothing waits by then."""
        for _ in range(k):
            self._slots += 1
            self._fast.offer_slot(workload.MARKET, f"slot-{self._slots}")
        self.follow()

        def call() -> None:
            assert len(self.market.clear_round(workload.MARKET).awards) == k

        return call


def timed_s(call: Callable[[], object]) -> float:
    """How long it takes."""
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def bare_inserts(url: str) -> Iterator[Callable[[], object]]:
    """What writes the last rows of our journal once more, one by one, into another shard."""
    with connect(url, "bench", read_only=True) as reader:
        rows = read_chunk(reader, 0, read_position(reader, 0).last_seq - SINGLES, SINGLES)
    connection = psycopg.connect(url, autocommit=True)
    for row in rows:
        values = (
            Int4(7), Int8(row.seq), Int8(1), Int8(row.at_us), row.actor, row.command_id, Int4(row.rules),
            row.command_json.decode(), row.events_json.decode(), row.digest,
        )  # fmt: skip
        yield lambda values=values: connection.execute(BARE, values, prepare=True)  # type: ignore[misc]
    connection.close()


def told(name: str, ours_s: Sequence[float], sql_s: Sequence[float], aim: str) -> dict[str, object]:
    """Medians and their ratio, printed as they are known."""
    ours_us, sql_us = (round(statistics.median(one) * 1e6, 1) for one in (ours_s, sql_s))
    ratio = round(sql_us / ours_us, 2)
    sys.stdout.write(f"{name:52} ours {ours_us:>12,.1f} us   SQL {sql_us:>12,.1f} us   ratio {ratio:>5} (aim {aim})\n")
    return {name: f"{ours_us} us, SQL {sql_us} us, ratio {ratio}"}


@pytest.mark.benchmark(group="beside the SQL way")
def bench_beside_sql(benchmark: BenchmarkFixture, server: EmbeddedServer) -> None:
    """All of the table in benchmarks/README.md."""
    for name in ("sql_way", "ours"):
        ensure_database(server.url("postgres"), name)
    figures: dict[str, object] = {}
    with open_exchange(server.url("ours")) as market:
        bids = sql_bids()
        sql, ours = SqlWay(server.url("sql_way"), islice(bids, RESTING)), Ours(market)
        figures |= _singles(sql, bids, ours)
        figures |= _bare(server.url("ours"), ours)
        for k, calls in CALLS.items():
            pairs = [ours.by_turns(ours.clear(k), sql.call(k)) for _ in range(calls)]
            aim = {5: "2", 100: "3", 1_000: "5"}[k]
            figures |= told(f"durable call, k = {k}", *zip(*pairs, strict=True), aim)
        figures |= _batches(sql, bids, ours)
        sql.connection.close()
    benchmark.extra_info.update(figures)
    benchmark.pedantic(lambda: None, rounds=1)


def _singles(sql: SqlWay, bids: Iterator[SqlBid], ours: Ours) -> dict[str, object]:
    pairs = []
    for request in ours.some(SINGLES):
        place = sql.place(next(bids))
        pairs.append(ours.by_turns(lambda request=request: ours.market.submit_one(request), place))  # type: ignore[misc]
    return told("one durable bid at a time", *zip(*pairs, strict=True), "1")


def _bare(url: str, ours: Ours) -> dict[str, object]:
    pairs = []
    for request, insert in zip(ours.some(SINGLES), bare_inserts(url), strict=True):
        pairs.append(ours.by_turns(lambda request=request: ours.market.submit_one(request), insert))  # type: ignore[misc]
    return told("one durable bid, and the INSERT of its row alone", *zip(*pairs, strict=True), "0.77")


def _batches(sql: SqlWay, bids: Iterator[SqlBid], ours: Ours) -> dict[str, object]:
    """A row's share of each; the SQL way has nothing that follows."""
    figures: dict[str, object] = {}
    acks: list[tuple[Ack, str]] = [("durable", "4"), ("projected", "2")]
    for ack, aim in acks:
        requests = ours.some(BURST)
        our_s = timed_s(lambda requests=requests, ack=ack: ours.submit(requests, ack))  # type: ignore[misc]
        ours.follow()
        sql_s = [timed_s(sql.place_all(list(islice(bids, BATCH)))) for _ in range(BURST // 10 // BATCH)]
        name = f"a bid of {BURST:,} in batches of {BATCH}, {ack}"
        figures |= told(name, [our_s / BURST], [one / BATCH for one in sql_s], aim)
    return figures
