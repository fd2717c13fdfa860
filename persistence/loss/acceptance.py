"""Accepting a loss: the row with which history goes on although acknowledged rows are gone.

Rule of this file: one row, under an epoch of its own, after all of a recovery. So it is there or it is not; killed at
any moment it is looked at again, and done once.
"""

from typing import Final, NamedTuple

from callmarket.engine.codec import seal
from callmarket.engine.commands import ADMIN, BeginHistory, Entry
from callmarket.engine.limits import HISTORY_ROWS, SEQ_MAX
from callmarket.persistence.errors import PersistenceError, RowsLost
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.loss.high_water import HighWater, Mark, begun_at, lost_since
from callmarket.persistence.recovery import recover
from callmarket.persistence.snapshots.store import SnapshotStore

COMMAND_ID: Final = "history-{seq}"


class Found(NamedTuple):
    """Where a journal ends, what was acknowledged as far as the marks say, and what of it is lost, if anything."""

    market_id: str
    position: Position
    mark: Mark | None
    loss: RowsLost | None
    accepted_after_seq: int | None
    """If its last row is the one that accepts a loss: the last row that was left then."""


def look(journal: PostgresJournal, marks: HighWater) -> Found:
    """Compare the journal with the marks. Raises `Unavailable`."""
    market_id, position = journal.market_id(), journal.position()
    mark = marks.highest(market_id) if market_id else None
    accepted = None
    if position.last_seq and position.last_seq == begun_at(position.last_seq):
        row = journal.row_at(position.last_seq)
        entry = None if row is None else row.entry()
        accepted = entry.after_seq if entry is not None and isinstance(entry.command, BeginHistory) else None
    return Found(market_id, position, mark, lost_since(journal, mark), accepted)


def accept(journal: PostgresJournal, snapshots: SnapshotStore, marks: HighWater, last_seq: int) -> Position:
    """Let history go on after `last_seq`, the last row that is left; where it stands then.

    The present writer is fenced off. Costs a recovery. Raises as `recover`, and `PersistenceError` if the journal does
    not end there.
    """
    epoch = journal.claim()
    recovered = recover(journal, snapshots, epoch=epoch)
    position, state = recovered.position, recovered.engine.state
    if position.last_seq != last_seq:
        raise PersistenceError(f"The journal ends at row {position.last_seq} by now, not at {last_seq}. Look again.")
    mark = marks.highest(journal.market_id())
    lost_seq = mark.seq if mark is not None else 0
    seq = (max(last_seq, lost_seq) // HISTORY_ROWS + 1) * HISTORY_ROWS
    if seq > SEQ_MAX - HISTORY_ROWS:
        raise PersistenceError(f"Row {seq} would begin the last history that there is room for: open another market.")
    # No time passes, for none is known: what comes next is stamped as ever.
    entry = Entry(seq, state.at_us, ADMIN, BeginHistory(last_seq, lost_seq), COMMAND_ID.format(seq=seq))
    row = seal(position.last_digest, entry, recovered.engine.apply(entry))
    journal.append([row])
    marks.begin(journal.market_id(), seq, row.digest)
    return Position(epoch, seq, row.digest)
