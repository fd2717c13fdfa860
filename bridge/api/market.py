"""All operations of a market: the one list that `Exchange`, `AsyncExchange`, `Client` and `AsyncClient` share.

Rule of this file: names only. Each operation means the same in all four; `tests/contract` verifies that.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.operations.accounts import Accounts
from callmarket.bridge.api.operations.artifact_books import ArtifactBooks
from callmarket.bridge.api.operations.artifact_markets import ArtifactMarkets
from callmarket.bridge.api.operations.artifact_trades import ArtifactTrades
from callmarket.bridge.api.operations.artifacts import Artifacts
from callmarket.bridge.api.operations.awards import Awards
from callmarket.bridge.api.operations.bids import Bids, PlacedBid
from callmarket.bridge.api.operations.commitments import Commitments
from callmarket.bridge.api.operations.holds import Holds
from callmarket.bridge.api.operations.ledger import Ledger
from callmarket.bridge.api.operations.markets import Markets
from callmarket.bridge.api.operations.portfolios.holdings import PortfolioHoldings
from callmarket.bridge.api.operations.portfolios.performance import PortfolioPerformance
from callmarket.bridge.api.operations.positions import Positions
from callmarket.bridge.api.operations.quest_budgets import QuestBudgetsOfDays
from callmarket.bridge.api.operations.resource_budgets import ResourceBudgets
from callmarket.bridge.api.operations.rounds import Rounds
from callmarket.bridge.api.operations.slots import Slots

T = TypeVar("T")


class Operations(
    Markets,
    Rounds,
    Slots,
    Bids,
    Awards,
    Accounts,
    Holds,
    QuestBudgetsOfDays,
    Artifacts,
    ResourceBudgets,
    Commitments,
    ArtifactMarkets,
    ArtifactBooks,
    ArtifactTrades,
    Positions,
    PortfolioHoldings,
    PortfolioPerformance,
    Ledger,
):
    """The operations of a market, as methods.

    A command returns when its effect is durable. It raises `Refused`, `Invalid`, `Unavailable` or `UnknownOutcome`;
    with a `command_id` it may be sent again. A question raises `NotFound` for a thing that does not exist, `Invalid`
    for a bad argument, and `Unavailable` if it cannot be answered. Each answer has the `seq` that it was read at, and
    the last durable row (`durable_seq`). Lists come in pages: hand `next` back as `after`.
    """


class Market(Operations):
    """A market, for threads: in this process or over a network."""

    def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Perform one operation with these arguments and return its result."""
        raise NotImplementedError

    def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`place_bid.request` makes each); one outcome for each.

        An `Exchange` takes up to 1,000 bids and applies them together; a `Client` takes any number and sends up to
        1,000 in each request.
        """
        raise NotImplementedError


class AsyncMarket(Operations):
    """A market, for asyncio: in this process or over a network."""

    async def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Perform one operation with these arguments and return its result."""
        raise NotImplementedError

    async def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once. The same as `Market.place_bids`."""
        raise NotImplementedError


def all_operations() -> Iterator[Operation[..., Any]]:
    """Each operation once, in the order of `Operations`."""
    for part in Operations.__bases__:
        yield from (one for one in vars(part).values() if isinstance(one, Operation))
