"""What each tool does: one question or one command to the served market, as the key's account.

Rule of this file: one function per tool; it returns what the market answered, as it is. Nothing is remembered but whose
the key is.
"""

import secrets
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from callmarket.bridge.api.accounts import Wallet
from callmarket.bridge.api.awards import AwardRow
from callmarket.bridge.api.bids import AmendedBid, BidRow, Outcome, PlacedBid
from callmarket.bridge.api.errors import Forbidden, Invalid
from callmarket.bridge.api.markets import MarketRow, OrderBook, Quote
from callmarket.bridge.api.results import Page, Stamp
from callmarket.bridge.api.slots import Settled, Voided
from callmarket.bridge.client import AsyncClient
from callmarket.bridge.client.call import PREFIX, reader
from callmarket.bridge.client.call import Call as HttpCall
from callmarket.bridge.mcp_server import inputs

_ACCOUNTS_SHOWN_MAX: Final = 5


class Me(Struct, frozen=True):
    """Of what the market says about a key, what matters here."""

    key_id: str
    accounts: tuple[str, ...]


_WHOAMI: Final[HttpCall[Me]] = HttpCall("GET", f"{PREFIX}/me", reader(Me))


class Agent:
    """Who calls: a key's view of the market, and its account once that is known."""

    def __init__(self, market: AsyncClient, account: str = "") -> None:
        """Act with this key, for this account; empty for the only one of the key."""
        self.market: Final = market
        self._account = account

    async def account(self) -> str:
        """The account that acts. Raises `Forbidden` if the key has none, `Invalid` where there is no telling which."""
        if not self._account:
            me = await self.market.send(_WHOAMI)
            if not me.accounts:
                raise Forbidden(f"key {me.key_id} has no account to bid for")
            if len(me.accounts) > 1 or me.accounts == ("*",):
                shown = ", ".join(me.accounts[:_ACCOUNTS_SHOWN_MAX])
                raise Invalid("account", "", f"one of {shown}, which whoever runs these tools sets")
            self._account = me.accounts[0]
        return self._account


class Call(Struct, frozen=True):
    """One call of a tool: who calls, and what makes it safe to repeat."""

    agent: Agent
    command_id: str = ""

    @property
    def market(self) -> AsyncClient:
        """The market, as the caller sees it."""
        return self.agent.market


def command_id_of(name: str, asked: inputs.Ask) -> str:
    """What makes a call safe to repeat.

    An award is settled or voided once and a bid cancelled once, so the same call means the same thing: its arguments
    are the key. The same bid may be wanted again after it lost, so there a repetition has to say that it is one.
    """
    if isinstance(asked, inputs.PlaceBid | inputs.AmendBid):
        return asked.idempotency_key or f"mcp-{secrets.token_hex(12)}"
    if isinstance(asked, inputs.Settle | inputs.Void | inputs.CancelBid):
        return f"mcp-{name}-{sha256(msgspec.json.encode(asked)).hexdigest()[:24]}"
    return ""


async def markets(call: Call, _asked: inputs.Markets) -> Page[MarketRow]:
    """All markets, cut to what a model can read."""
    return shortened(await call.market.markets())


async def quote(call: Call, asked: inputs.Quote) -> Quote:
    """Whether a price would win now, minding the account's tokens and bids."""
    return await call.market.quote(
        asked.market_id, asked.max_price_tokens, bidder_id=await call.agent.account(), task_id=asked.task_id
    )


async def order_book(call: Call, asked: inputs.ShowOrderBook) -> OrderBook:
    """The best of the book."""
    return await call.market.get_order_book(asked.market_id, asked.limit, asked.limit)


async def place_bid(call: Call, asked: inputs.PlaceBid) -> PlacedBid:
    """Bid."""
    return await call.market.place_bid(
        asked.market_id,
        await call.agent.account(),
        asked.task_id,
        asked.max_price_tokens,
        expected_value_usd=asked.expected_value_usd,
        ttl_at=asked.ttl_at,
        time_in_force=asked.time_in_force,
        command_id=call.command_id,
    )


async def amend_bid(call: Call, asked: inputs.AmendBid) -> AmendedBid:
    """Change a bid."""
    return await call.market.amend_bid(
        asked.bid_id, max_price_tokens=asked.max_price_tokens, ttl_at=asked.ttl_at, command_id=call.command_id
    )


async def cancel_bid(call: Call, asked: inputs.CancelBid) -> Stamp:
    """Take a bid back."""
    return await call.market.cancel_bid(asked.bid_id, command_id=call.command_id)


async def my_bids(call: Call, asked: inputs.MyBids) -> Page[BidRow]:
    """The account's bids."""
    bidder_id = await call.agent.account()
    return await call.market.bids(asked.market_id, bidder_id, asked.status, limit=asked.limit, after=asked.after)


async def my_awards(call: Call, asked: inputs.MyAwards) -> Page[AwardRow]:
    """The account's awards; where there is none and it may wait, the first one."""
    return await call.market.awards(
        asked.market_id,
        await call.agent.account(),
        None if asked.status == "any" else asked.status,
        limit=asked.limit,
        after=asked.after,
        wait_s=asked.wait_s,
    )


async def settle(call: Call, asked: inputs.Settle) -> Settled:
    """Report an award's work done."""
    return await call.market.settle(
        asked.slot_id,
        asked.actual_cost_tokens,
        asked.actual_impact,
        provider_id=asked.provider_id,
        award_id=asked.award_id,
        command_id=call.command_id,
    )


async def void(call: Call, asked: inputs.Void) -> Voided:
    """Report an award's provider failed."""
    return await call.market.void(
        asked.slot_id, provider_id=asked.provider_id, award_id=asked.award_id, command_id=call.command_id
    )


async def wallet(call: Call, asked: inputs.ShowWallet) -> Wallet:
    """A wallet, the account's own where none is named."""
    return await call.market.wallet(asked.account_id or await call.agent.account())


async def why(call: Call, asked: inputs.Why) -> Outcome:
    """Why a bid won or lost."""
    return await call.market.why(asked.bid_id)


def shortened(page: Page[MarketRow]) -> Page[MarketRow]:
    """Its first rows. There are never more than a thousand markets, and hardly ever more than a few."""
    return msgspec.structs.replace(page, items=page.items[: inputs.ROWS_MAX])
