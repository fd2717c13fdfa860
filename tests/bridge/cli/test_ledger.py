"""`callmarket export` and `callmarket import-chain`, as a person or a program uses them."""

import json
from pathlib import Path

import pytest

from callmarket import Exchange, open_exchange
from tests.bridge.cli.test_commands import complaint, run
from tests.support.chain_logs import TOKEN, account_of, transfer_log
from tests.support.roles import role_on
from tests.support.served_market import served

A, B = account_of(1), account_of(2)


@pytest.fixture
def url(database_url: str) -> str:
    """A database with two accounts that have addresses; nobody leads it."""
    with open_exchange(database_url) as market:
        furnish(market)
        market.mint("a", 50, "grant:initial")
    return database_url


def furnish(market: Exchange) -> None:
    """Two accounts with their addresses, and the token with its own."""
    for number, name in enumerate(("a", "b"), 1):
        market.open_account(name)
        market.register_address(name, account_of(number))
    market.register_address("issuance", TOKEN)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three good logs, and lines that are none."""
    logs = [transfer_log(1, None, A, 100), transfer_log(2, A, B, 40), transfer_log(3, B, None, 15)]
    lines = [json.dumps(log) for log in logs]
    path = tmp_path / "logs.jsonl"
    path.write_text("\n".join([lines[0], "", "{not json", lines[1], '{"removed": true}', lines[2]]) + "\n")
    return path


def test_a_dry_run_comes_first(url: str, file: Path) -> None:
    """What would be done is shown and not done; then it is done, once."""
    ran = run("import-chain", str(file), url=url, COLUMNS="200")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "5 logs of ethereum: 3 would be applied, 0 known, 2 would be refused; 100 tokens in, 15 out" in ran.stdout
    assert "nothing was done: --apply does it" in ran.stdout
    with open_exchange(url) as market:
        assert market.wallet("a").balance_tokens == 50
    told = json.loads(run("import-chain", str(file), "--apply", "--json", url=url).stdout)
    assert (told["applied"], told["known"], told["refused_count"]) == (3, 0, 2)
    assert [(one["index"], one["field"]) for one in told["refused"]] == [(3, "log"), (5, "removed")]
    again = json.loads(run("import-chain", str(file), "--apply", "--json", url=url).stdout)
    assert (again["applied"], again["known"], again["tokens_in"]) == (0, 3, 0)
    with open_exchange(url) as market:
        assert [market.wallet(name).balance_tokens for name in "ab"] == [110, 25]


def test_a_served_market_is_asked_over_http(market: Exchange, file: Path) -> None:
    """With a key of an admin; another key may not."""
    furnish(market)
    with served(market) as serving:
        admin = {"CALLMARKET_URL": serving.url, "CALLMARKET_KEY": serving.key(admin=True)}
        ran = run("import-chain", str(file), "--apply", "--json", **admin)
        assert json.loads(ran.stdout)["applied"] == 3
        other = admin | {"CALLMARKET_KEY": serving.key(bid=("a",), operate=True)}
        assert "needs the scope admin" in complaint(run("import-chain", str(file), "--apply", **other), 3)
    assert market.wallet("b").balance_tokens == 25


def test_a_market_that_is_led_is_not_taken(market: Exchange, database_url: str, file: Path) -> None:
    assert "is led by" in complaint(run("import-chain", str(file), url=database_url), 3)


def test_a_database_that_gives_no_right_is_told(url: str, empty_database_url: str, file: Path) -> None:
    """As every command: no market is made by the way, and a missing right is named."""
    for asked in (["export"], ["import-chain", str(file)]):
        assert "has no market yet" in complaint(run(*asked, url=empty_database_url), 3)
    with role_on(url, "SELECT ON ALL TABLES IN SCHEMA public") as reader:
        assert run("export", url=reader).returncode == 0
        assert "GRANT" in complaint(run("import-chain", str(file), "--apply", url=reader), 3)


def test_an_export_goes_to_stdout(url: str) -> None:
    (log,) = run("export", url=url).stdout.splitlines()
    assert json.loads(log)["toAccountId"] == "a"
    assert run("export", "--since", "2100-01-01T00:00:00Z", url=url).stdout == ""
    head, line = run("export", "--format", "csv", "--chain", "base", url=url).stdout.splitlines()
    assert head.startswith('"Transaction Hash","Blockno"') and '"50"' in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--since", "yesterday"], "since: expected a time with its zone"),
        (["export", "--since", "2026-11-30T12:00:00"], "since: expected a"),
        (["export", "--format", "beancount"], "month: expected with beancount a month"),
        (["export", "--format", "hledger", "--month", "2026-11", "--out", "x"], "month: expected with hledger a month"),
        (["export", "--format", "hledger", "--month", "2026-13"], "month: expected a month of UTC"),
        (["export", "--out", "x"], "out: expected nothing with logs"),
        (["export", "--format", "beancount", "--out", "/proc/x"], "out: expected a folder that can be written"),
        (["import-chain", "/nowhere"], "file: expected a file that can be read"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: list[str], words: str, url: str) -> None:
    assert words in complaint(run(*arguments, url=url), 2)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(url: str, tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * 70_000)
    assert "lines of up to 65536 bytes" in complaint(run("import-chain", str(path), url=url), 2)
