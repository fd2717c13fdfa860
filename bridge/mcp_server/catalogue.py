"""The tools: what each is called, says of itself, is asked with and gives, and how a client may treat it.

Rule of this file: data. The descriptions are for a model that decides by them alone what to call, with what, and what
it costs; a test keeps their shape from changing unnoticed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.operations import accounts, awards, bids, markets, slots
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.mcp_server import calls, inputs, rendering

R = TypeVar("R")


@dataclass(frozen=True)
class Tool:
    """One tool. `reads`: it changes nothing. `repeats`: calling it twice is as calling it once."""

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
        """What it gives."""
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
    # With one type for what is given and told, so that the type checker sees them fit.
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
        "Say whether a bid of yours at this price would win if the market were called now, what it would pay, and the",
        "lowest price that would win. Free, binds nobody and promises nothing: others may bid before the call.",
        adapt=calls.as_bidder,
    ),
    _tool(
        "order_book",
        markets.get_order_book,
        inputs.ShowOrderBook,
        rendering.order_book,
        "Look at the order book",
        "Show the best open bids, the best prices with the number of bids at each, and the first slots on offer.",
        "To learn whether a price would win, quote is shorter and exact.",
        adapt=calls.as_deep_as_wide,
    ),
    _tool(
        "place_bid",
        bids.place_bid,
        inputs.PlaceBid,
        rendering.placed,
        "Place a bid",
        "Bid for one slot for one task of yours. The whole max_price_tokens is held from your wallet at once: all",
        "of it comes back if the bid loses, expires or is cancelled; a winner pays the price of its award, which is",
        "never more, and gets the rest back. With one task under the default rule first_rejected, and with any",
        "number under vickrey, it is best to bid exactly what the slot is worth to you. After it, wait with",
        "my_awards. On FUNDS_INSUFFICIENT bid less, cancel a bid that matters less, or wait for holds to come back.",
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
        "Change the price or the deadline of an open bid of yours; leave out what shall stay. A new price takes a new",
        "place among equal prices, and a higher one holds more tokens.",
        repeats=False,
    ),
    _tool(
        "cancel_bid",
        bids.cancel_bid,
        inputs.CancelBid,
        rendering.cancelled,
        "Cancel a bid",
        "Take back an open bid of yours: its whole hold is available again at once. A bid that has won cannot be taken",
        "back: settle its award.",
        destroys=True,
    ),
    _tool(
        "my_bids",
        bids.bids,
        inputs.MyBids,
        rendering.bids,
        "List my bids",
        "List your bids and where each stands: open, won, lost, expired, cancelled, settled, voided or lapsed.",
        adapt=calls.as_bidder,
    ),
    _tool(
        "my_awards",
        awards.awards,
        inputs.MyAwards,
        lambda found: rendering.awards(found, datetime_of(system_clock())),
        "List or await my awards",
        "List what you have won and still have to settle. With wait_s, where there is nothing yet, wait for the next",
        "call that you win: cheaper than asking again and again. Each award names its slot (provider_id, slot_id), its",
        "price, and lease_until: do the work and settle before then, or the award lapses and its price may be lost.",
        adapt=calls.as_owner_of_awards,
    ),
    _tool(
        "settle",
        slots.settle,
        inputs.Settle,
        rendering.settled,
        "Settle an award",
        "Report the work of an award done. You pay the award's price, which is held already, whatever the work cost.",
        "Has to come before lease_until. It cannot be undone; the same report twice is counted once. In a market that",
        "pays for impact a bidder may not report it: the provider or an operator does.",
        destroys=True,
    ),
    _tool(
        "void",
        slots.void,
        inputs.Void,
        rendering.voided,
        "Void an award",
        "For providers and operators: report that the slot of an award failed. The bidder gets its whole hold back. It",
        "cannot be undone.",
        destroys=True,
    ),
    _tool(
        "wallet",
        accounts.wallet,
        inputs.ShowWallet,
        rendering.wallet,
        "Look at a wallet",
        "Show your tokens: the balance, what is held for open bids and awards, and available_tokens, which is what you",
        "can bid.",
        adapt=calls.own_wallet,
    ),
    _tool(
        "why",
        bids.why,
        inputs.Why,
        rendering.why,
        "Why did this bid win or lose?",
        "Say in words why a bid won, lost or is still open, with the price that decided it.",
    ),
)

BY_NAME: Final = {tool.name: tool for tool in TOOLS}
