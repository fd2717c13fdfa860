"""Rebuilds the tables again and again, there to be killed: `python -m tests.support.rebuild_process URL`.

Rule of this file: each rebuild is that of `callmarket rebuild-projections`; it says `rebuilding` before each.
"""

import sys

from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.rebuild import rebuild


def main() -> None:
    """Rebuild until killed."""
    url = sys.argv[1]
    while True:
        sys.stdout.write("rebuilding\n")
        sys.stdout.flush()
        with PostgresJournal(url, 0, reader=True) as journal:
            rebuild(url, 0, journal)


if __name__ == "__main__":
    main()
