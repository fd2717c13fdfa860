"""Damage of what is stored: bits flipped and rows, chunks and files cut, in every place that recovery reads.

Rule of this file: one damage at a time, of a history that is otherwise whole, and it is undone before the next. What
becomes of it is judged by the recovered state alone: it is the true one, byte for byte, or there is none.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from callmarket.engine.codec import seal
from callmarket.engine.commands import Entry, PlaceBid
from callmarket.engine.core import Engine
from callmarket.persistence.errors import Corrupt, Diverged
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import Recovered, recover
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Snapshot, SnapshotStore
from callmarket.persistence.verify import verify
from tests.support.sealed import Story, story
from tests.support.swarms import long_swarm

ROWS = 160
SNAPSHOT_SEQS = (60, 120)
COPIED = ("journal", "engine_writer", "snapshots", "snapshot_chunks")

# Refused: the database does not store it. Found: recovery names it. Passed over: an older snapshot or the whole
# journal was used. Without effect: the state is the true one, and the market goes on from it.
Verdict = Literal["refused", "found", "passed over", "without effect"]


class Refused(Exception):
    """The database does not let such bytes be stored."""


@dataclass(frozen=True)
class History:
    """A market's history in a database, with two snapshots in the database and in a folder, and its true end."""

    url: str
    folder: Path
    told: Story
    image: bytes

    def store(self, kind: str) -> SnapshotStore | None:
        """Where the snapshots are that a recovery is offered."""
        if kind == "folder":
            return FolderSnapshots(self.folder, 0)
        return PostgresSnapshots(self.url, 0) if kind == "database" else None

    def execute(self, statement: sql.Composed | sql.SQL, values: tuple[object, ...] = ()) -> int:
        """As a superuser whom no trigger and no foreign key stops. Raises `Refused`."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SET session_replication_role = replica")
            try:
                return connection.execute(statement, values).rowcount
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.GeneratedAlways) as error:
                raise Refused(str(error)) from error

    def rows_of(self, table: str) -> list[dict[str, object]]:
        """All rows of a table, json as its text."""
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(_ALL_ROWS[table]).fetchall()

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What the block did to the tables and the folder is undone."""
        files = {path: path.read_bytes() for path in self.folder.iterdir()}
        try:
            yield
        finally:
            for path in self.folder.iterdir():
                path.unlink()
            for path, content in files.items():
                path.write_bytes(content)
            with psycopg.connect(self.url) as connection:
                connection.execute("SET session_replication_role = replica")
                for table in COPIED:
                    names = {"table": sql.Identifier(table), "kept": sql.Identifier(f"kept_{table}")}
                    connection.execute(sql.SQL("DELETE FROM {table}").format(**names))
                    connection.execute(
                        sql.SQL("INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {kept}").format(**names)
                    )


_ALL_ROWS = {
    "journal": """SELECT shard_id, seq, epoch, at_us, actor, command_id, rules, command::text, events::text, digest
        FROM journal ORDER BY seq""",
    "engine_writer": "SELECT shard_id, epoch, last_seq, last_digest FROM engine_writer",
    "snapshots": """SELECT snapshot_id, shard_id, seq, at_us, digest, format, rules, image_bytes, stored_bytes, chunks,
        sha256 FROM snapshots ORDER BY seq DESC""",
    "snapshot_chunks": "SELECT snapshot_id, shard_id, chunk_no, data FROM snapshot_chunks ORDER BY snapshot_id DESC",
}
_KEYS = {"journal": "seq", "engine_writer": "last_seq", "snapshots": "snapshot_id", "snapshot_chunks": "snapshot_id"}
# A row's column and its type in SQL, where that is not what Python's value says.
_CASTS = {"command": "::json", "events": "::json"}


def write_history(url: str, folder: Path, seed: int) -> History:
    """Two writers, one after the other, have written the rows."""
    told = story(seed, ROWS, long_swarm)
    for rows in (told.rows[: ROWS // 2], told.rows[ROWS // 2 :]):
        with PostgresJournal(url, 0) as journal:
            journal.claim()
            journal.append(rows)
    history = History(url, folder, told, told.engine.state.encode())
    for kind in ("folder", "database"):
        store = history.store(kind)
        assert store is not None
        with store:
            for seq in SNAPSHOT_SEQS:
                store.write(_snapshot(told, seq))
    with psycopg.connect(url) as connection:
        for table in COPIED:
            names = sql.Identifier(f"kept_{table}"), sql.Identifier(table)
            connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(*names))
    return history


def _snapshot(told: Story, seq: int) -> Snapshot:
    engine = Engine()
    for row in told.rows[:seq]:
        engine.apply(row.entry)
    return Snapshot(seq, engine.state.at_us, told.rows[seq - 1].digest, engine.state.encode())


# --- damages ---------------------------------------------------------------------------------------------------------

Damage = Callable[[History, random.Random], str]
"""Does one damage and says where. Raises `Refused`."""


def flip(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one bit the other way round."""
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def flip_value(value: object, rng: random.Random) -> object:
    """A column's value with one bit the other way round; an empty text has none, and gets a letter."""
    match value:
        case int():
            return value ^ 1 << rng.randrange(rng.choice((8, 63)))
        case str():
            try:
                return flip(value.encode(), rng).decode() if value else "x"
            except UnicodeDecodeError as error:
                raise Refused(str(error)) from error
        case bytes():
            return flip(value, rng)
    raise AssertionError(value)


def _some_row(history: History, table: str, rng: random.Random) -> dict[str, object]:
    """Any row of the journal; of the snapshots the newest, which is the one that is used if it is whole."""
    rows = history.rows_of(table)
    return rows[0] if table.startswith("snapshot") else rng.choice(rows)


def flipping(table: str, column: str) -> Damage:
    """One bit of one column of some row."""

    def damage(history: History, rng: random.Random) -> str:
        row = _some_row(history, table, rng)
        key = _KEYS[table]
        statement = sql.SQL("UPDATE {} SET {} = %s{} WHERE {} = %s").format(
            sql.Identifier(table), sql.Identifier(column), sql.SQL(_CASTS.get(column, "")), sql.Identifier(key)
        )
        assert history.execute(statement, (flip_value(row[column], rng), row[key])) == 1
        return f"{table}.{column} of {key} {row[key]}"

    return damage


def cut_tail(history: History, rng: random.Random) -> str:
    """The newest rows are gone."""
    seq = rng.randint(1, ROWS)
    assert history.execute(sql.SQL("DELETE FROM journal WHERE seq >= %s"), (seq,)) == ROWS - seq + 1
    return f"rows from {seq}"


def cut_row(history: History, rng: random.Random) -> str:
    """One row is gone."""
    seq = rng.randint(1, ROWS)
    assert history.execute(sql.SQL("DELETE FROM journal WHERE seq = %s"), (seq,)) == 1
    return f"row {seq}"


def swap_rows(history: History, rng: random.Random) -> str:
    """Two rows have changed places, all but their seqs."""
    one, two = rng.sample(range(1, ROWS + 1), 2)
    statement = sql.SQL(
        """UPDATE journal AS here SET at_us = there.at_us, actor = there.actor, command_id = there.command_id,
           command = there.command, events = there.events, digest = there.digest
           FROM journal AS there WHERE here.seq IN (%s, %s) AND there.seq IN (%s, %s) AND here.seq <> there.seq"""
    )
    assert history.execute(statement, (one, two, one, two)) == 2
    return f"rows {one} and {two}"


def add_row(history: History, rng: random.Random) -> str:
    """A row from the middle stands at the end once more."""
    seq = rng.randint(1, ROWS)
    statement = sql.SQL(
        """INSERT INTO journal SELECT shard_id, %s, 2, at_us, actor, command_id, rules, command, events, digest
           FROM journal WHERE seq = %s"""
    )
    assert history.execute(statement, (ROWS + 1, seq)) == 1
    return f"row {seq} again"


def cut_chunk(history: History, rng: random.Random) -> str:
    """A chunk of a snapshot ends early."""
    row = _some_row(history, "snapshot_chunks", rng)
    data = row["data"]
    assert isinstance(data, bytes)
    statement = sql.SQL("UPDATE snapshot_chunks SET data = %s WHERE snapshot_id = %s")
    assert history.execute(statement, (data[: rng.randrange(len(data))], row["snapshot_id"])) == 1
    return f"chunk of {row['snapshot_id']}"


def cut_chunks(history: History, rng: random.Random) -> str:
    """All chunks of a snapshot are gone."""
    row = _some_row(history, "snapshots", rng)
    statement = sql.SQL("DELETE FROM snapshot_chunks WHERE snapshot_id = %s")
    assert history.execute(statement, (row["snapshot_id"],)) == 1
    return f"chunks of {row['snapshot_id']}"


def changing_file(change: Callable[[bytes, random.Random], bytes]) -> Damage:
    """The content of the newest file of the folder: the one that is used if it is whole."""

    def damage(history: History, rng: random.Random) -> str:
        path = max(history.folder.iterdir())
        path.write_bytes(change(path.read_bytes(), rng))
        return path.name

    return damage


def flip_head(data: bytes, rng: random.Random) -> bytes:
    head, line, rest = data.partition(b"\n")
    return flip(head + line, rng) + rest


def zero_out(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = rng.randint(start + 1, len(data))
    return data[:start] + bytes(end - start) + data[end:]


JOURNAL_DAMAGES: dict[str, Damage] = {
    **{
        f"journal.{column}": flipping("journal", column)
        for column in (
            "shard_id", "seq", "epoch", "at_us", "actor", "command_id", "rules", "command", "events", "digest",
        )
    },
    "journal: tail cut": cut_tail,
    "journal: row cut": cut_row,
    "journal: rows swapped": swap_rows,
    "journal: row added": add_row,
    **{
        f"engine_writer.{column}": flipping("engine_writer", column)
        for column in ("shard_id", "epoch", "last_seq", "last_digest")
    },
}  # fmt: skip
SNAPSHOT_DAMAGES: dict[str, Damage] = {
    **{
        f"snapshots.{column}": flipping("snapshots", column)
        for column in (
            "snapshot_id", "shard_id", "seq", "at_us", "digest", "format", "rules", "image_bytes", "stored_bytes",
            "chunks", "sha256",
        )
    },
    **{
        f"snapshot_chunks.{column}": flipping("snapshot_chunks", column)
        for column in ("snapshot_id", "shard_id", "chunk_no", "data")
    },
    "snapshot_chunks: cut": cut_chunk,
    "snapshot_chunks: gone": cut_chunks,
}  # fmt: skip
FILE_DAMAGES: dict[str, Damage] = {
    "snapshot file: head": changing_file(flip_head),
    "snapshot file: anywhere": changing_file(flip),
    "snapshot file: cut": changing_file(lambda data, rng: data[: rng.randrange(len(data))]),
    "snapshot file: zeroed": changing_file(zero_out),
}


# --- judging ---------------------------------------------------------------------------------------------------------


def try_damage(history: History, damage: Damage, rng: random.Random, snapshots: str = "") -> tuple[str, Verdict]:
    """Do it, recover, judge, and undo it. Raises `AssertionError` if the market would be wrong, now or later."""
    with history.undone():
        try:
            place = damage(history, rng)
        except Refused:
            return "", "refused"
        proof = verify(history.url, 0)
        store = history.store(snapshots)
        found, report = "", None
        try:
            with PostgresJournal(history.url, 0) as journal:
                recovered = recover(journal, store)
                report = recovered.report
                assert_true(history, recovered, place)
                assert_goes_on(history, journal, recovered, store, place)
        except (Corrupt, Diverged) as error:
            found = str(error)
        finally:
            if store is not None:
                store.close()
        if report is None:
            assert not snapshots, f"{place}: damage of a snapshot has stopped recovery: {found}"
            assert not proof.ok, f"{place}: verify sees nothing, and recovery says {found}"
            return place, "found"
        assert not found, f"{place}: was not found, and stops the writer: {found}"
        if report.passed_over or (snapshots and report.from_seq != SNAPSHOT_SEQS[-1]):
            return place, "passed over"
        return place, "without effect"


def assert_true(history: History, recovered: Recovered, place: str) -> None:
    """The state is that of the whole history."""
    assert recovered.engine.state.encode() == history.image, f"{place}: a wrong state was recovered"
    assert recovered.position[1:] == (ROWS, history.told.rows[-1].digest), place


def assert_goes_on(
    history: History, journal: PostgresJournal, recovered: Recovered, store: SnapshotStore | None, place: str
) -> None:
    """The writer can write, and whoever recovers after it gets that. A refused bid changes no other table."""
    engine = recovered.engine
    bid = PlaceBid("no-such-market", "nobody", "task", 1)
    entry = Entry(ROWS + 1, engine.state.at_us + 1, "nobody", bid, "after-the-damage")
    row = seal(recovered.position.last_digest, entry, engine.apply(entry))
    journal.append([row])
    try:
        again = recover(journal, store)
    except (Corrupt, Diverged) as error:
        raise AssertionError(f"{place}: was not found, and spoils what was written after it: {error}") from error
    assert again.engine.state.encode() == engine.state.encode(), place
