"""Rows that the journal lost and somebody still had: they are written to a file, and done again on the new history.

Method: real databases that go back under a leader and under a standby; what the market says afterwards against what it
had acknowledged.
"""

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from callmarket import Exchange, open_exchange, system_clock
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.market.replaying import Replaying
from callmarket.engine.commands import Entry, SettleAward
from callmarket.engine.events import AwardGranted, AwardSettled, RoundCleared, one_by_one
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.loss import lost_rows
from callmarket.persistence.loss.lost_rows import LostRow
from tests.bridge.test_gone_back import callmarket, told
from tests.support.gone_back import Backups
from tests.support.script import play
from tests.support.service_process import ROOT, clean
from tests.support.small_market import furnish, until


@pytest.fixture
def older(database_url: str, backups: Backups) -> str:
    with open_exchange(database_url) as market:
        furnish(market, "a", "b")
        market.offer_slot("m", "s0")
    return backups.take()


def trade(market: Exchange) -> None:
    """Everything that names another row's bid or award, and a refusal."""
    later = datetime_of(system_clock()) + timedelta(hours=1)
    first = market.place_bid("m", "a", "t1", 10, command_id="first")
    market.amend_bid(first.bid_id, max_price_tokens=20)
    other = market.place_bid("m", "b", "t2", 5, ttl_at=later, time_in_force="gtd")
    market.cancel_bid(other.bid_id)
    award = market.clear_round("m").awards[0]
    market.settle(award.slot_id, actual_cost_tokens=1, actual_impact=1.0, award_id=award.award_id, command_id="end")
    market.transfer("a", "b", 7, "pay", command_id="invoice")
    market.transfer("a", "b", 7, "pay")
    with pytest.raises(Exception, match="FUNDS_INSUFFICIENT"):
        market.transfer("a", "b", 10**9, "pay")


def balances(market: Exchange) -> dict[str, tuple[int, int]]:
    return {one: (market.wallet(one).balance_tokens, market.wallet(one).held_tokens) for one in ("a", "b")}


def lost_file(folder: Path, url: str) -> Path:
    """The file of this market's lost rows, as soon as it is there."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT market_id::text FROM engine_writer").fetchone()
    assert row is not None
    until(lambda: len(lost_rows.files(folder, row[0], 0)) == 1)
    return lost_rows.files(folder, row[0], 0)[0]


def accept(url: str, folder: Path, first: int) -> None:
    told(callmarket(url, folder, "accept-loss", "--from", str(first), "--json"))


@pytest.mark.parametrize("who", ["leader", "standby"])
def test_what_a_process_still_has_is_done_again_and_once(
    database_url: str,
    backups: Backups,
    older: str,
    who: str,
    marks_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bids and awards have other ids now, and what names them names those."""
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
    with open_exchange(database_url) as market:
        if who == "standby":
            with open_exchange(database_url, standby=True) as standby:
                trade(market)
                then, last_seq = balances(market), market.durable_seq
                until(lambda: standby.node.applied_seq == last_seq)
                backups.go_back(older)
                until(lambda: "are in" in standby.node.readiness().reason)
                path = lost_file(tmp_path, database_url)
                assert f" are in {path.name}:" in standby.node.readiness().reason
        else:
            trade(market)
            then = balances(market)
            backups.go_back(older)
            path = lost_file(tmp_path, database_url)
            until(lambda: f" are in {path.name}:" in market.node.readiness().reason)
    head, rows = lost_rows.read(path)
    assert (head.first_seq, head.rows) == (7, len(rows))
    accept(database_url, tmp_path, 7)
    for _ in range(2):
        done = told(callmarket(database_url, tmp_path, "replay-lost", str(path), "--json"))
        assert done["endings"]["refused"] == done["endings"]["differs"] == 0, done
        assert done["endings"]["left out"] == 1
        with open_exchange(database_url) as market:
            assert balances(market) == then
            assert market.transfer("a", "b", 7, "pay", command_id="invoice").stamp.repeated
            assert market.awards(bidder_id="a").items[0].award_id > HISTORY_ROWS
            assert market.verify().ok
    assert done["endings"]["again"] == len(rows) - 1


def test_what_comes_out_otherwise_is_told(
    database_url: str, backups: Backups, older: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was faster on the new history: the row that is refused, and the one that has another result."""
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
    with open_exchange(database_url) as market:
        market.place_bid("m", "a", "t1", 10)
        market.clear_round("m")
        market.transfer("a", "b", 990, "pay")
        backups.go_back(older)
        path = lost_file(tmp_path, database_url)
        until(lambda: market.role == "ended")
    accept(database_url, tmp_path, 7)
    with open_exchange(database_url) as market:
        market.place_bid("m", "b", "t9", 50)
        market.burn("a", 500, "fee:new")
    done = told(callmarket(database_url, tmp_path, "replay-lost", str(path), "--json"), 1)
    endings = {one["command"]: (one["ending"], one["what"]) for one in done["told"]}
    shown = callmarket(database_url, tmp_path, "replay-lost", str(path))
    assert "row 9 (transfer by a) refused: FUNDS_INSUFFICIENT" in " ".join(shown.stdout.split())
    assert endings["transfer"] == ("refused", "FUNDS_INSUFFICIENT: amount_tokens 990")
    assert endings["clear_round"][0] == "differs"
    assert "bidder_id 'a' then, 'b' now" in endings["clear_round"][1]


def kill_while_replaying(url: str, path: Path, environment: dict[str, str], after_s: float) -> None:
    """Begin, and end it a moment after its first row is there, if it has not ended by itself."""
    query = f"SELECT count(*) > 0 FROM journal WHERE seq > {HISTORY_ROWS}"
    process = subprocess.Popen(
        [sys.executable, "-m", "callmarket", "replay-lost", str(path), "--url", url], cwd=ROOT, env=environment
    )
    with psycopg.connect(url, autocommit=True) as connection:
        until(lambda: connection.execute(query).fetchone() == (True,) or process.poll() is not None)
    time.sleep(after_s)
    process.kill()
    process.wait(60)


def test_replaying_that_is_killed_is_done_once(
    database_url: str, backups: Backups, older: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Killed at moments that the seed draws, then run to its end: each transfer is made once."""
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
    with open_exchange(database_url) as market:
        for number in range(300):
            market.acknowledging("applied").transfer("a", "b", 1, "pay", memo=str(number))
        market.transfer("a", "b", 1, "pay", memo="last")
        then = balances(market)
        backups.go_back(older)
        path = lost_file(tmp_path, database_url)
    accept(database_url, tmp_path, 7)
    environment = clean() | {"CALLMARKET_MARKS_FOLDER": str(tmp_path)}
    for life in range(2):
        kill_while_replaying(database_url, path, environment, (seed + life) % 7 / 1_000)
    told(callmarket(database_url, tmp_path, "replay-lost", str(path), "--json"))
    with open_exchange(database_url) as market:
        assert balances(market) == then


def test_a_file_of_another_market_or_a_damaged_one_is_refused(
    database_url: str, backups: Backups, older: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
    with open_exchange(database_url) as market:
        market.transfer("a", "b", 1, "pay")
        backups.go_back(older)
        path = lost_file(tmp_path, database_url)
    accept(database_url, tmp_path, 7)
    lines = path.read_text(encoding="utf-8").splitlines()
    stranger = json.loads(lines[0]) | {"market_id": "00000000-0000-0000-0000-000000000000"}
    for number, (text, code) in enumerate(
        [
            ("\n".join([json.dumps(stranger), *lines[1:]]), 2),
            (lines[0], 1),
            ("\n".join([lines[0], lines[1][:-9]]), 1),
            ("", 1),
            ("\n".join([lines[0], lines[1].replace('"transfer"', '"steal"')]), 1),
        ]
    ):
        wrong = tmp_path / f"wrong-{number}.jsonl"
        wrong.write_text(text, encoding="utf-8")
        done = callmarket(database_url, tmp_path, "replay-lost", str(wrong), "--json")
        assert done.returncode == code, (number, done)
    with open_exchange(database_url) as market:
        assert balances(market) == {"a": (1_000, 0), "b": (1_000, 0)}


def test_a_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_rows, "ROWS_MAX", 3)
    path = tmp_path / "long.jsonl"
    path.write_text("{}\n" * 10, encoding="utf-8")
    with pytest.raises(Corrupt, match=r"at most 3 rows|no file of lost rows"):
        lost_rows.read(path)


def test_awards_of_slots_of_one_id_are_told_apart() -> None:
    """SLT-1: what ended an award of then ends that of the same provider's slot, in whichever order they are sold."""
    script = play("market m\naccount p provider\naccount q provider\naccount a agent 100\n")
    script.run("slot s provider=p reserve=1\nslot s provider=q reserve=2\nbid a t1 9 -> bid 1\nbid a t2 9 -> bid 2")
    script.run("clear -> price 2: 1@s 2@s")
    then = tuple(event for event in one_by_one(script.events) if isinstance(event, AwardGranted | RoundCleared))
    ids = {event.provider_id: event.award_id for event in then if isinstance(event, AwardGranted)}
    now = tuple(
        msgspec.structs.replace(event, award_id=10 + event.award_id) if isinstance(event, AwardGranted) else event
        for event in (then[1], then[0], then[2])
    )
    replaying = Replaying("market-of-then")
    replaying.on_reply(LostRow.of(script.entries[-1], then), Reply(1, 0, now, 1))
    for provider_id, award_id in ids.items():
        settle = Entry(99, 0, provider_id, SettleAward("s", 1, 0, award_id, provider_id))
        asked = replaying.request(
            LostRow.of(settle, (AwardSettled(award_id, "s", 1, "a", 2, 1, 0, 0, "m", provider_id),))
        )
        assert asked is not None
        assert asked.command == SettleAward("s", 1, 0, 10 + award_id, provider_id)
