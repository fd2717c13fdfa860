"""The way from the tools to the served market, for one key or for many.

Rule of this file: bounded. A key's client is kept while it is used, with whose the key is, since to make one takes
longer than most calls; it is found by its whole key alone, so nobody meets another's.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from callmarket.bridge.client import AsyncClient
from callmarket.bridge.mcp_server.calls import Agent

# Clients of the protocol give up after a minute, often; a model that hears nothing by then learns nothing.
ANSWER_S_MAX: Final = 8.0
# Keys whose clients are kept; each costs a megabyte and a few connections. More are served, and made anew each time.
KEYS_KEPT: Final = 64


def market_of(url: str, key: str, account: str) -> AsyncClient:
    """The served market, as this key sees it. Raises `Invalid`."""
    return AsyncClient(url, key, account=account, timeout_s=ANSWER_S_MAX)


class Agents:
    """Whoever calls, by key and account."""

    def __init__(self, url: str) -> None:
        """For the market that is served there."""
        self._url = url
        # The last one used is the last one here.
        self._agents: OrderedDict[tuple[str, str], Agent] = OrderedDict()
        self._calls: dict[tuple[str, str], int] = {}

    @asynccontextmanager
    async def using(self, key: str, account: str) -> AsyncIterator[Agent]:
        """The agent with this key, for this account, for one call. Raises `Invalid`."""
        who = (key, account)
        agent = self._agents.get(who)
        if agent is None:
            agent = self._agents[who] = Agent(market_of(self._url, key, account), account)
        self._agents.move_to_end(who)
        self._calls[who] = self._calls.get(who, 0) + 1
        try:
            yield agent
        finally:
            self._calls[who] -= 1
            if not self._calls[who]:
                del self._calls[who]
            await self._shrink()

    async def close(self) -> None:
        """Close all connections."""
        while self._agents:
            _, agent = self._agents.popitem()
            await agent.market.close()

    async def _shrink(self) -> None:
        """Let go of those that were not used for the longest time, and are not in use."""
        surplus = len(self._agents) - KEYS_KEPT
        for who in [who for who in self._agents if who not in self._calls][: max(surplus, 0)]:
            await self._agents.pop(who).market.close()
