"""The whole run, some five minutes: `python3 dev.py load` (or `--quick`, to see that it works).

Rule of this file: it prints the table of benchmarks/README.md, and fails if anything acknowledged is not there.
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load import served
from benchmarks.load.client import Result
from benchmarks.load.stages import (
    BIDS_EACH,
    OVERLOAD_CONNECTIONS,
    Kind,
    Overload,
    Sizes,
    capacity,
    holding,
    open_run,
    overload,
    peak,
)
from benchmarks.load.starving import READS_PER_S, Felt, crowd, starving
from callmarket.persistence.embedded import ensure_database, ensure_server

QUICK = Sizes(rounds=1, burst_s=0.5, step_s=1.0, hold_s=1.0, overload_s=3.0, recovery_s=3.0)


def say(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)


def main() -> int:
    """Measure, print, audit."""
    parser = argparse.ArgumentParser(prog="load", description="Load on a served market: ceiling, capacity, overload.")
    parser.add_argument("--quick", action="store_true", help="a minute instead of five; its figures say little")
    parser.add_argument(
        "--only",
        choices=("overload", "starving"),
        help="that alone; `starving` is not among the rest, for it fills a market",
    )
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else Sizes()
    home = Path(tempfile.mkdtemp(prefix="callmarket-load-"))
    # PostgreSQL may run as another account than this one.
    home.chmod(0o711)
    try:
        with ensure_server(home) as server, ExitStack() as stack:
            ensure_database(server.url("postgres"), "load")
            if asked.only == "starving":
                return starve(server.url("load"), stack, sizes)
            return measure(server.url("load"), stack, sizes, only_overload=asked.only == "overload")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def starve(database_url: str, stack: ExitStack, sizes: Sizes) -> int:
    """What a bidder feels beside a key that reads."""
    market = stack.enter_context(served.market(database_url))
    keys = served.furnish(database_url, market)
    crowd(market, keys.staff, keys.bidding)
    say(f"a bidder beside a key that reads, {READS_PER_S:.0f} times a second; milliseconds, and reads a second")
    felt = starving(market, keys.reading, keys.bidding, sizes.hold_s, tell_felt)
    return 1 if any(one.refused for one in felt) else 0


def tell_felt(felt: Felt) -> None:
    """One line."""
    p50_ms, p99_ms, worst_ms = felt.p50_s * 1e3, felt.p99_s * 1e3, felt.worst_s * 1e3
    say(
        f"    {felt.name:15}  p50 {p50_ms:5.1f}  p99 {p99_ms:6.1f}  worst {worst_ms:6.1f}   "
        f"bids refused {felt.refused}; reads {felt.answered_per_s:.0f}, told to wait {felt.told_to_wait_per_s:.0f}"
    )


def measure(database_url: str, stack: ExitStack, sizes: Sizes, *, only_overload: bool) -> int:
    """All stages on one market."""
    run = open_run(database_url, stack)
    top = peak(run, sizes)
    say("64 connections that never pause, medians of rounds by turns, a second:")
    say(f"    bare ASGI, empty POST       {top.bare_per_s:8.0f}")
    say(f"    the framework, empty POST   {top.framework_per_s:8.0f}   (the ceiling)")
    say(f"    durable bids, one a request {top.bids_per_s:8.0f}   {top.bids_ratio:.2f} of the ceiling")
    say(f"    durable bids, in batches    {100 * top.batches_per_s:8.0f}")
    say(f"    (a bid costs the client {top.client_us:.0f} us of its processor)")
    kinds: tuple[tuple[Kind, float], ...] = (("bid", top.bids_per_s), ("batch", top.batches_per_s))
    if only_overload:
        kinds = kinds[:1]
    sustained: dict[str, float] = {}
    for kind, peak_per_s in kinds:
        say(f"{kind}: rates that rise until p99 passes its bound")
        sustained[kind] = capacity(run, kind, peak_per_s, sizes, say)
        say(f"{kind}: at shares of {sustained[kind] * BIDS_EACH[kind]:.0f} bids/s")
        for share, result in holding(run, kind, sustained[kind], sizes) if sustained[kind] else ():
            say(f"    {share:4.0%}  {latencies(result)}")
    if sustained["bid"]:
        tell_overload(overload(run, sustained["bid"], sizes), sizes)
    audit = run.audit()
    say(f"audit: {audit.acknowledged} bids acknowledged, {audit.missing} missing, {audit.twice} twice, ")
    say(f"       {run.not_durable} said to be placed and not said to be durable")
    return 0 if audit.acknowledged and not (audit.missing or audit.twice or run.not_durable) else 1


def latencies(result: Result) -> str:
    """Milliseconds from when a request was due."""
    p50_ms, p99_ms, worst_ms = (result.quantile_s(share) * 1e3 for share in (0.5, 0.99, 1.0))
    return f"p50 {p50_ms:.1f}  p99 {p99_ms:.1f}  worst {worst_ms:.1f} ms   {result.statuses}"


def tell_overload(seen: Overload, sizes: Sizes) -> None:
    """What twice the capacity did."""
    say(f"twice the capacity for {sizes.overload_s:.0f} s, {OVERLOAD_CONNECTIONS} connections; then half of it")
    say(f"    placed {seen.placed_per_s:.0f}/s (worst {seen.placed_worst_s:.2f} s), refused {seen.refused_per_s:.0f}/s")
    told = "all" if seen.told_when else "NOT all"
    say(f"    of the refusals {told} said when to come back; p99 {seen.refused_p99_s:.2f} s; lost {seen.unanswered}")
    say(f"    the client took {seen.result.processor_s / seen.result.elapsed_s:.2f} of a core for it")
    say(f"    {seen.result.statuses}; normal again {seen.recovered_s:.0f} s after it")
    say(
        f"    memory {seen.before_mb:.0f}, {seen.at_half_mb:.0f}, {seen.at_end_mb:.0f} MB: {seen.kb_per_bid:.2f} kB/bid"
    )


if __name__ == "__main__":
    sys.exit(main())
