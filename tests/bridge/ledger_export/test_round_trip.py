"""There and back: what is exported, imported elsewhere and exported there is the same.

Goal: EXP-6, and that an import is done once whatever happens to it. Method: random ledgers on real databases; parts in
any order, several times, and a process that is killed in the middle.
"""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg
import pytest

from callmarket import Conflict, Exchange, ManualClock, open_exchange
from callmarket.bridge.api.contract.paging import all_rows
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.messages import Request
from callmarket.bridge.ledger_export.logs import ChainLog
from callmarket.engine.commands import ADMIN, SYSTEM_ACCOUNTS, Transfer
from callmarket.engine.limits import TOKENS_MAX
from tests.bridge.conftest import START_US
from tests.support.busy_ledger import NAMES, make_busy
from tests.support.chain_logs import TOKEN, account_of, transfer_log
from tests.support.databases import TestServer
from tests.support.service_process import clean

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def other_url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    with postgres_server.fresh_database(template_database) as name:
        yield postgres_server.url(name)


@pytest.fixture
def other(other_url: str) -> Iterator[Exchange]:
    """An empty shard of the same number, in which the same accounts are open."""
    with open_exchange(other_url, clock=ManualClock(START_US)) as exchange:
        for name in NAMES:
            exchange.open_account(name)
        yield exchange


def exported(market: Market) -> list[ChainLog]:
    return list(all_rows(lambda after, limit: market.export_ledger_for_chain(limit=limit, after=after)))


def said(logs: Sequence[ChainLog]) -> list[tuple[object, ...]]:
    """What logs say: all but the row that they are of, its place, its time and its hashes."""
    return [
        (log.address, log.topics, log.data, log.chain, log.value, log.from_is_derived, log.to_is_derived)
        for log in logs
    ]


def balances(market: Market) -> dict[str, int]:
    return {one.account_id: one.balance_tokens for one in market.wallets(limit=1_000).items}


def test_a_ledger_comes_back_as_it_was(market: Exchange, other: Exchange, seed: int) -> None:
    """EXP-6, RES-11: the same logs, the same balances; and each ledger knows its own rows, and what it has imported."""
    rng = random.Random(seed)
    make_busy(market, rng, 60)
    logs = exported(market)
    left = list(logs)
    while left:
        part, left = left[: (size := rng.randint(1, 200))], left[size:]
        looked = other.import_chain_state(part, "ethereum")
        report = other.import_chain_state(part, "ethereum", dry_run=False)
        assert (report.applied, report.known, report.refused) == (len(part), 0, ())
        assert (looked.applied, looked.tokens_in, looked.tokens_out) == (
            report.applied,
            report.tokens_in,
            report.tokens_out,
        )
    again = exported(other)
    assert said(again) == said(logs)
    assert {name: balances(market)[name] for name in (*NAMES, *SYSTEM_ACCOUNTS)} == {
        name: count for name, count in balances(other).items() if not name.startswith("bridge-")
    }
    # Each ledger knows its own rows, and the other's by now.
    before = market.image(), other.image()
    for ledger, rows in ((market, logs), (other, again), (other, logs)):
        for at in range(0, len(rows), 500):
            report = ledger.import_chain_state(rows[at : at + 500], "ethereum", dry_run=False)
            assert (report.applied, report.refused) == (0, ())
    assert (market.image(), other.image()) == before


def test_parts_in_any_order_and_several_times_come_to_the_same(market: Exchange, other: Exchange, seed: int) -> None:
    """EXP-5: what comes too early is refused for want of tokens, and done when it comes again."""
    rng = random.Random(seed)
    make_busy(market, rng, 40)
    logs = exported(market)
    applied = 0
    for _ in range(200):
        part = rng.sample(logs, min(len(logs), rng.randint(1, 60)))
        looked = other.import_chain_state(part, "ethereum")
        report = other.import_chain_state(part, "ethereum", dry_run=False)
        assert (looked.applied, looked.known, looked.refused) == (report.applied, report.known, report.refused)
        assert {one.reason for one in report.refused} <= {"FUNDS_INSUFFICIENT"}
        applied += report.applied
    while True:
        report = other.import_chain_state(logs[:500], "ethereum", dry_run=False)
        applied += report.applied
        if not report.refused:
            break
    assert applied == len(logs) and report.known + report.applied == len(logs)
    assert Counter(said(exported(other))) == Counter(said(logs))
    assert balances(other).get("bridge-ethereum", 0) == 0


def test_a_log_is_of_the_account_that_had_the_address_first(market: Exchange) -> None:
    """EXP-2, Precisely: with another owner it would be paid again. Old addresses are good for ever."""
    for name in ("a", "b"):
        market.open_account(name)
    market.register_address("issuance", TOKEN)
    market.register_address("a", account_of(1))
    log = transfer_log(1, None, account_of(1), 5)
    assert market.import_chain_state([log], "ethereum", dry_run=False).applied == 1
    market.register_address("a", account_of(2))
    with pytest.raises(Conflict):
        market.register_address("b", account_of(1))
    assert market.import_chain_state([log], "ethereum", dry_run=False).known == 1
    later = transfer_log(2, None, account_of(1), 6)
    assert market.import_chain_state([later], "ethereum", dry_run=False).applied == 1
    assert (market.wallet("a").balance_tokens, market.wallet("b").balance_tokens) == (11, 0)


def test_the_same_log_twice_in_one_import_is_done_once(market: Exchange) -> None:
    market.open_account("a")
    market.register_address("a", account_of(1))
    market.register_address("issuance", TOKEN)
    log = transfer_log(1, None, account_of(1), 5)
    spelled = log | {"transactionHash": log["transactionHash"].upper().replace("0X", "0x"), "logIndex": "0x00"}
    for dry_run in (True, False):
        report = market.import_chain_state([log, spelled, log], "ethereum", dry_run=dry_run)
        assert (report.applied, report.known, report.tokens_in) == (1, 2, 5)
    assert market.wallet("a").balance_tokens == 5


def test_what_was_left_in_the_bridge_is_burned_by_the_next_import(market: Exchange) -> None:
    """As after a crash between the transfer into the bridge account and the burn."""
    market.open_account("a")
    market.register_address("a", account_of(1))
    market.register_address("issuance", TOKEN)
    market.mint("a", 100, "grant:initial")
    market.open_account("bridge-ethereum", "provider")
    out = transfer_log(1, account_of(1), None, 30)
    reference = ("earn:bridge", "chain:ethereum", f"{out['transactionHash']}:0")
    market.submit([Request(ADMIN, Transfer("a", "bridge-ethereum", 30, *reference))])
    report = market.import_chain_state([out], "ethereum", dry_run=False)
    assert (report.applied, report.known) == (0, 1)
    assert market.wallet("bridge-ethereum").balance_tokens == 0
    assert market.wallet("issuance").balance_tokens == -70
    # From outside it was one burn, however it came about.
    assert [log.to_account_id for log in market.export_ledger_for_chain().items] == ["a", "bridge-ethereum"]


def test_a_supply_that_would_be_too_large_is_refused(market: Exchange) -> None:
    market.open_account("a")
    market.register_address("a", account_of(1))
    market.register_address("issuance", TOKEN)
    logs = [transfer_log(number, None, account_of(1), TOKENS_MAX) for number in (1, 2)]
    for dry_run in (True, False):
        report = market.import_chain_state(logs, "ethereum", dry_run=dry_run)
        assert report.applied == 1
        assert [(one.index, one.reason, one.bound) for one in report.refused] == [(1, "SUPPLY_EXCEEDED", "0")]


def test_killed_at_any_moment_each_log_is_done_once(database_url: str, tmp_path: Path, seed: int) -> None:
    """`kill -9` in the middle of an import, by the command line, until one comes to its end."""
    rng = random.Random(seed)
    with open_exchange(database_url) as market:
        for number in range(1, 4):
            market.open_account(f"a{number}")
            market.register_address(f"a{number}", account_of(number))
        market.register_address("issuance", TOKEN)
    sides: list[tuple[str | None, str | None]] = [(None, account_of(1)), (account_of(1), account_of(2))]
    sides += [(account_of(2), account_of(3)), (account_of(3), None)]
    logs = [
        transfer_log(block, debit, credit, 7, index=place)
        for block in range(1, 251)
        for place, (debit, credit) in enumerate(sides)
    ]
    file = tmp_path / "logs.jsonl"
    file.write_bytes(b"\n".join(map(msgspec.json.encode, logs)))
    command = [sys.executable, "-m", "callmarket", "import-chain", str(file), "--apply", "--json"]
    settings = clean() | {"CALLMARKET_DATABASE_URL": database_url, "CALLMARKET_LEASE_S": "1"}
    for _ in range(2):
        wanted = moved(database_url) + rng.randint(1, 900)
        with subprocess.Popen(
            command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None and moved(database_url) < min(wanted, 1_500):
                pass
            process.send_signal(signal.SIGKILL)
    told = {}
    for _ in range(60):
        ran = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, check=False, timeout=60)
        if ran.returncode == 0:
            told = msgspec.json.decode(ran.stdout)
            break
        # The dead one's lease is not over yet.
        assert ran.returncode == 3, ran
    assert told["applied"] + told["known"] == told["logs"] == 1_000 and told["refused_count"] == 0
    with open_exchange(database_url) as market:
        assert {name: tokens for name, tokens in balances(market).items() if tokens} == {}
        paid = Counter(log.value for log in exported(market))
        assert paid == {f"7{'0' * 18}": 1_000}


def moved(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM token_ledger").fetchone()
        return 0 if row is None else row[0]
