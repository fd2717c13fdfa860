"""The tables made again from the journal: whatever was done to them, the rows are those of before, byte for byte.

Goal: the tables are a cache of the journal; a rebuild gives all of them or changes nothing. Method: random streams in a
real PostgreSQL, damage of every kind, real kills, and writers that are there all the same.
"""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from callmarket import open_exchange
from callmarket.persistence.errors import Corrupt, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables import rebuild as rebuilding
from callmarket.persistence.tables.rebuild import Rebuilt, rebuild
from callmarket.persistence.tables.rows import TABLES
from callmarket.persistence.verify import verify
from tests.support.following import level, projected
from tests.support.sealed import batches, bids, story
from tests.support.small_market import furnish
from tests.support.swarms import long_swarm

ROOT = Path(__file__).resolve().parents[3]


def write(url: str, rows, seed: int = 0, shard_id: int = 0) -> None:
    with PostgresJournal(url, shard_id) as journal:
        journal.claim()
        for batch in batches(rows, seed, (10, 100, 400)):
            journal.append(batch)
    level(url, shard_id)


def again(url: str, shard_id: int = 0) -> Rebuilt:
    with PostgresJournal(url, shard_id, reader=True) as journal:
        return rebuild(url, shard_id, journal)


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table as PostgreSQL writes it."""
    with psycopg.connect(url) as connection:
        # As of one moment: the server may still be about what a process has asked it that was killed.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return {
            table.name: [
                row
                for (row,) in connection.execute(f'SELECT t::text FROM {table.name} AS t ORDER BY t::text COLLATE "C"')
            ]
            for table in TABLES
        }


def damage(url: str, rng: random.Random) -> str:
    """Do something to the tables, and say what: delete, change, add, or empty."""
    table = rng.choice(TABLES)
    name, key = table.name, table.columns[0]
    # Drawn by the seed, and not by the database or by where a row happens to lie.
    drawn = rng.getrandbits(32)
    lot = f"ORDER BY md5({key}::text || '{drawn}'), {', '.join(table.key)} LIMIT 3"
    some = f"shard_id = 0 AND ctid IN (SELECT ctid FROM {name} WHERE shard_id = 0 {lot})"
    # Under any other name, what issuance owes is a balance that the table itself refuses.
    copied = "account_id <> 'issuance'" if name == "token_accounts" else "true"
    other = f"+ {1_000_000 + drawn}" if "int8" in table.sql_type(key) else f"|| '{drawn}'"
    statement = rng.choice(
        [
            f"DELETE FROM {name} WHERE {some}",
            f"UPDATE {name} SET seq = seq + 1 WHERE {some}",
            f"UPDATE {name} SET shard_id = 77 WHERE {some}",
            f"DELETE FROM {name} WHERE shard_id = 0",
            f"CREATE TEMP TABLE more AS SELECT * FROM {name} WHERE shard_id = 0 AND {copied} {lot}; "
            f"UPDATE more SET {key} = {key} {other}; "
            f"INSERT INTO {name} ({', '.join(('shard_id', *table.columns))}) "
            f"SELECT {', '.join(('shard_id', *table.columns))} FROM more; DROP TABLE more",
        ]
    )
    with psycopg.connect(url) as connection:
        connection.execute(statement)
    return statement


@pytest.mark.parametrize("batch_rows", [7, 300, rebuilding.BATCH_ROWS])
def test_the_rows_are_those_of_before(
    database_url: str, seed: int, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows deleted, changed, added, moved to another shard, whole tables emptied; another shard is left alone."""
    monkeypatch.setattr(rebuilding, "BATCH_ROWS", batch_rows)
    rng = random.Random(seed)
    told = story(seed, 900, long_swarm)
    write(database_url, told.rows, seed)
    write(database_url, bids(20), seed, 1)
    before = contents(database_url)
    for _ in range(6):
        done = [damage(database_url, rng) for _ in range(rng.randint(1, 3))]
        print(done)  # noqa: T201  (pytest shows it with a failure)
        rebuilt = again(database_url)
        with psycopg.connect(database_url) as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table.name} WHERE shard_id = 77")
        assert contents(database_url) == before
        assert (rebuilt.rows, rebuilt.table_rows) == (900, sum(map(len, before.values())) - 20 - 1 - 14 - 10)
    assert verify(database_url, 0).ok
    assert verify(database_url, 1).ok
    assert "table rows from 900 journal rows" in str(rebuilt)


def test_the_tables_may_be_truncated_and_the_engine_goes_on(database_url: str) -> None:
    rows = bids(300)
    write(database_url, rows[:250])
    with psycopg.connect(database_url) as connection:
        for table in TABLES:
            connection.execute(f"TRUNCATE {table.name}")
    again(database_url)
    write(database_url, rows[250:])
    assert verify(database_url, 0).ok


def test_a_rebuild_beside_a_leader_lets_the_tables_follow_from_there(database_url: str) -> None:
    """Also where they could not: what somebody has changed stops the projector, and a rebuild lets it go on."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        with psycopg.connect(projected(database_url)) as connection:
            connection.execute("DELETE FROM token_accounts WHERE account_id = 'a'")
        market.mint("a", 5, "grant:more")
        until(lambda: market.node.status().tables_stopped)
        assert market.node.readiness().ready, "another process would find the same tables"
        assert "not what the journal says" in market.node.readiness().tables_fault
        assert not verify(database_url, 0).ok
        again(database_url)
        furnish(market, "b", market_id="other")
        assert verify(projected(database_url), 0).ok
        assert not market.node.status().tables_stopped
        assert not market.node.readiness().tables_fault


def test_a_writer_goes_on_meanwhile_and_a_projector_waits(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safety is the tables' mark: what comes meanwhile is projected after the rebuild, on the rebuilt tables."""
    rows = bids(200)
    writer = PostgresJournal(database_url, 0)
    writer.claim()
    writer.append(rows[:150])
    level(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM compute_auction_bids")
    order: list[str] = []
    real = rebuilding._write

    def slowly(connection, *arguments) -> int:
        writer.append(rows[150:])
        following.start()
        until(lambda: is_waited_for(connection))
        order.append("rebuilt")
        return real(connection, *arguments)

    def follow() -> None:
        level(database_url)
        order.append("followed")

    following = threading.Thread(target=follow)
    monkeypatch.setattr(rebuilding, "_write", slowly)
    assert again(database_url).rows == 150
    following.join(30)
    writer.close()
    assert order == ["rebuilt", "followed"]
    assert verify(database_url, 0).ok


def is_waited_for(connection: psycopg.Connection) -> bool:
    """Whether a session waits for a lock of this one's."""
    with psycopg.connect(connection.info.dsn, password=connection.info.password or None) as other:
        query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid)))"
        row = other.execute(query, (connection.info.backend_pid,)).fetchone()
    assert row is not None
    return row[0]


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE journal SET actor = 'nobody' WHERE seq = 50", 50),
        ("DELETE FROM journal WHERE seq = 50", 50),
        ("DELETE FROM journal WHERE seq = 121", 121),
        ("UPDATE engine_writer SET last_digest = sha256('x')", 121),
        ("UPDATE engine_writer SET last_seq = 100", 101),
    ],
)
def test_a_journal_that_is_wrong_changes_nothing(database_url: str, statement: str, seq: int) -> None:
    write(database_url, bids(100))
    with psycopg.connect(database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)
        connection.execute("DELETE FROM token_ledger WHERE id = 3")
    before = contents(database_url)
    with pytest.raises(Corrupt) as caught:
        again(database_url)
    assert caught.value.seq == seq
    assert contents(database_url) == before


def test_a_shard_that_nobody_opened_is_refused(database_url: str) -> None:
    with pytest.raises(Unavailable, match="nobody has opened it"):
        again(database_url)


def test_killed_in_the_middle_it_has_changed_nothing(database_url: str, seed: int) -> None:
    """Kill -9 at random moments: the tables are as they were or as they should be, and the next rebuild succeeds."""
    rng = random.Random(seed)
    write(database_url, bids(3_000, bidders=40), seed)
    good = contents(database_url)
    ends = set()
    for _ in range(6):
        with psycopg.connect(database_url) as connection:
            connection.execute("DELETE FROM compute_auction_bids WHERE id % 2 = 0")
            connection.execute("UPDATE token_ledger SET memo = 'x'")
        damaged = contents(database_url)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.rebuild_process", database_url],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "rebuilding\n"
        time.sleep(rng.random() * 0.3)
        process.kill()
        process.wait()
        process.stdout.close()
        found = contents(database_url)
        assert found in (damaged, good)
        ends.add(found == good)
        again(database_url)
        assert contents(database_url) == good
    print("ended before, after:", ends)  # noqa: T201
    assert verify(database_url, 0).ok


def test_tables_that_cannot_be_rebuilt_are_as_they_were(database_url: str) -> None:
    write(database_url, bids(30))
    before = contents(database_url)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE compute_auction_rounds RENAME TO hidden")
        with pytest.raises(Unavailable, match=r"were not rebuilt and are as they were: .*compute_auction_rounds"):
            again(database_url)
        owner.execute("ALTER TABLE hidden RENAME TO compute_auction_rounds")
    assert contents(database_url) == before
    rebuilt = again(database_url)
    assert rebuilt.table_rows == rebuilt.table_rows_before == sum(map(len, before.values()))
