"""From the journal back to the engine as it was.

Rule of this file: nothing is believed. The command of each row is decided again and must cause the very bytes that are
stored beside it; its digest must be that of its bytes and of the row before; the last row must be the one that the
fence names. (Ranges and patterns of a command were checked before it was written, and its digest says that it is the
same: they are looked at again by `verify` alone.) Rows of older rules are not decided again but folded from their
events, so a fix of the rules never rewrites what happened. A snapshot saves the rows before it, if it is whole and of
this very history; one that is not, or from which the rest does not follow, is passed over for the one before, and at
last for the whole journal.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from callmarket.engine.codec import encode
from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import Events
from callmarket.engine.limits import RULES
from callmarket.persistence.errors import Archived, Corrupt, Damaged, Diverged, Fenced, TooNew, Unavailable
from callmarket.persistence.journal.protocol import Chain, Journal, Position, StoredRow
from callmarket.persistence.snapshots.store import Info, SnapshotStore, belongs, check_readable, state_of

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class PassedOver:
    """A snapshot that was not used, and why. Seq 0 stands for all of them: the store could not be asked."""

    seq: int
    name: str
    reason: str

    def __str__(self) -> str:
        """The snapshot and why it was passed over, in one line."""
        return f"passed over snapshot {self.name} of row {self.seq:,}: {self.reason}"


@dataclass(frozen=True)
class Report:
    """What a recovery did, for a person. `rows` are those that were replayed, after row `from_seq`."""

    rows: int
    rows_folded: int
    seconds: float
    from_seq: int = 0
    image_seconds: float = 0.0
    tail_seconds: float = 0.0
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def rows_per_s(self) -> int:
        """The rate of the replay, with the check of the final state."""
        return round(self.rows / self.tail_seconds) if self.tail_seconds else 0

    def __str__(self) -> str:
        """One line, and one for each snapshot that was passed over."""
        line = (
            f"{self.rows:,} rows in {self.tail_seconds:.2f} s ({self.rows_per_s:,}/s), "
            f"{self.rows_folded:,} of older rules"
        )
        if self.from_seq:
            line += f", after the snapshot of row {self.from_seq:,} in {self.image_seconds:.2f} s"
        return "\n  ".join([line, *map(str, self.passed_over)])


@dataclass(frozen=True)
class Recovered:
    """The engine after the last row, and where the journal stands: the writer goes on from there with this epoch."""

    engine: Engine
    position: Position
    report: Report


class Replica:
    """An engine that follows a journal, and the proof of how far it has come."""

    __slots__ = ("applied", "chain", "engine", "rows", "rows_folded")

    def __init__(self, engine: Engine | None = None, chain: Chain | None = None) -> None:
        """Begin before the first row, or where an engine and the chain of its rows stand."""
        # Is given each row that was applied; nobody as a rule.
        self.applied: Callable[[StoredRow], None] | None = None
        self.engine = engine or Engine()
        self.chain = chain or Chain()
        self.rows = 0
        self.rows_folded = 0

    def follow(self, journal: Journal, until_seq: int | None = None) -> None:
        """Replay what follows in the journal, perhaps only so far. Raises as `replay`: then it is of no more use."""
        if until_seq is not None and self.chain.seq >= until_seq:
            return
        with collector_off(), closing(journal.scan(self.chain.seq)) as chunks:
            for rows in chunks:
                for row in rows:
                    replay(self.engine, self.chain, row)
                    self.rows += 1
                    self.rows_folded += row.rules < RULES
                    if self.applied is not None:
                        self.applied(row)
                    if row.seq == until_seq:
                        return


def recover(journal: Journal, snapshots: SnapshotStore | None = None, *, epoch: int | None = None) -> Recovered:
    """Become the writer of the shard and bring its engine back. A new shard gives a new engine.

    The epoch is raised first, or the caller has done so and names it, so that the previous writer cannot write any
    more while the rows are read. Costs some 20 us for each row after the newest snapshot, and 5 us for each bid in
    that. Raises `Unavailable`; `Fenced` if another claims the shard meanwhile; `Corrupt` or `Diverged` with the first
    bad seq: then nothing may be written.
    """
    mine = journal.claim() if epoch is None else epoch
    with still_mine(journal, mine):
        return _bring_back(journal, snapshots, alone=True)[0]


@contextmanager
def still_mine(journal: Journal, epoch: int) -> Iterator[None]:
    """Read a journal to its end under an epoch of one's own.

    Raises `Fenced` if another has claimed the shard by the end of the block, or before what the block raises: rows that
    came from there are no damage.
    """
    try:
        yield
    except Corrupt as error:
        _check_mine(journal, epoch, error)
        raise
    _check_mine(journal, epoch, None)


def _check_mine(journal: Journal, epoch: int, cause: Corrupt | None) -> None:
    found = journal.position().epoch
    if found != epoch:
        raise Fenced(
            f"The shard was claimed with epoch {found} while epoch {epoch} recovered. Stop this one."
        ) from cause


def rehearse(
    journal: Journal,
    snapshots: SnapshotStore | None = None,
    until_seq: int | None = None,
    *,
    applied: Callable[[StoredRow], None] | None = None,
) -> tuple[Recovered, Replica]:
    """All of recovery, read-only: nothing is claimed, and a writer may go on meanwhile. `applied` is given each row.

    The replica stands where the journal ended when this began, or at row `until_seq`, and may follow from there. Raises
    as `recover`.
    """
    return _bring_back(journal, snapshots, alone=False, until_seq=until_seq, applied=applied)


def _known(snapshots: SnapshotStore | None) -> tuple[Sequence[Info], list[PassedOver]]:
    """All snapshots, newest first."""
    if snapshots is None:
        return [], []
    try:
        return snapshots.list(), []
    except Unavailable as error:
        logger.warning("snapshots cannot be read, recovering from the whole journal: %s", error)
        return [], [PassedOver(0, "all", str(error))]


def _position_then(journal: Journal, seq: int) -> Position:
    """Where the journal ended when this row was its last."""
    row = journal.row_at(seq)
    if row is None:
        raise Corrupt(f"Row {seq} is missing", seq)
    return Position(row.epoch, row.seq, row.digest)


def _bring_back(
    journal: Journal,
    snapshots: SnapshotStore | None,
    *,
    alone: bool,
    until_seq: int | None = None,
    applied: Callable[[StoredRow], None] | None = None,
) -> tuple[Recovered, Replica]:
    """The engine at the end of the journal, or at a row before, from the newest snapshot that leads there.

    `alone`, if nobody writes.
    """
    started = time.perf_counter()
    # In this order, so that every snapshot is of a row before the end that is looked at.
    infos, passed = _known(snapshots)
    position = journal.position()
    if until_seq is not None:
        position = _position_then(journal, until_seq)
        infos = [info for info in infos if info.seq <= until_seq]
    for info in (*infos, None):
        image_started = time.perf_counter()
        try:
            replica = Replica() if snapshots is None or info is None else restore(journal, snapshots, info)
            replica.applied = applied
            tail_started = time.perf_counter()
            # Where nobody writes there must be no row beyond the end.
            replica.follow(journal, None if alone else position.last_seq)
            check_end(replica.engine, replica.chain, position)
        except (Damaged, Diverged, Archived) as error:
            # Nothing comes after the last resort, and rows that no one here can decide are no fault of a snapshot.
            if info is None or isinstance(error, TooNew):
                raise
            passed.append(PassedOver(info.seq, info.name, str(error)))
            logger.warning("%s", passed[-1])
            continue
        ended = time.perf_counter()
        report = Report(
            rows=replica.rows,
            rows_folded=replica.rows_folded,
            seconds=ended - started,
            from_seq=0 if info is None else info.seq,
            image_seconds=0.0 if info is None else tail_started - image_started,
            tail_seconds=ended - tail_started,
            passed_over=tuple(passed),
        )
        return Recovered(replica.engine, position, report), replica
    raise AssertionError("the whole journal is the last resort")


def restore(journal: Journal, snapshots: SnapshotStore, info: Info) -> Replica:
    """The engine as a snapshot has it; its properties are checked where the rows after it end.

    Raises `Damaged`, or `Archived` if its row is.
    """
    check_readable(info)
    row = belongs(info, journal.row_at(info.seq))
    try:
        image = snapshots.read(info)
    except Unavailable as error:
        raise Damaged(f"its store does not answer: {error}") from error
    with collector_off():
        state = state_of(info, image)
    return Replica(Engine(state), Chain(row.seq, row.digest, row.epoch, row.at_us))


def replay(engine: Engine, chain: Chain, row: StoredRow) -> tuple[Entry, Events]:
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
            raise TooNew(
                f"Row {row.seq} was decided by rules {row.rules}, and this version knows them up to {RULES}: "
                "run the version that wrote it, or a newer one.",
                row.seq,
            )
    except (AssertionError, LookupError) as error:
        # A row that this engine's past makes impossible.
        raise Diverged(f"Row {row.seq} breaks an invariant of the engine: {error!r}", row.seq) from error
    return entry, events


def check_arrival(chain: Chain, position: Position) -> None:
    """Check that the rows end where the fence says. Raises `Corrupt`. O(1)."""
    seq, last_seq = chain.seq, position.last_seq
    if seq < last_seq:
        raise Corrupt(f"Row {seq + 1} is missing: the journal ends at {seq}, the fence says {last_seq}", seq + 1)
    if seq > last_seq:
        raise Corrupt(
            f"Row {last_seq + 1} should not be: the journal ends at {seq}, the fence says {last_seq}", last_seq + 1
        )
    if chain.epoch > position.epoch:
        # No digest covers the epochs. What a writer of a lower epoch added here would be a step back for ever.
        raise Corrupt(f"Row {seq} is of epoch {chain.epoch}, and the fence knows epochs up to {position.epoch}", seq)
    if chain.digest != position.last_digest:
        raise Corrupt(f"Row {seq} is the last one, but does not have the digest that the fence names", seq)


def check_end(engine: Engine, chain: Chain, position: Position) -> None:
    """Check that the rows end where the fence says, and every property of the state. Raises `Corrupt` or `Diverged`.

    O(state).
    """
    check_arrival(chain, position)
    try:
        engine.state.check()
    except (AssertionError, LookupError) as error:
        # The check looks up what an index names: where that is missing, it finds so by a KeyError.
        raise Diverged(f"The state after row {chain.seq} breaks an invariant: {error!r}", chain.seq) from error


def _difference(row: StoredRow, events: Events) -> str:
    stored, again = row.events_json.decode(errors="replace"), encode(events).decode()
    place = next((i for i, (one, two) in enumerate(zip(stored, again, strict=False)) if one != two), 0)
    start = max(0, place - 60)
    return (
        f"Row {row.seq} ({row.command_json.decode(errors='replace')[:200]}) decides otherwise now. "
        f"Stored ...{stored[start : place + 100]}... and again ...{again[start : place + 100]}... "
        "If the rules were changed, raise limits.RULES; else run the version that wrote it."
    )


@contextmanager
def collector_off() -> Iterator[None]:
    """Pause the cycle collector: it would walk the growing state again and again, and nothing here makes cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
