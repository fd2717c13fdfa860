"""Questions: to the live state, or to the SQL tables. What each is answered from, and what it costs.

Rule of this file: no question is known here; each is beside the operation that asks it. Whatever is asked is checked
before anybody is asked. Each answer says the `seq` that it saw, and up to where everything is durable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.state import State

if TYPE_CHECKING:
    # A client asks over HTTP and needs no driver of a database.
    import psycopg

T = TypeVar("T")

# What a question to the tables costs this process, in the units of `weight_of_rows`: to ask anything; one that sums up
# a period, of which PostgreSQL has a hundred times as much to do.
ASKING: Final = 4
SUMMING_UP: Final = 100


@dataclass(frozen=True)
class Moment:
    """The state at one moment, the last row that is durable then, and what time it is."""

    state: State
    durable_seq: int
    now_us: int


@dataclass(frozen=True)
class Tables:
    """The tables at one moment, in which they have come to row `seq`; and what an answer may need beside them."""

    connection: "psycopg.Connection"
    shard_id: int
    seq: int
    durable_seq: int
    now: datetime
    llm_tokens_per_token: int


@dataclass(frozen=True)
class StateQuery(Generic[T]):
    """A question to the live state: its answer at a moment, under the sequencer's lock; it copies what it gives.

    `weight` is what it costs there (see `weight_of_rows`), in O(1); None for a question that costs the least.
    """

    answer: Callable[[Moment], T]
    weight: Callable[[State], int] | None = None


@dataclass(frozen=True)
class TableQuery(Generic[T]):
    """A question to the tables: its answer at one moment of them, and its weight.

    With `wait_s`, an answer for which `is_there` is false is asked for again until it is, or so long has passed.
    """

    answer: Callable[[Tables], T]
    weight: int = ASKING
    wait_s: float = 0.0
    is_there: Callable[[T], bool] = bool
    bidder_id: str = ""
    """Whose awards are waited for."""


def weight_of_rows(rows: int) -> int:
    """What it costs to give `rows` rows of the state, in units of the least question: some 100 us of the processor.

    From measurements with a thousand markets, 100,000 bids and 10,000 slots on offer, rounded up.
    """
    return 1 + rows // 50


def weight_of_page(limit: int) -> int:
    """What a page of `limit` rows of the tables costs: each is read from a row and told as JSON."""
    return ASKING + limit // 10


def check_table_query(question: object) -> None:
    """Check that it is one to the tables. Raises `Invalid`."""
    if not isinstance(question, TableQuery):
        raise Invalid("question", question, "a question, as the operations of callmarket.bridge.api make it")
