"""The fence at work: two writers at once, and batches that do not fit the tables.

Goal: whatever the interleaving, a batch is in whole or not at all, and only the newest epoch writes.
"""

import random
import select
import threading
import time

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Diverged, Fenced, Gap, PersistenceError, Unavailable
from callmarket.persistence.journal import lease
from callmarket.persistence.journal.db_writes import BATCH_ROWS_MAX, execute_journaled
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Journal
from callmarket.persistence.recovery import recover
from callmarket.persistence.tables.statements import COPY_ROWS_MIN
from callmarket.persistence.tables.transactions import advance
from callmarket.persistence.verify import verify
from tests.support.following import level
from tests.support.proxy import Proxy
from tests.support.sealed import bids, changes_of
from tests.support.writers import assert_whole, held_in_mid_batch


def in_thread(call):
    """Start a call in a thread; return a function that waits for it and gives what it raised."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            raised.append(None)
        except BaseException as error:  # noqa: BLE001 -- handed to the test
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def finish() -> BaseException | None:
        thread.join(30)
        return raised[0]

    return finish


def wait_until_blocked(connection: psycopg.Connection) -> None:
    """Return when some session of this database waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while connection.execute(query).fetchone() == (0,):
        time.sleep(0.005)


def test_a_zombie_in_mid_batch_is_refused_inside_its_transaction(database_url: str):
    """It is at the fence when its successor claims, so it has no way to see the new epoch before it writes."""
    rows = bids(20)
    with PostgresJournal(database_url, 0) as zombie, psycopg.connect(database_url) as successor:
        zombie.claim()
        zombie.append(rows[:10])
        assert lease.claim(successor, 0) == 2
        finish = in_thread(lambda: zombie.append(rows[10:]))
        with connect(database_url, "test") as watcher:
            wait_until_blocked(watcher)
            successor.commit()
            assert isinstance(finish(), Fenced)
            assert watcher.execute("SELECT max(seq), count(*) FROM journal").fetchone() == (10, 10)
    assert verify(level(database_url), 0).ok


def test_a_claim_waits_for_the_batch_that_is_being_committed(database_url: str):
    """So that what the successor reads as the end of the journal is the end."""
    rows = bids(20)
    with (
        PostgresJournal(database_url, 0) as first,
        PostgresJournal(database_url, 0) as successor,
        held_in_mid_batch(database_url) as blocker,
        connect(database_url, "test") as watcher,
    ):
        first.claim()
        finish_append = in_thread(lambda: first.append(rows))
        wait_until_blocked(watcher)
        finish_claim = in_thread(successor.claim)
        time.sleep(0.1)
        assert successor.epoch == 0
        blocker.rollback()
        assert finish_append() is None
        assert finish_claim() is None
        assert successor.position()[:2] == (2, len(rows))


def test_two_writers_of_one_epoch_cannot_both_write(database_url: str):
    """It takes a bug to get here; even then the second meets a gap."""
    rows = bids(20)
    with PostgresJournal(database_url, 0) as one:
        epoch = one.claim()
        with PostgresJournal(database_url, 0, epoch) as two:
            one.append(rows)
            with pytest.raises(Gap):
                two.append(rows)
    assert verify(level(database_url), 0).ok


def test_many_writers_take_over_from_each_other(database_url: str, seed: int):
    """Writers claim, recover and write at random; the rows come out once and in order, whoever wrote them."""
    rows = bids(150)
    stop = threading.Event()

    def work(number: int) -> None:
        rng = random.Random(seed + number)
        with PostgresJournal(database_url, 0) as journal:
            while not stop.is_set():
                try:
                    next_seq = recover(journal).position.last_seq
                    while next_seq < len(rows):
                        size = rng.randint(1, 7)
                        journal.append(rows[next_seq : next_seq + size])
                        next_seq = min(next_seq + size, len(rows))
                        time.sleep(rng.uniform(0, 0.005))
                    stop.set()
                except Fenced:
                    time.sleep(rng.uniform(0, 0.05))

    finishes = [in_thread(lambda number=number: work(number)) for number in range(4)]
    assert [finish() for finish in finishes] == [None] * 4
    with PostgresJournal(database_url, 0) as journal:
        assert list(journal.read()) == rows
        assert journal.position().epoch > 1
    assert verify(level(database_url), 0).ok


def test_a_value_too_large_for_a_column_is_named_as_such(database_url: str):
    """Rebuilding tables would not help, so nobody is told to."""
    rows = bids(5)
    with PostgresJournal(database_url, 0) as journal, connect(database_url, "test") as other:
        journal.claim()
        other.execute("ALTER TABLE journal ADD CHECK (actor::integer > 0)")
        with pytest.raises(
            PersistenceError, match=r"cannot store a value of seq \d+ to \d+.*Nothing was written"
        ) as caught:
            journal.append(rows)
        assert not isinstance(caught.value, Unavailable | Diverged)
        assert "rebuild the" not in str(caught.value)
        assert journal.position().last_seq == 0


@pytest.mark.parametrize("count", [5, COPY_ROWS_MIN])
def test_tables_are_advanced_from_where_they_stand_by_the_leader_or_not_at_all(database_url: str, count: int) -> None:
    """And whatever comes of it, no transaction is left open: its locks would keep everybody else waiting."""
    rows = bids(count)
    whole = changes_of(rows)

    def advance_by(after_seq: int, epoch: int, shard_id: int = 0) -> bool:
        done = advance(connection, changes_of(rows), after_seq, len(rows), shard_id=shard_id, epoch=epoch)
        assert connection.info.transaction_status == TransactionStatus.IDLE
        return done

    def there() -> tuple[object, object]:
        mark = other.execute("SELECT seq FROM projections WHERE shard_id = 0").fetchone()
        placed = other.execute("SELECT count(*) FROM compute_auction_bids").fetchone()
        return mark, placed

    with (
        PostgresJournal(database_url, 0) as journal,
        connect(database_url, "tables", writer=True) as connection,
        psycopg.connect(database_url, autocommit=True) as other,
    ):
        epoch = journal.claim()
        journal.append(rows)
        for after_seq, by, shard_id in ((1, epoch, 0), (0, epoch + 1, 0), (0, epoch - 1, 0), (0, epoch, 7)):
            assert not advance_by(after_seq, by, shard_id)
            assert there() == ((0,), (0,))
        assert advance_by(0, epoch)
        assert there() == ((len(rows),), (count,))
        # The rows are there already, which their events say that they were not.
        other.execute("UPDATE projections SET seq = 0")
        with pytest.raises(Diverged):
            advance(connection, whole, 0, len(rows), shard_id=0, epoch=epoch)
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert there() == ((0,), (count,))


def test_a_shard_whose_fence_is_gone_is_written_by_nobody(database_url: str) -> None:
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        journal.claim()
        other.execute("SET session_replication_role = replica")
        other.execute("DELETE FROM engine_writer")
        with pytest.raises(Fenced, match="has no writer"):
            journal.append(bids(5))
        assert other.execute("SELECT count(*) FROM journal").fetchone() == (0,)


def test_tables_that_are_not_there_keep_nobody_waiting(database_url: str):
    """AUC-17: what is durable is in the journal; the tables follow when they can."""
    rows = bids(5)
    with PostgresJournal(database_url, 0) as journal, connect(database_url, "test") as other:
        journal.claim()
        other.execute("ALTER TABLE token_ledger RENAME TO elsewhere")
        journal.append(rows)
        assert journal.position().last_seq == len(rows)
        with pytest.raises(PersistenceError, match="Check the schema"):
            level(database_url)
        other.execute("ALTER TABLE elsewhere RENAME TO token_ledger")
    assert_whole(database_url, rows)


def test_a_database_that_became_read_only_is_an_outage(database_url: str):
    rows = bids(5)
    with connect(database_url, "test", writer=True) as connection:
        epoch = lease.claim(connection, 0)
        connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(Unavailable):
            execute_journaled(connection, rows, shard_id=0, epoch=epoch)
        connection.execute("SET default_transaction_read_only = off")
        execute_journaled(connection, rows, shard_id=0, epoch=epoch)


def test_shards_of_one_database_do_not_affect_each_other(database_url: str):
    rows = bids(30)
    journals: list[Journal] = [PostgresJournal(database_url, shard_id) for shard_id in (0, 1, 2**31 - 1)]
    for journal in journals:
        journal.claim()
    for start in range(0, len(rows), 10):
        for journal in journals:
            journal.append(rows[start : start + 10])
    for journal in journals:
        assert list(journal.read()) == rows
        journal.close()
    assert verify(level(database_url, 1), 1).ok


def test_a_batch_is_bounded(database_url: str):
    with connect(database_url, "test") as connection, pytest.raises(AssertionError):
        execute_journaled(connection, bids(1) * (BATCH_ROWS_MAX + 1), shard_id=0, epoch=1)


def test_a_writer_insists_on_durable_commits(database_url: str):
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    with connect(database_url, "test", writer=True) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_a_connection_has_its_time_outs_and_keeps_the_urls_options(database_url: str):
    url = psycopg.conninfo.make_conninfo(database_url, options="-c search_path=somewhere")
    with connect(url, "test name") as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in (
                "search_path",
                "statement_timeout",
                "lock_timeout",
                "default_transaction_isolation",
                "idle_in_transaction_session_timeout",
                "application_name",
            )
        }
        assert connection.autocommit
    assert shown == {
        "search_path": ("somewhere",),
        "statement_timeout": ("30s",),
        "lock_timeout": ("15s",),
        "default_transaction_isolation": ("read committed",),
        "idle_in_transaction_session_timeout": ("1min",),
        "application_name": ("test name",),
    }


def test_a_server_that_is_not_running_is_unavailable():
    with pytest.raises(Unavailable, match=r"No such file or directory\. Start its server, or name another"):
        connect("host=/nonexistent dbname=x", "test")


def test_the_updates_find_their_rows_by_key_on_a_table_without_statistics(database_url: str):
    """The plan is under test: without care the planner compares all pairs (see `statements`)."""
    from psycopg.types.numeric import Int4

    from callmarket.persistence.database.arrays import array
    from callmarket.persistence.tables.rows import HoldChange
    from callmarket.persistence.tables.statements import CHANGE_STATEMENTS

    rows = bids(0, bidders=600)
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(rows)
    level(database_url)
    values = (
        array("text", [f"agent{i}" for i in range(600)]),
        array("int8", [0] * 600),
        array("timestamptz", [0] * 600),
        array("int8", [1] * 600),
    )
    explain = b"EXPLAIN (COSTS OFF) " + CHANGE_STATEMENTS[HoldChange]
    for mode in ("force_custom_plan", "force_generic_plan"):
        with connect(database_url, "test", writer=True) as connection:
            connection.execute(f"SET plan_cache_mode = {mode}")
            plan = "\n".join(line for (line,) in connection.execute(explain, (*values, Int4(0)), prepare=True))
        assert "Index Cond: ((shard_id = " in plan, plan
        assert "account_id = new.account_id" in plan, plan
        assert "Tid Scan" in plan, plan
        assert "Join Filter" not in plan, plan


@pytest.mark.parametrize("count", [1, 2 * COPY_ROWS_MIN])
@pytest.mark.parametrize("what", ["trigger", "rule"])
def test_triggers_that_would_change_journal_rows_are_refused(database_url: str, what: str, count: int) -> None:
    """Made while the writer is at work, too: its next batch is not written, and the error names it."""
    rows = bids(3 + count)
    trigger = """
        CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.events := '[]'; RETURN NEW; END $$;
        CREATE TRIGGER lying BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION lie()
    """
    rule = "CREATE RULE lying AS ON INSERT TO journal DO INSTEAD NOTHING"
    with connect(database_url, "test", writer=True) as connection:
        epoch = lease.claim(connection, 0)
        assert epoch is not None
        execute_journaled(connection, rows[:24], shard_id=0, epoch=epoch)
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute(trigger if what == "trigger" else rule)
            with pytest.raises(PersistenceError, match=f"A {what} lying on the table journal may change rows"):
                execute_journaled(connection, rows[24:], shard_id=0, epoch=epoch)
            other.execute(f"DROP {what.upper()} lying ON journal")
    # After any error the connection is another, as with every writer of ours.
    with connect(database_url, "test", writer=True) as connection:
        execute_journaled(connection, rows[24:], shard_id=0, epoch=epoch)
    assert_whole(database_url, rows)


def test_a_trigger_that_only_looks_is_nobodys_business(database_url: str) -> None:
    """As those that replicate a table or keep an audit of it."""
    rows = bids(3)
    with connect(database_url, "test", writer=True) as connection:
        epoch = lease.claim(connection, 0)
        assert epoch is not None
        connection.execute(
            """
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
            CREATE TRIGGER looking AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION look()
            """
        )
        execute_journaled(connection, rows, shard_id=0, epoch=epoch)
    assert_whole(database_url, rows)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["cut", "terminated"])
def test_a_connection_that_broke_before_a_batch_raises_its_own_error(database_url: str, how: str, first: bool) -> None:
    rows = bids(3)
    with Proxy(database_url) as proxy, connect(proxy.url, "test", writer=True) as connection:
        epoch = lease.claim(connection, 0)
        assert epoch is not None
        if not first:
            execute_journaled(connection, rows[:3], shard_id=0, epoch=epoch)
        if how == "cut":
            proxy.cut_all()
        else:
            with psycopg.connect(database_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
        # The end has come when the socket can be read.
        select.select([connection.fileno()], [], [], 60)
        with pytest.raises(Unavailable, match=r"closed the connection|reset by peer|Broken pipe|administrator command"):
            execute_journaled(connection, rows[0 if first else 3 :], shard_id=0, epoch=epoch)
