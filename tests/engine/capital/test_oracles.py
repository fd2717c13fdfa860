"""Numbers that others have published of the logarithmic rule, against the maker.

Goal: it is the rule of the literature, not one that is only consistent with itself. Method: each row is a case of its
source, a token of which is 10^12 microtokens here, so that all its digits are seen (LMSR-2 rounds to one microtoken).
"""

from math import exp, log

import pytest

from callmarket.engine.capital.commands import ClosePosition
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.maker import difference_at, pool_for, price_at, shares_for
from callmarket.engine.ids import PositionId
from tests.support.artifact_floor import FAR_US, Floor, receipt

UNIT = 10**12
GNOSIS = "gnosis/conditional-tokens-docs, intro3.md"
ZEITGEIST = "zeitgeistpm/zeitgeist, neo-swaps/src/math.rs"
OTHMAN = "A. Othman, LMSR in Augur's blog"


def subsidy_for(b: float) -> int:
    """S of Hanson's b: b ln 2."""
    return round(b * log(2) * UNIT)


def spread_for(reserve: float, b: float) -> int:
    """Where a side stands above the other if the maker has this reserve of it: its price is e^(-reserve / b)."""
    price = exp(-reserve / b)
    return round(b * log(price / (1 - price)) * UNIT)


def bought(spread: int, subsidy: int, microtokens: int) -> int:
    return shares_for(spread, 0, subsidy, pool_for(spread, 0, subsidy), microtokens)


@pytest.mark.parametrize("source", [GNOSIS])
def test_spending_the_subsidy_from_one_half(source: str) -> None:
    """LMSR-3: with 10 tokens in the pool, 10 tokens buy 15.84963 of a side, and then its price is 0.75."""
    shares = bought(0, 10 * UNIT, 10 * UNIT)
    assert shares / UNIT == pytest.approx(15.849625007211562, abs=1e-9), source
    assert price_at(shares, 10 * UNIT) == 750_000


@pytest.mark.parametrize(
    ("reserve", "tokens", "b", "swapped"),
    [
        (10, 10, 14.426950408889634, 5.8496250072),
        (1, 1, 1, 0.7353256641),
        (2, 2, 2, 1.4706513281),
        (1, 0.1, 3, 0.0386589943),
    ],
)
def test_what_a_buy_brings_beside_the_sets_that_it_makes(
    reserve: float, tokens: float, b: float, swapped: float
) -> None:
    """LMSR-3: shares less tokens, of ZEITGEIST."""
    shares = bought(spread_for(reserve, b), subsidy_for(b), round(tokens * UNIT))
    assert shares / UNIT - tokens == pytest.approx(swapped, abs=1e-9), ZEITGEIST


@pytest.mark.parametrize(("reserve", "shares", "b", "tokens"), [(17, 8, 7, 0.4334780553), (1, 11, 3.3, 4.1104447891)])
def test_what_a_sale_brings(reserve: float, shares: float, b: float, tokens: float) -> None:
    """LMSR-3: the difference of K, of ZEITGEIST."""
    subsidy, spread = subsidy_for(b), spread_for(reserve, b)
    proceeds = pool_for(spread, 0, subsidy) - pool_for(spread - round(shares * UNIT), 0, subsidy)
    assert proceeds / UNIT == pytest.approx(tokens, abs=1e-9), ZEITGEIST


def test_the_price_at_a_reserve() -> None:
    """LMSR-4: of ZEITGEIST."""
    b = 14.426950408889634
    assert price_at(spread_for(20, b), subsidy_for(b)) == 250_000, ZEITGEIST


@pytest.mark.parametrize(
    ("low", "high", "b", "tokens"),
    [(100_000, 900_000, 10, 21.9722457734), (5_000, 995_000, 18.8739165817, 99.9053937034)],
)
def test_what_it_costs_to_lift_a_price(low: int, high: int, b: float, tokens: float) -> None:
    """LMSR-3, LMSR-4: of ZEITGEIST."""
    subsidy = subsidy_for(b)
    ends = [difference_at(price, subsidy, up=True) for price in (low, high)]
    cost = pool_for(ends[1], 0, subsidy) - pool_for(ends[0], 0, subsidy)
    assert cost / UNIT == pytest.approx(tokens, abs=1e-9), ZEITGEIST


@pytest.mark.parametrize(
    ("high", "low", "shares"),
    [(900_000, 100_000, 43.9444915467), (200_000, 100_000, 8.1093021622), (500_000, 10_000, 45.9511985013)],
)
def test_how_many_shares_press_a_price(high: int, low: int, shares: float) -> None:
    """LMSR-4: b is 10; of ZEITGEIST."""
    subsidy = subsidy_for(10)
    ends = [difference_at(price, subsidy, up=False) for price in (high, low)]
    assert (ends[0] - ends[1]) / UNIT == pytest.approx(shares, abs=1e-9), ZEITGEIST


@pytest.mark.parametrize(("b", "cost", "price"), [(10, 0.562, 0.574), (100, 0.506, 0.507)])
def test_one_more_share_where_five_and_three_are_out(b: float, cost: float, price: float) -> None:
    """LMSR-3, LMSR-4: of OTHMAN."""
    subsidy = subsidy_for(b)
    paid = pool_for(6 * UNIT, 3 * UNIT, subsidy) - pool_for(5 * UNIT, 3 * UNIT, subsidy)
    assert paid / UNIT == pytest.approx(cost, abs=5e-4), OTHMAN
    assert price_at(3 * UNIT, subsidy) / MICRO == pytest.approx(price, abs=5e-4), OTHMAN


@pytest.mark.parametrize(("b", "tokens"), [(100, 69.314718056), (100.98865286, 70), (721.3475204, 500)])
def test_the_loss_is_bounded_by_b_times_the_logarithm_of_two(b: float, tokens: float) -> None:
    """LMSR-1, LMSR-6: what is in the pool at first is Hanson's bound (Hanson 2003)."""
    assert pool_for(0, 0, subsidy_for(b)) / UNIT == pytest.approx(tokens, abs=1e-6)
    # Whoever buys a side without end pays all but that for it.
    far = 100 * subsidy_for(b)
    assert far - (pool_for(far, 0, subsidy_for(b)) - pool_for(0, 0, subsidy_for(b))) == pytest.approx(
        b * log(2) * UNIT, rel=1e-9
    )


def test_the_subsidy_halves_what_is_doubted() -> None:
    """LMSR-3: spending S takes half of 1 - p, whatever the price: 1 - p = 2^-((pool - other) / S)."""
    subsidy, at = 70 * UNIT, 0
    for doubt in (500_000, 250_000, 125_000, 62_500, 31_250):
        assert price_at(at, subsidy) == MICRO - doubt
        at += bought(at, subsidy, subsidy)


def test_two_that_open_make_sets() -> None:
    """ORD-4: of GNOSIS: Alice and Bob pay 7.50 and 2.50 for ten sets; the pool grows by 10, and no price changes."""
    floor = Floor(subsidy_tokens=1_000)
    floor.open("a", "long", 100_000, 750_000)
    pool, price = floor.market.maker.pool_microtokens, floor.market.maker.price_micros
    floor.open("b", "short", 25, 250_000, FAR_US)
    traded = receipt(floor.open("c", "long", 75, 750_000))
    assert (traded.sources[0], traded.microshares[0], traded.microtokens[0]) == (2, 100 * MICRO, 75 * MICRO), GNOSIS
    assert floor.market.maker.pool_microtokens == pool + 100 * MICRO
    assert floor.market.maker.price_micros == price == 750_000


def test_a_price_of_two_digits_is_exact() -> None:
    """ORD-4: 45.45 shares at 0.65 are 29.5425 tokens, to the last digit (Polymarket/py-clob-client#18)."""
    floor = Floor(subsidy_tokens=1_000)
    floor.open("a", "long", 100_000, 650_000)
    floor.do(ClosePosition(PositionId(1), 45_450_000, 650_000, "gtd", FAR_US))
    traded = receipt(floor.open("b", "long", 100, 650_000))
    assert (traded.sources[0], traded.microshares[0], traded.microtokens[0]) == (2, 45_450_000, 29_542_500)
