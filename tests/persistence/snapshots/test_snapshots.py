"""Recovery from snapshots: the same engine as from the journal, whatever has become of them.

Goal: decision 11 of docs/decisions. Snapshots are a cache: with them, without them and with damaged ones the recovered
state is the same, byte for byte; what cannot be used is passed over, in the log and in the report; what takes them
neither disturbs a writer nor leaves anything that recovery would trust wrongly. Method: random streams in a real
PostgreSQL, damage of each kind behind the store's back, real kills.
"""

import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from callmarket import open_exchange
from callmarket.engine import limits
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.core import Engine
from callmarket.engine.image import FORMAT
from callmarket.engine.state import State
from callmarket.persistence import recovery
from callmarket.persistence.errors import Corrupt, Damaged, TooNew, Unavailable
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.recovery import Recovered, Report, recover, rehearse
from callmarket.persistence.snapshot_follower import Follower, take
from callmarket.persistence.snapshots import postgres
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Snapshot, SnapshotStore
from tests.support.ended_sessions import no_session_left
from tests.support.recording import record
from tests.support.sealed import batches, bids, story
from tests.support.streams import bounds
from tests.support.swarms import long_swarm

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(database_url: str) -> Iterator[PostgresSnapshots]:
    opened = PostgresSnapshots(database_url, 0)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> FolderSnapshots:
    return FolderSnapshots(tmp_path, 0)


def write(url: str, rows: list[SealedRow], seed: int = 0) -> None:
    with PostgresJournal(url, 0) as journal:
        if journal.position().epoch == 0:
            journal.claim()
        journal.epoch = journal.position().epoch
        for batch in batches(rows, seed, (100, 400)):
            journal.append(batch)


def memory_journal(rows: list[SealedRow]) -> MemoryJournal:
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(rows)
    return journal


def snapshot_of(rows: list[SealedRow], seq: int) -> Snapshot:
    """What is taken after row `seq` of a story with the usual bounds."""
    engine = Engine()
    for row in rows[:seq]:
        engine.apply(row.entry)
    return Snapshot(seq, engine.state.at_us, rows[seq - 1].digest, engine.state.encode())


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(statement).rowcount > 0


def from_seqs(journal: PostgresJournal | MemoryJournal, store: SnapshotStore) -> tuple[int, list[int]]:
    """Where recovery began, and what it passed over."""
    report = rehearse(journal, store)[0].report
    return report.from_seq, [one.seq for one in report.passed_over]


def test_recovery_from_any_row_equals_recovery_from_the_journal(folder: FolderSnapshots, seed: int) -> None:
    """At random points of streams with every bound low: the same bytes, and the rows after the snapshot only."""
    rng = random.Random(seed)
    for stream_seed in range(seed, seed + 4):
        recording = record(stream_seed, 250)
        journal = memory_journal(recording.rows)
        with bounds(recording.bounds):
            for seq in sorted(rng.sample(range(1, 251), 8)):
                row = recording.rows[seq - 1]
                info = folder.write(Snapshot(seq, row.entry.at_us, row.digest, recording.states[seq - 1]))
                recovered = recover(journal, folder)
                assert recovered.engine.state.encode() == recording.states[-1]
                assert (recovered.report.from_seq, recovered.report.rows) == (seq, 250 - seq)
                assert recovered.position[1:] == (250, recording.rows[-1].digest)
                parts = recovered.report.image_seconds, recovered.report.tail_seconds
                assert min(parts) > 0
                assert sum(parts) <= recovered.report.seconds, "the parts of one time"
                folder.delete(info)
            assert recover(journal, folder).report.image_seconds == 0, "without a snapshot"


@pytest.mark.parametrize("small", [False, True])
def test_a_follower_goes_on_from_where_it_stands(
    database_url: str, store: PostgresSnapshots, seed: int, small: bool
) -> None:
    """A real PostgreSQL: each snapshot costs the rows since the last, and each recovers to the same bytes."""
    overrides = {"LOSERS_PER_CALL_MAX": 2, "SWEEP_ITEMS_MAX": 3, "RECEIPTS_MAX": 5} if small else {}
    with bounds(overrides), PostgresJournal(database_url, 0, reader=True) as journal:
        told = story(seed, 1_200, long_swarm)
        follower = Follower(journal, store, 3)
        assert follower.take() is None
        before = 0
        for end in (100, 101, 600, 1_200):
            write(database_url, told.rows[before:end], seed)
            taken = follower.take()
            assert taken is not None
            assert (taken.info.seq, taken.rows, taken.passed_over) == (end, end - before, ())
            assert follower.take() is None
            before = end
        assert [info.seq for info in store.list()] == [1_200, 600, 101]
        for info in store.list():
            recovered, replica = rehearse(journal, store)
            assert recovered.report.from_seq == info.seq
            assert recovered.engine.state.encode() == told.engine.state.encode()
            assert replica.rows == 1_200 - info.seq
            store.delete(info)
        assert rehearse(journal, store)[0].engine.state.encode() == told.engine.state.encode()


def test_a_new_follower_begins_at_the_newest_snapshot(database_url: str, store: PostgresSnapshots) -> None:
    rows = bids(300)
    write(database_url, rows[:200])
    with PostgresJournal(database_url, 0, reader=True) as journal:
        first = take(journal, store, 3)
        write(database_url, rows[200:])
        second = take(journal, store, 3)
        again = take(journal, store, 3)
    assert first is not None
    assert second is not None
    assert again is not None
    assert [(taken.info.seq, taken.rows) for taken in (first, second, again)] == [(200, 200), (321, 121), (321, 0)]
    assert "read back" in str(second)


def test_recovery_that_claims_uses_snapshots_too(database_url: str, store: PostgresSnapshots) -> None:
    rows = bids(300)
    write(database_url, rows)
    store.write(snapshot_of(rows, 250))
    with PostgresJournal(database_url, 0) as journal:
        recovered = recover(journal, store)
    assert recovered.position == (2, 321, rows[-1].digest)
    assert (recovered.report.rows, recovered.report.from_seq, recovered.report.passed_over) == (71, 250, ())
    assert "71 rows in" in str(recovered.report)
    assert "after the snapshot of row 250" in str(recovered.report)


def test_a_snapshot_of_the_last_row_leaves_no_row(database_url: str, store: PostgresSnapshots) -> None:
    rows = bids(50)
    write(database_url, rows)
    store.write(snapshot_of(rows, 71))
    with PostgresJournal(database_url, 0) as journal:
        recovered = recover(journal, store)
    assert recovered.report.rows == 0
    assert recovered.engine.state.seq == 71


def test_a_rehearsal_claims_nothing_and_cannot_write(database_url: str, store: PostgresSnapshots) -> None:
    """The epoch stays; and PostgreSQL itself refuses a reader's claim."""
    write(database_url, bids(20))
    with PostgresJournal(database_url, 0, reader=True) as journal:
        assert rehearse(journal, store)[0].position.epoch == 1
        with pytest.raises(Unavailable, match="only read"):
            journal.claim()
        assert journal.position().epoch == 1


def test_a_rehearsal_ends_where_the_journal_ended_when_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer goes on while it reads: rows after the end that was looked at are left for the next time."""
    rows = bids(100)
    journal = memory_journal(rows[:60])
    at_sixty = journal.position()

    def then_more() -> Position:
        monkeypatch.undo()
        journal.append(rows[60:])
        return at_sixty

    monkeypatch.setattr(journal, "position", then_more)
    recovered, replica = rehearse(journal)
    assert recovered.engine.state.seq == replica.chain.seq == 60
    replica.follow(journal, journal.position().last_seq)
    assert replica.chain.digest == rows[-1].digest


# What is done to the newest of two snapshots, and what the report then says.
DAMAGES = {
    "first chunk": (
        "UPDATE snapshot_chunks SET data = set_byte(data, 9, get_byte(data, 9) # 1) WHERE {} AND chunk_no = 0",
        "",
    ),
    "last chunk": (
        "UPDATE snapshot_chunks SET data = set_byte(data, 1, get_byte(data, 1) # 128) WHERE {} AND chunk_no = "
        "(SELECT chunks - 1 FROM snapshots WHERE {})",
        "",
    ),
    "missing chunk": ("DELETE FROM snapshot_chunks WHERE {} AND chunk_no = 1", "chunk 1 of"),
    "missing chunks": ("DELETE FROM snapshot_chunks WHERE {}", "chunk 0 of"),
    "truncated": ("UPDATE snapshot_chunks SET data = substr(data, 1, 50) WHERE {} AND chunk_no = 1", "were written"),
    "garbage": ("UPDATE snapshot_chunks SET data = decode(repeat('ab', length(data)), 'hex') WHERE {}", "unpacked"),
    "checksum": ("UPDATE snapshots SET sha256 = sha256(sha256) WHERE {}", "checksum"),
    "digest": ("UPDATE snapshots SET digest = sha256(digest) WHERE {}", "another history"),
    "another row": ("UPDATE snapshots SET seq = 160 WHERE {}", "another history"),
    "beyond the end": ("UPDATE snapshots SET seq = 5000 WHERE {}", "this journal has no row 5000"),
    "time": ("UPDATE snapshots SET at_us = at_us + 1 WHERE {}", "another history"),
    "future format": (f"UPDATE snapshots SET format = {FORMAT + 1} WHERE {{}}", f"format {FORMAT + 1}"),
    "format 0": ("UPDATE snapshots SET format = 0 WHERE {}", "format 0"),
    "size": ("UPDATE snapshots SET image_bytes = image_bytes - 1 WHERE {}", "checksum"),
}  # fmt: skip


@pytest.fixture(scope="module")
def damage_rows() -> list[SealedRow]:
    return bids(200)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_passed_over_loudly(
    database_url: str,
    store: PostgresSnapshots,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage_rows: list[SealedRow],
    name: str,
) -> None:
    """The one before is used, at last the whole journal; the state is the same, and log and report say why."""
    monkeypatch.setattr(postgres, "CHUNK_BYTES", 500)
    statement, reason = DAMAGES[name]
    write(database_url, damage_rows)
    older, newer = (store.write(snapshot_of(damage_rows, seq)) for seq in (100, 150))
    with PostgresJournal(database_url, 0) as journal:
        whole = rehearse(journal)[0].engine.state.encode()
        for info, from_seq in ((newer, 100), (older, 0)):
            caplog.clear()
            execute(database_url, statement.replace("{}", f"snapshot_id = {info.name}"))
            with caplog.at_level(logging.WARNING):
                recovered = recover(journal, store)
            assert recovered.engine.state.encode() == whole
            report = recovered.report
            assert (report.from_seq, report.rows) == (from_seq, 221 - from_seq)
            passed = next(one for one in report.passed_over if one.name == info.name)
            assert reason in passed.reason
            assert passed.reason in caplog.text
            assert passed.reason in str(report)


def test_a_snapshot_of_another_history_is_refused(folder: FolderSnapshots) -> None:
    """Whole, and of a journal that is not this one: after a restored backup the same seq may be another row."""
    ours, theirs = bids(100), bids(100, bidders=9)
    folder.write(snapshot_of(theirs, 90))
    folder.write(snapshot_of(ours, 40))
    assert from_seqs(memory_journal(ours), folder) == (40, [90])
    assert from_seqs(memory_journal(ours[:60]), folder) == (40, [90])
    # The journal was lost as a whole.
    assert from_seqs(memory_journal(ours[:20]), folder) == (0, [90, 40])


def test_an_image_that_is_none_is_passed_over(folder: FolderSnapshots) -> None:
    """The checksum is right, and the bytes were never a state; or they are the state of another row."""
    rows = bids(60)
    good = snapshot_of(rows, 50)
    for seq, image in ((60, b"garbage"), (70, snapshot_of(rows, 69).image)):
        folder.write(Snapshot(seq, rows[seq - 1].entry.at_us, rows[seq - 1].digest, image))
    folder.write(good)
    recovered = rehearse(memory_journal(rows), folder)[0]
    assert [one.seq for one in recovered.report.passed_over] == [70, 60]
    assert "not after row 70" in recovered.report.passed_over[0].reason
    assert recovered.report.from_seq == 50


def test_a_state_that_is_wrong_is_passed_over(folder: FolderSnapshots) -> None:
    """A snapshot that was taken wrongly: its tokens are not the journal's. The journal decides."""
    rows = bids(60)
    for seq, change in ((50, "balance"), (55, "bid"), (58, "time")):
        state = State.decode(snapshot_of(rows, seq).image)
        at_us = state.at_us
        if change == "time":
            state.at_us -= 1
        elif change == "balance":
            state.ledger.accounts["agent1"].balance_tokens += 1
        else:
            state.bids_placed += 1
        folder.write(Snapshot(seq, at_us, rows[seq - 1].digest, state.encode()))
    recovered = rehearse(memory_journal(rows), folder)[0]
    assert recovered.engine.state.encode() == snapshot_of(rows, 81).image
    assert [one.seq for one in recovered.report.passed_over] == [58, 55, 50]
    reasons = [one.reason for one in recovered.report.passed_over]
    for said, reason in zip(
        ("the state is that after row 58 at", "decides otherwise", "sum to zero"), reasons, strict=True
    ):
        assert said in reason


def test_a_store_that_does_not_answer_costs_time_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that cannot be read is no reason not to open the market."""

    class Away(FolderSnapshots):
        listing = True

        def list(self):
            if self.listing:
                raise Unavailable("gone fishing")
            return super().list()

        def read(self, info):
            raise Unavailable("gone fishing")

    rows, store = bids(30), Away(tmp_path, 0)
    store.write(snapshot_of(rows, 20))
    for listing in (True, False):
        store.listing = listing
        report = rehearse(memory_journal(rows), store)[0].report
        assert report.from_seq == 0
        assert "gone fishing" in report.passed_over[0].reason
        assert "gone fishing" in caplog.text
        caplog.clear()


def test_a_damaged_tail_is_damage_of_the_journal(database_url: str, store: PostgresSnapshots) -> None:
    """No snapshot hides it, and none is blamed for it."""
    rows = bids(200)
    write(database_url, rows)
    store.write(snapshot_of(rows, 100))
    execute(database_url, "UPDATE journal SET actor = 'admin' WHERE seq = 150")
    with PostgresJournal(database_url, 0) as journal, pytest.raises(Corrupt) as caught:
        recover(journal, store)
    assert caught.value.seq == 150


def test_the_row_that_a_snapshot_was_taken_after_must_be_there(database_url: str, store: PostgresSnapshots) -> None:
    rows = bids(200)
    write(database_url, rows)
    store.write(snapshot_of(rows, 100))
    execute(database_url, "DELETE FROM journal WHERE seq = 100")
    with PostgresJournal(database_url, 0) as journal, pytest.raises(Corrupt) as caught:
        recover(journal, store)
    assert caught.value.seq == 100


def test_epochs_and_times_are_checked_across_the_seam(database_url: str, store: PostgresSnapshots) -> None:
    """The first row after the snapshot may not step back behind the row that it was taken after."""
    rows = bids(60)
    write(database_url, rows)
    store.write(snapshot_of(rows, 40))
    execute(database_url, "UPDATE journal SET epoch = 5 WHERE seq <= 40")
    with PostgresJournal(database_url, 0) as journal, pytest.raises(Corrupt, match="steps back") as caught:
        recover(journal, store)
    assert caught.value.seq == 41


def test_rows_of_newer_rules_are_not_the_snapshots_fault(folder: FolderSnapshots) -> None:
    """Nothing else would help: it is said at once, and not after reading the whole journal for nothing."""
    digest, newer = GENESIS_DIGEST, []
    for row in bids(50):
        newer.append(seal(digest, row.entry, row.events, limits.RULES + (row.entry.seq > 40)))
        digest = newer[-1].digest
    folder.write(snapshot_of(newer, 30))
    with pytest.raises(TooNew, match="run the version that wrote it") as caught:
        rehearse(memory_journal(newer), folder)
    assert caught.value.seq == 41


def test_a_snapshot_of_older_rules_is_fine(folder: FolderSnapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    """State is state: what the rows after it need is decided row by row."""
    rows = bids(50)
    folder.write(snapshot_of(rows, 30))
    monkeypatch.setattr(recovery, "RULES", limits.RULES + 1)
    report = rehearse(memory_journal(rows), folder)[0].report
    assert (report.from_seq, report.rows, report.rows_folded) == (30, 41, 41)


def test_a_snapshot_that_reads_back_differently_is_deleted(folder: FolderSnapshots) -> None:
    """A snapshot counts when it has been read back, not when it has been written."""

    class Lossy(FolderSnapshots):
        def read(self, info):
            return super().read(info)[:-1]

    with pytest.raises(Damaged, match="came back as another image"):
        take(memory_journal(bids(10)), Lossy(folder.folder, 0), 3)
    assert folder.list() == []


def test_a_state_that_cannot_be_restored_is_not_kept(folder: FolderSnapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is that the image restores the state, not only that its bytes survive."""
    real = State.decode

    def forgetful(data: bytes) -> State:
        state = real(data)
        state.receipts = type(state.receipts)()
        state.bids_placed += 1
        return state

    monkeypatch.setattr(State, "decode", staticmethod(forgetful))
    with pytest.raises(Damaged, match="does not restore"):
        take(memory_journal(bids(10)), folder, 3)
    assert folder.list() == []


def test_a_follower_begins_anew_after_a_failure(database_url: str, store: PostgresSnapshots) -> None:
    """An engine that has met an error is not used again."""
    rows = bids(200)
    write(database_url, rows[:100])
    with PostgresJournal(database_url, 0, reader=True) as journal:
        follower = Follower(journal, store, 3)
        follower.take()
        write(database_url, rows[100:])
        execute(database_url, "UPDATE journal SET actor = 'admin' WHERE seq = 150")
        for _ in range(2):
            with pytest.raises(Corrupt):
                follower.take()
        execute(database_url, "UPDATE journal SET actor = (command ->> 'bidder_id') WHERE seq = 150")
        taken = follower.take()
    assert taken is not None
    assert (taken.info.seq, taken.rows) == (221, 121)


def test_only_the_newest_snapshots_are_kept(database_url: str, store: PostgresSnapshots) -> None:
    rows = bids(100)
    with PostgresJournal(database_url, 0, reader=True) as journal:
        follower = Follower(journal, store, 2)
        forgotten = []
        for start, end in pairwise((0, 30, 60, 90, 121)):
            write(database_url, rows[start:end])
            taken = follower.take()
            assert taken is not None
            forgotten.append([info.seq for info in taken.forgotten])
    assert forgotten == [[], [], [30], [60]]
    assert [info.seq for info in store.list()] == [121, 90]
    with psycopg.connect(database_url) as connection:
        query = "SELECT count(DISTINCT snapshot_id) FROM snapshot_chunks"
        assert connection.execute(query).fetchone() == (2,)


def test_snapshots_beside_a_live_exchange(database_url: str, store: PostgresSnapshots) -> None:
    """The engine is neither fenced off nor kept waiting for good, and what is taken meanwhile is of its history."""
    with open_exchange(database_url) as market:
        market.open_market("agents")
        market.open_account("alpha")
        market.mint("alpha", 10**9, "grant:initial")
        ended = threading.Event()

        def bid() -> None:
            number = 0
            while not ended.is_set():
                market.place_bid("agents", "alpha", f"task-{number}", 1 + number % 50)
                if number % 40 == 39:
                    market.offer_slot("agents", f"slot-{number}")
                    market.clear_round("agents")
                number += 1

        writer = threading.Thread(target=bid)
        writer.start()
        try:
            with PostgresJournal(database_url, 0, reader=True) as journal:
                follower, taken_seqs = Follower(journal, store, 3), []
                deadline = time.monotonic() + 1.0
                while time.monotonic() < deadline or len(taken_seqs) < 3:
                    taken = follower.take()
                    if taken is not None:
                        taken_seqs.append(taken.info.seq)
        finally:
            ended.set()
            writer.join()
        assert taken_seqs == sorted(set(taken_seqs))
        live = market.image()
        # A reader does not look like a writer to who wants to open: see `presence`.
        assert market.verify().ok
    with open_exchange(database_url) as again:
        assert again.image() == live
        assert again.recovery.from_seq == taken_seqs[-1]
        assert again.recovery.passed_over == ()


def test_a_reader_is_not_taken_for_a_writer(database_url: str) -> None:
    """An exchange opens while a snapshot is being taken."""
    with PostgresJournal(database_url, 0, reader=True) as journal:
        journal.position()
        started = time.monotonic()
        open_exchange(database_url).close()
        assert time.monotonic() - started < 60


def test_killed_at_random_moments_it_leaves_nothing_that_is_trusted_wrongly(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    """Kill -9 of what takes snapshots: all that is listed is whole, and recovery from each is the journal's state."""
    rng = random.Random(seed)
    rows = bids(1_500, bidders=40)
    write(database_url, rows[:100])
    written = 100
    stores = (PostgresSnapshots(database_url, 0), FolderSnapshots(tmp_path, 0))
    with PostgresJournal(database_url, 0, reader=True) as journal:
        for _ in range(6):
            with no_session_left(database_url):
                process = start_process(database_url, tmp_path)
                until = time.monotonic() + rng.random() * 0.4
                while time.monotonic() < until and written < len(rows):
                    write(database_url, rows[written : written + 20])
                    written += 20
                process.kill()
                process.wait()
            whole = rehearse(journal)[0].engine.state.encode()
            for store in stores:
                for info in [*store.list(), None]:
                    recovered: Recovered = rehearse(journal, store)[0]
                    assert recovered.report.passed_over == ()
                    assert recovered.report.from_seq == (0 if info is None else info.seq)
                    assert recovered.engine.state.encode() == whole
                    # The newest is put aside, so that the one before it has its turn.
                    if info is not None:
                        store.delete(info)
    stores[0].close()


def start_process(url: str, folder: Path) -> subprocess.Popen[str]:
    """Start what takes snapshots; return when it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.snapshot_process", url, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taking\n"
    process.stdout.close()
    return process


def test_the_report_of_old_still_reads_the_same() -> None:
    assert str(Report(1_500, 0, 0.5, tail_seconds=0.5)) == "1,500 rows in 0.50 s (3,000/s), 0 of older rules"
    assert Report(0, 0, 0.0).rows_per_s == 0
