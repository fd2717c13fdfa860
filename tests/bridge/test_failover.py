"""A failover to an asynchronous replica that lacks acknowledged rows: real servers, real streaming, one address.

Method: a primary and a replica that is a copy of its files; a proxy stands for the address that a cluster manager moves
from one to the other. The replica is cut off from the stream before the rows that it then lacks.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from callmarket import Unavailable, open_exchange
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import RowsLost
from callmarket.persistence.verify import verify
from tests.bridge.test_gone_back import callmarket, place, told
from tests.support.databases import temporary_home
from tests.support.own_server import OwnServer, open_own_server
from tests.support.proxy import Proxy
from tests.support.small_market import furnish, until


@contextmanager
def replica_of(primary: OwnServer) -> Iterator[OwnServer]:
    """A server that follows another one, asynchronously, from a copy of its files."""
    with temporary_home() as home:
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        data = home / "data"
        with primary.away():
            subprocess.run(["cp", "-a", str(primary.home / "data"), str(data)], check=True)
        source = make_conninfo(primary.databases.maintenance_url, dbname="", application_name="replica")
        settings = data / "postgresql.auto.conf"
        owner = data.stat()
        with settings.open("a", encoding="utf-8") as file:
            file.write("primary_conninfo = '" + source.replace("'", "''") + "'\n")
        signal_file = data / "standby.signal"
        signal_file.touch()
        if signal_file.stat().st_uid != owner.st_uid:
            subprocess.run(["chown", f"{owner.st_uid}:{owner.st_gid}", str(signal_file)], check=True)
        with open_own_server(home) as replica:
            yield replica


def applied(server: OwnServer, database: str) -> int:
    with server.databases.connect(database) as connection:
        row = connection.execute("SELECT last_seq FROM engine_writer").fetchone()
    return -1 if row is None else int(row[0])


def stop_following(server: OwnServer) -> None:
    with server.databases.connect("postgres", autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        connection.execute("SELECT pg_reload_conf()")
        until(lambda: connection.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone() == (0,))


def test_a_failover_that_loses_rows_stops_the_leader_and_is_led_only_when_that_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It notices by itself, answers nothing of the lost history, and nobody leads on."""
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
    with open_own_server() as primary, primary.market_database() as direct:
        name = str(conninfo_to_dict(direct)["dbname"])
        with replica_of(primary) as replica, Proxy(direct) as address:
            with open_exchange(address.url) as market:
                furnish(market, "a")
                left = market.durable_seq
                until(lambda: applied(replica, name) == left)
                stop_following(replica)
                place(market, 10)
                last = market.durable_seq
                primary.stop("immediate")
                with replica.databases.connect("postgres", autocommit=True) as connection:
                    connection.execute("SELECT pg_promote()")
                address.target = conninfo_to_dict(replica.databases.url(name))
                address.cut_all()
                lost = f"went back from row {last} to row {left}: rows {left + 1} to {last}"
                until(lambda: lost in market.node.readiness().reason)
                with pytest.raises(Unavailable, match=lost):
                    market.wallet("a")
            with pytest.raises(RowsLost, match=lost):
                open_exchange(address.url)
            assert applied(replica, name) == left
            accepted = told(callmarket(address.url, tmp_path, "accept-loss", "--from", str(left + 1), "--json"))
            (lost_rows,) = accepted["files"]
            done = told(callmarket(address.url, tmp_path, "replay-lost", lost_rows, "--json"))
            assert done["endings"]["done"] == last - left
            with open_exchange(address.url) as market:
                assert [bid.bid_id > HISTORY_ROWS for bid in market.bids(bidder_id="a").items] == [True] * 10
            assert verify(address.url, 0).ok
            psycopg.connect(address.url).close()
            primary.start()
