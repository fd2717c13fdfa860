"""Accepting that rows are lost: what is seen before and after, and where history goes on (HST-1).

Goal: the row that says so stands beyond every row that was acknowledged, names the last one that is left, and is
written only where the journal ends as whoever accepts has seen it.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from callmarket.engine.commands import ADMIN, BeginHistory
from callmarket.engine.limits import HISTORY_ROWS, SEQ_MAX
from callmarket.persistence.errors import PersistenceError, RowsLost
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.loss import acceptance as losses
from callmarket.persistence.loss.acceptance import accept, look
from callmarket.persistence.loss.high_water import HighWater, Mark
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.verify import verify
from tests.support.following import level
from tests.support.sealed import bids

ROWS = bids(40)
LEFT = 31


@pytest.fixture
def journal(database_url: str) -> Iterator[PostgresJournal]:
    """The first rows of a journal of which more had been acknowledged."""
    with PostgresJournal(database_url, 0) as one:
        one.claim()
        one.append(ROWS[:LEFT])
        yield one


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[HighWater]:
    with closing(HighWater(tmp_path / "marks", 0)) as one:
        yield one


@pytest.fixture
def snapshots(tmp_path: Path) -> FolderSnapshots:
    return FolderSnapshots(tmp_path / "snapshots", 0)


def acknowledge(journal: PostgresJournal, marks: HighWater, seq: int) -> None:
    """As a process that is gone did: the mark is of a row that this journal does not have."""
    with closing(HighWater(marks.folder, 0)) as theirs:
        theirs.begin(journal.market_id(), seq, ROWS[seq - 1].digest if seq <= len(ROWS) else bytes(32))


@pytest.mark.parametrize(
    ("lost_seq", "begun_seq"),
    [
        (len(ROWS), HISTORY_ROWS),
        (HISTORY_ROWS - 1, HISTORY_ROWS),
        (HISTORY_ROWS, 2 * HISTORY_ROWS),
        (5 * HISTORY_ROWS + 7, 6 * HISTORY_ROWS),
    ],
)
def test_history_goes_on_beyond_all_that_was_acknowledged(
    journal: PostgresJournal,
    marks: HighWater,
    snapshots: FolderSnapshots,
    database_url: str,
    lost_seq: int,
    begun_seq: int,
) -> None:
    acknowledge(journal, marks, lost_seq)
    found = look(journal, marks)
    assert (found.market_id, found.position, found.accepted_after_seq) == (
        journal.market_id(),
        journal.position(),
        None,
    )
    assert found.mark is not None
    assert found.mark.seq == lost_seq
    assert isinstance(found.loss, RowsLost)
    before = journal.position()
    position = accept(journal, snapshots, marks, LEFT)
    assert position == journal.position()
    assert (position.epoch, position.last_seq) == (before.epoch + 1, begun_seq)
    row = journal.row_at(begun_seq)
    assert row is not None
    entry = row.entry()
    assert (entry.actor, entry.command) == (ADMIN, BeginHistory(LEFT, lost_seq))
    assert entry.at_us == ROWS[LEFT - 1].entry.at_us, "no time passes"
    assert entry.command_id == f"history-{begun_seq}"
    after = look(journal, marks)
    assert (after.loss, after.accepted_after_seq) == (None, LEFT)
    assert after.mark == Mark(begun_seq, position.last_digest), "what was accepted is acknowledged"
    level(database_url)
    assert verify(database_url, 0).ok


def test_rows_in_the_journal_are_no_loss_and_without_marks_none_is_known(
    journal: PostgresJournal, marks: HighWater
) -> None:
    assert look(journal, marks)[2:] == (None, None, None)
    acknowledge(journal, marks, LEFT)
    assert look(journal, marks)[2:] == (Mark(LEFT, ROWS[LEFT - 1].digest), None, None)


def test_a_shard_that_is_no_market_yet_has_lost_nothing(database_url: str, marks: HighWater) -> None:
    with PostgresJournal(database_url, 0, reader=True) as journal:
        found = look(journal, marks)
    assert (found.market_id, found.position.last_seq) == ("", 0)
    assert found[2:] == (None, None, None)


@pytest.mark.parametrize("last_seq", [LEFT - 1, LEFT + 1, 0])
def test_a_journal_that_ends_elsewhere_is_looked_at_again(
    journal: PostgresJournal, marks: HighWater, snapshots: FolderSnapshots, last_seq: int
) -> None:
    acknowledge(journal, marks, 40)
    with pytest.raises(PersistenceError, match=f"ends at row {LEFT} by now, not at {last_seq}"):
        accept(journal, snapshots, marks, last_seq)
    assert journal.position().last_seq == LEFT
    assert isinstance(look(journal, marks).loss, RowsLost)


def test_a_loss_accepted_without_a_mark_begins_a_history(
    journal: PostgresJournal, marks: HighWater, snapshots: FolderSnapshots
) -> None:
    """The marks may be on a machine that is gone."""
    assert accept(journal, snapshots, marks, LEFT).last_seq == HISTORY_ROWS
    again = accept(journal, snapshots, marks, HISTORY_ROWS)
    assert again.last_seq == 2 * HISTORY_ROWS, "one more is another"
    assert look(journal, marks).accepted_after_seq == HISTORY_ROWS


@pytest.mark.parametrize("room", [True, False])
def test_the_last_history_keeps_room_for_its_rows(
    journal: PostgresJournal,
    marks: HighWater,
    snapshots: FolderSnapshots,
    monkeypatch: pytest.MonkeyPatch,
    room: bool,
) -> None:
    assert SEQ_MAX > 1_000 * HISTORY_ROWS, "enough for everybody"
    monkeypatch.setattr(losses, "SEQ_MAX", 2 * HISTORY_ROWS - (not room))
    if room:
        assert accept(journal, snapshots, marks, LEFT).last_seq == HISTORY_ROWS
        return
    with pytest.raises(PersistenceError, match="open another market"):
        accept(journal, snapshots, marks, LEFT)
    assert journal.position().last_seq == LEFT
