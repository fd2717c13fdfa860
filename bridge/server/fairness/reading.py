"""The market as routes read it: each query is charged to its key's rate by its weight, and expensive ones take turns.

A query says what it weighs, in units of the cheapest one. A key pays that much of its rate for it, so a rate of a
thousand a second is a thousand wallets or ten quotes of a full market. Queries of the state run in the event loop and
block it: so expensive ones run one at a time, with the keys taking turns, and after each the loop is left to other work
for four times as long. Queries of the tables cost threads and PostgreSQL, so their number at a time is limited, in all
and for each key.
Each caller is answered from tables that have the rows that it knows of; the service decides by tables that have all
rows.
Rule of this file: it decides when a query runs, never what it answers. Queries of the service itself are not weighed.
"""

from contextvars import ContextVar
from typing import Final, TypeVar

from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.api.contract.queries import StateQuery, TableQuery
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.market.async_exchange import AsyncExchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.server.fairness.turns import Turns
from callmarket.bridge.server.requests.caller import Caller

T = TypeVar("T")

# The caller, in the task of a request; None for the service itself.
ASKING: Final[ContextVar[Caller | None]] = ContextVar("asking", default=None)

# After an expensive query, none is begun for this many times as long as it took.
_REST: Final = 4.0
# Expensive queries of one key that may wait; more are refused with `TooManyRequests`.
DEAR_WAITING_EACH: Final = 8
# As many as there are connections to the tables. One key may use half of them.
TABLES_AT_A_TIME: Final = 4
TABLES_EACH: Final = 2
TABLES_WAITING_EACH: Final = 64


class ReadMarket(AsyncExchange):
    """The market for the queries of requests. It has the methods of `AsyncExchange`."""

    def __init__(self, exchange: Exchange, authenticator: Authenticator) -> None:
        """Charge queries to the rates of their keys in this authenticator."""
        super().__init__(exchange)
        self._authenticator: Final = authenticator
        self._dear: Final = Turns(in_all=1, each=1, waiting_each=DEAR_WAITING_EACH, rest=_REST)
        self._tables: Final = Turns(in_all=TABLES_AT_A_TIME, each=TABLES_EACH, waiting_each=TABLES_WAITING_EACH)

    async def ask(self, question: StateQuery[T] | TableQuery[T]) -> T:
        """The answer, in its turn. Raises `TooManyRequests` besides what the query raises."""
        asking = ASKING.get()
        if asking is None:
            # The service decides by the answer, so it must include all durable rows.
            durable_seq = self.durable_seq
            if isinstance(question, TableQuery):
                await self._node.tables_have(durable_seq)
            return await self._node.ask_async(question, Seen(durable_seq), caught_up=True)
        key_id, seen = asking.principal.key_id, asking.seen
        if isinstance(question, TableQuery):
            self._authenticator.weigh(asking.principal, question.weight)
            # Before it takes a turn, which others could use meanwhile.
            await self._node.tables_have(seen.seq)
            async with self._tables.turn(key_id):
                return await self._node.ask_async(question, seen, caught_up=True)
        if question.weight is None:
            return await self._node.ask_async(question, seen)
        self._authenticator.weigh(asking.principal, self.read(question.weight))
        async with self._dear.turn(key_id):
            return await self._node.ask_async(question, seen)
