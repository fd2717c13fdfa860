"""`callmarket artifact`, as a person or a program uses it, in front of a market that is served.

Goal: all that can be done with an artifact market can be done from a terminal, by a key and nothing else; what is
printed is what happened. Method: one story over the command line, and what goes wrong in each of its ways; in this
process, as a start for each command takes longer than all the rest of it, and once in a process of its own.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from callmarket import Exchange, open_exchange
from callmarket.bridge.api.market import all_operations
from callmarket.bridge.cli.artifacts import looking, portfolios, staff, trading
from callmarket.bridge.cli.artifacts.commands import artifact
from callmarket.bridge.cli.commands import main
from tests.bridge.cli.test_commands import assert_helps, complaint, run
from tests.support.served_market import Served, served
from tests.support.service_process import clean

COMMANDS = [command.name or "" for command in artifact.registered_commands]


class Desk:
    """A market that is served, with keys for those who use it."""

    def __init__(self, market: Exchange, service: Served) -> None:
        for account_id in ("ann", "bob", "judge"):
            market.open_account(account_id)
            market.mint(account_id, 1_000, "grant:initial")
        market.mint("lmsr_subsidy_pool", 1_000, "grant:initial")
        self.url = service.url
        self.staff = service.key(operate=True)
        self.ann, self.bob, self.judge = (service.key(bid=(name,)) for name in ("ann", "bob", "judge"))
        self.both = service.key(bid=("ann", "bob"))
        self.looker = service.key()

    def run(self, key: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command with a key, as the program runs it; those of `artifact` without saying so."""
        arguments = arguments if arguments[0] in ("portfolio", "leaderboard") else ("artifact", *arguments)
        settings = clean() | {"CALLMARKET_URL": self.url, "CALLMARKET_KEY": key}
        out, err = (TextIOWrapper(BytesIO(), encoding="utf-8") for _ in range(2))
        with (
            patch.dict(os.environ, settings, clear=True),
            patch.object(sys, "argv", ["callmarket", *arguments]),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read())
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *said)

    def json(self, key: str, *arguments: str) -> Any:
        """What it says to programs; it must succeed."""
        done = self.run(key, *arguments, "--json")
        assert (done.returncode, done.stderr) == (0, ""), done
        return json.loads(done.stdout)

    def words(self, key: str, *arguments: str) -> str:
        """What it says to people; it must succeed."""
        done = self.run(key, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """One desk for a test, at the time that it is."""
    with open_exchange(database_url) as market, served(market) as service:
        yield Desk(market, service)


@pytest.mark.parametrize("command", [*(("artifact", name) for name in COMMANDS), ("portfolio",), ("leaderboard",)])
def test_each_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    assert_helps(*command)


def test_each_operation_on_artifact_markets_has_a_command() -> None:
    """Who adds one adds its command too."""
    files = (looking, staff, trading, portfolios)
    text = "".join(Path(module.__file__ or "").read_text(encoding="utf-8") for module in files)
    asked = set(re.findall(r"market\.(\w+)\(", text))
    # What they say is in the portfolio.
    parts = {"compute_pnl", "compute_exposure"}
    tags = ("Artifact markets", "Portfolios")
    assert {one.name for one in all_operations() if one.tag in tags} == (asked - {"send"}) | parts


def test_a_market_is_opened_traded_and_settled(desk: Desk) -> None:
    """A story from the subsidy to the payout; 15.84963 shares for 10 tokens at a subsidy of 10 (oracle of Gnosis)."""
    made = desk.json(desk.staff, "open", "h-1", "--subsidy", "10", "--closes", "30d", "--arbiter", "judge")
    assert (made["subsidy_tokens"], made["artifact_id"]) == (10, "h-1")
    quote = desk.json(desk.ann, "quote", "h-1", "yes", "10")
    assert (quote["side"], quote["shares"], quote["refusal"]) == ("long", pytest.approx(15.84963, abs=1e-5), None)
    said = desk.words(desk.ann, "buy", "h-1", "long", "10", "--limit", "0.8")
    assert "bought 15.849" in said
    assert "from 0.5 to 0.75" in said
    (position,) = desk.json(desk.ann, "positions")["positions"]
    assert (position["shares"], position["cost_tokens"]) == (quote["shares"], quote["tokens"])
    assert str(position["position_id"]) in desk.words(desk.ann, "positions", "--artifact", "h-1")
    preview = desk.json(desk.ann, "sell", "1", "5.5", "--dry-run")
    assert preview["shares"] == 5.5
    sold = desk.json(desk.ann, "sell", "1", "5.5", "--limit", "0.5")
    assert (sold["tokens"], sold["fee_tokens"]) == (preview["tokens"], preview["fee_tokens"])
    assert "exit fee" in desk.words(desk.ann, "sell", "1", "1")
    resting = desk.json(desk.bob, "buy", "h-1", "no", "20", "--limit", "0.2", "--until", "12h")
    assert resting["resting"]["tokens"] == 20
    assert "buy short" in desk.words(desk.bob, "orders")
    book = desk.json(desk.looker, "book", "h-1")
    assert [level["price"] for level in book["asks"]] == [0.8]
    shown = desk.words(desk.looker, "book", "h-1")
    for words in ("its arbiter judge", "asks: orders that move the price down", "what it takes to move the price"):
        assert words in shown
    assert [one["artifact_id"] for one in desk.json(desk.looker, "markets", "--status", "open")["markets"]] == ["h-1"]
    assert "h-1" in desk.words(desk.looker, "markets")
    trades = desk.json(desk.looker, "trades", "h-1")["trades"]
    assert [(one["effect"], one["account_id"]) for one in trades] == [
        ("close", "ann"),
        ("close", "ann"),
        ("open", "ann"),
    ]
    assert trades[-1]["market"]["price_after"] == 0.75
    assert "sold long" in desk.words(desk.looker, "trades", "h-1")
    assert "20 tokens are free again" in desk.words(desk.bob, "cancel", str(resting["order_id"]))
    preview = desk.json(desk.judge, "settle", "h-1", "validated", "--dry-run")
    assert [one["account_id"] for one in preview["payouts"]] == ["ann"]
    assert "nothing was done" in desk.words(desk.judge, "settle", "h-1", "validated", "--dry-run")
    done = desk.json(desk.judge, "settle", "h-1", "validated")
    assert (done["paid_tokens"], done["price"]) == (preview["paid_tokens"], 1.0)
    assert desk.json(desk.ann, "positions")["positions"] == []


def test_portfolios_and_leaders(desk: Desk) -> None:
    """Who was right where artifacts were judged leads; a portfolio is anybody's to look at, as a wallet is."""
    assert "nobody has traded" in desk.words(desk.looker, "leaderboard")
    for number in range(5):
        name = f"h-{number}"
        desk.words(desk.staff, "open", name, "--subsidy", "10")
        desk.words(desk.ann, "buy", name, "long", "5")
        desk.words(desk.bob, "buy", name, "short", "5")
        desk.words(desk.staff, "settle", name, "validated")
    desk.words(desk.staff, "open", "h-9", "--subsidy", "10")
    desk.words(desk.ann, "buy", "h-9", "long", "5")
    assert "no open positions" in desk.words(desk.looker, "portfolio", "bob")
    found = desk.json(desk.ann, "portfolio")
    assert (found["portfolio"]["positions_open"], found["sharpe"]["sharpe"]) == (1, None)
    assert found["portfolio"]["realised_tokens"] > 0
    assert "insufficient history" in desk.words(desk.ann, "portfolio")
    leaders = desk.json(desk.looker, "leaderboard", "--by", "bits", "--days", "30")["leaders"]
    assert [one["account_id"] for one in leaders] == ["ann", "bob"]
    assert "±" in desk.words(desk.looker, "leaderboard")
    assert "nobody" in complaint(desk.run(desk.looker, "portfolio", "nobody"), 1)


def test_a_market_is_frozen_and_unfrozen_and_its_liquidity_falls_when_due(desk: Desk) -> None:
    assert "price 0.5" in desk.words(desk.staff, "open", "h-1", "--b", "100", "--decay", "2", "--dispute-window", "48h")
    assert "is frozen until" in desk.words(desk.staff, "freeze", "h-1", "--until", "48h")
    assert "ARTIFACT_FROZEN" in complaint(desk.run(desk.ann, "buy", "h-1", "long", "1"), 3)
    assert "trades again" in desk.words(desk.staff, "unfreeze", "h-1")
    assert "DECAY_NOT_DUE" in complaint(desk.run(desk.staff, "decay", "h-1"), 3)
    assert "will be settled as flagged" in desk.words(desk.staff, "settle", "h-1", "flagged", "--price", "0.2")


def test_a_refused_quote_is_exit_code_1_and_says_why(desk: Desk) -> None:
    desk.words(desk.staff, "open", "h-1", "--subsidy", "10")
    for more in ((), ("--json",)):
        done = desk.run(desk.ann, "quote", "h-1", "long", "900", *more)
        assert (done.returncode, done.stderr) == (1, "")
        assert "EXPOSURE_EXCEEDED" in done.stdout
    done = desk.run(desk.staff, "settle", "h-1", "flagged", "--price", "0.9", "--dry-run")
    assert (done.returncode, "SETTLE_PRICE_RANGE" in done.stdout) == (1, True)


def test_a_process_of_its_own_says_the_same(desk: Desk) -> None:
    desk.words(desk.staff, "open", "h-1", "--subsidy", "10")
    done = run("artifact", "quote", "h-1", "long", "10", CALLMARKET_URL=desk.url, CALLMARKET_KEY=desk.ann)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", desk.words(desk.ann, "quote", "h-1", "long", "10"))


def test_a_command_is_done_once_under_its_id(desk: Desk) -> None:
    desk.words(desk.staff, "open", "h-1", "--subsidy", "10")
    first, again = (desk.json(desk.ann, "buy", "h-1", "long", "5", "--command-id", "c-1") for _ in range(2))
    assert (first["order_id"], again["stamp"]["repeated"]) == (again["order_id"], True)
    assert len(desk.json(desk.ann, "positions")["positions"]) == 1


def test_what_is_asked_wrong_is_said_in_one_line(desk: Desk) -> None:
    desk.words(desk.staff, "open", "h-1", "--subsidy", "10")
    assert "limit_price" in complaint(desk.run(desk.ann, "buy", "h-1", "long", "5", "--limit", "1.5"), 2)
    assert "with --account" in complaint(desk.run(desk.both, "buy", "h-1", "long", "5"), 2)
    assert desk.json(desk.both, "buy", "h-1", "long", "5", "--account", "bob")["account_id"] == "bob"
    assert "until" in complaint(desk.run(desk.ann, "buy", "h-1", "long", "5", "--until", "tomorrow"), 2)
    assert "until" in complaint(desk.run(desk.ann, "buy", "h-1", "long", "5", "--until", "1h", "--all-or-nothing"), 2)
    assert "CALLMARKET_KEY" in complaint(desk.run("", "markets"), 2)
    assert "h-2" in complaint(desk.run(desk.ann, "book", "h-2"), 1)
    assert "has no account" in complaint(desk.run(desk.looker, "positions"), 3)
    assert complaint(desk.run(desk.ann, "open", "h-2", "--subsidy", "10"), 3)


def test_names_are_text(desk: Desk) -> None:
    """Brackets are rich's markup: a name with them is shown as it is."""
    name = "[red]h-1[link=x]"
    desk.words(desk.staff, "open", name, "--subsidy", "10")
    desk.words(desk.ann, "buy", name, "long", "5")
    for arguments in (("markets",), ("book", name), ("positions",), ("trades", name)):
        assert name in desk.words(desk.ann, *arguments)
    assert name in desk.words(desk.staff, "settle", name, "void", "--dry-run")
