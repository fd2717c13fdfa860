"""The charge on idle tokens: who pays, how much, and that nobody pays twice.

Goal: what is charged follows from the statements alone, for any history; a period is charged once for an account
whatever is retried, restarted, doubled or killed; a database that is away delays it and loses nothing. Method: a naive
reckoning from whole statements beside the query, over random histories; a real PostgreSQL that is stopped under the
collector. What accounts may try against it is in `test_avoiding_demurrage.py`.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from callmarket import Exchange, ManualClock, NotLeader, Unavailable, open_exchange
from callmarket.bridge.api.operations.accounts import Wallet
from callmarket.bridge.api.units import at_us
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.earning import collector, demurrage
from callmarket.bridge.fleet.earning.collector import Collected, Collector, collect
from callmarket.bridge.fleet.earning.demurrage import Debts, Demurrage, Outcome, Walk, charge, demurrage_of
from callmarket.engine import limits as engine_limits
from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.persistence.database.connections import connect
from callmarket.persistence.queries import MovementRow
from callmarket.persistence.stores import demurrage_debts
from callmarket.persistence.stores.demurrage_debts import Debt, DebtRow
from tests.support.following import level, projected
from tests.support.own_server import OwnServer
from tests.support.small_market import WAIT_S_MAX, at, in_threads

DAY_US = 86_400_000_000
# Midnight UTC.
MIDNIGHT_US = 20_000 * DAY_US
LATE = at(MIDNIGHT_US + 1_000 * DAY_US)
TERMS = Demurrage(ppm=10_000, period_us=DAY_US, exempt_tokens=100, to="treasury")


@pytest.fixture
def clock() -> ManualClock:
    """It begins at a midnight."""
    return ManualClock(MIDNIGHT_US)


def movements(market: Exchange, account_id: str) -> list[MovementRow]:
    """The whole statement, oldest first."""
    page = market.statement(account_id, limit=1_000, order="oldest")
    assert page.next is None
    return list(page.items)


def charges(market: Exchange, account_id: str) -> list[tuple[int, str]]:
    return [
        (one.amount_tokens, one.reference_id)
        for one in movements(market, account_id)
        if one.reason == "demurrage" and one.from_account_id == account_id
    ]


def reckoned(wallet: Wallet, statement: list[MovementRow], since_us: int, end_us: int, terms: Demurrage) -> int:
    """What an account has to pay, from its whole statement, as the documents would be read aloud."""
    name = wallet.account_id
    before = [one for one in statement if at_us("at", one.at) < end_us]
    credits_ = [one for one in before if one.to_account_id == name]
    had = sum(one.amount_tokens for one in credits_)
    had -= sum(one.amount_tokens for one in before if one.from_account_id == name)
    if wallet.kind == "provider":
        had = min(had, sum(one.amount_tokens for one in credits_ if one.reason not in ("settle:slot", "lapse:slot")))
    new = [one for one in credits_ if at_us("at", one.at) >= since_us]
    fresh = [one for one in new if one.from_account_id in (ISSUANCE, TREASURY) or one.reason == "reward:impact"]
    idle = had - sum(one.amount_tokens for one in fresh)
    return max(0, idle - terms.exempt_tokens) * terms.ppm // 1_000_000


def test_idle_tokens_are_charged_once_a_period(market: Exchange, clock: ManualClock) -> None:
    """floor((idle - exempt) * ppm / 1,000,000): 1,099 idle tokens beyond 100 free ones at 1 % pay 9, not 10."""
    market.open_account("a")
    market.mint("a", 1_099, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    assert collect(market, TERMS) == Collected(charges=1, tokens=9, owed=0)
    (charge,) = [one for one in movements(market, "a") if one.reason == "demurrage"]
    assert (charge.from_account_id, charge.to_account_id, charge.amount_tokens) == ("a", TREASURY, 9)
    assert (charge.reference_type, charge.reference_id) == ("period", "2024-10-05T00:00:00Z/PT86400S")
    assert market.wallet("a").balance_tokens == 1_090
    clock.set_us(MIDNIGHT_US + 3 * DAY_US)
    assert collect(market, TERMS).tokens == 9, "a charge is no spending"


def test_demurrage_can_be_burned(market: Exchange, clock: ManualClock) -> None:
    market.open_account("q", "quest")
    market.mint("q", 10_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    collect(market, msgspec.structs.replace(TERMS, to="burn"))
    assert market.wallet("q").balance_tokens == -market.wallet(ISSUANCE).balance_tokens == 10_000
    assert market.wallet(TREASURY).balance_tokens == 0


def test_demurrage_is_off_by_default(market: Exchange, clock: ManualClock) -> None:
    assert demurrage_of(Config()).ppm == 0
    market.open_account("a")
    market.mint("a", 10_000, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    assert collect(market, demurrage_of(Config())).charges == 0
    asyncio.run(asyncio.wait_for(Collector(market, demurrage_of(Config())).run(), WAIT_S_MAX))
    assert charges(market, "a") == []


def test_the_charge_follows_from_the_statements(
    market: Exchange, clock: ManualClock, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random histories of eight days, against the naive reckoning, account for account; pages of three accounts."""
    monkeypatch.setattr(demurrage, "ACCOUNTS_PER_PAGE", 3)
    rng = random.Random(seed)
    terms = Demurrage(rng.randrange(1, 1_000_000), DAY_US, rng.randrange(300), rng.choice(["treasury", "burn"]))
    names = [f"a{number:02}" for number in range(8)]
    kinds = {name: rng.choice(["agent", "agent", "quest", "provider"]) for name in names}
    opened: set[str] = set()
    market.open_market("m")
    market.mint(TREASURY, 5_000, "reserve")
    charged = 0
    expected: dict[tuple[str, str], int] = {}
    for day in range(8):
        for moment in sorted(rng.sample(range(DAY_US), 4)):
            clock.set_us(MIDNIGHT_US + day * DAY_US + moment)
            _something_happens(market, rng, names, kinds, opened, at_us=clock())
        end_us = MIDNIGHT_US + (day + 1) * DAY_US
        clock.set_us(end_us + rng.randrange(DAY_US // 100))
        # What happens before it is asked changes nothing about what is owed.
        _something_happens(market, rng, names, kinds, opened, at_us=clock())
        since_us = MIDNIGHT_US + day * DAY_US
        for name in opened:
            owed = reckoned(market.wallet(name), movements(market, name), since_us, end_us, terms)
            if owed:
                expected[name, terms.reference_id(terms.period(clock()))] = owed
        collected = collect(market, terms)
        paid = {(name, period): tokens for name in opened for tokens, period in charges(market, name)}
        assert owing(market) | paid == expected, day
        assert not owing(market).keys() & paid.keys()
        assert collect(market, terms).charges == 0, "a second time in the same period"
        charged += collected.tokens
    assert market.verify().ok
    assert sum(tokens for name in names if name in opened for tokens, _ in charges(market, name)) == charged


def owing(market: Exchange) -> dict[tuple[str, str], int]:
    """What accounts owe still, by account and period."""
    with market.node.connect() as connection:
        rows = connection.execute("SELECT account_id, reference_id, tokens FROM demurrage_debts").fetchall()
    return {(name, period): tokens for name, period, tokens in rows}


def _something_happens(
    market: Exchange, rng: random.Random, names: list[str], kinds: dict[str, Any], opened: set[str], at_us: int
) -> None:
    name = rng.choice(names)
    if name not in opened:
        market.open_account(name, kinds[name])
        opened.add(name)
        market.mint(name, rng.randrange(1, 2_000), "grant:initial")
        return
    available = market.wallet(name).available_tokens
    match rng.randrange(5):
        case 0:
            market.mint(name, rng.randrange(1, 500), "earn:x", "work", str(at_us))
        case 1 if available > 1:
            payee = rng.choice([TREASURY, *(one for one in sorted(opened) if one != name)])
            market.transfer(name, payee, rng.randrange(1, available), "tip")
        case 2 if available > 1 and kinds[name] in ("agent", "quest"):
            # Held, and its own all the same until it is paid: a provider sells it a slot.
            price = rng.randrange(1, available)
            market.place_bid("m", name, f"t{at_us}", price, time_in_force="gtd", ttl_at=LATE)
            sellers = sorted(one for one in opened if one != name)
            if sellers and rng.random() < 0.7:
                seller = rng.choice(sellers)
                market.offer_slot("m", f"s{at_us}", provider_id=seller, reserve_price_tokens=price)
                for award in market.clear_round("m").awards:
                    market.settle(award.slot_id, 0, 0, provider_id=seller)
        case 3 if available > 1:
            market.place_hold(f"h{at_us}", name, rng.randrange(1, available), "stake")
        case _:
            pass


def test_no_account_is_charged_twice_beyond_any_retry_window_or_restart(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger remembers a period's charge when the ids of commands are long forgotten, and for the next process."""
    monkeypatch.setattr(engine_limits, "RECEIPTS_MAX", 2)
    with open_exchange(database_url, clock=clock) as market:
        for name in ("a", "b", "c"):
            market.open_account(name)
            market.mint(name, 1_100, "grant:initial")
        clock.set_us(MIDNIGHT_US + 2 * DAY_US)
        assert collect(market, TERMS).charges == 3
        for number in range(5):
            market.mint("a", 1, "other", command_id=f"other-{number}")
        assert collect(market, TERMS).charges == 0
        dearer = msgspec.structs.replace(TERMS, ppm=500_000)
        assert collect(market, dearer).charges == 0, "other terms do not charge a period again"
    with open_exchange(database_url, clock=clock) as market:
        assert collect(market, TERMS).charges == 0
        assert [tokens for tokens, _ in charges(market, "a")] == [10]


def test_a_period_is_not_reckoned_from_tables_that_lack_some_of_it(market: Exchange, clock: ManualClock) -> None:
    """Whoever was paid in the last row of it would be charged too little, or who paid too much."""
    market.open_account("a")
    market.mint("a", 1_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    period, seq = TERMS.period(clock()), market.acknowledging("projected").open_account("b").seq
    assert [row.account_id for row in market.ask(Walk(TERMS, period, seq).question()) if row.idle_tokens] == ["a"]
    with pytest.raises(Unavailable, match=f"row {seq + 1} of the period is not in the SQL tables yet"):
        market.ask(Walk(TERMS, period, seq + 1).question())


def test_two_that_walk_at_the_same_moment_charge_once(market: Exchange, clock: ManualClock) -> None:
    """IDM-1: both have read the same page before either has charged: the ids of the commands are the same."""
    for number in range(20):
        market.open_account(f"a{number}")
        market.mint(f"a{number}", 1_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    walks = [Walk(TERMS, TERMS.period(clock()), 0) for _ in range(4)]
    pages = [market.ask(walk.question()) for walk in walks]
    outcomes = [Outcome() for _ in walks]

    def submit(number: int) -> None:
        payable, _ = walks[number].payable(pages[number])
        outcomes[number].note(payable, market.submit([charge(debt, TERMS) for debt in payable]))

    assert in_threads([partial(submit, number) for number in range(4)]) == []
    assert sum(outcome.charges for outcome in outcomes) == 20
    assert market.wallet(TREASURY).balance_tokens == 200


def test_an_account_that_spends_at_midnight_owes_its_demurrage(market: Exchange, clock: ManualClock) -> None:
    """LED-5: the charge is checked against what is available like any payment; it is asked again, and paid once."""
    for name in ("a", "b"):
        market.open_account(name)
        market.mint(name, 1_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    walk = Walk(TERMS, TERMS.period(clock()), 0)
    payable, waiting = walk.payable(market.ask(walk.question()))
    market.transfer("a", TREASURY, 1_095, "gone")
    outcome = Outcome(owed=waiting)
    outcome.note(payable, market.submit([charge(debt, TERMS) for debt in payable]))
    market.change(outcome.change())
    assert (outcome.charges, [debt.account_id for debt in outcome.owed]) == (1, ["a"])
    assert (market.wallet("a").balance_tokens, market.wallet("b").balance_tokens) == (5, 1_090)
    assert collect(market, TERMS).charges == 0, "it has not enough"
    market.mint("a", 5, "earn:x", "work", "1")
    assert collect(market, TERMS).tokens == 10
    assert collect(market, TERMS).charges == 0
    assert (market.wallet("a").balance_tokens, owing(market)) == (0, {})


def test_tokens_that_pay_one_debt_pay_no_other() -> None:
    """Of several debts of an account as many are asked as it can pay together: a refusal would be a row for nothing."""
    owed = [("a", 1, 60), ("a", 2, 50), ("a", 3, 40), ("b", 1, 100), ("b", 2, 1)]
    rows = [DebtRow(name, period, str(period), tokens, 0, False, 100) for name, period, tokens in owed]
    payable, paid = Debts().payable(rows)
    assert [(debt.account_id, debt.period) for debt in payable] == [("a", 1), ("a", 3), ("b", 1)]
    assert paid == []
    # What the ledger has already takes nothing.
    payable, paid = Debts().payable([msgspec.structs.replace(rows[0], paid=True), *rows[1:3]])
    assert [(debt.account_id, debt.period) for debt in payable] == [("a", 2), ("a", 3)]
    assert [(debt.account_id, debt.period) for debt in paid] == [("a", 1)]


def test_attempts_at_a_debt_never_go_back(market: Exchange) -> None:
    """Of two that collect one is late: an id that was refused before is refused for ever, so none is used again."""
    market.open_account("a")
    with connect(projected(market.node.url), "test") as connection:
        for attempts, known in ((1, 1), (3, 3), (2, 3), (4, 4)):
            demurrage_debts.write_debts(connection, 0, [Debt("a", 1, "1", 5, attempts)], [], 400)
            (found,) = demurrage_debts.debts_page(connection, 0, ("", 0), 10)
            assert found.attempts == known


def test_a_process_may_die_between_any_two_of_its_steps(market: Exchange, clock: ManualClock) -> None:
    """Each page is asked, charged and noted: whoever begins anew after any of these comes to the same."""
    for name in ("a", "b", "c"):
        market.open_account(name)
        market.mint(name, 1_100, "grant:initial")
    market.place_hold("h", "c", 1_095, "stake")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    for steps in range(3):
        walk = Walk(TERMS, TERMS.period(clock()), 0)
        payable, waiting = walk.payable(market.ask(walk.question()))
        outcome = Outcome(owed=waiting)
        if steps and payable:
            outcome.note(payable, market.submit([charge(debt, TERMS) for debt in payable]))
        if steps > 1:
            market.change(outcome.change())
    market.release_hold("h", "c")
    debts = Debts()
    owed, paid = debts.payable(market.ask(debts.question()))
    assert ([debt.account_id for debt in owed], paid) == (["c"], [])
    market.submit([charge(debt, TERMS) for debt in owed])
    assert collect(market, TERMS).charges == 0, "it died before it noted that"
    assert [market.wallet(name).balance_tokens for name in ("a", "b", "c")] == [1_090] * 3
    assert owing(market) == {}


def test_old_debts_are_forgiven(market: Exchange, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """So an account that never has anything free does not fill the table."""
    monkeypatch.setattr(demurrage, "DEBTS_PER_ACCOUNT_MAX", 2)
    market.open_account("a")
    market.mint("a", 1_100, "grant:initial")
    market.place_hold("h", "a", 1_100, "stake")
    for day in range(2, 7):
        clock.set_us(MIDNIGHT_US + day * DAY_US)
        collect(market, TERMS)
        assert len(owing(market)) == min(day - 1, 2)
    market.release_hold("h", "a")
    assert collect(market, TERMS).tokens == 20


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not true():  # noqa: ASYNC110 -- what is waited for tells nobody
            await asyncio.sleep(0.005)


def test_the_collector_goes_on_by_itself_over_periods_and_outages(
    own_server: OwnServer, own_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each period once; what fails while the database is away is asked again when it is back."""
    monkeypatch.setattr(collector, "LOOK_S", 0.01)
    monkeypatch.setattr(collector, "PAUSE_S_MAX", 0.05)
    monkeypatch.setattr(collector, "PAGE_PAUSE_S", 0.0)
    monkeypatch.setattr(demurrage, "ACCOUNTS_PER_PAGE", 2)
    with open_exchange(own_url, clock=clock) as market:
        for number in range(5):
            market.open_account(f"a{number}")
            market.mint(f"a{number}", 1_100, "grant:initial")

        async def days() -> Collector:
            collecting = Collector(market, TERMS)
            task = asyncio.create_task(collecting.run())
            clock.set_us(MIDNIGHT_US + 2 * DAY_US)
            await _until(lambda: collecting.charges == 5)
            # A walk begins when the tables have what was charged, and only one that has begun can fail.
            await asyncio.to_thread(projected, own_url)
            with own_server.away():
                clock.set_us(MIDNIGHT_US + 3 * DAY_US)
                await _until(lambda: collecting.failures >= 2)
            await _until(lambda: collecting.charges == 10)
            clock.set_us(MIDNIGHT_US + 2 * DAY_US)
            await asyncio.sleep(0.1)
            task.cancel()
            return collecting

        collecting = asyncio.run(days())
        assert (collecting.charges, collecting.refused) == (10, 0)
        assert collecting.tokens == market.wallet(TREASURY).balance_tokens
        for number in range(5):
            assert len(charges(market, f"a{number}")) == 2
    with connect(level(own_url), "test") as connection:
        twice = """SELECT FROM token_ledger WHERE reason = 'demurrage'
            GROUP BY from_account, reference_id HAVING count(*) > 1"""
        assert connection.execute(twice).fetchall() == []


def test_the_collector_waits_longer_after_each_failure_in_a_row(
    market: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for all of them; that others lead is no failure to tell of."""
    collecting = Collector(market, TERMS)
    pauses_s = [collecting._failed(Unavailable("away")) for _ in range(12)]
    assert pauses_s == [min(collector.PAUSE_S_MAX, collector.LOOK_S * 2 ** (number + 1)) for number in range(12)]
    assert collecting.failures == 12
    assert caplog.text.count("demurrage could not be collected") == 1
    collecting._failures_in_a_row = 0
    assert collecting._failed(NotLeader("another leads", "", 0.2)) == 2 * collector.LOOK_S
    assert caplog.text.count("demurrage could not be collected") == 1


def test_a_clock_that_is_set_back_charges_no_period_that_is_over(
    market: Exchange, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was forgiven, because nobody led when it had ended, stays so; and the next one is charged as ever."""
    market.open_account("a")
    market.mint("a", 10_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 3 * DAY_US)

    async def steps() -> None:
        collecting = Collector(market, TERMS)
        for day in (3, 2, 1, 3):
            clock.set_us(MIDNIGHT_US + day * DAY_US)
            for _ in range(4):
                await asyncio.to_thread(projected, market.node.url)
                await collecting._step()
            assert charges(market, "a") == [(100, "2024-10-06T00:00:00Z/PT86400S")], day
        clock.set_us(MIDNIGHT_US + 4 * DAY_US)
        await _until(lambda: market.node.projected_seq >= market.read(lambda state: state.seq))
        await collecting._step()
        assert len(charges(market, "a")) == 2

    asyncio.run(asyncio.wait_for(steps(), WAIT_S_MAX))
