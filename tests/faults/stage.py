"""A market under load on a real server, and what is known about it while it is hurt.

Rule of this file: it plays the service manager and the auditor, never the market. It starts again what a fault has
ended and nothing else, waits for a bounded time, and holds what clients were told against what lies in the database.
"""

import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from callmarket.persistence.errors import Unavailable
from callmarket.persistence.journal.lease import writer_name
from callmarket.persistence.leadership.register import session_name, standbys
from callmarket.persistence.tables.table_writer import projector_name
from callmarket.persistence.verify import verify
from tests.faults.fault import Fault, Place
from tests.support.client_log import Failed, LogReader, audit, read_rows
from tests.support.following import do_follow
from tests.support.own_server import OwnServer
from tests.support.proxy import Proxy
from tests.support.victim import Victim, assert_nothing_lost

# Service is there again within this time after the fault was healed, or the test has failed. Far more than any fault
# needs: a start of PostgreSQL with its recovery, one of the engine, and the longest pause between attempts.
SERVICE_S_MAX = 90.0
POLL_S = 0.005
# As a service manager waits before it starts a process again that did not come up.
RESTART_S = 0.2
# Ids of commands carry the number of the process that sent them.
STARTS_MAX = 1_000


class Stage:
    """One database, the processes that run its market, and the notes of their clients.

    `settings` are those of the engines, of which there may be more than one on the same notes: the fence names the
    `leader`, and the others stand by.
    """

    def __init__(
        self,
        server: OwnServer,
        url: str,
        log: Path,
        seed: int,
        settings: Mapping[str, str],
        proxy: Proxy | None,
        *,
        standby: bool,
    ) -> None:
        self.server = server
        self.url = url
        self.proxy = proxy
        self.engines: list[Victim] = []
        self.notes: list[str] = []
        self.log = LogReader(log)
        self._seed = seed
        self._rng = random.Random(seed)
        self._settings = settings
        self._standby = standby
        self._starts = 0
        self.last_seq = 0

    # --- for faults ----------------------------------------------------------------------------------------------

    @property
    def leader(self) -> Victim:
        """The process that the fence names as the writer."""
        with self.connect() as connection:
            row = connection.execute("SELECT claimed_by FROM engine_writer").fetchone()
        assert row is not None
        return self._engine_named(row[0])

    @property
    def follower(self) -> Victim:
        """The process that stands by."""
        leader = self.leader
        (engine,) = [engine for engine in self.engines if engine is not leader]
        return engine

    def connect(self) -> psycopg.Connection:
        """A foreign session in the market's database, past any proxy; as a context manager it closes."""
        return psycopg.connect(self.url)

    def connect_elsewhere(self) -> psycopg.Connection:
        """A session of the server's owner in another database, where settings of the market's have no effect."""
        return self.server.databases.connect("postgres", autocommit=True)

    def writer_pids(self) -> list[int]:
        """The server's processes that serve the writer: one for its batches, one for its lease."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = ANY(%s)"
        with self.connect_elsewhere() as connection:
            return [pid for (pid,) in connection.execute(query, (self._database, [writer_name(0), session_name(0)]))]

    def signal_projector(self, function: str) -> None:
        """The same for all sessions that bring the tables along."""
        with self.connect_elsewhere() as connection:
            connection.execute(
                sql.SQL("SELECT {}(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s").format(
                    sql.Identifier(function)
                ),
                (self._database, projector_name(0)),
            )

    def signal_writer(self, function: str) -> None:
        """`pg_terminate_backend` or `pg_cancel_backend` for all sessions of the writer."""
        with self.connect_elsewhere() as connection:
            for pid in self.writer_pids():
                connection.execute(sql.SQL("SELECT {}(%s)").format(sql.Identifier(function)), (pid,))

    def alter_database(self, name: str, value: str | None) -> None:
        """Set something for all sessions to come, or with None no longer."""
        change = sql.SQL("RESET {}") if value is None else sql.SQL("SET {} = {}")
        parts = [sql.Identifier(name)] + ([] if value is None else [sql.Literal(value)])
        with self.connect_elsewhere() as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} {}").format(sql.Identifier(self._database), change.format(*parts))
            )

    def note(self, text: str) -> None:
        """Something that the table should tell of this round."""
        self.notes.append(text)

    def silence_s(self) -> float:
        """How long ago the last answer came."""
        self.log.read()
        return (time.monotonic_ns() - self.log.heard.told[-1].at_ns) / 1e9

    def answers_per_s(self, seconds: float) -> float:
        """Over the time just past."""
        since_ns = time.monotonic_ns() - int(seconds * 1e9)
        return sum(one.at_ns >= since_ns for one in self.log.read().told) / seconds

    def _engine_named(self, text: str) -> Victim:
        found = re.match(r"process (\d+) on ", text)
        assert found is not None, text
        (engine,) = [engine for engine in self.engines if engine.process.pid == int(found[1])]
        return engine

    @property
    def _database(self) -> str:
        return str(conninfo_to_dict(self.url)["dbname"])

    # --- for the driver ------------------------------------------------------------------------------------------

    def start_engine(self) -> None:
        """Start one more process on this market. Where there is a standby, every one but the first begins as such."""
        role = ("standby",) if self._standby and self._starts else ()
        self._starts += 1
        assert self._starts < STARTS_MAX, "the engines do not live"
        url = self.url if self.proxy is None else self.proxy.url
        number = self._seed * STARTS_MAX + self._starts
        mode = self._rng.choice(("threads", "tasks"))
        self.engines.append(Victim(url, self.log.path, number, mode, *role, settings=self._settings))

    def longest_silence_s(self, since_ns: int) -> float:
        """The longest time from then on in which nobody was answered."""
        times_ns = sorted([since_ns, *(one.at_ns for one in self.log.read().told if one.at_ns >= since_ns)])
        return max(after - before for before, after in pairwise(times_ns)) / 1e9

    def answered_after(self, since_ns: int) -> int | None:
        """When the first answer came after a time, None if there was none yet."""
        told = self.log.read().told
        first = None
        for one in reversed(told):
            # In the order of writing, which may differ from that of the clocks' readings by a little.
            if one.at_ns < since_ns - 10**9:
                break
            if one.at_ns >= since_ns:
                first = one.at_ns if first is None else min(first, one.at_ns)
        return first

    def await_service(self, since_ns: int, fault: Fault | None) -> int:
        """Wait until somebody is answered; start again what the fault has ended. Return when that was."""
        deadline_s = time.monotonic() + SERVICE_S_MAX
        while True:
            at_ns = self.answered_after(since_ns)
            if at_ns is not None:
                if self._server_lets_in():
                    return at_ns
                # What was durable before the fault was answered after it.
                since_ns = time.monotonic_ns()
            self._manage(fault)
            assert time.monotonic() < deadline_s, f"no service within {SERVICE_S_MAX} s: {self.complaints()[-3000:]}"
            time.sleep(POLL_S)

    def _server_lets_in(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def await_company(self, fault: Fault) -> None:
        """Where there is to be a standby, wait until the register knows it: a takeover before that is none."""
        deadline_s = time.monotonic() + SERVICE_S_MAX
        while self._standby:
            self._manage(fault)
            with self.connect() as connection:
                known = [row.address for row in standbys(connection, 0)]
            if len(self.engines) == 2 and f"process {self.follower.process.pid} on " in "".join(known):
                return
            assert time.monotonic() < deadline_s, f"no standby: {self.complaints()[-3000:]}"
            time.sleep(POLL_S)

    def problems(self, since_ns: int, fault: Fault) -> list[str]:
        """Everything that is not as it must be, with the market running on; nothing if all is well."""
        told = list(self.log.read().told)
        rows = read_rows(self.url)
        # What was told before the rows were read must be in them; what is in them was asked before now.
        found = audit(self.log.read()._replace(told=told), rows)
        if rows[-1].seq < self.last_seq:
            found.append(f"the journal ends at {rows[-1].seq}, and ended at {self.last_seq} before")
        self.last_seq = rows[-1].seq
        # What a fault has kept from the tables follows when it is over.
        follow = do_follow(self.url, SERVICE_S_MAX / 4)
        found += [] if follow else ["the tables do not follow the journal"]
        report = verify(self.url, 0)
        found += [] if report.ok else [str(report)]
        found += [f"{one}" for one in self.failed(since_ns) if one.who == "watermark" or one.kind not in fault.errors]
        found += [engine.complaints for engine in self.engines if engine.alive and "Traceback" in engine.complaints]
        return found

    def failed(self, since_ns: int) -> list[Failed]:
        """The errors that clients and readers got since then."""
        return [one for one in self.log.read().failed if one.at_ns >= since_ns]

    def complaints(self) -> str:
        """What the processes said on their error outputs."""
        return "\n".join(engine.complaints for engine in self.engines)

    def close(self) -> None:
        """End the processes, answer what is unanswered, and audit all of it from the ground up."""
        self.kill_engines()
        assert_nothing_lost(self.url, self.log.path)

    def kill_engines(self) -> None:
        """Nothing of them is left."""
        for engine in self.engines:
            engine.kill()
        self.engines.clear()

    def _manage(self, fault: Fault | None) -> None:
        """What a service manager does, and only that."""
        ends = frozenset() if fault is None else fault.ends
        if not self.server.alive:
            assert "server" in ends, "the server has ended by itself"
            try:
                self.server.start()
            except Unavailable as error:
                self.note(f"not started: {str(error).strip().splitlines()[-1].strip()}")
                time.sleep(RESTART_S)
                return
        # One that leads no longer is alive, and of no more use: a service ends then.
        for engine in [engine for engine in self.engines if engine.over or not engine.alive]:
            # On a busy machine a lease may run out by itself, and the standby takes over.
            is_replaced = self._standby and engine.over
            assert "engine" in ends or is_replaced, f"an engine has ended by itself: {engine.complaints[-3000:]}"
            self.engines.remove(engine)
            if "Traceback" in engine.complaints:
                self.note(f"engine not started: {engine.complaints.strip().splitlines()[-1]}")
                time.sleep(RESTART_S)
            engine.kill()
            self.start_engine()


@contextmanager
def open_stage(
    server: OwnServer, folder: Path, seed: int, settings: Mapping[str, str], place: Place = "direct"
) -> Iterator[Stage]:
    """A market under load in a fresh database. Audited at the end, unless the block has failed."""
    standby = place == "with a standby"
    with ExitStack() as stack:
        url = stack.enter_context(server.market_database())
        proxy = stack.enter_context(Proxy(url)) if place == "proxied" else None
        stage = Stage(server, url, folder / f"clients-{seed}.log", seed, settings, proxy, standby=standby)
        # Whatever has happened, no process stays, and the database can be dropped.
        stack.callback(server.start)
        stack.callback(stage.kill_engines)
        stage.start_engine()
        stage.await_service(0, None)
        if standby:
            stage.start_engine()
        yield stage
        stage.close()
