"""The tools on standard input and output, for the one client that has started this process.

Rule of this file: stdout is the protocol's; logs go to stderr. The process ends when its input does, or when nobody
reads its output any more.
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
    # There is nothing to save here, and the thread that reads the input could not be interrupted in another way.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A duplicate: the SDK moves the descriptors while it serves.
    threading.Thread(target=_end_with, args=(os.dup(sys.stdout.fileno()),), name="stdout", daemon=True).start()
    asyncio.run(_serve(url, key, account))


def _end_with(output: int) -> None:
    """End the process when nobody can read this any more: its client is gone, though its input may stay open."""
    ends = select.poll()
    # Not for writing: only for what is told unasked, an error or a hang-up.
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
