"""Takes snapshots as fast as it can, there to be killed: `python -m tests.support.snapshot_process URL FOLDER`.

Rule of this file: each snapshot is taken as `callmarket snapshot` takes it, by turns in the database and in the folder;
it says `taking` before each.
"""

import sys
from pathlib import Path

from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.snapshot_follower import take
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots


def main() -> None:
    """Take snapshots until killed."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    journal = PostgresJournal(url, 0, reader=True)
    stores = (PostgresSnapshots(url, 0), FolderSnapshots(folder, 0))
    while True:
        for store in stores:
            sys.stdout.write("taking\n")
            sys.stdout.flush()
            take(journal, store, 2)


if __name__ == "__main__":
    main()
