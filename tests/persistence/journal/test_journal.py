"""One suite for every journal: what goes in comes out, and the fence lets nobody else write.

Goal: the journal in memory refuses exactly what PostgreSQL refuses, so tests on the one say something of the other.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from callmarket.engine.codec import GENESIS_DIGEST, seal
from callmarket.engine.commands import ADMIN, BeginHistory, Entry, PlaceBid
from callmarket.engine.events import HistoryBegun, Repeated
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import Corrupt, Fenced, Gap, PersistenceError
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.postgres import SCAN_ROWS, PostgresJournal
from callmarket.persistence.journal.protocol import (
    Chain,
    Journal,
    Position,
    StoredRow,
    check_follows,
    rows_after,
    unbroken,
)
from tests.support.sealed import batches, bids, story

OpenJournal = Callable[[], Journal]


@pytest.fixture(params=["memory", "postgres"])
def open_journal(request):
    """Return a function that opens one more journal on the same shard of the same database."""
    if request.param == "memory":
        database = MemoryDatabase()
        yield lambda: MemoryJournal(database)
        return
    url = request.getfixturevalue("database_url")
    opened = []

    def open_one():
        opened.append(PostgresJournal(url, 0))
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.close()


def refuses(journal: Journal, error: type[PersistenceError], rows) -> None:
    """Appending raises this error and leaves the journal as it was."""
    before = journal.position()
    with pytest.raises(error):
        journal.append(rows)
    assert journal.position() == before
    assert sum(map(len, journal.scan())) == before.last_seq


def test_a_new_shard_is_empty_and_its_first_epoch_is_one(open_journal: OpenJournal):
    journal = open_journal()
    assert journal.position() == Position(0, 0, GENESIS_DIGEST)
    assert list(journal.read()) == []
    assert journal.claim() == 1
    assert journal.position() == Position(1, 0, GENESIS_DIGEST)
    assert open_journal().claim() == 2


def test_rows_are_read_back_as_they_were_appended(open_journal: OpenJournal, seed: int):
    rows = story(seed, 400).rows
    journal = open_journal()
    journal.claim()
    for batch in batches(rows, seed):
        journal.append(batch)
        assert journal.position() == Position(1, batch[-1].entry.seq, batch[-1].digest)
    assert list(open_journal().read()) == rows
    first, *rest = journal.read(after_seq=123)
    # What was before the first is not known to one who begins there.
    assert (first.entry, first.digest, first.digest_before) == (rows[123].entry, rows[123].digest, b"")
    assert rest == rows[124:]
    assert list(journal.read(after_seq=400)) == []


def test_reading_goes_on_past_a_chunk(open_journal: OpenJournal):
    rows = bids(SCAN_ROWS + 5, bidders=2)[: SCAN_ROWS + 1]
    journal = open_journal()
    journal.claim()
    journal.append(rows)
    stored = [row.seq for chunk in journal.scan() for row in chunk]
    assert stored == list(range(1, SCAN_ROWS + 2))


def test_an_older_epoch_is_fenced(open_journal: OpenJournal):
    rows = bids(10)
    zombie, successor = open_journal(), open_journal()
    zombie.claim()
    zombie.append(rows[:5])
    successor.claim()
    refuses(zombie, Fenced, rows[5:])
    successor.append(rows[5:])
    refuses(zombie, Fenced, rows[5:])
    assert [row.entry.seq for row in successor.read()] == [row.entry.seq for row in rows]
    assert {row.epoch for chunk in successor.scan() for row in chunk} == {1, 2}


def test_a_writer_that_has_not_claimed_cannot_append(open_journal: OpenJournal):
    refuses(open_journal(), Fenced, bids(1))


def test_an_epoch_that_the_database_has_lost_is_refused(open_journal: OpenJournal):
    """It went back to before the claim, and still ends with the row that this writer knows of."""
    rows = bids(10)
    journal = open_journal()
    journal.claim()
    journal.append(rows[:5])
    journal.epoch += 1
    refuses(journal, Gap, rows[5:])
    journal.epoch -= 1
    journal.append(rows[5:])


def test_a_gap_and_a_repetition_are_refused(open_journal: OpenJournal):
    rows = bids(10)
    journal = open_journal()
    journal.claim()
    refuses(journal, Gap, rows[1:])
    journal.append(rows[:5])
    refuses(journal, Gap, rows[6:])
    refuses(journal, Gap, rows[:5])
    refuses(journal, Gap, rows[4:6])
    journal.append(rows[5:])


def test_a_row_of_another_history_is_refused(open_journal: OpenJournal):
    rows = bids(10)
    journal = open_journal()
    journal.claim()
    journal.append(rows[:5])
    foreign = seal(rows[0].digest, rows[5].entry, rows[5].events)
    refuses(journal, Corrupt, [foreign])


def test_a_row_before_the_time_or_the_epoch_of_the_last_one_is_named():
    """Its digest is right: a writer that went wrong has sealed it."""
    rows = bids(10)
    back = replace(rows[5].entry, at_us=rows[4].entry.at_us - 1)
    for row, epoch in ((seal(rows[4].digest, back, rows[5].events), 2), (rows[5], 1)):
        links = Chain()
        for one in rows[:5]:
            links.follow(StoredRow.of(one, 2))
        with pytest.raises(Corrupt, match="Row 6 steps back") as raised:
            links.follow(StoredRow.of(row, epoch))
        assert raised.value.seq == 6


@pytest.mark.parametrize(("epoch", "at_us"), [(3, 0), (2, 10**18)])
def test_a_reader_from_the_middle_knows_the_time_and_epoch_of_the_row_before(epoch: int, at_us: int) -> None:
    """As recovery does after a snapshot: the first row after it may not step back either."""
    rows = bids(10)
    with pytest.raises(Corrupt, match="Row 6 steps back"):
        Chain(5, rows[4].digest, epoch, at_us).follow(StoredRow.of(rows[5], 2))
    assert Chain(5, rows[4].digest, 2, rows[4].entry.at_us).follow(StoredRow.of(rows[5], 2)) == rows[5].entry


@pytest.mark.parametrize("missing", [1, 6, 10])
def test_a_row_that_is_missing_is_named(missing: int) -> None:
    """Also the first one; and a row that comes twice follows nothing."""
    stored = [StoredRow.of(row, 1) for row in bids(10)]
    links = Chain()
    for row in stored[: missing - 1]:
        links.follow(row)
    with pytest.raises(Corrupt, match=f"Row {missing} is missing: row {missing - 1} is followed by") as raised:
        links.follow(stored[missing])
    assert raised.value.seq == missing
    links.follow(stored[missing - 1])
    with pytest.raises(Corrupt, match=f"row {missing} is followed by row {missing}"):
        links.follow(stored[missing - 1])


def test_a_reader_from_row_1_trusts_nothing_and_a_later_one_its_first_digest() -> None:
    rows = bids(10)
    database = MemoryDatabase()
    journal = MemoryJournal(database)
    journal.claim()
    journal.append(rows)
    assert [row.digest for row in journal.read(4)] == [row.digest for row in rows[4:]]
    database.rows[0] = StoredRow.of(replace(rows[0], digest=bytes(32)), 1)
    with pytest.raises(Corrupt, match="Row 1 does not have the digest"):
        list(journal.read())


def begun(history: int, after_seq: int, lost_seq: int = 0) -> StoredRow:
    """The row with which history goes on after a loss, without the digests of others."""
    entry = Entry(history * HISTORY_ROWS, 5, ADMIN, BeginHistory(after_seq, lost_seq))
    return StoredRow.of(seal(GENESIS_DIGEST, entry, (HistoryBegun(after_seq, lost_seq),)), 1)


def placed(seq: int) -> StoredRow:
    return StoredRow.of(seal(GENESIS_DIGEST, Entry(seq, 5, ADMIN, PlaceBid("m", "a", "t", 1)), (Repeated(1),)), 1)


@pytest.mark.parametrize(
    ("row", "seq", "follows"),
    [
        (placed(8), 7, True),
        (placed(8), 6, False),
        (placed(8), 8, False),
        (placed(8), 9, False),
        (placed(HISTORY_ROWS), HISTORY_ROWS - 1, True),
        (placed(HISTORY_ROWS), HISTORY_ROWS - 2, False),
        (placed(HISTORY_ROWS + 1), HISTORY_ROWS, True),
        (begun(1, 30), 30, True),
        (begun(1, 30), 29, False),
        (begun(1, 30), 31, False),
        (begun(1, 30), HISTORY_ROWS - 1, False),
        (begun(1, HISTORY_ROWS + 3), HISTORY_ROWS + 3, False),
        (begun(2, 30), 30, True),
        (begun(2, HISTORY_ROWS + 4), HISTORY_ROWS + 4, True),
    ],
)
def test_a_row_follows_its_neighbour_or_the_one_that_it_names(row: StoredRow, seq: int, follows: bool) -> None:
    """HST-1: only a row at the beginning of a history may name another than its neighbour."""
    if follows:
        check_follows(row, seq)
    else:
        with pytest.raises(Corrupt, match=f"row {seq} is followed by row {row.seq}") as raised:
            check_follows(row, seq)
        assert raised.value.seq == seq + 1


@pytest.mark.parametrize(
    ("seq", "last_seq", "count"),
    [
        (0, 0, 0),
        (0, 7, 7),
        (7, 7, 0),
        (9, 7, 0),
        (7, HISTORY_ROWS, 1),
        (7, HISTORY_ROWS + 4, 5),
        (7, 3 * HISTORY_ROWS + 4, 5),
        (HISTORY_ROWS, HISTORY_ROWS + 4, 4),
        (HISTORY_ROWS - 1, HISTORY_ROWS, 1),
    ],
)
def test_rows_after_one_are_counted_where_history_leaps(seq: int, last_seq: int, count: int) -> None:
    assert rows_after(seq, last_seq) == count


class Begun(MemoryJournal):
    """A journal of which only the rows are there with which histories begin."""

    def __init__(self, *rows: StoredRow) -> None:
        super().__init__(MemoryDatabase())
        self.begun = {row.seq: row for row in rows}

    def row_at(self, seq: int) -> StoredRow | None:
        assert seq % HISTORY_ROWS == 0, "no other row has to be asked for"
        return self.begun.get(seq)


@pytest.mark.parametrize(
    ("after_seq", "last_seq", "ranges"),
    [
        (0, 0, []),
        (0, 30, [(1, 30)]),
        (29, 30, [(30, 30)]),
        (30, HISTORY_ROWS, [(HISTORY_ROWS, HISTORY_ROWS)]),
        (10, HISTORY_ROWS + 7, [(11, 30), (HISTORY_ROWS, HISTORY_ROWS + 7)]),
        (HISTORY_ROWS, HISTORY_ROWS + 7, [(HISTORY_ROWS + 1, HISTORY_ROWS + 7)]),
        (0, 2 * HISTORY_ROWS, [(1, 30), (HISTORY_ROWS, 2 * HISTORY_ROWS)]),
        (0, 3 * HISTORY_ROWS, [(1, 30), (HISTORY_ROWS, 2 * HISTORY_ROWS + 5), (3 * HISTORY_ROWS, 3 * HISTORY_ROWS)]),
    ],
)
def test_rows_of_several_histories_are_ranges(after_seq: int, last_seq: int, ranges: list[tuple[int, int]]) -> None:
    """HST-1: the second came after a loss, the third followed its neighbour, the fourth came after a loss again."""
    journal = Begun(begun(1, 30), placed(2 * HISTORY_ROWS), begun(3, 2 * HISTORY_ROWS + 5))
    assert unbroken(journal, after_seq, last_seq) == ranges


def test_a_batch_with_a_hole_is_a_bug(open_journal: OpenJournal):
    rows = bids(10)
    journal = open_journal()
    journal.claim()
    with pytest.raises(AssertionError, match="contiguous"):
        journal.append([rows[0], rows[2]])
    assert journal.position().last_seq == 0


def test_strings_of_every_kind_keep_their_bytes(open_journal: OpenJournal):
    from callmarket.engine.commands import ADMIN, Mint, OpenAccount
    from tests.support.sealed import Sealer

    sealer = Sealer()
    sealer.do(ADMIN, OpenAccount('a"\\|%', "agent"), command_id='x"|\\')
    for memo in ("", " ", "|", '"', "\\", "\n\t\r", "é漢😀", "\u2028", "\x7f", "NaN", "'; DROP TABLE journal; --"):
        sealer.do(ADMIN, Mint('a"\\|%', 1, "grant", memo=memo))
    journal = open_journal()
    journal.claim()
    for row in sealer.rows:
        journal.append([row])
    assert list(journal.read()) == sealer.rows


def test_proved_rows_are_not_checked_again_unless_asked_to() -> None:
    """Decision 1 of docs/decisions: recovery trusts what was checked before it was written; `verify` trusts nothing."""
    odd = seal(GENESIS_DIGEST, Entry(1, 5, "admin", PlaceBid("m", "a name of old", "t", 1)), (Repeated(1),))
    row = StoredRow.of(odd, 1)
    assert Chain().follow(row) == odd.entry
    with pytest.raises(Corrupt, match="Row 1: the command cannot be decoded"):
        Chain(checks_shapes=True).follow(row)
    # Who begins in the middle has no proof of its first row.
    with pytest.raises(Corrupt, match="Row 1: the command cannot be decoded"):
        Chain(0, None).follow(row)
    # Damage is told before anything is decoded.
    with pytest.raises(Corrupt, match="Row 1 does not have the digest"):
        Chain().follow(row._replace(command_json=b"{"))
