"""The trades of artifact markets that have been made: the history of a price, from the tables.

Rule of this file: the question about past trades, and its rows, which are the receipts that traders got.
"""

from datetime import datetime

from msgspec import Struct

from callmarket.bridge.api.capital.receipts import Fill, MarketAfter, price_of
from callmarket.bridge.api.checks import check_name
from callmarket.bridge.api.contract.fields import After, Limit, Order, PathName
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.pages import numbered, page_of
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.api.units import number_of
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.events import Effect
from callmarket.engine.ids import OrderId, PositionId
from callmarket.persistence import queries
from callmarket.persistence.queries import TradeRow


class ArtifactTrade(Struct, frozen=True):
    """An order that traded: `tokens` is what its shares cost or brought before the fee. `market` is as it was after it.

    `seq` is its row of the journal. `side` is what was bought or sold, and `effect` whether it opened or closed.
    """

    order_id: OrderId
    at: datetime
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    shares: float
    tokens: float
    fee_tokens: float
    fills: tuple[Fill, ...]
    market: MarketAfter
    seq: int


@operation("GET", "/artifacts/{artifact_id}/trades", "Artifact markets", "List the trades of an artifact market")
def artifact_trades(
    artifact_id: PathName, *, limit: Limit = 100, after: After | None = None, order: Order = "newest"
) -> TableQuery[Page[ArtifactTrade]]:
    """What was traded in an artifact, with the price before and after each trade and the pool, in pages.

    Raises `NotFound` if the artifact has no market.
    """
    check_name("artifact_id", artifact_id)
    kind, page = numbered("trades", limit, after, order)

    def answer(at: Tables) -> Page[ArtifactTrade]:
        if queries.artifact_market(at.connection, at.shard_id, artifact_id) is None:
            raise NotFound("artifact_id", artifact_id, "an artifact with a market")
        rows = queries.trades_page(at.connection, at.shard_id, None, artifact_id, page)
        return page_of([_told(row) for row in rows], limit, kind, lambda row: row.seq, at)

    return TableQuery(answer, weight_of_page(limit))


def _told(row: TradeRow) -> ArtifactTrade:
    fills = zip(row.fill_orders, row.fill_shares_micros, row.fill_tokens_micros, strict=True)
    return ArtifactTrade(
        order_id=row.order_id,
        at=row.traded_at,
        account_id=row.account_id,
        position_id=row.position_id,
        side=row.side,
        effect=row.effect,
        shares=number_of(row.shares_micros),
        tokens=number_of(row.tokens_micros),
        fee_tokens=number_of(row.fee_micros),
        fills=tuple(
            Fill(OrderId(source) if source else None, number_of(shares), number_of(tokens), price_of(tokens, shares))
            for source, shares, tokens in fills
        ),
        market=MarketAfter(
            price_before=number_of(row.price_before_micros),
            price_after=number_of(row.price_after_micros),
            price_average=number_of(row.average_price_micros),
            subsidy_tokens=number_of(row.subsidy_micros),
            pool_tokens=number_of(row.pool_micros),
            fees_tokens=number_of(row.fees_micros),
            payout_if_long_tokens=number_of(row.long_micros),
            payout_if_short_tokens=number_of(row.short_micros),
            loss_bound_tokens=number_of(row.loss_bound_micros),
        ),
        seq=row.seq,
    )


class ArtifactTrades:
    """The question about past trades, as a method of a market."""

    artifact_trades = artifact_trades
