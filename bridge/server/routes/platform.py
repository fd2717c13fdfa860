"""Aliases of operations, under the paths of an agent platform's own auction.

Rule of this file: no logic of its own. Each route does what an operation of `/api/v1` does, and needs a key like all.
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
    """The same as `get_order_book`. `market_id` is optional if there is only one market."""
    return await service.market.get_order_book(_market(service, market_id), limit, depth)


@route("GET", "/api/compute-auction/stats", "Platform", "Recent statistics", problems=(404,))
async def auction_stats(
    service: Service,
    _: Caller,
    market_id: Named | None = None,
    period: Period = timedelta(hours=24),
    limit: Limit = ROWS_MAX,
) -> RecentStats:
    """The same as `get_recent_stats`. `market_id` is optional if there is only one market."""
    return await service.market.get_recent_stats(_market(service, market_id), period, limit=limit)


@route("GET", "/api/wallets", "Platform", "List wallets", problems=(404,))
async def platform_wallets(
    service: Service, _: Caller, limit: Limit = 100, after: After | None = None
) -> Page[WalletRow]:
    """The same as `wallets`."""
    return await service.market.wallets(limit=limit, after=after)


@route("GET", "/api/token/earnings/{account_id}", "Platform", "Earnings of an account", problems=(404,))
async def token_earnings(
    service: Service,
    _: Caller,
    account_id: PathName,
    limit: Limit = 100,
    after: After | None = None,
    order: Order = "newest",
) -> Earnings:
    """The same as `earnings`."""
    return await service.market.earnings(account_id, limit=limit, after=after, order=order)


@route("GET", "/api/market/resource-budgets", "Platform", "Rank budgets", problems=(404,))
async def platform_resource_budgets(
    service: Service, _: Caller, artifact_type: Named | None = None, limit: Limit = 100
) -> Page[ResourceBudget]:
    """The same as `get_resource_budget_rankings`."""
    return await service.market.get_resource_budget_rankings(artifact_type, limit)


def _market(service: Service, market_id: str | None) -> str:
    """The market that the request names, or the only market. Raises `Invalid` if none is named and there is not one."""
    if market_id is not None:
        return market_id
    markets, only = service.market.read(lambda state: (len(state.markets), next(iter(state.markets), "")))
    if markets == 1:
        return only
    raise Invalid("market_id", "", f"a market: there are {markets}")


ENDPOINTS = (auction_order_book, auction_stats, platform_wallets, token_earnings, platform_resource_budgets)
