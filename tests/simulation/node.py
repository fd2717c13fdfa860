"""One machine of the market: starts, leads, follows, dies and comes back with nothing but what the database has.

Rule of this file: the sequencer, the outbox, recovery and the replica are the real ones; here is what threads, sockets
and the composition root do around them. What a node promises to clients it first shows to the auditor.
"""

from collections.abc import Callable, Sequence

from callmarket.bridge.api import errors as api_errors
from callmarket.bridge.api.messages import Request
from callmarket.bridge.market import recall
from callmarket.bridge.market.sequencer import Applied, Sequencer, last_row
from callmarket.bridge.timekeeping.keeper import Timekeeper
from callmarket.engine.codec import SealedRow
from callmarket.engine.core import Engine
from callmarket.persistence.errors import Damaged, Fenced, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.leadership.market_time import View
from callmarket.persistence.leadership.takeover import take_over
from callmarket.persistence.queries import ReplyRow
from callmarket.persistence.recovery import Recovered, Replica, recover, rehearse
from callmarket.persistence.snapshot_follower import Follower
from callmarket.persistence.snapshots.store import SnapshotStore
from callmarket.persistence.writer.outbox import Outbox
from tests.simulation.auditor import BOUND_S
from tests.simulation.options import Options
from tests.simulation.shelf import ProcessSnapshots, Shelf
from tests.simulation.store import ProcessJournal, Store
from tests.simulation.tables import SimulatedProjector, Tables, durable_rows
from tests.simulation.world import Crashed, Life, World

FOLLOW_EVERY_US = 4_000
COMPARE_EVERY_US = 5_000
SETTLE_US = 12_000

Reply = Callable[[list[Applied] | str], None]
"""Called with what was done and is durable, or with why that is not known."""


def bring_back(journal: ProcessJournal, snapshots: SnapshotStore) -> Recovered:
    """Become the writer, as who opens a market does: claim first, then recover."""
    return recover(journal, snapshots, epoch=journal.claim())


class Queue(Outbox):
    """The outbox as the sequencer sees the background writer; nobody need be woken, for the node looks by itself."""

    def enqueue(self, *rows: SealedRow, wakes: bool = True) -> bool:
        """See `Outbox.enqueue`."""
        return super().enqueue(*rows)


class Node:
    """A machine. `role` is one of: down, starting, leading, closing, following."""

    def __init__(self, number: int, world: World, options: Options, store: Store, shelf: Shelf, tables: Tables) -> None:
        self.number = number
        self.world = world
        self.options = options
        self.store = store
        self.shelf = shelf
        self.tables = tables
        self.role = "down"
        self.skew_us = 0
        self.leap_us = 0
        self.lives = 0
        self.life = Life(f"node {number}")
        self.keeper = self._new_keeper()
        self.replica: Replica | None = None
        self.outbox: Outbox | None = None
        self.sequencer: Sequencer | None = None
        self.projector: SimulatedProjector | None = None
        # Batches of requests that were taken and of which nobody has heard yet.
        self.unanswered = 0
        self._asked = 0
        self._busy = False

    def clock(self) -> int:
        """This machine's idea of the time."""
        return self.world.right_us + self.skew_us + self.leap_us

    def steady(self) -> int:
        """For how long it has been up."""
        return self.world.now_us + self.world.passed_us

    def _new_keeper(self) -> Timekeeper:
        return Timekeeper(BOUND_S, self.clock, self.steady, machine="", settle_us=SETTLE_US)

    @property
    def epoch(self) -> int:
        """The epoch that it writes under."""
        assert self.outbox is not None
        return self.outbox.durable.epoch

    # --- living and dying --------------------------------------------------------------------------------------

    def crash(self) -> None:
        """Lose everything that is in memory, at this moment."""
        self.life.alive = False
        self._go_down("crashes")

    def start_leading(self) -> None:
        """Recover from the journal and lead, if all goes well."""
        life = self._begin("starting")

        def start() -> tuple[Engine, Position]:
            if objection := self._objection():
                raise Unavailable(objection)
            snapshots = ProcessSnapshots(self.store, self.shelf, life, "recovering")
            recovered = bring_back(ProcessJournal(self.store, life, "recovering"), snapshots)
            if recovered.report.from_seq:
                self.world.occurred("recovery from a snapshot")
            if recovered.report.passed_over:
                self.world.occurred("recovery passed over a snapshot")
            return recovered.engine, recovered.position

        self._start(life, start)

    def start_following(self) -> None:
        """Become a standby: recover without claiming, and follow."""
        life = self._begin("following")
        journal = ProcessJournal(self.store, life, "following")

        def follow() -> None:
            if not life.alive or self.role != "following":
                return
            # Not to be promoted while it is on its way.
            replica, self.replica = self.replica, None
            try:
                if replica is None:
                    snapshots = ProcessSnapshots(self.store, self.shelf, life, "following")
                    replica = rehearse(journal, snapshots)[1]
                else:
                    replica.follow(journal)
            except Crashed:
                self._died(life)
                return
            except Unavailable as error:
                self.world.note(f"{life} follows later: {error}")
            # Meanwhile it may have been promoted, from another state.
            if life.alive and self.role == "following":
                self.replica = replica
                self.world.after(FOLLOW_EVERY_US, "", follow)

        follow()

    def be_promoted(self) -> bool:
        """Lead with the engine that has followed, if there is one at this moment; say whether it leads."""
        if self.role == "following" and self._objection():
            return False
        replica, self.replica = self.replica, None
        if self.role != "following" or replica is None:
            return False
        self.role = "starting"
        self.world.note(f"{self.life} is promoted at {replica.chain.seq}")
        life = self.life

        # Nobody was seen to lead, or somebody is pushed aside who does: both happen.
        seen_epoch = self.store.database.position.epoch

        def start() -> tuple[Engine, Position]:
            journal = ProcessJournal(self.store, life, "taking over")
            position = take_over(journal, replica, seen_epoch, journal.claim_after)
            if position is None:
                raise Fenced("another was faster")
            return replica.engine, position

        self._start(life, start)
        return self.life is life and self.role == "leading"

    def close(self) -> None:
        """Take nothing more, write what waits, and go."""
        assert self.outbox is not None
        assert self.sequencer is not None
        self.sequencer.stop()
        self.role = "closing"
        self.outbox.close()
        self._pump()

    def stop_writer(self, failure: PersistenceError) -> None:
        """What `WriteBehind.stop` does: whoever learned from elsewhere that this writer's time is over."""
        assert self.outbox is not None
        self._tell(self.outbox.fail(failure))
        self._pump()

    def _begin(self, role: str) -> Life:
        assert self.role == "down", (self.life, self.role)
        self.lives += 1
        self.role = role
        self.keeper = self._new_keeper()
        self.replica = None
        self.life = Life(f"node {self.number}.{self.lives}")
        self.world.note(f"{self.life} is {role}")
        return self.life

    def _go_down(self, why: str) -> None:
        self.world.note(f"{self.life} {why}")
        self.role = "down"
        self.replica = self.outbox = self.sequencer = self.projector = None
        self.unanswered = 0
        self._busy = False

    def _died(self, life: Life) -> None:
        # Whoever killed it may have begun another life since.
        if self.life is life and self.role != "down":
            self._go_down("is dead")

    def _start(self, life: Life, start: Callable[[], tuple[Engine, Position]]) -> None:
        try:
            engine, position = start()
        except Crashed:
            self._died(life)
            return
        except (Unavailable, Fenced) as error:
            life.alive = False
            self._go_down(f"did not come back: {error}")
            return
        self.store.auditor.started(life, engine, position, self.store.database)
        self.outbox = Queue(position, self.options.limits)
        # The outbox is to the sequencer what the background writer is: room, and a queue.
        self.sequencer = Sequencer(engine, position.last_digest, self.outbox, self.keeper.stamp_us)  # type: ignore[arg-type]
        self.projector = SimulatedProjector(self.tables, life, position.epoch, position.last_seq)
        self.role = "leading"
        self.world.note(f"{life} leads after {position.last_seq} under epoch {position.epoch}")
        self._watch(life)
        self._compare_clocks(life)

    # --- what time it is ---------------------------------------------------------------------------------------

    def _objection(self) -> str:
        """Why it must not lead, by what its clock and the database say."""
        if not self.store.up:
            return "the database is unavailable"
        rows = self.store.database.rows
        view = View(self.store.clock(), rows[-1].at_us if rows else 0, holding=False, evidence=None, word=None)
        objection = self.keeper.objection(self.steady(), view)
        if objection:
            self.world.occurred("a clock kept a node from leading")
        return objection

    def _compare_clocks(self, life: Life) -> None:
        """What the heartbeat does for a leader."""
        if not life.alive or self.life is not life:
            return
        if self.store.up:
            self.keeper.on_database_time(self.steady(), self.store.clock())
        else:
            self.keeper.on_no_answer()
        self.world.after(COMPARE_EVERY_US, "", lambda: self._compare_clocks(life))

    # --- requests of clients -----------------------------------------------------------------------------------

    def receive(self, requests: Sequence[Request], reply: Reply) -> None:
        """Apply some requests, and reply when they are durable."""
        sequencer, outbox, life = self.sequencer, self.outbox, self.life
        if self.role != "leading" or sequencer is None or outbox is None:
            reply(f"{life} is {self.role}")
            return
        projector = self.projector
        assert projector is not None
        if behind := projector.congestion():
            self.world.occurred("the tables are too far behind")
            reply(f"unavailable: {behind}")
            return
        try:
            applied = sequencer.submit(requests)
        except (api_errors.Unavailable, PersistenceError) as error:
            if "queue is full" in str(error):
                self.world.occurred("queue full")
            if self.keeper.fault:
                self.world.occurred("nothing is taken by a clock that leapt")
            reply(f"unavailable: {error}")
            return

        self.unanswered += 1

        def finish(failure: PersistenceError | None) -> None:
            assert life.alive, f"{life} speaks after its death"
            self.unanswered -= 1
            if failure is not None:
                self.world.occurred("outcome unknown to a client")
                reply(f"unknown outcome: {failure}")
                return
            told = self._told_again(requests, applied)
            for request, one in zip(requests, told, strict=True):
                self.store.auditor.acknowledge(self.store.database, request, one)
            if self.world.chance(self.options.projected_chance):
                self._tell_projected(projector, told, reply)
            else:
                reply(told)

        self._tell(outbox.on_durable(last_row(applied), finish))
        self._pump()

    def _tell_projected(self, projector: SimulatedProjector, told: list[Applied], reply: Reply) -> None:
        """Reply when the tables have it too: `ack="projected"`."""

        def finish(failure: PersistenceError | None) -> None:
            if failure is None:
                self.world.occurred("reply when the tables have it")
            reply(told if failure is None else f"unknown outcome: {failure}")

        try:
            projector.on_told(last_row(told), finish)
        except Unavailable as error:
            self.world.occurred("too many wait for the tables")
            reply(f"unknown outcome: {error}")

    def _told_again(self, requests: Sequence[Request], applied: list[Applied]) -> list[Applied]:
        """The same, with what only the journal knows."""
        seqs = recall.known_by_row(applied)
        if not seqs:
            return applied
        self.world.counts["retry answered from the journal"] += len(seqs)
        rows = [self.store.database.rows[seq - 1] for seq in seqs]
        return recall.told_again(
            requests, applied, {row.seq: ReplyRow(row.seq, row.at_us, row.events()) for row in rows}
        )

    # --- the background writer, without its threads ------------------------------------------------------------

    def _tell(self, due: Sequence[tuple[Callable[[PersistenceError | None], None], PersistenceError | None]]) -> None:
        for callback, failure in due:
            callback(failure)

    def _pump(self) -> None:
        """Do the outbox's next step, unless one is under way."""
        outbox, life, world = self.outbox, self.life, self.world
        if outbox is None or self._busy:
            return
        step = outbox.next_step(world.now_s)
        if step == "idle":
            return
        if step == "stop":
            if outbox.failure is not None:
                self.store.auditor.writer_failed(life, self.epoch, outbox.failure)
                fenced = isinstance(outbox.failure, Fenced)
                world.occurred("a writer was fenced off" if fenced else "a writer gave up or was stopped")
            else:
                world.occurred("a writer was drained")
            assert self.unanswered == 0, f"{life} leaves {self.unanswered} without a word"
            assert self.projector is not None
            self.projector.close()
            life.alive = False
            self._go_down(f"stops writing: {outbox.failure}")
            return
        self._busy = True
        if step == "wait":
            wait_us = round(outbox.wait_s(world.now_s) * 1_000_000) + 1
            world.after(wait_us, "", lambda: self._go_on(life))
            return
        self._asked += 1
        asked = self._asked
        world.note(f"{life}: {step} {outbox.batch[0].entry.seq} to {outbox.batch[-1].entry.seq}")
        batch = outbox.batch if step == "send" else None

        def answer(outcome: Position | PersistenceError | None) -> None:
            if life.alive and self._busy and self._asked == asked:
                self._answered(life, outcome)

        self.store.request(life, self.epoch, batch, answer)

    def _go_on(self, life: Life) -> None:
        if life.alive:
            self._busy = False
            self._pump()

    def _answered(self, life: Life, outcome: Position | PersistenceError | None) -> None:
        """Say how the step ended, tell whoever is due, and go on."""
        outbox = self.outbox
        assert outbox is not None
        self._asked += 1
        self._busy = False
        before, batch = outbox.durable, outbox.batch
        if isinstance(outcome, PersistenceError):
            self.world.note(f"{life}: {outcome}")
            due = outbox.refused(outcome, self.world.now_s)
            if "unavailable for more than" in outbox.last_error:
                self.world.occurred("an outage was too long")
        elif isinstance(outcome, Position):
            due = outbox.on_position(outcome)
            if outbox.durable != before:
                self.world.occurred("a batch in doubt was found")
        else:
            due = outbox.on_sent()
        self.store.auditor.watermark(life, before, outbox.durable, self.store.database)
        if durable := durable_rows(batch, outbox.durable.last_seq):
            assert self.projector is not None
            self.projector.durable(durable)
        self._tell(due)
        self._pump()

    def _watch(self, life: Life) -> None:
        """The second thread: cut what hangs."""
        if not life.alive or self.outbox is None:
            return
        if self._busy and self.outbox.hangs(self.world.now_s):
            self.world.occurred("an attempt that hung was cut")
            self._answered(life, Unavailable("the connection was cut"))
        every_us = round(self.options.limits.attempt_s_max * 1_000_000 / 4)
        self.world.after(every_us, "", lambda: self._watch(life))


class Snapshotter:
    """The process beside the engine that takes snapshots."""

    def __init__(self, world: World, options: Options, store: Store, shelf: Shelf) -> None:
        self.world = world
        self.options = options
        self.store = store
        self.shelf = shelf
        self.lives = 0
        self.life = Life("snapshotter")
        self.follower: Follower | None = None
        self.busy = False

    def take(self) -> None:
        """Take one, if there is something new."""
        if self.busy:
            return
        if self.follower is None:
            self.lives += 1
            life = self.life = Life(f"snapshotter {self.lives}")
            doing = "taking a snapshot"
            self.follower = Follower(
                ProcessJournal(self.store, life, doing),
                ProcessSnapshots(self.store, self.shelf, life, doing),
                self.options.snapshots_kept,
            )
        self.busy = True
        try:
            taken = self.follower.take()
            if taken is not None:
                self.world.occurred("snapshot taken")
        except Crashed:
            self.follower = None
        except (Unavailable, Damaged) as error:
            self.world.note(f"no snapshot: {error}")
        finally:
            self.busy = False
