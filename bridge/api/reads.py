"""What the live engine answers without a command: wallets, books, markets, slots, quotes, as of one moment.

Rule of this file: questions to the state, answered under the sequencer's lock: bounded, and they copy what they give.
Each answer says the `seq` that it saw, and up to where everything is durable.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice
from typing import Final, Generic, TypeVar

from msgspec import Struct

from bridge.api import units
from bridge.api.errors import Conflict, Invalid, NotFound
from bridge.api.names import expected_in_words
from bridge.api.results import Page
from bridge.api.units import datetime_of, duration_of
from engine import quote as quotes
from engine.book import Bid, best_first
from engine.codec import ShapeError, check_names
from engine.commands import LapsePolicy, PricingRule, TaskScope
from engine.limits import TOKENS_MAX
from engine.market import Market
from engine.reject import Reject
from engine.state import State

T = TypeVar("T")

# A page of rows that a person or an agent can use; more would hold the sequencer for milliseconds.
ROWS_MAX: Final = 1_000
# As many as most lists have: who wants all rows asks for so many first, because a page weighs what was asked for.
ROWS_FEW: Final = 100
# A quote reads as many bids as there are slots, 10,000 at most, three times over: 40 ms. Bids that are passed over, for
# tasks that others have, come to that, and there may be any number.
QUOTE_BIDS_MAX: Final = 15_000


@dataclass(frozen=True)
class Moment:
    """The state at one moment, the last row that is durable then, and what time it is."""

    state: State
    durable_seq: int
    now_us: int


def weight_of_rows(rows: int) -> int:
    """What it costs to give so many rows of the state, in units of the least question: some 100 us of the processor.

    From measurements with a thousand markets, 100,000 bids and 10,000 slots on offer, rounded up.
    """
    return 1 + rows // 50


@dataclass(frozen=True)
class Live(Generic[T]):
    """A question to the state: its answer at a moment, at once.

    `weight` is what it costs there (see `weight_of_rows`), in O(1); None for a question that costs the least.
    """

    answer: Callable[[Moment], T]
    weight: Callable[[State], int] | None = None


class Wallet(Struct, frozen=True):
    """An account, as the engine has it at `seq`."""

    account_id: str
    kind: str
    balance_tokens: int
    held_tokens: int
    available_tokens: int
    seq: int
    durable_seq: int


class BookBid(Struct, frozen=True):
    """A bid in the book."""

    bid_id: int
    bidder_id: str
    task_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    time_in_force: str


class BookAsk(Struct, frozen=True):
    """A slot on offer."""

    slot_id: str
    available_at: datetime
    reserve_price_tokens: int
    provider_id: str


class BookLevel(Struct, frozen=True):
    """A price with the number of bids at it."""

    price_tokens: int
    bids: int


class OrderBook(Struct, frozen=True):
    """The best bids, prices and asks of a market, as the engine has them at `seq`; the totals count all."""

    market_id: str
    bids: tuple[BookBid, ...]
    asks: tuple[BookAsk, ...]
    levels: tuple[BookLevel, ...]
    bids_total: int
    asks_total: int
    seq: int
    durable_seq: int


class MarketRow(Struct, frozen=True):
    """A market: its rules, which never change, and what is in it. The rounds are counted from 1.

    It pays for impact unless one of the three numbers of its rewards is 0.
    """

    market_id: str
    pricing_rule: PricingRule
    reserve_price_tokens: int
    awards_per_bidder_max: int
    lease: timedelta
    lapse_policy: LapsePolicy
    reward_tokens_per_impact: int
    reward_cap_tokens: int
    task_scope: TaskScope
    reward_account_id: str
    reward_day_cap_tokens: int
    bids_open: int
    slots_offered: int
    slots_awarded: int
    rounds_called: int


class MarketDetail(MarketRow, frozen=True):
    """A market, as the engine has it at `seq`."""

    seq: int
    durable_seq: int


class Refusal(Struct, frozen=True):
    """Why a bid would be refused, in the words of `Refused`."""

    reason: Reject
    field: str
    value: int | str
    bound: int | str


class Quote(Struct, frozen=True):
    """What a bid would get if the market were called at `at`: no promise, since others may come before the call.

    `wins`: it would be accepted, and win. `refusal` is why it would not be accepted; only known for a named bidder.
    `price_tokens` is what it would pay, None unless it wins. `rank` is its place among the eligible bids, None where it
    would be passed over, or is out of reach. `bids_ahead` counts those before it, up to one more than there are slots.
    `replaces_bid_id` is the bidder's open bid for the task: amend that one. The clearing prices are those of the call
    with this bid, and without; a bid whose task others want may pay more (`price_tokens`). `winning_price_tokens` is
    the lowest price that would win now, None where none would.
    """

    market_id: str
    max_price_tokens: int
    at: datetime
    wins: bool
    refusal: Refusal | None
    price_tokens: int | None
    rank: int | None
    bids_ahead: int
    slots_available: int
    replaces_bid_id: int | None
    clearing_price_tokens: int | None
    clearing_price_without_tokens: int | None
    winning_price_tokens: int | None
    seq: int
    durable_seq: int


def wallet(account_id: str) -> Live[Wallet]:
    """A wallet, live. Raises `NotFound` if there is no such account."""

    def answer(moment: Moment) -> Wallet:
        account = _found(moment.state.ledger.accounts, account_id)
        if account is None:
            raise NotFound("account_id", account_id, "an open account")
        return Wallet(
            account_id=account_id,
            kind=account.kind,
            balance_tokens=account.balance_tokens,
            held_tokens=account.held_tokens,
            available_tokens=account.available_tokens,
            seq=moment.state.seq,
            durable_seq=moment.durable_seq,
        )

    return Live(answer)


def get_order_book(market_id: str, limit: int = 100, depth: int = 20) -> Live[OrderBook]:
    """The best bids and first asks of a market, `limit` of each, and its `depth` best prices, live.

    Raises `NotFound` if there is no such market.
    """
    check_limit(limit)
    check_limit(depth, "depth")

    def answer(moment: Moment) -> OrderBook:
        market = _market_of(moment.state, market_id)
        bids = islice(best_first(market.resting, market.round_bids), limit)
        asks = islice(market.offers, limit)
        return OrderBook(
            market_id=market_id,
            bids=tuple(_bid(bid) for bid in bids),
            asks=tuple(
                BookAsk(slot.slot_id, datetime_of(slot.available_at_us), slot.reserve_price_tokens, slot.provider_id)
                for slot in asks
            ),
            levels=tuple(islice(_levels(market), depth)),
            bids_total=market.bids_open,
            asks_total=len(market.offers),
            seq=moment.state.seq,
            durable_seq=moment.durable_seq,
        )

    # The asks are put in order first.
    return Live(answer, lambda state: weight_of_rows(2 * limit + depth + _offers(state, market_id) // 5))


def market(market_id: str) -> Live[MarketDetail]:
    """A market with its rules and what is in it, live. Raises `NotFound` if there is no such market."""

    def answer(moment: Moment) -> MarketDetail:
        return _row(MarketDetail, _market_of(moment.state, market_id), moment.state.seq, moment.durable_seq)

    return Live(answer)


def markets() -> Live[Page[MarketRow]]:
    """All markets by name, live, on one page: there are never more than a thousand."""

    def answer(moment: Moment) -> Page[MarketRow]:
        state = moment.state
        items = tuple(_row(MarketRow, state.markets[market_id]) for market_id in sorted(state.markets))
        return Page(items, None, state.seq, moment.durable_seq)

    return Live(answer, lambda state: weight_of_rows(len(state.markets)))


def quote(
    market_id: str,
    max_price_tokens: int,
    *,
    bidder_id: str | None = None,
    task_id: str | None = None,
    at: datetime | None = None,
) -> Live[Quote]:
    """Whether a bid of this price would win, were the market called now, or at `at`, and at what price.

    With `bidder_id` its tokens, its cap of awards and its open bids count; with `task_id` whether the task is free.
    Raises `NotFound` if there is no such market or account, and `Conflict` where a call would have to pass over so many
    bids that only the call itself is worth it. Costs what two calls of the market cost.
    """
    if type(max_price_tokens) is not int or not 0 < max_price_tokens <= TOKENS_MAX:
        raise Invalid("max_price_tokens", max_price_tokens, f"a whole number from 1 to {TOKENS_MAX}")
    for field, name in (("bidder_id", bidder_id), ("task_id", task_id)):
        if name is not None:
            check_name(field, name)
    at_us = 0 if at is None else units.at_us("at", at)

    def answer(moment: Moment) -> Quote:
        state = moment.state
        _market_of(state, market_id)
        if bidder_id is not None and bidder_id not in state.ledger.accounts:
            raise NotFound("bidder_id", bidder_id, "an open account")
        # A call cannot be earlier than what has happened.
        when_us = max(state.at_us, at_us or moment.now_us)
        found = quotes.quote(
            state, market_id, max_price_tokens, when_us, bidder_id or "", task_id or "", QUOTE_BIDS_MAX
        )
        if found is None:
            raise Conflict("market_id", market_id, f"a market whose call passes over fewer than {QUOTE_BIDS_MAX} bids")
        no = found.refusal
        return Quote(
            market_id=market_id,
            max_price_tokens=max_price_tokens,
            at=datetime_of(when_us),
            wins=found.wins,
            refusal=None if no is None else Refusal(no.reason, no.field, no.value, no.bound),
            price_tokens=found.price_tokens,
            rank=found.rank,
            bids_ahead=found.bids_ahead,
            slots_available=found.slots_available,
            replaces_bid_id=found.replaces_bid_id,
            clearing_price_tokens=found.clearing_price_tokens,
            clearing_price_without_tokens=found.clearing_price_without_tokens,
            winning_price_tokens=found.winning_price_tokens,
            seq=state.seq,
            durable_seq=moment.durable_seq,
        )

    # Each slot is looked at by three walks over the book.
    return Live(answer, lambda state: weight_of_rows(2 * _offers(state, market_id)))


def check_limit(limit: int, field: str = "limit") -> None:
    """Check how many rows are asked for. Raises `Invalid`."""
    if type(limit) is not int or not 0 < limit <= ROWS_MAX:
        raise Invalid(field, limit, f"1 to {ROWS_MAX}")


def check_name(field: str, name: str) -> None:
    """Check what must be a name, so that no text is looked for that PostgreSQL cannot hold. Raises `Invalid`."""
    try:
        check_names(name, "")
    except ShapeError as error:
        raise Invalid(field, name, expected_in_words(error.bound)) from None


def _found(named: Mapping[str, T], name: object) -> T | None:
    """What has this name; a list could not even be looked for."""
    return named.get(name) if isinstance(name, str) else None


def _market_of(state: State, market_id: object) -> Market:
    market = _found(state.markets, market_id)
    if market is None:
        raise NotFound("market_id", market_id, "an open market")
    return market


def _offers(state: State, market_id: object) -> int:
    market = _found(state.markets, market_id)
    return 0 if market is None else len(market.offers)


M = TypeVar("M", bound=MarketRow)


def _row(kind: type[M], market: Market, *seqs: int) -> M:
    rules = market.rules
    return kind(
        rules.market_id,
        rules.pricing_rule,
        rules.reserve_price_tokens,
        rules.awards_per_bidder_max,
        duration_of(rules.lease_us),
        rules.lapse_policy,
        rules.reward_tokens_per_impact,
        rules.reward_cap_tokens,
        rules.task_scope,
        rules.reward_account_id,
        rules.reward_day_cap_tokens,
        market.bids_open,
        len(market.offers),
        len(market.tasks_awarded),
        market.rounds_called,
        *seqs,
    )


def _levels(market: Market) -> Iterator[BookLevel]:
    """The prices of both books, best first, each once."""
    both = merge(market.resting.levels(), market.round_bids.levels(), key=lambda level: -level[0])
    for price_tokens, levels in groupby(both, key=lambda level: level[0]):
        yield BookLevel(price_tokens, sum(bids for _, bids in levels))


def _bid(bid: Bid) -> BookBid:
    ttl_at = None if bid.ttl_at_us is None else datetime_of(bid.ttl_at_us)
    return BookBid(bid.bid_id, bid.bidder_id, bid.task_id, bid.max_price_tokens, ttl_at, bid.time_in_force)
