"""The tools on standard input and output, for the client that started this process.

Rule of this file: stdout carries the protocol only; logs go to stderr. The process ends when its input ends, or when
the reader of its output is gone.
"""

import asyncio
import os
import select
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.stdio import stdio_server

from callmarket.bridge.mcp_server.calls import Agent
from callmarket.bridge.mcp_server.markets import market_of
from callmarket.bridge.mcp_server.server import Context, tools_server


def serve(url: str, key: str, account: str) -> None:
    """Serve the tools until input or output end, with this key for this account (empty: the key's only one)."""
    # Nothing needs saving, and the thread that reads the input cannot be interrupted otherwise.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A duplicate, because the SDK redirects the descriptors while it serves.
    threading.Thread(target=_end_with, args=(os.dup(sys.stdout.fileno()),), name="stdout", daemon=True).start()
    asyncio.run(_serve(url, key, account))


def _end_with(output: int) -> None:
    """End the process when the reader of this descriptor is gone. Its input may still be open then."""
    ends = select.poll()
    # No events are requested: poll always reports errors and hang-ups.
    ends.register(output, 0)
    ends.poll()
    os._exit(0)


async def _serve(url: str, key: str, account: str) -> None:
    async with market_of(url, key, account) as market:
        agent = Agent(market, account)

        @asynccontextmanager
        async def only(_: Context) -> AsyncIterator[Agent]:
            yield agent

        tools = tools_server(only)
        async with stdio_server() as (incoming, outgoing):
            await tools.run(incoming, outgoing, tools.create_initialization_options())
