"""Questions, to the live state or to the SQL tables, and what they cost.

Rule of this file: nothing depends on a particular question; each is defined beside its operation. Arguments are checked
before a question is asked. Each answer has the `seq` that it was read at, and `durable_seq`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.state import State

if TYPE_CHECKING:
    # A client uses HTTP and does not need a database driver.
    import psycopg

T = TypeVar("T")

# The cost of a question to the tables for this process, in the units of `weight_of_rows`: of any question, and of one
# that sums up a period, which costs PostgreSQL a hundred times as much.
ASKING: Final = 4
SUMMING_UP: Final = 100

# See the setting of this name.
SUBSIDY_TOKENS_MAX: Final = 500


@dataclass(frozen=True)
class Moment:
    """The live state at one moment, the last durable row, the time, and the setting that an answer may need."""

    state: State
    durable_seq: int
    now_us: int
    subsidy_tokens_max: int = SUBSIDY_TOKENS_MAX


@dataclass(frozen=True)
class Tables:
    """The tables at one moment, projected up to row `seq`, with the settings that an answer may need."""

    connection: "psycopg.Connection"
    shard_id: int
    seq: int
    durable_seq: int
    now: datetime
    llm_tokens_per_token: int


@dataclass(frozen=True)
class StateQuery(Generic[T]):
    """A question to the live state. `answer` runs under the sequencer's lock and must copy what it returns.

    `weight` is its cost (see `weight_of_rows`), computed in O(1); None for the smallest cost.
    """

    answer: Callable[[Moment], T]
    weight: Callable[[State], int] | None = None


@dataclass(frozen=True)
class TableQuery(Generic[T]):
    """A question to the tables. `answer` reads them at one moment; `weight` is its cost.

    With `wait_s` it is a long poll: it is asked again until `is_there` is true of the answer, for up to `wait_s`.
    """

    answer: Callable[[Tables], T]
    weight: int = ASKING
    wait_s: float = 0.0
    is_there: Callable[[T], bool] = bool
    bidder_id: str = ""
    """The bidder whose awards a long poll waits for."""


def weight_of_rows(rows: int) -> int:
    """The cost of returning `rows` rows of the live state, in units of the cheapest question: some 100 us of CPU time.

    Measured with a thousand markets, 100,000 bids and 10,000 slots on offer, and rounded up.
    """
    return 1 + rows // 50


def weight_of_page(limit: int) -> int:
    """The cost of a page of `limit` rows of the tables: each is decoded and encoded as JSON."""
    return ASKING + limit // 10


def check_table_query(question: object) -> None:
    """Check that this is a `TableQuery`. Raises `Invalid`."""
    if not isinstance(question, TableQuery):
        raise Invalid("question", question, "a question, as the operations of callmarket.bridge.api make it")
