"""`callmarket snapshot`, `snapshots` and `recover --dry-run`, as a person or a program uses them: real processes.

Exit codes: 0 fine, 1 found wrong, 2 asked wrong, 3 the database is not there.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmarket import ManualClock, open_exchange
from callmarket.persistence.journal.postgres import PostgresJournal
from tests.support.command_line import callmarket
from tests.support.sealed import bids
from tests.support.service_process import clean

ROOT = Path(__file__).resolve().parents[3]


def environment(url: str, **settings: str) -> dict[str, str]:
    return clean() | {"CALLMARKET_DATABASE_URL": url} | settings


def run(url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `callmarket` and return what became of it."""
    return callmarket(*arguments, environment=environment(url, **settings))


def as_json(url: str, *arguments: str, **settings: str) -> Any:
    """What a command prints for programs; it must succeed and say nothing else."""
    ran = run(url, *arguments, "--json", **settings)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return json.loads(ran.stdout)


@pytest.fixture
def used_url(database_url: str) -> str:
    """A database with a journal of 121 rows."""
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(bids(100))
    return database_url


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)


def test_a_snapshot_is_taken_listed_and_used(used_url: str) -> None:
    """Decision 11 of docs/decisions, from the outside; and the next opening begins there."""
    taken = as_json(used_url, "snapshot")["snapshot"]
    assert (taken["seq"], taken["rows_replayed"], taken["passed_over"], taken["forgotten"]) == (121, 121, [], [])
    (listed,) = as_json(used_url, "snapshots")["snapshots"]
    assert (listed["seq"], listed["rows_behind"], listed["good"], listed["fault"]) == (121, 0, True, "")
    assert listed["name"] == taken["name"]
    found = as_json(used_url, "recover", "--dry-run")
    assert (found["seq"], found["epoch"], found["digest"]) == (121, 1, taken["digest"])
    assert (found["report"]["from_seq"], found["report"]["rows"]) == (121, 0)
    whole = as_json(used_url, "recover", "--dry-run", "--whole")
    assert (whole["digest"], whole["report"]["from_seq"], whole["report"]["rows"]) == (taken["digest"], 0, 121)
    with open_exchange(used_url, clock=ManualClock()) as market:
        assert (market.recovery.from_seq, market.recovery.rows) == (121, 0)


def test_a_snapshot_that_reads_back_differently_is_an_error_and_is_removed(used_url: str) -> None:
    """What was asked for was done, and is wrong: code 1, as for a journal that is damaged."""
    execute(
        used_url,
        """
        CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER forget BEFORE INSERT ON snapshot_chunks FOR EACH ROW EXECUTE FUNCTION forget()
        """,
    )
    ran = run(used_url, "snapshot", "--json")
    assert (ran.returncode, ran.stdout) == (1, ""), ran
    assert "chunk 0 of 1 is missing" in ran.stderr
    assert as_json(used_url, "snapshots")["snapshots"] == []


def test_snapshots_are_shown_as_a_table(used_url: str) -> None:
    assert "snapshot 1 of row 121" in " ".join(run(used_url, "snapshot").stdout.split())
    execute(used_url, "UPDATE snapshots SET format = 99")
    run(used_url, "snapshot")
    shown = run(used_url, "snapshots", COLUMNS="200").stdout
    assert "yes" in shown
    assert "no: the image has format 99" in shown
    shown = " ".join(run(used_url, "recover", "--dry-run").stdout.split())
    assert "recovers to row 121, read-only: 0 rows in" in shown
    assert "after the snapshot of row 121" in shown


def test_taking_snapshots_has_a_lower_cpu_priority(used_url: str) -> None:
    """On a busy machine a snapshot may take longer, but the commands that come meanwhile should not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "callmarket", "snapshot", "--every", "60"],
        cwd=ROOT,
        env=environment(used_url),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        niceness = os.getpriority(os.PRIO_PROCESS, process.pid)
        assert niceness > os.getpriority(os.PRIO_PROCESS, 0) or niceness == 19
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_an_empty_journal_has_nothing_to_keep(database_url: str) -> None:
    assert as_json(database_url, "snapshot") == {"snapshot": None}
    assert "nothing to keep" in run(database_url, "snapshot").stdout
    assert as_json(database_url, "snapshots") == {"snapshots": []}
    assert as_json(database_url, "recover", "--dry-run")["seq"] == 0


def test_damage_is_shown_and_passed_over(used_url: str) -> None:
    as_json(used_url, "snapshot")
    execute(used_url, "UPDATE snapshot_chunks SET data = set_byte(data, 30, get_byte(data, 30) # 4)")
    (listed,) = as_json(used_url, "snapshots")["snapshots"]
    assert not listed["good"]
    assert listed["fault"]
    ran = run(used_url, "recover", "--dry-run", "--json")
    assert ran.returncode == 0
    assert "passed over snapshot" in ran.stderr
    (passed,) = json.loads(ran.stdout)["report"]["passed_over"]
    assert (passed["seq"], passed["reason"]) == (121, listed["fault"])


def test_a_dry_run_that_fails_says_so(used_url: str) -> None:
    """Exit code 1, and the row; nothing is kept of a journal that is wrong."""
    execute(used_url, "UPDATE journal SET actor = 'admin' WHERE seq = 50")
    for arguments in (("recover", "--dry-run"), ("snapshot",), ("snapshot", "--every", "0.1")):
        ran = run(used_url, *arguments)
        assert (ran.returncode, ran.stdout) == (1, ""), ran
        assert ran.stderr.startswith("callmarket: Row 50 ")
    assert as_json(used_url, "snapshots") == {"snapshots": []}


def test_snapshots_and_rehearsals_do_not_claim_the_journal(used_url: str) -> None:
    """Beside an open exchange: its epoch stays, and it goes on writing."""
    with open_exchange(used_url, clock=ManualClock()) as market:
        epoch = as_json(used_url, "recover", "--dry-run")["epoch"]
        as_json(used_url, "snapshot")
        market.open_account("late")
        assert as_json(used_url, "recover", "--dry-run")["epoch"] == epoch == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("recover",), 2),
        (("snapshot", "--every", "0"), 2),
        (("snapshot", "--every", "soon"), 2),
        (("snapshots", "more"), 2),
    ],
)
def test_invalid_arguments_have_their_exit_codes(used_url: str, arguments: tuple[str, ...], code: int) -> None:
    ran = run(used_url, *arguments)
    assert (ran.returncode, ran.stdout) == (code, ""), ran


def test_invalid_snapshot_settings_are_refused(used_url: str) -> None:
    ran = run(used_url, "snapshot", CALLMARKET_SNAPSHOTS_KEPT="0")
    assert ran.returncode == 2
    assert "CALLMARKET_SNAPSHOTS_KEPT" in ran.stderr


@pytest.mark.parametrize("command", [("snapshot",), ("snapshots",), ("recover", "--dry-run")])
def test_an_unavailable_database_or_one_without_a_market_is_exit_code_3(
    empty_database_url: str, command: tuple[str, ...]
) -> None:
    assert run("postgresql://localhost:1/none", *command).returncode == 3
    ran = run(empty_database_url, *command)
    assert ran.returncode == 3
    assert "no market yet" in ran.stderr


def test_snapshots_may_be_kept_in_a_folder(used_url: str, tmp_path: Path) -> None:
    settings = {"CALLMARKET_SNAPSHOTS_FOLDER": str(tmp_path / "kept"), "CALLMARKET_SNAPSHOTS_KEPT": "1"}
    for _ in range(2):
        as_json(used_url, "snapshot", **settings)
    (path,) = (tmp_path / "kept").glob("*.snapshot")
    (listed,) = as_json(used_url, "snapshots", **settings)["snapshots"]
    assert (listed["name"], listed["good"]) == (path.name, True)
    assert as_json(used_url, "recover", "--dry-run", **settings)["report"]["from_seq"] == 121
    assert as_json(used_url, "snapshots") == {"snapshots": []}
    path.write_bytes(b"garbage")
    assert run(used_url, "recover", "--dry-run", **settings).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_snapshot_every_runs_until_it_gets_a_signal(used_url: str, tmp_path: Path, number: signal.Signals) -> None:
    """A follower: each snapshot replays what is new, none is taken where nothing is, and a signal ends it cleanly."""
    said = tmp_path / "said.json"
    with (
        open_exchange(used_url, clock=ManualClock()) as market,
        said.open("w", encoding="utf-8") as stdout,
        subprocess.Popen(
            [sys.executable, "-m", "callmarket", "snapshot", "--every", "0.1", "--json"],
            cwd=ROOT,
            env=environment(used_url, CALLMARKET_SNAPSHOTS_KEPT="2"),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        for count in (1, 2, 3):
            market.open_account(f"account-{count}")
            wait_for(said, market.durable_seq)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    out = said.read_text(encoding="utf-8")
    decoder, taken = json.JSONDecoder(), []
    while out:
        one, end = decoder.raw_decode(out)
        taken.append(one["snapshot"])
        out = out[end:].lstrip()
    assert taken[-1]["seq"] == 124
    assert taken[0]["rows_replayed"] == taken[0]["seq"]
    assert sum(one["rows_replayed"] for one in taken) == 124
    assert len(taken) <= 4, "one for each account, and perhaps one before them"


def wait_for(said: Path, seq: int) -> None:
    """Wait until the follower has said that a snapshot of this row is kept: it is in the store before it is proved."""
    deadline = time.monotonic() + 30
    while f'"seq": {seq},' not in said.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
