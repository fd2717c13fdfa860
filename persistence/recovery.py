"""From the journal back to the engine as it was.

Rule of this file: nothing is believed. The command of each row is decided again and must cause the very bytes that are
stored beside it; its digest must be that of its bytes and of the row before; the last row must be the one that the
fence names. Rows of older rules are not decided again but folded from their events, so a fix of the rules never
rewrites what happened.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.codec import encode
from engine.commands import Entry
from engine.core import Engine
from engine.events import Events
from engine.limits import RULES
from persistence.errors import Corrupt, Diverged
from persistence.journal import Chain, Journal, Position, Stored


@dataclass(frozen=True)
class Report:
    """What a recovery did, for a person."""

    rows: int
    rows_folded: int
    seconds: float

    @property
    def rows_per_s(self) -> int:
        """The rate, with the check of the final state."""
        return round(self.rows / self.seconds) if self.seconds else 0

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.rows:,} rows in {self.seconds:.2f} s ({self.rows_per_s:,}/s), {self.rows_folded:,} of older rules"
        )


@dataclass(frozen=True)
class Recovered:
    """The engine after the last row, and where the journal stands: the writer goes on from there with this epoch."""

    engine: Engine
    position: Position
    report: Report


def recover(journal: Journal) -> Recovered:
    """Become the writer of the shard and bring its engine back. A new shard gives a new engine.

    The epoch is raised first, so that whoever wrote before cannot write any more while the rows are read. Costs about
    10 us a row. Raises `Unavailable`; `Corrupt` or `Diverged` with the first bad seq: then nothing may be written.
    """
    started = time.perf_counter()
    journal.claim()
    position = journal.position()
    engine, chain, folded = Engine(), Chain(), 0
    with _collector_off():
        for rows in journal.scan():
            for row in rows:
                replay(engine, chain, row)
                folded += row.rules < RULES
    check_end(engine, chain, position)
    return Recovered(engine, position, Report(chain.seq, folded, time.perf_counter() - started))


def replay(engine: Engine, chain: Chain, row: Stored) -> tuple[Entry, Events]:
    """Bring the engine past one row and return what the row says. Raises `Corrupt` or `Diverged`."""
    entry = chain.follow(row)
    try:
        if row.rules == RULES:
            events = engine.apply(entry)
            if encode(events) != row.events_json:
                raise Diverged(_difference(row, events), row.seq)
        elif row.rules < RULES:
            events = row.events()
            engine.fold(entry, events)
        else:
            raise Diverged(
                f"Row {row.seq} was decided by rules {row.rules}, and this version knows them up to {RULES}: "
                "run the version that wrote it, or a newer one.",
                row.seq,
            )
    except (AssertionError, LookupError) as error:
        # A row that this engine's past makes impossible.
        raise Diverged(f"Row {row.seq} breaks an invariant of the engine: {error!r}", row.seq) from error
    return entry, events


def check_end(engine: Engine, chain: Chain, position: Position) -> None:
    """Check that the rows end where the fence says, and every property of the state. Raises `Corrupt` or `Diverged`."""
    seq, last_seq = chain.seq, position.last_seq
    if seq < last_seq:
        raise Corrupt(f"Row {seq + 1} is missing: the journal ends at {seq}, the fence says {last_seq}", seq + 1)
    if seq > last_seq:
        raise Corrupt(
            f"Row {last_seq + 1} should not be: the journal ends at {seq}, the fence says {last_seq}", last_seq + 1
        )
    if chain.digest != position.last_digest:
        raise Corrupt(f"Row {seq} is the last one, but does not have the digest that the fence names", seq)
    try:
        engine.state.check()
    except AssertionError as error:
        raise Diverged(f"The state after row {chain.seq} breaks an invariant: {error!r}", chain.seq) from error


def _difference(row: Stored, events: Events) -> str:
    stored, again = row.events_json.decode(errors="replace"), encode(events).decode()
    place = next((i for i, (one, two) in enumerate(zip(stored, again, strict=False)) if one != two), 0)
    start = max(0, place - 60)
    return (
        f"Row {row.seq} ({row.command_json.decode(errors='replace')[:200]}) decides otherwise now. "
        f"Stored ...{stored[start : place + 100]}... and again ...{again[start : place + 100]}... "
        "If the rules were changed, raise limits.RULES; else run the version that wrote it."
    )


@contextmanager
def _collector_off() -> Iterator[None]:
    """Pause the cycle collector: it would walk the growing state again and again, and nothing here makes cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
