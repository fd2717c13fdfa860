"""The demo's end of the engine process: starts it, talks to it, kills it with a batch in flight, starts it again.

Rule of this file: it remembers every acknowledged reply and asks the process for nothing that it could know itself, so
that the audit (`audit.py`) compares two independent records.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from msgspec import Struct

from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo.options import SHARD_ID
from callmarket.bridge.studies.demo.process import frames
from callmarket.persistence.database.connections import connect

STOP_TIMEOUT_S: Final = 30.0
JOURNALED_TIMEOUT_S: Final = 30.0
# A batch worth killing in: with this many commands in flight some of them bid, some settle, some pay.
REQUESTS_IN_FLIGHT_MIN: Final = 20

A = TypeVar("A", bound=frames.FromEngine)


class EngineFailed(ExchangeError):
    """The engine process could not go on. The message has its own words."""


class Acknowledged(Struct, frozen=True):
    """A command that was answered."""

    command_id: str
    reply: Reply


class Kill(Struct, frozen=True):
    """What happened at the kill. Digests are of the state after the last acknowledged command, and as recovered."""

    at_us: int
    acknowledged: int
    acknowledged_seq: int
    digest_before: bytes
    requests_in_flight: int
    found_journaled: int
    recovered_seq: int
    digest_recovered: bytes
    rows_recovered: int
    recovery_seconds: float
    outage_seconds: float


class EngineClient:
    """A market (see `auction.Market`) that lives in another process and survives being killed."""

    def __init__(self, url: str, *, kill_from_us: int | None = None) -> None:
        """Start the process. From `kill_from_us` on, the first large batch is interrupted by a SIGKILL."""
        self._url = url
        self._kill_from_us = kill_from_us
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `close`
        self.acknowledged: list[Acknowledged] = []
        self.kill: Kill | None = None
        try:
            self._start()
        except EngineFailed:
            self._log.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, now_us: int, requests: Sequence[Request]) -> Sequence[Reply]:
        """Return the durable replies. If this is the batch to be killed in: kill, recover, send it again."""
        message = frames.Submit(now_us, tuple(requests))
        due = self._kill_from_us is not None and now_us >= self._kill_from_us and self.kill is None
        if due and len(requests) >= REQUESTS_IN_FLIGHT_MIN:
            replies = self._submit_and_kill(message)
        else:
            replies = self._ask(message, frames.Replies).replies
        assert len(replies) == len(requests), (len(replies), len(requests))
        self.acknowledged += [
            Acknowledged(request.command_id, reply) for request, reply in zip(requests, replies, strict=True)
        ]
        return replies

    def digest(self) -> frames.DigestOf:
        """The digest of the state."""
        return self._ask(frames.StateDigest(), frames.DigestOf)

    def balances(self) -> frames.Balances:
        """Every account, after the state has checked itself."""
        return self._ask(frames.Summary(), frames.Balances)

    def close(self) -> None:
        """Let the process end in order, or end it."""
        if self._process.poll() is None:
            try:
                assert self._process.stdin is not None
                frames.write(self._process.stdin, frames.Stop())
                self._process.wait(STOP_TIMEOUT_S)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()
        self._end()
        self._log.close()

    def _submit_and_kill(self, message: frames.Submit) -> tuple[Reply, ...]:
        before = self.digest()
        assert self._process.stdin is not None
        # The first half becomes durable and is never answered, the second half is cut off: both must come out right.
        half = len(message.requests) // 2
        frames.write(self._process.stdin, frames.Submit(message.now_us, message.requests[:half]))
        self._wait_until_journaled(before.seq + half)
        frames.write(self._process.stdin, frames.Submit(message.now_us, message.requests[half:]))
        killed_at = time.perf_counter()
        self._process.kill()
        self._end()
        started = self._start()
        outage_seconds = time.perf_counter() - killed_at
        recovered = self.digest()
        replies = self._ask(message, frames.Replies).replies
        self.kill = Kill(
            at_us=message.now_us,
            acknowledged=len(self.acknowledged),
            acknowledged_seq=before.seq,
            digest_before=before.digest,
            requests_in_flight=len(message.requests),
            found_journaled=sum(reply.repeated for reply in replies),
            recovered_seq=recovered.seq,
            digest_recovered=recovered.digest,
            rows_recovered=started.rows,
            recovery_seconds=started.seconds,
            outage_seconds=outage_seconds,
        )
        return replies

    def _wait_until_journaled(self, seq: int) -> None:
        """Ask PostgreSQL, not the process: its answers are not to be read any more."""
        deadline = time.monotonic() + JOURNALED_TIMEOUT_S
        with connect(self._url, "callmarket demo", read_only=True) as connection:
            while time.monotonic() < deadline:
                row = connection.execute("SELECT max(seq) FROM journal WHERE shard_id = %s", (SHARD_ID,)).fetchone()
                if row is not None and (row[0] or 0) >= seq:
                    return
        raise self._failure(f"row {seq} was not journaled within {JOURNALED_TIMEOUT_S:g} s")

    def _start(self) -> frames.Started:
        root = Path(__file__).resolve().parents[4]
        self._process = subprocess.Popen(  # noqa: S603 -- our own module, by our own interpreter
            [sys.executable, "-m", "callmarket.bridge.studies.demo.process.engine_process", self._url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=root,
        )
        return self._read(frames.Started)

    def _end(self) -> None:
        """Reap the process and close our ends of its pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _ask(self, message: frames.ToEngine, wanted: type[A]) -> A:
        assert self._process.stdin is not None
        try:
            frames.write(self._process.stdin, message)
        except OSError:
            raise self._failure("it is gone") from None
        return self._read(wanted)

    def _read(self, wanted: type[A]) -> A:
        assert self._process.stdout is not None
        answer = frames.read_answer(self._process.stdout)
        if isinstance(answer, wanted):
            return answer
        raise self._failure(answer.message if isinstance(answer, frames.Failed) else f"it answered {answer!r}")

    def _failure(self, what: str) -> EngineFailed:
        self._process.kill()
        self._end()
        self._log.seek(0)
        words = self._log.read().decode(errors="replace").strip()
        return EngineFailed(f"the engine process failed: {what}\n{words[-2000:]}".rstrip())
