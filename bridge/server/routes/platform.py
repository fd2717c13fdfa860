"""Aliases of operations, under the paths of an agent platform's own auction and market.

Rule of this file: no logic of its own. Each route does what an operation of `/api/v1` does, and needs a key like all.
"""

from datetime import timedelta
from typing import Final

from callmarket.bridge.api.checks import ROWS_MAX
from callmarket.bridge.api.contract.fields import (
    ActingAccount,
    After,
    Depth,
    Limit,
    LimitPrice,
    Named,
    Order,
    OrderDeadline,
    OrderLife,
    PathName,
    Period,
    SideWord,
    Spent,
    WhichPosition,
)
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.api.operations.accounts import Earnings, WalletRow
from callmarket.bridge.api.operations.artifact_books import ArtifactBook
from callmarket.bridge.api.operations.markets import OrderBook
from callmarket.bridge.api.operations.portfolios.holdings import Portfolio
from callmarket.bridge.api.operations.portfolios.performance import BestBy, Leader, LeadersLimit, PeriodDays
from callmarket.bridge.api.operations.positions import Placed, PositionsLimit, close_position, open_position
from callmarket.bridge.api.operations.resource_budgets import ResourceBudget
from callmarket.bridge.api.operations.rounds import RecentStats
from callmarket.bridge.server.endpoint import Endpoint
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


_AN_ORDER: Final = {"artifact_id": "hypothesis-1", "side": "yes", "amount_tokens": 10, "limit_price": 0.6}


def _ordering(name: str, path: str, summary: str, doc: str) -> Endpoint:
    """An endpoint of the platform that opens a position: it has two, which say the same."""

    async def order(
        service: Service,
        caller: Caller,
        artifact_id: PathName,
        account_id: ActingAccount,
        side: SideWord,
        amount_tokens: Spent,
        limit_price: LimitPrice | None = None,
        time_in_force: OrderLife = "ioc",
        expires_at: OrderDeadline | None = None,
        *,
        command_id: str = "",
        ack: Ack,
    ) -> Placed:
        given = {
            "artifact_id": artifact_id,
            "account_id": account_id,
            "side": side,
            "amount_tokens": amount_tokens,
            "limit_price": limit_price,
            "time_in_force": time_in_force,
            "expires_at": expires_at,
            "command_id": command_id,
        }
        placed: Placed = await service.carry_out(caller, open_position, given, ack)
        return placed

    order.__name__, order.__doc__ = name, doc
    declare = route("POST", path, "Platform", summary, status=201, problems=(402,), is_keyed=True, example=_AN_ORDER)
    return declare(order)


platform_order = _ordering(
    "platform_order",
    "/api/market/order",
    "Place an order",
    "The same as `open_position`. The account that trades is that of the key, never a field.",
)
platform_bid = _ordering("platform_bid", "/api/market/bid", "Bid in a market", "The same as `/api/market/order`.")


@route("GET", "/api/market/book/{artifact_id}", "Platform", "Book of an artifact", problems=(404,))
async def platform_book(service: Service, _: Caller, artifact_id: PathName, depth: Depth = 20) -> ArtifactBook:
    """The same as `artifact_market`."""
    return await service.market.artifact_market(artifact_id, depth)


@route("DELETE", "/api/positions/{position_id}", "Platform", "Cancel a position", is_keyed=True)
async def platform_cancel(
    service: Service, caller: Caller, position_id: WhichPosition, *, command_id: str = "", ack: Ack
) -> Placed:
    """The same as `close_position` of all its shares: they are sold at the market, and not at what they cost."""
    given = {"position_id": position_id, "command_id": command_id}
    placed: Placed = await service.carry_out(caller, close_position, given, ack)
    return placed


@route("GET", "/api/portfolio/leaderboard", "Platform", "Top performers", problems=(404,))
async def platform_leaderboard(
    service: Service, _: Caller, limit: LeadersLimit = 10, order: BestBy = "profit", period_days: PeriodDays = 90
) -> Page[Leader]:
    """The same as `get_top_performers`."""
    return await service.market.get_top_performers(limit, order, period_days)


@route("GET", "/api/portfolio/{account_id}", "Platform", "Portfolio of an account", problems=(404,))
async def platform_portfolio(
    service: Service, _: Caller, account_id: PathName, limit: PositionsLimit = 50, after: After | None = None
) -> Portfolio:
    """The same as `get_portfolio`. An account named `leaderboard` is only at `/api/v1/portfolios/leaderboard`."""
    return await service.market.get_portfolio(account_id, limit=limit, after=after)


def _market(service: Service, market_id: str | None) -> str:
    """The market that the request names, or the only market. Raises `Invalid` if none is named and there is not one."""
    if market_id is not None:
        return market_id
    markets, only = service.market.read(lambda state: (len(state.markets), next(iter(state.markets), "")))
    if markets == 1:
        return only
    raise Invalid("market_id", "", f"a market: there are {markets}")


ENDPOINTS = (
    auction_order_book,
    auction_stats,
    platform_wallets,
    token_earnings,
    platform_resource_budgets,
    platform_order,
    platform_bid,
    platform_book,
    platform_cancel,
    platform_leaderboard,
    platform_portfolio,
)
