"""Artifact markets as rows of the image, and back.

Rule of this file: that of `engine/image.py`: everything in an order that the state defines, and no index stored.
"""

from msgspec import Struct

from callmarket.engine.capital.average import Average
from callmarket.engine.capital.events import ArtifactMarketOpened
from callmarket.engine.capital.maker import Maker
from callmarket.engine.capital.market import ArtifactMarket, Payout, Phase
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.capital.state import Capital


class _MarketImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    rules: ArtifactMarketOpened
    phase: Phase
    maker: Maker
    average: Average
    fees_microtokens: int
    returned_microtokens: int
    decayed_at_us: int
    decays: int
    trades: int
    prices: list[int]
    payout: Payout | None


class CapitalImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All of it: markets, orders and positions by id, purses by account, and who is owed in which order."""

    orders_placed: int
    markets: list[_MarketImage]
    paying: list[str]
    orders: list[Order]
    positions: list[Position]
    purses: list[tuple[str, int]]


def image_of(capital: Capital) -> CapitalImage:
    """The image of the markets. O(all)."""
    return CapitalImage(
        orders_placed=capital.orders_placed,
        markets=[_market_image(market) for _, market in sorted(capital.markets.items())],
        paying=list(capital.paying),
        orders=[order for _, order in sorted(capital.orders.items())],
        positions=[position for _, position in sorted(capital.positions.items())],
        purses=sorted(capital.purses.items()),
    )


def _market_image(market: ArtifactMarket) -> _MarketImage:
    return _MarketImage(
        rules=market.rules,
        phase=market.phase,
        maker=market.maker,
        average=market.average,
        fees_microtokens=market.fees_microtokens,
        returned_microtokens=market.returned_microtokens,
        decayed_at_us=market.decayed_at_us,
        decays=market.decays,
        trades=market.trades,
        prices=list(market.prices),
        payout=market.payout,
    )


def restore(capital: Capital, image: CapitalImage) -> None:
    """Fill empty markets from an image. Raises KeyError if an order or a position names no market. O(all)."""
    capital.orders_placed = image.orders_placed
    for row in image.markets:
        capital.open(_market(row))
    capital.paying.update(dict.fromkeys(image.paying))
    # Orders reserve shares of positions, which have counted them already.
    for position in image.positions:
        position.reserved_microshares = 0
        capital.add_shares(position)
    for order in image.orders:
        capital.add_order(order)
    capital.purses.update(image.purses)


def _market(row: _MarketImage) -> ArtifactMarket:
    market = ArtifactMarket(row.rules, row.decayed_at_us)
    market.phase = row.phase
    market.maker = row.maker
    market.average = row.average
    market.fees_microtokens = row.fees_microtokens
    market.returned_microtokens = row.returned_microtokens
    market.decays = row.decays
    market.trades = row.trades
    market.prices.extend(row.prices)
    market.payout = row.payout
    return market
