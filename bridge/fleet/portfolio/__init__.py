"""Portfolios under the names of the platform's own: what an agent has and has earned, and who does best.

Rule of this folder: questions only, over any way to a market.
"""

from callmarket.bridge.api.operations.portfolios.holdings import ArtifactExposure, Pnl, Portfolio
from callmarket.bridge.api.operations.portfolios.performance import Leader, Sharpe
from callmarket.bridge.fleet.portfolio.questions import (
    compute_exposure,
    compute_pnl,
    compute_sharpe,
    get_portfolio,
    get_top_performers,
)

__all__ = [
    "ArtifactExposure",
    "Leader",
    "Pnl",
    "Portfolio",
    "Sharpe",
    "compute_exposure",
    "compute_pnl",
    "compute_sharpe",
    "get_portfolio",
    "get_top_performers",
]
