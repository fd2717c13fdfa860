"""The economy from end to end, on a real PostgreSQL: the ways out and back, the supply, the report.

Goal: what is told of the tokens is what the ledger and the engine have, and the same seed tells the same. Method: one
run of some days that most tests read; the ledger is read here again, in SQL of the test's own.
"""

import io
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from rich.console import Console

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.studies.demo.audit import Row, read_journal
from callmarket.bridge.studies.economy import audit
from callmarket.bridge.studies.economy.ledger import Return, gini, read_ledger
from callmarket.bridge.studies.economy.options import EconomyOptions
from callmarket.bridge.studies.economy.play import POOL_TOKENS, RESERVE_TOKENS
from callmarket.bridge.studies.economy.result import EconomyResult
from callmarket.bridge.studies.economy.run import run_economy
from callmarket.engine.commands import ISSUANCE
from tests.support.databases import TestServer

DAYS = 6


@pytest.fixture(scope="module")
def options(postgres_server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EconomyOptions]:
    """Options of a short run on a database of its own."""
    database = f"callmarket_economy_test_{os.getpid()}"
    yield EconomyOptions(
        days=DAYS,
        report=tmp_path_factory.mktemp("economy") / "report.html",
        url=postgres_server.url("postgres"),
        database=database,
    )
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    """What it printed."""
    return io.StringIO()


@pytest.fixture(scope="module")
def result(options: EconomyOptions, shown: io.StringIO) -> EconomyResult:
    """The result of the one run that the tests of this file read."""
    return run_economy(options, Console(file=shown, width=80))


@pytest.fixture(scope="module")
def url(result: EconomyResult, options: EconomyOptions, postgres_server: TestServer) -> str:
    """The database that the run has left."""
    assert result.ok
    return postgres_server.url(options.database)


@pytest.fixture(scope="module")
def journal(url: str) -> list[Row]:
    """Its journal."""
    return read_journal(url)


def asked(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode(), values).fetchall()


def test_every_proof_holds(result: EconomyResult) -> None:
    assert [proof for proof in result.proofs if not proof.ok] == []
    assert len(result.proofs) == 6


def test_priced_out_and_back_by_the_ledger(result: EconomyResult, url: str) -> None:
    """LED-7, AUC-14: refused with less than a slot cost, credited with earnings, then a slot is paid by day again."""
    back = [one for one in result.returns if one.price_tokens is not None]
    assert len(back) >= 3
    for one in back:
        assert one.price_tokens is not None
        (seq, value, bound) = asked(
            url,
            "SELECT seq, value::bigint, bound::bigint FROM refusals WHERE seq > 0 AND reason = 'FUNDS_INSUFFICIENT'"
            " AND command ->> 'bidder_id' = %s AND refused_at = %s",
            one.account_id,
            one.refused_at,
        )[0]
        assert value > bound == one.available_tokens < one.out_price_tokens
        ((paid_seq, price),) = asked(
            url,
            "SELECT seq, amount FROM token_ledger WHERE reason = 'settle:slot' AND from_account = %s"
            ' AND "timestamp" = %s',
            one.account_id,
            one.back_at,
        )
        assert price == one.price_tokens > RESERVE_TOKENS
        assert paid_seq > seq
        earned = asked(
            url,
            "SELECT coalesce(sum(amount), 0)::bigint FROM token_ledger WHERE to_account = %s AND seq > %s AND seq < %s"
            " AND (reason = 'earn:review' OR reason = 'reward:impact')",
            one.account_id,
            seq,
            paid_seq,
        )[0][0]
        assert earned > 0
        assert bound + earned >= price
    assert any(bound.available_tokens < (bound.price_tokens or 0) for bound in back), (
        "it could not have paid this before"
    )
    assert {one.account_id for one in back} <= {one.account_id for one in result.accounts if one.habit == "reckless"}


def test_the_supply_adds_up_to_the_issuance(result: EconomyResult, url: str) -> None:
    """LED-1: day by day what was minted less what was burnt; at the end exactly what issuance owes."""
    supply = 0
    for day in result.days:
        supply += day.minted_tokens - day.burnt_tokens
        assert day.supply_tokens == supply
        assert day.minted_tokens == day.granted_tokens + day.funded_tokens + day.earned_tokens
        wallets = sum(wallet[day.day - 1] for wallet in result.wallets.values())
        assert wallets + day.treasury_tokens + day.pool_tokens == supply
        assert day.pool_tokens == POOL_TOKENS
    ((owed,),) = asked(url, "SELECT -balance FROM token_accounts WHERE account_id = %s", ISSUANCE)
    assert supply == owed
    ((idle,),) = asked(url, "SELECT sum(amount)::bigint FROM token_ledger WHERE reason = 'demurrage'")
    assert sum(day.demurrage_tokens for day in result.days) == idle > 0


def test_what_accounts_are_told_adds_up_too(result: EconomyResult) -> None:
    for one in result.accounts:
        got = one.granted_tokens + one.rewarded_tokens + one.earned_tokens
        assert one.balance_tokens == got - one.paid_tokens - one.demurrage_tokens == result.wallets[one.account_id][-1]
        assert (one.habit == "idle") == (one.paid_tokens == 0)
        assert one.priced_out >= one.came_back


def test_a_proof_fails_where_something_is_wrong(result: EconomyResult, url: str, journal: list[Row]) -> None:
    """Each proof can fail: one wrong token, one missing row, one charge twice, one return without an earning."""
    movements = read_ledger(url)
    assert audit.audit_every_step(journal).ok
    missing = next(number for number, row in enumerate(journal) if "transfer_posted" in row.events_json)
    assert not audit.audit_every_step(journal[:missing] + journal[missing + 1 :]).ok
    engine = {ISSUANCE: -result.days[-1].supply_tokens}
    assert audit.audit_supply(result.days, engine).ok
    assert not audit.audit_supply(result.days, {ISSUANCE: engine[ISSUANCE] - 1}).ok
    first = msgspec.structs.replace(result.days[0], earned_tokens=result.days[0].earned_tokens + 1)
    assert not audit.audit_supply((first, *result.days[1:]), engine).ok
    assert not audit.audit_wallets({"a": 1}, {"a": 2}).ok
    assert not audit.audit_wallets({"a": 1, "b": 0}, {"a": 1}).ok
    charge = next(one for one in movements if one.reason == "demurrage")
    assert audit.audit_demurrage(movements).ok
    assert not audit.audit_demurrage([*movements, charge]).ok
    back = next(one for one in result.returns if one.price_tokens is not None)
    for wrong in (
        {"earned_tokens": 0, "rewarded_tokens": 0},
        {"price_tokens": 10_000},
        {"available_tokens": back.out_price_tokens},
    ):
        changed: Return = msgspec.structs.replace(back, **wrong)
        assert not audit.audit_returns([back, changed]).ok


def test_the_same_seed_gives_the_same_journal(
    options: EconomyOptions, journal: list[Row], url: str, postgres_server: TestServer
) -> None:
    """Command for command and byte for byte, but for the ids that no caller gave; another seed differs."""
    again = msgspec.structs.replace(options, days=2, report=None, database=f"{options.database}_again")
    try:
        run_economy(again, Console(file=io.StringIO()))
        repeated = read_journal(postgres_server.url(again.database))
        assert repeated == journal[: len(repeated)]
        run_economy(msgspec.structs.replace(again, seed=options.seed + 1), Console(file=io.StringIO()))
        assert read_journal(postgres_server.url(again.database)) != repeated
    finally:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{again.database}" WITH (FORCE)')


def test_without_demurrage_idling_is_free(options: EconomyOptions, postgres_server: TestServer) -> None:
    free = msgspec.structs.replace(options, days=3, report=None, demurrage_ppm=0, database=f"{options.database}_free")
    try:
        result = run_economy(free, Console(file=io.StringIO()))
        assert sum(day.demurrage_tokens for day in result.days) == 0
        assert result.ok
    finally:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{free.database}" WITH (FORCE)')


def test_gini_is_the_mean_difference(seed: int) -> None:
    """Against its definition: the mean difference of two wallets over twice the mean."""
    rng = random.Random(seed)
    for _ in range(50):
        tokens = [rng.randrange(1_000) for _ in range(rng.randrange(1, 12))]
        if sum(tokens):
            pairs = [abs(a - b) for a in tokens for b in tokens]
            mean = sum(tokens) / len(tokens)
            assert gini(tokens) == pytest.approx(sum(pairs) / len(pairs) / (2 * mean))
    assert gini([5, 5, 5]) == gini([0, 0]) == gini([]) == 0


def test_the_terminal_tells_it_at_80_columns(result: EconomyResult, shown: io.StringIO) -> None:
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for one in result.accounts:
        assert re.search(rf"{re.escape(one.account_id)} .*{one.habit}", text)
    assert f"{result.days[-1].supply_tokens:,}" in text
    assert "priced out" in text.lower()
    assert text.count("ok      ") == 6


def test_the_report_needs_no_network_and_says_what_is_drawn(result: EconomyResult) -> None:
    assert result.report is not None
    page = Path(result.report).read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "$" not in page
    assert not re.search(r"""(src|href)=["'](?!#)|url\((?!#)|@import""", page), "nothing from outside"
    assert f"with seed {result.seed}" in page
    assert f"{result.days[-1].supply_tokens:,}" in page


@pytest.mark.parametrize(
    ("field", "value"), [("days", 0), ("days", 367), ("demurrage_ppm", -1), ("report", Path("/nowhere/at/all.html"))]
)
def test_wrong_options_are_named(options: EconomyOptions, field: str, value: Any) -> None:
    with pytest.raises(Invalid, match=field):
        run_economy(msgspec.structs.replace(options, **{field: value}), Console(file=io.StringIO()))
