"""The journal's writer in a process of its own: the same words and rows, whatever becomes of the process.

Goal: who writes through another process meets the same errors as who writes from here, and what was called durable is
in the journal, once, whoever is killed. Real processes, real signals, a real PostgreSQL.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callmarket.engine.codec import seal
from callmarket.persistence.errors import Corrupt, Diverged, Fenced, Gap, PersistenceError, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.verify import verify
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.process import wire
from callmarket.persistence.writer.process.rows import Child, ProcessRows, WriterProcesses
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.sealed import batches, bids, story
from tests.support.writers import assert_whole, stored

WAIT_S = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
def epoch(database_url: str) -> int:
    with PostgresJournal(database_url, 0) as journal:
        return journal.claim()


@pytest.fixture
def rows(database_url: str, epoch: int) -> Iterator[ProcessRows]:
    with WriterProcesses() as processes:
        writer = processes.open(database_url, 0, epoch)
        yield writer
        writer.close()


def is_there(pid: int) -> bool:
    """Whether this process runs; one that has ended and was not asked for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second where it ends between opening and reading
        return False


def until(met, within_s: float = WAIT_S) -> None:
    end_s = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_the_writer_process_appends_rows_unchanged(rows: ProcessRows, database_url: str, epoch: int, seed: int) -> None:
    written = story(seed, 500).rows
    assert rows.position().last_seq == 0
    for batch in batches(written, seed):
        rows.append(batch)
    assert rows.position() == Position(epoch, len(written), written[-1].digest)
    assert_whole(database_url, written)


def test_a_batch_of_many_megabytes_arrives(rows: ProcessRows, database_url: str) -> None:
    """More than one read takes, in both directions of what a socket holds."""
    written = bids(9_000)
    rows.append(written)
    assert rows.position().last_seq == len(written)
    assert stored(database_url) == written


def test_errors_are_those_of_the_journal(rows: ProcessRows, database_url: str) -> None:
    written = bids(5)
    rows.append(written[:3])
    with pytest.raises(Gap, match="ends at seq 3, and this batch begins at 5"):
        rows.append(written[4:])
    forged = [seal(b"x" * 32, row.entry, row.events) for row in written[3:4]]
    with pytest.raises(Corrupt) as corrupt:
        rows.append(forged)
    assert corrupt.value.seq == 4
    with PostgresJournal(database_url, 0) as other:
        other.claim()
    with pytest.raises(Fenced, match="another writer has taken over"):
        rows.append(written[3:])
    assert stored(database_url) == written[:3]


@pytest.mark.parametrize(
    "error",
    [Unavailable("a"), Fenced("b"), Gap("c"), Corrupt("d", 7), Corrupt("d"), Diverged("e", 8), PersistenceError("f")],
)
def test_every_error_of_a_writer_comes_across(error: PersistenceError) -> None:
    told = wire.error_of(wire.failed(error, []))
    assert (type(told), str(told), getattr(told, "seq", None)) == (type(error), str(error), getattr(error, "seq", None))


def test_a_database_that_is_away_is_unavailable() -> None:
    with WriterProcesses() as processes:
        writer = processes.open("postgresql://nobody@127.0.0.1:1/none", 0, 1)
        with pytest.raises(Unavailable, match="No connection to the database"):
            writer.append(bids(1))
        writer.close()


def test_a_bug_in_the_process_stops_the_writer(rows: ProcessRows, caplog: pytest.LogCaptureFixture) -> None:
    """A broken invariant must not look like an outage, which is tried again for minutes."""
    written = bids(3)
    with pytest.raises(PersistenceError, match="rows are not contiguous") as raised:
        rows.append([written[0], written[2]])
    assert type(raised.value) is PersistenceError
    assert "Traceback" in caplog.text


def test_log_records_of_the_process_are_logged_by_its_parent(
    rows: ProcessRows, caplog: pytest.LogCaptureFixture
) -> None:
    """Its parent knows the form and the place of the log; the process itself writes none."""
    rows.append(bids(0))
    assert not caplog.records
    with pytest.raises(PersistenceError):
        rows.append([bids(3)[2], bids(3)[0]])
    assert [(record.name, record.levelno) for record in caplog.records] == [("__main__", logging.ERROR)]


def test_a_process_that_was_killed_is_an_outage_and_the_writer_goes_on(
    database_url: str, epoch: int, seed: int
) -> None:
    """Killed whenever it comes: between batches, in the middle of one, at its COMMIT. Nothing is lost or doubled."""
    written, rng, opened = bids(6_000), random.Random(seed), []

    def open_writer() -> ProcessRows:
        opened.append(ProcessRows(Child(), database_url, 0, epoch))
        return opened[-1]

    with PostgresJournal(database_url, 0) as journal:
        position = journal.position()
    limits = Limits(batch_rows_max=50, backoff_s_min=0.01, backoff_s_max=0.05)
    done = threading.Event()

    def kill() -> None:
        for _ in range(12):
            if done.wait(rng.uniform(0.02, 0.4)):
                return
            if opened:
                opened[-1].interrupt()

    killer = threading.Thread(target=kill)
    with WriteBehind(open_writer, position, limits) as writer:
        killer.start()
        for start in range(0, len(written), 100):
            writer.enqueue(*written[start : start + 100])
        # Once for certain, whatever the machine is busy with: the first batch is in, and a hundred wait.
        writer.wait(written[0].entry.seq, WAIT_S)
        opened[-1].interrupt()
        writer.wait(written[-1].entry.seq, WAIT_S)
        done.set()
        killer.join()
    assert len(opened) > 1
    assert_whole(database_url, written)


def test_a_wait_is_ended_by_interrupt(rows: ProcessRows, database_url: str) -> None:
    """As where a server is frozen: whoever waits hears of it at once."""
    rows.append(bids(0))
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT FROM engine_writer FOR UPDATE")
        timer = threading.Timer(0.3, rows.interrupt)
        timer.start()
        with pytest.raises(Unavailable, match="has ended"):
            rows.append(bids(1)[-1:])
        timer.join()


def test_signals_to_the_group_do_not_end_it(rows: ProcessRows, database_url: str) -> None:
    """Ctrl-C, and what a supervisor sends to all: its parent drains first."""
    rows.append(bids(0))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(rows._child.pid, number)
    rows.append(bids(10)[len(bids(0)) :])
    assert rows.position().last_seq == len(bids(10))


def test_the_process_ends_with_its_parent_however_that_ends(database_url: str, epoch: int) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from callmarket.persistence.writer.process.rows import WriterProcesses\n"
            "with WriterProcesses() as processes:\n"
            "    writer = processes.open(sys.argv[1], 0, int(sys.argv[2]))\n"
            "    writer.position()\n"
            "    print(writer._child.pid, flush=True)\n"
            "    time.sleep(600)\n",
            database_url,
            str(epoch),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_there(child)
    parent.kill()
    parent.communicate()
    until(lambda: not is_there(child))


def test_closing_ends_the_process_and_the_one_that_waits(database_url: str, epoch: int) -> None:
    processes = WriterProcesses()
    waiting = processes._waiting
    assert waiting is not None
    writer = processes.open(database_url, 0, epoch)
    assert writer._child is waiting
    another = processes.open(database_url, 0, epoch)
    assert another._child is not waiting
    spare = WriterProcesses()
    left = spare._waiting
    assert left is not None
    spare.close()
    spare.close()
    writer.close()
    writer.close()
    another.close()
    assert not any(is_there(child.pid) for child in (waiting, another._child, left))


def test_tables_are_brought_along_by_a_process_of_their_own(database_url: str, epoch: int) -> None:
    """In the name of who leads, and with the errors of who does it from here; it ends where it is closed."""
    written = bids(30)
    with PostgresJournal(database_url, 0, epoch) as journal:
        journal.append(written)
    with WriterProcesses() as processes:
        waiting = processes._waiting
        tables = processes.open_tables(database_url, 0, epoch)
        assert processes._waiting is waiting, "who begins to lead finds one all the same"
        assert tables.project() == (len(written), False)
        assert verify(database_url, 0).ok
        with PostgresJournal(database_url, 0) as successor:
            successor.claim()
            successor.append(bids(31)[len(written) :])
        with pytest.raises(Fenced, match="its tables are another's"):
            tables.project()
        tables.close()
        tables.close()
        assert not is_there(tables._child.pid)


def test_a_waiting_caller_comes_before_the_tables(database_url: str, epoch: int) -> None:
    """Where there is too little of a processor they have it: only the process of the tables is nice."""
    with WriterProcesses() as processes:
        writer, tables = processes.open(database_url, 0, epoch), processes.open_tables(database_url, 0, epoch)
        tables.project()
        ours, theirs, aside = (
            os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, writer._child.pid, tables._child.pid)
        )
        assert theirs == ours
        assert aside == min(19, ours + 5)
        writer.close()
        tables.close()


def test_each_process_has_one_work(database_url: str, epoch: int) -> None:
    """A mistake of the caller's is told as one, and no outage, which it would try to sit out."""
    with WriterProcesses() as processes:
        writer, tables = processes.open(database_url, 0, epoch), processes.open_tables(database_url, 0, epoch)
        for line, wrong, said in (
            (writer, wire.Project(), "This process writes one journal"),
            (tables, wire.Look(), "This process brings the tables of one journal along"),
        ):
            with pytest.raises(PersistenceError, match=said) as caught:
                line._ask(wrong)
            assert type(caught.value) is PersistenceError
        assert writer.position().epoch == epoch
        assert tables.project() == (0, False)
        writer.close()
        tables.close()


def test_the_password_is_not_among_the_arguments(database_url: str) -> None:
    """Everybody on a machine can read them."""
    with WriterProcesses() as processes:
        writer = processes.open(database_url, 0, 1)
        arguments = Path(f"/proc/{writer._child.pid}/cmdline").read_text(encoding="utf-8")
        assert "postgresql" not in arguments
        assert "writer.process" in arguments
        writer.close()
