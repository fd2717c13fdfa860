"""What a snapshot costs and saves: encoding, restoring, and recovery from it with the rows after it.

    python3 dev.py bench-parts benchmarks/bench_snapshot.py

Rule of this file: the recovery is the one that opening an exchange does, from a real PostgreSQL, with all its proofs.
Beside it stands the floor: reading the very same bytes, the stored image and the rows, and doing nothing with them.
"""

import gc
from dataclasses import dataclass

import psycopg
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.core import Engine
from callmarket.engine.state import State
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.embedded import EmbeddedServer, ensure_database
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import recover
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Snapshot

RESTING = [100_000, 1_000_000]
TAIL_ROWS = 100_000


@dataclass(frozen=True)
class Kept:
    """A database with a snapshot in which so many bids rest, and the rows after it."""

    url: str
    resting: int
    state: State
    image: bytes


@pytest.fixture(scope="module", params=RESTING, ids=["100k", "1M"])
def kept(request: pytest.FixtureRequest, server: EmbeddedServer) -> Kept:
    """The rows before the snapshot are left out of the journal: recovery does not read them."""
    resting: int = request.param
    engine = workload.open_engine()
    workload.fill(engine, resting - 1)
    (last,) = workload.place_bids(engine.state.seq + 1, 1, first_task=resting - 1)
    row = seal(GENESIS_DIGEST, last, workload.accepted(engine, last))
    image = engine.state.encode()
    name = f"snapshot_{resting}"
    ensure_database(server.url("postgres"), name)
    url = server.url(name)
    with connect(url, "bench") as connection:
        ensure_schema(connection)
    with PostgresSnapshots(url, 0) as store:
        store.write(Snapshot(last.seq, last.at_us, row.digest, image))
    rows = [row]
    for entry in workload.place_bids(last.seq + 1, TAIL_ROWS, first_task=resting):
        rows.append(seal(rows[-1].digest, entry, workload.accepted(engine, entry)))
    copy_journal(url, rows)
    del engine, rows
    gc.collect()
    return Kept(url, resting, State.decode(image), image)


def copy_journal(url: str, rows: list[SealedRow]) -> None:
    """Put rows into the journal and its fence at their end, without the tables, which recovery does not read."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY journal FROM STDIN (FORMAT BINARY)") as copy:
            # json travels as its text.
            copy.set_types(["int4", "int8", "int8", "int8", "text", "text", "int4", "bytea", "bytea", "bytea"])
            for row in rows:
                one, command, events = row.entry, row.command_json, row.events_json
                copy.write_row(
                    (0, one.seq, 1, one.at_us, one.actor, one.command_id, row.rules, command, events, row.digest)
                )
        cursor.execute(
            "INSERT INTO engine_writer VALUES (0, 1, %s, %s, now(), 'bench')", (rows[-1].entry.seq, rows[-1].digest)
        )


def group(benchmark: BenchmarkFixture, kept: Kept) -> None:
    benchmark.group = f"{kept.resting:,} resting bids, and {TAIL_ROWS:,} rows after them"
    benchmark.extra_info["image_mb"] = round(len(kept.image) / 1e6, 1)
    gc.collect()


def bench_encode(benchmark: BenchmarkFixture, kept: Kept) -> None:
    """The state as canonical bytes."""
    group(benchmark, kept)
    benchmark.pedantic(kept.state.encode, rounds=5)


def bench_restore(benchmark: BenchmarkFixture, kept: Kept) -> None:
    """Bytes to a state with all its indexes, unchecked."""
    group(benchmark, kept)
    gc.disable()
    try:
        benchmark.pedantic(State.decode, args=(kept.image,), rounds=5)
    finally:
        gc.enable()


def bench_check(benchmark: BenchmarkFixture, kept: Kept) -> None:
    """Every property of the state, once for each recovery."""
    group(benchmark, kept)
    benchmark.pedantic(kept.state.check, rounds=5)


def bench_recover(benchmark: BenchmarkFixture, kept: Kept) -> None:
    """Find, read, unpack and restore the snapshot; read, chain, decide and compare the rows; check the state."""
    group(benchmark, kept)

    def run() -> Engine:
        with PostgresJournal(kept.url, 0) as journal, PostgresSnapshots(kept.url, 0) as store:
            recovered = recover(journal, store)
        report = recovered.report
        assert (report.rows, report.passed_over) == (TAIL_ROWS, ())
        benchmark.extra_info["image_s"] = round(report.image_seconds, 2)
        benchmark.extra_info["tail_s"] = round(report.tail_seconds, 2)
        return recovered.engine

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


def bench_raw_read(benchmark: BenchmarkFixture, kept: Kept) -> None:
    """The floor: the same bytes from the same tables, looked at by nobody."""
    group(benchmark, kept)

    def run() -> int:
        with connect(kept.url, "bench") as connection:
            image = sum(len(row[0]) for row in connection.execute("SELECT data FROM snapshot_chunks", binary=True))
        with PostgresJournal(kept.url, 0, reader=True) as journal:
            return image + sum(len(row.events_json) for rows in journal.scan() for row in rows)

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
