"""What is said and done when a session ends under its user, whatever it was about.

Goal: the error says what happened, in the words of whoever knows it, and a connection on which something failed is not
used again. Method: sessions that an administrator ends, and errors as the server itself raises them.
"""

import psycopg
import pytest

from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.reader_pool import ReaderPool
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import Corrupt, Unavailable


def end(url: str, pid: int) -> None:
    """End a session, and wait until it has ended."""
    with psycopg.connect(url, autocommit=True) as administrator:
        assert administrator.execute("SELECT pg_terminate_backend(%s, 60000)", (pid,)).fetchone() == (True,)


def raise_there(connection: psycopg.Connection, sqlstate: str) -> None:
    """Let the server raise an error of this code."""
    connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{sqlstate}'; END $$")


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_pipeline_that_broke_says_what_broke_it(database_url: str, moment: int) -> None:
    """Before its first statement, between two and after the last: never that there is no pipeline."""
    with connect(database_url, "test") as connection:

        def ask() -> None:
            with connection.pipeline() as pipeline, connection.round_trip(pipeline):
                for step in range(3):
                    if step == moment:
                        end(database_url, connection.info.backend_pid)
                    if step < 2:
                        connection.execute("SELECT 1")

        with pytest.raises(psycopg.OperationalError, match="server closed the connection"):
            ask()
        assert connection.closed


@pytest.mark.parametrize(
    ("sqlstate", "raised", "said"),
    [
        ("XX001", Corrupt, "finds the files of its tables damaged: as asked"),
        ("XX002", Corrupt, "finds the files of its tables damaged: as asked"),
        ("57P01", Unavailable, "The database does not answer: as asked"),
        ("22012", Unavailable, "The database does not answer: as asked"),
        (None, ZeroDivisionError, "of the caller's own"),
    ],
)
def test_a_connection_is_used_once_after_a_failure_of_any_kind(
    database_url: str, sqlstate: str | None, raised: type[Exception], said: str
) -> None:
    """Never again; and of two uses without a failure the second finds the connection of the first."""
    single = SingleUseConnection(lambda: connect(database_url, "test"))
    with single.use() as first:
        pass
    with single.use() as second:
        assert second is first

    def fail() -> None:
        with single.use() as failing:
            assert failing is first
            if sqlstate is None:
                raise ZeroDivisionError(said)
            raise_there(failing, sqlstate)

    with pytest.raises(raised, match=said):
        fail()
    assert first.closed
    with single.use() as next_one:
        assert next_one is not first
        assert next_one.execute("SELECT 1").fetchone() == (1,)
    single.close()
    single.close()
    assert next_one.closed


def test_a_connection_that_could_not_be_opened_is_opened_by_the_next_use(database_url: str) -> None:
    urls = ["postgresql://localhost:1/nothing", database_url]
    single = SingleUseConnection(lambda: connect(urls.pop(0), "test"))
    with pytest.raises(Unavailable, match="No connection to the database"), single.use():
        pass
    single.interrupt()
    with single.use() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    single.close()


def test_a_question_is_not_tried_again_for_a_reason_that_stays(database_url: str) -> None:
    """Only a session that was lost is replaced; each that failed gives its place back."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        pool = ReaderPool(database_url, 0)
        owner.execute("ALTER TABLE projections RENAME TO hidden")
        for _ in range(10):
            with pytest.raises(psycopg.errors.UndefinedTable), pool.snapshot():
                pass
        owner.execute("ALTER TABLE hidden RENAME TO projections")
        with pool.snapshot() as snapshot:
            assert (snapshot.seq, snapshot.durable_seq) == (0, 0)
        pool.close()


def test_a_session_that_is_lost_while_its_question_fails_leaves_its_place(database_url: str) -> None:
    pool = ReaderPool(database_url, 0)

    def fail() -> None:
        with pool.snapshot() as snapshot:
            end(database_url, snapshot.connection.info.backend_pid)
            raise ZeroDivisionError

    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            fail()
    with pool.snapshot() as snapshot:
        assert snapshot.connection.execute("SELECT 1").fetchone() == (1,)
    pool.close()
