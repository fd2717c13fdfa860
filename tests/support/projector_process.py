"""Brings tables along, there to be killed: `python -m tests.support.projector_process URL BATCH_ROWS`.

Rule of this file: as whoever leads does, in batches of so many rows, one after the other; it says `projecting` once.
"""

import sys
import time

from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.table_writer import PostgresTables


def main() -> None:
    """Follow until killed."""
    url, batch_rows = sys.argv[1], int(sys.argv[2])
    with PostgresJournal(url, 0, reader=True) as journal:
        tables = PostgresTables(url, 0, journal.position().epoch, batch_rows_max=batch_rows)
    sys.stdout.write("projecting\n")
    sys.stdout.flush()
    while True:
        if not tables.project().more:
            time.sleep(0.001)


if __name__ == "__main__":
    main()
