"""The contest: what it measures is what it says.

Goal: rows add up, regret and hindsight are what their definitions say, efficiency is 1 where it must be. Method: a
small contest of the trace, and numbers by hand.
"""

import numpy as np
import pytest

from callmarket.bridge.studies.arena.contest import FOCAL, Contest, Row, hold_contest, opponents, ratio
from callmarket.bridge.studies.arena.deviations import RULES
from callmarket.bridge.studies.arena.game import play
from callmarket.bridge.studies.arena.result import find_row
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS, make_scenario
from callmarket.bridge.studies.arena.small_rounds import promised
from callmarket.bridge.studies.arena.strategies import HONEST, STRATEGIES
from tests.bridge.studies.arena.arenas import BIDDERS, small_draw

DRAWS = (small_draw(11), small_draw(12))


@pytest.fixture(scope="module")
def contest() -> Contest:
    return hold_contest(DRAWS, WORLDS, KINDS)


def test_there_is_a_row_for_each_world_kind_and_rule(contest: Contest):
    asked = {(world, kind, rule) for world in WORLDS for kind in KINDS for rule in RULES}
    assert {(row.world, row.kind, row.pricing_rule) for row in contest.rows} == asked
    assert len(contest.rows) == len(asked)
    assert contest.games == len(asked) * len(DRAWS) * (len(STRATEGIES) + 1)
    assert contest.tasks == sum(len(drawn.tasks) for drawn in DRAWS)
    assert all(row.bidders == BIDDERS for row in contest.rows)


def test_a_row_is_what_its_games_are(contest: Contest):
    """Utility, gain, regret and revenue of one row, from the games played here one by one."""
    row = find_row(contest, "waiting", "multi", "first_rejected")
    stages = [make_scenario(drawn, "waiting", "multi") for drawn in DRAWS]
    utility: dict[str, list[int]] = {}
    for name, make in STRATEGIES.items():
        games = []
        for stage in stages:
            others = [STRATEGIES[other]() for other in opponents(BIDDERS)]
            games.append(play(stage, "first_rejected", [make(), *others]))
        utility[name] = [game.utility_tokens(FOCAL) for game in games]
        if name == HONEST:
            won = sum(game.values_tokens[FOCAL] for game in games)
            revenue = sum(sum(game.paid_tokens) for game in games) / len(games)
    assert row.mixed.revenue_tokens == pytest.approx(revenue)
    for standing in row.standings:
        assert standing.utility_tokens == pytest.approx(sum(utility[standing.strategy]) / len(DRAWS))
        gain = sum(utility[standing.strategy]) - sum(utility[HONEST])
        assert standing.gain.mean == pytest.approx(gain / won)
    best = sum(max(utility[name][number] for name in utility) for number in range(len(DRAWS)))
    assert row.regret.mean == pytest.approx((best - sum(utility[HONEST])) / won)


def test_honesty_is_dominant_where_it_should_be(contest: Contest):
    """CLR-4, CLR-5, AUC-13: against bids that stay, on rounds of the real trace, the regret is 0 to the token."""
    for row in contest.rows:
        for field in (row.mixed, row.all_honest):
            if row.world != "fresh":
                assert field.hindsight is None
            elif promised(row.pricing_rule, row.kind):
                assert field.hindsight is not None
                assert (field.hindsight.mean, field.hindsight.low, field.hindsight.high) == (0, 0, 0)


def test_two_bidders_of_many_tasks_move_the_price_and_vickrey_mends_it():
    """CLR-4, CLR-5, AUC-13: demand reduction pays under `first_rejected`; under `vickrey` no strategy earns more."""
    draws = [small_draw(seed, 24, 2) for seed in (20231116, 20231117)]
    duel = hold_contest(draws, ["fresh"], ["multi"], hindsight=False)
    row, mended = (find_row(duel, "fresh", "multi", rule) for rule in ("first_rejected", "vickrey"))
    assert gains(row)["best reply"] > 0
    assert gains(row)["reducing"] > 0
    # The opponent is honest and never late, so its bids stay, and dominance holds game by game.
    assert max(gains(mended).values()) == 0
    assert gains(mended)["reducing"] < 0
    assert (mended.regret.mean, mended.regret.high) == (0, 0)


def gains(row: Row) -> dict[str, float]:
    return {standing.strategy: standing.gain.mean for standing in row.standings}


def test_with_one_bid_vickrey_and_first_rejected_are_the_same(contest: Contest):
    """CLR-4, CLR-5: the price of one bid is the best rejected bid of others under both."""
    for world in WORLDS:
        one, two = (find_row(contest, world, "single", rule) for rule in ("first_rejected", "vickrey"))
        assert (one.standings, one.regret, one.mixed, one.all_honest) == (
            two.standings, two.regret, two.mixed, two.all_honest)  # fmt: skip


def test_efficiency_and_regret_are_within_their_bounds(contest: Contest):
    for row in contest.rows:
        assert row.regret.mean >= row.regret.low >= 0
        assert 0 < row.mixed.efficiency <= 1
        # All honest and nothing that binds: the dearest tasks win under every rule.
        assert row.all_honest.efficiency == 1 if row.world == "fresh" else row.all_honest.efficiency <= 1
        assert next(standing for standing in row.standings if standing.strategy == HONEST).gain.mean == 0


def test_others_are_one_of_each():
    assert opponents(2) == [HONEST]
    assert opponents(len(STRATEGIES) + 2) == [*STRATEGIES, HONEST]


def test_a_ratio_has_its_interval(seed: int):
    """Percentile bootstrap: no spread, no interval; otherwise it holds the mean, and narrows with more games."""
    parts = np.random.Generator(np.random.PCG64(seed)).normal(5, 1, 400)
    many, few = ratio(parts, np.full(400, 10.0)), ratio(parts[:25], np.full(25, 10.0))
    assert many.mean == pytest.approx(parts.sum() / 4000)
    assert many.low < many.mean < many.high
    assert few.high - few.low > many.high - many.low
    # The standard error of a mean of 400 with spread 1 is 0.05, that of the ratio a tenth of it.
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.005, rel=0.25)
    same = ratio(np.full(9, 3.0), np.full(9, 4.0))
    assert (same.mean, same.low, same.high) == pytest.approx((0.75, 0.75, 0.75))
    nothing = ratio(np.zeros(3), np.zeros(3))
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)
