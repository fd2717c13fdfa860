"""Stakes and bounties on a real market: who may end them, what is done once, and what the table says of each.

Goal: bounties and committed capital, with no token lost, paid twice or forgotten, and a table that cannot say
other than the ledger.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from callmarket import AsyncExchange, Conflict, Exchange, ManualClock, NotFound, Refused, open_exchange
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.fleet.research import pay_bounty, post_bounty, stake, unstake, withdraw_bounty
from callmarket.engine.reject import Reject
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.rebuild import rebuild
from tests.bridge.conftest import START_US
from tests.support.aged import let_pass
from tests.support.small_market import WAIT_S_MAX, at, furnish, in_threads

HOUR_US = 3_600_000_000
WEEK_US = 7 * 24 * HOUR_US
SOON = at(START_US + HOUR_US)
# A hold that ends within a week gives no budget (BRG-3).
LATE = at(START_US + 30 * 24 * HOUR_US)


@pytest.fixture
def market(market: Exchange) -> Exchange:
    """Accounts a, b and c with a thousand tokens each, and an artifact."""
    furnish(market, "a", "b", "c")
    market.put_artifact("h1", "hypothesis")
    return market


def reason_of(refused: pytest.ExceptionInfo[Refused]) -> Reject:
    return refused.value.reason


def test_sent_again_it_is_done_once(market: Exchange) -> None:
    """RES-9: what lost its answer is sent again, with a command id and without."""
    for command_id in ("", "", "c1", "c1"):
        assert stake(market, "s1", "a", "h1", 300, command_id=command_id).amount_tokens == 300
        posted = post_bounty(market, "b1", "a", "h1", 200, expires_at=SOON, description="again")
        assert posted.tokens_offered == 200
    assert market.wallet("a").held_tokens == 500
    for other in (
        partial(stake, market, "s1", "a", "h1", 301),
        partial(stake, market, "b1", "a", "h1", 200, expires_at=SOON),
        partial(post_bounty, market, "b1", "a", "h1", 200, expires_at=SOON, description="other"),
        partial(post_bounty, market, "s1", "a", "h1", 300, expires_at=SOON),
    ):
        with pytest.raises(Refused) as refused:
            other()
        assert reason_of(refused) is Reject.HOLD_EXISTS
    for _ in range(2):
        assert unstake(market, "s1", "a").status == "released"
        assert withdraw_bounty(market, "b1", "a").status == "withdrawn"
    assert market.wallet("a").held_tokens == 0


def test_a_stake_is_not_taken_for_a_bounty(market: Exchange) -> None:
    stake(market, "s1", "a", "h1", 300)
    post_bounty(market, "b1", "a", "h1", 200, expires_at=LATE)
    market.place_hold("other", "a", 1, "bounty", reference_type="task", reference_id="h1")
    for ask in (
        partial(unstake, market, "b1", "a"),
        partial(unstake, market, "other", "a"),
        partial(withdraw_bounty, market, "s1", "a"),
        partial(pay_bounty, market, "other", "a"),
        partial(market.claim_bounty, "s1", "a", "b"),
    ):
        with pytest.raises(NotFound):
            ask()
    assert market.wallet("a").held_tokens == 501
    assert market.compute_resource_budget("h1").bounty_tokens == 200


def test_nothing_is_committed_to_what_is_not_there(market: Exchange) -> None:
    for commit in (
        partial(stake, market, "s1", "a", "none", 300),
        partial(post_bounty, market, "b1", "a", "none", 200, expires_at=SOON),
    ):
        with pytest.raises(NotFound, match="none"):
            commit()
    assert market.wallet("a").held_tokens == 0
    assert market.bounties().items == ()


def test_only_the_poster_of_a_bounty_ends_it(market: Exchange) -> None:
    """RES-9: a bounty that the admin posts for an account is not that account's to take back."""
    stake(market, "s1", "a", "h1", 1)
    post_bounty(market, "own", "a", "h1", 100, expires_at=SOON)
    post_bounty(market.acting_as("admin"), "escrow", "a", "h1", 100, expires_at=SOON)
    market.claim_bounty("own", "a", "b")
    for account_id in ("b", "c", "operator"):
        acting = market.acting_as(account_id)
        for ask in (
            partial(unstake, acting, "s1", "a"),
            partial(pay_bounty, acting, "own", "a"),
            partial(withdraw_bounty, acting, "escrow", "a"),
        ):
            with pytest.raises(Refused) as refused:
                ask()
            assert reason_of(refused) is Reject.NOT_PERMITTED
    with pytest.raises(Refused) as refused:
        withdraw_bounty(market.acting_as("a"), "escrow", "a")
    assert reason_of(refused) is Reject.NOT_PERMITTED
    assert pay_bounty(market.acting_as("a"), "own", "a").status == "paid"
    assert withdraw_bounty(market.acting_as("admin"), "escrow", "a").status == "withdrawn"
    assert market.wallet("b").balance_tokens == 1_100


def test_a_bounty_is_claimed_by_no_poster_no_stranger_and_not_after_its_end(market: Exchange) -> None:
    """Not the account whose tokens they are, nobody unknown, and nobody once it has ended."""
    post_bounty(market, "b1", "a", "h1", 100, expires_at=SOON)
    with pytest.raises(Conflict, match="claimant_id"):
        market.claim_bounty("b1", "a", "a")
    with pytest.raises(NotFound, match="claimant_id: expected an open account, got 'nobody'"):
        market.claim_bounty("b1", "a", "nobody")
    with pytest.raises(Conflict, match="a bounty that is claimed: it is open"):
        pay_bounty(market, "b1", "a")
    withdraw_bounty(market, "b1", "a")
    with pytest.raises(Conflict, match="an open bounty: it is withdrawn"):
        market.claim_bounty("b1", "a", "b")


def test_a_bounty_that_expires_gives_back_its_tokens_and_its_budget(market: Exchange, clock: ManualClock) -> None:
    """RES-9: bounties expire with refund, claimed or not, and no longer fund research then."""
    post_bounty(market, "b1", "a", "h1", 100, expires_at=LATE)
    post_bounty(market, "b2", "a", "h1", 50, expires_at=LATE + timedelta(days=7))
    market.claim_bounty("b1", "a", "b")
    assert market.compute_resource_budget("h1").budget_tokens == 150
    clock.set_us(START_US + 30 * 24 * HOUR_US)
    with pytest.raises(Refused) as refused:
        pay_bounty(market, "b1", "a")
    assert reason_of(refused) is Reject.HOLD_EXPIRED
    market.refund_unfilled()
    found = market.bounty("b1", "a")
    assert (found.status, found.claimant_id, found.tokens_paid, found.updated_at) == ("expired", "b", 0, LATE)
    assert market.bounty("b2", "a").status == "open"
    assert market.wallet("a").held_tokens == 50
    assert market.compute_resource_budget("h1").budget_tokens == 50


def test_of_many_claimants_one_gets_it(market: Exchange) -> None:
    for number in range(12):
        market.open_account(f"w{number}")
    post_bounty(market, "b1", "a", "h1", 100, expires_at=SOON)
    raised = in_threads([partial(market.claim_bounty, "b1", "a", f"w{number}") for number in range(12)])
    assert len(raised) == 11
    assert all(isinstance(error, Conflict) for error in raised), raised
    winner = market.bounty("b1", "a").claimant_id
    pay_bounty(market, "b1", "a")
    assert winner is not None
    assert market.wallet(winner).balance_tokens == 100


def test_claimed_and_withdrawn_at_once_the_table_says_what_the_ledger_says(market: Exchange) -> None:
    for number in range(6):
        name = f"b{number}"
        post_bounty(market, name, "a", "h1", 100, expires_at=SOON)
        in_threads([partial(market.claim_bounty, name, "a", "b"), partial(withdraw_bounty, market, name, "a")])
        status = {"open": "claimed", "released": "withdrawn"}[market.hold(name, "a").status]
        assert market.bounty(name, "a").status == status


def test_the_table_follows_the_ledger_whatever_is_done(
    market: Exchange, clock: ManualClock, database_url: str, seed: int
) -> None:
    """Random lives of bounties against a dictionary, by their own verbs and by the bare ones of holds."""
    rng = random.Random(seed)
    expected: dict[str, tuple[str, str | None]] = {}
    now_us = START_US
    deadlines: dict[str, int] = {}
    for _ in range(80):
        name = rng.choice([*expected, f"b{len(expected)}"])
        status, claimant = expected.get(name, ("", None))
        act = rng.choice(["post", "claim", "pay", "withdraw", "release", "sweep"])
        try:
            if act == "post":
                deadlines.setdefault(name, now_us + rng.randrange(1, 20) * 60_000_000 + rng.choice((0, WEEK_US)))
                post_bounty(market, name, "a", "h1", 10, expires_at=at(deadlines[name]))
                if not status:
                    expected[name] = ("open", None)
            elif act == "claim":
                worker = rng.choice(["b", "c"])
                market.claim_bounty(name, "a", worker)
                if status == "open":
                    expected[name] = ("claimed", worker)
            elif act == "pay":
                pay_bounty(market, name, "a")
                expected[name] = ("paid", claimant)
            elif act == "withdraw":
                withdraw_bounty(market, name, "a")
                expected[name] = ("withdrawn", claimant)
            elif act == "release":
                market.release_hold(name, "a")
                expected[name] = ("withdrawn", claimant)
            else:
                now_us += rng.choice((0, 0, 0, WEEK_US)) + rng.randrange(120_000_000)
                clock.set_us(now_us)
                market.refund_unfilled()
                for other, (its_status, its_claimant) in expected.items():
                    if its_status in ("open", "claimed") and deadlines[other] <= now_us:
                        expected[other] = ("expired", its_claimant)
        except (Refused, Conflict, NotFound):
            pass
        found = {one.bounty_id: (one.status, one.claimant_id) for one in market.bounties(limit=1_000).items}
        assert found == expected
        budget = market.compute_resource_budget("h1")
        open_ = [name for name, (one, _) in expected.items() if one in ("open", "claimed")]
        assert market.wallet("a").held_tokens == 10 * len(open_)
        assert budget.bounty_tokens == 10 * sum(deadlines[name] >= now_us + WEEK_US for name in open_)
    with psycopg.connect(database_url) as connection:
        ((claims,),) = connection.execute("SELECT count(*) FROM bounty_claims").fetchall()
    assert claims == sum(claimant is not None for _, claimant in expected.values())


def test_tables_made_again_from_the_journal_keep_claims_budgets_and_spending(
    database_url: str, clock: ManualClock
) -> None:
    """The tables of holds can be dropped and rebuilt; what stands beside them still belongs to the same holds."""

    def seen() -> object:
        with open_exchange(database_url, clock=clock) as market:
            return market.bounties().items, market.get_resource_budget_rankings().items

    with open_exchange(database_url, clock=clock) as market:
        furnish(market, "a", "b")
        market.put_artifact("h1", "hypothesis")
        stake(market, "s1", "a", "h1", 300)
        let_pass(market, clock)
        for number in range(3):
            post_bounty(market, f"b{number}", "a", "h1", 10, expires_at=at(clock() + HOUR_US))
            market.claim_bounty(f"b{number}", "a", "b")
        pay_bounty(market, "b0", "a")
        market.record_resource_spending("h1", 7, "task", "t1")
    before = seen()
    with PostgresJournal(database_url, 0, reader=True) as journal:
        rebuild(database_url, 0, journal)
    assert seen() == before


def test_a_wallet_that_loses_nothing_pays_for_one_research(market: Exchange, clock: ManualClock) -> None:
    """BRG-3, HLD-8, A13: what was spent on the first artifact is bound, so it cannot be committed to the next one."""
    account = market.acting_as("a")
    spent = 0
    for number in range(5):
        market.put_artifact(f"art{number}", "paper")
        with suppress(Refused):
            post_bounty(account, f"b{number}", "a", f"art{number}", 1_000, expires_at=LATE)
        left = market.compute_resource_budget(f"art{number}").left_tokens
        if left:
            market.record_resource_spending(f"art{number}", left, "task", "t")
            spent += left
        for ask in (
            partial(withdraw_bounty, account, "b0", "a"),
            partial(account.release_hold, "b0", "a"),
            partial(account.capture_hold, "b0", "a", "b"),
        ):
            with pytest.raises(Refused) as bound:
                ask()
            assert reason_of(bound) is Reject.HOLD_BOUND
    assert spent == 1_000
    clock.set_us(START_US + WEEK_US)
    assert withdraw_bounty(account, "b0", "a").status == "withdrawn"


def test_a_stake_that_was_spent_from_is_bound_and_its_bounty_is_paid_by_the_admin(market: Exchange) -> None:
    """HLD-8: whoever has done the work need not wait, and what is placed afterwards is free."""
    stake(market.acting_as("a"), "s1", "a", "h1", 500)
    post_bounty(market.acting_as("a"), "b1", "a", "h1", 100, expires_at=LATE)
    market.claim_bounty("b1", "a", "b")
    market.record_resource_spending("h1", 10, "task", "t1")
    stake(market.acting_as("a"), "s2", "a", "h1", 50)
    with pytest.raises(Refused) as bound:
        unstake(market.acting_as("a"), "s1", "a")
    assert reason_of(bound) is Reject.HOLD_BOUND
    assert unstake(market.acting_as("a"), "s2", "a").status == "released"
    assert pay_bounty(market.acting_as("admin"), "b1", "a").status == "paid"


def test_a_refused_spending_binds_no_stakes(market: Exchange, clock: ManualClock) -> None:
    """BRG-3: beyond the budget, for no artifact, and again what is recorded already."""
    account = market.acting_as("a")
    stake(account, "s1", "a", "h1", 500)
    let_pass(market, clock)
    with pytest.raises(Conflict, match="at most 50"):
        market.record_resource_spending("h1", 51, "task", "t1")
    with pytest.raises(NotFound):
        market.record_resource_spending("h2", 1, "task", "t1")
    assert unstake(account, "s1", "a").status == "released"


def test_a_hold_that_could_not_be_bound_for_long_gives_no_budget(market: Exchange, clock: ManualClock) -> None:
    """BRG-3, Precisely: else a deadline would free what was spent from."""
    week = at(START_US + WEEK_US)
    post_bounty(market, "b1", "a", "h1", 100, expires_at=week)
    post_bounty(market, "b2", "a", "h1", 10, expires_at=week + timedelta(seconds=1))
    assert market.compute_resource_budget("h1").bounty_tokens == 110
    clock.set_us(START_US + 1)
    with pytest.raises(Conflict, match="at most 10"):
        market.record_resource_spending("h1", 11, "task", "t1")


def test_a_stake_released_at_the_same_moment_is_not_spent_from(market: Exchange, clock: ManualClock, seed: int) -> None:
    """HLD-8: of a release and a spending that race, either the tokens are bound or nothing was spent from them."""
    rng = random.Random(seed)
    for number in range(12):
        market.put_artifact(f"x{number}", "paper")
        stake(market.acting_as("a"), f"s{number}", "a", f"x{number}", 50)
    let_pass(market, clock)
    for number in range(12):
        spend = partial(market.record_resource_spending, f"x{number}", 5, "task", "t")
        free = partial(_release, market, f"s{number}", ("stake", "artifact", f"x{number}"), late=bool(number % 2))
        in_threads(rng.sample([spend, free], 2))
        spent = market.resource_allocations(f"x{number}").items
        assert bool(spent) == (market.hold(f"s{number}", "a").status == "open"), number
        assert spent or not number % 2, "it was bound before it could be released"


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("kept_tokens", [0, 400])
def test_a_stake_placed_after_the_binding_is_not_spent_from(
    market: Exchange, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, awaited: bool, kept_tokens: int
) -> None:
    """BRG-3, HLD-8: released between the look and the binding, and placed again behind it, it would be free to go."""
    owner, node = market.acting_as("a"), market.node
    submit, submit_async = node.submit, node.submit_async
    stake(owner, "s1", "a", "h1", 1_000 - kept_tokens)
    if kept_tokens:
        stake(owner, "s0", "a", "h1", kept_tokens)
    let_pass(market, clock)

    def around(bind: Callable[[], list[Reply]]) -> list[Reply]:
        # Once: what is done here comes by the same way.
        monkeypatch.setattr(node, "submit", submit)
        monkeypatch.setattr(node, "submit_async", submit_async)
        unstake(owner, "s1", "a")
        bound = bind()
        stake(owner, "s2", "a", "h1", 1_000 - kept_tokens)
        return bound

    def spend() -> None:
        if awaited:
            asyncio.run(AsyncExchange(market).record_resource_spending("h1", 100, "task", "t1"))
        else:
            market.record_resource_spending("h1", 100, "task", "t1")

    monkeypatch.setattr(node, "submit", lambda *asked: around(partial(submit, *asked)))
    # Its own loop must not wait for it.
    monkeypatch.setattr(node, "submit_async", lambda *asked: asyncio.to_thread(around, partial(submit, *asked)))
    with pytest.raises(Conflict, match=f"at most {kept_tokens // 10}, what is left for 'h1', got 100$"):
        spend()
    assert not market.resource_allocations("h1").items
    assert unstake(owner, "s2", "a").status == "released"
    stake(owner, "s3", "a", "h1", 1_000 - kept_tokens)
    let_pass(market, clock)
    spend()
    with pytest.raises(Refused) as bound:
        unstake(owner, "s3", "a")
    assert reason_of(bound) is Reject.HOLD_BOUND


def _release(market: Exchange, hold_id: str, key: tuple[str, str, str], *, late: bool) -> None:
    """Take a hold back, at once or as soon as it is bound: before what is spent of it is recorded."""
    end_s = time.monotonic() + WAIT_S_MAX
    while late and not market.read(lambda state: key in state.holds.bindings):
        assert time.monotonic() < end_s, "nobody has bound it"
        time.sleep(0.0005)
    market.acting_as("a").release_hold(hold_id, "a")
