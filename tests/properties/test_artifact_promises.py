"""Artifact markets keep what they promise, over seeded streams, without a second reading of the rules.

Goal: no token is made or lost, no pool is too small, no fill is worse than its limit, and every command is bounded.
Method: `tests.support.artifact_promises` beside an engine; the state checks itself (CAP-2, ORD-5) after each command.
"""

import random

import pytest

from callmarket.engine.capital.commands import ClosePosition, OpenPosition, Side
from callmarket.engine.core import Engine
from tests.support.artifact_floor import ARTIFACT, FAR_US, Floor, receipt
from tests.support.artifact_promises import Before, Promises, can_pay_at_every_price, conserves_every_token, minted
from tests.support.streams import Stream, bounds
from tests.support.swarms import capital_swarm, swinging_swarm

STREAMS = 25
COMMANDS = 300
SIDES: tuple[Side, ...] = ("long", "short")


def keep_promises(stream: Stream, count: int, check_every: int = 1) -> None:
    """Run a stream, and raise an AssertionError at the first promise that is broken."""
    engine, promises, rng, supply = Engine(), Promises(), random.Random(0), 0
    with bounds(stream.swarm.bounds):
        for index in range(count):
            entry = stream.next_entry()
            before = Before.of(engine)
            events = engine.apply(entry)
            stream.observe(entry, events)
            promises.check(engine, entry, events, before)
            supply += minted(events)
            if index % check_every == check_every - 1:
                engine.state.check()
                can_pay_at_every_price(engine, rng)
                conserves_every_token(engine)
                assert -engine.state.ledger.accounts["issuance"].balance_tokens == supply


@pytest.mark.parametrize("choose_swarm", [capital_swarm, swinging_swarm])
def test_every_promise_is_kept_after_every_command(choose_swarm, seed: int) -> None:
    """CAP-2, CAP-3, LED-1, LMSR-3 to LMSR-6, LMSR-9, ORD-2, ORD-3, ORD-5, STL-3, STL-4, STL-6."""
    for stream_seed in range(seed, seed + STREAMS):
        keep_promises(Stream(stream_seed, choose_swarm=choose_swarm), COMMANDS)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("choose_swarm", [capital_swarm, swinging_swarm])
def test_every_promise_is_kept_for_long(choose_swarm, seed: int) -> None:
    """CAP-2, LED-1, LMSR-6, STL-3: 10**6 commands in all, in a thousand worlds."""
    for stream_seed in range(seed, seed + 500):
        keep_promises(Stream(stream_seed, choose_swarm=choose_swarm), 1_000, check_every=25)


def test_trades_that_return_to_the_same_shares_cost_nothing_and_earn_nothing(seed: int) -> None:
    """LMSR-7: when all have closed, the pool is what it was, whoever traded what; and so is all that they have."""
    rng = random.Random(seed)
    for _ in range(20):
        floor = Floor(subsidy_tokens=rng.choice((1, 7, 70, 5_000)))
        start = floor.market.maker.pool_microtokens
        had = sum(floor.funds(name) for name in "abcde")
        for _ in range(rng.randint(1, 12)):
            # Refused where the price is at its bound.
            floor.told(OpenPosition(ARTIFACT, rng.choice("abcde"), rng.choice(SIDES), rng.randint(1, 200)))
            # Some of them close early, in part.
            position_id, position = rng.choice(list(floor.market.positions.items()))
            if rng.random() < 0.5:
                floor.told(ClosePosition(position_id, rng.randint(1, position.microshares)))
            assert sum(floor.funds(name) for name in "abcde") == had + start - floor.market.maker.pool_microtokens
        while floor.market.positions:
            floor.told(ClosePosition(rng.choice(list(floor.market.positions))))
        assert floor.market.maker.pool_microtokens == start
        assert sum(floor.funds(name) for name in "abcde") == had


def test_one_account_that_returns_to_its_shares_never_earns(seed: int) -> None:
    """LMSR-7: a cycle of one account costs 0 or more after each of its trades that leaves it without shares."""
    rng = random.Random(seed)
    for _ in range(20):
        floor = Floor(subsidy_tokens=rng.choice((1, 7, 70, 5_000)))
        floor.open("b", rng.choice(SIDES), rng.randint(1, 500))
        had = floor.funds("a")
        for _ in range(6):
            # Refused where the price is at its bound.
            floor.told(OpenPosition(ARTIFACT, "a", rng.choice(SIDES), rng.randint(1, 100)))
            for position_id in [one.position_id for one in floor.market.positions.values() if one.account_id == "a"]:
                floor.close(position_id)
            assert floor.funds("a") <= had


@pytest.mark.parametrize("tokens", [1, 50, 5_000])
def test_a_price_that_is_pushed_and_let_go_at_one_time_leaves_no_trace_in_the_average(tokens: int) -> None:
    """PRC-1: whoever pushes a price and lets it go at one time has not moved what budgets read."""
    quiet, pushed = Floor(), Floor()
    for floor in (quiet, pushed):
        floor.open("b", "long", 33)
        floor.at_us += 3_600_000_000
    opened = receipt(pushed.open("a", "long", tokens))
    assert opened.price_after_micros > opened.price_before_micros
    pushed.close(opened.position_id)
    averages = []
    for floor in (quiet, pushed):
        floor.at_us += 7_200_000_000
        averages.append(receipt(floor.open("c", "short", 1)).average_price_micros)
    assert averages[0] == averages[1]


def test_an_order_that_meets_very_many_ends_after_so_many_steps() -> None:
    """ORD-2, ORD-5: 64 fills, and what is left is given back, for more orders are in the way."""
    floor = Floor()
    for _ in range(70):
        floor.open("b", "short", 1, 500_000, FAR_US)
    events = floor.open("a", "long", 100, 500_000, FAR_US)
    assert len(receipt(events).sources) == 64
    assert [order.account_id for order in floor.engine.state.capital.orders.values()] == ["b"] * 6
