"""The database of the journal, as those who talk to it over a bad network see it.

Rule of this file: what is refused and what is kept is decided by `MemoryJournal`, which passes the same tests as
PostgreSQL. Here is only when a request arrives, whether it does, and whether its answer comes back: a batch is carried
out at one moment, whole or not at all, whoever still waits for it.
"""

from collections.abc import Callable, Generator, Sequence

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import PersistenceError, Unavailable
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import Journal, Position, StoredRow
from tests.simulation.auditor import Auditor
from tests.simulation.options import Options
from tests.simulation.world import Crashed, Life, World

Answer = Callable[[Position | PersistenceError | None], None]
"""Called at most once: with where the journal ends, with None for a batch that is in, or with what went wrong."""


class Store:
    """The one database. It may be away; a restart ends every connection."""

    def __init__(self, world: World, options: Options, auditor: Auditor) -> None:
        self.world = world
        self.options = options
        self.auditor = auditor
        self.database = MemoryDatabase()
        self.up = True
        self.restarts = 0
        self.leap_us = 0
        # For what else lies in this database: after each commit of the journal, and as it crashes.
        self.on_commit: list[Callable[[], None]] = []
        self.on_restart: list[Callable[[], None]] = []

    def clock(self) -> int:
        """The database's idea of the time."""
        return self.world.right_us + self.leap_us

    def go_away(self, for_us: int) -> None:
        """Be stopped for a while: what was under way and not yet carried out never will be."""
        self.restarts += 1
        restarts = self.restarts
        self.up = False
        for lose in self.on_restart:
            lose()

        def come_back() -> None:
            if self.restarts == restarts:
                self.up = True

        self.world.after(for_us, "the database is back", come_back)

    def request(self, life: Life, epoch: int, batch: Sequence[SealedRow] | None, answer: Answer) -> None:
        """Append a batch, or look where the journal ends; the answer comes later, or never."""
        world = self.world
        restarts, fate = self.restarts, self._fate(batch is not None)
        arrival_us, way_back_us = world.between(self.options.store_us), world.between(self.options.net_us)
        late_us = arrival_us + world.between((1_000, 60_000))

        def carry_out() -> Position | PersistenceError | None:
            if not self.up or self.restarts != restarts:
                return Unavailable("the database is away")
            return self._carry_out(life, epoch, batch)

        def arrive() -> None:
            outcome = carry_out()
            if fate == "lost after":
                outcome = Unavailable("the connection was lost after the commit")
            elif fate == "twice":
                world.after(late_us, "the doubled request is carried out", lambda: void(carry_out()))
            world.after(way_back_us, "", lambda: answer(self._through(outcome, restarts)))

        if fate == "lost before":
            world.after(arrival_us, "", lambda: answer(Unavailable("the connection was lost before the commit")))
        elif fate == "late":
            world.after(arrival_us, "", lambda: answer(Unavailable("the connection was lost, the request goes on")))
            world.after(late_us, "the late request is carried out", lambda: void(carry_out()))
        elif fate == "stalled":
            # Nobody answers; whether and when it is carried out has nothing to do with how long anybody waits.
            if world.chance(0.6):
                world.after(late_us, "the stalled request is carried out", lambda: void(carry_out()))
        else:
            world.after(arrival_us, "", arrive)

    def claim(self, life: Life) -> int:
        """Raise the epoch, at this moment."""
        epoch = MemoryJournal(self.database).claim()
        self.auditor.claimed(life, epoch)
        self._on_disk()
        return epoch

    def _on_disk(self) -> None:
        for reach in self.on_commit:
            reach()

    def _fate(self, writes: bool) -> str:
        for fate, chance in self.options.fates.items():
            if (writes or fate in ("lost before", "stalled")) and self.world.chance(chance):
                self.world.occurred(f"request {fate}")
                return fate
        return ""

    def _carry_out(
        self, life: Life, epoch: int, batch: Sequence[SealedRow] | None
    ) -> Position | PersistenceError | None:
        journal = MemoryJournal(self.database, epoch)
        if batch is None:
            return journal.position()
        try:
            journal.append(batch)
        except PersistenceError as error:
            self.world.occurred(f"the fence says {type(error).__name__}")
            return error
        self.auditor.committed(life, epoch, self.database.rows)
        self._on_disk()
        return None

    def _through(
        self, outcome: Position | PersistenceError | None, restarts: int
    ) -> Position | PersistenceError | None:
        if self.restarts != restarts and not isinstance(outcome, PersistenceError):
            self.world.occurred("restart before the answer")
            return Unavailable("the connection was lost in the restart")
        return outcome


class ProcessJournal(Journal):
    """The journal for code that waits: recovery, a standby, the follower that takes snapshots.

    While it waits others go on; at each step its process may die and the connection may break, before or after.
    """

    def __init__(self, store: Store, life: Life, reading: str) -> None:
        self.store = store
        self.life = life
        self.reading = reading
        self.epoch = 0

    def claim(self) -> int:
        """See `Journal.claim`."""
        self._step()
        self.epoch = self.store.claim(self.life)
        self._step()
        return self.epoch

    def claim_after(self, epoch: int) -> int | None:
        """Claim if that is still the epoch, as `lease.claim` does it. None if another was faster."""
        self._step()
        if self.store.database.position.epoch != epoch:
            self.store.world.occurred("another standby was faster")
            return None
        self.epoch = self.store.claim(self.life)
        self._step()
        return self.epoch

    def append(self, rows: Sequence[SealedRow]) -> None:
        """See `Journal.append`. Nobody who waits writes."""
        raise AssertionError("a reader writes")

    def scan(self, after_seq: int = 0) -> Generator[Sequence[StoredRow], None, None]:
        """See `Journal.scan`. Each chunk shows what is there when it is read."""
        while True:
            self._step()
            rows = self.store.database.rows[after_seq : after_seq + self.store.options.scan_rows]
            if not rows:
                return
            yield rows
            after_seq = rows[-1].seq

    def row_at(self, seq: int) -> StoredRow | None:
        """See `Journal.row_at`."""
        self._step()
        return MemoryJournal(self.store.database).row_at(seq)

    def position(self) -> Position:
        """See `Journal.position`."""
        self._step()
        return self.store.database.position

    def interrupt(self) -> None:
        """See `Journal.interrupt`. Nothing here hangs."""

    def close(self) -> None:
        """See `Journal.close`."""

    def _step(self) -> None:
        take_step(self.store, self.life, self.reading)


def take_step(store: Store, life: Life, doing: str) -> None:
    """One step of code that waits: time passes, and the process or the connection may not survive it."""
    world, options = store.world, store.options
    world.pause(life, world.between(options.step_us))
    if world.chance(options.crash_in_step):
        world.occurred(f"crash while {doing}")
        life.alive = False
        raise Crashed
    if not store.up or world.chance(options.failure_in_step):
        world.occurred(f"failure while {doing}")
        raise Unavailable("the database does not answer")


def void(_: object) -> None:
    """Nobody hears the answer."""
