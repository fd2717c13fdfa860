"""The tools: what each is called, says of itself, is asked with and gives, and how a client may treat it.

Rule of this file: data. The descriptions are for a model that decides by them alone what to call, with what, and what
it costs; a test keeps their shape from changing unnoticed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from msgspec import Struct

from callmarket.bridge.api.accounts import Wallet
from callmarket.bridge.api.awards import AwardRow
from callmarket.bridge.api.bids import AmendedBid, BidRow, Outcome, PlacedBid
from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.markets import MarketRow, OrderBook, Quote
from callmarket.bridge.api.results import Page, Stamp
from callmarket.bridge.api.slots import Settled, Voided
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.mcp_server import calls, inputs, words
from callmarket.bridge.mcp_server.calls import Call

A = TypeVar("A", bound=inputs.Ask)
R = TypeVar("R", bound=Struct)


@dataclass(frozen=True)
class Tool:
    """One tool. `reads`: it changes nothing. `repeats`: calling it twice is as calling it once."""

    name: str
    title: str
    description: str
    asks: type[inputs.Ask]
    gives: Any
    run: Callable[[Call, Any], Awaitable[Struct]]
    tell: Callable[[Any], str]
    reads: bool
    repeats: bool
    destroys: bool


def _tool(
    asks: type[A],
    gives: type[R],
    run: Callable[[Call, A], Awaitable[R]],
    tell: Callable[[R], str],
    title: str,
    *sentences: str,
    reads: bool = False,
    repeats: bool = True,
    destroys: bool = False,
) -> Tool:
    # With one type for what is given and told, so that the type checker sees them fit.
    return Tool(run.__name__, title, " ".join(sentences), asks, gives, run, tell, reads, repeats, destroys)


TOOLS: Final = (
    _tool(
        inputs.Markets,
        Page[MarketRow],
        calls.markets,
        words.markets,
        "List markets",
        "List the markets: their rules, slots on offer and open bids. Start here to learn a market_id.",
        reads=True,
    ),
    _tool(
        inputs.Quote,
        Quote,
        calls.quote,
        words.quote,
        "Would this price win?",
        "Say whether a bid of yours at this price would win if the market were called now, what it would pay, and the",
        "lowest price that would win. Free, binds nobody and promises nothing: others may bid before the call.",
        reads=True,
    ),
    _tool(
        inputs.ShowOrderBook,
        OrderBook,
        calls.order_book,
        words.order_book,
        "Look at the order book",
        "Show the best open bids, the best prices with the number of bids at each, and the first slots on offer.",
        "To learn whether a price would win, quote is shorter and exact.",
        reads=True,
    ),
    _tool(
        inputs.PlaceBid,
        PlacedBid,
        calls.place_bid,
        words.placed,
        "Place a bid",
        "Bid for one slot for one task of yours. The whole max_price_tokens is held from your wallet at once: all",
        "of it comes back if the bid loses, expires or is cancelled; a winner pays the price of its award, which is",
        "never more, and gets the rest back. With one task under the default rule first_rejected, and with any",
        "number under vickrey, it is best to bid exactly what the slot is worth to you. After it, wait with",
        "my_awards. On FUNDS_INSUFFICIENT bid less, cancel a bid that matters less, or wait for holds to come back.",
        "A second bid for the same task is refused and costs nothing.",
        repeats=False,
    ),
    _tool(
        inputs.AmendBid,
        AmendedBid,
        calls.amend_bid,
        words.amended,
        "Change a bid",
        "Change the price or the deadline of an open bid of yours; leave out what shall stay. A new price takes a new",
        "place among equal prices, and a higher one holds more tokens.",
        repeats=False,
    ),
    _tool(
        inputs.CancelBid,
        Stamp,
        calls.cancel_bid,
        words.cancelled,
        "Cancel a bid",
        "Take back an open bid of yours: its whole hold is available again at once. A bid that has won cannot be taken",
        "back: settle its award.",
        destroys=True,
    ),
    _tool(
        inputs.MyBids,
        Page[BidRow],
        calls.my_bids,
        words.bids,
        "List my bids",
        "List your bids and where each stands: open, won, lost, expired, cancelled, settled, voided or lapsed.",
        reads=True,
    ),
    _tool(
        inputs.MyAwards,
        Page[AwardRow],
        calls.my_awards,
        lambda found: words.awards(found, datetime_of(system_clock())),
        "List or await my awards",
        "List what you have won and still have to settle. With wait_s, where there is nothing yet, wait for the next",
        "call that you win: cheaper than asking again and again. Each award names its slot (provider_id, slot_id), its",
        "price, and lease_until: do the work and settle before then, or the award lapses and its price may be lost.",
        reads=True,
    ),
    _tool(
        inputs.Settle,
        Settled,
        calls.settle,
        words.settled,
        "Settle an award",
        "Report the work of an award done. You pay the award's price, which is held already, whatever the work cost.",
        "Has to come before lease_until. It cannot be undone; the same report twice is counted once. In a market that",
        "pays for impact a bidder may not report it: the provider or an operator does.",
        destroys=True,
    ),
    _tool(
        inputs.Void,
        Voided,
        calls.void,
        words.voided,
        "Void an award",
        "For providers and operators: report that the slot of an award failed. The bidder gets its whole hold back. It",
        "cannot be undone.",
        destroys=True,
    ),
    _tool(
        inputs.ShowWallet,
        Wallet,
        calls.wallet,
        words.wallet,
        "Look at a wallet",
        "Show your tokens: the balance, what is held for open bids and awards, and available_tokens, which is what you",
        "can bid.",
        reads=True,
    ),
    _tool(
        inputs.Why,
        Outcome,
        calls.why,
        words.why,
        "Why did this bid win or lose?",
        "Say in words why a bid won, lost or is still open, with the price that decided it.",
        reads=True,
    ),
)

BY_NAME: Final = {tool.name: tool for tool in TOOLS}
