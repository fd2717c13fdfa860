"""The whole of it: `python3 dev.py bench`, or `python3 dev.py bench-quick`, which takes less than a minute.

Rule of this file: progress goes to stderr, the table to stdout, all figures to a JSON file and a drawing beside it.
"""

import argparse
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from benchmarks.table import campaign, machine, plot, redis_server, show
from benchmarks.table.campaign import Places, Plan
from benchmarks.table.catalogue import PEERS, Entry
from benchmarks.table.results import Results
from benchmarks.workload import SEED
from callmarket.persistence.embedded import ensure_database, ensure_server


def main() -> int:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(prog="dev.py bench", description="The market beside what else one might take.")
    parser.add_argument("--quick", action="store_true", help="10,000 and 100,000 bids and few rounds: below a minute")
    parser.add_argument("--resting", type=int, nargs="+", metavar="N", help="sizes of the book instead of the usual")
    parser.add_argument("--calls", type=int, nargs="+", metavar="K", help="slots of a call instead of the usual")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="peers whose names contain one of these; ours always")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the figures go: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="of the bids: %(default)s")
    asked = parser.parse_args()
    plan = campaign.QUICK if asked.quick else Plan()
    plan = Plan(
        resting=tuple(asked.resting or plan.resting),
        calls=tuple(asked.calls or plan.calls),
        batch=plan.batch,
        rounds=plan.rounds,
        rounds_of_batches=plan.rounds_of_batches,
    )
    fewest = 4 * max(plan.calls)
    if min(plan.resting) < fewest or min(plan.calls) < 1:
        parser.error(f"--resting, --calls: expected k >= 1, and {fewest:,} bids or more for the largest k; got {plan}")
    results = run(plan, asked.only or [""], asked.seed)
    results.save(asked.json)
    drawing = asked.json.with_suffix(".svg")
    plot.draw(results, drawing)
    sys.stdout.write(f"{show.heading(results)}\n{show.table(results)}\nFigures: {asked.json}, drawn: {drawing}\n")
    return 0


def run(plan: Plan, only: Sequence[str], seed: int) -> Results:
    """Everything, on a PostgreSQL of its own and, where there is one, a Redis."""
    began_s = time.monotonic()
    wanted = [entry for entry in PEERS if entry.name.startswith("ours") or any(word in entry.name for word in only)]
    entries = [entry for entry in wanted if not entry.absent()]
    before = machine.look()
    with _places(entries) as (places, postgres):
        compared = campaign.check(entries, places, secrets.randbits(32), say)
        figures, footprints, calls = campaign.measure(entries, places, plan, seed, say)
    return Results(
        machine=machine.named(),
        python=platform.python_version(),
        postgres=postgres,
        seed=seed,
        before=before,
        after=machine.look(),
        took_s=round(time.monotonic() - began_s, 1),
        calls_compared=compared + calls,
        lacks={entry.name: entry.lacks for entry in entries},
        absent={entry.name: why for entry in wanted if (why := entry.absent())},
        figures=figures,
        footprints=footprints,
    )


def say(line: str) -> None:
    """Progress, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def _places(entries: Sequence[Entry]) -> Iterator[tuple[Places, str]]:
    """Servers for those that need one, gone with their files after the block; and PostgreSQL's version."""
    home = Path(tempfile.mkdtemp(prefix="callmarket-bench-"))
    # PostgreSQL may run as another account than this one.
    home.chmod(0o711)
    try:
        with ensure_server(home / "postgres") as server, ExitStack() as stack:
            redis_url = ""
            if any(entry.needs == "redis" for entry in entries):
                folder = home / "redis"
                folder.mkdir()
                redis_url = stack.enter_context(redis_server.running(folder))

            def new_database(name: str) -> str:
                ensure_database(server.url("postgres"), name)
                return server.url(name)

            with psycopg.connect(server.url("postgres")) as connection:
                version = str(connection.info.parameter_status("server_version"))
            yield Places(new_database, redis_url), version
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
