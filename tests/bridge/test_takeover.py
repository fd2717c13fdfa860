"""Two processes on one database: whichever ends, and however, the other leads, and nothing acknowledged is lost.

Method: a leader and a standby (`tests.support.load_process`), each with clients of its own that keep to the contract
and note what they send and are told, in one file. The leader is killed, frozen past its lease and thawed, ended as by a
service manager, or asked to hand over; the standby is killed; the one that is left gets a new partner. At the end the
journal is audited against what all clients of all processes were told.
"""

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support import command_line
from tests.support.client_log import read_rows
from tests.support.service_process import clean
from tests.support.victim import WORD_S_MAX, Victim, assert_nothing_lost

# Long enough that only a test lets it run out: the leader shares two cores with its clients, and reads a long log.
LEASE_S = 3.0
ENDS = ("killed", "frozen", "terminated", "handed over", "standby killed")
LIVES_SLOW = 200
SNAPSHOT_EVERY = 10


class Pair:
    """A leader and a standby, replaced as they end."""

    def __init__(self, url: str, log: Path, rng: random.Random) -> None:
        self.url = url
        self.log = log
        self.rng = rng
        self.started = 0
        self.takeovers: list[tuple[str, float]] = []
        # How often a leader lived on that had been replaced.
        self.replaced = 0
        self.complaints: list[str] = []
        self.living: list[Victim] = []
        self.leader = self._start()
        self.leader.wait_for("serving")
        self.standby = self._start("standby")
        self.standby.wait_for("standing")
        self.wait_until_followed()

    def end(self, how: str) -> None:
        """End one of the two, wait until the other serves, and start a partner for it."""
        if self.leader.over:
            # Its lease ran out by itself, on a machine that was too busy: so the other leads, or is about to.
            how = "killed"
            self.replaced += 1
        if how == "standby killed":
            self._bury(self.standby)
            self.leader.wait_for("called")
        else:
            began_s = time.monotonic()
            old, self.leader = self.leader, self.standby
            self._stop(old, how)
            self.leader.wait_for("serving")
            self.takeovers.append((how, time.monotonic() - began_s))
            if how == "frozen":
                old.process.send_signal(signal.SIGCONT)
                old.wait_for("over")
                self.replaced += 1
            self._bury(old)
        self.standby = self._start("standby")
        self.standby.wait_for("standing")
        self.wait_until_followed()

    def wait_until_followed(self) -> None:
        """Until the register knows the standby, without which nobody takes over; or until it leads: see `end`."""
        deadline_s = time.monotonic() + WORD_S_MAX
        pid = self.standby.process.pid
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "SELECT count(*) FROM engine_standbys WHERE address LIKE %s"
            while connection.execute(query, (f"process {pid} on %",)).fetchone() != (1,) and not self.leader.over:
                said = [(one.alive, one.over, one.complaints[-2000:]) for one in self.living]
                assert time.monotonic() < deadline_s, (len(self.takeovers), self.replaced, said)
                time.sleep(0.02)

    def close(self) -> None:
        """Nothing is left of any, also of one that a failing test has left frozen."""
        for one in self.living:
            one.kill()

    def _start(self, *role: str) -> Victim:
        self.started += 1
        mode = self.rng.choice(("threads", "tasks"))
        settings = {"CALLMARKET_LEASE_S": str(LEASE_S)}
        self.living.append(Victim(self.url, self.log, self.started, mode, *role, settings=settings))
        return self.living[-1]

    def _stop(self, old: Victim, how: str) -> None:
        match how:
            case "killed":
                old.process.kill()
            case "frozen":
                old.process.send_signal(signal.SIGSTOP)
            case "terminated":
                old.process.terminate()
            case "handed over":
                handed = callmarket(self.url, "handover", "--json")
                if "has no leader" in handed.stderr:
                    # Its lease has just run out by itself, see `end`.
                    old.wait_for("over")
                    self.replaced += 1
                    return
                assert handed.returncode == 0, handed
                done = json.loads(handed.stdout)
                assert f"process {old.process.pid} on" in done["before"], done
                assert f"process {self.leader.process.pid} on" in done["after"], done
            case _:
                raise AssertionError(how)

    def _bury(self, one: Victim) -> None:
        one.kill()
        self.living.remove(one)
        self.complaints.append(one.complaints)


@contextmanager
def pair_of_processes(url: str, log: Path, seed: int) -> Iterator[Pair]:
    pair = Pair(url, log, random.Random(seed))
    try:
        yield pair
    finally:
        pair.close()


def callmarket(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line, as a person would."""
    # A snapshot after ten lives replays some hundred thousand rows, and gives way to the market and its clients.
    return command_line.callmarket(*arguments, "--url", url, environment=clean(), timeout_s=600)


def assert_each_row_has_one_writer(url: str) -> set[int]:
    """The epochs, which never fall: no zombie wrote after its successor."""
    epochs = [row.epoch for row in read_rows(url)]
    assert epochs == sorted(epochs)
    return set(epochs)


def test_takeovers_lose_nothing_that_was_acknowledged(database_url: str, tmp_path: Path, seed: int) -> None:
    """IDM-1, LED-1: each way in which one of the two can end, once; the clients' replies are all in the journal."""
    log = tmp_path / "clients.log"
    ends = list(ENDS)
    random.Random(seed).shuffle(ends)
    with pair_of_processes(database_url, log, seed) as pair:
        for how in ends:
            pair.leader.live(0.3)
            pair.end(how)
        pair.leader.live(0.3)
    print("seconds from the end of the leader to the first answer of the next:", pair.takeovers)  # noqa: T201 -- pytest shows it
    heard = assert_nothing_lost(database_url, log)
    assert len(assert_each_row_has_one_writer(database_url)) >= 5
    assert len(heard.told) > 200, len(heard.told)
    over = [line for said in pair.complaints for line in said.splitlines() if line.startswith("over: ")]
    assert sum("another writer has taken over" in line for line in over) == pair.replaced >= 1, over
    assert sum("it was handed over" in line for line in over) >= 1, over


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_takeovers(database_url: str, tmp_path: Path, seed: int) -> None:
    """As above, two hundred times, in any order and at any moment."""
    rng, log = random.Random(seed), tmp_path / "clients.log"
    with pair_of_processes(database_url, log, seed) as pair:
        for life in range(LIVES_SLOW):
            if life % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1:
                print(f"life {life}: {pair.replaced} leaders lived on")  # noqa: T201 -- it takes a while
                # As whoever runs a market does: else each start replays all of a history that grows and grows.
                assert callmarket(database_url, "snapshot").returncode == 0
            pair.leader.live(rng.uniform(0, 0.5))
            pair.end(rng.choice(ENDS))
    for how in ENDS[:-1]:
        times = sorted(seconds for end, seconds in pair.takeovers if end == how)
        print(f"{how}: {len(times)} times, median {times[len(times) // 2]:.2f} s, worst {times[-1]:.2f} s")  # noqa: T201
    assert_nothing_lost(database_url, log)
    assert_each_row_has_one_writer(database_url)
