"""A client for a market that another process serves: the operations of `Exchange` over HTTP, for threads and asyncio.

Rule of this folder: building requests, reading answers and deciding on retries are pure; only `blocking` and `awaited`
wait. Nothing depends on the market's rules.
"""

from callmarket.bridge.client.awaited import AsyncClient
from callmarket.bridge.client.blocking import Client
from callmarket.bridge.client.doubt import InDoubt
from callmarket.bridge.client.pages import each, each_async

__all__ = ["AsyncClient", "Client", "InDoubt", "each", "each_async"]
