"""What a person sees in the terminal: each value in its column, each sentence with its numbers.

Method: rows with values of which no two are alike, rendered as wide as they need to be, cell by cell.
"""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console, RenderableType

from callmarket.bridge.access.issue import KeyView
from callmarket.bridge.cli import tables
from callmarket.bridge.cli.leadership import Handover, LeaderView, ProofView, StandbyView, Status
from callmarket.bridge.cli.snapshots import SnapshotRow
from callmarket.bridge.fleet.earning.rates import Factors, Rate, Rates
from callmarket.engine.state import State
from callmarket.persistence.archive.prune import Plan, Pruned
from callmarket.persistence.journal.protocol import Archive
from callmarket.persistence.queries import BookAsk, BookBid, Earned, MovementRow, RoundRow, WalletRow
from callmarket.persistence.queries.earnings import EarnedRow

AT = datetime(2027, 1, 15, 8, 30, 5, tzinfo=UTC)
NEXT_DAY = AT + timedelta(days=1)


def seen(shown: RenderableType) -> list[list[str]]:
    """The cells of all lines, but for rules and empty ones."""
    stream = io.StringIO()
    Console(file=stream, width=500, markup=False, emoji=False, highlight=False, color_system=None).print(shown)
    lines = [line.strip() for line in stream.getvalue().splitlines() if line.strip(" \u2500\u2501\u2574\u2576")]
    return [re.split(r"\s{2,}", line) for line in lines]


def test_an_order_book_as_tables() -> None:
    bids = [
        BookBid(7, "alpha", "t7", 1_234, AT, "gtd"),
        BookBid(8, "beta", "t8", 5, None, "round"),
    ]
    asks = [
        BookAsk("s1", AT, 1_300, "lab"),
        BookAsk("s2", datetime(1970, 1, 1, tzinfo=UTC), 0, "treasury"),
    ]
    assert seen(tables.book("gpu", bids, asks)) == [
        ["gpu: best bids"],
        ["bid", "bidder", "task", "max price", "in force", "until"],
        ["7", "alpha", "t7", "1,234", "gtd", "2027-01-15 08:30:05"],
        ["8", "beta", "t8", "5", "round", "-"],
        ["gpu: slots on offer"],
        ["slot", "provider", "reserve", "available"],
        ["s1", "lab", "1,300", "2027-01-15 08:30:05"],
        ["s2", "treasury", "0", "at once"],
    ]


def test_a_wallet_and_its_movements_as_tables() -> None:
    account = WalletRow("a", "agent", 1_000, 250, 750, 9_001, 9_002, AT)
    movements = [
        MovementRow(2, NEXT_DAY, "a", "b", 11, "gift:any", "task", "t1", "memo", 1_111, 2_222),
        MovementRow(1, AT, "c", "a", 12, "grant:initial", "", "", "memo", 3_333, 4_444),
    ]
    assert seen(tables.wallet(account, movements)) == [
        ["wallets"],
        ["account", "kind", "balance", "held", "available"],
        ["a", "agent", "1,000", "250", "750"],
        ["latest movements"],
        ["when", "reason", "other side", "tokens", "balance", "reference"],
        ["2027-01-16 08:30:05", "gift:any", "b", "-11", "1,111", "task t1"],
        ["2027-01-15 08:30:05", "grant:initial", "c", "12", "4,444"],
    ]


def test_earnings_as_tables() -> None:
    found = Earned(9_999, 111, 222, 333, (EarnedRow("earn:review", 1, 2, 3, 4),))
    credit = MovementRow(1, AT, "issuance", "a", 17, "earn:review", "review", "r-1", "memo", 5, 6)
    assert seen(tables.earned(found, [credit])) == [
        ["earned"],
        ["reason", "24 hours", "7 days", "30 days", "times"],
        ["earn:review", "1", "2", "3", "4"],
        ["all", "111", "222", "333"],
        ["9,999 tokens ever"],
        ["latest"],
        ["when", "reason", "from", "tokens", "reference"],
        ["2027-01-15 08:30:05", "earn:review", "issuance", "17", "review r-1"],
    ]


def test_rates_of_work_as_a_table() -> None:
    rate = Rate(10, 300, Factors(quality=(0.5, 2.0), impact=(1.0, 3.0)))
    shown = seen(tables.rates(Rates({"review": rate}, 5_000)))
    assert shown == [
        ["what work pays"],
        ["action", "base", "x quality", "x novelty", "x impact", "at most"],
        ["review", "10", "0.5 to 2", "-", "1 to 3", "300"],
        ["One account may earn 5,000 tokens in 24 hours."],
    ]
    assert seen(tables.rates(Rates({"review": rate})))[-1] == ["One account may earn any amount in 24 hours."]


def test_rounds() -> None:
    rows = [RoundRow("gpu", 5, AT, 6, 7, 8, 1_009, 10), RoundRow("cpu", 4, NEXT_DAY, 3, 2, 1, None, 11)]
    assert seen(tables.rounds(rows))[1:] == [
        ["market", "round", "called", "slots", "bids", "awards", "price"],
        ["gpu", "5", "2027-01-15 08:30:05", "6", "7", "8", "1,009"],
        ["cpu", "4", "2027-01-16 08:30:05", "3", "2", "1", "-"],
    ]


def test_snapshots() -> None:
    """The clock of where they are kept may be ahead."""
    rows = [
        SnapshotRow("a", 1_000, 20, AT, 3_000, 4_000, True, ""),
        SnapshotRow("b", 900, 120, NEXT_DAY, 5, 6, False, "cut"),
    ]
    assert seen(tables.snapshots(rows, AT + timedelta(seconds=90.4)))[1:] == [
        ["name", "row", "rows behind", "age", "bytes", "stored", "good"],
        ["a", "1,000", "20", "0:01:30", "3,000", "4,000", "yes"],
        ["b", "900", "120", "0:00:00", "5", "6", "no: cut"],
    ]
    assert seen(tables.taken(None)) == [["the journal is empty: there is nothing to keep"]]


def test_keys_and_their_scopes_as_a_table() -> None:
    def key(name: str, scopes: tuple[str, ...], works: bool, **ends: datetime | None) -> KeyView:
        ends = {"expires_at": None, "revoked_at": None} | ends
        return KeyView(
            "id-" + name,
            name,
            scopes,
            ("a", "b"),
            ("p",),
            1,
            2,
            AT,
            "me",
            ends["expires_at"],
            ends["revoked_at"],
            works,
        )

    rows = [
        key("one", ("read", "bid", "offer", "operate"), True),
        key("two", ("read",), False, expires_at=NEXT_DAY),
        key("three", ("read",), False, expires_at=NEXT_DAY, revoked_at=AT),
    ]
    may = "bid: a, bid: b, offer: p"
    assert seen(tables.keys(rows))[1:] == [
        ["key", "name", "may", "made", "expires", "works"],
        ["id-one", "one", f"read, operate, {may}", "2027-01-15", "never", "yes"],
        ["id-two", "two", f"read, {may}", "2027-01-15", "2027-01-16", "no: expired"],
        ["id-three", "three", f"read, {may}", "2027-01-15", "2027-01-16", "no: revoked"],
    ]
    assert seen(tables.new_key(rows[0])) == [
        ["Keep it now: it is shown this once and stored nowhere."],
        *seen(tables.keys(rows[:1])),
    ]


def test_leader_and_standbys_in_status() -> None:
    leader = LeaderView("http://one", "process 1", "alive", 0.25, False, "")
    standby = StandbyView("http://two", 90, 10, 1.5, "", "")
    proof = ProofView(70, 30, 2.5, AT, 3_661.2, "me")
    assert seen(tables.status(Status(3, 4, 100, 100, leader, (standby,), proof))) == [
        ["shard 3 at row 100, epoch 4: led by http://one (alive, lease renewed 0.2 s ago)"],
        ["standby http://two: 10 rows behind, seen 1.5 s ago"],
        ["recovery proved 1:01:01 ago, to row 70 (30 rows behind), in 2.50 s, by me"],
    ]
    leader = LeaderView("http://one", "process 1", "expired", 9.0, True, "it leapt")
    standby = StandbyView("http://two", 90, 10, 1.5, "its clock", "rows are lost")
    assert seen(tables.status(Status(3, 4, 100, 60, leader, (standby,), None))) == [
        ["shard 3 at row 100, epoch 4: led by http://one (expired, lease renewed 9.0 s ago), asked to hand over"],
        ["the SQL tables stand at row 60, 40 rows behind"],
        ["it takes no commands: it leapt"],
        ["standby http://two: 10 rows behind, seen 1.5 s ago"],
        ["it would not lead: its clock"],
        ["it would not lead: rows are lost"],
        ["recovery was never proved here: callmarket snapshot"],
    ]
    assert seen(tables.status(Status(3, 4, 100, 100, None, (), None)))[:2] == [
        ["shard 3 at row 100, epoch 4: no leader yet"],
        ["no standby"],
    ]
    assert seen(tables.handover(Handover(3, "http://one", "http://two", 5, 0.125))) == [
        ["shard 3: from http://one to http://two, epoch 5, 0.12 s"]
    ]


def test_pruning_and_migrations_in_words() -> None:
    folder = Path("/old")
    archives = (
        Archive(1, 10, 1, 1, b"", b"", "one", 1_000, b""),
        Archive(11, 1_500, 1, 1, b"", b"", "two", 200, b""),
    )
    plan = Plan(3, 1, 1_500, 2_000, None, ())
    assert seen(tables.archived(archives[1])) == [["moved rows 11 to 1,500: two, 200 bytes"]]
    assert seen(tables.pruned(Pruned(plan, archives), folder))[0][0].startswith(
        "1,500 rows moved, 1,200 bytes in /old,"
    )
    assert seen(tables.pruned(Pruned(plan, ()), folder)) == [["nothing was moved"]]
    assert seen(tables.planned(plan, folder)) == [["shard 3: nothing to move, the journal begins at row 1"]]
    assert seen(tables.migrated(["0001", "0002"])) == [["applied 0001, 0002"]]
    assert seen(tables.migrated([])) == [["the tables are up to date"]]


def test_a_view_of_the_past_begins_with_its_row_and_time() -> None:
    state = State()
    state.seq, state.at_us = 1_234, 1_800_000_000_000_000
    assert seen(tables.then(state, "a wallet")) == [["as of row 1,234, 2027-01-15 08:00:00 UTC"], ["a wallet"]]
