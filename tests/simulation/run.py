"""One seed from the beginning to the end: first everything goes wrong and nothing may be lost, then all must heal.

Rule of this file: what happens to the world, and when it must have come to rest. Whether what happened was allowed is
for the auditor. A failure says the seed, what the seed chose, and the last steps before it.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from callmarket.engine.commands import ADMIN, OPERATOR, ClearRound, Command, ExpireDue, ReleaseHold
from callmarket.engine.events import SweepFinished
from callmarket.engine.reject import Reject
from callmarket.persistence.errors import Fenced, Unavailable
from callmarket.persistence.journal.memory import MemoryJournal
from callmarket.persistence.recovery import rehearse
from callmarket.persistence.snapshot_follower import take
from tests.simulation.auditor import Auditor
from tests.simulation.clients import Client
from tests.simulation.node import Node, Snapshotter
from tests.simulation.options import Options, choose_swarm, draw
from tests.simulation.shelf import ProcessSnapshots, Shelf
from tests.simulation.store import Store
from tests.simulation.tables import SimulatedProjector, Tables, bring_level_beside
from tests.simulation.world import Escaped, Life, World
from tests.support.streams import Stream, bounds

# Once nothing goes wrong any more, so much virtual time is enough for everything to be answered: some time-outs of each
# kind, one after the other.
HEAL_US_MAX = 20_000_000
CONTROL_EVERY_US = 5_000
SWEEPS_MAX = 2_000
CLOCK_JUMPS_US = (-2_000_000, -30_000, -1_000, 1_000, 30_000, 500_000)
# Each is taken back after a while.
CLOCK_LEAPS_US = (-86_400_000_000, -10_000_000, 10_000_000, 3_600_000_000, 400 * 86_400_000_000)
CLOCK_LEAPT_FOR_US = (500, 80_000)

T = TypeVar("T")


class SimulationFailed(AssertionError):
    """What broke, under which seed, after which steps."""


@dataclass(frozen=True)
class Result:
    """What a run was: two runs of one seed have the same digest."""

    seed: int
    digest: str
    rows: int
    commands: int
    counts: Counter[str]
    refusals: Counter[Reject]


def simulate(seed: int, change: Callable[[Options], Options] = lambda options: options) -> Result:
    """Run one seed. Raises `SimulationFailed`. Some 0.1 s."""
    rng = random.Random(seed)
    simulation = Simulation(rng, change(draw(rng)))
    logging.disable(logging.CRITICAL)
    try:
        with bounds(simulation.stream.swarm.bounds):
            simulation.run()
    except Escaped as escaped:
        raise SimulationFailed(_report(seed, simulation, escaped.error)) from escaped.error
    except Exception as error:
        raise SimulationFailed(_report(seed, simulation, error)) from error
    finally:
        logging.disable(logging.NOTSET)
    world, auditor = simulation.world, simulation.auditor
    commands = sum(client.done for client in simulation.clients)
    return Result(seed, world.digest(), len(auditor.rows), commands, world.counts, auditor.refusals)


def _report(seed: int, simulation: "Simulation", error: Exception) -> str:
    notes = "\n".join(f"  {note}" for note in simulation.world.notes)
    return (
        f"seed {seed}: {error!r}\n"
        f"repeat it with: python3 dev.py simulate --seed {seed}\n"
        f"options:\n{simulation.options}\n"
        f"market: {simulation.stream.swarm}\n"
        f"last steps (microseconds, what):\n{notes}"
    )


class Simulation:
    """All parts of one world, wired."""

    def __init__(self, rng: random.Random, options: Options) -> None:
        self.options = options
        self.world = World(rng)
        self.stream = Stream(rng.getrandbits(32), choose_swarm=choose_swarm)
        # From here on there is one source of chance.
        self.stream.rng = rng
        self.auditor = Auditor(self.world, self.stream.observe)
        self.store = Store(self.world, options, self.auditor)
        self.shelf = Shelf()
        self.tables = Tables(self.store)
        self.nodes = [
            Node(number, self.world, options, self.store, self.shelf, self.tables) for number in range(options.nodes)
        ]
        self.snapshotter = Snapshotter(self.world, options, self.store, self.shelf)
        self._levelled = 0
        self.clients = [
            Client(f"c{number}", self.world, options, self.nodes, self._work(), options.again_chance)
            for number in range(options.clients)
        ]

    def run(self) -> None:
        """Fault, heal, close, compare."""
        world = self.world
        for name, every_us in self.options.chaos_every_us.items():
            self._now_and_then(name, every_us)
        self._control()
        self._snapshot()
        for client in self.clients:
            client.begin()
        world.run_until(self.options.fault_us)
        world.note("the faults end")
        world.healing = True
        self.tables.hidden_seq = 0
        for node in self.nodes:
            node.skew_us = 0
        deadline_us = world.now_us + HEAL_US_MAX
        healed = world.run_until(deadline_us, lambda: all(client.idle for client in self.clients))
        assert healed, f"not answered in time: {[client.name for client in self.clients if not client.idle]}"
        self._close_the_market()
        self._come_to_rest()
        # Nobody asks any more, so that nothing tells that the tables have gone back.
        self.store.go_away(1_000)
        self._come_to_rest()
        self._compare()

    def _come_to_rest(self) -> None:
        rest = self.world.run_until(self.world.now_us + HEAL_US_MAX, self._rests)
        told = [(node.role, node.life.name, node.projector and node.projector.status()) for node in self.nodes]
        assert rest, f"no rest: {told}, the tables stand at {self.tables.mark} of {len(self.auditor.rows)}"

    # --- what clients ask --------------------------------------------------------------------------------------

    def _work(self) -> Callable[[], list[tuple[str, Command]]]:
        left = self.options.commands_per_client

        def next_commands() -> list[tuple[str, Command]]:
            nonlocal left
            count = min(left, self.world.rng.randint(1, self.options.requests_per_batch_max))
            left -= count
            commands = []
            for _ in range(count):
                self.stream.at_us = max(self.auditor.chain.at_us, self.world.right_us)
                entry = self.stream.next_entry()
                commands.append((entry.actor, entry.command))
            return commands

        return next_commands

    def _close_the_market(self) -> None:
        """Call, release what has no deadline, and sweep past all others until nothing is held: each hold has an end."""
        asks = self._last_commands()

        def next_commands() -> list[tuple[str, Command]]:
            return [ask] if (ask := next(asks, None)) else []

        closer = Client("closer", self.world, self.options, self.nodes, next_commands, 0)
        closer.begin()
        closed = self.world.run_until(self.world.now_us + SWEEPS_MAX * HEAL_US_MAX, lambda: closer.idle)
        assert closed, "the market does not close"
        accounts = self.auditor.engine.state.ledger.accounts.values()
        held = [account for account in accounts if account.held_tokens]
        assert not held, f"never released: {held}"

    def _last_commands(self) -> Iterator[tuple[str, Command]]:
        state = self.auditor.engine.state
        asked = 0
        for _ in range(3):
            for market_id in list(state.markets):
                yield OPERATOR, ClearRound(market_id)
            deadlines = [
                *(bid.ttl_at_us or 0 for bid in state.bids.values()),
                *(award.lease_until_us for award in state.awards.values()),
                *(hold.expires_at_us or 0 for hold in state.holds.open.values()),
            ]
            for hold in list(state.holds.open.values()):
                if hold.expires_at_us is None:
                    yield ADMIN, ReleaseHold(hold.hold_id, hold.account_id)
            self.world.passed_us += max(0, max([0, *deadlines]) + 1 - self.world.right_us)
            more = True
            while more:
                asked += 1
                assert asked < SWEEPS_MAX, "sweeps do not come to an end"
                yield OPERATOR, ExpireDue()
                # It was answered, so it is in the journal; a doubled request may stand behind it.
                swept = [event for row in self.auditor.rows[-5:] for event in row.events()]
                more = next((e.more_due for e in reversed(swept) if isinstance(e, SweepFinished)), True)

    # --- what happens of itself --------------------------------------------------------------------------------

    def _snapshot(self) -> None:
        self.snapshotter.take()
        self.world.after(self.options.snapshot_every_us, "", self._snapshot)

    def _control(self) -> None:
        """Whoever sees to it that somebody leads: slowly, and not always the right one."""
        world = self.world
        present = self.store.database.position.epoch
        leading = [node for node in self.nodes if node.role == "leading"]
        if world.healing:
            for node in leading:
                if node.epoch != present:
                    node.stop_writer(Fenced("somebody else leads"))
        writers = [node for node in self.nodes if node.role == "leading" and node.epoch == present]
        starting = [node for node in self.nodes if node.role == "starting"]
        if not writers and not starting:
            self._choose_a_leader()
        for node in self.nodes:
            if node.role == "down" and world.chance(0.3):
                node.start_following()
        world.after(max(CONTROL_EVERY_US, self.options.restart_us), "", self._control)

    def _choose_a_leader(self) -> None:
        ready = [node for node in self.nodes if node.role in ("down", "following")]
        if ready:
            node = self.world.rng.choice(ready)
            if node.be_promoted():
                self.world.occurred("a standby takes over")
            elif node.role == "down":
                node.start_leading()
            elif self.world.rng.random() < 0.5:
                node.crash()

    def _now_and_then(self, name: str, every_us: int) -> None:
        def happen() -> None:
            if self.world.healing:
                return
            if self._wreck(name):
                self.world.occurred(name)
            self.world.after(self.world.between((1, 2 * every_us)), "", happen)

        self.world.after(self.world.between((1, 2 * every_us)), "", happen)

    def _wreck(self, name: str) -> bool:
        """Do this to the world; False if there is nothing to do it to."""
        rng, leading = self.world.rng, [node for node in self.nodes if node.role == "leading"]
        match name:
            case "crash of a leader":
                return self._one(leading, Node.crash)
            case "crash of any node":
                return self._one([node for node in self.nodes if node.role != "down"], Node.crash)
            case "takeover beside a living leader":
                down = [node for node in self.nodes if node.role == "down"] if leading else []
                return self._one(down, Node.start_leading)
            case "takeover beside a recovery":
                starting = any(node.role == "starting" for node in self.nodes)
                down = [node for node in self.nodes if node.role == "down"] if starting else []
                return self._one(down, Node.start_leading)
            case "standby promoted":
                ready = [node for node in self.nodes if node.replica is not None] if leading else []
                return self._one(ready, lambda node: void(node.be_promoted()))
            case "node closed":
                return self._one(leading, Node.close)
            case "writer stopped from outside":
                return self._one(leading, lambda node: node.stop_writer(Unavailable("no heartbeat")))
            case "restart of the database":
                self.store.go_away(rng.randint(500, 10_000))
            case "outage of the database":
                self.store.go_away(self.options.outage_us)
            case "clock jumps":
                self.world.rng.choice(self.nodes).skew_us += rng.choice(CLOCK_JUMPS_US)
            case "clock leaps":
                return self._leap(rng.choice(self.nodes), beside=[self.store])
            case "clock of the database leaps":
                return self._leap(self.store, beside=self.nodes)
            case "client restarted":
                return self._one([client for client in self.clients if client.pending], Client.restart)
            case _:
                return self._wreck_what_is_stored(name, leading)
        return True

    def _leap(self, whose: Node | Store, beside: Sequence[Node | Store]) -> bool:
        """Let a clock be wrong for a while, but not together with those beside it.

        A machine and a database that have leapt by the same agree with each other, and who opens a market meanwhile has
        no third clock to ask.
        """
        if any(clock.leap_us for clock in beside):
            return False
        leap_us = self.world.rng.choice(CLOCK_LEAPS_US)
        whose.leap_us += leap_us

        def go_back() -> None:
            whose.leap_us -= leap_us

        self.world.after(self.world.between(CLOCK_LEAPT_FOR_US), "a clock is set right", go_back)
        return True

    def _wreck_what_is_stored(self, name: str, leading: list[Node]) -> bool:
        match name:
            case "tables process killed":
                projectors = [node.projector for node in leading if node.projector is not None]
                return self._one(projectors, SimulatedProjector.kill_process)
            case "tables brought level by another":
                self._levelled += 1
                bring_level_beside(self.tables, self._levelled)
            case "row hidden from the tables":
                return self._hide_a_row()
            case _:
                return self.shelf.damage(self.world, name)
        return True

    def _hide_a_row(self) -> bool:
        """Somebody has taken a row out of the journal, and puts it back after a while."""
        left = len(self.auditor.rows) - self.tables.mark
        if left < 2 or self.tables.hidden_seq:
            return False
        self.tables.hidden_seq = self.tables.mark + self.world.rng.randint(1, left - 1)

        def put_back() -> None:
            self.tables.hidden_seq = 0

        self.world.after(self.world.between((5_000, 50_000)), "the hidden row is back", put_back)
        return True

    def _one(self, among: list[T], act: Callable[[T], None]) -> bool:
        if among:
            act(self.world.rng.choice(among))
        return bool(among)

    # --- the end -----------------------------------------------------------------------------------------------

    def _rests(self) -> bool:
        leading = [node for node in self.nodes if node.role == "leading"]
        if len(leading) != 1 or any(node.role in ("starting", "closing") for node in self.nodes):
            return False
        outbox = leading[0].outbox
        assert outbox is not None
        if not self.store.up or self.tables.mark != len(self.auditor.rows):
            return False
        return outbox.queue_rows == 0 and leading[0].epoch == self.store.database.position.epoch

    def _compare(self) -> None:
        """The state of who leads, of deciding everything again, and of a snapshot are one."""
        self.world.stop()
        database, life = self.store.database, Life("final")
        self.auditor.look(database)
        self.tables.look()
        (leader,) = (node for node in self.nodes if node.role == "leading")
        assert leader.sequencer is not None
        state = leader.sequencer.read(lambda state: state.encode())
        assert state == self.auditor.engine.state.encode(), "the leader's state is not that of the journal"
        journal = MemoryJournal(database)
        again, _ = rehearse(journal)
        assert again.engine.state.encode() == state, "executed again, it is another state"
        snapshots = ProcessSnapshots(self.store, Shelf(), life, "the end")
        assert database.rows, "nothing happened"
        assert take(journal, snapshots, 1) is not None
        restored, _ = rehearse(journal, snapshots)
        assert restored.report.from_seq == len(database.rows), restored.report
        assert restored.engine.state.encode() == state, "restored from a snapshot, it is another state"
        self.world.note(f"the end: {len(database.rows)} rows, {database.position.last_digest.hex()}")


def void(_: object) -> None:
    """Nobody asks how it went."""
