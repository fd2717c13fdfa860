"""Second paths to the same answers, under the names that an agent platform's own auction had.

Rule of this file: no answer of its own. Each route asks what an operation of `/api/v1` asks, and needs a key like all.
"""

from datetime import timedelta

from callmarket.bridge.api.checks import ROWS_MAX
from callmarket.bridge.api.contract.fields import After, Depth, Limit, Named, Order, PathName, Period
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.operations.accounts import Earnings, WalletRow
from callmarket.bridge.api.operations.markets import OrderBook
from callmarket.bridge.api.operations.resource_budgets import ResourceBudget
from callmarket.bridge.api.operations.rounds import RecentStats
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service


@route("GET", "/api/compute-auction/order-book", "Platform", "Order book", problems=(404,))
async def auction_order_book(
    service: Service, _: Caller, market_id: Named | None = None, limit: Limit = 100, depth: Depth = 20
) -> OrderBook:
    """As `get_order_book`. The market may be left out where there is only one."""
    return await service.market.get_order_book(_market(service, market_id), limit, depth)


@route("GET", "/api/compute-auction/stats", "Platform", "Recent figures", problems=(404,))
async def auction_stats(
    service: Service,
    _: Caller,
    market_id: Named | None = None,
    period: Period = timedelta(hours=24),
    limit: Limit = ROWS_MAX,
) -> RecentStats:
    """As `get_recent_stats`. The market may be left out where there is only one."""
    return await service.market.get_recent_stats(_market(service, market_id), period, limit=limit)


@route("GET", "/api/wallets", "Platform", "List wallets", problems=(404,))
async def platform_wallets(
    service: Service, _: Caller, limit: Limit = 100, after: After | None = None
) -> Page[WalletRow]:
    """As `wallets`."""
    return await service.market.wallets(limit=limit, after=after)


@route("GET", "/api/token/earnings/{account_id}", "Platform", "What it earned", problems=(404,))
async def token_earnings(
    service: Service,
    _: Caller,
    account_id: PathName,
    limit: Limit = 100,
    after: After | None = None,
    order: Order = "newest",
) -> Earnings:
    """As `earnings`."""
    return await service.market.earnings(account_id, limit=limit, after=after, order=order)


@route("GET", "/api/market/resource-budgets", "Platform", "Rank budgets", problems=(404,))
async def platform_resource_budgets(
    service: Service, _: Caller, artifact_type: Named | None = None, limit: Limit = 100
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


ENDPOINTS = (auction_order_book, auction_stats, platform_wallets, token_earnings, platform_resource_budgets)
