"""The charge on idle tokens: who pays, how much, and that nobody pays twice.

Goal: what is charged follows from the statements alone, for any history; a period is charged once for an account
whatever is retried, restarted or doubled; a database that is away delays it and loses nothing. Method: a naive
reckoning from whole statements beside the query, over random histories; a real PostgreSQL that is stopped under the
collector.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

import engine.limits
from bridge import Exchange, ManualClock, open_exchange
from bridge.config import Config
from bridge.earning import collector, demurrage
from bridge.earning.collector import Collector, collect
from bridge.earning.demurrage import Demurrage, Walk, demurrage_of
from bridge.reads import Wallet
from bridge.units import at_us
from engine.commands import ISSUANCE, TREASURY
from persistence.connections import connect
from persistence.queries import MovementRow
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


def reckoned(wallet: Wallet, statement: list[MovementRow], since_us: int, terms: Demurrage) -> int:
    """What an account has to pay, from its wallet and its whole statement, as RULES would be read aloud."""
    if wallet.kind not in ("agent", "quest"):
        return 0
    recent = [one for one in statement if at_us("at", one.at) >= since_us]
    if any(one.from_account_id == wallet.account_id and one.reason != "demurrage" for one in recent):
        return 0
    came_in = sum(one.amount_tokens for one in recent if one.to_account_id == wallet.account_id)
    idle = min(wallet.available_tokens, wallet.balance_tokens - came_in)
    return max(0, idle - terms.exempt_tokens) * terms.ppm // 1_000_000


def test_idle_tokens_pay(market: Exchange, clock: ManualClock) -> None:
    """floor((idle - exempt) * ppm / 1,000,000): 1,099 idle tokens beyond 100 free ones at 1 % pay 9, not 10."""
    market.open_account("a")
    market.mint("a", 1_099, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    walk = collect(market, TERMS)
    assert (walk.charges_made, walk.tokens_charged, walk.refused) == (1, 9, 0)
    (charge,) = [one for one in movements(market, "a") if one.reason == "demurrage"]
    assert (charge.from_account_id, charge.to_account_id, charge.amount_tokens) == ("a", TREASURY, 9)
    assert (charge.reference_type, charge.reference_id) == ("period", "2024-10-05T00:00:00Z/PT86400S")
    assert market.wallet("a").balance_tokens == 1_090
    clock.set_us(MIDNIGHT_US + 3 * DAY_US)
    assert collect(market, TERMS).tokens_charged == 9, "a charge is no spending"


def test_it_can_be_burnt(market: Exchange, clock: ManualClock) -> None:
    market.open_account("q", "quest")
    market.mint("q", 10_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    collect(market, msgspec.structs.replace(TERMS, to="burn"))
    assert market.wallet("q").balance_tokens == -market.wallet(ISSUANCE).balance_tokens == 10_000
    assert market.wallet(TREASURY).balance_tokens == 0


def test_it_is_off_unless_it_is_set(market: Exchange, clock: ManualClock) -> None:
    assert demurrage_of(Config()).ppm == 0
    market.open_account("a")
    market.mint("a", 10_000, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    assert collect(market, demurrage_of(Config())).charges_made == 0
    asyncio.run(asyncio.wait_for(Collector(market, demurrage_of(Config())).run(), WAIT_S_MAX))
    assert charges(market, "a") == []


def test_what_is_charged_follows_from_the_statements(
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
    for day in range(8):
        for moment in sorted(rng.sample(range(DAY_US), 4)):
            clock.set_us(MIDNIGHT_US + day * DAY_US + moment)
            _something_happens(market, rng, names, kinds, opened, at_us=clock())
        clock.set_us(MIDNIGHT_US + (day + 1) * DAY_US + rng.randrange(DAY_US // 100))
        since_us = MIDNIGHT_US + day * DAY_US
        expected = {name: reckoned(market.wallet(name), movements(market, name), since_us, terms) for name in opened}
        before = {name: market.wallet(name).balance_tokens for name in opened}
        walk = collect(market, terms)
        assert {name: before[name] - market.wallet(name).balance_tokens for name in opened} == expected, day
        assert (walk.tokens_charged, walk.refused) == (sum(expected.values()), 0)
        assert collect(market, terms).charges_made == 0, "a second time in the same period"
        charged += walk.tokens_charged
    assert market.verify().ok
    assert sum(tokens for name in names if name in opened for tokens, _ in charges(market, name)) == charged


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
    match rng.randrange(4):
        case 0:
            market.mint(name, rng.randrange(1, 500), "earn:x", "work", str(at_us))
        case 1 if available > 1:
            market.transfer(name, rng.choice([TREASURY, *(one for one in sorted(opened) if one != name)]), 1, "tip")
        case 2 if available > 1 and kinds[name] in ("agent", "quest"):
            # Held, so not available; it is spent if it wins.
            market.place_bid("m", name, f"t{at_us}", rng.randrange(1, available), time_in_force="gtd", ttl_at=LATE)
        case _:
            pass


def test_nobody_pays_twice_beyond_every_retry_window_and_restart(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger remembers a period's charge when the ids of commands are long forgotten, and for the next process."""
    monkeypatch.setattr(engine.limits, "RECEIPTS_MAX", 2)
    with open_exchange(database_url, clock=clock) as market:
        for name in ("a", "b", "c"):
            market.open_account(name)
            market.mint(name, 1_100, "grant:initial")
        clock.set_us(MIDNIGHT_US + 2 * DAY_US)
        assert collect(market, TERMS).charges_made == 3
        for number in range(5):
            market.mint("a", 1, "other", command_id=f"other-{number}")
        assert collect(market, TERMS).charges_made == 0
        dearer = msgspec.structs.replace(TERMS, ppm=500_000)
        assert collect(market, dearer).charges_made == 0, "other terms do not charge a period again"
    with open_exchange(database_url, clock=clock) as market:
        assert collect(market, TERMS).charges_made == 0
        assert [tokens for tokens, _ in charges(market, "a")] == [10]


def test_two_that_walk_at_the_same_moment_charge_once(market: Exchange, clock: ManualClock) -> None:
    """IDM-1: both have read the same page before either has charged: the ids of the commands are the same."""
    for number in range(20):
        market.open_account(f"a{number}")
        market.mint(f"a{number}", 1_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    walks = [Walk(TERMS, TERMS.period(clock())) for _ in range(4)]
    pages = [market.ask(walk.question()) for walk in walks]

    def submit(number: int) -> None:
        walks[number].note(pages[number], market.submit(walks[number].charges(pages[number])))

    assert in_threads([partial(submit, number) for number in range(4)]) == []
    assert sum(walk.charges_made for walk in walks) == 20
    assert market.wallet(TREASURY).balance_tokens == 200


def test_who_spends_in_that_very_moment_is_let_off(market: Exchange, clock: ManualClock) -> None:
    """LED-5: the charge is checked against what is available like any payment; the others of the page pay."""
    for name in ("a", "b"):
        market.open_account(name)
        market.mint(name, 1_100, "grant:initial")
    clock.set_us(MIDNIGHT_US + 2 * DAY_US)
    walk = Walk(TERMS, TERMS.period(clock()))
    rows = market.ask(walk.question())
    market.transfer("a", TREASURY, 1_095, "gone")
    walk.note(rows, market.submit(walk.charges(rows)))
    assert (walk.charges_made, walk.refused) == (1, 1)
    assert (market.wallet("a").balance_tokens, market.wallet("b").balance_tokens) == (5, 1_090)


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
    with connect(own_url, "test") as connection:
        twice = """SELECT FROM token_ledger WHERE reason = 'demurrage'
            GROUP BY from_account, reference_id HAVING count(*) > 1"""
        assert connection.execute(twice).fetchall() == []
