"""What may be spent on research on each artifact: the formula, what is deducted from it, and what a ranking reads.

Goal: the formula as it was asked for (RES-2), for any capital and any price. Method: holds of all kinds are put into
their table as the journal would leave them, the view is asked, and exact fractions say what it has to answer.
"""

import json
import random
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import psycopg
import pytest

from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX
from callmarket.persistence.database.connections import connect
from callmarket.persistence.stores import artifacts, resource_budgets
from callmarket.persistence.stores.resource_budgets import AllocationRow, BudgetRow, Spending
from tests.support.plans import Explaining, plans, rows_read

HOLD = """INSERT INTO token_holds (shard_id, placed_seq, hold_id, account_id, placed_by, amount, captured,
        captured_to, reason, reference_type, reference_id, memo, status, placed_at, ended_at, seq)
    VALUES (%(shard)s, %(seq)s, %(name)s, 'a', 'a', %(amount)s,
        CASE WHEN %(status)s = 'captured' THEN %(amount)s END, CASE WHEN %(status)s = 'captured' THEN 'b' END,
        %(reason)s, %(kind)s, %(artifact)s, '', %(status)s, %(placed_at)s,
        CASE WHEN %(status)s <> 'open' THEN now() END, %(seq)s)"""
# The time of the market, and one so long before that what was placed then counts as a whole.
NOW = datetime(2030, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=90)
CLOCK = f"""INSERT INTO engine_writer (shard_id, epoch, last_seq, last_digest, claimed_at, claimed_by)
        SELECT shard, 1, 1, sha256(''), now(), '' FROM generate_series(0, 1) AS shard
        ON CONFLICT DO NOTHING;
    INSERT INTO journal (shard_id, seq, epoch, at_us, actor, command_id, rules, command, events, digest)
        SELECT shard, 1, 1, {int(NOW.timestamp())} * 1000000::bigint, '', '', 1, '{{}}', '[]', sha256('')
        FROM generate_series(0, 1) AS shard ON CONFLICT DO NOTHING"""

TABLES = [
    "artifact_markets",
    "artifact_positions",
    "artifact_records",
    "artifact_states",
    "bounty_claims",
    "market_orders",
    "resource_allocations",
    "token_holds",
]


class Capital:
    """An open connection, and holds of the test's own making."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self._seq = 0

    def artifact(self, artifact_id: str, price_micros: int | None = None, kind: str = "hypothesis") -> None:
        """Put an artifact, and price it."""
        artifacts.put_artifact(self.connection, 0, artifact_id, kind, "", "test")
        if price_micros is not None:
            artifacts.set_market_price(self.connection, 0, artifact_id, price_micros, "test")

    def hold(self, artifact_id: str, amount: int, reason: str, **how: Any) -> None:
        """A hold, open unless told otherwise."""
        self._seq += 1
        usual = {"shard": 0, "status": "open", "kind": "artifact", "placed_at": LONG_AGO}
        values = {
            "seq": self._seq,
            "name": f"hold-{self._seq}",
            "artifact": artifact_id,
            "amount": amount,
            "reason": reason,
        }
        self.connection.execute(HOLD, usual | values | how)

    def budget(self, artifact_id: str) -> BudgetRow:
        """Its budget, which there is."""
        found = resource_budgets.budget(self.connection, 0, artifact_id)
        assert found is not None
        return found

    def spend(self, artifact_id: str, tokens: int, reference_id: str) -> AllocationRow | int | None:
        """Record that so much was spent."""
        spending = Spending(artifact_id, tokens, "task", reference_id, None)
        return resource_budgets.record(self.connection, 0, spending, "test", SEQ_MAX)


@pytest.fixture
def capital(module_database_url: str) -> Iterator[Capital]:
    """Tables with nothing in them."""
    with connect(module_database_url, "test") as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
        connection.execute(CLOCK.encode())
        yield Capital(connection)


def naive(demand: int, bounties: int, price_micros: int) -> Fraction:
    """The formula as it was asked for."""
    price = Fraction(price_micros, 1_000_000)
    uncertainty_mult = 1 - abs(price - Fraction(1, 2)) * 2
    return (demand * Fraction(1, 10) + bounties) * (Fraction(1, 2) + Fraction(1, 2) * uncertainty_mult)


def test_the_budget_is_the_formula_rounded_down(capital: Capital, seed: int) -> None:
    """BRG-3, Precisely. RES-1, RES-2: against the formula in fractions, for any capital and any price."""
    rng = random.Random(seed)
    expected: dict[str, tuple[int, int, int]] = {}
    with capital.connection.transaction():
        for number in range(200):
            price = rng.choice([0, 1, 499_999, 500_000, 500_001, 999_999, 1_000_000, rng.randrange(1_000_001)])
            sums = {"stake": 0, "bounty": 0}
            capital.artifact(f"a{number}", price)
            for _ in range(rng.randrange(6)):
                reason = rng.choice(["stake", "bounty"])
                amount = rng.choice([1, 3, rng.randrange(1, 10_000), rng.randrange(1, TOKENS_MAX // 10)])
                capital.hold(f"a{number}", amount, reason)
                sums[reason] += amount
                # None of these is committed to it.
                capital.hold(f"a{number}", amount, reason, status=rng.choice(["captured", "released", "expired"]))
                capital.hold(f"a{number}", amount, reason, kind="task")
                capital.hold(f"a{number}", amount, "grant")
                capital.hold(f"a{number}", amount, reason, shard=1)
            expected[f"a{number}"] = (sums["stake"], sums["bounty"], price)
    for artifact_id, (demand, bounties, price) in expected.items():
        found = capital.budget(artifact_id)
        assert (found.demand_tokens, found.bounty_tokens) == (demand, bounties)
        assert found.budget_tokens == naive(demand, bounties, price).__floor__(), (demand, bounties, price)
        assert found.left_tokens == found.budget_tokens
        assert found.base_budget_tokens == pytest.approx(demand / 10)
        assert found.uncertainty_multiplier == pytest.approx(1 - abs(price / 1_000_000 - 0.5) * 2)
    ranked = resource_budgets.rankings(capital.connection, 0, None, 1_000)
    committed = {artifact_id: parts for artifact_id, parts in expected.items() if parts[0] + parts[1]}
    order = sorted(committed, key=lambda name: (-naive(*committed[name]).__floor__(), name))
    assert [row.artifact_id for row in ranked] == order
    assert ranked == [capital.budget(artifact_id) for artifact_id in order]
    assert resource_budgets.rankings(capital.connection, 0, None, 7) == ranked[:7]


def test_more_capital_is_never_less_budget_and_half_a_price_is_most(capital: Capital, seed: int) -> None:
    """BRG-3: monotone in demand and bounties; most at a price of 0.5, half of that at 0 and 1, alike on both sides."""
    rng = random.Random(seed)
    for number in range(20):
        name, price = f"a{number}", rng.randrange(1_000_001)
        capital.artifact(name, price)
        before = 0
        for _ in range(5):
            capital.hold(name, rng.randrange(1, 1_000), rng.choice(["stake", "bounty"]))
            now = capital.budget(name).budget_tokens
            assert now >= before
            before = now
        by_price = {}
        for micros in (0, price, 500_000, 1_000_000 - price, 1_000_000):
            artifacts.set_market_price(capital.connection, 0, name, micros, "test")
            by_price[micros] = capital.budget(name).budget_tokens
        assert max(by_price.values()) == by_price[500_000]
        assert by_price[0] == by_price[1_000_000] == min(by_price.values())
        assert by_price[0] in (by_price[500_000] // 2, (by_price[500_000] + 1) // 2)
        assert by_price[price] == by_price[1_000_000 - price]


def test_an_unpriced_artifact_is_as_uncertain_as_can_be(capital: Capital) -> None:
    """BRG-3, Precisely: 0.5 until it is priced."""
    capital.artifact("a")
    capital.hold("a", 100, "stake")
    assert capital.budget("a").market_price == 0.5
    assert capital.budget("a").budget_tokens == 10
    assert resource_budgets.budget(capital.connection, 0, "b") is None
    assert resource_budgets.budget(capital.connection, 1, "a") is None


def test_spending_is_deducted_and_never_exceeds_the_budget(capital: Capital) -> None:
    """BRG-3, RES-6: spending is deducted from the artifact's budget; demand that grows gives new budget."""
    capital.artifact("a", 500_000)
    assert capital.spend("a", 1, "early") == 0
    capital.hold("a", 1_000, "stake")
    assert capital.spend("a", 101, "too-much") == 100
    assert isinstance(capital.spend("a", 60, "t1"), AllocationRow)
    assert (capital.budget("a").spent_tokens, capital.budget("a").left_tokens) == (60, 40)
    assert capital.spend("a", 41, "t2") == 40
    assert isinstance(capital.spend("a", 40, "t2"), AllocationRow)
    capital.hold("a", 500, "stake")
    assert capital.budget("a").left_tokens == 50
    # The capital leaves: what was spent stays spent, and what is left is nothing, not a debt.
    capital.connection.execute("UPDATE token_holds SET status = 'released', ended_at = now()")
    assert (capital.budget("a").budget_tokens, capital.budget("a").left_tokens) == (0, 0)
    assert capital.spend("none", 1, "t3") is None
    spent = capital.connection.execute("SELECT sum(tokens) FROM resource_allocations").fetchone()
    assert spent == (100,)


def test_the_same_reference_is_recorded_once(capital: Capital) -> None:
    """BRG-3, Precisely: again it is the row of the first time, also where nothing is left."""
    capital.artifact("a", 500_000)
    capital.artifact("b", 500_000)
    capital.hold("a", 1_000, "stake")
    capital.hold("b", 1_000, "stake")
    first = capital.spend("a", 100, "t1")
    assert isinstance(first, AllocationRow)
    assert capital.spend("a", 100, "t1") == first
    assert capital.budget("a").spent_tokens == 100
    assert isinstance(capital.spend("b", 100, "t1"), AllocationRow)


def test_two_at_once_never_overspend_together(capital: Capital, module_database_url: str) -> None:
    """BRG-3, Precisely: many connections spend at the same moment, and some send the same reference twice."""
    capital.artifact("a", 500_000)
    capital.hold("a", 1_000, "stake")
    together = threading.Barrier(8)
    outcomes: list[AllocationRow | int | None] = []

    def spend(number: int) -> None:
        with connect(module_database_url, "test") as connection:
            together.wait(30)
            for turn in range(5):
                spending = Spending("a", 7, "task", f"t{(number // 2) * 5 + turn}", None)
                outcomes.append(resource_budgets.record(connection, 0, spending, "test", SEQ_MAX))

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    rows = {one.allocation_id: one for one in outcomes if isinstance(one, AllocationRow)}
    assert len(outcomes) == 40
    # Twenty references of 7 tokens each, of which 100 tokens cover 14.
    assert len(rows) == 14
    assert len({one.reference_id for one in rows.values()}) == 14
    assert (capital.budget("a").spent_tokens, capital.budget("a").left_tokens) == (98, 2)


def test_a_stake_placed_after_the_binding_row_gives_no_budget(capital: Capital) -> None:
    """BRG-3: the budget of those that were placed up to a row is that of a table that has no others."""
    capital.artifact("a", 300_000)
    left: list[int] = [0]
    for amount, reason in ((1_001, "stake"), (17, "bounty"), (999, "stake"), (3, "bounty")):
        capital.hold("a", amount, reason)
        left.append(capital.budget("a").left_tokens)
    beyond = Spending("a", TOKENS_MAX, "task", "t", None)
    told = [resource_budgets.record(capital.connection, 0, beyond, "test", seq) for seq in range(len(left))]
    assert told == left


def test_impact_per_token_is_the_efficiency(capital: Capital) -> None:
    capital.artifact("a", 500_000)
    capital.hold("a", 1_000, "bounty")
    for reference, impact in (("t1", 2_500_000), ("t2", 0), ("t3", None)):
        spending = Spending("a", 50, "task", reference, impact)
        assert isinstance(resource_budgets.record(capital.connection, 0, spending, "me", SEQ_MAX), AllocationRow)
    page = resource_budgets.allocations_page(capital.connection, 0, "a", 10, 2**53)
    assert [(one.reference_id, one.impact, one.efficiency_score, one.recorded_by) for one in page] == [
        ("t3", None, None, "me"),
        ("t2", 0.0, 0.0, "me"),
        ("t1", 2.5, 0.05, "me"),
    ]
    assert resource_budgets.allocations_page(capital.connection, 0, "a", 1, page[0].allocation_id) == page[1:2]


def test_a_claim_belongs_to_its_posting_and_not_to_the_name(capital: Capital) -> None:
    """HLD-6: the name of a hold that ended long ago may be used again, for another bounty or for anything."""
    capital.connection.execute(
        "INSERT INTO token_accounts (shard_id, account_id, kind, balance, held, total_earned, total_spent, created_at,"
        " updated_at, seq) VALUES (0, 'w', 'agent', 0, 0, 0, 0, now(), now(), 1) ON CONFLICT DO NOTHING"
    )
    capital.hold("a", 10, "bounty", name="b")
    artifacts.claim_bounty(capital.connection, 0, 1, "w")
    capital.connection.execute("UPDATE token_holds SET status = 'released', ended_at = now()")
    capital.hold("a", 20, "bounty", name="b")
    found = artifacts.bounty(capital.connection, 0, "b", "a")
    assert found is not None
    assert (found.posted_seq, found.tokens_offered, found.status, found.claimant_id) == (2, 20, "open", None)
    page = artifacts.bounties_page(capital.connection, 0, "a", None, 10, 2**53)
    assert [(one.posted_seq, one.status, one.claimant_id) for one in page] == [(2, "open", None), (1, "withdrawn", "w")]
    capital.connection.execute("UPDATE token_holds SET status = 'released', ended_at = now() WHERE status = 'open'")
    capital.hold("a", 30, "stake", name="b")
    assert artifacts.bounty(capital.connection, 0, "b", "a") is None


@pytest.mark.parametrize("column", ["market_price_micros", "spent_tokens"])
@pytest.mark.parametrize("value", [-1, 2**53])
def test_the_tables_refuse_what_cannot_be(capital: Capital, column: str, value: int) -> None:
    capital.artifact("a")
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NumericValueOutOfRange)):
        capital.connection.execute(f"UPDATE artifact_records SET {column} = %s", (value,))  # type: ignore[arg-type]


# --- prices and capital that come and go -----------------------------------------------------------------------------

MARKET = """INSERT INTO artifact_markets (shard_id, artifact_id, subsidy_tokens, closes_at, exit_fee_ppm,
        exposure_limit_ppm, decay_ppm, decay_floor_ppm, dispute_window_us, arbiter_id, opened_at, status, status_at,
        settled_as, settle_price_micros, settled_at, price_micros, average_price_micros, averaged_at, subsidy_micros,
        long_micros, short_micros, long_offset_micros, short_offset_micros, pool_micros, fees_micros, returned_micros,
        paid_micros, remainder_micros, positions_open, orders_open, trades, volume_micros, seq)
    SELECT 0, {artifact}, 70, '2040-01-01', 0, 0, 0, 0, 0, '', %(opened_at)s, {status}, %(opened_at)s, {how}, {paid},
        CASE {status} WHEN 'settled' THEN %(opened_at)s::timestamptz END, {price}, 500000, %(averaged_at)s, 1, 0, 0,
        0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1"""
POSITION = """INSERT INTO artifact_positions (shard_id, id, account_id, artifact_id, side, bought_micros, paid_micros,
        shares_micros, cost_micros, realised_micros, opened_at, traded_at, seq)
    SELECT 0, {id}, {account}, {artifact}, 'long', 1, {cost}, {shares}, {cost}, 0, %(at)s, %(at)s, 1"""
ORDER = """INSERT INTO market_orders (shard_id, order_id, account_id, artifact_id, position_id, side, effect,
        limit_price_micros, rested_micros, left_micros, filled_shares_micros, filled_tokens_micros, fee_micros,
        realised_micros, returned_micros, status, rested_at, expires_at, ended_at, seq)
    SELECT 0, {id}, 'a', {artifact}, {id}, 'long', {effect}, 1000, {left}, {left}, 0, 0, 0, 0, 0, {status}, %(at)s,
        '2040-01-01', CASE {status} WHEN 'open' THEN NULL ELSE now() END, 1"""
# In a statement, what is not a value.
ONE_MARKET = MARKET.format(
    artifact="%(artifact)s", status="%(status)s", how="%(how)s", paid="%(paid)s::int", price="%(price)s"
)
ONE_POSITION = POSITION.format(id="%(id)s", account="%(account)s", artifact="%(artifact)s", cost="%(cost)s", shares="1")
ONE_ORDER = ORDER.format(id="%(id)s", artifact="%(artifact)s", effect="'open'", left="%(left)s", status="'open'")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Markets(Capital):
    """And artifact markets."""

    def market(self, artifact_id: str, price_micros: int, ago: timedelta, **how: Any) -> None:
        """A market whose price went from 500,000 to this one so long ago."""
        usual = {"status": "open", "how": None, "paid": None, "opened_at": LONG_AGO}
        values = {"artifact": artifact_id, "price": price_micros, "averaged_at": NOW - ago}
        self.connection.execute(ONE_MARKET, usual | values | how)
        states = [("listed", LONG_AGO)] + [(state, NOW - ago) for state in [how.get("how")] if state]
        for number, (state, entered_at) in enumerate(states, start=1):
            query = """INSERT INTO artifact_states (shard_id, artifact_id, entered_seq, state, entered_at, seq)
                VALUES (0, %s, %s, %s, %s, %s)"""
            self.connection.execute(query, (artifact_id, number, state, entered_at, number))

    def position(self, artifact_id: str, account_id: str, cost: int, ago: timedelta) -> None:
        """A position that was opened so long ago."""
        self._seq += 1
        values = {"id": self._seq, "artifact": artifact_id, "account": account_id, "cost": cost, "at": NOW - ago}
        self.connection.execute(ONE_POSITION, values)

    def order(self, artifact_id: str, left: int, ago: timedelta) -> None:
        """An order that opens a position and rests since so long ago."""
        self._seq += 1
        values = {"id": self._seq, "artifact": artifact_id, "left": left, "at": NOW - ago}
        self.connection.execute(ONE_ORDER, values)

    def counted_price(self, artifact_id: str) -> int:
        """The price that budgets reckon with."""
        query = "SELECT research_price_micros FROM artifacts WHERE artifact_id = %s"
        row = self.connection.execute(query, (artifact_id,)).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def markets(capital: Capital) -> Markets:
    """The same tables."""
    return Markets(capital.connection)


def half_life_weight(waited: timedelta) -> float:
    return 1 - 0.5 ** (waited / DAY)


def test_a_stake_counts_as_long_as_it_is_there(markets: Markets, seed: int) -> None:
    """BRG-3, RES-13: for an hour 2.8 %, for a day half, for three weeks all; a bounty from the first moment on."""
    rng = random.Random(seed)
    waits = [HOUR, DAY, 2 * DAY, 21 * DAY, 80 * DAY, timedelta(0), -HOUR]
    for number, waited in enumerate(waits + [rng.random() * 30 * DAY for _ in range(50)]):
        name, amount = f"a{number}", rng.choice([1, 1_000, 10**6, rng.randrange(1, 10**9)])
        markets.artifact(name)
        markets.hold(name, amount, "stake", placed_at=NOW - waited)
        found = markets.budget(name)
        weight = max(half_life_weight(waited), 0)
        assert found.committed_tokens == amount
        assert abs(found.demand_tokens - amount * weight) <= 1 + amount * 1e-6
        assert 0 <= found.demand_tokens <= amount
        markets.hold(name, 7, "bounty", placed_at=NOW - waited)
        assert markets.budget(name).bounty_tokens == 7
    assert [markets.budget(f"a{number}").demand_tokens for number in (5, 6)] == [0, 0]
    markets.artifact("full")
    markets.hold("full", 4_000, "stake", placed_at=NOW - 21 * DAY)
    assert markets.budget("full").demand_tokens == 4_000


def test_positions_and_resting_orders_are_demand(markets: Markets, seed: int) -> None:
    """BRG-3, RES-13: at their cost; and, as nothing binds them, by their part of a week at most."""
    rng = random.Random(seed)
    for number in range(50):
        name, demand, committed = f"a{number}", 0.0, 0.0
        markets.artifact(name)
        for _ in range(rng.randrange(1, 5)):
            amount, waited = rng.randrange(1, 10**12), rng.random() * 20 * DAY
            if rng.random() < 0.5:
                markets.position(name, rng.choice("abcdef"), amount, waited)
            else:
                markets.order(name, amount, waited)
            committed += amount / 10**6
            demand += amount / 10**6 * min(half_life_weight(waited), waited / (7 * DAY))
        found = markets.budget(name)
        assert abs(found.committed_tokens - committed) <= 1
        assert abs(found.demand_tokens - demand) <= 1 + committed * 2e-6
        assert found.left_tokens == found.budget_tokens == found.demand_tokens // 10
        beyond = Spending(name, TOKENS_MAX, "task", "t", None)
        # What spending may take is the same, whichever row has bound the stakes.
        assert resource_budgets.record(markets.connection, 0, beyond, "test", SEQ_MAX) == found.left_tokens
        assert resource_budgets.record(markets.connection, 0, beyond, "test", 0) == found.left_tokens


def test_capital_that_moves_about_gives_no_more_than_capital_at_rest(markets: Markets, seed: int) -> None:
    """BRG-3, RES-13: the same tokens, however often they go on to another artifact within a week."""
    rng = random.Random(seed)
    amount = 10**6 * 10**6
    for number in range(30):
        cuts = sorted(rng.random() for _ in range(rng.randrange(1, 12)))
        stays = [(late - early) * 7 * DAY for early, late in zip([0, *cuts], [*cuts, 1], strict=True)]
        budgets = []
        for turn, stay in enumerate(stays):
            name = f"a{number}-{turn}"
            markets.artifact(name)
            markets.order(name, amount, stay)
            budgets.append(markets.budget(name).budget_tokens)
        assert sum(budgets) <= 10**5
    # Of stakes, which go nowhere for a week after they were spent, the first day alone is half.
    markets.artifact("bound")
    markets.hold("bound", 10**6, "stake", placed_at=NOW - DAY)
    assert markets.budget("bound").budget_tokens == 50_000


def test_the_price_that_counts_is_the_average(markets: Markets) -> None:
    """BRG-3, RES-12: one that was pushed an hour ago counts as 11 % of its move, after six hours as half."""
    for name, ago, average in (("new", timedelta(0), 500_000), ("hour", HOUR, 554_551), ("six", 6 * HOUR, 750_000)):
        markets.artifact(name, 100_000)
        markets.market(name, 999_000 if ago == HOUR else 1_000_000 - 1_000, ago)
        markets.hold(name, 10_000, "stake")
        for account_id in "abc":
            markets.position(name, account_id, 1, timedelta(0))
        found = markets.budget(name)
        expected = round(999_000 - 499_000 * 0.5 ** (ago / (6 * HOUR)))
        assert markets.counted_price(name) == expected
        assert abs(expected - average) <= 1_000
        assert found.market_price == found.research_price == pytest.approx(expected / 10**6)
        row = artifacts.artifact(markets.connection, 0, name)
        assert row is not None
        assert (row.market_price, row.priced_by) == (found.market_price, artifacts.PRICED_BY_MARKET)


def test_a_price_of_less_than_three_says_nothing(markets: Markets) -> None:
    """BRG-3, RES-12: fewer accounts with open positions leave the multiplier where nobody knows; the price is shown."""
    markets.artifact("a", 0)
    markets.hold("a", 1_000, "stake")
    assert markets.budget("a").uncertainty_multiplier == 0
    markets.market("a", 900_000, 80 * DAY)
    for account_id in ("x", "x", "y", "y", "x"):
        assert markets.counted_price("a") == 500_000
        markets.position("a", account_id, 1, DAY)
    found = markets.budget("a")
    assert (found.market_price, found.research_price, found.uncertainty_multiplier) == (0.9, 0.5, 1)
    markets.position("a", "z", 1, DAY)
    found = markets.budget("a")
    assert (found.market_price, found.research_price) == (0.9, 0.9)
    assert found.uncertainty_multiplier == pytest.approx(0.2)
    markets.connection.execute(
        "UPDATE artifact_positions SET shares_micros = 0, cost_micros = 0 WHERE account_id = 'z'"
    )
    assert markets.counted_price("a") == 500_000, "who has sold holds nothing"


def test_what_was_settled_is_priced_by_it(markets: Markets) -> None:
    """BRG-3, RES-12: what a long share was worth; and nothing is known of a void market."""
    for name, how, paid, shown, counted in (
        ("v", "validated", 1_000_000, 1.0, 1_000_000),
        ("d", "deprecated", 0, 0.0, 0),
        ("l", "listed", 654_321, 0.654321, 654_321),
        ("n", "void", None, 0.5, 500_000),
    ):
        markets.artifact(name, 300_000)
        markets.market(name, 600_000, timedelta(0), status="settled", how=how, paid=paid)
        assert markets.budget(name).market_price == pytest.approx(shown)
        assert markets.counted_price(name) == counted


def test_staff_do_not_price_what_its_market_prices(markets: Markets) -> None:
    """BRG-3, RES-12: the row stays as it was, and says who prices it; what the artifact is called may change."""
    markets.artifact("a", 300_000)
    markets.market("a", 500_000, DAY)
    found = artifacts.set_market_price(markets.connection, 0, "a", 0, "test")
    assert found is not None
    assert (found.market_price, found.priced_by) == (0.5, artifacts.PRICED_BY_MARKET)
    row = markets.connection.execute("SELECT market_price_micros, priced_by FROM artifact_records").fetchall()
    assert row == [(300_000, "test")]
    assert artifacts.put_artifact(markets.connection, 0, "a", "paper", "new", "test").title == "new"
    assert artifacts.set_market_price(markets.connection, 0, "none", 0, "test") is None


# --- what a question reads -------------------------------------------------------------------------------------------

ARTIFACTS, ENDED, OPEN, SPENT = 30_000, 60_000, 400, 30_000
# Half of all holds are on one artifact; few of them are bounties, and few bounties are for it.


def filling(one: str, **columns: str) -> str:
    """As many rows as there are holds, each made of its number."""
    made = re.sub(r"%\(\w+\)s", "'2029-01-01'", one.format(**columns))
    return f"{made} FROM generate_series(1, {ENDED} + {OPEN}) AS n;"


HELD, RESTS = f"(n > {ENDED})::int", f"CASE WHEN n > {ENDED} THEN 'open' ELSE 'expired' END"
FILL = f"""
INSERT INTO artifact_records (shard_id, artifact_id, artifact_type, title, market_price_micros, priced_at, priced_by,
        spent_tokens, created_at, updated_at)
    SELECT 0, 'a' || n, 't' || n % 3, '', n, now(), '', 0, now(), now() FROM generate_series(1, {ARTIFACTS}) AS n;
INSERT INTO token_holds (shard_id, placed_seq, hold_id, account_id, placed_by, amount, reason, reference_type,
        reference_id, memo, status, placed_at, ended_at, seq)
    SELECT 0, n, 'h' || n, 'a', 'a', n, CASE WHEN n % 1000 = 0 OR n % 6 = 1 THEN 'bounty' ELSE 'stake' END, 'artifact',
        'a' || CASE WHEN n % 2 = 0 THEN 77 ELSE n % 1000 END,
        '', CASE WHEN n > {ENDED} THEN 'open' ELSE 'released' END, '2029-01-01',
        CASE WHEN n <= {ENDED} THEN now() END, n
    FROM generate_series(1, {ENDED} + {OPEN}) AS n;
INSERT INTO resource_allocations (shard_id, artifact_id, tokens, reference_type, reference_id, allocated_at,
        recorded_by)
    SELECT 0, 'a' || n % 1000, 1, 'task', n::text, now(), '' FROM generate_series(1, {SPENT}) AS n;
{filling(MARKET, artifact="'a' || 3 * n", status="'open'", how="NULL", paid="NULL", price="500000")}
{filling(POSITION, id="n", account="'u' || n % 7", artifact="'a' || 1 + n % 500", cost=HELD, shares=HELD)}
{filling(ORDER, id="n", artifact="'a' || 1 + n % 500", effect="'open'", left="1", status=RESTS)}
ANALYZE artifact_markets, artifact_positions, market_orders, artifact_records, token_holds, resource_allocations,
    bounty_claims;
"""
BIG = {
    "artifact_markets",
    "artifact_positions",
    "artifact_records",
    "market_orders",
    "token_holds",
    "resource_allocations",
}


def test_every_question_reads_about_what_it_is_about(capital: Capital) -> None:
    """A ranking reads the open holds and their artifacts, in one query; a page reads a page."""
    connection = capital.connection
    connection.execute(FILL.encode())
    connection.cursor_factory = Explaining
    questions: list[tuple[Any, int]] = [
        (lambda: resource_budgets.rankings(connection, 0, None, 100), 8 * OPEN),
        (lambda: resource_budgets.rankings(connection, 0, "t1", 100), 8 * OPEN),
        (lambda: resource_budgets.budget(connection, 0, "a79"), 20),
        (lambda: resource_budgets.allocations_page(connection, 0, "a77", 20, 2**53), 20),
        (lambda: artifacts.artifact(connection, 0, "a77"), 3),
        (lambda: artifacts.artifacts_page(connection, 0, None, 20, "a5"), 3 * 20),
        (lambda: artifacts.artifacts_page(connection, 0, "t2", 20, None), 3 * 20),
        (lambda: artifacts.bounty(connection, 0, "h1000", "a"), 10),
        (lambda: artifacts.bounties_page(connection, 0, "a77", None, 20, 2**53), 100),
        (lambda: artifacts.bounties_page(connection, 0, "a77", "open", 20, 2**53), 30),
        (lambda: artifacts.bounties_page(connection, 0, None, "withdrawn", 20, 2**53), 30),
        (lambda: artifacts.bounties_page(connection, 0, None, None, 20, 50_000), 100),
    ]
    for ask, rows_max in questions:
        plans.clear()
        ask()
        ((text, plan),) = plans
        read = rows_read(text, plan, BIG)
        assert read <= rows_max, f"{read} rows\n{text}\n{json.dumps(plan, indent=1)}"
