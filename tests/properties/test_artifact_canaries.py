"""Wrong engines that the promises of artifact markets must catch: else a property that holds would say nothing.

Goal: each fault that somebody has made elsewhere, or nearly here, is found. Method: the engine is broken in one place,
and the check that is to notice it is run; it must fail.
"""

import random
from collections.abc import Callable
from math import log2
from typing import Any

import msgspec
import pytest

from callmarket.engine.capital import maker
from callmarket.engine.capital.fixed import BITS, EXPONENT_BITS, exp2_neg, log2_1p
from callmarket.engine.capital.orders import Order
from callmarket.engine.commands import Transfer
from callmarket.engine.decide.capital import markets, trades
from callmarket.engine.decide.capital.cash import Cash
from tests.properties import test_maker
from tests.properties.test_artifact_promises import keep_promises
from tests.support.artifact_floor import FAR_US, Floor
from tests.support.artifact_promises import conserves_every_token
from tests.support.streams import Stream
from tests.support.swarms import Swarm, capital_swarm

Patch = pytest.MonkeyPatch


def streams_are_kept(seed: int, change: Callable[[Swarm], None] = lambda _: None) -> None:
    """Run the promises over some streams."""

    def changed(rng: random.Random) -> Swarm:
        swarm = capital_swarm(rng)
        change(swarm)
        return swarm

    for stream_seed in range(seed, seed + 40):
        keep_promises(Stream(stream_seed, choose_swarm=changed), 300)


def test_a_pool_that_is_rounded_to_the_nearest_is_caught(monkeypatch: Patch, seed: int) -> None:
    """LMSR-2, LMSR-3: then K is below the real cost, and a buy costs more than its tokens."""

    def nearest(long: int, short: int, subsidy: int) -> int:
        log = log2_1p(exp2_neg((abs(long - short) << EXPONENT_BITS) // subsidy)) >> BITS - EXPONENT_BITS
        return max(long, short) + (subsidy * log + (1 << EXPONENT_BITS - 1) >> EXPONENT_BITS)

    monkeypatch.setattr(maker, "pool_for", nearest)
    for caught_by in (
        test_maker.test_the_pool_is_that_of_the_rule_to_the_last_digit,
        test_maker.test_a_buy_is_never_dearer_than_its_tokens_and_leaves_no_more_than_one,
    ):
        with pytest.raises(AssertionError):
            caught_by(seed)


def test_a_logarithm_in_floating_point_is_caught(monkeypatch: Patch, seed: int) -> None:
    """LMSR-2: thousands of units of 2^-64 off, and not the same on every machine."""
    monkeypatch.setattr(maker, "log2_1p", lambda y: int(log2(1 + y / 2**BITS) * 2**BITS))
    with pytest.raises(AssertionError):
        pools_are_those_of_the_rule(seed)


def pools_are_those_of_the_rule(seed: int) -> None:
    """Try so many that a digit that is seldom wrong is found."""
    for case in range(seed, seed + 50):
        test_maker.test_the_pool_is_that_of_the_rule_to_the_last_digit(case)


def test_a_started_token_of_an_order_that_is_taken_from_the_purse_is_caught(monkeypatch: Patch) -> None:
    """ORD-6: the purse is all orders' and may be empty, so a hold runs one token short of what it has promised."""
    monkeypatch.setattr(Order, "change_microtokens", property(lambda _: 0))
    with pytest.raises(AssertionError):
        fill_bit_by_bit(Floor(tokens=100))


def fill_bit_by_bit(floor: Floor) -> None:
    """Fill two orders of an account that pays away all that is not held, a little at a time."""
    for limit in (499_990, 499_980):
        floor.open("a", "short", 50, limit, FAR_US)
    for turn in range(30):
        floor.open("b", "long", 1 + turn % 3, 500_030)
        account = floor.engine.state.ledger.accounts["a"]
        if account.available_tokens:
            floor.do(Transfer("a", "d", account.available_tokens, "away"))
        conserves_every_token(floor.engine)
    while floor.engine.state.capital.orders:
        floor.open("c", "long", 10, 600_000)


def test_without_an_end_of_small_rests_is_caught(seed: int) -> None:
    """ORD-7: an order of which nothing is left would be filled again and again, for nothing."""

    def no_rest(swarm: Swarm) -> None:
        swarm.bounds["ORDER_REST_MIN"] = 0

    with pytest.raises(AssertionError):
        streams_are_kept(seed, no_rest)


def test_a_subsidy_that_rises_in_a_decay_is_caught(monkeypatch: Patch, seed: int) -> None:
    """LMSR-9: liquidity that comes back lets a cycle of trades earn."""
    decayed = markets._decayed

    def risen(market: Any) -> Any:
        event, was = decayed(market), market.maker
        if event is None:
            return None
        subsidy = was.subsidy_microtokens + 1
        pool = maker.pool_for(was.long, was.short, subsidy)
        offsets = was.long_offset_microshares, was.short_offset_microshares
        return msgspec.structs.replace(
            event,
            subsidy_microtokens=subsidy,
            long_offset_microshares=offsets[0],
            short_offset_microshares=offsets[1],
            pool_microtokens=pool,
            returned_microtokens=was.pool_microtokens - pool,
        )

    monkeypatch.setattr(markets, "_decayed", risen)
    with pytest.raises(AssertionError, match="LMSR-9"):
        streams_are_kept(seed)


def test_a_subsidy_that_is_not_funded_is_caught(monkeypatch: Patch) -> None:
    """LMSR-1, CAP-2: recorded and never charged, it would be made from nothing at the settlement."""

    class Unfunded(Cash):
        def pay(self, account_id: str, artifact_id: str, microtokens: int) -> None:
            """Note nothing."""

    monkeypatch.setattr(markets, "Cash", Unfunded)
    with pytest.raises(AssertionError):
        Floor()


def test_a_position_that_is_cancelled_at_its_price_is_caught(monkeypatch: Patch) -> None:
    """POS-2: a refund of the entry is a free option, which the pool pays for."""
    traded = trades.traded

    def refunded(state: Any, entry: Any, route: Any, *, rests: bool) -> Any:
        if not route.order.opens:
            position = state.capital.positions[route.order.position_id]
            route.microtokens = position.cost_of(route.microshares)
        return traded(state, entry, route, rests=rests)

    monkeypatch.setattr("callmarket.engine.decide.capital.orders.traded", refunded)
    floor = Floor()
    floor.open("a", "long", 50)
    floor.open("b", "short", 200)
    with pytest.raises(AssertionError):
        floor.close(1)


def test_the_engine_as_it_is_passes_where_the_canaries_fail(seed: int) -> None:
    """The checks above find the fault that was put in, and no other."""
    fill_bit_by_bit(Floor(tokens=100))
    streams_are_kept(seed)
    floor = Floor()
    floor.open("a", "long", 50)
    floor.open("b", "short", 200)
    floor.close(1)
