"""`callmarket prune`, and the other commands with and without its archive, as a person or a program uses them.

Exit codes: 0 fine, 1 found wrong, 2 asked wrong (also: without the folder that is needed), 3 the database is not there.
"""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmarket import ManualClock, open_exchange
from callmarket.persistence.journal.postgres import PostgresJournal
from tests.bridge.cli.test_commands import complaint, run
from tests.support.following import level
from tests.support.sealed import bids


def as_json(*arguments: str, url: str, **settings: str) -> Any:
    """What a command prints for programs; it must succeed."""
    ran = run(*arguments, "--json", url=url, **settings)
    assert ran.returncode == 0, ran
    return json.loads(ran.stdout)


@pytest.fixture
def used_url(database_url: str) -> str:
    """A database with a journal of 121 rows and a snapshot of row 80."""
    rows = bids(100)
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(rows[:80])
        as_json("snapshot", url=database_url)
        journal.append(rows[80:])
    return level(database_url)


@pytest.fixture
def archive(tmp_path: Path) -> str:
    return str(tmp_path / "archive")


def rows_left(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT min(seq), count(*) FROM journal").fetchone()


def test_prune_prints_its_plan_and_its_result(used_url: str, archive: str) -> None:
    """First proved and planned, with --dry-run no more than that; then moved, and told file by file."""
    ran = run("prune", "--archive", archive, "--dry-run", url=used_url, COLUMNS="250")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "rows 1 to 79 (79 of 121) go to" in ran.stdout
    assert "lead to snapshot 1 of row 80, and it leads to row 121" in ran.stdout
    assert "moved" not in ran.stdout
    assert rows_left(used_url) == (1, 121)
    assert not Path(archive).exists()
    planned = as_json("prune", "--archive", archive, "--dry-run", url=used_url)
    assert (planned["dry_run"], planned["rows"], planned["rows_kept"], planned["archives"]) == (True, 79, 42, [])
    ran = run("prune", "--archive", archive, url=used_url, COLUMNS="250")
    assert (ran.returncode, ran.stderr) == (0, "")
    (path,) = Path(archive).iterdir()
    assert f"moved rows 1 to 79: {path.name}, {path.stat().st_size:,} bytes" in ran.stdout
    assert "79 rows moved" in ran.stdout
    assert rows_left(used_url) == (80, 42)
    ran = run("prune", "--archive", archive, url=used_url)
    assert "nothing to move, the journal begins at row 80" in " ".join(ran.stdout.split())
    assert "nothing was moved" in ran.stdout


def test_prune_as_json(used_url: str, archive: str) -> None:
    ran = run("prune", "--archive", archive, "--keep-rows", "60", "--json", url=used_url)
    assert ran.returncode == 0
    assert "go to" in ran.stderr, "never silently: what it will do is said beside the JSON"
    found = json.loads(ran.stdout)
    (path,) = Path(archive).iterdir()
    (moved,) = found.pop("archives")
    assert (moved["first_seq"], moved["last_seq"], moved["file_name"]) == (1, 61, path.name)
    assert len(moved["sha256"]) == 64
    assert found == {
        "shard_id": 0,
        "dry_run": False,
        "first_seq": 1,
        "last_seq": 61,
        "rows": 61,
        "rows_kept": 60,
        "snapshot": {"name": "1", "seq": 80},
        "passed_over": [],
    }


def test_other_commands_need_the_archive_for_pruned_rows(used_url: str, archive: str) -> None:
    was = {seq: as_json("wallet", "--as-of-seq", seq, url=used_url) for seq in ("50", "100")}
    as_json("prune", "--archive", archive, url=used_url)
    assert as_json("wallet", "--as-of-seq", "100", url=used_url) == was["100"]
    assert as_json("recover", "--dry-run", url=used_url)["report"]["from_seq"] == 80
    for needing in (
        ["wallet", "--as-of-seq", "50"],
        ["verify"],
        ["recover", "--dry-run", "--whole"],
        ["rebuild-projections"],
    ):
        said = complaint(run(*needing, url=used_url), 2)
        assert "name the folder that has it (--archive FOLDER)" in said
        assert "shard0-0000000000000001-0000000000000079-" in said
        assert run(*needing, "--archive", archive, url=used_url).returncode == 0, needing
    assert as_json("wallet", "--as-of-seq", "50", "--archive", archive, url=used_url) == was["50"]
    assert as_json("verify", "--archive", archive, url=used_url)["rows"] == 121
    (path,) = Path(archive).iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    ran = run("verify", "--archive", archive, "--json", url=used_url)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["first_bad_seq"] == 1
    assert path.name in complaint(run("recover", "--dry-run", "--whole", "--archive", archive, url=used_url), 1)


def test_without_any_good_snapshot_the_archive_makes_one(used_url: str, archive: str) -> None:
    """The way out when all snapshots of a cut journal are damaged: the engine does not open, and says what to do."""
    as_json("prune", "--archive", archive, url=used_url)
    with psycopg.connect(used_url) as connection:
        connection.execute("UPDATE snapshot_chunks SET data = set_byte(data, 30, get_byte(data, 30) # 4)")
    said = complaint_after_warnings(run("recover", "--dry-run", url=used_url))
    assert "`callmarket snapshot --archive FOLDER`" in said
    assert as_json("snapshot", "--archive", archive, url=used_url)["snapshot"]["rows_replayed"] == 121
    with open_exchange(used_url, clock=ManualClock()) as market:
        assert market.recovery.from_seq == 121
        assert market.verify(Path(archive)).ok


def complaint_after_warnings(ran: Any) -> str:
    assert (ran.returncode, ran.stdout) == (2, "")
    return ran.stderr.splitlines()[-1]


def test_prune_refuses_invalid_arguments_and_a_journal_without_a_good_snapshot(
    used_url: str, archive: str, tmp_path: Path
) -> None:
    assert "Missing option '--archive'" in run("prune", url=used_url).stderr
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    assert run("prune", "--archive", str(file), url=used_url).returncode == 2
    assert run("prune", "--archive", archive, "--keep-rows", "-1", url=used_url).returncode == 2
    with psycopg.connect(used_url) as connection:
        connection.execute("DELETE FROM snapshots")
    assert "No snapshot is good" in complaint(run("prune", "--archive", archive, url=used_url), 1)
    assert rows_left(used_url) == (1, 121)


def test_prune_with_snapshots_in_a_folder(used_url: str, archive: str, tmp_path: Path) -> None:
    settings = {"CALLMARKET_SNAPSHOTS_FOLDER": str(tmp_path / "kept")}
    as_json("snapshot", url=used_url, **settings)
    found = as_json("prune", "--archive", archive, url=used_url, **settings)
    assert (found["rows"], found["rows_kept"]) == (120, 1)
    assert as_json("recover", "--dry-run", url=used_url, **settings)["report"]["from_seq"] == 121
    assert "--archive FOLDER" in complaint_after_warnings(run("recover", "--dry-run", url=used_url))
