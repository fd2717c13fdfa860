"""`callmarket status` and `handover`, as a person or a program uses them: real processes, words and exit codes."""

import json
import subprocess
from typing import Any

import psycopg
import pytest

from callmarket import Exchange, open_exchange
from tests.bridge.test_takeover import callmarket
from tests.support.small_market import furnish, until


def answer(ran: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    """What a command prints for programs."""
    assert (ran.returncode, ran.stderr) == (code, ""), ran
    return json.loads(ran.stdout)


def stood_by(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM engine_standbys").fetchone() == (1,)


def test_status_shows_leader_standby_and_proof(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_exchange(database_url, address="http://one") as market:
        furnish(market, "a")
        bare = answer(callmarket(database_url, "status", "--json"))
        assert (bare["standbys"], bare["last_proven_restore"]) == ([], None)
        assert callmarket(database_url, "snapshot").returncode == 0
        market.open_account("b")
        with open_exchange(database_url, address="http://two", standby=True):
            until(lambda: stood_by(database_url))
            found = answer(callmarket(database_url, "status", "--json"))
            shown = callmarket(database_url, "status")
    assert (found["shard_id"], found["epoch"], found["last_seq"]) == (0, 1, 4)
    assert (found["leader"]["address"], found["leader"]["sign"]) == ("http://one", "alive")
    assert [(one["address"], one["rows_behind"]) for one in found["standbys"]] == [("http://two", 0)]
    assert (found["last_proven_restore"]["seq"], found["last_proven_restore"]["rows_behind"]) == (3, 1)
    assert shown.returncode == 0
    for words in ("shard 0 at row 4", "led by http://one (alive", "standby http://two: 0 rows behind", "to row 3"):
        assert words in " ".join(shown.stdout.split()), shown.stdout


def test_status_without_a_leader_is_exit_code_1(database_url: str) -> None:
    never = answer(callmarket(database_url, "status", "--json"), 1)
    assert (never["leader"], never["epoch"]) == (None, 0)
    open_exchange(database_url).close()
    closed = answer(callmarket(database_url, "status", "--json"), 1)
    assert closed["leader"]["sign"] == "released"
    shown = callmarket(database_url, "status")
    assert shown.returncode == 1
    assert "released" in shown.stdout
    assert "no standby" in shown.stdout


def refused(url: str, words: str) -> None:
    """A handover that is not possible: one line, code 3."""
    ran = callmarket(url, "handover", "--wait", "0.5")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith("callmarket: ")
    assert words in ran.stderr


def test_handover_lets_the_standby_lead(database_url: str) -> None:
    with (
        open_exchange(database_url, address="http://one") as one,
        open_exchange(database_url, address="http://two", standby=True) as two,
    ):
        until(lambda: stood_by(database_url))
        done = answer(callmarket(database_url, "handover", "--json"))
        assert (done["before"], done["after"], done["epoch"]) == ("http://one", "http://two", 2)
        assert (one.role, two.role) == ("ended", "leader")
        # The one that leads now has nobody behind it: it is not taken away.
        refused(database_url, "shard 0 has no standby")
        assert two.open_account("a").seq == 1


def test_handover_without_a_standby_is_refused_and_changes_nothing(market: Exchange, database_url: str) -> None:
    refused(database_url, "shard 0 has no standby")
    assert market.open_account("a").seq == 1
    assert market.role == "leader"


def test_handover_without_a_leader_is_refused(database_url: str) -> None:
    refused(database_url, "shard 0 has no leader")
