"""Artifact markets as they are: their prices, market makers, books, and what a settlement would pay.

Rule of this file: every question is answered from the live state. Prices are those of a long share.
"""

from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Any, Final, TypeVar, get_args

from msgspec import Struct

from callmarket.bridge.api.capital.book import Amm, ArtifactLevel, DepthPoint, amm_of, book_of
from callmarket.bridge.api.capital.payouts import Payout, SettlementPreview, preview_of
from callmarket.bridge.api.capital.quoting import now_of
from callmarket.bridge.api.checks import check_limit, check_one_of
from callmarket.bridge.api.contract.fields import After, Depth, Limit, PathName, SettlePrice
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.pages import cursor, name_after, number_after
from callmarket.bridge.api.contract.queries import Moment, StateQuery, weight_of_rows
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.api.operations.accounts import found
from callmarket.bridge.api.operations.artifact_markets import price_micros_of
from callmarket.bridge.api.units import datetime_of, duration_of, number_of
from callmarket.engine.capital import commands
from callmarket.engine.capital.commands import SettledAs
from callmarket.engine.capital.events import SettledHow
from callmarket.engine.capital.market import ArtifactMarket, MarketStatus
from callmarket.engine.commands import OPERATOR
from callmarket.engine.state import State

__all__ = ["ArtifactBook", "ArtifactMarketRow", "Payout", "SettlementPreview"]

_STATUSES: Final = get_args(MarketStatus)


class ArtifactMarketRow(Struct, frozen=True):
    """An artifact market. `price` and `price_average` are those of a long share.

    `settle_price` is what a long share is worth, and `settled_as` why; None unless it is settled or announced, and the
    price also of a void market. `due_at` is when it ends, opens again or is settled by itself; None if it is settled.
    """

    artifact_id: str
    status: MarketStatus
    price: float
    price_average: float
    subsidy_tokens: float
    trades: int
    positions: int
    orders: int
    closes_at: datetime
    due_at: datetime | None
    settled_as: SettledHow | None
    settle_price: float | None


class ArtifactBook(ArtifactMarketRow, frozen=True):
    """An artifact market with its rules, its maker and its book, in the live state at `seq`.

    `bids` are resting orders that move the price up, `asks` those that move it down, best first. `depth` is what it
    takes to move the price by 1, 2, 5, 10 and 25 hundredths either way, maker and orders together. `is_complete`: no
    resting order was left out because there are too many.
    """

    at: datetime
    exit_fee: float
    exposure_limit: float
    decay: float
    decay_floor: float
    dispute_window: timedelta
    arbiter_id: str | None
    fees_tokens: float
    amm: Amm
    bids: tuple[ArtifactLevel, ...]
    asks: tuple[ArtifactLevel, ...]
    depth: tuple[DepthPoint, ...]
    is_complete: bool
    seq: int
    durable_seq: int


@operation("GET", "/artifact-markets", "Artifact markets", "List artifact markets")
def artifact_markets(
    status: MarketStatus | None = None, *, limit: Limit = 100, after: After | None = None
) -> StateQuery[Page[ArtifactMarketRow]]:
    """Artifact markets of one status, or all, in order of their artifacts' names, in pages."""
    if status is not None:
        check_one_of("status", status, _STATUSES)
    check_limit(limit)
    name = name_after("artifact-markets", after) or ""

    def answer(moment: Moment) -> Page[ArtifactMarketRow]:
        markets = moment.state.capital.markets
        names = (one for one, market in markets.items() if one > name and status in (None, market.phase.status))
        names_found = nsmallest(limit + 1, names)
        items = tuple(_row(ArtifactMarketRow, markets[one], now_of(moment)) for one in names_found[:limit])
        more = cursor("artifact-markets", items[-1].artifact_id) if len(names_found) > limit else None
        return Page(items, more, moment.state.seq, moment.durable_seq)

    # All markets are searched for the first of the page.
    return StateQuery(answer, lambda state: weight_of_rows(limit + len(state.capital.markets) // 5))


@operation("GET", "/artifacts/{artifact_id}/market", "Artifact markets", "Get an artifact market and its book")
def artifact_market(artifact_id: PathName, depth: Depth = 20) -> StateQuery[ArtifactBook]:
    """Prices, rules, market maker and the best `depth` price levels of each side, and what it takes to move the price.

    Raises `NotFound` if the artifact has no market.
    """
    check_limit(depth, "depth")

    def answer(moment: Moment) -> ArtifactBook:
        return _book(moment, artifact_market_of(moment.state, artifact_id), depth)

    return StateQuery(answer, lambda state: weight_of_rows(depth + _orders(state, artifact_id)))


@operation(
    "GET", "/artifacts/{artifact_id}/settlement", "Artifact markets", "Preview the settlement of an artifact market"
)
def preview_settlement(
    artifact_id: PathName,
    settled_as: SettledAs,
    price: SettlePrice | None = None,
    *,
    limit: Limit = 100,
    after: After | None = None,
) -> StateQuery[SettlementPreview]:
    """What a settlement would pay now: the sum of all payouts, and each position's in order of ids, in pages.

    Nothing is done. Raises `NotFound` if the artifact has no market.
    """
    check_one_of("settled_as", settled_as, get_args(SettledAs))
    command = commands.SettleArtifact(artifact_id, settled_as, price_micros_of(price))
    request(OPERATOR, command)
    check_limit(limit)
    last_id = number_after("payouts", after) or 0

    def answer(moment: Moment) -> SettlementPreview:
        return preview_of(moment, artifact_market_of(moment.state, artifact_id), command, limit, last_id)

    # Each payout is in the sum.
    return StateQuery(answer, lambda state: weight_of_rows(limit + _positions(state, artifact_id) // 5))


def artifact_market_of(state: State, artifact_id: object) -> ArtifactMarket:
    """The market of an artifact. Raises `NotFound`."""
    market = found(state.capital.markets, artifact_id)
    if market is None:
        raise NotFound("artifact_id", artifact_id, "an artifact with a market")
    return market


def _orders(state: State, artifact_id: object) -> int:
    market = found(state.capital.markets, artifact_id)
    return 0 if market is None else len(market.orders)


def _positions(state: State, artifact_id: object) -> int:
    market = found(state.capital.markets, artifact_id)
    return 0 if market is None else len(market.positions)


M = TypeVar("M", bound=ArtifactMarketRow)


def _row(kind: type[M], market: ArtifactMarket, now_us: int, **more: Any) -> M:
    phase, price = market.phase, market.phase.price_micros
    return kind(
        artifact_id=market.rules.artifact_id,
        status=phase.status,
        price=number_of(market.maker.price_micros),
        price_average=number_of(market.average_at(now_us).micros),
        subsidy_tokens=number_of(market.maker.subsidy_microtokens),
        trades=market.trades,
        positions=len(market.positions),
        orders=len(market.orders),
        closes_at=datetime_of(market.rules.closes_at_us),
        due_at=None if phase.due_us is None else datetime_of(phase.due_us),
        settled_as=phase.settled_as,
        settle_price=None if price is None else number_of(price),
        **more,
    )


def _book(moment: Moment, market: ArtifactMarket, levels_max: int) -> ArtifactBook:
    rules, book, now_us = market.rules, book_of(market, levels_max), now_of(moment)
    return _row(
        ArtifactBook,
        market,
        now_us,
        at=datetime_of(now_us),
        exit_fee=number_of(rules.exit_fee_ppm),
        exposure_limit=number_of(rules.exposure_limit_ppm),
        decay=number_of(rules.decay_ppm),
        decay_floor=number_of(rules.decay_floor_ppm),
        dispute_window=duration_of(rules.dispute_window_us),
        arbiter_id=rules.arbiter_id or None,
        fees_tokens=number_of(market.fees_microtokens),
        amm=amm_of(market),
        bids=book.bids,
        asks=book.asks,
        depth=book.depth,
        is_complete=book.is_complete,
        seq=moment.state.seq,
        durable_seq=moment.durable_seq,
    )


class ArtifactBooks:
    """The questions about artifact markets, as methods of a market."""

    artifact_markets = artifact_markets
    artifact_market = artifact_market
    preview_settlement = preview_settlement
