"""Damage of each kind, planted in every column of every table, and found by its place.

Goal: `verify` leaves nothing out, and a column that is added tomorrow cannot be forgotten: the columns come from the
database's own catalogue. Method: one thing is changed behind the engine's back, verified, and changed back.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from callmarket.engine.codec import SealedRow
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.rows import TABLES
from callmarket.persistence.tables.table import Table
from callmarket.persistence.verify import VerifyReport, verify
from tests.support.capital_stories import announced_story
from tests.support.following import level
from tests.support.sealed import batches, bids, story
from tests.support.swarms import long_swarm

# As many as it takes until every column of every table has something in a row, and something is null where it may be.
ROWS = 700
# Another value of each type. Keys are moved far, so that they meet no other.
OTHER = {
    "integer": "{} + 1000000",
    "bigint": "{} + 1000000",
    "bigint[]": "{} || 7::bigint",
    "numeric": "{} + 1",
    "text": "{} || 'x'",
    "timestamp with time zone": "{} + interval '1 microsecond'",
    "bytea": "sha256({})",
    "json": "(regexp_replace({}::text, 'type', 'typo'))::json",
}
NEW = {
    "bigint": "7",
    "text": "'x'",
    "timestamp with time zone": "now()",
}


@pytest.fixture(scope="module")
def told() -> list[SealedRow]:
    return announced_story(3, ROWS - 2, story(3, 450, long_swarm)).rows


@pytest.fixture(scope="module")
def whole_url(module_database_url: str, told: list[SealedRow]) -> str:
    """A database whose constraints do not stand in the way of damage, with two epochs and two shards."""
    url = module_database_url
    for shard_id, parts in ((0, (told[: ROWS // 2], told[ROWS // 2 :])), (1, (bids(20),))):
        for rows in parts:
            with PostgresJournal(url, shard_id) as journal:
                journal.claim()
                for batch in batches(rows, 1, (100, 400)):
                    journal.append(batch)
        level(url, shard_id)
    with psycopg.connect(url) as connection:
        for table, name in connection.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 "
            "AND connamespace = 'public'::regnamespace"
        ).fetchall():
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
        for table, column in connection.execute(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attnum > 0 AND attnotnull "
            "AND attrelid::regclass::text = ANY(%s)",
            ([table.name for table in TABLES],),
        ).fetchall():
            with connection.transaction(), _unless_a_key():
                connection.execute(f'ALTER TABLE {table} ALTER COLUMN "{column}" DROP NOT NULL')
    return url


@contextmanager
def _unless_a_key() -> Iterator[None]:
    """A column of a primary key keeps its NOT NULL."""
    try:
        yield
    except psycopg.errors.InvalidTableDefinition:
        raise psycopg.Rollback from None


def columns(url: str) -> list[tuple[str, str, str]]:
    """Every column that can be written: table, name and type."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            """
            SELECT relname, attname, format_type(atttypid, atttypmod)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND attgenerated = ''
            ORDER BY relname, attnum
            """
        ).fetchall()  # type: ignore[return-value]


@contextmanager
def planted(url: str, *statements: str) -> Iterator[VerifyReport]:
    """What `verify` says of the database after these statements; the tables that they name are then restored."""
    every = [table.name for table in TABLES] + ["journal", "engine_writer"]
    names = [name for name in every if any(name in statement for statement in statements)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for name in names:
            kept = sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {}")
            connection.execute(kept.format(sql.Identifier(f"kept_{name}"), sql.Identifier(name)))
        try:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0, statement
            yield verify(url, 0)
        finally:
            for name in names:
                listed = connection.execute(
                    "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute "
                    "WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = ''",
                    (name,),
                ).fetchone()
                connection.execute(f"DELETE FROM {name}")
                connection.execute(f"INSERT INTO {name} ({listed[0]}) SELECT {listed[0]} FROM kept_{name}")


def place_of(url: str, table: str, condition: str, rng: random.Random) -> str | None:
    """A condition that names one row of a table in shard 0, drawn from those that have something."""
    key = {"journal": ("seq",), "engine_writer": ("shard_id",)}.get(table) or next(
        tuple(one.key) for one in TABLES if one.name == table
    )
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(key)} FROM {table} WHERE shard_id = 0 AND {condition} ORDER BY 1"
        ).fetchall()
    if not rows:
        return None
    return "shard_id = 0 AND " + " AND ".join(
        f"{column} = {value!r}" for column, value in zip(key, rng.choice(rows), strict=True)
    )


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_damage_to_any_column_of_any_table_is_found(whole_url: str, seed: int, table: Table) -> None:
    """Another value, a value where none was, none where one was: the table, the key and the column are named."""
    rng = random.Random(seed)
    assert verify(whole_url, 0).ok
    planted_columns = set()
    for name, column, kind in columns(whole_url):
        if name != table.name:
            continue
        quoted = f'"{column}"'
        damages = [(f"{quoted} IS NOT NULL", OTHER[kind].format(quoted))]
        if column not in ("shard_id", *table.key):
            damages += [(f"{quoted} IS NOT NULL", "NULL"), (f"{quoted} IS NULL", NEW.get(kind, "0"))]
        for condition, value in damages:
            place = place_of(whole_url, name, condition, rng)
            if place is None:
                assert "IS NULL" in condition, f"no row has {column}: the story must be longer"
                continue
            statement = f"UPDATE {name} SET {quoted} = {value} WHERE {place}"
            with planted(whole_url, statement) as report:
                said = [line for line in report.differences if line.startswith(f"{name} ")]
                assert said, statement
                named = any(f"{column} is " in line and "(journal row " in line for line in said)
                missing = any("the row is missing" in line for line in said)
                assert named or (missing and column in ("shard_id", *table.key)), (statement, said)
                assert report.first_bad_seq is None
                assert "rebuild-projections" in str(report)
        planted_columns.add(column)
    assert planted_columns == {"shard_id", *table.columns}
    assert verify(whole_url, 0).ok


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_missing_added_and_swapped_rows_are_found(whole_url: str, seed: int, table: Table) -> None:
    rng = random.Random(seed)
    name = table.name
    listed = ", ".join(f'"{column}"' for column in ("shard_id", *table.columns))
    place = place_of(whole_url, name, "true", rng)
    with planted(whole_url, f"DELETE FROM {name} WHERE {place}") as report:
        assert any(line.startswith(name) and "the row is missing (journal row" in line for line in report.differences)
    key = table.columns[0]
    other = "77777" if "int8" in table.sql_type(key) else "'nobody'"
    values = listed.replace(f'"{key}"', other, 1)
    with planted(whole_url, f"INSERT INTO {name} ({listed}) SELECT {values} FROM {name} WHERE {place}") as report:
        assert any(line.startswith(name) and "knows no such row" in line for line in report.differences)
    with planted(whole_url, f"DELETE FROM {name} WHERE shard_id = 0") as report:
        assert any(line.startswith(name) and "the row is missing" in line for line in report.differences)
    second = place_of(whole_url, name, f"NOT ({place})", rng)
    if second is not None:
        rest = ", ".join(f'"{column}"' for column in table.columns[table.key_columns :])
        values = ", ".join(f'other."{column}"' for column in table.columns[table.key_columns :])
        swap = (
            f"UPDATE {name} AS this SET ({rest}) = (SELECT {values} FROM {name} AS other WHERE "
            f"CASE WHEN this.{key} = (SELECT {key} FROM {name} WHERE {place}) AND {_of(place, 'this')} "
            f"THEN {_of(second, 'other')} ELSE {_of(place, 'other')} END) WHERE ({place}) OR ({second})"
        )
        with planted(whole_url, swap) as report:
            assert sum(line.startswith(name) for line in report.differences) == 2, report


def _of(place: str, alias: str) -> str:
    """A place as a condition on an alias of its table."""
    return " AND ".join(f"{alias}.{part}" for part in place.split(" AND "))


# Each journal column with a change of row N, and the row that must be named, from N.
JOURNAL = {
    "shard_id": ("shard_id + 7", 0),
    "seq": ("seq + 1000000", 0),
    "at_us": ("at_us + 1", 0),
    "actor": ("actor || 'x'", 0),
    "command_id": ("command_id || 'x'", 0),
    "rules": ("rules - 1", 0),
    "command": ("regexp_replace(command::text, 'type', 'typo')::json", 0),
    "events": ("regexp_replace(events::text, ':', ': ')::json", 0),
    "digest": ("sha256(digest)", 0),
    # The digest does not cover it: it is found where it falls, that is at the next row, and at the end by the fence.
    "epoch": ("epoch + 9", 1),
}


@pytest.mark.parametrize("column", JOURNAL)
def test_damage_to_any_column_of_the_journal_is_found(whole_url: str, seed: int, column: str) -> None:
    """In the first row, in the last and in between: the row is named, by `verify` and by plain SQL."""
    value, offset = JOURNAL[column]
    for seq in (1, random.Random(seed).randrange(2, ROWS), ROWS):
        bad = min(seq + offset, ROWS)
        with planted(whole_url, f"UPDATE journal SET {column} = {value} WHERE shard_id = 0 AND seq = {seq}") as report:
            assert (report.ok, report.first_bad_seq) == (False, bad), report
            with psycopg.connect(whole_url) as connection:
                query = "SELECT min(seq) FROM journal_breaks WHERE shard_id = 0"
                (found,) = connection.execute(query).fetchone()
            # SQL alone does not know where the journal ends, and names the row after a gap.
            at_the_end = seq == ROWS and column in ("shard_id", "epoch")
            after_a_gap = seq + 1 if column in ("seq", "shard_id") and seq != ROWS else bad
            assert found == (
                None if at_the_end else 1_000_000 + ROWS if seq == ROWS and column == "seq" else after_a_gap
            )


def test_every_column_of_the_journal_is_tried(whole_url: str) -> None:
    assert {column for table, column, _ in columns(whole_url) if table == "journal"} == set(JOURNAL)


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("DELETE FROM journal WHERE shard_id = 0 AND seq = 1", 1),
        ("DELETE FROM journal WHERE shard_id = 0 AND seq = 400", 400),
        ("DELETE FROM journal WHERE shard_id = 0 AND seq BETWEEN 300 AND 450", 300),
        (f"DELETE FROM journal WHERE shard_id = 0 AND seq = {ROWS}", ROWS),
        (f"INSERT INTO journal SELECT 0, {ROWS + 1}, epoch, at_us, actor, command_id, rules, command, events, digest "
         f"FROM journal WHERE shard_id = 0 AND seq = {ROWS}", ROWS + 1),
        ("UPDATE journal SET epoch = 1 WHERE shard_id = 0 AND seq = 400", 400),
        (f"UPDATE journal SET epoch = 1 WHERE shard_id = 0 AND seq > {ROWS // 2}", None),
        # Two rows change places.
        ("UPDATE journal AS this SET (at_us, actor, command_id, rules, command, events, digest) = (SELECT at_us, "
         "actor, command_id, rules, command, events, digest FROM journal AS that WHERE that.shard_id = 0 "
         "AND that.seq = 401 - this.seq) WHERE shard_id = 0 AND seq IN (200, 201)", 200),
        ("UPDATE engine_writer SET epoch = 1 WHERE shard_id = 0", ROWS),
        ("UPDATE engine_writer SET last_seq = last_seq - 1 WHERE shard_id = 0", ROWS),
        ("UPDATE engine_writer SET last_seq = last_seq + 1 WHERE shard_id = 0", ROWS + 1),
        ("UPDATE engine_writer SET last_digest = sha256(last_digest) WHERE shard_id = 0", ROWS),
        ("DELETE FROM engine_writer WHERE shard_id = 0", 1),
    ],
)  # fmt: skip
def test_rows_of_the_journal_and_the_fence(whole_url: str, statement: str, bad: int | None) -> None:
    """Missing, added and swapped rows, epochs that fall, and an end that is not the fence's.

    An epoch that is lowered without falling cannot be told from the truth: nothing is decided by it.
    """
    with planted(whole_url, statement) as report:
        assert (report.ok, report.first_bad_seq) == (bad is None, bad), report


def test_money_is_summed_and_holds_are_counted(whole_url: str) -> None:
    """Also where every row of another table says the same wrong thing: two ways to the same sum."""
    gift = (
        "UPDATE token_accounts SET balance = balance + 5, total_earned = total_earned + 5 WHERE account_id = 'treasury'"
    )
    with planted(whole_url, gift) as report:
        assert any("balances sum to 5, not to zero" in line for line in report.differences)
    hold = "UPDATE token_accounts SET held = held + 3 WHERE shard_id = 0 AND account_id = 'treasury'"
    with planted(whole_url, hold) as report:
        assert any("what is held differs by 3 from" in line for line in report.differences)
    price = (
        "UPDATE compute_auction_bids SET max_price_tokens = max_price_tokens + 3 WHERE id = "
        "(SELECT min(id) FROM compute_auction_bids WHERE shard_id = 0 AND status = 'open') AND shard_id = 0"
    )
    with planted(whole_url, price) as report:
        assert any("what is held differs by -3 from" in line for line in report.differences)
    swap = (
        "UPDATE token_accounts AS this SET balance = that.balance, total_earned = that.total_earned, "
        "total_spent = that.total_spent FROM token_accounts AS that WHERE this.shard_id = 0 AND that.shard_id = 0 "
        "AND this.kind = 'agent' AND that.kind = 'agent' AND that.balance <> this.balance"
    )
    with planted(whole_url, swap) as report:
        assert any(line.startswith("token_accounts ") for line in report.differences)
