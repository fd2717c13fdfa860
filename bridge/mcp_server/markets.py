"""The clients of the served market, for one key or for many.

Rule of this file: bounded. The client and the account of a recently used key are kept, since making a client takes
longer than most calls. They are looked up by the whole key, so keys cannot share a client.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from callmarket.bridge.client import AsyncClient
from callmarket.bridge.mcp_server.calls import Agent

# MCP clients often time out after a minute, after which the model gets no answer at all.
ANSWER_S_MAX: Final = 8.0
# Kept clients; each costs a megabyte and a few connections. Further keys get a new client for each call.
KEYS_KEPT: Final = 64


def market_of(url: str, key: str, account: str) -> AsyncClient:
    """A client of the served market with this key and account. Raises `Invalid`."""
    return AsyncClient(url, key, account=account, timeout_s=ANSWER_S_MAX)


class Agents:
    """The agents that call, by key and account."""

    def __init__(self, url: str) -> None:
        """Agents of the market at `url`."""
        self._url = url
        # In order of last use, most recent last.
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
        """Close surplus agents that are not in use, least recently used first."""
        surplus = len(self._agents) - KEYS_KEPT
        for who in [who for who in self._agents if who not in self._calls][: max(surplus, 0)]:
            await self._agents.pop(who).market.close()
