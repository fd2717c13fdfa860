"""The exchange in this process: the verbs of the market as calls that return when their effect is durable.

Rule of this file: it only joins. What a verb asks is in `verbs`, what it returns in `results`, what takes several
requests in `conversations`, what is read in `reads` and `questions`, the order of things in `sequencer`, durability in
`persistence`. `market_api` has the signatures that every way to a market shares.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from callmarket.bridge.api import conversations, figures, hold_questions, questions, reads, results, verbs
from callmarket.bridge.api.conversations import hold
from callmarket.bridge.api.errors import Invalid, Refused, Unavailable
from callmarket.bridge.api.messages import Ack, Reply, Request, check_ack
from callmarket.bridge.api.pages import Order
from callmarket.bridge.api.quest_budgets import get_quest_budgets
from callmarket.bridge.api.questions import Durable
from callmarket.bridge.api.read import Read
from callmarket.bridge.api.reads import Live, OrderBook, Wallet
from callmarket.bridge.api.results import Page, PlacedBid, Round, Swept
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.api.verb import Verb, as_actor
from callmarket.bridge.api.vitals import Role
from callmarket.bridge.market import history
from callmarket.bridge.market.artifact_methods import Allocating
from callmarket.bridge.market.node import Node
from callmarket.engine.state import State
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.queries import RoundRow
from callmarket.persistence.recovery import Report
from callmarket.persistence.time_travel import rounds_at
from callmarket.persistence.verify import VerifyReport, verify

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")


class Exchange(Allocating):
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
    place_hold = Verb(verbs.place_hold, results.placed_hold)
    capture_hold = Verb(verbs.capture_hold, results.captured_hold)
    release_hold = Verb(verbs.release_hold, results.released_hold)

    quote = Read(reads.quote)
    markets = Read(reads.markets)
    market = Read(reads.market)
    slots = Read(questions.slots)
    bid = Read(questions.bid)
    bids = Read(questions.bids)
    awards = Read(questions.awards)
    wallets = Read(questions.wallets)
    statement = Read(questions.statement)
    earnings = Read(questions.earnings)
    hold = Read(hold_questions.hold)
    holds = Read(hold_questions.holds)
    get_recent_stats = Read(figures.get_recent_stats)
    get_candles = Read(figures.get_candles)
    get_quest_budgets = Read(get_quest_budgets)
    why = Read(questions.why)

    def __init__(self, node: Node, *, actor: str | None = None, ack: Ack = "durable", seen: Seen | None = None) -> None:
        self.node = node
        self.actor = actor
        self.ack: Ack = ack
        # Shared by all that are made from one: what one of them was told, none of them asks in vain.
        self.seen: Final = seen or Seen()

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
        return Exchange(self.node, actor=actor, ack=self.ack, seen=self.seen)

    def acknowledging(self, ack: Ack) -> "Exchange":
        """The same exchange, replying when `durable` (the default), as soon as `applied`, or when `projected`."""
        check_ack(ack)
        return Exchange(self.node, actor=self.actor, ack=ack, seen=self.seen)

    def clear_round(self, market_id: str, now: datetime | None = None, *, command_id: str = "") -> Round:
        """Call a market; then release all losers, in bounded sweeps that let others in between (BID-4)."""
        return hold(conversations.clear_round(market_id, now, command_id), self._submit_as_actor)

    def refund_unfilled(self, now: datetime | None = None, *, command_id: str = "") -> Swept:
        """Sweep all that is due: losers, awards past their lease, bids and named holds past their deadline (SET-6)."""
        return hold(conversations.refund_unfilled(now, command_id), self._submit_as_actor)

    def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`verbs.place_bid` makes each), 1,000 at most; one outcome for each, one wait.

        They are applied together, with nothing of others between them, so more are several calls and never split here.
        """
        return hold(conversations.place_bids(requests), self._submit_as_actor)

    def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """The raw way: 1,000 requests at most in the engine's own terms. Refusals are `Rejected` events, not raised.

        Of a slot whose provider is `~`, as the verbs write it where none is named, the actor's own is meant.
        """
        verbs.check_all(requests)
        named = [as_actor(request, None) for request in requests]
        return self._noted(self.node.submit(named, ack or self.ack))

    def submit_one(self, request: Request) -> Reply:
        """One request, as this exchange's actor: the raw way too."""
        verbs.check(request)
        return self.submit_checked(request)

    def submit_checked(self, request: Request) -> Reply:
        """See `Submitting`. For verbs alone: what is wrong with a request is not looked for again."""
        return self._submit_as_actor([request])[0]

    def ask(self, question: Live[T] | Durable[T]) -> T:
        """The answer of one question of `reads` or `questions`."""
        return self.node.ask(question, self.seen)

    def wallet(self, account_id: str, *, as_of_seq: int | None = None, archive: Path | None = None) -> Wallet:
        """A wallet, live, or as it was after row `as_of_seq` of the journal, which costs a recovery up to there.

        Raises `NotFound` if there is no such account. `archive` is the folder of rows that have left the journal;
        without it a row among them raises `Archived`.
        """
        return self._ask_then(reads.wallet(account_id), as_of_seq, archive)

    def get_order_book(
        self,
        market_id: str,
        limit: int = 100,
        depth: int = 20,
        *,
        as_of_seq: int | None = None,
        archive: Path | None = None,
    ) -> OrderBook:
        """The best bids, prices and first asks of a market, live, or as they were after a row, as in `wallet`."""
        return self._ask_then(reads.get_order_book(market_id, limit, depth), as_of_seq, archive)

    def get_rounds(
        self,
        market_id: str | None = None,
        limit: int = 100,
        *,
        since: datetime | None = None,
        after: str | None = None,
        order: Order = "newest",
        as_of_seq: int | None = None,
        archive: Path | None = None,
    ) -> Page[RoundRow]:
        """The calls of a market, or of all, that are durable, page after page; with `since`, those then or later.

        Of the past, as in `wallet`, it gives the latest `limit` and no more.
        """
        question = questions.get_rounds(market_id, limit, since=since, after=after, order=order)
        if as_of_seq is None:
            return self.ask(question)
        if since is not None or after is not None or order != "newest":
            raise Invalid("as_of_seq", as_of_seq, "no since, after or order with it: the past gives its latest rounds")
        with history.past(self.node, as_of_seq, archive) as (connection, state):
            rounds = rounds_at(connection, self.node.shard_id, state, market_id, limit)
            return Page(tuple(rounds), None, state.seq, state.seq)

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

    def _submit_as_actor(self, requests: Sequence[Request]) -> list[Reply]:
        return self._noted(self.node.submit([as_actor(request, self.actor) for request in requests], self.ack))

    def _noted(self, replies: list[Reply]) -> list[Reply]:
        self.seen.note_all(replies)
        return replies

    def _ask_then(self, question: Live[T], as_of_seq: int | None, archive: Path | None) -> T:
        if as_of_seq is None:
            return self.ask(question)
        return history.ask_then(self.node, question, as_of_seq, archive)

    def image(self) -> bytes:
        """The whole live state as canonical bytes, for comparing and for tests. O(state), under the lock."""
        return self.node.read(State.encode)

    def close(self) -> None:
        """Write what is queued and stop. Again: nothing."""
        self.node.close()


if TYPE_CHECKING:
    from callmarket.bridge.api.artifact_api import AllocatorApi

    def _is_one(exchange: Exchange) -> AllocatorApi:
        """It has all that every way to a market offers."""
        return exchange
