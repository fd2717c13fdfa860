"""What the database knows of time: its own clock, the last row, what the last leader held for right, operators' words.

Rule of this file: statements only, and the shapes of what they bring. Times are microseconds since 1970. Which of them
is believed is not decided here: a leader, or a process that would lead, asks through its `ClockWatch`.
"""

from typing import Final, NamedTuple, Protocol

import psycopg

# The database's clock as the engine counts. Exact: `extract` gives a numeric.
DATABASE_US: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
# Where there was a leader or a row within a day, nobody asks whether tokens are held: that may take all accounts.
QUIET_US: Final = 86_400_000_000


class Evidence(NamedTuple):
    """What time it was, as a leader believed, when its machine had been up for `uptime_us`.

    `machine` names the machine since its last start, and is empty where the system does not say: then uptimes cannot be
    compared. `fault` says why that leader took nothing, if so.
    """

    machine: str
    uptime_us: int
    time_us: int
    fault: str


class Word(NamedTuple):
    """An operator's: it was `time_us` when the database's clock said `said_us`; the market's leads by `lead_us`."""

    word_id: int
    said_us: int
    time_us: int
    lead_us: int


class View(NamedTuple):
    """All of it at one moment. `last_us` is the stamp of the last row, 0 before the first.

    `holding`: whether any account has tokens held, so that something could expire or lapse; False where there
    was a leader or a row within a day.
    """

    database_us: int
    last_us: int
    holding: bool
    evidence: Evidence | None
    word: Word | None


class ClockWatch(Protocol):
    """Compares clocks for a leader or a standby. For any thread; nothing here waits, and only `objection` raises."""

    def asking(self) -> int:
        """The moment before the database is asked, for `on_database_time`."""

    def on_database_time(self, asked_us: int, database_us: int) -> None:
        """The database's clock said this, to a question asked at that moment."""

    def on_no_answer(self) -> None:
        """The database did not answer."""

    def evidence(self) -> Evidence:
        """The evidence of now, to be remembered."""

    @property
    def word_id(self) -> int:
        """The latest word that was heard."""

    def on_operator_time(self, word: Word, database_us: int) -> None:
        """An operator has said this."""

    def objection(self, asked_us: int, view: View) -> str:
        """Why this process must not begin to lead, by the database's answer to a question of that moment; or empty."""


def look(connection: psycopg.Connection, shard_id: int) -> View:
    """Ask for all of it. One statement of a few indexed rows, and of the accounts until one has something held.

    Raises `psycopg.Error`.
    """
    row = connection.execute(
        f"""
        SELECT {DATABASE_US},
               coalesce(last.at_us, 0),
               {DATABASE_US} - greatest(last.at_us, leader.time_us, 0) > {QUIET_US}
                   AND (EXISTS (SELECT FROM token_accounts WHERE shard_id = shard.id AND held > 0)
                        -- What the tables do not have yet may hold something.
                        OR EXISTS (SELECT FROM projections JOIN engine_writer USING (shard_id)
                                   WHERE shard_id = shard.id AND seq < last_seq)),
               leader.machine, leader.uptime_us, leader.time_us, leader.clock_fault,
               word.word_id, word.said_us, word.time_us, word.lead_us
        FROM (SELECT %s::int AS id) AS shard
        LEFT JOIN engine_leader AS leader ON leader.shard_id = shard.id
        LEFT JOIN LATERAL (
            SELECT at_us FROM journal WHERE shard_id = shard.id ORDER BY seq DESC LIMIT 1
        ) AS last ON true
        LEFT JOIN LATERAL ({_LATEST_WORD}) AS word ON true
        """,  # noqa: S608 -- all of this file's
        (shard_id,),
    ).fetchone()
    assert row is not None, "one row, whatever there is"
    evidence = Evidence(row[3], row[4], row[5], row[6]) if row[4] is not None and row[5] is not None else None
    word = None if row[7] is None else Word(*row[7:])
    return View(row[0], row[1], row[2], evidence, word)


def latest_word(connection: psycopg.Connection, shard_id: int) -> tuple[Word, int] | None:
    """The word in force, with what the database's clock says now; None if nothing was ever said."""
    row = connection.execute(
        f"SELECT word.*, {DATABASE_US} FROM (SELECT %s::int AS id) AS shard, LATERAL ({_LATEST_WORD}) AS word",  # noqa: S608
        (shard_id,),
    ).fetchone()
    return None if row is None else (Word(*row[:4]), row[4])


def say(connection: psycopg.Connection, shard_id: int, *, time_us: int, lead_us: int, by: str, reason: str) -> int:
    """Record an operator's word; its id. Raises `psycopg.Error`."""
    row = connection.execute(
        """
        INSERT INTO market_time_words (shard_id, said_at, time_us, lead_us, said_by, reason)
        VALUES (%s, clock_timestamp(), %s, %s, %s, %s) RETURNING word_id
        """,
        (shard_id, time_us, lead_us, by, reason),
    ).fetchone()
    assert row is not None, "INSERT ... RETURNING returns the row"
    word_id: int = row[0]
    return word_id


_LATEST_WORD: Final = """
    SELECT word_id, (extract(epoch FROM said_at) * 1000000)::bigint AS said_us, time_us, lead_us FROM market_time_words
    WHERE shard_id = shard.id ORDER BY word_id DESC LIMIT 1
"""
