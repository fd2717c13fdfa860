"""Questions to the past: wallets, order books and rounds as they were after an earlier row of the journal.

Rule of this file: it only reads, on connections of its own, and never blocks the live sequencer. Past states are made
by `persistence.time_travel`; this file refuses rows that the journal does not have.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg

from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.contract.pages import Order
from callmarket.bridge.api.contract.queries import Moment, StateQuery
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Gone, Invalid
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.rounds import RoundRow, get_rounds
from callmarket.bridge.market.node import Node
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.engine.state import State
from callmarket.persistence.archive.journal import ArchivedJournal
from callmarket.persistence.errors import Archived
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Journal
from callmarket.persistence.snapshots.store import SnapshotStore
from callmarket.persistence.time_travel import rounds_at, state_at

T = TypeVar("T")


def opened(url: str, shard_id: int, archive: Path | None) -> Journal:
    """The journal for reading, with its archived rows if `archive` is given."""
    journal = PostgresJournal(url, shard_id, reader=True)
    return journal if archive is None else ArchivedJournal(journal, archive, shard_id)


def state_then(journal: Journal, snapshots: SnapshotStore, as_of_seq: int) -> State:
    """The state after a row of the journal.

    Raises `Invalid` if the journal has no such row, `Gone` if the row was lost (HST-1), else the same as `state_at`.
    """
    last_seq = journal.position().last_seq
    if type(as_of_seq) is not int or not 1 <= as_of_seq <= last_seq:
        raise Invalid("as_of_seq", as_of_seq, f"1 to {last_seq}" if last_seq else "a row, and the journal is empty")
    if as_of_seq // HISTORY_ROWS < last_seq // HISTORY_ROWS and _is_lost(journal, as_of_seq):
        raise Gone("as_of_seq", as_of_seq, "a row that still exists: this one was lost or never existed")
    return state_at(journal, snapshots, as_of_seq)


def _is_lost(journal: Journal, seq: int) -> bool:
    """Whether history has continued without this row (HST-1)."""
    try:
        return journal.row_at(seq) is None
    except Archived:
        # `state_at` looks for the row in the archive, and fails if it is not there.
        return False


@contextmanager
def past(node: Node, as_of_seq: int, archive: Path | None) -> Iterator[tuple[psycopg.Connection, State]]:
    """A past state of a running market, and a connection for the rows of its tables.

    Costs a recovery from the newest snapshot before that row. It takes no lock but competes for the interpreter, so
    frequent questions beside a busy market should come from another process, as those of the command line do.
    """
    with (
        node.connect() as connection,
        opened(node.url, node.shard_id, archive) as journal,
        node.open_snapshots() as snapshots,
    ):
        yield connection, state_then(journal, snapshots, as_of_seq)


class Past(Market):
    """A running market as it was after row `seq` of the journal. It answers the questions of the live state.

    Everything that it returns is durable. Raises `Invalid` for an operation that needs more than the state, and the
    errors of `state_then`.
    """

    def __init__(self, node: Node, seq: int, archive: Path | None) -> None:
        self._node: Final = node
        self._seq: Final = seq
        self._archive: Final = archive

    def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Perform one question and return its answer."""
        plan = operation.plan(*args, **kwargs)
        if operation is get_rounds:
            rounds: Any = self._rounds(**operation.given(args, kwargs))
            result: T = rounds
            return result
        if not isinstance(plan, StateQuery):
            raise Invalid("operation", operation.name, "a question that the live state answers, or get_rounds")
        with past(self._node, self._seq, self._archive) as (_, state):
            return plan.answer(Moment(state, state.seq, state.at_us))

    def _rounds(
        self, market_id: str | None, limit: int, since: datetime | None, after: str | None, order: Order
    ) -> Page[RoundRow]:
        """The latest rounds up to that time, without filters or further pages."""
        if since is not None or after is not None or order != "newest":
            raise Invalid(
                "as_of", self._seq, "no since, after or order with it: only the latest rounds of the past can be read"
            )
        with past(self._node, self._seq, self._archive) as (connection, state):
            found = rounds_at(connection, self._node.shard_id, state, market_id, limit)
            return Page(tuple(found), None, state.seq, state.seq)
