"""How whoever follows a journal becomes its writer: to the very end, under an epoch of its own, or not at all.

Goal: what the journal lacks of what was applied is told as lost, and never as damage, for which nobody would look for
rows; damage is never told as a loss. Method: a journal in memory that goes back, goes on otherwise, or is wrong.
"""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.persistence.errors import Corrupt, Fenced, RowsLost
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.leadership.takeover import follow, take_over
from callmarket.persistence.recovery import Replica
from tests.support.sealed import bids

ROWS = bids(40)


def journal_of(rows: Sequence[SealedRow]) -> MemoryJournal:
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    if rows:
        journal.append(rows)
    return journal


def otherwise(after: int, count: int) -> list[SealedRow]:
    """The first rows, and then as many others: the same commands at another time."""
    digest, rows = ROWS[after - 1].digest if after else GENESIS_DIGEST, list(ROWS[:after])
    for row in ROWS[after : after + count]:
        rows.append(seal(digest, replace(row.entry, at_us=row.entry.at_us + 1), row.events))
        digest = rows[-1].digest
    return rows


def replica_of(count: int) -> Replica:
    replica = Replica()
    replica.follow(journal_of(ROWS[:count]))
    return replica


def test_following_a_journal_applies_its_new_rows() -> None:
    replica = replica_of(0)
    for count in (0, 5, 5, 40):
        follow(journal_of(ROWS[:count]), replica)
        assert (replica.chain.seq, replica.rows) == (count, count)
    assert replica.chain.digest == ROWS[39].digest


@pytest.mark.parametrize(
    ("rows", "last_seq", "other"),
    [
        (ROWS[:29], 29, False),
        ([], 0, False),
        (otherwise(20, 10), 30, True),
        (otherwise(29, 1), 30, True),
        (otherwise(20, 15), 35, True),
        (otherwise(29, 3), 32, True),
        (otherwise(0, 35), 35, True),
    ],
)
def test_applied_rows_that_the_journal_lacks_are_lost(rows: list[SealedRow], last_seq: int, other: bool) -> None:
    """Also where it has gone on since, and is longer than it was."""
    with pytest.raises(RowsLost) as caught:
        follow(journal_of(rows), replica_of(30))
    assert (caught.value.last_seq, caught.value.lost_seq, caught.value.other) == (last_seq, 30, other)


@pytest.mark.parametrize("applied", [0, 30])
def test_damage_after_what_was_applied_is_damage(applied: int) -> None:
    journal = journal_of(ROWS)
    journal.database.rows[33] = journal.database.rows[33]._replace(actor="nobody")
    with pytest.raises(Corrupt) as caught:
        follow(journal, replica_of(applied))
    assert not isinstance(caught.value, RowsLost)
    assert caught.value.seq == 34


def test_a_row_that_was_applied_and_is_gone_while_later_ones_are_there_is_lost() -> None:
    journal = journal_of(ROWS)
    del journal.database.rows[29:31]
    with pytest.raises(RowsLost):
        follow(journal, replica_of(30))


def test_a_takeover_that_comes_second_changes_nothing() -> None:
    journal, replica = journal_of(ROWS), replica_of(30)
    asked: list[int] = []

    def refused(epoch: int) -> None:
        asked.append(epoch)

    assert take_over(journal, replica, 1, refused) is None
    assert (asked, replica.chain.seq, journal.position().epoch) == ([1], 30, 1)


def test_a_takeover_has_every_row_written_before_its_epoch() -> None:
    """The one before writes until the epoch is raised."""
    journal, replica = journal_of(ROWS[:35]), replica_of(30)

    def claim(_: int) -> int:
        journal.append(ROWS[35:])
        return MemoryJournal(journal.database).claim()

    assert take_over(journal, replica, 1, claim) == Position(2, len(ROWS), ROWS[-1].digest) == journal.position()
    assert replica.chain.seq == len(ROWS)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_takeover_overtaken_while_it_reads_does_not_lead(damaged: bool) -> None:
    """What comes from there then is no damage."""
    journal, replica = journal_of(ROWS), replica_of(30)
    if damaged:
        journal.database.rows[33] = journal.database.rows[33]._replace(actor="nobody")

    def claim(_: int) -> int:
        epoch = MemoryJournal(journal.database).claim()
        MemoryJournal(journal.database).claim()
        return epoch

    with pytest.raises(Fenced, match="claimed with epoch 3 while epoch 2"):
        take_over(journal, replica, 1, claim)


def test_a_database_that_goes_back_right_then_is_not_led() -> None:
    journal, replica = journal_of(ROWS[:30]), replica_of(30)

    def claim(_: int) -> int:
        del journal.database.rows[20:]
        journal.database.position = Position(2, 20, ROWS[19].digest)
        return 2

    with pytest.raises(RowsLost):
        take_over(journal, replica, 1, claim)
