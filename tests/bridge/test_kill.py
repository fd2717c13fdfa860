"""A process under load is killed with SIGKILL, again and again; what was acknowledged is there afterwards, once.

Goal: the promise of README.md, for real. Method: `tests.support.load_process` is started, killed at a moment drawn from
the seed (while it starts and recovers, under load, right before or after a call of a market), and started again; its
clients note what they send and what they are told, and at the end the journal is audited against these notes. The
auditor is itself tried on journals with planted damage.
"""

import os
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from msgspec import Raw

from bridge import Request, open_exchange
from bridge.messages import Reply
from engine.codec import GENESIS_DIGEST, decode_command, encode, seal
from engine.commands import Entry, Mint, OpenAccount, Transfer
from engine.core import Engine
from engine.events import Repeated
from engine.state import State
from persistence.verify import verify
from tests.support.client_log import ClientLog, Heard, Intent, Row, Told, audit, read_log, read_rows
from tests.support.own_server import OwnServer

ROOT = Path(__file__).resolve().parents[2]
KILLS = 24
KILLS_SLOW = 200
# A word of the process is there within this time, however busy the machine is.
WORD_S_MAX = 60.0


class Victim:
    """One process under load."""

    def __init__(
        self, url: str, log: Path, seed: int, mode: str, *role: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.load_process", url, str(log), str(seed), mode, *role],
            cwd=ROOT,
            env=os.environ | dict(settings or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_words, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, word: str) -> None:
        """Wait until the process says a word."""
        while (said := self._words.get(timeout=WORD_S_MAX)) != word:
            assert said, "".join(self._errors)

    def live(self, seconds: float) -> None:
        """Let it work for so long; it must not end by itself."""
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(seconds)
            raise AssertionError((code, "".join(self._errors)))

    def kill(self) -> None:
        """SIGKILL, and nothing of it is left. What it printed until then must not be a complaint of the engine."""
        self.process.kill()
        self.process.wait(WORD_S_MAX)
        for reader in self._readers:
            reader.join(WORD_S_MAX)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _read_words(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._words.put(line.strip())
        self._words.put("")

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    @property
    def complaints(self) -> str:
        """What it said on its error output."""
        return "".join(self._errors)


@contextmanager
def victim(url: str, log: Path, seed: int, mode: str) -> Iterator[Victim]:
    """A process under load; it is gone at the end of the block."""
    started = Victim(url, log, seed, mode)
    try:
        yield started
    finally:
        started.kill()


def live_and_die(rng: random.Random, url: str, log: Path, number: int) -> None:
    """One life: started, and killed at a random moment."""
    moment = ("ready", "ready", "opening", "calling", "called")[number % 5]
    mode = rng.choice(("threads", "threads", "tasks"))
    with victim(url, log, number, mode) as process:
        process.wait_for(moment)
        if moment == "ready":
            process.live(rng.uniform(0.05, 0.9))
        elif moment == "opening":
            process.live(rng.uniform(0, 0.2))
    assert not process.complaints, process.complaints


def assert_nothing_lost(url: str, path: Path) -> Heard:
    """The clients send what has no answer, for the last time; then the whole journal is held against what they know."""
    with open_exchange(url) as market:
        log = ClientLog(path)
        for intent in read_log(path).unanswered():
            request = Request(intent.actor, decode_command(bytes(intent.command)), intent.command_id)
            log.told([request], market.submit([request]))
        log.close()
        heard = read_log(path)
        assert not heard.unanswered()
        assert audit(heard, read_rows(url)) == []
        market.read(State.check)
        balances = market.read(lambda state: [one.balance_tokens for one in state.ledger.accounts.values()])
        assert sum(balances) == 0
        assert market.recovery.rows > 0
    report = verify(url, 0)
    assert report.ok, report
    return heard


def test_kills_lose_nothing_that_was_acknowledged(database_url: str, tmp_path: Path, seed: int) -> None:
    """IDM-1, LED-1: every acknowledged reply is in the journal as it was told, every command took effect once."""
    rng, log = random.Random(seed), tmp_path / "clients.log"
    for number in range(KILLS):
        live_and_die(rng, database_url, log, number)
    heard = assert_nothing_lost(database_url, log)
    # Else the test has shown nothing.
    assert len(heard.told) > 20 * KILLS, len(heard.told)
    assert any(one.repeated for one in heard.told)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_of_engine_and_database_lose_nothing(own_server: OwnServer, tmp_path: Path, seed: int) -> None:
    """As above, 200 times, and the database is killed or reset too: beside the engine, before it, or without it."""
    rng, log = random.Random(seed), tmp_path / "clients.log"
    with own_server.market_database() as url:
        for number in range(KILLS_SLOW):
            match rng.randrange(5):
                case 0 | 1:
                    live_and_die(rng, url, log, number)
                case 2:
                    with victim(url, log, number, "threads") as process:
                        process.wait_for("ready")
                        process.live(rng.uniform(0.02, 0.5))
                        own_server.kill()
                    own_server.start()
                case 3:
                    with victim(url, log, number, "tasks") as process:
                        process.wait_for("opening")
                        process.live(rng.uniform(0, 0.2))
                        own_server.stop()
                        own_server.start()
                case _:
                    with victim(url, log, number, "threads") as process:
                        process.wait_for("called")
                        own_server.kill() if rng.random() < 0.5 else own_server.stop()
                        process.live(rng.uniform(0.01, 0.3))
                        own_server.start()
                        # The engine has lived on and finds its way.
                        process.wait_for("called")
                        process.live(rng.uniform(0.01, 0.3))
        assert_nothing_lost(url, log)


# --- the auditor, tried ----------------------------------------------------------------------------------------------


def history() -> tuple[Heard, list[Row]]:
    """A short history as it should be: six commands, one of them retried, all answered."""
    commands = [
        ("admin", "open-a", OpenAccount("a", "agent")),
        ("admin", "open-b", OpenAccount("b", "agent")),
        ("admin", "mint", Mint("a", 100, "grant:initial")),
        ("a", "pay", Transfer("a", "b", 30, "gift:any")),
        ("a", "pay", Transfer("a", "b", 30, "gift:any")),
        ("a", "pay-too-much", Transfer("a", "b", 300, "gift:any")),
    ]
    engine, digest = Engine(), GENESIS_DIGEST
    heard, rows = Heard({}, [], 0), []
    for seq, (actor, command_id, command) in enumerate(commands, 1):
        entry = Entry(seq, 1_000 + seq, actor, command, command_id)
        events = engine.apply(entry)
        sealed = seal(digest, entry, events)
        digest = sealed.digest
        rows.append(Row(seq, 1, entry.at_us, actor, command_id, 1, sealed.command_json, sealed.events_json, digest))
        heard.intents[actor, command_id] = Intent(actor, command_id, Raw(encode(command)))
        first = events[0].first_seq if isinstance(events[0], Repeated) else seq
        heard.told.append(Told(actor, command_id, first, first != seq, Raw(rows[first - 1].events)))
    return heard, rows


def sealed_again(rows: list[Row]) -> list[Row]:
    """The rows with seqs and digests made right, as somebody would who hides what was done to them."""
    digest, again = GENESIS_DIGEST, []
    engine = Engine()
    for seq, row in enumerate(rows, 1):
        entry = Entry(seq, row.at_us, row.actor, decode_command(row.command), row.command_id)
        events = engine.apply(entry)
        digest = seal(digest, entry, events).digest
        again.append(row._replace(seq=seq, events=encode(events), digest=digest))
    return again


def test_auditor_passes_a_whole_history() -> None:
    heard, rows = history()
    assert audit(heard, rows) == []


def test_auditor_finds_a_lost_row() -> None:
    heard, rows = history()
    assert any("row 4 is missing" in one for one in audit(heard, rows[:3] + rows[4:]))
    assert any("row 6 of a pay-too-much is lost" in one for one in audit(heard, rows[:5]))


def test_auditor_finds_a_lost_row_that_was_covered_up() -> None:
    """The rows after it move up and have right digests; what the clients were told gives it away."""
    heard, rows = history()
    assert any("pay" in one for one in audit(heard, sealed_again(rows[:2] + rows[3:])))


def test_auditor_finds_a_doubled_row() -> None:
    heard, rows = history()
    assert audit(heard, [*rows[:4], rows[3], *rows[4:]])
    # The same command applied a second time as if it had no id, and all digests right.
    doubled = [*sealed_again(rows[:4]), rows[3]._replace(seq=5)]
    assert any("applied 2 times, at [4, 5]" in one for one in audit(heard, doubled))


def test_auditor_finds_a_changed_event() -> None:
    heard, rows = history()
    changed = rows[3]._replace(events=rows[3].events.replace(b'"amount_tokens":30', b'"amount_tokens":31'))
    assert changed != rows[3]
    problems = audit(heard, [*rows[:3], changed, *rows[4:]])
    assert any("row 4 does not continue the digest" in one for one in problems)
    assert any("row 4 says" in one for one in problems)


def test_auditor_finds_a_reply_that_nobody_journaled() -> None:
    heard, rows = history()
    heard.told.append(Told("a", "ghost", 7, False, Raw(b"[]")))
    assert any("ghost was acknowledged at 7 and never applied" in one for one in audit(heard, rows))


def test_auditor_finds_a_command_that_nobody_sent() -> None:
    heard, rows = history()
    del heard.intents["a", "pay-too-much"]
    assert any("nobody sent" in one for one in audit(heard, rows))


def test_auditor_finds_a_command_that_was_sent_otherwise() -> None:
    heard, rows = history()
    heard.intents["a", "pay"] = Intent("a", "pay", Raw(encode(Transfer("a", "b", 29, "gift:any"))))
    assert any("was sent as" in one for one in audit(heard, rows))


def test_torn_line_counts_as_never_delivered(tmp_path: Path) -> None:
    path = tmp_path / "clients.log"
    log = ClientLog(path)
    requests = [Request("admin", OpenAccount(name, "agent"), f"open-{name}") for name in "ab"]
    log.intend(requests)
    log.told(requests, [Reply(1, 1, (), 2), Reply(2, 1, (), 2)])
    log.close()
    path.write_bytes(path.read_bytes()[:-5])
    ClientLog(path).close()
    heard = read_log(path)
    assert heard.torn == 1
    assert [intent.command_id for intent in heard.unanswered()] == ["open-b"]
