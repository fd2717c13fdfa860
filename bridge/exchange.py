"""The exchange in this process: the verbs of the market as calls that return when their effect is durable.

Rule of this file: it only joins. What a verb asks is in `verbs`, what it returns in `results` and `reads`, the order of
things in `sequencer`, durability in `persistence`.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from bridge import history, reads, results, units, verbs
from bridge.errors import Invalid, Refused, Unavailable, UnknownOutcome
from bridge.messages import Ack, Reply, Request, check_ack
from bridge.node import Node, Role
from bridge.reads import OrderBook, Wallet
from bridge.results import PlacedBid, Round, Swept
from bridge.verb import Verb, as_actor
from engine.limits import SEQ_MAX
from engine.state import State
from persistence import queries
from persistence.migrate import ensure_schema
from persistence.queries import OutcomeRow, RoundRow, Stats
from persistence.recovery import Report
from persistence.time_travel import rounds_at
from persistence.verify import VerifyReport, verify

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

# A sweep ends 500 things, so this is more than a market can hold: reaching it is a bug.
SWEEPS_MAX: Final = 10_000


class Exchange:
    """A running market, for threads. Open one with `open_exchange`; use it as a context manager.

    Every verb acts as who would usually do it (the bidder bids, the operator clears); `acting_as` fixes the actor.
    Verbs raise `Refused`, `Invalid`, `Unavailable` or `UnknownOutcome`.
    """

    open_account = Verb(verbs.open_account, results.stamp)
    mint = Verb(verbs.mint, results.posted)
    burn = Verb(verbs.burn, results.posted)
    transfer = Verb(verbs.transfer, results.posted)
    open_market = Verb(verbs.open_market, results.stamp)
    offer_slot = Verb(verbs.offer_slot, results.stamp)
    withdraw_slot = Verb(verbs.withdraw_slot, results.stamp)
    place_bid = Verb(verbs.place_bid, results.placed_bid)
    amend_bid = Verb(verbs.amend_bid, results.amended_bid)
    cancel_bid = Verb(verbs.cancel_bid, results.stamp)
    settle = Verb(verbs.settle, results.settled)
    void = Verb(verbs.void, results.voided)

    def __init__(self, node: Node, *, actor: str | None = None, ack: Ack = "durable") -> None:
        self.node = node
        self.actor = actor
        self.ack: Ack = ack

    def __enter__(self) -> Self:
        """The exchange itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, durably. An error that is under way is not replaced by one of closing: it may say `UnknownOutcome`."""
        try:
            self.close()
        except Unavailable:
            if error is None:
                raise
            logger.exception("closing the exchange failed too")

    def acting_as(self, actor: str) -> "Exchange":
        """The same exchange, with every verb done by this actor."""
        verbs.check_actor(actor)
        return Exchange(self.node, actor=actor, ack=self.ack)

    def acknowledging(self, ack: Ack) -> "Exchange":
        """The same exchange, replying when `durable` (the default) or as soon as `applied`."""
        check_ack(ack)
        return Exchange(self.node, actor=self.actor, ack=ack)

    def clear_round(self, market_id: str, now: datetime | None = None, *, command_id: str = "") -> Round:
        """Call a market; then release all losers, in bounded sweeps that let others in between (BID-4)."""
        cleared = results.cleared_round(self.submit_one(verbs.clear_round(market_id, now, command_id=command_id)))
        if cleared.losers_remaining:
            try:
                self.refund_unfilled(now)
            except (Unavailable, UnknownOutcome):
                # The round stands and was acknowledged; its last losers are released by the next sweep.
                logger.warning("losers of round %d of %s wait for a sweep", cleared.round_no, market_id, exc_info=True)
        return cleared

    def refund_unfilled(self, now: datetime | None = None) -> Swept:
        """Sweep all that is due: bids past their deadline, awards past their lease, losers (SET-6)."""
        swept = results.swept(self.submit_one(verbs.refund_unfilled(now)))
        for _ in range(SWEEPS_MAX):
            if not swept.more_due:
                return swept
            swept = results.swept_together(swept, results.swept(self.submit_one(verbs.refund_unfilled(now))))
        raise AssertionError("sweeps do not come to an end")

    def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`verbs.place_bid` makes each); one durable wait for all, one outcome for each."""
        verbs.check_bids(requests)
        replies = self.submit([as_actor(request, self.actor) for request in requests])
        return [results.placed_or_refused(reply) for reply in replies]

    def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """The raw way: requests in the engine's own terms. Refusals are `Rejected` events, not exceptions."""
        for request in requests:
            verbs.check(request)
        return self.node.submit(requests, ack or self.ack)

    def submit_one(self, request: Request) -> Reply:
        """One request of a verb, as this exchange's actor."""
        return self.node.submit([as_actor(request, self.actor)], self.ack)[0]

    def wallet(self, account_id: str, *, as_of_seq: int | None = None, archive: Path | None = None) -> Wallet:
        """A wallet, live, or as it was after row `as_of_seq` of the journal, which costs a recovery up to there.

        `archive` is the folder of rows that have left the journal; without it a row among them raises `Archived`.
        """
        return self._read(reads.wallet(account_id), as_of_seq, archive)

    def get_order_book(
        self, market_id: str, rows_max: int = 100, *, as_of_seq: int | None = None, archive: Path | None = None
    ) -> OrderBook:
        """The best bids and first asks of a market, live, or as they were after a row, as in `wallet`."""
        return self._read(reads.order_book(market_id, rows_max), as_of_seq, archive)

    def get_rounds(
        self,
        market_id: str | None = None,
        rows_max: int = 100,
        *,
        as_of_seq: int | None = None,
        archive: Path | None = None,
    ) -> list[RoundRow]:
        """The latest rounds that are durable, or as of a row as in `wallet`; of all markets where none is named."""
        reads.check_rows(rows_max)
        if as_of_seq is not None:
            with history.past(self.node, as_of_seq, archive) as (connection, state):
                return rounds_at(connection, self.node.shard_id, state, market_id, rows_max)
        with self.node.connect() as connection:
            return queries.rounds(connection, self.node.shard_id, market_id, rows_max)

    def get_recent_stats(self, market_id: str, period: timedelta = timedelta(hours=24)) -> Stats:
        """Prices, fill rate and the ten best winning bids beside their impact, from what is durable."""
        # Nothing happened before 1970, and dates end in the year 1.
        now_us = units.at_us("now", self.node.now())
        period = timedelta(microseconds=min(units.duration_us("period", period), now_us))
        with self.node.connect() as connection:
            return queries.stats(connection, self.node.shard_id, market_id, self.node.now(), period)

    def why(self, bid_id: int) -> OutcomeRow | None:
        """Why a bid won or lost, in words, from what is durable; None if there is no such bid."""
        if type(bid_id) is not int or not 0 < bid_id <= SEQ_MAX:
            raise Invalid("bid_id", bid_id, f"a whole number from 1 to {SEQ_MAX}")
        with self.node.connect() as connection:
            return queries.outcome(connection, self.node.shard_id, bid_id)

    def ensure_schema(self) -> None:
        """Bring the tables up to date. Opening an exchange has done so already; to call it again changes nothing."""
        with self.node.connect() as connection:
            ensure_schema(connection)

    def verify(self, archive: Path | None = None) -> VerifyReport:
        """Prove the durable history: chain, gaps, re-execution, tables. O(history), as of one moment.

        Raises `Archived` if rows have left the journal and their folder is not named.
        """
        return verify(self.node.url, self.node.shard_id, archive)

    @property
    def role(self) -> Role:
        """Whether this process leads the market, stands by, or has `ended`: then it is to be closed and opened anew."""
        return self.node.role

    def wait_until_leading(self, timeout_s: float | None = None) -> bool:
        """Wait, for so long or for ever, until this process leads, and return whether it does.

        Raises `Unavailable` if it never will, because what it follows cannot be followed.
        """
        return self.node.wait_until_leading(timeout_s)

    def wait_until_over(self, timeout_s: float | None = None) -> str:
        """Wait, for so long or for ever, until this process leads no longer: why not, or empty if it still does."""
        return self.node.wait_until_over(timeout_s)

    @property
    def recovery(self) -> Report:
        """What it took to lead."""
        return self.node.recovery

    @property
    def durable_seq(self) -> int:
        """Everything up to here is in the journal."""
        return self.node.durable_seq

    def read(self, query: Callable[[State], T]) -> T:
        """The answer of a read-only query on the live state, at one moment. It must be short and copy what it gives."""
        return self.node.read(query)

    def _read(self, query: Callable[[State], T], as_of_seq: int | None, archive: Path | None) -> T:
        if as_of_seq is None:
            return self.node.read(query)
        return history.read_then(self.node, query, as_of_seq, archive)

    def image(self) -> bytes:
        """The whole live state as canonical bytes, for comparing and for tests. O(state), under the lock."""
        return self.node.read(State.encode)

    def close(self) -> None:
        """Write what is queued and stop. Again: nothing."""
        self.node.close()
