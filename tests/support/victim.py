"""A process under load that a test may kill, freeze and start again; and what must be true of the market afterwards.

Rule of this file: the process is `tests.support.load_process` and nothing of it is left when a block ends; what it
prints on its error output is kept, because an engine that survives by luck says so there.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from callmarket import Request, open_exchange
from callmarket.engine.codec import decode_command
from callmarket.engine.state import State
from callmarket.persistence.verify import verify
from tests.support.client_log import ClientLog, Heard, audit, read_log, read_rows
from tests.support.following import level

ROOT = Path(__file__).resolve().parents[2]
# A word of the process is there within this time, however busy the machine is.
WORD_S_MAX = 60.0


class Victim:
    """One process under load."""

    def __init__(
        self, url: str, log: Path, seed: int, mode: str, *role: str, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start it; `settings` are those of `bridge.config`, by their names in the environment."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.load_process", url, str(log), str(seed), mode, *role],
            cwd=ROOT,
            env=os.environ | dict(settings or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # Whether it has said that it leads no longer.
        self.over = False
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

    @property
    def alive(self) -> bool:
        """Whether it runs, frozen or not."""
        return self.process.poll() is None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still within the block, wherever it is."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

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
            self.over |= line.strip() == "over"
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
    report = verify(level(url), 0)
    assert report.ok, report
    return heard
