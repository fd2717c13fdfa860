"""The tools: names, descriptions, arguments, results, and hints for clients.

Rule of this file: data only. A model decides by the descriptions alone which tool to call, with which arguments, and at
which cost. A test compares all of it with a golden file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.operations import accounts, artifact_books, awards, bids, markets, positions, slots
from callmarket.bridge.api.operations.portfolios import holdings
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.mcp_server import artifact_rendering, calls, inputs, rendering

R = TypeVar("R")


@dataclass(frozen=True)
class Tool:
    """One tool. `reads`: it changes nothing. `repeats`: it is idempotent. `destroys`: its effect cannot be undone."""

    name: str
    title: str
    description: str
    operation: Operation[..., Any]
    asks: type[inputs.Ask]
    adapt: calls.Adapt
    tell: Callable[[Any], str]
    repeats: bool
    destroys: bool

    @property
    def gives(self) -> Any:
        """The type of its result."""
        return self.operation.result

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return not self.operation.is_change


def _tool(
    name: str,
    operation: Operation[..., R],
    asks: type[inputs.Ask],
    tell: Callable[[R], str],
    title: str,
    *sentences: str,
    adapt: calls.Adapt = calls.as_asked,
    repeats: bool = True,
    destroys: bool = False,
) -> Tool:
    # One type variable for the result and its rendering, so that the type checker compares them.
    return Tool(name, title, " ".join(sentences), operation, asks, adapt, tell, repeats, destroys)


TOOLS: Final = (
    _tool(
        "markets",
        markets.markets,
        inputs.Markets,
        rendering.markets,
        "List markets",
        "List the markets: their rules, slots on offer and open bids. Start here to learn a market_id.",
    ),
    _tool(
        "quote",
        markets.quote,
        inputs.Quote,
        rendering.quote,
        "Would this price win?",
        "Check whether a bid of yours at this price would win if the market were called now, what it would pay, and",
        "the lowest price that would win. Free and not binding: others may bid before the call.",
        adapt=calls.as_bidder,
    ),
    _tool(
        "order_book",
        markets.get_order_book,
        inputs.ShowOrderBook,
        rendering.order_book,
        "Show the order book",
        "Show the best open bids, the best prices with the number of bids at each, and the first slots on offer.",
        "To check whether a price would win, use quote: it is shorter and exact.",
        adapt=calls.as_deep_as_wide,
    ),
    _tool(
        "place_bid",
        bids.place_bid,
        inputs.PlaceBid,
        rendering.placed,
        "Place a bid",
        "Bid for one slot for one task of yours. The whole max_price_tokens is held in your wallet at once. All of it",
        "is released if the bid loses, expires or is cancelled; a winner pays the price of its award, which is never",
        "more, and the rest is released. With one task under the default rule first_rejected, and with any number",
        "of tasks under vickrey, it is best to bid exactly what the slot is worth to you. Then wait with my_awards.",
        "On FUNDS_INSUFFICIENT bid less, cancel a less important bid, or wait for holds to be released.",
        "A second bid for the same task is refused and costs nothing.",
        repeats=False,
        adapt=calls.as_bidder,
    ),
    _tool(
        "amend_bid",
        bids.amend_bid,
        inputs.AmendBid,
        rendering.amended,
        "Change a bid",
        "Change the price or the deadline of an open bid of yours; leave out what should stay. A new price loses the",
        "bid's time priority among equal prices, and a higher one holds more tokens.",
        repeats=False,
    ),
    _tool(
        "cancel_bid",
        bids.cancel_bid,
        inputs.CancelBid,
        rendering.cancelled,
        "Cancel a bid",
        "Cancel an open bid of yours: its whole hold is available again at once. A bid that has won cannot be",
        "cancelled: settle its award.",
        destroys=True,
    ),
    _tool(
        "my_bids",
        bids.bids,
        inputs.MyBids,
        rendering.bids,
        "List my bids",
        "List your bids and their statuses: open, won, lost, expired, cancelled, settled, voided or lapsed.",
        adapt=calls.as_bidder,
    ),
    _tool(
        "my_awards",
        awards.awards,
        inputs.MyAwards,
        lambda found: rendering.awards(found, datetime_of(system_clock())),
        "List or await my awards",
        "List the awards that you have won and must still settle. With wait_s, if there is none yet, wait for the next",
        "one: this is cheaper than polling. Each award names its slot (provider_id, slot_id), its price, and",
        "lease_until: do the work and settle before then, or the award lapses and its price may be lost.",
        adapt=calls.as_owner_of_awards,
    ),
    _tool(
        "settle",
        slots.settle,
        inputs.Settle,
        rendering.settled,
        "Settle an award",
        "Report that the work of an award is done. You pay the award's price, which is held already, whatever the work",
        "cost. Call it before lease_until. It cannot be undone; repeating the same report is safe. In a market that",
        "pays for impact the bidder may not settle: the provider or an operator does.",
        destroys=True,
    ),
    _tool(
        "void",
        slots.void,
        inputs.Void,
        rendering.voided,
        "Void an award",
        "For providers and operators: report that the slot of an award failed. The bidder's whole hold is released.",
        "It cannot be undone.",
        destroys=True,
    ),
    _tool(
        "wallet",
        accounts.wallet,
        inputs.ShowWallet,
        rendering.wallet,
        "Show a wallet",
        "Show your tokens: the balance, the tokens held for open bids and awards, and available_tokens, which you can",
        "bid.",
        adapt=calls.own_wallet,
    ),
    _tool(
        "why",
        bids.why,
        inputs.Why,
        rendering.why,
        "Why did this bid win or lose?",
        "Explain why a bid won, lost or is still open, with the price that decided it.",
    ),
    _tool(
        "artifact_markets",
        artifact_books.artifact_markets,
        inputs.ArtifactMarkets,
        artifact_rendering.markets,
        "List artifact markets",
        "List the markets for positions in artifacts, with the price of a long share in each: what traders think is",
        "the probability that the artifact holds. Start here to learn an artifact_id.",
    ),
    _tool(
        "artifact_book",
        artifact_books.artifact_market,
        inputs.ArtifactBook,
        artifact_rendering.book,
        "Show an artifact market",
        "Show the price of an artifact, how many tokens move it how far, the resting orders, the exit fee and the",
        "rules.",
    ),
    _tool(
        "artifact_quote",
        positions.quote_open,
        inputs.ArtifactQuote,
        artifact_rendering.quote,
        "What would buying do?",
        "Check what artifact_trade with these arguments would do now: the shares, their average price, what they pay",
        "if right, and what selling them at once would bring. Free and not binding: others may trade before you.",
        adapt=calls.as_trader,
    ),
    _tool(
        "artifact_trade",
        positions.open_position,
        inputs.ArtifactTrade,
        artifact_rendering.traded,
        "Buy shares in an artifact",
        "Buy shares of one side of an artifact with your tokens. A share pays one token if its side proves right when",
        "the artifact is settled (`validated`: long pays 1; `deprecated`: short pays 1; `flagged`: long pays 0.25 and",
        "short 0.75; `void`: costs back), else nothing. Buy only if you know something that the price does not: set",
        "limit_price to the probability that you believe in. Your own buying moves the price against you: spending",
        "the market's subsidy S on a side halves the remaining doubt, so from 0.5 it goes to 0.75, then to 0.875.",
        "Selling before the settlement pays the exit fee of its proceeds, so buying and selling again loses. It takes",
        "effect at once; ask artifact_quote first. To be on the other side, buy the other side: you need no shares",
        "for that.",
        repeats=False,
        destroys=True,
        adapt=calls.as_trader,
    ),
    _tool(
        "artifact_close",
        positions.close_position,
        inputs.ArtifactClose,
        artifact_rendering.traded,
        "Sell shares of a position",
        "Sell shares of a position of yours at the market, for at least limit_price each. The exit fee is taken from",
        "the proceeds; what the shares have cost does not matter. Held to the settlement they pay no fee, so sell",
        "only if you think less of them than their price less the fee, or need the tokens. my_portfolio says what all",
        "would bring.",
        repeats=False,
        destroys=True,
    ),
    _tool(
        "artifact_cancel",
        positions.cancel_order,
        inputs.ArtifactCancel,
        artifact_rendering.cancelled,
        "Cancel a resting order",
        "Cancel a resting order of yours in an artifact market. It is free: all tokens or shares that are left of it",
        "are available again at once. What was traded stays; sell a position with artifact_close.",
        destroys=True,
    ),
    _tool(
        "my_portfolio",
        holdings.get_portfolio,
        inputs.MyPortfolio,
        artifact_rendering.portfolio,
        "Show my portfolio",
        "Show what you have in artifact markets: what you have realised, how much of your wealth is committed, and",
        "your open positions with their shares, cost, present price and exit value, which is what selling all of a",
        "position now would bring after its effect on the price and the exit fee.",
        adapt=calls.as_trader,
    ),
    _tool(
        "my_orders",
        positions.orders,
        inputs.MyOrders,
        artifact_rendering.orders,
        "List my resting orders",
        "List your orders that rest in artifact markets: they trade when others meet their price, until they expire.",
        adapt=calls.as_trader,
    ),
)

BY_NAME: Final = {tool.name: tool for tool in TOOLS}
