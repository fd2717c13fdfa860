"""What a modest bidder feels while a key that may only read does its worst: `python3 dev.py load --only starving`.

A market as full as one gets (a thousand markets, 100,000 bids, 10,000 slots on offer) is asked each dear question, on
many connections by one key of the default rate, a thousand times a second whatever it is told. Beside it a bidder
places 20 bids a second, both in open loops. By turns with nobody beside it, in one run.
Rule of this file: that of `stages`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from benchmarks.load import served
from benchmarks.load.client import BIDDER, MARKET, Plan, Result
from benchmarks.load.served import Address

# As many as a client may have of a market that it only wants to hurt.
CONNECTIONS: Final = 64
BIDS_PER_S: Final = 20.0
# The default rate of a key.
READS_PER_S: Final = 1_000.0
CROWD: Final = MARKET.format(0)
MARKETS: Final = 980
BIDS: Final = 100_000
SLOTS: Final = 10_000
READS: Final[dict[str, str]] = {
    "nothing": "",
    "a wallet": f"/api/v1/wallets/{BIDDER.format(1)}",
    "a quote": f"/api/v1/markets/{CROWD}/quote?max_price_tokens=50000",
    "the book": f"/api/v1/markets/{CROWD}/order-book?limit=1000&depth=1000",
    "all markets": "/api/v1/markets",
    "slots on offer": f"/api/v1/markets/{CROWD}/slots?status=offered&limit=1000",
    "metrics": "/metrics",
    "wallets": "/api/v1/wallets?limit=1000",
    "bids": "/api/v1/bids?limit=1000",
    "a bidder's bids": f"/api/v1/bids?bidder_id={BIDDER.format(1)}&limit=1000",
    "statistics": f"/api/v1/markets/{CROWD}/stats?period_s=31622400",
    "candles": f"/api/v1/candles?market_id={CROWD}&period_s=31622400&interval_s=31622.4",
    "earnings": f"/api/v1/wallets/{BIDDER.format(1)}/earnings?limit=1000",
    "a statement": f"/api/v1/wallets/{BIDDER.format(1)}/statement?limit=1000",
}


@dataclass
class Felt:
    """What the bidder felt, and what the reader got."""

    name: str
    p50_s: float
    p99_s: float
    worst_s: float
    refused: int
    """Bids of the modest bidder that were not placed."""
    answered_per_s: float
    told_to_wait_per_s: float


def crowd(where: Address, admin_key: str, bidding_key: str) -> None:
    """Fill the first market, and open the others."""
    more = [("/api/v1/markets", f'{{"market_id":"other-{number}"}}') for number in range(MARKETS)]
    more += [
        (f"/api/v1/markets/{CROWD}/slots", f'{{"slot_id":"slot-{number}","reserve_price_tokens":0}}')
        for number in range(SLOTS)
    ]
    plan = Plan(
        host=where.host,
        port=where.port,
        kind="command",
        connections=16,
        count=len(more),
        key=admin_key,
        commands=tuple(more),
    )
    assert set(served.run_client(plan).statuses) <= {"200", "201"}
    plan = Plan(host=where.host, port=where.port, kind="batch", connections=4, count=BIDS // 100, key=bidding_key)
    assert set(served.run_client(plan).statuses) == {"200"}


def starving(
    where: Address, reading_key: str, bidding_key: str, lasting_s: float, say: Callable[[Felt], None]
) -> list[Felt]:
    """Each read in its turn, and nothing first and last."""
    felt = []
    first_task = 10 * BIDS
    for name, path in [*READS.items(), ("nothing", "")]:
        bids = Plan(
            host=where.host,
            port=where.port,
            kind="bid",
            connections=8,
            key=bidding_key,
            phases=((BIDS_PER_S, lasting_s),),
            first_task=first_task,
        )
        first_task += int(BIDS_PER_S * lasting_s)
        with ThreadPoolExecutor(2) as threads:
            reading = threads.submit(_read, where, reading_key, path, lasting_s) if path else None
            bidding = threads.submit(served.run_client, bids).result()
            felt.append(_felt(name, bidding, None if reading is None else reading.result()))
        say(felt[-1])
    return felt


def _read(where: Address, key: str, path: str, lasting_s: float) -> Result:
    plan = Plan(
        host=where.host,
        port=where.port,
        kind="read",
        connections=CONNECTIONS,
        key=key,
        commands=((path, ""),),
        phases=((READS_PER_S, lasting_s),),
    )
    return served.run_client(plan)


def _felt(name: str, bidding: Result, reading: Result | None) -> Felt:
    asked = sum(reading.statuses.values()) if reading else 0
    answered = len(reading.latencies_s) if reading else 0
    elapsed_s = reading.elapsed_s if reading else 1.0
    return Felt(
        name=name,
        p50_s=bidding.quantile_s(0.5),
        p99_s=bidding.quantile_s(0.99),
        worst_s=bidding.quantile_s(1.0),
        refused=sum(bidding.statuses.values()) - len(bidding.latencies_s),
        answered_per_s=answered / elapsed_s,
        told_to_wait_per_s=(asked - answered) / elapsed_s,
    )
