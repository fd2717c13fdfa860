"""The commands about snapshots and recovery: `snapshot`, `snapshots`, `recover --dry-run`.

Rule of this file: each opens the journal read-only, which PostgreSQL enforces, so it can run beside a live engine at
any time. Besides snapshots and the high-water mark beside them it writes only when recovery was last proved.
`commands` gives these functions their arguments and prints what they return.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from msgspec import Struct

from callmarket.bridge.cli.database import CLI_NAME, reading
from callmarket.bridge.config import Config, in_home
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Damaged
from callmarket.persistence.errors import Unavailable as DatabaseUnavailable
from callmarket.persistence.journal.postgres import read_market_id
from callmarket.persistence.journal.protocol import rows_after
from callmarket.persistence.leadership.register import publish_proof
from callmarket.persistence.loss.high_water import HighWater, lost_since
from callmarket.persistence.recovery import Report, rehearse
from callmarket.persistence.snapshot_follower import Follower, Taken
from callmarket.persistence.snapshots.store import Info, belongs, check_readable

logger: Final = logging.getLogger(__name__)

_STANDARD_INPUT: Final = 0
# Well below the usual 0, but above what an administrator runs in the background (19).
_NICENESS: Final = 10


class SnapshotRow(Struct, frozen=True):
    """One snapshot. `fault` is empty if it is good."""

    name: str
    seq: int
    rows_behind: int
    taken_at: datetime
    image_bytes: int
    stored_bytes: int
    good: bool
    fault: str


class Rehearsal(Struct, frozen=True):
    """What a recovery would do now: where the journal ends, and the report."""

    shard_id: int
    epoch: int
    seq: int
    digest: str
    report: Report


def lower_priority() -> None:
    """Give the engine and its database priority for the CPU: a snapshot may take longer, a live command should not.

    It lowers the priority of the whole process, for good.
    """
    os.nice(_NICENESS)


def end_with_standard_input() -> None:
    """End this process, as by SIGTERM, when its standard input ends. A pipe ends even if its writer is killed."""

    def watch() -> None:
        # Not `sys.stdin`: a thread that waits inside it holds its lock, without which the interpreter cannot end.
        with contextlib.suppress(OSError):
            while os.read(_STANDARD_INPUT, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="standard input", daemon=True).start()


def take_one(config: Config, archive: Path | None) -> Taken | None:
    """Take one snapshot. None if the journal is empty."""
    with _following(config, archive) as follower:
        return follower.take()


def take_forever(config: Config, archive: Path | None, every_s: float, show: Callable[[Taken], None]) -> None:
    """Take a snapshot every `every_s` seconds if there are new rows, and show it. Returns at SIGTERM or SIGINT.

    While the database is unavailable it keeps trying. Raises if the journal is corrupt.
    """
    with _ending_on_signals() as ended, _following(config, archive) as follower:
        while not ended.is_set():
            try:
                taken = follower.take()
            except DatabaseUnavailable as error:
                logger.warning("no snapshot now, trying again in %s s: %s", every_s, error)
            else:
                if taken is not None:
                    show(taken)
            ended.wait(every_s)


def taken_row(row: Taken) -> dict[str, object]:
    """A snapshot that was taken, as JSON."""
    info = row.info
    return {
        "name": info.name,
        "seq": info.seq,
        "digest": info.digest.hex(),
        "image_bytes": info.image_bytes,
        "stored_bytes": info.stored_bytes,
        "taken_at": info.taken_at,
        "rows_replayed": row.rows,
        "seconds": row.seconds,
        "passed_over": row.passed_over,
        "forgotten": [one.name for one in row.forgotten],
    }


def listed(config: Config) -> list[SnapshotRow]:
    """All snapshots, newest first, each read and checked against its checksum and the journal. O(their bytes)."""
    with reading(config) as (_, journal, store):
        last_seq = journal.position().last_seq
        rows = []
        for info in store.list():
            try:
                check_readable(info)
                belongs(info, journal.row_at(info.seq))
                store.read(info)
                fault = ""
            except Damaged as error:
                fault = str(error)
            rows.append(
                SnapshotRow(
                    info.name,
                    info.seq,
                    rows_after(info.seq, last_seq),
                    info.taken_at,
                    info.image_bytes,
                    info.stored_bytes,
                    not fault,
                    fault,
                )
            )
        return rows


def rehearsed(config: Config, archive: Path | None, *, whole: bool) -> Rehearsal:
    """Rehearse a recovery, from the newest good snapshot or from the first row, without claiming the journal."""
    with reading(config, archive) as (_, journal, store):
        recovered, _ = rehearse(journal, None if whole else store)
    epoch, seq, digest = recovered.position
    return Rehearsal(config.shard_id, epoch, seq, digest.hex(), recovered.report)


@contextmanager
def _following(config: Config, archive: Path | None) -> Iterator[Follower]:
    with reading(config, archive, writes=True) as (url, journal, store):

        def publish(info: Info, seconds: float) -> None:
            with connect(url, CLI_NAME) as connection:
                publish_proof(connection, config.shard_id, info.seq, seconds)
                market_id = read_market_id(connection, config.shard_id)
            if config.snapshots_folder:
                # By this mark a process with the snapshots, but not a leader's marks, sees what a journal lacks.
                with closing(HighWater(in_home("snapshots_folder", config.snapshots_folder), config.shard_id)) as mark:
                    if loss := lost_since(journal, mark.highest(market_id)):
                        logger.warning("the mark beside the snapshots is left unchanged: %s", loss)
                    else:
                        mark.begin(market_id, info.seq, info.digest)

        yield Follower(journal, store, config.snapshots_kept, publish)


class _Ended(BaseException):
    """A signal has asked this process to end. A `BaseException`, as no handler of errors may catch it."""


@contextmanager
def _ending_on_signals() -> Iterator[threading.Event]:
    """Leave the block at the next SIGTERM or SIGINT, wherever it is. Context managers undo unfinished work."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        # Only once: a second signal must not interrupt that cleanup.
        if not ended.is_set():
            ended.set()
            raise _Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    except _Ended:
        logger.debug("ended by a signal")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
