"""Journals and snapshots as earlier versions wrote them, kept in `tests/golden/` for ever.

Rule of this file: it reads what is there, and writes only what is not. `python -m tests.support.golden` adds the
journal of the present rules and a state and a snapshot in the present format, where there is none; it changes no file.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    CancelOrder,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.codec import SealedRow
from callmarket.engine.commands import ADMIN, Command, ExpireDue, Mint, OpenAccount
from callmarket.engine.core import Engine
from callmarket.engine.image import FORMAT
from callmarket.engine.limits import RULES
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import Chain, Position, StoredRow
from callmarket.persistence.snapshots.store import Snapshot
from tests.support.samples import FULL_WORLD
from tests.support.script import play
from tests.support.sealed import Sealer, story
from tests.support.swarms import long_swarm

GOLDEN: Final = Path(__file__).parent.parent / "golden"
# A stream of this seed has every command of the auction in so few rows, and every event but that of a loss. Trading in
# artifacts follows: within the usual bounds a market decays after fifty trades and an hour, which no short stream has.
SEED: Final = 71279
ROWS: Final = 240
TRADES: Final = 60
# Rows follow a snapshot; there the state has something in every part but one.
SNAPSHOT_SEQ: Final = ROWS + TRADES + 16


def journal_file(rules: int) -> Path:
    """Where the journal of these rules is kept."""
    return GOLDEN / f"journal-rules-{rules}.jsonl"


def snapshot_file(image_format: int) -> Path:
    """Where the snapshot of this format is kept."""
    return GOLDEN / f"snapshot-format-{image_format}.json"


def state_file(image_format: int) -> Path:
    """Where the state of `samples.FULL_WORLD` in this format is kept, in lines of hexadecimal digits."""
    return GOLDEN / f"state-format-{image_format}.hex"


def golden_state(image_format: int) -> bytes:
    """The state of `samples.FULL_WORLD` in this format."""
    return bytes.fromhex("".join(state_file(image_format).read_text(encoding="ascii").split()))


def golden_journal(rules: int) -> list[StoredRow]:
    """The rows of the journal that was written under these rules."""
    return [_stored(json.loads(line)) for line in journal_file(rules).read_text(encoding="utf-8").splitlines()]


def golden_snapshot(image_format: int) -> Snapshot:
    """The snapshot that was taken in this format, of the journal of the rules that it names."""
    kept = json.loads(snapshot_file(image_format).read_text(encoding="utf-8"))
    image = bytes.fromhex("".join(kept["image"]))
    return Snapshot(kept["seq"], kept["at_us"], bytes.fromhex(kept["digest"]), image, kept["format"], kept["rules"])


def journal_of(rows: list[StoredRow]) -> MemoryJournal:
    """A journal in memory that has these rows, as they are."""
    database = MemoryDatabase()
    database.rows.extend(rows)
    database.position = Position(rows[-1].epoch, rows[-1].seq, rows[-1].digest)
    return MemoryJournal(database, rows[-1].epoch)


def _stored(row: dict[str, object]) -> StoredRow:
    """A row from its line. Command and events are kept as the text that they are, for every byte counts."""
    columns = {name: bytes.fromhex(str(value)) if name == "digest" else value for name, value in row.items()}
    for name in ("command_json", "events_json"):
        columns[name] = str(columns[name]).encode()
    return StoredRow(**columns)  # type: ignore[arg-type]


def _line(row: StoredRow) -> str:
    columns = row._asdict() | {
        "command_json": row.command_json.decode(),
        "events_json": row.events_json.decode(),
        "digest": row.digest.hex(),
    }
    return json.dumps(columns, ensure_ascii=False) + "\n"


def _write_journal() -> None:
    rows = [
        StoredRow(
            row.entry.seq,
            1,
            row.entry.at_us,
            row.entry.actor,
            row.entry.command_id,
            row.rules,
            row.command_json,
            row.events_json,
            row.digest,
        )
        for row in _rows()
    ]
    journal_file(RULES).write_text("".join(map(_line, rows)), encoding="utf-8")


def _rows() -> list[SealedRow]:
    """Every command and nearly every event, within the usual bounds."""
    told = story(SEED, ROWS, long_swarm)
    sealer = Sealer(told.engine, told.rows)
    for command in _trading(sealer):
        sealer.do(ADMIN, command)
    return sealer.rows


def _trading(sealer: Sealer) -> Iterator[Command]:
    """What happens to artifacts, with each event of theirs. The last rows come after the snapshot."""
    later_us = sealer.at_us + 10**13
    yield Mint(SUBSIDY_POOL, 1_000, "grant")
    for account_id in ("ann", "bob"):
        yield OpenAccount(account_id, "agent")
        yield Mint(account_id, 10_000, "grant")
    yield OpenArtifactMarket("x", 100, later_us, exposure_limit_ppm=MICRO, decay_ppm=2 * MICRO)
    yield OpenArtifactMarket("y", 50, later_us, exposure_limit_ppm=MICRO, dispute_window_us=10**6)
    yield OpenArtifactMarket("z", 20, sealer.at_us + 10**7, exposure_limit_ppm=MICRO)
    for number in range(TRADES):
        yield OpenPosition("x", "ann" if number % 2 else "bob", "long" if number % 3 else "short", 1 + number % 4)
    position = next(iter(sealer.engine.state.capital.positions))
    price = sealer.engine.state.capital.markets["x"].maker.price_micros
    yield OpenPosition("x", "bob", "long", 30, price - 50_000, "gtd", later_us)
    yield OpenPosition("x", "ann", "short", 40)
    yield OpenPosition("y", "bob", "long", 3, 300_000, "gtd", sealer.at_us + 10)
    yield OpenPosition("z", "ann", "long", 3)
    yield OpenPosition("z", "bob", "short", 3, 300_000, "gtd", later_us)
    # The snapshot stands among these: orders rest, and positions are open.
    for _ in range(3):
        yield CancelOrder(sealer.engine.state.capital.orders_placed)
        yield OpenPosition("z", "bob", "short", 3, 300_000, "gtd", later_us)
    yield ClosePosition(position)
    yield FreezeArtifact("y", sealer.at_us + 10**6)
    yield UnfreezeArtifact("y")
    sealer.at_us += 2 * 3600 * 10**6
    yield DecaySubsidy("x")
    yield ExpireDue()
    yield ExpireDue()
    yield SettleArtifact("x", "void")
    yield SettleArtifact("y", "flagged")


def _write_state() -> None:
    state_file(FORMAT).write_text("\n".join(_in_lines(play(FULL_WORLD).engine.state.encode())) + "\n", encoding="ascii")


def _in_lines(data: bytes) -> list[str]:
    text = data.hex()
    return [text[start : start + 100] for start in range(0, len(text), 100)]


def _write_snapshot() -> None:
    """Take the snapshot as recovery would, from the journal that is kept."""
    engine, chain = Engine(), Chain()
    for row in golden_journal(RULES)[:SNAPSHOT_SEQ]:
        engine.apply(chain.follow(row))
    assert chain.digest is not None
    kept = {
        "seq": chain.seq,
        "at_us": chain.at_us,
        "digest": chain.digest.hex(),
        "format": FORMAT,
        "rules": RULES,
        "image": _in_lines(engine.state.encode()),
    }
    snapshot_file(FORMAT).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for file, write in (
        (journal_file(RULES), _write_journal),
        (state_file(FORMAT), _write_state),
        (snapshot_file(FORMAT), _write_snapshot),
    ):
        if file.exists():
            sys.stdout.write(f"{file.name} is there, and stays as it is\n")
        else:
            write()
            sys.stdout.write(f"{file.name} is new: commit it, and never change it\n")
