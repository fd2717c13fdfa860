"""How a batch travels: in one round trip, and its tables in three; with the error that came first, and packed well.

Method: libpq's own record of what it sends and gets, a server that is frozen between two round trips, and arrays that
the server is asked to give back.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

import psycopg
import pytest

from callmarket.persistence.database.arrays import array, sent_as
from callmarket.persistence.database.connections import BoundedConnection, connect
from callmarket.persistence.errors import Diverged, PersistenceError, Unavailable
from callmarket.persistence.journal.db_writes import execute_journaled
from callmarket.persistence.journal.lease import claim
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables import transactions
from callmarket.persistence.tables.statements import COPY_ROWS_MIN
from callmarket.persistence.tables.table_writer import PostgresTables
from callmarket.persistence.tables.transactions import advance
from callmarket.persistence.verify import verify
from tests.support.own_server import OwnServer, open_own_server
from tests.support.sealed import bids, changes_of

ANSWER_S = 0.4


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    with open_own_server() as server:
        yield server


def claimed(connection: BoundedConnection) -> int:
    epoch = claim(connection, 0)
    assert epoch is not None
    return epoch


@pytest.mark.skipif(sys.platform != "linux", reason="libpq's trace is offered on Linux only")
@pytest.mark.parametrize("batch_rows", [1, 8, COPY_ROWS_MIN - 1])
def test_a_batch_takes_one_round_trip_and_its_tables_three(database_url: str, tmp_path: Path, batch_rows: int) -> None:
    """Each ends with the server's ReadyForQuery; of the tables' three: the mark, the rows, the commit."""
    placed = bids(5 * batch_rows)
    before, after = placed[:21], placed[21:]
    with connect(database_url, "test", writer=True) as connection, (tmp_path / "trace").open("w+b") as file:
        epoch = claimed(connection)
        # One row and many are two statements, and each is prepared the first time.
        for rows in (before[:-1], before[-1:]):
            execute_journaled(connection, rows, shard_id=0, epoch=epoch)
        assert advance(connection, changes_of(before), 0, 21, shard_id=0, epoch=epoch)
        for start in range(0, len(after), batch_rows):
            batch = after[start : start + batch_rows]
            seqs = batch[0].entry.seq - 1, batch[-1].entry.seq
            append = partial(execute_journaled, connection, batch, shard_id=0, epoch=epoch)
            trace = traced(connection, file, append)
            assert trace.count(b"ReadyForQuery") == 1, trace.decode()
            assert trace.count(b"ParseComplete") == 0, trace.decode()
            follow = partial(advance, connection, changes_of(batch), *seqs, shard_id=0, epoch=epoch)
            trace = traced(connection, file, follow)
            assert trace.count(b"ReadyForQuery") == 3, trace.decode()
            # Only BEGIN and COMMIT are read by the server's parser again.
            assert start == 0 or trace.count(b"ParseComplete") == 2, trace.decode()
    assert verify(database_url, 0).ok


def traced(connection: BoundedConnection, file: IO[bytes], call: Callable[[], object]) -> bytes:
    """What libpq says that it sends and gets meanwhile."""
    file.truncate(0)
    connection.pgconn.trace(file.fileno())
    call()
    connection.pgconn.untrace()
    return Path(file.name).read_bytes()


@pytest.mark.parametrize("batch_rows", [10, COPY_ROWS_MIN + 10])
@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ("DELETE FROM token_accounts WHERE account_id = 'agent3'", None),
        ("ALTER TABLE token_accounts ADD CHECK (held < 5)", psycopg.errors.CheckViolation),
        ("INSERT INTO compute_auction_bids SELECT 0, 5, 'gpu', 'agent1', 't', 1", psycopg.errors.UniqueViolation),
        ("ALTER TABLE compute_auction_bids RENAME TO elsewhere", psycopg.errors.UndefinedTable),
    ],
)
def test_the_error_is_the_first_one_and_no_table_is_changed(
    database_url: str, batch_rows: int, damage: str, cause: type[Exception] | None
) -> None:
    """What follows an error in a pipeline fails for that reason alone, and says so instead of the error."""
    rows = bids(batch_rows + 1)
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        tables = PostgresTables(database_url, 0, journal.claim())
        journal.append(rows[:22])
        assert tables.project() == (22, False)
        if damage.startswith("INSERT"):
            # The row that the batch is about to make.
            damage = (
                "INSERT INTO compute_auction_bids (shard_id, id, market_id, bidder_id, task_id, max_price_tokens, "
                "placed_at, expected_value_microusd, placed_seq, priority_seq, time_in_force, status, seq) "
                "SELECT shard_id, id + 1, market_id, bidder_id, task_id, max_price_tokens, placed_at, "
                "expected_value_microusd, placed_seq, priority_seq, time_in_force, status, seq "
                "FROM compute_auction_bids"
            )
        other.execute(damage)
        journal.append(rows[22:])
        assert journal.position().last_seq == len(rows), "the journal does not wait for the tables"
        for _ in range(2):
            with pytest.raises(PersistenceError, match="Nothing was written") as caught:
                tables.project()
            assert isinstance(caught.value, Diverged) == (cause is not psycopg.errors.UndefinedTable)
            assert type(caught.value.__cause__) is (cause or type(None))
            assert not isinstance(caught.value, Unavailable)
            assert other.execute("SELECT seq FROM projections").fetchone() == (22,)
            assert other.execute("SELECT max(seq) FROM token_accounts").fetchone() == (22,)
        tables.close()


def test_a_check_of_the_journal_lets_no_row_in(database_url: str) -> None:
    rows = bids(11)
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        journal.claim()
        journal.append(rows[:22])
        other.execute("ALTER TABLE journal ADD CHECK (seq < 25)")
        with pytest.raises(Diverged, match="Nothing was written"):
            journal.append(rows[22:])
        assert journal.position().last_seq == 22


@pytest.mark.parametrize("moment", ["mark", "rows", "commit"])
@pytest.mark.parametrize("batch_rows", [10, COPY_ROWS_MIN + 10])
def test_a_server_that_freezes_while_tables_are_written_is_given_up(
    own_server: OwnServer, moment: str, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = bids(batch_rows)
    name = "batch_of" if moment == "mark" else "_execute"
    as_before = getattr(transactions, name)
    with (
        own_server.market_database() as url,
        connect(url, "test", writer=True) as connection,
        ExitStack() as thawed_at_the_end,
    ):
        epoch = claimed(connection)
        execute_journaled(connection, rows, shard_id=0, epoch=epoch)

        def freeze(*arguments: object) -> object:
            made = as_before(*arguments) if moment == "commit" else None
            connection.answer_s_max = ANSWER_S
            thawed_at_the_end.enter_context(own_server.frozen())
            return made if moment == "commit" else as_before(*arguments)

        monkeypatch.setattr(transactions, name, freeze)
        with pytest.raises(Unavailable, match="no answer"):
            advance(connection, changes_of(rows), 0, len(rows), shard_id=0, epoch=epoch)
        assert connection.closed


@pytest.mark.parametrize("batch_rows", [1, COPY_ROWS_MIN + 10])
def test_a_server_that_freezes_before_a_batch_is_given_up(own_server: OwnServer, batch_rows: int) -> None:
    with (
        own_server.market_database() as url,
        connect(url, "test", writer=True, answer_s_max=ANSWER_S) as connection,
    ):
        epoch = claimed(connection)
        with own_server.frozen(), pytest.raises(Unavailable, match="no answer"):
            execute_journaled(connection, bids(batch_rows), shard_id=0, epoch=epoch)
        assert connection.closed


def test_bytes_that_the_socket_does_not_take_at_once_are_sent_later(database_url: str) -> None:
    with connect(database_url, "test", answer_s_max=10) as connection:
        with connection.pipeline() as pipeline, connection.round_trip(pipeline):
            asked = [connection.execute("SELECT length(%b::bytea)", (b"x" * 10_000_000,)) for _ in range(3)]
        assert [cursor.fetchone() for cursor in asked] == [(10_000_000,)] * 3


def test_after_an_error_the_connection_goes_on(database_url: str) -> None:
    with connect(database_url, "test") as connection:

        def ask() -> None:
            with connection.pipeline() as pipeline, connection.round_trip(pipeline):
                connection.execute("SELECT 1")
                connection.execute("SELECT 1 / 0")
                connection.execute("SELECT nothing")

        with pytest.raises(psycopg.errors.DivisionByZero):
            ask()
        assert connection.execute("SELECT 2").fetchone() == (2,)


TEXTS = ["", " ", '"', "\\", "{a,b}", "NULL", "null", "'", "\x01\x7f\t\n", "é", "漢字", "\U0001f600", "x" * 100_000]
VALUES: dict[str, list[object]] = {
    "int4": [0, 1, -1, 2**31 - 1, -(2**31)],
    "int8": [0, 1, -1, 2**63 - 1, -(2**63)],
    "text": list(TEXTS),
    "bytea": [b"", b"\0", bytes(range(256)), b"\xff" * 4],
    "json": [b"{}", b' { "a" : 1.0 , "a":1 } ', '"é\U0001f600"'.encode(), b'"\\u00e9"', b"null"],
    "numeric": [0, 1, -1, 10_000, 10**40, -(10**40)],
    # Microseconds since 2000.
    "timestamptz": [0, 1, -1, 10**15, -(10**14)],
}


@pytest.mark.parametrize("value_type", VALUES)
def test_an_array_is_what_the_server_reads(database_url: str, value_type: str, seed: int) -> None:
    rng, values = random.Random(seed), VALUES[value_type]
    columns: list[list[object]] = [[value] for value in values] + [[value] * 3 for value in values] + [[None], values]
    columns += [[rng.choice([None, *values]) for _ in range(rng.randint(1, 9))] for _ in range(50)]
    back = {
        "timestamptz": "(extract(epoch FROM value - '2000-01-01 00:00:00+00') * 1000000)::int8",
        "numeric": "value::numeric",
        "json": "convert_to(value::text, 'UTF8')",
    }.get(value_type, "value")
    with connect(database_url, "test") as connection:
        query = f"SELECT {back} FROM unnest(%b::{sent_as(value_type)}[]) WITH ORDINALITY AS _ (value, n) ORDER BY n"
        for column in columns:
            found = connection.execute(query.encode(), (array(value_type, column),)).fetchall()
            assert [value for (value,) in found] == column
