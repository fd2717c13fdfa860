"""The reads as calls: the same names, arguments and defaults as in `reads` and `questions`.

Rule of this file: pure. Each is checked by the very function that asks where the market is, before it goes anywhere.
"""

from datetime import date, datetime, timedelta
from typing import Final

from callmarket.bridge.api import figures, hold_questions, questions, reads
from callmarket.bridge.api import quest_budgets as budgets
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.figures import Candles, RecentStats
from callmarket.bridge.api.hold_questions import HoldDetail, HoldRow
from callmarket.bridge.api.pages import Order
from callmarket.bridge.api.quest_budgets import QuestBudgets
from callmarket.bridge.api.questions import (
    AwardRow,
    AwardStatus,
    BidDetail,
    BidRow,
    BidStatus,
    Earnings,
    MovementRow,
    Outcome,
    RoundRow,
    SlotRow,
    WalletRow,
)
from callmarket.bridge.api.reads import ROWS_MAX, MarketDetail, MarketRow, OrderBook, Quote, Wallet
from callmarket.bridge.api.results import Page
from callmarket.bridge.client.call import Call, get, path
from callmarket.engine.events import HoldStatus, SlotStatus

# What the service waits for an award at the most; who wants to wait longer asks again.
WAIT_S_MAX: Final = 60.0


def wallet(account_id: str) -> Call[Wallet]:
    """A wallet, live. Raises `NotFound` if there is no such account."""
    reads.wallet(account_id)
    return get(path("wallets", ("account_id", account_id)), Wallet)


def get_order_book(market_id: str, limit: int = 100, depth: int = 20) -> Call[OrderBook]:
    """The best bids and first asks of a market, `limit` of each, and its `depth` best prices, live."""
    reads.get_order_book(market_id, limit, depth)
    return get(path("markets", ("market_id", market_id), "order-book"), OrderBook, limit=limit, depth=depth)


def quote(
    market_id: str,
    max_price_tokens: int,
    *,
    bidder_id: str | None = None,
    task_id: str | None = None,
    at: datetime | None = None,
) -> Call[Quote]:
    """Whether a bid of this price would win, were the market called now, or at `at`, and at what price."""
    reads.quote(market_id, max_price_tokens, bidder_id=bidder_id, task_id=task_id, at=at)
    return get(
        path("markets", ("market_id", market_id), "quote"),
        Quote,
        max_price_tokens=max_price_tokens,
        bidder_id=bidder_id,
        task_id=task_id,
        at=at,
    )


def markets() -> Call[Page[MarketRow]]:
    """All markets by name, live, on one page."""
    return get(path("markets"), Page[MarketRow])


def market(market_id: str) -> Call[MarketDetail]:
    """A market with its rules and what is in it, live. Raises `NotFound` if there is no such market."""
    return get(path("markets", ("market_id", market_id)), MarketDetail)


def slots(
    market_id: str, status: SlotStatus | None = None, *, limit: int = 100, after: str | None = None
) -> Call[Page[SlotRow]]:
    """The slots of a market by name and provider, page after page."""
    questions.slots(market_id, status, limit=limit, after=after)
    where = path("markets", ("market_id", market_id), "slots")
    return get(where, Page[SlotRow], status=status, limit=limit, after=after)


def bid(bid_id: int) -> Call[BidDetail]:
    """A bid and where it stands. Raises `NotFound` if there is no such bid."""
    questions.bid(bid_id)
    return get(path("bids", ("bid_id", bid_id)), BidDetail)


def bids(
    market_id: str | None = None,
    bidder_id: str | None = None,
    status: BidStatus | None = None,
    *,
    limit: int = 100,
    after: str | None = None,
    order: Order = "newest",
) -> Call[Page[BidRow]]:
    """Bids of a market, of a bidder, of both, or all; a status needs one of the two. By id, page after page."""
    questions.bids(market_id, bidder_id, status, limit=limit, after=after, order=order)
    return get(
        path("bids"),
        Page[BidRow],
        market_id=market_id,
        bidder_id=bidder_id,
        status=status,
        limit=limit,
        after=after,
        order=order,
    )


def awards(
    market_id: str | None = None,
    bidder_id: str | None = None,
    status: AwardStatus | None = None,
    *,
    since: datetime | None = None,
    limit: int = 100,
    after: str | None = None,
    order: Order = "newest",
    wait_s: float = 0.0,
) -> Call[Page[AwardRow]]:
    """Awards of a market, of a bidder, of both, or all; a status needs one of the two. By id, page after page.

    With `since`, those granted then or later. With `wait_s`, up to 60, and a bidder: where there is none yet, the
    answer comes as soon as there is one, or empty after so long.
    """
    questions.awards(market_id, bidder_id, status, since=since, limit=limit, after=after, order=order)
    if type(wait_s) not in (int, float) or not 0 <= wait_s <= WAIT_S_MAX:
        raise Invalid("wait_s", wait_s, f"0 to {WAIT_S_MAX:g} seconds")
    if wait_s and not bidder_id:
        raise Invalid("bidder_id", bidder_id, "the account whose awards are waited for")
    return get(
        path("awards"),
        Page[AwardRow],
        patience_s=wait_s,
        market_id=market_id,
        bidder_id=bidder_id,
        status=status,
        since=since,
        limit=limit,
        after=after,
        order=order,
        wait_s=wait_s or None,
    )


def get_rounds(
    market_id: str | None = None,
    limit: int = 100,
    *,
    since: datetime | None = None,
    after: str | None = None,
    order: Order = "newest",
) -> Call[Page[RoundRow]]:
    """The calls of a market, or of all, page after page; with `since`, those then or later."""
    questions.get_rounds(market_id, limit, since=since, after=after, order=order)
    return get(path("rounds"), Page[RoundRow], market_id=market_id, since=since, limit=limit, after=after, order=order)


def wallets(*, limit: int = 100, after: str | None = None) -> Call[Page[WalletRow]]:
    """All wallets by name, page after page."""
    questions.wallets(limit=limit, after=after)
    return get(path("wallets"), Page[WalletRow], limit=limit, after=after)


def statement(
    account_id: str, *, limit: int = 100, after: str | None = None, order: Order = "newest"
) -> Call[Page[MovementRow]]:
    """The movements of an account, page after page. Raises `NotFound` if there is no such account."""
    questions.statement(account_id, limit=limit, after=after, order=order)
    where = path("wallets", ("account_id", account_id), "statement")
    return get(where, Page[MovementRow], limit=limit, after=after, order=order)


def earnings(account_id: str, *, limit: int = 100, after: str | None = None, order: Order = "newest") -> Call[Earnings]:
    """What an account was credited with: its sums by reason over three periods, and the credits, page after page."""
    questions.earnings(account_id, limit=limit, after=after, order=order)
    where = path("wallets", ("account_id", account_id), "earnings")
    return get(where, Earnings, limit=limit, after=after, order=order)


def hold(hold_id: str, account_id: str) -> Call[HoldDetail]:
    """An account's latest named hold of this id and how it ended. Raises `NotFound` if there is none."""
    hold_questions.hold(hold_id, account_id)
    return get(path("holds", ("account_id", account_id), ("hold_id", hold_id)), HoldDetail)


def holds(
    account_id: str | None = None,
    reference_type: str | None = None,
    reference_id: str | None = None,
    reason: str | None = None,
    status: HoldStatus | None = None,
    *,
    limit: int = 100,
    after: str | None = None,
    order: Order = "newest",
) -> Call[Page[HoldRow]]:
    """Named holds in the order in which they were placed, page after page: those that all of these say, or all."""
    wanted = (account_id, reference_type, reference_id, reason, status)
    hold_questions.holds(*wanted, limit=limit, after=after, order=order)
    return get(
        path("holds"),
        Page[HoldRow],
        account_id=account_id,
        reference_type=reference_type,
        reference_id=reference_id,
        reason=reason,
        status=status,
        limit=limit,
        after=after,
        order=order,
    )


def get_recent_stats(
    market_id: str, period: timedelta = timedelta(hours=24), *, limit: int = ROWS_MAX
) -> Call[RecentStats]:
    """Prices, fill rate and the ten best winning bids beside their impact, of at most a year."""
    figures.get_recent_stats(market_id, period, limit=limit)
    where = path("markets", ("market_id", market_id), "stats")
    return get(where, RecentStats, period_s=period.total_seconds(), limit=limit)


def get_candles(
    market_id: str, period: timedelta = timedelta(hours=24), interval: timedelta = timedelta(minutes=5)
) -> Call[Candles]:
    """Prices, supply and awards in equal parts of a period of at most a year."""
    figures.get_candles(market_id, period, interval)
    seconds = {"period_s": period.total_seconds(), "interval_s": interval.total_seconds()}
    return get(path("candles"), Candles, market_id=market_id, **seconds)


def get_quest_budgets(day: date | None = None, limit: int = 100) -> Call[QuestBudgets]:
    """The daily budgets of a day, by default today. A day that was never split has no quests."""
    budgets.get_quest_budgets(day, limit)
    return get(path("quest-budgets"), QuestBudgets, day=None if day is None else day.isoformat(), limit=limit)


def why(bid_id: int) -> Call[Outcome]:
    """Why a bid won or lost, in words. Raises `NotFound` if there is no such bid."""
    questions.why(bid_id)
    return get(path("bids", ("bid_id", bid_id), "why"), Outcome)
