"""What a tool call does: it performs one operation of the served market as the key's account.

Rule of this file: the differences between calls by tools and by programs; nothing depends on a particular tool. Only
the account of the key is remembered.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import msgspec

from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.client import AsyncClient
from callmarket.bridge.client.own_account import WHOAMI, only_account
from callmarket.bridge.mcp_server import inputs


class Agent:
    """The caller of tools: the market as its key sees it, and its account once that is known."""

    def __init__(self, market: AsyncClient, account: str = "") -> None:
        """Act for this account; empty means the only account of the key."""
        self.market: Final = market
        self._account = account

    async def account(self) -> str:
        """The account that acts. Raises `Forbidden` if the key has none, `Invalid` if it has several."""
        if not self._account:
            self._account = only_account(await self.market.send(WHOAMI), "set by the operator of these tools")
        return self._account


# Turns the arguments of a tool into those of its operation, given the account of the caller.
Adapt = Callable[[dict[str, Any], str], dict[str, Any]]


def as_bidder(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The caller's account is the bidder."""
    return given | {"bidder_id": own}


def as_trader(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The caller's account trades, or is looked at."""
    return given | {"account_id": own}


def as_owner_of_awards(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The caller's account is the bidder; the status `any` becomes no filter."""
    return as_bidder(given, own) | {"status": None if given["status"] == "any" else given["status"]}


def own_wallet(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The wallet defaults to the caller's own."""
    return {"account_id": given["account_id"] or own}


def as_deep_as_wide(given: dict[str, Any], _: str) -> dict[str, Any]:
    """`limit` also bounds the number of price levels."""
    return given | {"depth": given["limit"]}


def as_asked(given: dict[str, Any], _: str) -> dict[str, Any]:
    """The arguments are passed on unchanged."""
    return given


def command_id_of(name: str, asked: inputs.Ask) -> str:
    """The command id of a call that changes the market, which makes it safe to repeat.

    An award is settled or voided once, and a bid is cancelled once, so the id is a hash of the arguments: repeating the
    call is a retry. Placing or amending a bid may be meant anew with the same arguments, for example after the bid
    lost; there a retry must name the `idempotency_key`.
    """
    if hasattr(asked, "idempotency_key"):
        return asked.idempotency_key or f"mcp-{secrets.token_hex(12)}"
    return f"mcp-{name}-{sha256(msgspec.json.encode(asked)).hexdigest()[:24]}"


async def called(agent: Agent, operation: Operation[..., Any], asked: inputs.Ask, adapt: Adapt, command_id: str) -> Any:
    """Perform the operation of a tool and return its result, shortened for a model."""
    given = msgspec.structs.asdict(asked)
    given.pop("idempotency_key", None)
    own = "" if adapt in (as_asked, as_deep_as_wide) or given.get("account_id") else await agent.account()
    arguments = adapt(given, own)
    if operation.has_command_id:
        arguments |= {"command_id": command_id}
    return shortened(await agent.market.perform(operation, (), arguments))


def shortened(answer: Any) -> Any:
    """The first `ROWS_MAX` rows of a page; other results unchanged. Only the list of markets may be longer."""
    if not isinstance(answer, Page):
        return answer
    return msgspec.structs.replace(answer, items=answer.items[: inputs.ROWS_MAX])
