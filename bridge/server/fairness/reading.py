"""The market as routes read it: each question weighed in its key's rate, and the dear ones in turns.

What a question costs is told by the question itself, in units of the least one. A key pays for each with that much of
its rate, so a thousand a second are a thousand wallets or ten quotes of a full market. What is read from the state is
read in the loop, where all others wait meanwhile: so of the dear ones there is one at a time, keys one after the other,
and after each the loop is left to others four times as long. What is read from the tables costs threads and PostgreSQL,
so many at a time in all and for each key.
Each caller is answered from tables that have what it knows of; what the service decides by, from tables that have all.
Rule of this file: it decides when, never what. Only who is known is weighed; the service's own questions are not.
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

# Who asks, in the task of a request.
ASKING: Final[ContextVar[Caller | None]] = ContextVar("asking", default=None)

# After a dear question nothing dear is begun for so many times as long as it took.
_REST: Final = 4.0
# Of one key. Who asks more at once is told to come back.
DEAR_WAITING_EACH: Final = 8
# As many as there are connections to the tables: half of them for one key.
TABLES_AT_A_TIME: Final = 4
TABLES_EACH: Final = 2
TABLES_WAITING_EACH: Final = 64


class ReadMarket(AsyncExchange):
    """The market, for the questions of keys."""

    def __init__(self, exchange: Exchange, authenticator: Authenticator) -> None:
        """Take what a question weighs from its key's rate at this door."""
        super().__init__(exchange)
        self._authenticator: Final = authenticator
        self._dear: Final = Turns(in_all=1, each=1, waiting_each=DEAR_WAITING_EACH, rest=_REST)
        self._tables: Final = Turns(in_all=TABLES_AT_A_TIME, each=TABLES_EACH, waiting_each=TABLES_WAITING_EACH)

    async def ask(self, question: StateQuery[T] | TableQuery[T]) -> T:
        """The answer, in its turn. Raises `TooManyRequests` too."""
        asking = ASKING.get()
        if asking is None:
            # The service decides by it, so it is to be what is true now.
            durable_seq = self.durable_seq
            if isinstance(question, TableQuery):
                await self._node.tables_have(durable_seq)
            return await self._node.ask_async(question, Seen(durable_seq), caught_up=True)
        key_id, seen = asking.principal.key_id, asking.seen
        if isinstance(question, TableQuery):
            self._authenticator.weigh(asking.principal, question.weight)
            # Before it takes anybody's turn.
            await self._node.tables_have(seen.seq)
            async with self._tables.turn(key_id):
                return await self._node.ask_async(question, seen, caught_up=True)
        if question.weight is None:
            return await self._node.ask_async(question, seen)
        self._authenticator.weigh(asking.principal, self.read(question.weight))
        async with self._dear.turn(key_id):
            return await self._node.ask_async(question, seen)
