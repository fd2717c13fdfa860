"""Second paths to the same answers, under the names that an agent platform's own auction had.

Rule of this file: no answer of its own. Each route asks what a route of `/api/v1` asks, and needs a key like all.
"""

from datetime import timedelta

from litestar import get

from callmarket.bridge.api.artifacts import ResourceBudget
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.figures import RecentStats
from callmarket.bridge.api.questions import Earnings, WalletRow
from callmarket.bridge.api.reads import OrderBook
from callmarket.bridge.api.results import Page
from callmarket.bridge.server.routes.common import (
    QUESTION,
    After,
    Depth,
    GivenService,
    Limit,
    NameQuery,
    Newest,
    PathId,
    PeriodS,
)
from callmarket.bridge.server.service import Service


@get("/compute-auction/order-book", operation_id="auction_order_book", summary="Order book", responses=QUESTION)
async def auction_order_book(
    service: GivenService, market_id: NameQuery = None, limit: Limit = 100, depth: Depth = 20
) -> OrderBook:
    """As `get_order_book`. The market may be left out where there is only one."""
    return await service.market.get_order_book(_market(service, market_id), limit, depth)


@get("/compute-auction/stats", operation_id="auction_stats", summary="Recent figures", responses=QUESTION)
async def auction_stats(
    service: GivenService, market_id: NameQuery = None, period_s: PeriodS = 86_400.0, limit: Limit = 1_000
) -> RecentStats:
    """As `get_recent_stats`. The market may be left out where there is only one."""
    return await service.market.get_recent_stats(_market(service, market_id), timedelta(seconds=period_s), limit=limit)


@get("/wallets", operation_id="platform_wallets", summary="List wallets", responses=QUESTION)
async def platform_wallets(service: GivenService, limit: Limit = 100, after: After = None) -> Page[WalletRow]:
    """As `wallets`."""
    return await service.market.wallets(limit=limit, after=after)


@get("/token/earnings/{account_id:str}", operation_id="token_earnings", summary="What it earned", responses=QUESTION)
async def token_earnings(
    account_id: PathId, service: GivenService, limit: Limit = 100, after: After = None, order: Newest = "newest"
) -> Earnings:
    """As `earnings`."""
    return await service.market.earnings(account_id, limit=limit, after=after, order=order)


@get("/market/resource-budgets", operation_id="platform_resource_budgets", summary="Rank budgets", responses=QUESTION)
async def platform_resource_budgets(
    service: GivenService, artifact_type: NameQuery = None, limit: Limit = 100
) -> Page[ResourceBudget]:
    """As `get_resource_budget_rankings`."""
    return await service.market.get_resource_budget_rankings(artifact_type, limit)


def _market(service: Service, market_id: str | None) -> str:
    """The market that is meant. Raises `Invalid` where there is no telling."""
    if market_id is not None:
        return market_id
    markets, only = service.market.read(lambda state: (len(state.markets), next(iter(state.markets), "")))
    if markets == 1:
        return only
    raise Invalid("market_id", "", f"the market that is meant: there are {markets}")


HANDLERS = (auction_order_book, auction_stats, platform_wallets, token_earnings, platform_resource_budgets)
