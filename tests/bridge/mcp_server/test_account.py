"""As which account the tools act: the one that is named, else the only one of the key; never a guess."""

import asyncio
from typing import Any, cast

import pytest

from callmarket import AsyncClient, Forbidden, Invalid
from callmarket.bridge.client.own_account import KeyInfo
from callmarket.bridge.mcp_server.calls import Agent


class Asked:
    """A market that says who one is, and counts how often it is asked."""

    def __init__(self, *accounts: str) -> None:
        self.info = KeyInfo("key-1", accounts)
        self.times = 0

    async def send(self, _: Any) -> KeyInfo:
        self.times += 1
        return self.info


def account_of(market: Asked, named: str = "") -> list[str]:
    """What it is when it is asked for twice."""

    async def ask() -> list[str]:
        agent = Agent(cast(AsyncClient, market), named)
        return [await agent.account(), await agent.account()]

    return asyncio.run(ask())


def test_the_only_account_of_a_key_is_asked_for_once() -> None:
    market = Asked("alpha")
    assert account_of(market) == ["alpha", "alpha"]
    assert market.times == 1


def test_one_that_is_named_is_not_asked_for() -> None:
    market = Asked("alpha", "beta")
    assert account_of(market, "beta") == ["beta", "beta"]
    assert market.times == 0


def test_a_key_without_an_account_bids_for_nobody() -> None:
    with pytest.raises(Forbidden, match="key key-1 has no account to bid for"):
        account_of(Asked())


@pytest.mark.parametrize(
    ("accounts", "shown"), [(("alpha", "beta"), "alpha, beta"), (("*",), r"\*"), (("alpha", "*"), r"alpha, \*")]
)
def test_of_several_accounts_none_is_chosen(accounts: tuple[str, ...], shown: str) -> None:
    """Also where it is every account: `*` is no account, and the first bid of it would be refused as unknown."""
    with pytest.raises(Invalid, match=rf"account: expected one of {shown}, set by the operator of these tools"):
        account_of(Asked(*accounts))
