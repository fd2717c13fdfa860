"""Names are text: whatever bidders call things, a person and a program see just that, whole.

Goal: no name is read as syntax, by a terminal, a pipe, JSON, a URL or the metrics. Method: a market whose names are
what others would trip over; every command that shows them, as a process.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo

from callmarket import Client, Exchange, Invalid, Request, open_exchange
from callmarket.bridge.access.issue import NewKey, issue
from callmarket.bridge.access.keyring import insert
from callmarket.bridge.api.operations.holds import place_hold
from callmarket.engine.commands import OpenAccount
from callmarket.persistence.database.connections import connect
from tests.bridge.cli.test_commands import ROOT, as_json, complaint, run, run_all
from tests.support.databases import TestServer
from tests.support.service_process import clean, served

# Markup of the terminal's library, one of its emojis, what a shell, a URL, HTML, JSON or SQL reads specially; and the
# longest.
NAMES = (
    "a[b]c",
    "[red]x",
    "[bold",
    ":smile:",
    "x[link=a.b]",
    "--json",
    "-x",
    "%2e",
    "a?b#c%d&e",
    "<b>&amp;",
    "'\"\\",
)
LONG = "n" * 128
TASK, REFERENCE, MARKET = "build[/lib]/y", "doi[/10.1]", "m[red]:x:"
MEMO = "é→\U0001f600"


@pytest.fixture(scope="module")
def url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    with postgres_server.fresh_database(template_database) as name:
        one = postgres_server.url(name)
        with open_exchange(one) as market:
            _furnish(market)
        with connect(one, "a test") as connection:
            for key_name in (*NAMES, "[/bold]", MEMO):
                _, row = issue(NewKey(name=key_name, bid=(*NAMES, LONG)), "a [/test]", 1)
                insert(connection, 0, row)
        yield one


def _furnish(market: Exchange) -> None:
    market.open_market(MARKET)
    for name in (*NAMES, LONG):
        market.open_account(name)
        market.mint(name, 1_000, "grant:initial", "doi", REFERENCE, MEMO)
        market.place_bid(MARKET, name, TASK, 5)
    market.put_artifact("[art]", "type[b]")
    market.place_hold("[hold]", LONG, 100, "stake", reference_type="artifact", reference_id="[art]")
    market.offer_slot(MARKET, "[slot]", provider_id=NAMES[0])
    market.clear_round(MARKET)
    market.offer_slot(MARKET, "[slot2]", provider_id=NAMES[1])
    for name in (*NAMES, LONG):
        market.place_bid(MARKET, name, TASK + "2", 5)


def shown(*arguments: str, url: str, **environment: str) -> str:
    ran = run(*arguments, url=url, **environment)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def test_names_are_complete_in_a_pipe(url: str) -> None:
    """On one line each, so that `grep` finds it."""
    book = shown("book", MARKET, url=url)
    wallets = shown("wallet", url=url)
    keys = shown("keys", "list", url=url)
    for name in (*NAMES, LONG):
        for text in (book, wallets, keys):
            assert name in text, name
    for text in (book, shown("rounds", url=url), shown("cycle", url=url)):
        assert MARKET in text
    assert TASK + "2" in book
    assert "[slot2]" in book
    for text in (shown("wallet", LONG, url=url), shown("earnings", LONG, url=url)):
        assert f"doi {REFERENCE}" in text
    assert LONG in shown("wallet", LONG, url=url)
    assert f"of {NAMES[0]} for {TASK}" in shown("why", "1", url=url)
    assert "[art]" in shown("budgets", url=url)
    assert MEMO in keys


def test_an_account_is_found_by_any_name(url: str) -> None:
    asked = [("wallet", "--", name) for name in NAMES]
    for name, ran in zip(NAMES, run_all(asked, url=url), strict=True):
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        assert f"  {name}  " in ran.stdout


@pytest.mark.parametrize("columns", ["80", "40"])
def test_a_narrow_terminal_truncates_no_name(url: str, columns: str) -> None:
    """What has no room goes on below: all of its letters are there, and no dots for those that are not."""
    for arguments in (["book", MARKET], ["wallet"], ["keys", "list"]):
        text = shown(*arguments, url=url, COLUMNS=columns)
        assert "…" not in text
        assert text.count("n") >= len(LONG), arguments
        assert max(len(line.rstrip()) for line in text.splitlines()) <= max(int(columns), 72)
    ids = [one["key_id"] for one in as_json("keys", "list", url=url)["keys"]]
    text = shown("keys", "list", url=url, COLUMNS=columns)
    assert all(f" {key_id} " in text for key_id in ids), "an id is what `keys revoke` takes"


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_locale_that_cannot_encode_a_name_fails_no_command(url: str, locale: dict[str, str]) -> None:
    """JSON is UTF-8 wherever it is printed; a table shows what it cannot print by its number."""
    for arguments in (["wallet", "--json", LONG], ["keys", "list", "--json"]):
        found = in_bytes(*arguments, url=url, **locale).stdout
        assert MEMO in found.decode("utf-8"), found
        json.loads(found)
    assert b"\\u2192" in in_bytes("keys", "list", url=url, **locale).stdout


def in_bytes(*arguments: str, url: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """What a command writes, whatever the locale; it must succeed."""
    ran = subprocess.run(
        [sys.executable, "-m", "callmarket", *arguments, "--url", url],
        cwd=ROOT,
        env=clean() | environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b""), ran
    return ran


def test_numbers_are_numbers_in_json(url: str) -> None:
    """A balance and the sums that it comes from have one type, and so has a worth here and over HTTP."""
    account = as_json("wallet", LONG, url=url)["account"]
    names = ("balance_tokens", "held_tokens", "available_tokens", "total_earned_tokens", "total_spent_tokens")
    assert {type(account[name]) for name in names} == {int}
    assert account["total_earned_tokens"] - account["total_spent_tokens"] == account["balance_tokens"]
    then = as_json("book", MARKET, "--as-of-seq", "50", url=url)["bids"][0]
    now = as_json("book", MARKET, url=url)["bids"][0]
    assert now == then, "a bid has one shape"
    assert (type(now["bid_id"]), type(now["max_price_tokens"])) == (int, int)


def test_errors_are_json_where_results_are(url: str) -> None:
    """On stderr, in one line: the kind, the words, the exit code, and the field where it is known."""
    asked = {
        ("wallet", "no[/body]"): ("not-found", 1, "no account 'no[/body]'"),
        ("why", "0"): ("usage", 2, "Invalid value for 'bid'"),
        ("book", "--rows", "much"): ("usage", 2, "Invalid value for '--rows'"),
        ("nonsense",): ("usage", 2, "No such command 'nonsense'"),
        ("recover",): ("invalid", 2, "recover: expected --dry-run"),
        ("wallet", "--url", "postgresql://me:secret@127.0.0.1:1/m"): ("unavailable", 3, "Connection refused"),
    }
    for (arguments, (kind, code, words)), ran in zip(
        asked.items(), run_all([[*arguments, "--json"] for arguments in asked], url=url), strict=True
    ):
        assert (ran.returncode, ran.stdout) == (code, ""), (arguments, ran)
        assert "secret" not in ran.stderr
        told = json.loads(ran.stderr)["error"]
        assert (told["type"], told["exit_code"]) == (kind, code), (arguments, told)
        assert words in told["message"]
    told = json.loads(run("recover", "--json", url=url).stderr)["error"]
    assert (told["field"], told["value"]) == ("recover", "")


def test_an_error_gives_no_hint_twice() -> None:
    """What is wrong once, then the next step; libpq asks the same question for each address."""
    said = complaint(run("wallet", url="postgresql://127.0.0.1:1,127.0.0.1:2/m"), 3)
    assert "Is the server running" not in said
    assert said.count("--url") == said.count("CALLMARKET_DATABASE_URL") == 1
    assert "Start its server" in said


def test_a_database_server_that_refuses_is_not_reported_as_down(url: str) -> None:
    said = complaint(run("wallet", url=make_conninfo(url, dbname="nowhere")), 3)
    assert (
        'database "nowhere" does not exist. A server answers there: mend what it says, or name another: --url' in said
    )
    assert "Start its server" not in said


def test_an_argument_that_is_not_text_is_exit_code_2(url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "callmarket", "wallet", b"\xff", "--url", url],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr.startswith(b"callmarket: ")
    assert ran.stderr.count(b"\n") == 1


NEVER = ("*", "~", ".", "..", "a/b", "/")


@pytest.mark.parametrize("name", NEVER)
def test_reserved_and_unusable_names_are_refused(market: Exchange, name: str) -> None:
    """By no way: not by the verbs, not by a request made by hand. Nothing is recorded."""
    begun = market.read(lambda state: state.seq)
    with pytest.raises(Invalid, match="account_id: expected"):
        market.open_account(name)
    with pytest.raises(Invalid, match="account_id: expected"):
        market.submit([Request("admin", OpenAccount(name, "agent"))])
    if name not in "*~":
        for make, field in (
            (lambda: market.open_market(name), "market_id"),
            (lambda: market.offer_slot("m", name), "slot_id"),
            (lambda: market.submit([place_hold.request(name, "a", 1, "stake")]), "hold_id"),
            (lambda: market.put_artifact(name, "paper"), "artifact_id"),
        ):
            with pytest.raises(Invalid, match=f"{field}: expected a name without"):
                make()
    assert market.read(lambda state: state.seq) == begun


def test_every_valid_name_works_in_a_url(url: str) -> None:
    """In paths, in queries, in keys of their own, and as a label of a metric."""
    with served(url) as service:
        service.until(lambda told: told.status_code == 200)
        with Client(service.url, service.key) as client:
            for name in (*NAMES, LONG):
                assert client.wallet(name).account_id == name
                assert [one.bidder_id for one in client.bids(bidder_id=name, limit=1).items] == [name]
            assert client.get_order_book(MARKET).market_id == MARKET
            for never in "*~":
                with pytest.raises(Invalid, match="account_id"):
                    client.open_account(never)
        with service.client() as http:
            made = http.post("/api/v1/keys", json={"name": "[/k]", "bid": [NAMES[0]]}).json()
            assert made["view"]["accounts"] == [NAMES[0]]
            for never in "*~":
                assert http.post("/api/v1/wallets", json={"account_id": never}).status_code == 400
            metrics = http.get("/metrics").text
        labels = {
            sample.labels.get("market")
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
        }
        assert MARKET in labels
        for line in service.log.splitlines():
            json.loads(line)
