"""What it costs to go through all of history: making the tables again, proving them, and reading and writing archives.

    python3 dev.py bench-parts benchmarks/bench_history.py

Rule of this file: every one goes through the same rows of a real PostgreSQL. Beside them stands the floor: the rows
read and looked at by nobody.
"""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.commands import ADMIN, Command, Entry, Mint, OpenAccount, OpenMarket
from callmarket.engine.core import Engine
from callmarket.persistence.archive.files import read_archive, write_archive
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.embedded import EmbeddedServer, ensure_database
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Archive
from callmarket.persistence.tables.rebuild import rebuild
from callmarket.persistence.verify import verify

BIDS = 100_000
BATCH_ROWS = 5_000


@pytest.fixture(scope="module")
def url(server: EmbeddedServer) -> str:
    """A journal and its tables: so many bids, each of which rests."""
    ensure_database(server.url("postgres"), "history")
    url = server.url("history")
    with connect(url, "bench") as connection:
        ensure_schema(connection)
    engine, rows, digest = Engine(), list[SealedRow](), GENESIS_DIGEST
    for entry in history():
        rows.append(seal(digest, entry, workload.accepted(engine, entry)))
        digest = rows[-1].digest
    with PostgresJournal(url, 0) as journal:
        journal.claim()
        for start in range(0, len(rows), BATCH_ROWS):
            journal.append(rows[start : start + BATCH_ROWS])
    return url


def history() -> Iterator[Entry]:
    """A market with rich bidders, and then bids."""
    opening: list[Command] = [OpenMarket(workload.MARKET)]
    for number in range(workload.BIDDERS):
        opening += [OpenAccount(f"agent-{number}", "agent"), Mint(f"agent-{number}", 10**12, "grant:initial")]
    for seq, command in enumerate(opening, 1):
        yield Entry(seq, 0, ADMIN, command)
    yield from workload.place_bids(len(opening) + 1, BIDS)


def run(benchmark: BenchmarkFixture, work: Callable[[], object]) -> None:
    """Three rounds; figures are comparable within the group."""
    benchmark.group = f"{BIDS:,} rows of history"
    gc.collect()
    benchmark.pedantic(work, rounds=3, warmup_rounds=1)


def bench_raw_scan(benchmark: BenchmarkFixture, url: str) -> None:
    """The floor: all rows, looked at by nobody."""
    with PostgresJournal(url, 0, reader=True) as journal:
        run(benchmark, lambda: sum(map(len, journal.scan())))


def bench_checked_read(benchmark: BenchmarkFixture, url: str) -> None:
    """All rows chained and decoded."""
    with PostgresJournal(url, 0, reader=True) as journal:
        run(benchmark, lambda: sum(1 for _ in journal.read()))


def bench_rebuild(benchmark: BenchmarkFixture, url: str) -> None:
    """`callmarket rebuild-projections`: delete, read, fold, write, commit."""
    with PostgresJournal(url, 0, reader=True) as journal:
        run(benchmark, lambda: rebuild(url, 0, journal))


def bench_verify(benchmark: BenchmarkFixture, url: str) -> None:
    """`callmarket verify`: all rows executed again and all tables compared."""
    run(benchmark, lambda: verify(url, 0))


def archive_of(journal: PostgresJournal) -> Archive:
    """The record of all rows in one file that is not there yet."""
    position = journal.position()
    last = journal.row_at(position.last_seq)
    assert last is not None, "the journal ends with a row"
    return Archive(1, last.seq, last.epoch, last.at_us, GENESIS_DIGEST, last.digest, "", 0, b"")


def bench_write_archive(benchmark: BenchmarkFixture, url: str, tmp_path: Path) -> None:
    """Read all rows, pack them into one file, and flush it."""
    with PostgresJournal(url, 0, reader=True) as journal:
        empty = archive_of(journal)
        made = write_archive(tmp_path, 0, journal.scan(), empty)
        benchmark.extra_info["bytes_per_row"] = round(made.file_bytes / made.last_seq)
        run(benchmark, lambda: write_archive(tmp_path, 0, journal.scan(), empty))


def bench_read_archive(benchmark: BenchmarkFixture, url: str, tmp_path: Path) -> None:
    """The same rows from the file, after its checksum."""
    with PostgresJournal(url, 0, reader=True) as journal:
        archive = write_archive(tmp_path, 0, journal.scan(), archive_of(journal))
    run(benchmark, lambda: sum(map(len, read_archive(tmp_path, 0, archive))))
