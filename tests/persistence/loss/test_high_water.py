"""The mark of what was acknowledged: a lower bound that survives whatever happens to its file, and stops nobody.

Method: real files, torn, damaged, locked, of others, in folders that refuse them, and on a disk that is full; and real
processes that are killed while they write.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from callmarket.engine.codec import seal
from callmarket.engine.commands import ADMIN, BeginHistory, Entry
from callmarket.engine.events import HistoryBegun
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import RowsLost
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.loss import high_water
from callmarket.persistence.loss.high_water import HighWater, Mark, lost_since
from tests.support.sealed import Sealer, bids
from tests.support.service_process import ROOT

MARKET = str(uuid.UUID(int=7))
OTHER = str(uuid.UUID(int=8))
BLOCK = 4_096
WAIT_S = 60.0


def digest(seq: int) -> bytes:
    return seq.to_bytes(32, "big")


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[HighWater]:
    with closing(HighWater(tmp_path / "marks", 0)) as found:
        found.begin(MARKET, 5, digest(5))
        yield found


def the_file(marks: HighWater) -> Path:
    assert marks.folder is not None
    (path,) = marks.folder.glob("*.mark")
    return path


def the_first(marks: HighWater) -> Mark | None:
    """What the first file of the folder says, when a copy of it stands alone."""
    assert marks.folder is not None
    (path,) = marks.folder.glob("*-0.mark")
    alone = marks.folder / "alone"
    alone.mkdir(exist_ok=True)
    (alone / path.name).write_bytes(path.read_bytes())
    return HighWater(alone, marks.shard_id).highest(MARKET)


def highest(marks: HighWater, market_id: str = MARKET) -> Mark | None:
    """As another process finds it."""
    return HighWater(marks.folder, marks.shard_id).highest(market_id)


def test_the_mark_is_the_last_row_that_was_kept(marks: HighWater) -> None:
    assert highest(marks) == Mark(5, digest(5))
    for seq in range(6, 30):
        marks.keep(seq, digest(seq))
        assert highest(marks) == Mark(seq, digest(seq))
    marks.close()
    marks.keep(99, digest(99))
    assert highest(marks) == Mark(29, digest(29))


def test_markets_and_shards_are_told_apart(marks: HighWater) -> None:
    """Also where somebody has copied a file to another name."""
    assert highest(marks, OTHER) is None
    assert HighWater(marks.folder, 1).highest(MARKET) is None
    path = the_file(marks)
    for name in (path.name.replace(MARKET, OTHER), path.name.replace("shard0", "shard1")):
        (path.parent / name).write_bytes(path.read_bytes())
    assert highest(marks, OTHER) is None
    assert HighWater(marks.folder, 1).highest(MARKET) is None


def test_a_torn_write_leaves_the_mark_before(marks: HighWater, seed: int) -> None:
    """Any bytes of the block that is being written: the other one is whole."""
    rng = random.Random(seed)
    path = the_file(marks)
    for seq in range(6, 40):
        marks.keep(seq, digest(seq))
        whole = path.read_bytes()
        before = whole[:BLOCK] if highest_block(whole) else whole[BLOCK:]
        torn = bytearray(whole)
        start = BLOCK * highest_block(whole)
        for place in rng.sample(range(69), rng.randrange(1, 69)):
            torn[start + place] ^= rng.randrange(1, 256)
        path.write_bytes(bytes(torn))
        assert highest(marks) == Mark(seq - 1, digest(seq - 1)), before[:69]
        path.write_bytes(whole)


def highest_block(data: bytes) -> int:
    """Which of the two was written last."""
    return int(data[BLOCK + 28 : BLOCK + 36] > data[28:36])


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(2 * BLOCK), os.urandom(3 * BLOCK)])
def test_a_damaged_mark_protects_nobody_and_is_named(
    marks: HighWater, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = the_file(marks)
    marks.close()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert highest(marks) is None
    assert f"{path} is no mark of this market, or damaged" in caplog.text


def test_an_unreadable_mark_stops_no_process(marks: HighWater, caplog: pytest.LogCaptureFixture) -> None:
    path = the_file(marks)
    marks.close()
    path.unlink()
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        assert highest(marks) is None
        again = HighWater(marks.folder, 0)
        again.begin(MARKET, 6, digest(6))
        again.keep(7, digest(7))
        again.close()
    assert "cannot be read" in caplog.text
    assert "what is acknowledged is not kept outside the database" in caplog.text


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_an_unreadable_mark_hides_no_other(tmp_path: Path, damaged: int) -> None:
    """Of many processes that have led, the one that told most counts, wherever its file stands among them."""
    written = [HighWater(tmp_path, 0) for _ in range(4)]
    for number, one in enumerate(written):
        one.begin(MARKET, 5 + number, digest(5 + number))
    for one in written:
        one.close()
    paths = sorted(tmp_path.glob("*.mark"))
    assert len(paths) == 4
    paths[damaged].unlink()
    paths[damaged].mkdir()
    paths[(damaged + 1) % 3].write_bytes(b"x")
    assert HighWater(tmp_path, 0).highest(MARKET) == Mark(8, digest(8))


def test_a_folder_that_cannot_be_made_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", None):
        caplog.clear()
        marks = HighWater(folder, 0)
        with caplog.at_level(logging.WARNING):
            marks.begin(MARKET, 6, digest(6))
        marks.keep(7, digest(7))
        marks.close()
        assert marks.highest(MARKET) is None
        assert len(caplog.records) == 1, "once"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_of_marks_stops_no_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file has its size from the beginning, so this is met when it is made."""
    (tmp_path / f"{MARKET}-shard0-0.mark").symlink_to("/dev/full")
    marks = HighWater(tmp_path, 0)
    with caplog.at_level(logging.WARNING):
        marks.begin(MARKET, 6, digest(6))
        marks.keep(7, digest(7))
    marks.close()
    assert "No space left on device" in caplog.text


def test_a_disk_that_fills_later_is_logged_once(marks: HighWater, caplog: pytest.LogCaptureFixture) -> None:
    os.close(marks._descriptor or 0)
    marks._descriptor = os.open("/dev/null", os.O_RDONLY)
    with caplog.at_level(logging.WARNING):
        for seq in range(6, 9):
            marks.keep(seq, digest(seq))
    assert [record.getMessage()[:50] for record in caplog.records if "no longer" in record.getMessage()] == [
        "what is acknowledged is no longer kept outside the"
    ]


def test_only_its_own_account_may_read_it(tmp_path: Path) -> None:
    """In a folder that is made where none is, however deep."""
    with closing(HighWater(tmp_path / "deep" / "marks", 0)) as marks:
        marks.begin(MARKET, 5, digest(5))
        assert the_file(marks).stat().st_mode & 0o077 == 0
        assert the_file(marks).parent.stat().st_mode & 0o077 == 0
        assert the_file(marks).stat().st_size >= 2 * BLOCK, "a disk that is full later does not matter"


def test_two_processes_of_one_folder_have_a_file_each(marks: HighWater) -> None:
    """A leader and a standby; whoever begins to lead reads both."""
    with closing(HighWater(marks.folder, 0)) as other:
        other.begin(MARKET, 9, digest(9))
        marks.keep(7, digest(7))
        assert highest(marks) == Mark(9, digest(9))
        assert marks.folder is not None
        assert len(list(marks.folder.glob("*.mark"))) == 2
    with closing(HighWater(marks.folder, 0)) as third:
        third.begin(MARKET, 9, digest(9))
        assert marks.folder is not None
        assert len(list(marks.folder.glob("*.mark"))) == 2, "what is free is used again"


@pytest.mark.parametrize("theirs", [Mark(9, digest(9)), Mark(6, digest(1))])
def test_a_mark_that_its_next_writer_has_not_compared_stays(marks: HighWater, theirs: Mark) -> None:
    """Its process told of more than who comes next has seen, and may have been killed as the journal went back."""
    marks.keep(*theirs)
    marks.close()
    with closing(HighWater(marks.folder, 0)) as other:
        other.begin(MARKET, 6, digest(6))
        assert highest(marks) == max(theirs, Mark(6, digest(6)))
        assert the_first(marks) == theirs
        other.keep(10, digest(10))
        assert highest(marks) == Mark(10, digest(10))
    with closing(HighWater(marks.folder, 0)) as third:
        third.begin(MARKET, 10, digest(10))
        assert the_first(marks) == Mark(10, digest(10)), "what says less is used again"


def test_taking_a_file_over_takes_nothing_from_it(marks: HighWater) -> None:
    """Whoever is killed right then leaves what was told before."""
    marks.keep(9, digest(9))
    marks.close()
    assert marks.folder is not None
    descriptor = HighWater(marks.folder, 0)._lock_one(marks.folder, MARKET, Mark(10, digest(10)))
    assert descriptor is not None
    os.close(descriptor)
    assert highest(marks) == Mark(9, digest(9))
    the_file(marks)


def test_where_all_files_are_taken_nothing_is_kept_and_that_is_said(
    marks: HighWater, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(high_water, "_FILES_MAX", 1)
    with caplog.at_level(logging.WARNING), closing(HighWater(marks.folder, 0)) as other:
        other.begin(MARKET, 9, digest(9))
        other.keep(10, digest(10))
    assert "has no free mark" in caplog.text
    assert highest(marks) == Mark(5, digest(5))


def test_the_disk_has_it_soon_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that loses its power loses a second of it, and nothing where it was closed."""
    flushed, fsync = threading.Semaphore(0), os.fsync

    def counted(descriptor: int) -> None:
        fsync(descriptor)
        flushed.release()

    monkeypatch.setattr(high_water, "_FLUSHED_EVERY_S", 0.001)
    monkeypatch.setattr(high_water.os, "fsync", counted)
    marks = HighWater(tmp_path, 0)
    marks.begin(MARKET, 5, digest(5))
    assert flushed.acquire(timeout=WAIT_S)
    while flushed.acquire(timeout=0.05):
        pass
    marks.keep(6, digest(6))
    assert flushed.acquire(timeout=WAIT_S)
    while flushed.acquire(timeout=0.05):
        pass
    marks.close()
    assert flushed.acquire(timeout=0), "the last of it"


def test_where_snapshots_lie_is_read_too(tmp_path: Path) -> None:
    with closing(HighWater(tmp_path / "snapshots", 0)) as theirs:
        theirs.begin(MARKET, 9, digest(9))
    marks = HighWater(tmp_path / "mine", 0, [tmp_path / "snapshots"])
    assert marks.highest(MARKET) == Mark(9, digest(9))


def test_beginning_marks_is_idempotent(marks: HighWater) -> None:
    """A standby asks with each row: what it has told since stays."""
    marks.keep(9, digest(9))
    marks.begin(MARKET, 6, digest(6))
    marks.begin(OTHER, 6, digest(6))
    assert highest(marks) == Mark(9, digest(9))
    assert (marks.begun, marks.market_id) == (True, MARKET)
    the_file(marks)


def test_a_journal_that_lacks_what_a_mark_says_is_not_led(marks: HighWater) -> None:
    """Of this market; what is no market yet has lost nothing."""
    marks.keep(66, ROWS[65].digest)
    journal = journal_of(30)
    with pytest.raises(RowsLost, match="went back from row 66 to row 30"):
        marks.insist_on(journal, MARKET)
    marks.insist_on(journal, OTHER)
    marks.insist_on(journal, "")
    marks.insist_on(journal_of(66), MARKET)


WRITER = """
import sys
from pathlib import Path
from callmarket.persistence.loss.high_water import HighWater
marks = HighWater(Path(sys.argv[1]), 0)
marks.begin(sys.argv[2], 0, bytes(32))
for seq in range(1, 10**9):
    marks.keep(seq, seq.to_bytes(32, "big"))
    print(seq, flush=True)
"""


def test_a_killed_process_leaves_the_mark_of_what_it_acknowledged(tmp_path: Path, seed: int) -> None:
    """SIGKILL at any moment: the mark is at least what was said after it, and whole."""
    rng = random.Random(seed)
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path), MARKET]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(rng.randrange(1, 2_000))]
            process.send_signal(signal.SIGKILL)
            # The last line may be cut.
            said += process.stdout.read().splitlines(keepends=True)
        mark = HighWater(tmp_path, 0).highest(MARKET)
        assert mark is not None
        assert mark.digest == digest(mark.seq)
        assert mark.seq >= max(int(line) for line in said if line.endswith("\n"))


# --- what a journal lacks --------------------------------------------------------------------------------------------


def journal_of(count: int) -> MemoryJournal:
    """A journal of so many rows."""
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(bids(100)[:count])
    return journal


ROWS = bids(100)


def mark_of(seq: int) -> Mark:
    return Mark(seq, ROWS[seq - 1].digest)


def test_a_journal_that_has_the_row_lacks_nothing() -> None:
    for mark in (None, Mark(0, bytes(32)), Mark(0, digest(9)), mark_of(1), mark_of(30)):
        assert lost_since(journal_of(30), mark) is None


def test_a_journal_that_ends_before_it_lacks_rows() -> None:
    loss = lost_since(journal_of(30), mark_of(66))
    assert isinstance(loss, RowsLost)
    assert (loss.last_seq, loss.lost_seq, loss.other) == (30, 66, False)
    assert "rows 31 to 66, which had been acknowledged, are lost" in str(loss)
    assert "row 31, which had been acknowledged, are lost" not in str(loss)
    assert "went back from row 31 to row 30: row 31, which" in str(lost_since(journal_of(30), mark_of(31)))


def test_a_journal_that_has_another_row_there_lacks_some() -> None:
    loss = lost_since(journal_of(30), Mark(20, bytes(32)))
    assert isinstance(loss, RowsLost)
    assert loss.other


def test_a_loss_that_was_accepted_is_none() -> None:
    """HST-1: the row that says so stands where no lost row can be, whatever the marks say of rows before it."""
    sealer = Sealer()
    journal = journal_of(30)
    for row in ROWS[:30]:
        sealer.engine.apply(row.entry)
    entry = Entry(HISTORY_ROWS, ROWS[29].entry.at_us, ADMIN, BeginHistory(30, 66))
    events = sealer.engine.apply(entry)
    assert events == (HistoryBegun(30, 66),)
    journal.append([seal(ROWS[29].digest, entry, events)])
    for mark in (mark_of(66), mark_of(30), Mark(20, bytes(32)), Mark(HISTORY_ROWS, journal.position().last_digest)):
        assert lost_since(journal, mark) is None
    assert lost_since(journal, Mark(HISTORY_ROWS + 1, bytes(32))) is not None
    assert lost_since(journal, Mark(HISTORY_ROWS, bytes(32))) is not None
