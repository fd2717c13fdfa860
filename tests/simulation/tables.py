"""The SQL tables beside the journal, and those who bring them along: processes that are killed, hang on, and are two.

Rule of this file: which rows are next, from which mark on, and whose tables they are is decided by `TableSteps`, what
comes of a try by `Following`, and what a row does by `Changes`: the product's own. Here is what PostgreSQL does: mark
and rows in one transaction, at one moment, where mark and epoch are those that it was told.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import asdict

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import Diverged, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import Archive, Position, StoredRow
from callmarket.persistence.tables.following import Following
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.tables.rows import TABLES
from callmarket.persistence.tables.statements import changed_rows, new_rows
from callmarket.persistence.tables.table import Table
from callmarket.persistence.tables.table_writer import Progress, TablesDatabase, TableSteps, TableWriter
from tests.simulation.options import Options
from tests.simulation.store import Store, take_step
from tests.simulation.tables_auditor import Rows, TablesAuditor
from tests.simulation.world import Crashed, Escaped, Life, World

DOING = "bringing the tables along"


class Tables:
    """The tables and their mark, in the database of the journal."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.auditor = TablesAuditor(store.auditor)
        self.mark = 0
        self.rows: Rows = {table.name: {} for table in TABLES}
        # A row of the journal that nobody sees who reads it for the tables.
        self.hidden_seq = 0
        # What a crash may go back to: no disk is waited for, but with a commit of the journal all before it is on it.
        self._versions = [(0, self.rows)]
        store.on_commit.append(self._reach_the_disk)
        store.on_restart.append(self._go_back)

    def advance(self, life: Life, changes: Changes, after_seq: int, last_seq: int, epoch: int) -> bool:
        """What `transactions.advance` is promised: all of it, or nothing. Raises `Diverged`."""
        if not self.stands_at(after_seq) or not self.is_led_by(epoch):
            return False
        self.rows, self.mark = changed(self.rows, changes), last_seq
        self._versions.append((self.mark, self.rows))
        self.auditor.committed(life, epoch, after_seq, self.mark, self.rows)
        return True

    def stands_at(self, seq: int) -> bool:
        """Whether that is the mark: one half of the fence."""
        return self.mark == seq

    def is_led_by(self, epoch: int) -> bool:
        """Whether that is the epoch of who leads: the other half."""
        return self.store.database.position.epoch == epoch

    def look(self) -> None:
        """Let the auditor look at all of it."""
        self.auditor.look(self.mark, self.rows)

    def _reach_the_disk(self) -> None:
        self._versions = [(self.mark, self.rows)]

    def _go_back(self) -> None:
        mark, rows = self.store.world.rng.choice(self._versions)
        if mark != self.mark:
            self.store.world.occurred("tables went back in a crash")
            self.mark, self.rows = mark, rows
            self.auditor.went_back(mark, rows)
        self._versions = [(mark, rows)]


def changed(rows: Rows, changes: Changes) -> Rows:
    """The tables after these changes. Raises `Diverged` where a row is there twice, or not at all."""
    after = {name: dict(of_table) for name, of_table in rows.items()}
    for table, kind, changes_of in changed_rows(changes):
        columns = table.key_of(kind)
        for change in map(asdict, changes_of):
            assert list(columns) == list(table.key), f"{kind} names no row: it is of older rules"
            key = _key([change[column] for column in columns])
            if key not in after[table.name]:
                raise Diverged(f"{table.name} lacks {key}")
            row = dict(after[table.name][key])
            for column, value in change.items():
                if column in table.added:
                    row[column] += value
                elif value is not None or (column in table.of_status and change["status"] is not None):
                    row[column] = value
            after[table.name][key] = row
    for table, new in new_rows(changes):
        for row in map(asdict, new):
            key = _key([row[column] for column in table.key])
            if key not in after[table.name]:
                after[table.name][key] = row
            elif not table.replaces:
                raise Diverged(f"{table.name} has {key} already")
            else:
                after[table.name][key] = {**row, **_added(table, after[table.name][key], row)}
    return after


def _added(table: Table, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What of an old row stays where a new one has its key: where columns are added, all that no change sets."""
    if not table.added:
        return {}
    changing = {column for kind in table.changes for column in kind.__struct_fields__}
    kept = {column: value for column, value in old.items() if column not in changing or new[column] is None}
    return kept | {column: old[column] + new[column] for column in table.added}


def _key(names: Sequence[object]) -> object:
    return names[0] if len(names) == 1 else tuple(names)


class Session(TablesDatabase):
    """One connection of one process: at each step the process may die, and the connection may break."""

    def __init__(self, tables: Tables, life: Life) -> None:
        self.tables = tables
        self.store = tables.store
        self.life = life
        self._restarts = self.store.restarts

    def mark(self) -> int | None:
        """See `TablesDatabase.mark`."""
        self.step()
        return self.tables.mark

    def position(self) -> Position:
        """See `TablesDatabase.position`."""
        self.step()
        return self.store.database.position

    def chunk(self, after_seq: int, rows_max: int) -> Sequence[StoredRow]:
        """See `TablesDatabase.chunk`."""
        self.step()
        rows = [row for row in self.store.database.rows[after_seq:] if row.seq != self.tables.hidden_seq]
        return rows[:rows_max]

    def archives(self) -> Sequence[Archive]:
        """See `TablesDatabase.archives`."""
        self.step()
        return ()

    def advance(self, changes: Changes, after_seq: int, last_seq: int, epoch: int) -> bool:
        """See `TablesDatabase.advance`. Whoever is lost on the way may have been heard, or be heard later."""
        self.step()
        world, restarts, fate = self.store.world, self._restarts, self._fate()

        def carry_out() -> bool:
            if not self.store.up or self.store.restarts != restarts:
                raise Unavailable("the server has ended the connection")
            return self.tables.advance(self.life, changes, after_seq, last_seq, epoch)

        def carry_out_late() -> None:
            if self.store.up and self.store.restarts == restarts:
                self.tables.advance(self.life, changes, after_seq, last_seq, epoch)

        if fate == "lost before":
            raise Unavailable("the connection was lost before the commit")
        if fate == "late":
            world.after(world.between((1_000, 60_000)), "the late tables are carried out", carry_out_late)
            raise Unavailable("the connection was lost, the commit goes on")
        done = carry_out()
        self.step()
        if fate == "lost after":
            raise Unavailable("the connection was lost after the commit")
        return done

    def step(self) -> None:
        """One round trip."""
        take_step(self.store, self.life, DOING)
        if self.store.restarts != self._restarts:
            raise Unavailable("the server has ended the connection")

    def _fate(self) -> str:
        for fate in ("lost before", "lost after", "late"):
            if self.store.world.chance(self.store.options.fates.get(fate, 0)):
                self.store.world.occurred(f"tables {fate}")
                return fate
        return ""


class TablesProcess(TableWriter):
    """A process that brings the tables along: `PostgresTables`, but for the connection."""

    def __init__(self, tables: Tables, name: str, epoch: int) -> None:
        self.tables = tables
        self.life = Life(name)
        self.steps = TableSteps(0, epoch, tables.store.options.tables_batch_rows)
        self.session: Session | None = None

    def project(self) -> Progress:
        """See `TableWriter.project`. What kills the process is to its owner a line that breaks."""
        ended = Unavailable("the process that brings the tables along has ended")
        if not self.life.alive:
            raise ended
        try:
            self.session = self.session or Session(self.tables, self.life)
            return self.steps.project(self.session)
        except Crashed:
            raise ended from None
        except PersistenceError:
            # As a connection: what happened on it is unknown, so it is never used again.
            self.session = None
            raise
        except Exception as error:
            raise Escaped(error) from error

    def interrupt(self) -> None:
        """See `TableWriter.interrupt`. Nothing here hangs."""

    def close(self) -> None:
        """See `TableWriter.close`."""


class SimulatedProjector(Following):
    """What the thread of `Projector` does, in virtual time, for one time of leading."""

    def __init__(self, tables: Tables, life: Life, epoch: int, durable_seq: int) -> None:
        self.tables = tables
        self.life = life
        self.epoch = epoch
        self.world: World = tables.store.world
        self.process: TablesProcess | None = None
        self._processes = 0
        self._looks = 0
        self._has_work = True
        self._busy = False
        self._closed = False
        options: Options = tables.store.options
        super().__init__(self._open, durable_seq, options.table_limits, lambda: self.world.now_s)
        self._pause_s = 0.0
        self._look_in(0.0)

    def work_comes(self) -> None:
        """See `Following.work_comes`."""
        if not self._has_work:
            self._has_work = True
            self._look_in(self._pause_s)

    def somebody_waits(self) -> None:
        """See `Following.somebody_waits`."""
        if self._has_work:
            self._look_in(0.0)

    def on_told(self, seq: int, told: Callable[[PersistenceError | None], None]) -> None:
        """`on_projected`, in sight of the auditor."""

        def tell(failure: PersistenceError | None) -> None:
            if failure is None:
                try:
                    self.tables.auditor.told(seq)
                except AssertionError as error:
                    raise Escaped(error) from error
            told(failure)

        self.on_projected(seq, tell)

    def close(self) -> None:
        """Its node leads no longer, and lives. Again: nothing."""
        if not self._closed:
            self._closed = True
            if not self._busy:
                self.end()

    def kill_process(self) -> None:
        """Kill the process that it has at this moment."""
        if self.process is not None:
            self.process.life.alive = False

    def _open(self) -> TablesProcess:
        self._processes += 1
        self.process = TablesProcess(self.tables, f"tables {self._processes} of {self.life}", self.epoch)
        return self.process

    def _look_in(self, seconds: float) -> None:
        self._looks += 1
        look = self._looks
        self.world.after(round(seconds * 1_000_000), "", lambda: self._look(look))

    def _look(self, look: int) -> None:
        """Once of all that was asked for, and never within itself: a step lets others go on."""
        if look != self._looks or self._busy or self._closed or self.is_over or not self.life.alive:
            return
        self._has_work = False
        self._busy = True
        self._pause_s = self.step()
        self._busy = False
        if not self.life.alive:
            return
        if self.is_over:
            self.world.occurred("a projector found another leader")
        if self.is_over or self._closed:
            self.end()
        else:
            self._look_in(self._pause_s if self._has_work else self.limits.look_s)


def bring_level_beside(tables: Tables, number: int) -> None:
    """What `table_writer.bring_level` does, in the name of whoever leads: beside that one's own projector."""
    process = TablesProcess(tables, f"level {number}", tables.store.database.position.epoch)
    try:
        while process.project().more:
            pass
    except PersistenceError as error:
        tables.store.world.note(f"{process.life}: {error}")
    else:
        tables.store.world.occurred("tables brought level beside the leader")


def durable_rows(batch: Sequence[SealedRow], durable_seq: int) -> Sequence[SealedRow]:
    """Those of a batch that are durable by now."""
    return [row for row in batch if row.entry.seq <= durable_seq]
