"""Moves rows into an archive, there to be killed: `python -m tests.support.prune_process URL FOLDER ROWS`.

Rule of this file: it prunes as `callmarket prune` does, with so many rows in a file; it says `pruning` when the first
file is about to be written, and `pruned` at the end.
"""

import sys
from pathlib import Path

from callmarket.persistence.archive import prune
from callmarket.persistence.archive.journal import ArchivedJournal
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.snapshots.postgres import PostgresSnapshots


def main() -> None:
    """Prune once."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    prune.FILE_ROWS = int(sys.argv[3])  # type: ignore[misc]  # small files, so that a kill meets every step
    with (
        ArchivedJournal(PostgresJournal(url, 0, reader=True), folder, 0) as journal,
        PostgresSnapshots(url, 0) as snapshots,
    ):
        todo = prune.plan(journal, snapshots, 0)
        say("pruning")
        prune.carry_out(url, journal, snapshots, todo, folder, lambda _: None)
    say("pruned")


def say(word: str) -> None:
    """Tell the parent."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
