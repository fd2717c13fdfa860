"""Tables that do not follow, as a market in this process tells of them: replies, readiness, figures, and its bound.

Goal: what stands still is said, to whom it concerns and in numbers, and stops nothing before its bound. Method: a real
market; the tables are held back by a lock of a foreign session, or their mark is deleted.
"""

import asyncio

import psycopg
import pytest

from callmarket import AsyncExchange, Exchange, Unavailable, UnknownOutcome
from callmarket.bridge.market import node
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.projector import Projector
from callmarket.persistence.tables.rebuild import rebuild
from tests.support.following import held_back, projected
from tests.support.small_market import furnish, last_seq, until


def projector_of(market: Exchange) -> Projector:
    reign = market.node._session
    assert reign is not None
    return reign.projector


@pytest.mark.parametrize("awaited", [False, True], ids=["thread", "asyncio"])
def test_a_reply_that_the_tables_do_not_come_to_have_names_the_rows_that_are_done(
    market: Exchange, database_url: str, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: they are durable, and asked for again they are told as the first time."""
    furnish(market, "a")

    def pay() -> tuple[int, bool]:
        patient = market.acknowledging("projected")
        if awaited:
            paid = asyncio.run(AsyncExchange(patient).transfer("a", "treasury", 10, "gift:any", command_id="pay"))
        else:
            paid = patient.transfer("a", "treasury", 10, "gift:any", command_id="pay")
        return paid.stamp.seq, paid.stamp.repeated

    with held_back(projected(database_url)), monkeypatch.context() as patch:
        # Patient with the journal, and not with the tables.
        projector, wait, awaits = projector_of(market), Projector.wait, node.projected_async
        patch.setattr(projector, "wait", lambda seq, _: wait(projector, seq, 0.05))
        patch.setattr(node, "projected_async", lambda of, seq, _: awaits(of, seq, 0.05))
        with pytest.raises(UnknownOutcome, match="done and durable as seq 4 to 4, and not in the SQL tables") as caught:
            pay()
        assert caught.value.seqs == range(4, 5)
        assert market.durable_seq == 4
    assert pay() == (4, True)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT seq FROM projections").fetchone() == (5,)


def test_level_tables_are_reported_as_level(market: Exchange, database_url: str) -> None:
    furnish(market, "a")
    projected(database_url)
    until(lambda: market.node.projected_seq == last_seq(market))
    readiness, status = market.node.readiness(), market.node.status()
    assert readiness.ready
    assert (readiness.durable_seq, readiness.projected_seq) == (3, 3)
    assert (readiness.tables_lag_rows, readiness.tables_lag_s, readiness.tables_fault) == (0, 0.0, "")
    assert (status.role, status.epoch, status.applied_seq, status.durable_seq) == ("leader", 1, 3, 3)
    assert (status.queue_rows, status.queue_bytes, status.oldest_s, status.outage_s) == (0, 0, 0.0, 0.0)
    assert (status.projected_seq, status.tables_lag_rows, status.tables_lag_s) == (3, 0, 0.0)
    assert not status.tables_stopped


def test_tables_that_are_held_up_are_behind_and_commands_are_taken(market: Exchange, database_url: str) -> None:
    furnish(market, "a")
    projected(database_url)
    until(lambda: market.node.projected_seq == 3)
    with held_back(database_url):
        market.open_account("b")
        market.open_account("c")
        readiness, status = market.node.readiness(), market.node.status()
        assert (readiness.ready, readiness.reason, readiness.tables_fault) == (True, "", "")
        assert (readiness.durable_seq, readiness.projected_seq, readiness.tables_lag_rows) == (5, 3, 2)
        assert readiness.tables_lag_s > 0
        assert (status.durable_seq, status.projected_seq, status.tables_lag_rows) == (5, 3, 2)
        assert status.tables_lag_s > 0
        assert not status.tables_stopped


def test_tables_that_must_be_mended_are_reported_and_stop_no_command(market: Exchange, database_url: str) -> None:
    """Another process would find the same ones; once they are made again they follow."""
    furnish(market, "a")
    with psycopg.connect(projected(database_url), autocommit=True) as connection:
        connection.execute("DELETE FROM projections")
    market.open_account("b")
    until(lambda: projector_of(market).state == "stopped")
    readiness = market.node.readiness()
    assert (readiness.ready, readiness.reason) == (True, "")
    assert "they are not what the journal says" in readiness.tables_fault
    assert "projections" not in readiness.tables_fault, "anybody may hear it"
    assert market.node.status().tables_stopped
    assert market.open_account("c").seq == 5
    with pytest.raises(Unavailable, match="do not have row 5 yet"):
        market.why(1)
    with PostgresJournal(database_url, 0, reader=True) as journal:
        rebuild(database_url, 0, journal)
    projected(database_url)
    until(lambda: projector_of(market).state == "running")
    assert market.node.readiness().tables_fault == ""


def test_too_far_behind_nothing_is_taken_and_nothing_happens(market: Exchange, database_url: str) -> None:
    """By threads and by asyncio; reads go on, and so does everything once the tables follow."""
    furnish(market, "a")
    projected(database_url)
    until(lambda: market.node.projected_seq == 3)
    projector_of(market).limits = TableLimits(lag_rows_max=1)  # type: ignore[misc]
    with held_back(database_url):
        market.open_account("b")
        market.open_account("c")
        with pytest.raises(Unavailable, match="SQL tables are 2 rows and") as caught:
            market.open_account("d")
        assert caught.value.retry_after_s
        with pytest.raises(Unavailable, match="SQL tables are 2 rows and"):
            asyncio.run(AsyncExchange(market).open_account("d"))
        readiness = market.node.readiness()
        assert not readiness.ready
        assert "SQL tables are 2 rows and" in readiness.reason
        assert last_seq(market) == 5
        assert market.wallet("a").available_tokens == 1_000
    projected(database_url)
    until(lambda: market.node.readiness().ready)
    assert market.open_account("d").seq == 6
