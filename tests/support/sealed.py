"""Sealed journal rows for tests: random streams that the engine has decided, and plain runs of bids.

Rule of this file: what comes out is what a sequencer would hand to persistence, from a seed.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.commands import ADMIN, Command, Entry, Mint, OpenAccount, OpenMarket, PlaceBid
from callmarket.engine.core import Engine
from callmarket.persistence.tables.projections import Changes
from tests.support.streams import Stream
from tests.support.swarms import Swarm, small_swarm

AT_US = 1_700_000_000_000_001


class Sealer:
    """An engine whose every command is stamped and sealed."""

    def __init__(self, engine: Engine | None = None, rows: Sequence[SealedRow] = ()) -> None:
        self.engine = engine or Engine()
        self.rows = list(rows)
        # Of the latest row. Whoever wants time to pass sets it.
        self.at_us = self.engine.state.at_us or AT_US

    def apply(self, entry: Entry) -> SealedRow:
        """Apply a stamped command and seal it."""
        digest = self.rows[-1].digest if self.rows else GENESIS_DIGEST
        row = seal(digest, entry, self.engine.apply(entry))
        self.rows.append(row)
        return row

    def do(self, actor: str, command: Command, command_id: str = "") -> SealedRow:
        """Stamp a command, a microsecond or so after the one before, and apply it."""
        self.at_us += 3
        return self.apply(Entry(len(self.rows) + 1, self.at_us, actor, command, command_id))


@dataclass(frozen=True)
class Story:
    """A random stream: its rows and the engine after it."""

    rows: list[SealedRow]
    engine: Engine


def story(seed: int, length: int, choose_swarm: Callable[[random.Random], Swarm] = small_swarm) -> Story:
    """Decide a random stream. Its bounds are the usual ones, so that nobody has to change them to decide it again."""
    stream, sealer = Stream(seed, choose_swarm=choose_swarm), Sealer()
    for _ in range(length):
        entry = stream.next_entry()
        stream.observe(entry, sealer.apply(entry).events)
    return Story(sealer.rows, sealer.engine)


def bids(count: int, bidders: int = 10) -> list[SealedRow]:
    """Rows that open a market and some accounts, and then place so many bids."""
    sealer = Sealer()
    sealer.do(ADMIN, OpenMarket("gpu"))
    for i in range(bidders):
        sealer.do(ADMIN, OpenAccount(f"agent{i}", "agent"))
        sealer.do(ADMIN, Mint(f"agent{i}", 10**9, "grant:first"))
    for i in range(count):
        bidder = f"agent{i % bidders}"
        sealer.do(bidder, PlaceBid("gpu", bidder, f"task{i}", 1 + i % 97, expected_value_microusd=i))
    return sealer.rows


def batches(
    rows: Sequence[SealedRow], seed: int, sizes: Sequence[int] = (1, 2, 3, 10, 50, 400)
) -> Iterator[list[SealedRow]]:
    """Cut rows into batches of random sizes."""
    rng, start = random.Random(seed), 0
    while start < len(rows):
        size = rng.choice(sizes)
        yield list(rows[start : start + size])
        start += size


def changes_of(rows: Sequence[SealedRow]) -> Changes:
    """What rows do to the tables, folded as one batch."""
    changes = Changes()
    for row in rows:
        changes.add(row.entry.seq, row.entry.at_us, row.events)
    return changes
