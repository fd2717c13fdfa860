"""The composition root: from settings to a running exchange.

Rule of this file: it is the only place that wires. It decides nothing about the market and moves no bytes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from callmarket.bridge.api.clock import Clock, Declared, ManualClock, TimeSource, system_clock
from callmarket.bridge.api.errors import AccessDenied, Invalid, Unavailable
from callmarket.bridge.api.messages import Ack, check_ack
from callmarket.bridge.config import Config, from_environment, in_home, with_changes
from callmarket.bridge.feed.encoded import FeedRow
from callmarket.bridge.feed.source import Feed
from callmarket.bridge.ledger_export import keccak
from callmarket.bridge.market.counters import CommandCounters
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.market.leadership import LeaderSession, Parts
from callmarket.bridge.market.node import Node
from callmarket.bridge.market.sequencer import Sequencer
from callmarket.bridge.timekeeping.keeper import Timekeeper
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database import migrate
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.session import refuse_read_only
from callmarket.persistence.database.single_use import FILES_DAMAGED
from callmarket.persistence.embedded import default_home, ensure_database, ensure_server
from callmarket.persistence.journal.lease import epoch_of, this_process
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import RowWriter
from callmarket.persistence.leadership import market_time, register
from callmarket.persistence.leadership.failure_detection import living_leader
from callmarket.persistence.leadership.heartbeat import Heartbeat
from callmarket.persistence.leadership.standby import Standby, Takeover
from callmarket.persistence.loss.high_water import HighWater
from callmarket.persistence.loss.lost_rows import LostRow, save
from callmarket.persistence.recovery import recover
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import SnapshotStore
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.projector import Projector
from callmarket.persistence.tables.table_writer import PostgresTables, TableWriter
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.process.rows import WriterProcesses
from callmarket.persistence.writer.write_behind import WriteBehind


class Ways(NamedTuple):
    """How a market is written: of which database and shard, with which epoch."""

    to_journal: Callable[[str, int, int], RowWriter]
    to_tables: Callable[[str, int, int], TableWriter]


# The database of the private PostgreSQL in which the market lives.
DATABASE: Final = "callmarket"


def open_exchange(
    url: str | None = None,
    *,
    home: Path | None = None,
    clock: Clock = system_clock,
    shard_id: int | None = None,
    address: str | None = None,
    ack: Ack = "durable",
    takeover: bool = False,
    standby: bool = False,
    writer_process: bool = False,
) -> Exchange:
    """Open the market: start or find its PostgreSQL, bring the tables up to date, recover, and take over the writing.

    `url` is a PostgreSQL of yours; without it, and without `CALLMARKET_DATABASE_URL`, a private one is started in
    `home`. Recovery begins at the newest good snapshot and costs some 20 us for each command after it.

    While another process leads this shard, opening is refused. With `takeover=True` it opens all the same, and the
    other process is fenced off at its next write. With `standby=True` it returns at once, follows the journal with an
    engine of its own, and leads as soon as nobody else does; until then every verb raises `NotLeader`, which names
    the leader by the `address` that it has given.

    The machine's clock is compared with the database's, with the last leader's time and, from then on, with a clock
    that nobody sets. Where it is not plain what time it is, the market does not open, or takes nothing: `Unavailable`
    says what to do. `clock` replaces the machine's and is compared in the same way, unless it is a `ManualClock`, which
    makes a time of its own.

    With `writer_process=True` the journal is written by a process of its own. That is worth its 50 MB where other
    threads of this process are busy, as `callmarket serve` is; beside idle ones it costs a batch some 0.1 ms.

    Raises `Invalid` for a wrong setting, `Unavailable` if the database is not there or is led by another, and where the
    time is not plain, `AccessDenied` if its role lacks a right or it is a replica, which no second try mends; and of
    `persistence.errors`, because they need a person: `Corrupt` or `Diverged` if the history is not what it was,
    `SchemaError` if the tables are not those of this version, `Archived` if no snapshot is good and the rows to begin
    with are in an archive. Then nothing is written.
    """
    config = _settings(database_url=url, home=str(home) if home else None, shard_id=shard_id, address=address)
    return open_with(config, clock=clock, ack=ack, takeover=takeover, standby=standby, writer_process=writer_process)


def open_with(
    config: Config,
    *,
    clock: Clock = system_clock,
    ack: Ack = "durable",
    takeover: bool = False,
    standby: bool = False,
    writer_process: bool = False,
) -> Exchange:
    """`open_exchange` with settings that are there already."""
    insist_on_assertions()
    # At the start, and not when somebody is shown an address.
    keccak.check()
    check_ack(ack)
    if standby and takeover:
        raise Invalid("standby", standby, "False where takeover is True: who takes over does not wait")
    try:
        if standby:
            node = open_standby(config, clock, writer_process=writer_process)
        else:
            node = open_node(config, clock, takeover=takeover, writer_process=writer_process)
    except (psycopg.Error, persistence_errors.PersistenceError) as error:
        raise _unopened(error) from error
    return Exchange(node, ack=ack)


def ensure_schema(url: str | None = None, *, home: Path | None = None) -> list[str]:
    """Bring the tables of a database up to date, and return the names of the files that this applied.

    `open_exchange` does so by itself; this is for deployment, or for reading the tables, where no market is open. `url`
    and `home` are as there. Any number of processes may ask at once, and again: nothing. Raises `Invalid` for a wrong
    setting, `Unavailable` if the database is not there, `AccessDenied` if its role lacks a right,
    `persistence.errors.SchemaError` if the tables are not those of this version.
    """
    config = _settings(database_url=url, home=str(home) if home else None)
    try:
        with database_url(config) as resolved, connect(resolved, "callmarket schema") as connection:
            return migrate.ensure_schema(connection)
    except (psycopg.Error, persistence_errors.PersistenceError) as error:
        raise _unopened(error) from error


def _unopened(error: psycopg.Error | persistence_errors.PersistenceError) -> Exception:
    """What opening raises for this: the very error, where it needs a person."""
    match error:
        case persistence_errors.ReadOnly() | persistence_errors.AccessDenied():
            return AccessDenied(str(error))
        case psycopg.Error() | persistence_errors.Unavailable() | persistence_errors.Fenced():
            return Unavailable(str(error))
        case _:
            return error


def insist_on_assertions() -> None:
    """Refuse to run where broken invariants would go unnoticed. Raises `Unavailable`."""
    if not __debug__:
        raise Unavailable("python -O removes the assertions that guard the tokens: start without it")


def open_node(config: Config, clock: Clock, *, takeover: bool, writer_process: bool) -> Node:
    """A process that leads, from settings. Raises as `open_exchange`, in the words of persistence."""
    keeper = _keeper(config, clock)
    with ExitStack() as stack:
        url = stack.enter_context(database_url(config))
        with connect(url, "callmarket opening") as connection:
            refuse_read_only(connection)
            migrate.ensure_schema(connection)
            # Before the register is read: a process that begins to lead from here on is seen, or has raised it.
            seen_epoch = None if takeover else epoch_of(connection, config.shard_id)
            leader = None if takeover else living_leader(connection, config.shard_id)
            if leader is not None:
                raise persistence_errors.Unavailable(
                    f"shard {config.shard_id} is led by {leader}: close that one first, or stand by"
                )
            if keeper is not None:
                # Before anybody is fenced off: whose time may be wrong takes nobody's place.
                _insist_on_the_time(keeper, connection, config.shard_id)
        marks = stack.enter_context(closing(high_water(config)))
        _insist_on_history(url, config.shard_id, marks)
        ways = _ways_to_write(stack, writer_process=writer_process)
        heartbeat = Heartbeat(url, config.shard_id, address=address_of(config), lease_s=config.lease_s, watch=keeper)
        stack.callback(heartbeat.close)
        epoch = heartbeat.take(seen_epoch)
        if epoch is None:
            raise persistence_errors.Unavailable(
                f"shard {config.shard_id} is led by another, who has begun at this moment: close that one first, or "
                "stand by"
            )
        with (
            PostgresJournal(url, config.shard_id) as journal,
            snapshot_store(config, url) as snapshots,
        ):
            recovered = recover(journal, snapshots, epoch=epoch)
            marks.begin(journal.market_id(), recovered.position.last_seq, recovered.position.last_digest)
        time = keeper or Declared(clock)
        node = _node(config, url, time)
        node.lead(_session(config, url, time, Takeover(heartbeat, recovered), ways, marks))
        node.release_with(stack.pop_all())
        return node


def open_standby(config: Config, clock: Clock, *, writer_process: bool) -> Node:
    """A process that stands by, from settings. Raises as `open_exchange`, in the words of persistence."""
    with ExitStack() as stack:
        url = stack.enter_context(database_url(config))
        with connect(url, "callmarket opening") as connection:
            refuse_read_only(connection)
            migrate.ensure_schema(connection)
        marks = stack.enter_context(closing(high_water(config)))
        ways = _ways_to_write(stack, writer_process=writer_process)
        keeper = _keeper(config, clock)
        time = keeper or Declared(clock)
        node = _node(config, url, time)
        node.stand_by(
            Standby(
                url,
                config.shard_id,
                snapshot_store(config, url),
                address=address_of(config),
                lease_s=config.lease_s,
                high_water=marks,
                watch=keeper,
                on_lead=lambda takeover: node.lead(_session(config, url, time, takeover, ways, marks)),
                on_failed=node.fail,
            )
        )
        node.release_with(stack.pop_all())
        return node


def _settings(**changes: object) -> Config:
    """The settings of the environment, but for those that the caller names. Raises `Invalid`."""
    named = {field: value for field, value in changes.items() if value is not None}
    return with_changes(from_environment(os.environ), named)


def address_of(config: Config) -> str:
    """The way to this process, as others are told."""
    return config.address or this_process()


def _keeper(config: Config, clock: Clock) -> Timekeeper | None:
    """What compares this clock with others; None for one that makes a time of its own."""
    return None if isinstance(clock, ManualClock) else Timekeeper(config.clock_leap_s_max, clock)


def _insist_on_the_time(keeper: Timekeeper, connection: psycopg.Connection, shard_id: int) -> None:
    """Raises `Unavailable` if it is not plain what time it is, or if the market's stands in the future.

    And `Corrupt`, if the last row cannot be read.
    """
    asked_us = keeper.asking()
    try:
        view = market_time.look(connection, shard_id)
    except FILES_DAMAGED as error:
        raise persistence_errors.Corrupt(f"The server finds the files of its tables damaged: {error}") from error
    objection = keeper.objection(asked_us, view)
    if objection:
        raise persistence_errors.Unavailable(f"shard {shard_id}: {objection}")


def _node(config: Config, url: str, time: TimeSource) -> Node:
    return Node(
        url=url,
        shard_id=config.shard_id,
        open_snapshots=lambda: snapshot_store(config, url),
        time=time,
        ack_timeout_s=config.ack_timeout_s,
        counters=CommandCounters(),
        llm_tokens_per_token=config.llm_tokens_per_token,
        subsidy_tokens_max=config.subsidy_tokens_max,
    )


def _ways_to_write(stack: ExitStack, *, writer_process: bool) -> Ways:
    """How the market is written: from here, or by processes, of which one waits from now on for the next leader."""
    if not writer_process:
        return Ways(PostgresJournal, PostgresTables)
    processes = stack.enter_context(WriterProcesses())
    return Ways(processes.open, processes.open_tables)


def _insist_on_history(url: str, shard_id: int, marks: HighWater) -> None:
    """Raises `RowsLost` if the journal lacks what was acknowledged, before anybody is fenced off.

    And `Unavailable`, if a process that stands by says so.
    """
    with PostgresJournal(url, shard_id, reader=True) as journal:
        marks.insist_on(journal, journal.market_id())
    with connect(url, "callmarket opening", read_only=True) as connection:
        told = register.reported_loss(connection, shard_id)
    if told:
        raise persistence_errors.Unavailable(f"shard {shard_id}: {told}")


def high_water(config: Config) -> HighWater:
    """What this process keeps of what it has acknowledged; nothing is opened yet."""
    also = [in_home("snapshots_folder", config.snapshots_folder)] if config.snapshots_folder else []
    return HighWater(_marks_folder(config), config.shard_id, also)


def _marks_folder(config: Config) -> Path | None:
    """None where no folder is named, and the account has no home."""
    if config.marks_folder:
        return in_home("marks_folder", config.marks_folder)
    try:
        return (config.home_path or default_home()) / "marks"
    except persistence_errors.Unavailable:
        return None


def _session(
    config: Config,
    url: str,
    time: TimeSource,
    takeover: Takeover,
    ways: Ways,
    marks: HighWater,
) -> LeaderSession:
    """Start all parts of a leader's session."""
    heartbeat, recovered = takeover.heartbeat, takeover.recovered
    write_behind = WriteBehind(
        lambda: ways.to_journal(url, config.shard_id, heartbeat.epoch),
        recovered.position,
        Limits(queue_rows_max=config.queue_rows_max, outage_s_max=config.outage_limit_s),
        keep=marks.keep,
        name=str(config.shard_id),
    )
    projector = Projector(
        lambda: ways.to_tables(url, config.shard_id, heartbeat.epoch),
        recovered.position.last_seq,
        TableLimits(lag_rows_max=config.tables_lag_rows_max, lag_s_max=config.tables_lag_limit_s),
        name=str(config.shard_id),
    )
    sequencer = Sequencer(recovered.engine, recovered.position.last_digest, write_behind, time.stamp_us)
    feed = Feed(recovered.position.last_seq, lambda: PostgresJournal(url, config.shard_id, reader=True))

    def save_lost(rows: Sequence[FeedRow]) -> str:
        lost = [LostRow.of(row.entry, row.events) for row in rows]
        return save(marks.folder, marks.market_id, config.shard_id, lost)

    parts = Parts(sequencer, write_behind, projector, heartbeat, recovered.report, feed, save_lost)
    return LeaderSession(parts, config.ack_timeout_s)


def snapshot_store(config: Config, url: str) -> SnapshotStore:
    """Where the snapshots of this shard are; nothing is opened yet."""
    if config.snapshots_folder:
        return FolderSnapshots(in_home("snapshots_folder", config.snapshots_folder), config.shard_id)
    return PostgresSnapshots(url, config.shard_id)


@contextmanager
def database_url(config: Config) -> Iterator[str]:
    """The database of these settings: yours, or the private one, which runs at least as long as this context."""
    if config.database_url:
        try:
            conninfo_to_dict(config.database_url)
        except psycopg.ProgrammingError:
            # Its words would show the URL, and with it a password.
            raise Invalid("database_url", "(not shown)", "a URL as postgresql://user@host/database") from None
        yield config.database_url
        return
    server = ensure_server(config.home_path)
    try:
        ensure_database(server.url("postgres"), DATABASE)
        yield server.url(DATABASE)
    finally:
        server.release()
