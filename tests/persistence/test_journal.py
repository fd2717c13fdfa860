"""One suite for every journal: what goes in comes out, and the fence lets nobody else write.

Goal: the journal in memory refuses exactly what PostgreSQL refuses, so tests on the one say something of the other.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from engine.codec import GENESIS_DIGEST, seal
from engine.commands import Entry, PlaceBid
from engine.events import Repeated
from persistence.errors import Corrupt, Fenced, Gap, PersistenceError
from persistence.journal import Chain, Journal, Position, Stored
from persistence.memory import MemoryDatabase, MemoryJournal
from persistence.postgres import SCAN_ROWS, PostgresJournal
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


def test_what_goes_in_comes_out(open_journal: OpenJournal, seed: int):
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


def test_who_has_not_claimed_cannot_write(open_journal: OpenJournal):
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
            links.follow(Stored.of(one, 2))
        with pytest.raises(Corrupt, match="Row 6 steps back") as raised:
            links.follow(Stored.of(row, epoch))
        assert raised.value.seq == 6


def test_a_batch_with_a_hole_is_a_bug(open_journal: OpenJournal):
    rows = bids(10)
    journal = open_journal()
    journal.claim()
    with pytest.raises(AssertionError, match="contiguous"):
        journal.append([rows[0], rows[2]])
    assert journal.position().last_seq == 0


def test_strings_of_every_kind_keep_their_bytes(open_journal: OpenJournal):
    from engine.commands import ADMIN, Mint, OpenAccount
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


def test_what_the_digests_prove_is_not_checked_again_unless_asked_to() -> None:
    """Architecture decision 1: recovery trusts what was checked before it was written; `verify` trusts nothing."""
    odd = seal(GENESIS_DIGEST, Entry(1, 5, "admin", PlaceBid("m", "a name of old", "t", 1)), (Repeated(1),))
    row = Stored.of(odd, 1)
    assert Chain().follow(row) == odd.entry
    with pytest.raises(Corrupt, match="Row 1: the command cannot be decoded"):
        Chain(checks_shapes=True).follow(row)
    # Who begins in the middle has no proof of its first row.
    with pytest.raises(Corrupt, match="Row 1: the command cannot be decoded"):
        Chain(0, None).follow(row)
    # Damage is told before anything is decoded.
    with pytest.raises(Corrupt, match="Row 1 does not have the digest"):
        Chain().follow(row._replace(command_json=b"{"))
