"""A stream run by the engine and sealed row by row, as the journal keeps it.

Rule of this file: nothing here may depend on the process it runs in, so that what
`python -m tests.support.recording SEED SEEDS COUNT` prints is what every other process prints.
"""

import sys
from dataclasses import dataclass, field
from hashlib import sha256

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.core import Engine
from tests.support.streams import Stream, bounds
from tests.support.swarms import capital_swarm, lingering_swarm, small_swarm


@dataclass
class Recording:
    """The rows of one stream, the bounds that it ran under, and the state's bytes after each row."""

    bounds: dict[str, int]
    rows: list[SealedRow] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)

    def summary(self) -> str:
        """Return the last digest of the chain and a digest over all states."""
        return f"{self.rows[-1].digest.hex()} {sha256(b''.join(self.states)).hexdigest()}"


def record(seed: int, count: int) -> Recording:
    """Run `count` commands of a stream and keep everything."""
    stream = Stream(seed, choose_swarm=(small_swarm, lingering_swarm, capital_swarm)[seed % 3])
    engine = Engine()
    recording = Recording(stream.swarm.bounds)
    digest = GENESIS_DIGEST
    with bounds(stream.swarm.bounds):
        for _ in range(count):
            entry = stream.next_entry()
            row = seal(digest, entry, engine.apply(entry))
            stream.observe(entry, row.events)
            recording.rows.append(row)
            recording.states.append(engine.state.encode())
            digest = row.digest
    return recording


if __name__ == "__main__":
    first_seed, seeds, commands = (int(word) for word in sys.argv[1:])
    for one_seed in range(first_seed, first_seed + seeds):
        sys.stdout.write(record(one_seed, commands).summary() + "\n")
