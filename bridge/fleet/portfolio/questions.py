"""The platform's five questions about portfolios. An agent is an account.

Rule of this file: over any way to a market, and nothing that only one of them could do. What each figure means is in
docs/portfolios.md.
"""

from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.portfolios.holdings import ArtifactExposure, Pnl, Portfolio
from callmarket.bridge.api.operations.portfolios.performance import Leader, LeaderOrder, Sharpe
from callmarket.bridge.api.operations.positions import POSITIONS_PER_PAGE_MAX


def get_portfolio(market: Market, agent_id: str) -> Portfolio:
    """What an agent has: wallet, purse, equity, exposure, profit, and its first hundred positions.

    More positions: `market.get_portfolio(agent_id, after=portfolio.next)`. Raises `NotFound`.
    """
    return market.get_portfolio(agent_id, limit=POSITIONS_PER_PAGE_MAX)


def compute_pnl(market: Market, agent_id: str) -> Pnl:
    """What an agent has realised, what it has not, and what closing all would bring now. Raises `NotFound`."""
    return market.compute_pnl(agent_id)


def compute_exposure(market: Market, agent_id: str) -> dict[str, ArtifactExposure]:
    """What an agent has in each artifact. Raises `NotFound`. Asks a page for every hundred artifacts."""
    found: dict[str, ArtifactExposure] = {}
    after: str | None = None
    while True:
        page = market.compute_exposure(agent_id, limit=POSITIONS_PER_PAGE_MAX, after=after)
        found.update((one.artifact_id, one) for one in page.items)
        after = page.next
        if after is None:
            return found


def compute_sharpe(market: Market, agent_id: str, period_days: int = 30) -> Sharpe:
    """The Sharpe ratio of an agent's last days; None in it, with a reason, if they cannot say it. Raises `NotFound`."""
    return market.compute_sharpe(agent_id, period_days)


def get_top_performers(market: Market, limit: int = 10, order: LeaderOrder = "profit") -> tuple[Leader, ...]:
    """The agents that did best where artifacts were judged, in five or more of them."""
    return market.get_top_performers(limit, order).items
