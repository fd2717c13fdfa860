"""The table of the market beside others: its figures are of what they say, and it does not rot.

Goal: no peer is measured doing less than it should. Method: every peer that is here does a random script and is
compared with a book as plain as can be; peers that cheat are found; and the whole program runs at a tiny size.
"""

import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.table import redis_server, results, show
from benchmarks.table.campaign import QUICK, Comparison, Disagreement, Plan
from benchmarks.table.catalogue import ENGINE, PEERS, Entry
from benchmarks.table.driver import Driver, Kind
from benchmarks.table.lists import Heap
from benchmarks.table.peer import Bid, Call, Called, InProcess, Peer, Step
from benchmarks.table.worker import Failed, Worker

ROOT = Path(__file__).parents[2]
SIZE = 300
# Ten prices, so that many bids have the same one and the order of time decides.
PRICE_STEP_TOKENS = 10_000


class Plain(InProcess):
    """A book as plain as can be: everything is sorted whenever it is called."""

    def __init__(self) -> None:
        self.bids: list[Bid] = []

    def fill(self, bids: Iterable[Bid]) -> None:
        self.bids += bids

    def place(self, bid: Bid) -> Step:
        return lambda: self.bids.append(bid)

    def place_all(self, bids: Sequence[Bid]) -> Step:
        return lambda: self.bids.extend(bids)

    def cancel(self, number: int) -> Step:
        (bid,) = (bid for bid in self.bids if bid.number == number)
        return lambda: self.bids.remove(bid)

    def call(self, k: int) -> Call:
        def run() -> Called:
            self.bids.sort(key=lambda bid: (-bid.price_tokens, bid.number))
            won, self.bids = self.bids[:k], self.bids[k:]
            return Called(tuple(bid.number for bid in won), self.bids[0].price_tokens)

        return Call(run, lambda called: called)

    def resting(self) -> int:
        return len(self.bids)


def script(seed: int) -> list[tuple[Kind, int, int]]:
    """Some of everything, in any order; each that stands once for sure comes first."""
    draw = random.Random(seed)
    kinds: list[Kind] = ["place", "batch", "cancel", "call", *draw.choices(("place", "batch", "cancel", "call"), k=8)]
    return [(kind, draw.randint(1, 12) if kind in ("batch", "call") else 1, draw.randint(1, 2)) for kind in kinds]


def outcomes(peer: Peer, seed: int) -> list[Called]:
    """What all calls of the script have sold."""
    driver = Driver(peer, seed, PRICE_STEP_TOKENS)
    driver.fill(SIZE)
    called = []
    for kind, size, times in script(seed):
        called += driver.turn(kind, size, times).called
        called += driver.level()
    driver.check()
    return called


@contextmanager
def place_of(entry: Entry, database_url: str) -> Iterator[str]:
    if entry.needs != "redis":
        yield database_url
        return
    # The path of a socket is short, and that of a test's own folder may not be.
    with tempfile.TemporaryDirectory() as folder, redis_server.running(Path(folder)) as url:
        yield url


@pytest.mark.parametrize("entry", PEERS, ids=lambda entry: entry.name)
def test_every_peer_sells_what_a_plain_book_sells(entry: Entry, empty_database_url: str, seed: int) -> None:
    if entry.absent():
        pytest.skip(entry.absent())
    expected = outcomes(Plain(), seed)
    with place_of(entry, empty_database_url) as where:
        peer = entry.open(where)
        try:
            found = outcomes(peer, seed)
        finally:
            peer.close()
    assert [one.numbers for one in found] == [one.numbers for one in expected]
    says_prices = "price" not in entry.lacks
    assert [one.price_tokens for one in found] == [one.price_tokens if says_prices else None for one in expected]


class Forgetful(Heap):
    """It says that it places bids."""

    def place(self, bid: Bid) -> Step:
        return lambda: None


class Idle(Heap):
    """It sells fewer than it is asked to."""

    def call(self, k: int) -> Call:
        return super().call(k - 1)


def test_a_peer_that_places_nothing_is_found(seed: int) -> None:
    driver = Driver(Forgetful(), seed)
    driver.fill(SIZE)
    driver.turn("place", 1, 3)
    with pytest.raises(AssertionError, match=f"{SIZE} rest, expected {SIZE + 3}"):
        driver.level()


def test_a_peer_that_sells_fewer_is_found(seed: int) -> None:
    driver = Driver(Idle(), seed)
    driver.fill(SIZE)
    with pytest.raises(AssertionError, match="Called"):
        driver.turn("call", 5, 1)


def test_peers_that_sell_different_bids_end_the_run() -> None:
    heap, sql = (
        next(one for one in PEERS if one.adapter == "Heap"),
        next(one for one in PEERS if one.adapter == "JobQueue"),
    )
    ours = Called((3, 1), 700)
    comparison = Comparison()
    comparison.of([(ENGINE, [ours]), (heap, [ours]), (sql, [Called((3, 1), None)])])
    assert comparison.calls == 2
    for theirs in (Called((1, 3), 700), Called((3, 1), 699), Called((3, 2), None)):
        with pytest.raises(Disagreement, match="heapq"):
            comparison.of([(ENGINE, [ours]), (heap, [theirs])])


def test_what_goes_wrong_in_a_worker_is_told() -> None:
    worker = Worker(Entry("broken", "lists", "NoSuchThing"), "", 1)
    try:
        with pytest.raises(Failed, match=r"(?s)broken: .*NoSuchThing"):
            worker.fill(SIZE)
    finally:
        worker.close()


def test_a_package_that_is_missing_is_told() -> None:
    assert (
        Entry("x", "lists", "Heap", package="no_such_package").absent()
        == "the package no_such_package is not installed"
    )
    assert Entry("x", "lists", "Heap", package="pytest").absent() == ""


def test_quantiles_are_those_that_were_measured() -> None:
    some = results.figure("x", "call", 5, 10_000, [1_000 * number for number in range(200, 0, -1)])
    assert (some.times, some.p50_us, some.p99_us, some.worst_us) == (200, 100.0, 198.0, 200.0)
    one = results.figure("x", "batch", 500, 10_000, [1_000_000])
    assert (one.p50_us, one.p99_us, one.worst_us) == (2.0, 2.0, 2.0), "a batch's share of a bid"
    assert [show.short(us) for us in (0.5312, 5.432, 54.32, 543.2, 5_432.1)] == ["0.53", "5.4", "54", "543", "5,430"]


@pytest.mark.parametrize("plan", [Plan(), QUICK])
def test_no_plan_sells_more_than_has_rested(plan: Plan) -> None:
    for resting in plan.resting:
        for kind, size, times, turns in plan.steps(resting):
            assert times > 0 and turns > 0
            # The cheapest twentieth is what cancels take.
            assert kind != "cancel" or times * turns <= resting // 50
            assert kind != "call" or times * turns * size <= resting // 2


@pytest.mark.timeout(300)
def test_the_whole_table_at_a_tiny_size(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    command = [sys.executable, "-m", "benchmarks.table", "--quick", "--json", str(path)]
    sizes = ["--resting", "200", "--calls", "1", "5", "20"]
    ended = subprocess.run([*command, *sizes], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    rows = dict[str, set[str]]()
    title = ""
    for line in ended.stdout.splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if bold := re.fullmatch(r"\*\*(.+)\*\*", cells[0]):
                title = bold[1]
            elif title:
                assert re.fullmatch(r"[\d.,]+( / [\d.,]+ / [\d.,]+)?", cells[1]), line
                rows.setdefault(title, set()).add(cells[0])
    present = {entry.name for entry in PEERS if not entry.absent()}
    steps = ["place one bid", "place a batch of 500, of which a bid", "cancel one bid", "call, k = 1", "call, k = 5"]
    assert {name: rows[name] for name in (*steps, "call, k = 20")} == dict.fromkeys((*steps, "call, k = 20"), present)
    assert {ENGINE.name, "ours, durable", "heapq"} <= rows["memory, bytes a bid"]
    assert {"ours, durable", "the auction in SQL", "SKIP LOCKED job queue"} <= rows["disk, bytes a bid"]
    for entry in PEERS:
        assert entry.name in present or f"Not measured: {entry.name}: {entry.absent()}." in ended.stdout
    assert "a load of" in ended.stdout
    kept = results.load(path)
    assert {one.peer for one in kept.figures} == present
    assert kept.calls_compared > 0
    assert ENGINE.name in path.with_suffix(".svg").read_text(encoding="utf-8")


def test_a_size_that_cannot_be_measured_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks.table", "--resting", "200"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--resting" in ended.stderr and "4,000 bids or more" in ended.stderr
