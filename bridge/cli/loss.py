"""The commands about rows that were acknowledged and are lost: `accept-loss`, `replay-lost`.

Rule of this file: it checks before it changes anything, and the operator names what is changed: the first lost row, or
a file of lost rows that some process still had.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from callmarket.bridge.api.errors import Invalid, Unavailable
from callmarket.bridge.cli.database import CLI_NAME, market_database
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, config_of, show
from callmarket.bridge.config import Config
from callmarket.bridge.market.app import high_water, open_with, snapshot_store
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.market.replaying import Outcome, Replaying, counted
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.database.connections import connect
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.leadership import register
from callmarket.persistence.leadership.failure_detection import living_leader
from callmarket.persistence.loss import acceptance as losses
from callmarket.persistence.loss import lost_rows
from callmarket.persistence.loss.high_water import HighWater

_LEAD_S_MAX: Final = 60.0
_POLL_S: Final = 0.1


class LossView(Struct, frozen=True):
    """The acknowledged rows that a journal lacks. `first_lost_seq` is 0 if none are known to be lost.

    If its last row accepts a loss, `history_seq` is that row and `accepted_from_seq` the first lost one; else both
    are 0.
    """

    shard_id: int
    market_id: str
    last_seq: int
    first_lost_seq: int
    last_lost_seq: int
    accepted_from_seq: int
    history_seq: int
    leader: str
    files: tuple[str, ...]
    words: str


class Replayed(Struct, frozen=True):
    """What became of the rows of a file."""

    file: str
    first_seq: int
    last_seq: int
    rows: int
    endings: dict[str, int]
    told: tuple[Outcome, ...]
    """The rows that were refused or had another outcome."""


def accept_loss(
    first: Annotated[
        int, typer.Option("--from", min=0, max=SEQ_MAX, help="Accept the loss from this row on. Default: only show.")
    ] = 0,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show which acknowledged rows the journal lacks; or accept that they are lost, and let the history go on.

    A process can lead again after that. Every new row, bid and award has a number that no lost one had. If you can,
    bring the database back as it was instead. Exit code 1 if rows are lost and the loss is not accepted.
    """
    config = config_of(url)
    with market_database(config, writes=bool(first)) as resolved, closing(high_water(config)) as marks:
        found = _look(config, resolved, marks)
        # Idempotent, so that an operator who was interrupted may run it again.
        if first and first != found.accepted_from_seq:
            _accept(config, resolved, marks, found, first)
            found = _look(config, resolved, marks)
    show(found, as_json, lambda: _shown(found))
    if found.first_lost_seq:
        raise typer.Exit(EXIT_WRONG)


def replay_lost(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The file that a standby or a leader has written.")
    ],
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Execute the rows of a file of lost rows again, with their actors and ids, on the history without them.

    This process leads the market meanwhile: the leader is asked to hand over, and may lead again afterwards if it
    stands by. Idempotent. Exit code 1 if a row was refused or had another outcome; each such row is shown.
    """
    config = config_of(url)
    try:
        head, rows = lost_rows.read(file)
    except OSError as error:
        raise Invalid("file", str(file), f"a file that can be read ({error.strerror})") from None
    with market_database(config, writes=True), _leading(config) as market:
        with PostgresJournal(market.node.url, config.shard_id, reader=True) as journal:
            market_id = journal.market_id()
        if (head.market_id, head.shard_id) != (market_id, config.shard_id):
            whose = f"market {head.market_id}, shard {head.shard_id}"
            raise Invalid("file", str(file), f"rows of market {market_id}, shard {config.shard_id}, not of {whose}")
        outcomes = _replay(market, head.market_id, rows)
    told = tuple(one for one in outcomes if one.ending in ("refused", "differs"))
    endings = {str(ending): count for ending, count in counted(outcomes).items()}
    done = Replayed(str(file), head.first_seq, head.last_seq, len(rows), endings, told)
    show(done, as_json, lambda: _shown_replay(done))
    if told:
        raise typer.Exit(EXIT_WRONG)


def _look(config: Config, url: str, marks: HighWater) -> LossView:
    with PostgresJournal(url, config.shard_id, reader=True) as journal:
        found = losses.look(journal, marks)
    with connect(url, CLI_NAME, read_only=True) as connection:
        leader = register.look(connection, config.shard_id)
    folder, last_seq = marks.folder, found.position.last_seq
    accepted = found.accepted_after_seq
    return LossView(
        shard_id=config.shard_id,
        market_id=found.market_id,
        last_seq=last_seq,
        first_lost_seq=0 if found.loss is None else last_seq + 1,
        last_lost_seq=0 if found.loss is None else found.loss.lost_seq,
        accepted_from_seq=0 if accepted is None else accepted + 1,
        history_seq=0 if accepted is None else last_seq,
        leader=leader.address if leader is not None and leader.sign == "alive" else "",
        files=tuple(map(str, lost_rows.files(folder, found.market_id, config.shard_id))) if folder else (),
        words="" if found.loss is None else str(found.loss),
    )


def _accept(config: Config, url: str, marks: HighWater, found: LossView, first: int) -> None:
    if first != found.last_seq + 1:
        raise Invalid("from", first, f"{found.last_seq + 1}: the journal ends at row {found.last_seq}")
    with connect(url, CLI_NAME) as connection:
        leader = living_leader(connection, config.shard_id)
    if leader is not None:
        raise Unavailable(f"shard {config.shard_id} is led by {leader}, so its history goes on: close that one first")
    with PostgresJournal(url, config.shard_id) as journal, snapshot_store(config, url) as snapshots:
        losses.accept(journal, snapshots, marks, found.last_seq)


@contextmanager
def _leading(config: Config) -> Iterator[Exchange]:
    """The market, led by this process. It has an address of its own, as a server may run with the same settings."""
    config = msgspec.structs.replace(config, address=this_process())
    with open_with(config, standby=True) as market:
        deadline_s = time.monotonic() + _LEAD_S_MAX
        while not market.wait_until_leading(_POLL_S):
            reason = market.node.readiness().reason
            if time.monotonic() > deadline_s or market.node.sees_loss or market.role == "ended":
                raise Unavailable(f"this process cannot lead shard {config.shard_id}: {reason}")
            with connect(market.node.url, CLI_NAME) as connection:
                leader = register.look(connection, config.shard_id)
                # Only of that epoch: by now this process may be the leader.
                if leader is not None and leader.sign == "alive" and leader.address != config.address:
                    register.request_handover(connection, config.shard_id, leader.epoch)
        yield market


def _replay(market: Exchange, market_id: str, rows: list[lost_rows.LostRow]) -> list[Outcome]:
    replaying, outcomes = Replaying(market_id), []
    for row in rows:
        request = replaying.request(row)
        if request is None:
            outcomes.append(replaying.left_out(row))
            continue
        # `applied` is enough: closing the market waits until all are durable. If this process dies, it is run again.
        (reply,) = market.submit([request], ack="applied")
        outcomes.append(replaying.on_reply(row, reply))
    return outcomes


def _shown(row: LossView) -> RenderableType:
    lines = [f"shard {row.shard_id}: the journal ends at row {row.last_seq}"]
    if row.history_seq:
        lost = f"the loss of rows from {row.accepted_from_seq} on"
        lines.append(f"  {lost} is accepted: history goes on at row {row.history_seq}")
    elif row.words:
        lines.append(f"  {row.words}")
        lines.append(f"  to accept it: callmarket accept-loss --from {row.first_lost_seq}")
    else:
        lines.append("  it lacks no row that is known here to have been acknowledged")
    if row.leader:
        lines.append(f"  led by {row.leader}")
    lines += [f"  file of lost rows: {path}" for path in row.files]
    return Group(*map(Text, lines))


def _shown_replay(row: Replayed) -> RenderableType:
    said = ", ".join(f"{count} {ending}" for ending, count in row.endings.items() if count)
    lines = [f"rows {row.first_seq} to {row.last_seq}: {said}"]
    lines += [f"  row {one.lost_seq} ({one.command} by {one.actor}) {one.ending}: {one.what}" for one in row.told]
    return Group(*map(Text, lines))
