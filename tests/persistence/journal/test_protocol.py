"""What every reader of a journal relies on, at its edges: rows, the chain, gaps between histories, what went back.

Goal: whatever is wrong is said of the first row that is wrong. Method: tables of cases, in memory.
"""

import pytest

from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import (
    Archive,
    Chain,
    Position,
    StoredRow,
    check_follows,
    first_seq,
    rows_after,
    unbroken,
    went_back,
)
from tests.support.sealed import bids

SEALED = bids(5)
ROWS = [StoredRow.of(row, 1) for row in SEALED]


@pytest.mark.parametrize("data", [b"\xff", b"", b"{", b"[]", b"7", b'{"type":"nothing"}', b'{"\xff":1}', b'"\xff"'])
def test_bytes_that_say_nothing_are_told_with_their_row(data: bytes) -> None:
    row = ROWS[3]._replace(command_json=data, events_json=data)
    for proved in (False, True):
        with pytest.raises(Corrupt, match=r"^Row 4: the command cannot be decoded: ") as caught:
            row.entry(proved=proved)
        assert caught.value.seq == 4
    if data != b"[]":
        with pytest.raises(Corrupt, match=r"^Row 4: the events cannot be decoded: ") as caught:
            row.events()
        assert caught.value.seq == 4


@pytest.mark.parametrize(
    ("place", "change", "seq", "words"),
    [
        (3, {"seq": 5}, 4, "Row 4 is missing: row 3 is followed by row 5"),
        (3, {"seq": 3}, 4, "Row 4 is missing: row 3 is followed by row 3"),
        (3, {"seq": 2}, 4, "Row 4 is missing: row 3 is followed by row 2"),
        (3, {"epoch": 0}, 4, "Row 4 steps back, to epoch 0 at {at_us} us after epoch 1 at {before_us} us"),
        (3, {"at_us": 1}, 4, "Row 4 steps back, to epoch 1 at 1 us after epoch 1 at {before_us} us"),
        (3, {"actor": "nobody"}, 4, "Row 4 does not have the digest of its bytes and of the row before it"),
        (3, {"command_id": "x"}, 4, "Row 4 does not have the digest of its bytes and of the row before it"),
        (3, {"rules": 1}, 4, "Row 4 does not have the digest of its bytes and of the row before it"),
        (0, {"digest": bytes(32)}, 1, "Row 1 does not have the digest of its bytes and of the row before it"),
    ],
)
def test_a_chain_names_the_first_row_that_does_not_follow(place: int, change: dict, seq: int, words: str) -> None:
    chain = Chain()
    for row in ROWS[:place]:
        assert chain.follow(row).seq == chain.seq == row.seq
    with pytest.raises(Corrupt) as caught:
        chain.follow(ROWS[place]._replace(**change))
    told = words.format(at_us=ROWS[place].at_us, before_us=ROWS[place - 1].at_us)
    assert (str(caught.value), caught.value.seq) == (told, seq)
    assert chain.seq == place, "it stands where it stood"
    chain.follow(ROWS[place])
    assert (chain.digest, chain.epoch, chain.at_us) == (ROWS[place].digest, 1, ROWS[place].at_us)


def test_the_same_moment_and_epoch_are_no_step_back() -> None:
    chain = Chain(3, None, epoch=1, at_us=ROWS[3].at_us)
    assert chain.follow(ROWS[3]).seq == 4


def test_a_reader_from_the_middle_trusts_its_first_row_and_no_other() -> None:
    chain = Chain(2, None)
    chain.follow(ROWS[2]._replace(actor="nobody"))
    with pytest.raises(Corrupt, match="Row 4 does not have the digest"):
        chain.follow(ROWS[3]._replace(actor="nobody"))


def test_the_neighbour_follows_but_at_the_place_of_a_new_history() -> None:
    """There only a row that says after which one it begins; and none of those follows itself or a later one."""
    check_follows(ROWS[3], 3)
    at_the_place = ROWS[3]._replace(seq=HISTORY_ROWS)
    with pytest.raises(Corrupt, match=f"Row {HISTORY_ROWS} is missing: row {HISTORY_ROWS - 1} is followed by"):
        check_follows(at_the_place._replace(seq=2 * HISTORY_ROWS), HISTORY_ROWS - 1)
    for seq in (HISTORY_ROWS, HISTORY_ROWS + 1):
        with pytest.raises(Corrupt):
            check_follows(at_the_place, seq)
    # A command that is not the first of a history follows its neighbour, wherever that stands.
    check_follows(at_the_place, HISTORY_ROWS - 1)


def test_rows_are_counted_from_where_history_went_on() -> None:
    for seq, last, rows in (
        (0, 0, 0),
        (0, 5, 5),
        (4, 5, 1),
        (5, 5, 0),
        (6, 5, 0),
        (HISTORY_ROWS - 2, HISTORY_ROWS - 1, 1),
        (7, HISTORY_ROWS, 1),
        (7, HISTORY_ROWS + 4, 5),
        (HISTORY_ROWS, HISTORY_ROWS + 4, 4),
        (7, 3 * HISTORY_ROWS, 1),
    ):
        assert rows_after(seq, last) == rows, (seq, last)


def test_what_went_back_is_told_by_the_last_row() -> None:
    acknowledged = Position(1, 7, b"seven")
    for last_seq, digest, lost in (
        (7, b"seven", None),
        (8, b"other", None),
        (6, b"seven", (6, 7, False)),
        (0, GENESIS_DIGEST, (0, 7, False)),
        (7, b"other", (7, 7, True)),
    ):
        found = went_back(acknowledged, last_seq, digest)
        assert (None if found is None else (found.last_seq, found.lost_seq, found.other)) == lost


def test_the_first_row_that_is_there_follows_the_last_archive() -> None:
    class Cut(MemoryJournal):
        archives: tuple[Archive, ...] = ()

        def archived(self) -> tuple[Archive, ...]:
            return self.archives

    journal = Cut(MemoryDatabase())
    assert first_seq(journal) == 1
    one = Archive(1, 20, 1, 1, b"", b"", "a", 1, b"")
    journal.archives = (one, one._replace(first_seq=21, last_seq=40))
    assert first_seq(journal) == 41


def test_a_journal_without_gaps_is_one_range() -> None:
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(SEALED)
    assert unbroken(journal, 0, len(ROWS)) == [(1, len(ROWS))]
    assert unbroken(journal, 3, 3) == []
    assert unbroken(journal, 3, 4) == [(4, 4)]
    assert journal.projected_seq() == len(ROWS)
    assert [row.entry.seq for row in journal.read(20)] == list(range(21, len(ROWS) + 1))
