"""The command line, as a person or a program uses it: real processes, their output, and their exit codes.

Exit codes: 0 fine, 1 found wrong, 2 asked wrong, 3 not done, as where the database is not there.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from callmarket import Exchange, ManualClock, open_exchange
from callmarket.bridge.cli.commands import app
from tests.bridge.conftest import START_US
from tests.support.command_line import callmarket
from tests.support.databases import TestServer
from tests.support.service_process import clean
from tests.support.small_market import furnish

ROOT = Path(__file__).resolve().parents[3]
READING = (["book", "m"], ["wallet"], ["rounds"], ["why", "1"], ["verify"])
COMMANDS = (
    "demo",
    "book",
    "wallet",
    "rounds",
    "why",
    "verify",
    "migrate",
    "snapshot",
    "snapshots",
    "recover",
    "status",
    "handover",
    "clock",
    "arena",
    "cycle",
    "earnings",
    "economy",
    "rebuild-projections",
    "prune",
)


def run(*arguments: str, url: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `callmarket` and return what became of it."""
    of_the_market = {"CALLMARKET_DATABASE_URL": url} if url else {}
    return callmarket(*arguments, environment=clean() | of_the_market | environment)


def redirected(arguments: Sequence[str], how: str, url: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a command behind which a shell has redirected its streams so."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, "-m", "callmarket", *arguments, "--url", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_all(asked: Sequence[Sequence[str]], url: str = "") -> list[subprocess.CompletedProcess[str]]:
    """Run some commands, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda arguments: run(*arguments, url=url), asked))


def assert_helps(*command: str) -> None:
    """The help of a command has an example. In this process: a start for each takes longer than all the rest of it."""
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: callmarket {' '.join(command)}" in shown.stdout
    assert "--json" in shown.stdout


def as_json(*arguments: str, url: str) -> Any:
    """What a command prints for programs; it must succeed and say nothing else."""
    ran = run(*arguments, "--json", url=url)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return json.loads(ran.stdout)


def complaint(ran: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on stderr of a command that failed."""
    assert (ran.returncode, ran.stdout) == (code, ""), ran
    assert ran.stderr.startswith("callmarket: ")
    assert ran.stderr.count("\n") == 1, ran.stderr
    return ran.stderr


@pytest.fixture(scope="module")
def used_url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    """A database in which a market has been called once, and more bids stand."""
    with postgres_server.fresh_database(template_database) as name:
        url = postgres_server.url(name)
        with open_exchange(url, clock=ManualClock(START_US)) as market:
            furnish(market, "alpha", "beta", market_id="agents")
            market.offer_slot("agents", "slot-1")
            market.place_bid("agents", "alpha", "task-1", 900)
            market.place_bid("agents", "beta", "task-2", 700)
            market.clear_round("agents")
            market.settle("slot-1", 640, 1.5)
            market.offer_slot("agents", "slot-2", reserve_price_tokens=5)
            market.place_bid("agents", "beta", "task-3", 10)
        yield url


def test_book_shows_the_best_bids_and_the_slots_on_offer(used_url: str) -> None:
    found = as_json("book", "agents", url=used_url)
    assert found["market_id"] == "agents"
    assert [(bid["bidder_id"], bid["task_id"], bid["max_price_tokens"]) for bid in found["bids"]] == [
        ("beta", "task-3", 10)
    ]
    assert [(ask["slot_id"], ask["reserve_price_tokens"]) for ask in found["asks"]] == [("slot-2", 5)]
    assert as_json("book", url=used_url) == found, "the only market need not be named"
    shown = run("book", "agents", url=used_url)
    assert shown.returncode == 0
    for word in ("beta", "task-3", "slot-2", "treasury"):
        assert word in shown.stdout


def test_wallet(used_url: str) -> None:
    found = as_json("wallet", "alpha", url=used_url)
    assert (found["account"]["balance_tokens"], found["account"]["held_tokens"]) == (300, 0)
    assert [(one["amount_tokens"], one["to_account_id"]) for one in found["statement"]] == [
        (700, "treasury"),
        (1_000, "alpha"),
    ]
    listed = as_json("wallet", "--rows", "2", url=used_url)["accounts"]
    assert [(one["account_id"], one["balance_tokens"]) for one in listed] == [("beta", 1_000), ("treasury", 700)]
    shown = run("wallet", "alpha", url=used_url)
    assert shown.returncode == 0
    assert "-700" in shown.stdout


def test_earnings(used_url: str, tmp_path: Path) -> None:
    """By account the sums and the credits; without one, what the settings say that work pays."""
    settings, rates = tmp_path / "market.toml", tmp_path / "rates.toml"
    settings.write_text(f'earnings_file = "{rates}"')
    rates.write_text("[actions.sing]\nbase_tokens = 3\ncap_tokens = 4\n")
    asked = (["earnings", "treasury", "--json"], ["earnings", "alpha"], ["earnings", "nobody"])
    told, shown, missing, table = run_all([*asked, ["--config", str(settings), "earnings"]], url=used_url)
    found = json.loads(told.stdout)
    assert found["earned"]["total_earned_tokens"] == 700
    assert [(one["reason"], one["month_tokens"]) for one in found["earned"]["by_reason"]] == [("settle:slot", 700)]
    assert [(one["from_account_id"], one["amount_tokens"]) for one in found["credits"]] == [("alpha", 700)]
    assert (shown.returncode, "grant:initial" in shown.stdout, "1,000" in shown.stdout) == (0, True, True)
    assert "no account 'nobody'" in complaint(missing, 1)
    assert (table.returncode, "sing" in table.stdout) == (0, True)
    rates.write_text("[actions.sing]\nbase_tokens = 3\ncap_tokens = 2\n")
    wrong = complaint(run("--config", str(settings), "earnings"), 2)
    assert "actions.sing.cap_tokens: expected base_tokens or more, which is 3, got 2" in wrong


def test_rounds(used_url: str) -> None:
    (found,) = as_json("rounds", "agents", url=used_url)["rounds"]
    assert (found["slots_available"], found["bids_open"], found["awards_granted"]) == (1, 2, 1)
    assert found["clearing_price_tokens"] == 700
    assert as_json("rounds", url=used_url)["rounds"] == [found]
    assert "700" in run("rounds", url=used_url).stdout


def test_why(used_url: str) -> None:
    found = as_json("why", "2", url=used_url)
    assert (found["status"], found["bidder_id"]) == ("lost", "beta")
    assert "outbid, the lowest winning bid was 900 and this one 700" in found["reason"]
    shown = run("why", "2", url=used_url)
    assert (shown.returncode, "outbid" in shown.stdout) == (0, True)


def test_verify(used_url: str) -> None:
    found = as_json("verify", url=used_url)
    assert (found["rows"], found["first_bad_seq"], found["differences"]) == (12, None, [])
    shown = run("verify", url=used_url)
    assert (shown.returncode, "all right" in shown.stdout) == (0, True)


def test_verify_finds_damage(database_url: str) -> None:
    with open_exchange(database_url) as market:
        furnish(market, "a")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE token_accounts SET balance = 7, total_earned = 7 WHERE account_id = 'a'")
    ran = run("verify", "--json", url=database_url)
    assert ran.returncode == 1
    assert any("token_accounts a" in one for one in json.loads(ran.stdout)["differences"])
    ran = run("verify", url=database_url)
    assert ran.returncode == 1
    assert "token_accounts a" in ran.stdout


def test_migrate(empty_database_url: str) -> None:
    first = as_json("migrate", url=empty_database_url)["applied"]
    assert first[0] == "0001_journal.sql"
    assert as_json("migrate", url=empty_database_url) == {"applied": []}
    assert run("migrate", url=empty_database_url).stdout == "the tables are up to date\n"
    assert as_json("verify", url=empty_database_url)["rows"] == 0
    with open_exchange(empty_database_url) as market:
        assert market.open_account("a").seq == 1


def test_url_option_comes_before_the_environment(used_url: str) -> None:
    assert as_json("why", "1", "--url", used_url, url="postgresql://127.0.0.1:1/x")["bidder_id"] == "alpha"


def test_an_unknown_account_market_or_bid_is_exit_code_1(used_url: str) -> None:
    for ran in run_all([["book", "none"], ["wallet", "none"], ["rounds", "none"], ["why", "99"]], url=used_url):
        assert "callmarket: no " in complaint(ran, 1)


def test_invalid_arguments_are_exit_code_2(database_url: str, used_url: str) -> None:
    assert "an open market" in complaint(run("book", url=database_url), 2)
    asked = [["nonsense"], ["why", "much"], ["why", "0"], ["why", "9" * 20], ["book", "--rows", "0"], ["wallet", "--a"]]
    for ran in run_all(asked, url=used_url):
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "Try 'python -m callmarket" in ran.stderr


def test_a_market_must_be_named_if_there_are_several(market: Exchange, database_url: str) -> None:
    for market_id in ("one", "two"):
        market.open_market(market_id)
    assert "one of the markets one, two" in complaint(run("book", url=database_url), 2)


def test_invalid_settings_are_exit_code_2(used_url: str) -> None:
    assert "CALLMARKET_SHARD_ID: expected a whole number >= 0" in complaint(
        run("verify", url=used_url, CALLMARKET_SHARD_ID="-1"), 2
    )
    assert "'CALLMARKET_SHRAD'" in complaint(run("verify", url=used_url, CALLMARKET_SHRAD="1"), 2)


def test_an_unavailable_database_is_exit_code_3_and_shows_no_secret() -> None:
    for ran in run_all([*READING, ["migrate"]], url="postgresql://me:secret@127.0.0.1:1/market"):
        said = complaint(ran, 3)
        assert "127.0.0.1" in said
        assert "secret" not in said


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_result_that_cannot_be_written_is_exit_code_3(used_url: str, options: list[str]) -> None:
    """On a full disk `verify` would else end as if the history were damaged."""
    ran = redirected(["verify", *options], "> /dev/full", used_url)
    assert (ran.returncode, ran.stderr.count("\n")) == (3, 1), ran
    assert "cannot be written" in ran.stderr


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_process_may_be_started_without_any_of_its_streams(used_url: str, redirection: str) -> None:
    for command in (["wallet"], ["verify", "--json"]):
        ran = redirected(command, redirection, used_url)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        assert (ran.stdout == "") == (">&- 2" in redirection or redirection == ">&-")
    assert redirected(["wallet", "nobody"], redirection, used_url).returncode == 1


def test_mistyped_url_shows_no_secret() -> None:
    """Not by the option, nor by the environment, nor in a setting that does not exist."""
    url = "postgres//me:secret@here/market"
    for ran in (run("verify", url=url), run("book", "--url", url), run("book", CALLMARKET_DATABASE_URI=url)):
        assert "secret" not in complaint(ran, 2)


def test_a_database_without_a_market_is_exit_code_3_and_says_what_to_do(empty_database_url: str) -> None:
    for ran in run_all([*READING, ["clock"]], url=empty_database_url):
        assert "run `callmarket migrate`" in complaint(ran, 3)


def test_the_help_of_each_command_has_an_example() -> None:
    assert "Example: callmarket why" in run("why", "--help").stdout
    for command in COMMANDS:
        assert_helps(command)


def test_without_a_command_the_help_lists_all_commands() -> None:
    ran = run()
    assert ran.returncode == 2
    for command in COMMANDS:
        assert command in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_commands_beside_a_running_engine_do_not_disturb_it(market: Exchange, database_url: str) -> None:
    """All at once, while it works: they see what is committed, and the engine stays the writer."""
    furnish(market, "a")
    asked = [["book"], ["wallet", "a"], ["rounds"], ["verify"], ["migrate"]]
    with ThreadPoolExecutor(len(asked)) as pool:
        running = [pool.submit(run, *arguments, "--json", url=database_url) for arguments in asked]
        while not all(one.done() for one in running):
            assert market.mint("a", 1, "grant:any").stamp.durable
        answers = [one.result() for one in running]
    assert [one.returncode for one in answers] == [0] * len(asked), answers
    minted = json.loads(answers[1].stdout)["account"]["balance_tokens"]
    assert 1_000 <= minted <= market.wallet("a").balance_tokens
    assert market.verify().ok
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT epoch FROM engine_writer").fetchone() == (1,)
