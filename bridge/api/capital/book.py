"""The book of an artifact market: its maker, its resting orders by price, and what it takes to move the price.

Rule of this file: it looks at the state and copies what it returns. In a book all prices are those of a long share.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.units import liquidity_of, number_of
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.limits import MICRO, PRICE_MICROS_MAX, PRICE_MICROS_MIN, SIDE_MICROSHARES_MAX
from callmarket.engine.capital.maker import Maker, difference_at, pool_for
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.orders import Order

# Resting orders of a side that a book reads: 10 ms at the most. An artifact market can have ten times as many.
BOOK_ORDERS_MAX: Final = 10_000
# How far a price is moved, in hundredths of a token.
_POINTS: Final = (1, 2, 5, 10, 25)


class Amm(Struct, frozen=True):
    """The automated market maker: its funded subsidy (`b` is subsidy / ln 2), and what it has sold of each side."""

    subsidy_tokens: float
    b: float
    long_shares: float
    short_shares: float
    pool_tokens: float
    loss_bound_tokens: float


class ArtifactLevel(Struct, frozen=True):
    """Resting orders at one price: what shares they can still trade, and what these are worth at the price."""

    price: float
    tokens: float
    shares: float
    orders: int


class DepthPoint(Struct, frozen=True):
    """The shares of `side` that move the price of long to `price`, and their tokens: of the maker and of all orders."""

    price: float
    side: Side
    tokens: float
    shares: float


class Book(Struct, frozen=True):
    """The two sides of a book, best first, and its depth. `is_complete`: none was left out for their number."""

    bids: tuple[ArtifactLevel, ...]
    asks: tuple[ArtifactLevel, ...]
    depth: tuple[DepthPoint, ...]
    is_complete: bool


class _Level(Struct):
    """A level in the units of the engine. `long` and `short` are what the taker pays for its shares of each side."""

    price_micros: int
    microshares: int = 0
    long_microtokens: int = 0
    orders: int = 0

    @property
    def short_microtokens(self) -> int:
        return self.microshares - self.long_microtokens


def amm_of(market: ArtifactMarket) -> Amm:
    """The figures of the maker of a market."""
    maker = market.maker
    return Amm(
        subsidy_tokens=number_of(maker.subsidy_microtokens),
        b=liquidity_of(maker.subsidy_microtokens),
        long_shares=number_of(maker.long_microshares),
        short_shares=number_of(maker.short_microshares),
        pool_tokens=number_of(maker.pool_microtokens),
        loss_bound_tokens=number_of(market.loss_bound_microtokens),
    )


def book_of(market: ArtifactMarket, levels_max: int) -> Book:
    """The best levels of each side, and the depth. O(orders), of which no more than `BOOK_ORDERS_MAX` a side."""
    if market.phase.status == "settled":
        # Nothing trades any more, and what still rests is being ended.
        return Book((), (), (), is_complete=True)
    bids = list(_levels(islice(market.book.bids(), BOOK_ORDERS_MAX)))
    asks = list(_levels(islice(market.book.asks(), BOOK_ORDERS_MAX)))
    read = sum(level.orders for level in bids) + sum(level.orders for level in asks)
    depth = tuple(_depth(market.maker, bids, asks))
    return Book(
        tuple(map(_told, bids[:levels_max])), tuple(map(_told, asks[:levels_max])), depth, read == len(market.orders)
    )


def _levels(orders: Iterable[Order]) -> Iterator[_Level]:
    level: _Level | None = None
    for order in orders:
        price = order.long_price_micros
        if level is None or level.price_micros != price:
            if level is not None:
                yield level
            level = _Level(price)
        level.microshares += order.most_microshares
        level.long_microtokens += order.long_value_of(order.most_microshares)
        level.orders += 1
    if level is not None:
        yield level


def _told(level: _Level) -> ArtifactLevel:
    return ArtifactLevel(
        number_of(level.price_micros), number_of(level.long_microtokens), number_of(level.microshares), level.orders
    )


def _depth(maker: Maker, bids: list[_Level], asks: list[_Level]) -> Iterator[DepthPoint]:
    """What it takes to move the price by each number of points, down and up, where there is such a price.

    Orders that trade with one another move both sides of the maker alike, which changes no price and no cost: so the
    maker's part and theirs can be added.
    """
    price = maker.price_micros
    for points in reversed(_POINTS):
        if (target := price - points * MICRO // 100) >= PRICE_MICROS_MIN:
            yield _point(maker, target, [level for level in bids if level.price_micros >= target], up=False)
    for points in _POINTS:
        if (target := price + points * MICRO // 100) <= PRICE_MICROS_MAX:
            yield _point(maker, target, [level for level in asks if level.price_micros <= target], up=True)


def _point(maker: Maker, target_micros: int, levels: list[_Level], *, up: bool) -> DepthPoint:
    subsidy, difference = maker.subsidy_microtokens, maker.long - maker.short
    to_target = difference_at(target_micros, subsidy, up=up) - difference
    outstanding = maker.long_microshares if up else maker.short_microshares
    microshares = min(max(to_target if up else -to_target, 0), SIDE_MICROSHARES_MAX - outstanding)
    long, short = (maker.long + microshares, maker.short) if up else (maker.long, maker.short + microshares)
    microtokens = pool_for(long, short, subsidy) - maker.pool_microtokens
    for level in levels:
        microshares += level.microshares
        microtokens += level.long_microtokens if up else level.short_microtokens
    return DepthPoint(
        number_of(target_micros), "long" if up else "short", number_of(microtokens), number_of(microshares)
    )
