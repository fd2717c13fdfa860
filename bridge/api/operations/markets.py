"""Markets: open one; its rules and its order book; and a quote for a bid.

Rule of this file: the operations on markets and their result types. Every question is answered from the live state.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import check_limit, check_name
from callmarket.bridge.api.contract.fields import Depth, Instant, Lease, Limit, Named, PathName
from callmarket.bridge.api.contract.operation import Command, operation
from callmarket.bridge.api.contract.queries import Moment, StateQuery, weight_of_rows
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Refusal, Stamp, refusal_of, stamp
from callmarket.bridge.api.errors import Conflict, Invalid, NotFound
from callmarket.bridge.api.operations.accounts import found
from callmarket.bridge.api.units import datetime_of, duration_of
from callmarket.engine import commands, limits
from callmarket.engine import quote as quotes
from callmarket.engine.book import Bid, best_first
from callmarket.engine.commands import ADMIN, OPERATOR, TREASURY, LapsePolicy, PricingRule, TaskScope
from callmarket.engine.fields import Tokens, TokensPositive
from callmarket.engine.ids import BidId
from callmarket.engine.market import Market
from callmarket.engine.state import State
from callmarket.persistence.queries import BookAsk, BookBid

__all__ = ["BookAsk", "BookBid", "BookLevel", "MarketDetail", "MarketRow", "OrderBook", "Quote", "Refusal"]

# A quote reads as many bids as there are slots, up to 10,000, three times: 40 ms. It also reads the bids that are
# passed over because their task is taken. Their number has no bound of its own, so the total is bounded here.
QUOTE_BIDS_MAX: Final = 15_000

_REWARD_NUMBERS: Final = ("reward_tokens_per_impact", "reward_cap_tokens", "reward_day_cap_tokens")


class BookLevel(Struct, frozen=True):
    """A price level: a price and the number of open bids at it."""

    price_tokens: int
    bids: int


class OrderBook(Struct, frozen=True):
    """The best bids, asks and price levels of a market in the live state at `seq`. The totals count all of them."""

    market_id: str
    bids: tuple[BookBid, ...]
    asks: tuple[BookAsk, ...]
    levels: tuple[BookLevel, ...]
    bids_total: int
    asks_total: int
    seq: int
    durable_seq: int


class MarketRow(Struct, frozen=True):
    """A market: its rules, which never change, and counts of its bids, slots and rounds. Rounds are numbered from 1.

    It pays rewards for impact if `reward_tokens_per_impact`, `reward_cap_tokens` and `reward_day_cap_tokens` are all
    above 0.
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
    """A market in the live state at `seq`."""

    seq: int
    durable_seq: int


class Quote(Struct, frozen=True):
    """What a bid would get if the market were called at `at`. Not binding: the book may change before the call.

    `wins`: the bid would be accepted and win. `refusal`: why it would not be accepted; only if a bidder is named.
    `price_tokens`: what it would pay; None unless it wins. `rank`: its position among the eligible bids; None if it
    would be passed over, or is behind the first bid that cannot win. `bids_ahead`: the number of eligible bids before
    it, counted up to one more than there are slots. `replaces_bid_id`: the open bid of the bidder for this task, to be
    amended instead. `clearing_price_tokens` and `clearing_price_without_tokens`: the price of the round with and
    without this bid; a bid with a rival for its task may pay more, which `price_tokens` includes.
    `winning_price_tokens`: the lowest price that would win; None if no price would.
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
    replaces_bid_id: BidId | None
    clearing_price_tokens: int | None
    clearing_price_without_tokens: int | None
    winning_price_tokens: int | None
    seq: int
    durable_seq: int


@operation(
    "POST", "/markets", "Markets", "Open a market", status=201, example={"market_id": "agents", "lease": "PT1800S"}
)
def open_market(
    market_id: PathName,
    *,
    pricing_rule: Annotated[
        PricingRule,
        Meta(
            description="What winners pay: the best bid that got no slot (first_rejected), the lowest bid that got one "
            "(last_accepted), their own bid (pay_as_bid), or the value that their slots would have had for others "
            "(vickrey). Under the first two, a winner pays at least the best bid of another bidder for its task."
        ),
    ] = "first_rejected",
    reserve_price_tokens: Annotated[Tokens, Meta(description="The reserve of slots that name none.")] = 0,
    awards_per_bidder_max: Annotated[Tokens, Meta(description="Awards per bidder and round; 0: no limit.")] = 0,
    lease: Lease = timedelta(hours=1),
    lapse_policy: Annotated[LapsePolicy, Meta(description="What happens to the price of a lapsed award.")] = "charge",
    reward_tokens_per_impact: Annotated[
        int, Meta(ge=0, le=limits.REWARD_TOKENS_PER_IMPACT_MAX, description="Reward per unit of impact; 0: none.")
    ] = 0,
    reward_cap_tokens: Annotated[Tokens, Meta(description="The highest reward of an award; 0: none.")] = 0,
    task_scope: Annotated[
        TaskScope, Meta(description="Whether a task id names one task for all bidders, or one for each bidder.")
    ] = "market",
    reward_account_id: Annotated[
        Named, Meta(description="The account that pays rewards, up to its available tokens.")
    ] = TREASURY,
    reward_day_cap_tokens: Annotated[
        Tokens, Meta(description="The highest reward of an account in a day (UTC); 0: none.")
    ] = 0,
    command_id: str = "",
) -> Command[Stamp]:
    """Open a market with its rules, which never change. Needs the scope `operate`; to pay rewards, `admin`.

    A market that rewards impact needs all three numbers: `reward_tokens_per_impact`, `reward_cap_tokens` and
    `reward_day_cap_tokens`. Rewards are paid from the available tokens of `reward_account_id`, which must be funded.
    """
    command = commands.OpenMarket(
        market_id=market_id,
        pricing_rule=pricing_rule,
        reserve_price_tokens=reserve_price_tokens,
        awards_per_bidder_max=awards_per_bidder_max,
        lease_us=units.lease_us("lease", lease),
        lapse_policy=lapse_policy,
        reward_tokens_per_impact=reward_tokens_per_impact,
        reward_cap_tokens=reward_cap_tokens,
        task_scope=task_scope,
        reward_account_id=reward_account_id,
        reward_day_cap_tokens=reward_day_cap_tokens,
    )
    # Bounds first, so that a value of the wrong type gets the error about its type.
    checked = request(OPERATOR, command, command_id)
    _check_rewards(command)
    # Rewards spend the tokens of another account, which the operator may not do.
    return Command(request(ADMIN, command, command_id) if command.pays_for_impact else checked, stamp)


@operation("GET", "/markets", "Markets", "List markets")
def markets() -> StateQuery[Page[MarketRow]]:
    """All markets in order of their names, with rules and counts, on one page: there are at most a thousand."""

    def answer(moment: Moment) -> Page[MarketRow]:
        state = moment.state
        items = tuple(_row(MarketRow, state.markets[market_id]) for market_id in sorted(state.markets))
        return Page(items, None, state.seq, moment.durable_seq)

    return StateQuery(answer, lambda state: weight_of_rows(len(state.markets)))


@operation("GET", "/markets/{market_id}", "Markets", "Get a market")
def market(market_id: PathName) -> StateQuery[MarketDetail]:
    """A market: its rules, and counts of its bids, slots and rounds. Raises `NotFound` if there is no such market."""

    def answer(moment: Moment) -> MarketDetail:
        return _row(MarketDetail, market_of(moment.state, market_id), moment.state.seq, moment.durable_seq)

    return StateQuery(answer)


@operation("GET", "/markets/{market_id}/order-book", "Markets", "Get the order book")
def get_order_book(market_id: PathName, limit: Limit = 100, depth: Depth = 20) -> StateQuery[OrderBook]:
    """The best `limit` bids and asks, and the best `depth` price levels with the number of bids at each.

    Raises `NotFound` if there is no such market.
    """
    check_limit(limit)
    check_limit(depth, "depth")

    def answer(moment: Moment) -> OrderBook:
        market = market_of(moment.state, market_id)
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

    # All offers are sorted first.
    return StateQuery(answer, lambda state: weight_of_rows(2 * limit + depth + _offers(state, market_id) // 5))


@operation("GET", "/markets/{market_id}/quote", "Markets", "Get a quote for a bid", problems=(409,))
def quote(
    market_id: PathName,
    max_price_tokens: Annotated[TokensPositive, Meta(description="Whole tokens.")],
    *,
    bidder_id: Named | None = None,
    task_id: Named | None = None,
    at: Instant | None = None,
) -> StateQuery[Quote]:
    """Whether a bid of this price would win if the market were called now, or at `at`, and what it would pay.

    Not binding: the book may change before the call. With `bidder_id`, its available tokens, its cap of awards and its
    open bids are taken into account; with `task_id`, whether the task is free. Raises `NotFound` if there is no such
    market or account, and `Conflict` if the call would read more bids than a quote may. Costs about two calls.
    """
    if type(max_price_tokens) is not int or not 0 < max_price_tokens <= limits.TOKENS_MAX:
        raise Invalid("max_price_tokens", max_price_tokens, f"a whole number from 1 to {limits.TOKENS_MAX}")
    for field, name in (("bidder_id", bidder_id), ("task_id", task_id)):
        if name is not None:
            check_name(field, name)
    at_us = 0 if at is None else units.at_us("at", at)

    def answer(moment: Moment) -> Quote:
        return _quoted(moment, market_id, max_price_tokens, bidder_id, task_id, at_us)

    # Each slot is visited by three walks over the book.
    return StateQuery(answer, lambda state: weight_of_rows(2 * _offers(state, market_id)))


def market_of(state: State, market_id: object) -> Market:
    """The market of this id. Raises `NotFound`."""
    market = found(state.markets, market_id)
    if market is None:
        raise NotFound("market_id", market_id, "an open market")
    return market


def _quoted(
    moment: Moment, market_id: str, max_price_tokens: int, bidder_id: str | None, task_id: str | None, at_us: int
) -> Quote:
    state = moment.state
    market_of(state, market_id)
    if bidder_id is not None and bidder_id not in state.ledger.accounts:
        raise NotFound("bidder_id", bidder_id, "an open account")
    # A call cannot be earlier than the latest command.
    when_us = max(state.at_us, at_us or moment.now_us)
    quoted = quotes.quote(state, market_id, max_price_tokens, when_us, bidder_id or "", task_id or "", QUOTE_BIDS_MAX)
    if quoted is None:
        raise Conflict("market_id", market_id, f"a market whose call passes over fewer than {QUOTE_BIDS_MAX} bids")
    no = quoted.refusal
    return Quote(
        market_id=market_id,
        max_price_tokens=max_price_tokens,
        at=datetime_of(when_us),
        wins=quoted.wins,
        refusal=None if no is None else refusal_of(no),
        price_tokens=quoted.price_tokens,
        rank=quoted.rank,
        bids_ahead=quoted.bids_ahead,
        slots_available=quoted.slots_available,
        replaces_bid_id=quoted.replaces_bid_id,
        clearing_price_tokens=quoted.clearing_price_tokens,
        clearing_price_without_tokens=quoted.clearing_price_without_tokens,
        winning_price_tokens=quoted.winning_price_tokens,
        seq=state.seq,
        durable_seq=moment.durable_seq,
    )


def _check_rewards(command: commands.OpenMarket) -> None:
    """Check that the three numbers of rewards are all 0 or all above 0. Raises `Invalid`."""
    missing = [name for name in _REWARD_NUMBERS if not getattr(command, name)]
    if missing and len(missing) < len(_REWARD_NUMBERS):
        raise Invalid(missing[0], 0, f"1 or more, as rewards need all of {', '.join(_REWARD_NUMBERS)}; or 0 for all")


def _offers(state: State, market_id: object) -> int:
    market = found(state.markets, market_id)
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
    """The price levels of both books merged, best first."""
    both = merge(market.resting.levels(), market.round_bids.levels(), key=lambda level: -level[0])
    for price_tokens, levels in groupby(both, key=lambda level: level[0]):
        yield BookLevel(price_tokens, sum(bids for _, bids in levels))


def _bid(bid: Bid) -> BookBid:
    ttl_at = None if bid.ttl_at_us is None else datetime_of(bid.ttl_at_us)
    return BookBid(bid.bid_id, bid.bidder_id, bid.task_id, bid.max_price_tokens, ttl_at, bid.time_in_force)


class Markets:
    """The operations on markets, as methods of a market."""

    open_market = open_market
    markets = markets
    market = market
    get_order_book = get_order_book
    quote = quote
