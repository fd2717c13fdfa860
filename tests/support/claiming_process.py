"""A process that claims every task it can get, for a test of races: prints which it got, as JSON.

Rule of this file: it begins when it is told to (a line on its input), so that several begin together.
"""

import json
import sys

from callmarket.bridge.fleet.tasks.tables import WorkTables


def main(url: str, shard_id: int, worker_id: str, tasks: int) -> None:
    """Ask for each task by an award of this worker's own."""
    with WorkTables(url, shard_id) as work:
        work.claims(worker_id)
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        got = [n for n in range(tasks) if work.claim(f"t{n}", worker_id, "budget", reservation_id=1) is not None]
        print(json.dumps(got), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
