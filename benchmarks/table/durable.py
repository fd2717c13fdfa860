"""All of the market, on a PostgreSQL.

Rule of this file: through the exchange, as a program that uses it in its own process. A step is over when its journal
row is committed; what the tables have to follow is waited for between the clocks.
"""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import psycopg

from benchmarks import workload
from benchmarks.table.commands import Slots, placing
from benchmarks.table.peer import Bid, Call, Called, Sizes, Step
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.operations.rounds import Round
from callmarket.bridge.market.app import open_exchange
from callmarket.engine.commands import ADMIN, OPERATOR, CancelBid

CHUNK: Final = 1_000
# So many are let rest before the tables have to have them: they are bounded in how far they may be behind.
FILL: Final = 20_000


class Durable:
    """An `Exchange`."""

    def __init__(self, where: str) -> None:
        self._url: Final = where
        self._market: Final = open_exchange(where)
        self._slots = Slots()
        fast = self._market.acknowledging("applied")
        fast.open_market(workload.MARKET)
        for number in range(workload.BIDDERS):
            fast.open_account(f"agent-{number}")
            fast.mint(f"agent-{number}", 10**12, "grant:initial")
        self._wait()
        self._bytes_before: Final = database_bytes(where)

    def fill(self, bids: Iterable[Bid]) -> None:
        """In batches, by and by, so that the tables keep up."""
        waiting = iter(bids)
        while some := [self._request(bid) for bid in islice(waiting, FILL)]:
            self._submit(some)
            self._wait()

    def place(self, bid: Bid) -> Step:
        """One request, one commit."""
        request = self._request(bid)
        return lambda: accepted([self._market.submit_one(request)])

    def place_all(self, bids: Sequence[Bid]) -> Step:
        """One batch, one commit."""
        requests = [self._request(bid) for bid in bids]
        return lambda: accepted(self._market.submit(requests))

    def cancel(self, number: int) -> Step:
        """One request, one commit."""
        request = Request(ADMIN, CancelBid(number + 1))
        return lambda: accepted([self._market.submit_one(request)])

    def call(self, k: int) -> Call:
        """`clear_round`, of as many slots as are on offer by then."""
        self._submit([Request(OPERATOR, command) for command in self._slots.offers(k)])
        self._wait()
        return Call(lambda: self._market.clear_round(workload.MARKET), told_by_round)

    def tidy(self) -> None:
        """Settle what was awarded, and wait until the tables have it."""
        self._submit([Request(OPERATOR, command) for command in self._slots.settlements()])
        self._wait()

    def resting(self) -> int:
        """Open bids of the tables: they are behind nothing."""
        with psycopg.connect(self._url) as connection:
            rows = connection.execute("SELECT count(*) FROM compute_auction_bids WHERE status = 'open'").fetchone()
        assert rows is not None
        assert rows[0] == self._market.read(lambda state: len(state.bids)), rows
        return int(rows[0])

    def sizes(self) -> Sizes:
        """Journal and tables on the disk."""
        return Sizes(here=True, disk_bytes=database_bytes(self._url) - self._bytes_before)

    def close(self) -> None:
        """Durably."""
        self._market.close()

    def _wait(self) -> None:
        self._market.acknowledging("projected").mint("agent-0", 1, "grant:initial")

    def _submit(self, requests: Sequence[Request]) -> None:
        for start in range(0, len(requests), CHUNK):
            accepted(self._market.submit(requests[start : start + CHUNK], "applied"))

    def _request(self, bid: Bid) -> Request:
        # A day from now: longer than any of this takes.
        command = placing(bid, time.time_ns() // 1_000 + 24 * workload.TTL_US)
        return Request(command.bidder_id, command)


def told_by_round(cleared: Round) -> Called:
    """The same from what `clear_round` returns, which must be durable."""
    assert cleared.stamp.durable
    assert cleared.clearing_price_tokens is not None
    return Called(tuple(award.bid_id - 1 for award in cleared.awards), cleared.clearing_price_tokens)


def database_bytes(url: str) -> int:
    """What a database takes up on the disk."""
    with psycopg.connect(url, autocommit=True) as connection:
        row: Any = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0])
