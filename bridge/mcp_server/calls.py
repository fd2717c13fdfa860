"""What a tool does: one operation of the served market, as the key's account.

Rule of this file: what is another for a tool than for a program, and nothing of any one tool. Nothing is remembered but
whose the key is.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Forbidden, Invalid
from callmarket.bridge.client import AsyncClient
from callmarket.bridge.client.call import PREFIX, Call, reader
from callmarket.bridge.mcp_server import inputs

_ACCOUNTS_SHOWN_MAX: Final = 5


class KeyInfo(Struct, frozen=True):
    """Of what the market says about a key, what matters here."""

    key_id: str
    accounts: tuple[str, ...]


_WHOAMI: Final[Call[KeyInfo]] = Call("GET", f"{PREFIX}/me", reader(KeyInfo))


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


# What a tool is asked with, as its operation has it; `own` is the account of whoever calls.
Adapt = Callable[[dict[str, Any], str], dict[str, Any]]


def as_bidder(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The account is the bidder."""
    return given | {"bidder_id": own}


def as_owner_of_awards(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The account's awards; a status that is any is none."""
    return as_bidder(given, own) | {"status": None if given["status"] == "any" else given["status"]}


def own_wallet(given: dict[str, Any], own: str) -> dict[str, Any]:
    """The account's own wallet, where none is named."""
    return {"account_id": given["account_id"] or own}


def as_deep_as_wide(given: dict[str, Any], _: str) -> dict[str, Any]:
    """As many prices as bids."""
    return given | {"depth": given["limit"]}


def as_asked(given: dict[str, Any], _: str) -> dict[str, Any]:
    """Nothing is another for a tool."""
    return given


def command_id_of(name: str, asked: inputs.Ask) -> str:
    """What makes a call safe to repeat; empty for a question.

    An award is settled or voided once and a bid cancelled once, so the same call means the same thing: its arguments
    are the key. The same bid may be wanted again after it lost, so there a repetition has to say that it is one.
    """
    if hasattr(asked, "idempotency_key"):
        return asked.idempotency_key or f"mcp-{secrets.token_hex(12)}"
    return f"mcp-{name}-{sha256(msgspec.json.encode(asked)).hexdigest()[:24]}"


async def called(agent: Agent, operation: Operation[..., Any], asked: inputs.Ask, adapt: Adapt, command_id: str) -> Any:
    """What the market answers to an operation."""
    given = msgspec.structs.asdict(asked)
    given.pop("idempotency_key", None)
    own = "" if adapt in (as_asked, as_deep_as_wide) or given.get("account_id") else await agent.account()
    arguments = adapt(given, own)
    if operation.has_command_id:
        arguments |= {"command_id": command_id}
    return shortened(await agent.market.perform(operation, (), arguments))


def shortened(answer: Any) -> Any:
    """The first rows of a page. There are never more than a thousand markets, and hardly ever more than a few."""
    if not isinstance(answer, Page):
        return answer
    return msgspec.structs.replace(answer, items=answer.items[: inputs.ROWS_MAX])
