"""The processes of a run: the served market, the ceiling and the client, each its own; and the audit in the database.

Rule of this file: it starts, asks, looks and ends; nothing is decided here.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
import psycopg
from msgspec import Struct

from benchmarks.load.client import BIDDER, BIDDERS, MARKET, Plan, Result, Told
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.persistence.tables.table_writer import bring_level

_END_S_MAX: Final = 60.0
_SAMPLE_S: Final = 0.25
# Each takes two million open bids (BID-9).
MARKETS: Final = 20


class Address(Struct, frozen=True):
    """Where a server listens, and which process it is."""

    host: str
    port: int
    pid: int


class Audit(Struct, frozen=True):
    """What the database says of the bids that the client was told of."""

    acknowledged: int
    missing: int
    twice: int
    """Tasks with more than one bid, of all bids that are there."""


@contextmanager
def market(database_url: str, **settings: str) -> Iterator[Address]:
    """`callmarket serve` on this database, without a process that takes snapshots beside it."""
    with tempfile.TemporaryDirectory(prefix="callmarket-load-") as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLMARKET_")}
        environment |= {
            "CALLMARKET_DATABASE_URL": database_url,
            "CALLMARKET_HOME": home,
            "CALLMARKET_SNAPSHOT_EVERY_S": "0",
        }
        environment |= {f"CALLMARKET_{name.upper()}": value for name, value in settings.items()}
        with _process(["callmarket", "serve", "--json", "--port", "0"], environment) as (child, said):
            yield _address(json.loads(said)["url"], child.pid)


@contextmanager
def ceiling(which: str) -> Iterator[Address]:
    """An empty POST on the same framework (`starlette`) or server (`asgi`)."""
    with _process(["benchmarks.load.ceiling", which], dict(os.environ)) as (child, said):
        yield _address(said.strip(), child.pid)


class Keys(Struct, frozen=True):
    """The keys of a run: as fast as they can for all bidders and for the staff; at the default rate for who reads."""

    bidding: str
    staff: str
    reading: str


def furnish(database_url: str, address: Address) -> Keys:
    """Open the markets with rich bidders, over HTTP."""
    with Keyring(database_url, 0) as keyring:
        admin = keyring.issue(
            NewKey(name="furnishing", admin=True, operate=True, rate_per_s=10**6, burst=10**6), "load"
        )
        bidding = keyring.issue(NewKey(name="load", bid=("*",), rate_per_s=10**6, burst=10**6), "load")
        reading = keyring.issue(NewKey(name="reading"), "load")
    # What the service polls for twice a second.
    time.sleep(1.5)
    accounts = [BIDDER.format(number) for number in range(BIDDERS)]
    minted = '{"amount_tokens":1000000000000,"reason":"grant:initial"}'
    for commands in (
        [("/api/v1/markets", f'{{"market_id":"{MARKET.format(number)}"}}') for number in range(MARKETS)],
        [("/api/v1/wallets", f'{{"account_id":"{account}"}}') for account in accounts],
        [(f"/api/v1/wallets/{account}/mint", minted) for account in accounts],
    ):
        plan = Plan(
            host=address.host,
            port=address.port,
            kind="command",
            connections=16,
            count=len(commands),
            key=admin.key,
            commands=tuple(commands),
        )
        statuses = run_client(plan).statuses
        assert set(statuses) <= {"200", "201"}, statuses
    return Keys(bidding.key, admin.key, reading.key)


def run_client(plan: Plan) -> Result:
    """What becomes of this plan, sent by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load.client"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.msgpack.decode(done.stdout, type=Result)


def audit(database_url: str, told: Sequence[Told]) -> Audit:
    """Look up every acknowledged bid: by its id, and of which task it is."""
    bring_level(database_url, 0)
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE told (task_id text NOT NULL, bid_id bigint NOT NULL)")
        with cursor.copy("COPY told FROM STDIN") as copy:
            for one in told:
                copy.write_row((f"task-{one.task}", one.bid_id))
        missing = cursor.execute(
            "SELECT count(*) FROM told WHERE NOT EXISTS (SELECT FROM compute_auction_bids AS bid "
            "WHERE bid.shard_id = 0 AND bid.id = told.bid_id AND bid.task_id = told.task_id)"
        ).fetchone()
        twice = cursor.execute(
            "SELECT count(*) FROM (SELECT FROM compute_auction_bids GROUP BY task_id HAVING count(*) > 1) AS doubled"
        ).fetchone()
    assert missing is not None
    assert twice is not None
    return Audit(len(told), missing[0], twice[0])


class Memory:
    """The resident memory of a process, sampled until the block ends."""

    def __init__(self, pid: int) -> None:
        """Of this process."""
        self._pid = pid
        self.samples_mb: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.samples_mb.append(resident_mb(self._pid))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.samples_mb.append(resident_mb(self._pid))

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.samples_mb.append(resident_mb(self._pid))


def resident_mb(pid: int) -> float:
    """How much memory a process has now."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], stdout=subprocess.PIPE, check=True)
    return int(told.stdout) / 1024


@contextmanager
def _process(module: list[str], environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process that says where it is when it is ready, and is told to end with the block."""
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", *module], stdout=subprocess.PIPE, text=True, env=environment, cwd=root
    )
    try:
        assert child.stdout is not None
        # One line, or one JSON object on several.
        said = child.stdout.readline()
        while said.startswith("{") and not said.endswith("}\n"):
            said += child.stdout.readline()
        assert said, f"{module} ended with exit code {child.wait(_END_S_MAX)}"
        yield child, said
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(_END_S_MAX)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()


def _address(url: str, pid: int) -> Address:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return Address(parts.hostname, parts.port, pid)
