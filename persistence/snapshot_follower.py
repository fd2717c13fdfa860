"""Taking snapshots beside a live engine, each of them a proof that recovery works.

Rule of this file: it reads the journal and writes to the store of snapshots, and to nothing else. A snapshot is taken
from a state that recovery has made, and it stays only if what the store gives back is that state, byte for byte.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from callmarket.engine.core import Engine
from callmarket.engine.state import State
from callmarket.persistence.errors import Damaged, NoRoom
from callmarket.persistence.journal.protocol import Journal, first_seq
from callmarket.persistence.recovery import PassedOver, Replica, check_end, collector_off, rehearse
from callmarket.persistence.snapshots.store import Info, Snapshot, SnapshotStore, state_of

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """A snapshot that was written and read back, what was replayed for it, and what was passed over and forgotten."""

    info: Info
    rows: int
    seconds: float
    passed_over: tuple[PassedOver, ...]
    forgotten: tuple[Info, ...]

    def __str__(self) -> str:
        """One line, and one for each snapshot that was passed over."""
        line = (
            f"snapshot {self.info.name} of row {self.info.seq:,}: {self.info.image_bytes:,} bytes, "
            f"{self.info.stored_bytes:,} stored, {self.rows:,} rows replayed, read back, {self.seconds:.2f} s"
        )
        return "\n  ".join([line, *map(str, self.passed_over)])


class Follower:
    """Keeps an engine of its own behind the journal, so that each further snapshot costs only the rows since the last.

    The memory of a second engine, and of a third while a snapshot is read back.
    """

    def __init__(
        self, journal: Journal, store: SnapshotStore, keep: int, publish: Callable[[Info, float], None] | None = None
    ) -> None:
        """Follow this journal; nothing is read yet. A reader's is best: it could not write if it tried.

        `publish` is told of each proof: the snapshot whose state came back from the store as it was, and the seconds.
        """
        self._publish = publish
        self._journal = journal
        self._store = store
        self._keep = keep
        self._replica: Replica | None = None
        self._taken_seq = 0

    def take(self) -> Taken | None:
        """Follow to the end of the journal, prove the state, keep it, read it back. None if there is nothing new.

        Raises `Corrupt` or `Diverged` if the journal does not lead there, `Damaged` if the store gives back something
        else, `NoRoom` if no older one can give way, `Unavailable` if one of them cannot be reached; the next call then
        begins anew.
        """
        started = time.perf_counter()
        replica, self._replica = self._replica, None
        passed_over: tuple[PassedOver, ...] = ()
        if replica is None:
            recovered, replica = rehearse(self._journal, self._store)
            rows, passed_over = replica.rows, recovered.report.passed_over
        else:
            position, before = self._journal.position(), replica.rows
            replica.follow(self._journal, position.last_seq)
            check_end(replica.engine, replica.chain, position)
            rows = replica.rows - before
        taken = None
        if replica.chain.seq > self._taken_seq:
            with collector_off():
                info, gave_way = self._keep_and_prove(replica)
            forgotten = (*gave_way, *self._store.prune(self._keep, info, first_seq(self._journal)))
            taken = Taken(info, rows, time.perf_counter() - started, passed_over, forgotten)
            if self._publish is not None:
                self._publish(info, taken.seconds)
            self._taken_seq = info.seq
        self._replica = replica
        return taken

    def _keep_and_prove(self, replica: Replica) -> tuple[Info, list[Info]]:
        """Write the replica's state, and go on from what comes back. Also what has given way to it."""
        chain, state = replica.chain, replica.engine.state
        assert chain.digest is not None, "a replica knows the digest of its last row"
        image = state.encode()
        info, gave_way = self._write(Snapshot(chain.seq, state.at_us, chain.digest, image))
        try:
            replica.engine = Engine(_proved(info, self._store.read(info), image))
        except Damaged:
            self._store.delete(info)
            raise
        return info, gave_way

    def _write(self, snapshot: Snapshot) -> tuple[Info, list[Info]]:
        """Keep a snapshot; where there is no room the oldest give way, one after the other, while a good one stays.

        Raises `NoRoom` if that is not enough. There are as many attempts as snapshots, at most.
        """
        gave_way: list[Info] = []
        while True:
            try:
                return self._store.write(snapshot), gave_way
            except NoRoom as error:
                oldest = self._store.make_room(error.needed_bytes, first_seq(self._journal))
                if oldest is None:
                    raise
                logger.warning("%s: the oldest, of row %d, gives way", error, oldest.seq)
                gave_way.append(oldest)


def _proved(info: Info, back: bytes, image: bytes) -> State:
    """The state that came back, if it is the one that was written. Raises `Damaged`. O(state)."""
    if back != image:
        raise Damaged(f"snapshot {info.name} of row {info.seq} came back as another image")
    state = state_of(info, back)
    if state.encode() != image:
        raise Damaged(f"the image of the state after row {info.seq} does not restore that state")
    return state


def take(journal: Journal, store: SnapshotStore, keep: int) -> Taken | None:
    """Take one snapshot, from the newest that is good and the rows after it. Raises as `Follower.take`."""
    return Follower(journal, store, keep).take()
