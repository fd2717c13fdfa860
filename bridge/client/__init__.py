"""A market that another process serves: the verbs and reads of `Exchange`, over HTTP, for threads and for asyncio.

Rule of this folder: what to send, what an answer means, and whether and when to send it again are pure; only `blocking`
and `awaited` wait. The market's rules are not known here.
"""

from callmarket.bridge.client.awaited import AsyncClient
from callmarket.bridge.client.blocking import Client
from callmarket.bridge.client.doubt import InDoubt
from callmarket.bridge.client.pages import each, each_async

__all__ = ["AsyncClient", "Client", "InDoubt", "each", "each_async"]
