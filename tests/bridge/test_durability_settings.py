"""What the server's configuration can do to a promise, while a market is led: nothing unnoticed.

Method: a server of its own, whose settings are changed by reload under an open market, and which is stopped as by a
reset of its machine.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from callmarket import open_exchange
from callmarket.persistence.database.connections import connect
from callmarket.persistence.verify import verify
from tests.support.own_server import OwnServer
from tests.support.small_market import furnish, until


@contextmanager
def reloaded(server: OwnServer, **settings: str) -> Iterator[None]:
    """Settings that the server takes at a reload, within the block."""
    maintenance = server.databases.maintenance_url
    with psycopg.connect(maintenance, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.start()
        with psycopg.connect(maintenance, autocommit=True) as connection:
            for name in settings:
                connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            connection.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("writer_process", [False, True])
def test_synchronous_commit_switched_off_by_a_reload_loses_nothing(
    own_server: OwnServer, own_url: str, writer_process: bool
) -> None:
    """The exact way to lose fifty rows: the WAL is written once in ten seconds, if commits do not wait for it."""
    with open_exchange(own_url, writer_process=writer_process) as market:
        furnish(market, "a")
        with reloaded(own_server, synchronous_commit="off", wal_writer_delay="10s"):
            with psycopg.connect(own_url) as other:
                until(lambda: other.execute("SHOW synchronous_commit").fetchone() == ("off",))
            seqs = [market.place_bid("m", "a", f"t{number}", 1).stamp.seq for number in range(50)]
            own_server.stop("immediate")
    with open_exchange(own_url) as market:
        assert market.durable_seq >= seqs[-1]
        assert len(market.bids(bidder_id="a", limit=100).items) == 50
    assert verify(own_url, 0).ok


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_what_a_reload_switches_off_is_seen_while_the_market_is_led(
    own_server: OwnServer, own_url: str, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once in the log, and by whoever asks whether it is ready, until it is on again. It goes on."""
    with open_exchange(own_url) as market, caplog.at_level(logging.WARNING):
        furnish(market, "a")
        assert market.node.readiness().durability == ""
        with reloaded(own_server, **{setting: "off"}):
            until(lambda: market.node.readiness().durability != "")
            assert f"the server runs with {setting} = off" in market.node.readiness().durability
            assert market.node.readiness().ready
            for number in range(3):
                market.place_bid("m", "a", f"t{number}", 1)
        until(lambda: market.node.readiness().durability == "")
        said = [record.getMessage() for record in caplog.records if record.name.endswith("heartbeat")]
        assert len(said) == 2, said
        assert f"the server runs with {setting} = off: what is acknowledged may be lost" in said[0]
        assert "keeps what is acknowledged again" in said[1]


def test_commits_that_wait_for_no_standby_are_named_where_standbys_are_asked_for(
    own_server: OwnServer, own_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the owner's choice, and a failover then may lose rows."""
    with reloaded(own_server, synchronous_commit="local", synchronous_standby_names="nobody"):
        with caplog.at_level(logging.WARNING):
            connect(own_url, "test").close()
            assert not caplog.records, "who only reads loses nothing"
            connect(own_url, "test", writer=True).close()
        assert "synchronous_commit = local" in caplog.text
        assert "no commit waits for the synchronous standbys (nobody)" in caplog.text


def test_a_reload_does_not_change_what_a_session_waits_for(own_server: OwnServer, own_url: str) -> None:
    """A writer that began with commits on goes on so, whatever the configuration says later: also `local`."""
    with connect(own_url, "test", writer=True) as connection:
        for value in ("off", "local", "remote_write"):
            with reloaded(own_server, synchronous_commit=value):
                with psycopg.connect(own_url) as other:
                    until(lambda: other.execute("SHOW synchronous_commit").fetchone() == (value,))  # noqa: B023
                assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
