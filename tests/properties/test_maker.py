"""The maker's numbers against logarithms to eighty digits, and what they promise by themselves.

Goal: every digit is that of the rules, for every subsidy and price that there may be. Method: random and edge cases,
against `tests.support.naive.capital.maker`, against a search over K, and against each other.
"""

import random
from collections.abc import Iterator

import pytest

from callmarket.engine.capital import maker
from callmarket.engine.capital.limits import MICRO, PRICE_MICROS_MAX, PRICE_MICROS_MIN, SUBSIDY_TOKENS_MAX
from callmarket.engine.capital.maker import difference_at, price_at, shares_for
from tests.support.naive.capital import maker as naive

CASES = 400
EDGES = (PRICE_MICROS_MIN, PRICE_MICROS_MAX, 500_000, 200_000, 800_000)
# By how much K is above the real cost (LMSR-2).
EXCESS_MAX = 1.0002


def standings(seed: int) -> Iterator[tuple[random.Random, int, int, int]]:
    """Yield subsidies of every size, and where the two sides stand, within the bounds of prices."""
    rng = random.Random(seed)
    for _ in range(CASES):
        subsidy = rng.choice((1, SUBSIDY_TOKENS_MAX, int(10 ** rng.uniform(0, 9)))) * MICRO - rng.choice((0, 0, 1))
        low, high = (
            difference_at(PRICE_MICROS_MIN, subsidy, up=False),
            difference_at(PRICE_MICROS_MAX, subsidy, up=True),
        )
        at_price = difference_at(rng.choice(EDGES), subsidy, up=True) + rng.choice((0, 1, -1))
        difference = rng.choice((rng.randint(low, high), 0, 1, -1, subsidy, -subsidy, min(max(at_price, low), high)))
        base = rng.choice((0, rng.randint(0, 10**15)))
        yield rng, subsidy, base + max(difference, 0), base + max(-difference, 0)


def test_the_pool_is_that_of_the_rule_to_the_last_digit(seed: int) -> None:
    """LMSR-2: K, and by how little it is above what Hanson's cost function says."""
    for _, subsidy, long, short in standings(seed):
        pool = maker.pool_for(long, short, subsidy)
        assert pool == naive.pool_for(subsidy, (long, short)), (subsidy, long, short)
        real = max(long, short) + subsidy * naive.log2(
            1 + naive.REAL.mpf(2) ** (-naive.REAL.mpf(abs(long - short)) / subsidy)
        )
        assert 0 <= pool - real <= EXCESS_MAX, (subsidy, long, short)


def test_far_beyond_every_price_the_pool_is_what_the_dear_side_is_paid() -> None:
    """LMSR-2, LMSR-6: K is above the greater side by a microtoken, however far the sides are apart."""
    for far in (10**9, 10**12, 2**52):
        assert maker.pool_for(far, 0, MICRO) == naive.pool_for(MICRO, (far, 0)) == far + 1


def test_shares_for_tokens_are_those_of_the_rule(seed: int) -> None:
    """LMSR-3: to the last microshare."""
    for rng, subsidy, own, other in standings(seed):
        pool, microtokens = (
            maker.pool_for(own, other, subsidy),
            rng.choice((1_000, MICRO, rng.randint(1_000, subsidy * 2))),
        )
        found = shares_for(own, other, subsidy, pool, microtokens)
        assert found == naive.shares_for(subsidy, own, other, microtokens), (subsidy, own, other, microtokens)


def test_a_buy_is_never_dearer_than_its_tokens_and_leaves_no_more_than_one(seed: int) -> None:
    """LMSR-3: against a search over K for the most shares that the tokens buy."""
    for rng, subsidy, own, other in standings(seed):
        pool, microtokens = maker.pool_for(own, other, subsidy), rng.randint(1_000, subsidy * 2)

        def cost(shares: int, own: int = own, other: int = other, subsidy: int = subsidy, pool: int = pool) -> int:
            return maker.pool_for(own + shares, other, subsidy) - pool

        low, high = 0, microtokens * 2_000 + subsidy
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if cost(middle) <= microtokens else (low, middle - 1)
        shares = shares_for(own, other, subsidy, pool, microtokens)
        assert shares <= low, (subsidy, own, other, microtokens)
        assert microtokens - 1 <= cost(shares) <= microtokens, (subsidy, own, other, microtokens)


def test_one_more_microshare_costs_nothing_or_a_microtoken(seed: int) -> None:
    """LMSR-8: so no share is free in quantity, and no buy is paid for."""
    for _, subsidy, long, short in standings(seed):
        step = maker.pool_for(long + 1, short, subsidy) - maker.pool_for(long, short, subsidy)
        assert step in (0, 1), (subsidy, long, short)


def test_a_set_is_worth_a_token(seed: int) -> None:
    """ORD-4: with n of both sides the pool has exactly n more, and no price moves."""
    for rng, subsidy, long, short in standings(seed):
        count = rng.randint(1, 10**12)
        assert maker.pool_for(long + count, short + count, subsidy) == maker.pool_for(long, short, subsidy) + count


def test_long_and_short_are_each_others_mirror(seed: int) -> None:
    """LMSR-2 to LMSR-4: nothing is rounded in favour of a side."""
    for rng, subsidy, long, short in standings(seed):
        assert maker.pool_for(long, short, subsidy) == maker.pool_for(short, long, subsidy)
        if long != short:
            assert price_at(long - short, subsidy) == MICRO - price_at(short - long, subsidy)
        price = rng.randint(PRICE_MICROS_MIN, PRICE_MICROS_MAX)
        assert difference_at(price, subsidy, up=True) == -difference_at(MICRO - price, subsidy, up=False)


def test_a_market_of_another_size_is_the_same_market(seed: int) -> None:
    """LMSR-2: K of c times the subsidy and the shares is c times K, but for what is rounded up."""
    for rng, subsidy, long, short in standings(seed):
        factor = rng.choice((2, 3, 7, 1_000))
        scaled = maker.pool_for(long * factor, short * factor, subsidy * factor)
        assert -factor < scaled - factor * maker.pool_for(long, short, subsidy) <= 0, (subsidy, long, short, factor)


def test_prices_and_where_they_are_reached_are_those_of_the_rule(seed: int) -> None:
    """LMSR-4: to the last digit; and whoever moves the price to a limit does not pass it."""
    for rng, subsidy, long, short in standings(seed):
        assert price_at(long - short, subsidy) == naive.price_of_long(subsidy, (long, short))
        price = rng.choice((*EDGES, rng.randint(PRICE_MICROS_MIN, PRICE_MICROS_MAX)))
        for up in (True, False):
            assert difference_at(price, subsidy, up=up) == naive.spread_at(subsidy, price, up)
            assert price_at(difference_at(price, subsidy, up=up), subsidy) == pytest.approx(price, abs=1)
