"""What may be spent on research on each artifact: the formula, what is deducted from it, and what a ranking reads.

Goal: the formula as it was asked for (RES-2), for any capital and any price. Method: holds of all kinds are put into
their table as the journal would leave them, the view is asked, and exact fractions say what it has to answer.
"""

import json
import random
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import psycopg
import pytest

from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX
from callmarket.persistence.database.connections import connect
from callmarket.persistence.stores import artifacts, resource_budgets
from callmarket.persistence.stores.resource_budgets import AllocationRow, BudgetRow, Spending
from tests.persistence.queries.test_pages import Explaining, nodes, plans

HOLD = """INSERT INTO token_holds (shard_id, placed_seq, hold_id, account_id, placed_by, amount, captured,
        captured_to, reason, reference_type, reference_id, memo, status, placed_at, ended_at, seq)
    VALUES (%(shard)s, %(seq)s, %(name)s, 'a', 'a', %(amount)s,
        CASE WHEN %(status)s = 'captured' THEN %(amount)s END, CASE WHEN %(status)s = 'captured' THEN 'b' END,
        %(reason)s, %(kind)s, %(artifact)s, '', %(status)s, now(), CASE WHEN %(status)s <> 'open' THEN now() END,
        %(seq)s)"""


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
        usual = {"shard": 0, "status": "open", "kind": "artifact"}
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
        connection.execute("TRUNCATE token_holds, artifacts, resource_allocations, bounty_claims")
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
        capital.connection.execute(f"UPDATE artifacts SET {column} = %s", (value,))  # type: ignore[arg-type]


# --- what a question reads -------------------------------------------------------------------------------------------

ARTIFACTS, ENDED, OPEN, SPENT = 30_000, 60_000, 400, 30_000
# Half of all holds are on one artifact; few of them are bounties, and few bounties are for it.
FILL = f"""
INSERT INTO artifacts (shard_id, artifact_id, artifact_type, title, market_price_micros, priced_at, priced_by,
        spent_tokens, created_at, updated_at)
    SELECT 0, 'a' || n, 't' || n % 3, '', n, now(), '', 0, now(), now() FROM generate_series(1, {ARTIFACTS}) AS n;
INSERT INTO token_holds (shard_id, placed_seq, hold_id, account_id, placed_by, amount, reason, reference_type,
        reference_id, memo, status, placed_at, ended_at, seq)
    SELECT 0, n, 'h' || n, 'a', 'a', n, CASE WHEN n % 1000 = 0 OR n % 6 = 1 THEN 'bounty' ELSE 'stake' END, 'artifact',
        'a' || CASE WHEN n % 2 = 0 THEN 77 ELSE n % 1000 END,
        '', CASE WHEN n > {ENDED} THEN 'open' ELSE 'released' END, now(), CASE WHEN n <= {ENDED} THEN now() END, n
    FROM generate_series(1, {ENDED} + {OPEN}) AS n;
INSERT INTO resource_allocations (shard_id, artifact_id, tokens, reference_type, reference_id, allocated_at,
        recorded_by)
    SELECT 0, 'a' || n % 1000, 1, 'task', n::text, now(), '' FROM generate_series(1, {SPENT}) AS n;
ANALYZE artifacts, token_holds, resource_allocations, bounty_claims;
"""
BIG = {"artifacts", "token_holds", "resource_allocations"}


def test_every_question_reads_about_what_it_is_about(capital: Capital) -> None:
    """A ranking reads the open holds and their artifacts, in one query; a page reads a page."""
    connection = capital.connection
    connection.execute(FILL.encode())
    connection.cursor_factory = Explaining
    questions: list[tuple[Any, int]] = [
        (lambda: resource_budgets.rankings(connection, 0, None, 100), 3 * OPEN),
        (lambda: resource_budgets.rankings(connection, 0, "t1", 100), 3 * OPEN),
        (lambda: resource_budgets.budget(connection, 0, "a79"), 20),
        (lambda: resource_budgets.allocations_page(connection, 0, "a77", 20, 2**53), 20),
        (lambda: artifacts.artifact(connection, 0, "a77"), 1),
        (lambda: artifacts.artifacts_page(connection, 0, None, 20, "a5"), 20),
        (lambda: artifacts.artifacts_page(connection, 0, "t2", 20, None), 20),
        (lambda: artifacts.bounty(connection, 0, "h1000", "a"), 10),
        (lambda: artifacts.bounties_page(connection, 0, "a77", None, 20, 2**53), 100),
        (lambda: artifacts.bounties_page(connection, 0, "a77", "open", 20, 2**53), 30),
        (lambda: artifacts.bounties_page(connection, 0, None, "withdrawn", 20, 2**53), 30),
        (lambda: artifacts.bounties_page(connection, 0, None, None, 20, 50_000), 100),
    ]
    for ask, rows_max in questions:
        plans.clear()
        ask()
        assert len(plans) == 1
        read = 0
        for text, plan in plans:
            for node in nodes(plan):
                assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in BIG, text
                if "Relation Name" in node:
                    passed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
                    read += (node["Actual Rows"] + passed) * node["Actual Loops"]
        assert read <= rows_max, f"{read} rows\n{plans[0][0]}\n{json.dumps(plans[0][1], indent=1)}"
