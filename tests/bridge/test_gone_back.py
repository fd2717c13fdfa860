"""A journal that has gone back: whoever led it stops, nobody leads it again, until an operator accepts the loss.

Method: real databases, whose earlier state takes their place under a market that runs, is stopped, or stands by; the
command line as a person runs it; and clients that hold what the lost rows have told them.
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmarket import Exchange, Gone, Unavailable, UnknownOutcome, open_exchange
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import RowsLost
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.loss.high_water import HighWater
from tests.support import command_line
from tests.support.gone_back import Backups
from tests.support.service_process import ROOT, clean
from tests.support.small_market import furnish, until

LOST = 10


@pytest.fixture
def older(database_url: str, backups: Backups) -> str:
    """The state to which the database goes back: a market with two bidders, rows 1 to 5."""
    with open_exchange(database_url) as market:
        furnish(market, "a", "b")
    return backups.take()


def lose_rows(url: str) -> None:
    """Acknowledge rows 6 to 15."""
    with open_exchange(url) as market:
        place(market, LOST)


def place(market: Exchange, count: int) -> None:
    for number in range(count):
        market.place_bid("m", "a", f"task-{number}", 1 + number, command_id=f"bid-{number}")


def callmarket(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with this folder of marks."""
    environment = clean() | {"CALLMARKET_MARKS_FOLDER": str(folder)}
    return command_line.callmarket(*arguments, "--url", url, environment=environment)


def told(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def epoch(url: str) -> int:
    with PostgresJournal(url, 0, reader=True) as journal:
        return journal.position().epoch


WENT_BACK = "the journal went back from row 15 to row 5: rows 6 to 15, which had been acknowledged, are lost"


def test_an_idle_leader_notices_and_answers_nothing_more(database_url: str, backups: Backups, older: str) -> None:
    """Nobody writes: it looks by itself, is not ready, and tells nobody of the lost history."""
    with open_exchange(database_url) as market:
        place(market, LOST)
        assert market.node.readiness().ready
        backups.go_back(older)
        until(lambda: not market.node.readiness().ready)
        until(lambda: WENT_BACK in market.node.readiness().reason)
        for ask in (lambda: market.wallet("a"), lambda: market.place_bid("m", "a", "late", 1)):
            with pytest.raises(Unavailable, match=WENT_BACK):
                ask()
        assert WENT_BACK in market.wait_until_over(60)
    assert epoch(database_url) == 1, "it wrote nothing into the older state"


def test_a_busy_leader_acknowledges_nothing_that_is_lost_later(
    database_url: str, backups: Backups, older: str, seed: int
) -> None:
    """What is said to be lost is just what was acknowledged, to the row."""
    acknowledged = [0]
    with open_exchange(database_url) as market:

        def work() -> None:
            with suppress(Unavailable, UnknownOutcome):
                for number in count():  # each bid is cancelled, so that tokens never run out
                    placed = market.place_bid("m", "a", f"task-{number}", 1)
                    acknowledged[0] = placed.stamp.seq
                    acknowledged[0] = market.cancel_bid(placed.bid_id).seq

        worker = threading.Thread(target=work)
        worker.start()
        until(lambda: acknowledged[0] > 20 + seed % 50)
        backups.go_back(older)
        worker.join(60)
        assert not worker.is_alive()
        until(lambda: market.role == "ended")
    with pytest.raises(RowsLost) as lost:
        open_exchange(database_url)
    assert (lost.value.last_seq, lost.value.lost_seq) == (5, acknowledged[0])


@pytest.mark.parametrize("takeover", [False, True])
def test_nobody_leads_it_again(database_url: str, backups: Backups, older: str, takeover: bool) -> None:
    """As a service manager that starts it anew: it says which rows, and takes nobody's place."""
    lose_rows(database_url)
    backups.go_back(older)
    for _ in range(2):
        with pytest.raises(RowsLost, match=f"{WENT_BACK}.*callmarket accept-loss"):
            open_exchange(database_url, takeover=takeover)
    assert epoch(database_url) == 1


def test_a_standby_waits_says_so_and_leads_when_the_database_is_brought_back(
    database_url: str, backups: Backups, older: str
) -> None:
    lose_rows(database_url)
    newer = backups.go_back(older)
    with open_exchange(database_url, standby=True) as market:
        until(lambda: WENT_BACK in market.node.readiness().reason)
        with pytest.raises(Unavailable, match="nobody at this moment: the journal went back"):
            market.wallet("a")
        with psycopg.connect(database_url) as connection:
            query = "SELECT loss FROM engine_standbys"
            until(lambda: WENT_BACK in str(connection.execute(query).fetchone()))
        backups.go_back(newer)
        assert market.wait_until_leading(60)
        assert market.wallet("a").seq == 15


def test_who_has_no_mark_believes_a_standby_that_has(
    database_url: str, backups: Backups, older: str, marks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is new would lead on from the older state, if another that stands by did not know better."""
    lose_rows(database_url)
    backups.go_back(older)
    with open_exchange(database_url, standby=True) as knows:
        with psycopg.connect(database_url) as connection:
            query = "SELECT loss FROM engine_standbys"
            until(lambda: WENT_BACK in str(connection.execute(query).fetchone()))
        monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
        with pytest.raises(Unavailable, match=f"says: {WENT_BACK}"):
            open_exchange(database_url)
        monkeypatch.setenv("CALLMARKET_ADDRESS", "http://new")
        with open_exchange(database_url, standby=True) as new:
            until(lambda: new.node.applied_seq == 5)
            assert not new.wait_until_leading(1)
            told(callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json"))
            until(lambda: "leader" in (knows.role, new.role))
    assert epoch(database_url) >= 3


def test_the_loss_is_looked_at_accepted_once_and_history_goes_on(
    database_url: str, backups: Backups, older: str, marks_folder: Path
) -> None:
    """By the row that is named; asked again, nothing more. What was acknowledged and lost is done again, once."""
    lose_rows(database_url)
    backups.go_back(older)
    looked = told(callmarket(database_url, marks_folder, "accept-loss", "--json"), 1)
    assert (looked["last_seq"], looked["first_lost_seq"], looked["last_lost_seq"]) == (5, 6, 15)
    shown = callmarket(database_url, marks_folder, "accept-loss")
    assert WENT_BACK in " ".join(shown.stdout.split())
    assert "to accept it: callmarket accept-loss --from 6" in shown.stdout
    for wrong in ("5", "7", "16"):
        done = callmarket(database_url, marks_folder, "accept-loss", "--from", wrong, "--json")
        assert done.returncode == 2, done
        assert json.loads(done.stderr)["error"]["expected"] == "6: the journal ends at row 5"
    assert epoch(database_url) == 1
    for _ in range(2):
        accepted = told(callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json"))
        assert (accepted["history_seq"], accepted["accepted_from_seq"]) == (HISTORY_ROWS, 6)
    shown = callmarket(database_url, marks_folder, "accept-loss")
    went_on = f"the loss of rows from 6 on is accepted: history goes on at row {HISTORY_ROWS}"
    assert went_on in " ".join(shown.stdout.split())
    assert epoch(database_url) == 2
    with open_exchange(database_url) as market:
        bid = market.place_bid("m", "a", "task-0", 1, command_id="bid-0")
        again = market.place_bid("m", "a", "task-0", 1, command_id="bid-0")
        assert (bid.bid_id, bid.stamp.seq) == (HISTORY_ROWS + 1, HISTORY_ROWS + 1)
        assert (again.bid_id, again.stamp.repeated) == (bid.bid_id, True)
        assert market.verify().ok
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT * FROM journal_breaks").fetchall() == []
    told(callmarket(database_url, marks_folder, "snapshot", "--json"))
    with open_exchange(database_url) as market:
        assert market.recovery.from_seq > HISTORY_ROWS


def test_a_market_that_is_led_has_lost_nothing(database_url: str, older: str, marks_folder: Path) -> None:
    with open_exchange(database_url):
        done = callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json")
        assert done.returncode == 3
        assert "is led by" in done.stderr


def test_accepting_that_is_killed_in_the_middle_is_done_once(
    database_url: str, backups: Backups, older: str, marks_folder: Path
) -> None:
    """Killed when it has fenced off the others and waits to write its row; and then it is asked again."""
    lose_rows(database_url)
    backups.go_back(older)
    with psycopg.connect(database_url, autocommit=True) as connection, connection.transaction():
        connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-m", "callmarket", "accept-loss", "--from", "6", "--url", database_url],
            cwd=ROOT,
            env=clean() | {"CALLMARKET_MARKS_FOLDER": str(marks_folder)},
        )
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'journal'::regclass"
        with psycopg.connect(database_url, autocommit=True) as other:
            until(lambda: other.execute(query).fetchone() == (1,))
        process.kill()
        process.wait(60)
    with pytest.raises(RowsLost):
        open_exchange(database_url)
    accepted = told(callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json"))
    assert accepted["history_seq"] == HISTORY_ROWS
    with open_exchange(database_url) as market:
        assert market.verify().ok


def test_it_goes_back_behind_the_accepted_loss(
    database_url: str, backups: Backups, older: str, marks_folder: Path
) -> None:
    """A second restore of the same backup loses the new history too; what comes then is told apart from both."""
    copy = backups.take()
    lose_rows(database_url)
    backups.go_back(older)
    told(callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json"))
    with open_exchange(database_url) as market:
        place(market, 3)
    backups.go_back(copy)
    looked = told(callmarket(database_url, marks_folder, "accept-loss", "--json"), 1)
    assert looked["last_lost_seq"] == HISTORY_ROWS + 3
    accepted = told(callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json"))
    assert accepted["history_seq"] == 2 * HISTORY_ROWS


def test_another_process_led_meanwhile(
    database_url: str, backups: Backups, older: str, marks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without a mark nobody can know; who has one sees that the row is another, until that is accepted."""
    lose_rows(database_url)
    backups.go_back(older)
    with monkeypatch.context() as patch:
        patch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path))
        with open_exchange(database_url) as market:
            place(market, LOST + 5)
    with pytest.raises(RowsLost, match="row 15 of the journal is not the one that was acknowledged"):
        open_exchange(database_url)
    accepted = told(callmarket(database_url, marks_folder, "accept-loss", "--from", "21", "--json"))
    assert accepted["history_seq"] == HISTORY_ROWS
    for folder in (marks_folder, tmp_path):
        monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(folder))
        open_exchange(database_url).close()


def test_a_snapshot_file_of_a_lost_row_is_enough(
    database_url: str, backups: Backups, older: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that led is gone with its marks: who has the snapshots sees that the journal has less."""
    monkeypatch.setenv("CALLMARKET_SNAPSHOTS_FOLDER", str(tmp_path / "snapshots"))
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path / "gone"))
    lose_rows(database_url)
    environment = clean() | {name: os.environ[name] for name in ("CALLMARKET_SNAPSHOTS_FOLDER",)}
    command = [sys.executable, "-m", "callmarket", "snapshot", "--url", database_url]
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode == 0
    backups.go_back(older)
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path / "new"))
    with pytest.raises(RowsLost, match=WENT_BACK):
        open_exchange(database_url)
    environment |= {"CALLMARKET_MARKS_FOLDER": str(tmp_path / "new")}
    command = [sys.executable, "-m", "callmarket", "accept-loss", "--from", "6", "--url", database_url]
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode == 0
    with open_exchange(database_url) as market:
        assert len(market.recovery.passed_over) == 1


def test_a_snapshot_of_the_older_state_hides_no_loss(
    database_url: str, backups: Backups, older: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken before anybody leads again, as by a timer, and says less than the mark that is there."""
    folder = str(tmp_path / "snapshots")
    monkeypatch.setenv("CALLMARKET_SNAPSHOTS_FOLDER", folder)
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path / "gone"))
    lose_rows(database_url)
    command = [sys.executable, "-m", "callmarket", "snapshot", "--url", database_url]
    environment = clean() | {"CALLMARKET_SNAPSHOTS_FOLDER": folder}
    for state in ("whole", "older"):
        if state == "older":
            backups.go_back(older)
        assert subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode == 0
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(tmp_path / "new"))
    with pytest.raises(RowsLost, match=WENT_BACK):
        open_exchange(database_url)


def test_who_takes_over_reads_what_another_process_has_told(
    database_url: str, older: str, marks_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leader told of rows that a standby of the same folder had not seen, and died as the journal went back."""
    assert older
    with open_exchange(database_url) as leads:
        monkeypatch.setenv("CALLMARKET_ADDRESS", "http://standby")
        with open_exchange(database_url, standby=True) as market:
            until(lambda: market.node.applied_seq == 5)
            with PostgresJournal(database_url, 0, reader=True) as journal, closing(HighWater(marks_folder, 0)) as died:
                died.begin(journal.market_id(), 15, bytes(32))
            leads.close()
            until(lambda: WENT_BACK in market.node.readiness().reason)
            assert market.role == "standby"


def test_a_history_with_a_loss_in_it_is_pruned_looked_back_at_and_rebuilt(
    database_url: str, backups: Backups, older: str, marks_folder: Path, tmp_path: Path
) -> None:
    """HST-1: a file of archived rows has no gap in it, and what reads the whole goes over the loss."""
    lose_rows(database_url)
    backups.go_back(older)
    told(callmarket(database_url, marks_folder, "accept-loss", "--from", "6", "--json"))
    archive = str(tmp_path / "archive")
    with open_exchange(database_url) as market:
        place(market, 3)
        told(callmarket(database_url, marks_folder, "snapshot", "--json"))
        place(market, 2)
        last = market.durable_seq
        with pytest.raises(Gone, match="as_of_seq"):
            market.as_of(10).wallet("a")
        assert market.as_of(5).wallet("a").held_tokens == 0
        assert market.as_of(HISTORY_ROWS + 3).wallet("a").held_tokens > 0
        assert market.read(lambda state: state.seq) == last
    for options in (("--dry-run",), ()):
        done = callmarket(database_url, marks_folder, "prune", "--archive", archive, *options, "--json")
        assert done.returncode == 0, done
    ranges = [(one["first_seq"], one["last_seq"]) for one in json.loads(done.stdout)["archives"]]
    assert ranges == [(1, 5), (HISTORY_ROWS, HISTORY_ROWS + 2)]
    told(callmarket(database_url, marks_folder, "verify", "--archive", archive, "--json"))
    told(callmarket(database_url, marks_folder, "rebuild-projections", "--archive", archive, "--json"))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT * FROM journal_breaks").fetchall() == []
    with open_exchange(database_url) as market:
        assert market.durable_seq == last
        assert market.as_of(3, tmp_path / "archive").wallet("a").balance_tokens == 1_000


def test_a_history_of_which_all_was_lost_is_pruned(
    database_url: str, backups: Backups, marks_folder: Path, tmp_path: Path
) -> None:
    """HST-1: then the first row of all is not row 1."""
    open_exchange(database_url).close()
    empty = backups.take()
    with open_exchange(database_url) as market:
        furnish(market, "a")
    backups.go_back(empty)
    told(callmarket(database_url, marks_folder, "accept-loss", "--from", "1", "--json"))
    with open_exchange(database_url) as market:
        furnish(market, "a")
        told(callmarket(database_url, marks_folder, "snapshot", "--json"))
        place(market, 2)
    archive = str(tmp_path / "archive")
    told(callmarket(database_url, marks_folder, "prune", "--archive", archive, "--json"))
    told(callmarket(database_url, marks_folder, "verify", "--archive", archive, "--json"))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT min(seq) > %s FROM journal", (HISTORY_ROWS,)).fetchone() == (True,)
        assert connection.execute("SELECT * FROM journal_breaks").fetchall() == []
    open_exchange(database_url).close()
