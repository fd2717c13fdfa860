"""The tables beside the journal, statement by statement, against dictionaries: budgets, debts, cycles, idle tokens.

Goal: each statement changes its own shard, day and key and nothing else, and whatever is written again is the same.
Method: random statements in two shards at once, and after each the whole of what can be asked.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from callmarket.engine.commands import (
    ADMIN,
    ISSUANCE,
    SYSTEM_ACCOUNTS,
    TREASURY,
    Burn,
    Mint,
    OpenAccount,
    OpenMarket,
    Transfer,
)
from callmarket.engine.reasons import REWARD, SALES
from callmarket.persistence import queries
from callmarket.persistence.database.connections import connect
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.stores import demurrage_debts, market_cycles, quest_budgets
from callmarket.persistence.stores.demurrage_debts import Debt
from callmarket.persistence.stores.market_cycles import Cycle, CycleRow, Mode
from callmarket.persistence.stores.quest_budgets import AllocationRow, DayTotals, SpendingRow
from tests.support.following import level
from tests.support.sealed import Sealer, story
from tests.support.sql_model import SqlModel
from tests.support.swarms import long_swarm

DAYS = [date(2026, 11, 29), date(2026, 11, 30)]
SHARDS = (0, 1)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, "test") as one:
        yield one


def allocation(row: AllocationRow) -> tuple[int, int, int, int]:
    return row.allocated_tokens, row.reserved_tokens, row.spent_tokens, row.overrun_tokens


def test_budgets_of_any_shard_day_and_quest(connection: psycopg.Connection, seed: int) -> None:
    """BRG-4: what is set aside, spent, given back and told late, in any order."""
    rng = random.Random(seed)
    parts: dict[tuple[int, date, str], list[int]] = {}
    spendings: dict[tuple[int, int], SpendingRow] = {}
    for number in range(150):
        shard_id, day, quest = rng.choice(SHARDS), rng.choice(DAYS), rng.choice("abc")
        key, part = (shard_id, day, quest), parts.get((shard_id, day, quest))
        match rng.choice(["allocate", "reserve", "reserve", "end", "end"]):
            case "allocate":
                used = part[1] + part[2] if part else 0
                tokens = used + rng.randrange(50)
                quest_budgets.write_allocations(connection, shard_id, day, {quest: tokens})
                parts[key] = [tokens, *(part[1:] if part else (0, 0, 0))]
            case "reserve":
                tokens = rng.randint(1, 30)
                task = f"t{number}"
                made = quest_budgets.reserve(connection, shard_id, day, quest, task, "w", tokens)
                left = part[0] - part[1] - part[2] if part else 0
                assert (made is not None) == (tokens <= left)
                if made is not None:
                    assert part is not None
                    part[1] += tokens
                    assert (made.task_id, made.worker_id, made.day, made.quest) == (task, "w", day, quest)
                    assert (made.status, made.reserved_tokens, made.cost_tokens) == ("reserved", tokens, None)
                    spendings[shard_id, made.reservation_id] = made
            case "end" if spendings:
                (shard_id, reservation_id), was = rng.choice(list(spendings.items()))
                cost = rng.choice([None, 0, was.reserved_tokens, rng.randrange(80)])
                assert (
                    quest_budgets.end(connection, 1 - shard_id, reservation_id, cost) is None
                    or (
                        1 - shard_id,
                        reservation_id,
                    )
                    in spendings
                )
                end = quest_budgets.end(connection, shard_id, reservation_id, cost)
                assert end is not None
                spendings[shard_id, reservation_id] = end
                changes = was.status == "reserved" or (was.status == "released" and cost is not None)
                if not changes:
                    assert end == was, "again: how it ended"
                    continue
                part = parts[shard_id, was.day, was.quest]
                part[1] -= was.reserved_tokens if was.status == "reserved" else 0
                charged = 0 if cost is None else min(cost, part[0] - part[1] - part[2])
                part[2] += charged
                part[3] += 0 if cost is None else cost - charged
                assert end.status == ("released" if cost is None else "spent")
                assert (end.cost_tokens, end.charged_tokens) == (cost, None if cost is None else charged)
        assert_budgets(connection, parts, spendings)


def assert_budgets(
    connection: psycopg.Connection,
    parts: dict[tuple[int, date, str], list[int]],
    spendings: dict[tuple[int, int], SpendingRow],
) -> None:
    for shard_id in SHARDS:
        for day in DAYS:
            mine = {
                quest: tuple(part)
                for (shard, of, quest), part in sorted(parts.items())
                if (shard, of) == (shard_id, day)
            }
            rows = quest_budgets.read_allocations(connection, shard_id, day)
            assert [(row.quest, allocation(row)) for row in rows] == list(mine.items())
            assert all(row.left_tokens == row.allocated_tokens - row.used_tokens >= 0 for row in rows)
            largest = sorted(rows, key=lambda row: (-row.allocated_tokens, row.quest))
            assert quest_budgets.largest_allocations(connection, shard_id, day, 2) == largest[:2]
            sums = [sum(part[column] for part in mine.values()) for column in range(4)]
            assert quest_budgets.day_totals(connection, shard_id, day) == DayTotals(len(mine), *sums)
        own = [row for (shard, _), row in sorted(spendings.items()) if shard == shard_id]
        waiting = [row for row in own if row.status == "reserved"]
        assert quest_budgets.reserved(connection, shard_id) == waiting
        assert quest_budgets.reserved(connection, shard_id, older_than_s=3_600) == []
        for row in own[-2:]:
            found = quest_budgets.reserved(connection, shard_id, row.task_id)
            assert found == [one for one in waiting if one.task_id == row.task_id]
        assert quest_budgets.last_reserved_at(connection, shard_id) == (own[-1].reserved_at if own else None)


def test_a_task_has_one_reservation_that_is_as_old_as_it_is(connection: psycopg.Connection) -> None:
    quest_budgets.write_allocations(connection, 0, DAYS[0], {"a": 9, "b": 9})
    made = quest_budgets.reserve(connection, 0, DAYS[0], "a", "t", "w", 5)
    with pytest.raises(psycopg.errors.UniqueViolation):
        quest_budgets.reserve(connection, 0, DAYS[0], "b", "t", "w", 5)
    connection.execute("UPDATE quest_budget_spendings SET reserved_at = reserved_at - interval '1 h'")
    assert [one.task_id for one in quest_budgets.reserved(connection, 0, older_than_s=3_000)] == ["t"]
    assert quest_budgets.reserved(connection, 0, older_than_s=4_000) == []
    assert made is not None
    assert made.reservation_id == quest_budgets.reserved(connection, 0, "t")[0].reservation_id
    assert quest_budgets.end(connection, 0, made.reservation_id + 99, 1) is None


def test_a_day_is_the_databases_in_utc(connection: psycopg.Connection) -> None:
    connection.execute("SET timezone = 'Pacific/Kiritimati'")
    before = datetime.now(UTC)
    found = quest_budgets.today(connection)
    assert before.date() <= found <= datetime.now(UTC).date()


def test_debts_of_any_account_and_period(connection: psycopg.Connection, database_url: str, seed: int) -> None:
    """What is noted again keeps its tokens and the most attempts; what is old is forgiven; what is paid is told."""
    rng, names, sealer = random.Random(seed), ["a", "b", "c", "d"], Sealer()
    sealer.do(ADMIN, OpenMarket("m"))
    for name in names:
        sealer.do(ADMIN, OpenAccount(name, "agent"))
        sealer.do(ADMIN, Mint(name, 100, "grant"))
    for name, reference, reason in (("a", "p3", "demurrage"), ("b", "p4", "gift"), ("c", "p5", "demurrage")):
        sealer.do(ADMIN, Transfer(name, TREASURY, 7, reason, "period", reference))
    for shard_id in SHARDS:
        with PostgresJournal(database_url, shard_id) as journal:
            journal.claim()
            journal.append(sealer.rows)
        level(database_url, shard_id)
    paid = {("a", 3), ("c", 5)}
    debts: dict[tuple[int, str, int], Debt] = {}
    for _ in range(60):
        shard_id = rng.choice(SHARDS)
        most = rng.choice([3, 5, 100])
        owed = {
            (name, period): Debt(name, period, f"p{period}", rng.randint(1, 50), rng.randrange(4))
            for name, period in zip(rng.choices(names, k=2), rng.choices(range(1, 12), k=2), strict=True)
        }
        known = [debt for (shard, _, _), debt in sorted(debts.items()) if shard == shard_id]
        ended = rng.sample(known, min(len(known), rng.randrange(3)))
        demurrage_debts.write_debts(connection, shard_id, list(owed.values()), ended, most)
        for (name, period), debt in owed.items():
            was = debts.get((shard_id, name, period))
            debts[shard_id, name, period] = debt if was is None else Debt(
                name, period, was.reference_id, was.tokens, max(was.attempts, debt.attempts)
            )  # fmt: skip
        for name, period in owed:
            for key in [key for key in debts if key[:2] == (shard_id, name) and key[2] <= period - most]:
                del debts[key]
        for debt in ended:
            debts.pop((shard_id, debt.account_id, debt.period), None)
        for shard_id in SHARDS:
            limit, found, after = rng.choice([1, 3, 100]), list[demurrage_debts.DebtRow](), ("", 0)
            while page := demurrage_debts.debts_page(connection, shard_id, after, limit):
                assert len(page) <= limit
                found += page
                after = page[-1].account_id, page[-1].period
            expected = [debt for (shard, _, _), debt in sorted(debts.items()) if shard == shard_id]
            assert [Debt(*(getattr(row, field) for field in Debt.__struct_fields__)) for row in found] == expected
            for row in found:
                assert row.paid == ((row.account_id, row.period) in paid)
                assert row.available_tokens == (100 if row.account_id == "d" else 93)


def test_the_last_setting_of_a_cycle_counts(connection: psycopg.Connection, database_url: str) -> None:
    sealer = Sealer()
    for name in ("a", "b"):
        sealer.do(ADMIN, OpenMarket(name))
    for shard_id in SHARDS:
        with PostgresJournal(database_url, shard_id) as journal:
            journal.claim()
            journal.append(sealer.rows)
        level(database_url, shard_id)
    nothing = [CycleRow(name, "asked", None, None, "") for name in "ab"]
    before = None
    cycles: list[tuple[Mode, int | None]] = [
        ("every", 10**6),
        ("every", 2 * 10**6),
        ("on_offer", None),
        ("asked", None),
    ]
    for number, (mode, period_us) in enumerate(cycles):
        row = market_cycles.write_cycle(connection, 0, "a", Cycle(mode, period_us), f"person {number}")
        assert row is not None
        assert (row.market_id, row.cycle, row.updated_by) == ("a", Cycle(mode, period_us), f"person {number}")
        assert row.updated_at is not None
        assert before is None or row.updated_at > before
        before = row.updated_at
        assert market_cycles.read_cycles(connection, 0) == [row, nothing[1]]
        assert market_cycles.read_cycles(connection, 1) == nothing
    assert market_cycles.write_cycle(connection, 0, "c", Cycle("asked"), "nobody") is None


def test_idle_is_what_an_account_had_less_what_was_new(
    connection: psycopg.Connection, database_url: str, seed: int
) -> None:
    """Any period of any history, in pages, against the plainest reckoning from the movements."""
    rng, model = random.Random(seed), SqlModel()
    for shard_id in SHARDS:
        rows = story(seed + shard_id, 700, long_swarm).rows
        with PostgresJournal(database_url, shard_id) as journal:
            journal.claim()
            journal.append(rows)
        level(database_url, shard_id)
    for row in rows:
        model.add(row)
    ledger = [move for _, move in sorted(model.ledger.items())]
    payers = {
        market["reward_account_id"]
        for market in model.markets.values()
        if min(market[f"reward_{name}"] for name in ("tokens_per_impact", "cap_tokens", "day_cap_tokens")) > 0
    }
    for _ in range(10):
        first, end = sorted(rng.choices(range(1, len(ledger) + 3), k=2))
        expected = []
        for account_id, account in sorted(model.accounts.items()):
            credits_ = [move for move in ledger if move["to_account"] == account_id and move["id"] < end]
            debits = [move for move in ledger if move["from_account"] == account_id and move["id"] < end]
            had = sum(move["amount"] for move in credits_) - sum(move["amount"] for move in debits)
            new = [move for move in credits_ if move["id"] >= first]
            fresh = sum(m["amount"] for m in new if m["from_account"] in (ISSUANCE, TREASURY) or m["reason"] == REWARD)
            if account["kind"] == "provider":
                had = min(had, sum(move["amount"] for move in credits_ if move["reason"] not in SALES))
            idle = 0 if account["kind"] == "system" or account_id in payers else max(0, had - fresh)
            expected.append(queries.IdleRow(account_id, idle, max(0, account["balance"] - account["held"])))
        limit, found = rng.choice([1, 7, 1_000]), list[queries.IdleRow]()
        while page := queries.idle_page(
            connection, 1, found[-1].account_id if found else "", limit,
            first_id=first, end_id=end, reference_id="none",
        ):  # fmt: skip
            assert len(page) <= limit
            found += page
        assert found == expected


def test_an_account_that_paid_for_a_period_is_not_charged_again(
    connection: psycopg.Connection, database_url: str
) -> None:
    """By this reference, for this reason; whatever else it has paid."""
    sealer = Sealer()
    sealer.do(ADMIN, OpenMarket("m"))
    for name in "abcd":
        sealer.do(ADMIN, OpenAccount(name, "agent"))
        sealer.do(ADMIN, Mint(name, 100, "grant"))
    sealer.do(ADMIN, Transfer("a", TREASURY, 1, "demurrage", "period", "p1"))
    sealer.do(ADMIN, Transfer("b", TREASURY, 1, "demurrage", "period", "p2"))
    sealer.do(ADMIN, Burn("c", 1, "demurrage", "period", "p1"))
    sealer.do(ADMIN, Transfer("d", TREASURY, 1, "gift", "period", "p1"))
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(sealer.rows)
    level(database_url)
    page = queries.idle_page(connection, 0, "", 10, first_id=5, end_id=9, reference_id="p1")
    assert {row.account_id: row.idle_tokens for row in page} == {
        "a": 0, "b": 99, "c": 0, "d": 99, **dict.fromkeys(SYSTEM_ACCOUNTS, 0),
    }  # fmt: skip
    since = datetime(2020, 1, 1, tzinfo=UTC)
    assert queries.first_movement_since(connection, 0, since) == 1
    assert queries.first_movement_since(connection, 0, since + timedelta(days=10**4)) == 9
    assert quest_budgets.last_awarded_at(connection, 0) is None
