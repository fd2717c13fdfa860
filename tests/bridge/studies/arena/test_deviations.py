"""Whether honesty is dominant: what one bidder could do in one round, on the real engine.

Goal: CLR-4 and CLR-5 mean to bidders what theory says, rivals for a task and bids for the tasks of others included, and
where they do not the arena finds it. Method: random rounds with all bids of the grid, rounds by hand with known answers
and the prices of old, by which a bidder could erase its rivals, which the arena has to find out.
"""

import numpy as np
import pytest

from callmarket.bridge.studies.arena.deviations import RULES, OneRound, Reply, Table, best_reply, round_of
from callmarket.bridge.studies.arena.scenario import KINDS, Kind
from callmarket.bridge.studies.arena.small_rounds import (
    SITUATIONS,
    Situation,
    draw_round,
    every_price,
    every_reply,
    promised,
    try_everything,
)
from callmarket.bridge.studies.arena.strategies import BestReply, View
from callmarket.engine.commands import PricingRule
from callmarket.engine.decide import rounds
from tests.bridge.studies.arena.erased_rivals import match_that_erases_rivals

ROUNDS = 15
# Two slots; two tasks that are worth 100 and 90, against one bid of 80.
LARGE_BIDDER = round_of(2, (100, 90), ((80,),))
# One slot; a task worth 10 to its bidder, and a rival bid of 8 for another task.
TWO_TASKS = round_of(1, (10,), ((8,),))
CELLS = [(rule, kind, situation) for rule in RULES for kind in KINDS for situation in SITUATIONS]


def drawn(seed: int, kind: Kind, rounds: int = ROUNDS, situation: Situation = "own") -> list[OneRound]:
    random = np.random.Generator(np.random.PCG64(seed))
    return [draw_round(random, kind, situation) for _ in range(rounds)]


def prices_alone(one: OneRound) -> list[Reply]:
    return [Reply(prices) for prices in every_price(one)]


@pytest.mark.parametrize(("pricing_rule", "kind", "situation"), [cell for cell in CELLS if promised(*cell)])
def test_no_bid_earns_more_than_the_honest_one(pricing_rule: PricingRule, kind: Kind, situation: Situation, seed: int):
    """CLR-4 with one bid each, CLR-5 `vickrey` always, BID-6, AUC-13: honesty is dominant, to the token.

    Not by another price, nor by shadows of others' bids, by taking their tasks, or by a second name for one's own.
    """
    for one in drawn(seed, kind, ROUNDS, situation):
        assert best_reply(one, pricing_rule, every_reply(one)).gain_tokens == 0, one


@pytest.mark.parametrize(
    ("pricing_rule", "kind"), [(rule, kind) for rule in RULES for kind in KINDS if not promised(rule, kind)]
)
def test_elsewhere_some_bid_does(pricing_rule: PricingRule, kind: Kind, seed: int):
    """CLR-4 with many bids, CLR-5 `last_accepted` and `pay_as_bid`: the search finds what is to be gained."""
    gains = [best_reply(one, pricing_rule, one.least_replies).gain_tokens for one in drawn(seed, kind, 100)]
    assert max(gains) > 0


def test_where_a_cap_meets_shared_tasks_some_bid_does():
    """CLR-2, CLR-5: there nothing is promised, even under `vickrey`, and the arena says so."""
    gains = [
        best_reply(one, "vickrey", prices_alone(one)).gain_tokens for one in drawn(1, "multi", 60, "capped and shared")
    ]
    assert max(gains) > 0


@pytest.fixture
def _erased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "match", match_that_erases_rivals)


@pytest.mark.usefixtures("_erased")
def test_the_arena_would_have_found_that_shadows_make_the_price_0():
    """CLR-5: with prices that know no rivals one bid on each task of others, a token above it, is a price of 0."""
    found = best_reply(TWO_TASKS, "vickrey", every_reply(TWO_TASKS))
    assert (found.honest_tokens, found.utility_tokens) == (2, 10)
    assert found.reply.others == (("t2", 9),)
    # On rounds like those of the trace too, whose hindsight tries the honest bids with shadows.
    one = round_of(5, (100,) * 5, [(price,) for price in range(50, 90, 2)])
    found = best_reply(one, "vickrey", one.least_replies)
    assert (found.honest_tokens, found.utility_tokens) == (500 - 420, 500)
    assert len(found.reply.others) == 20


@pytest.mark.usefixtures("_erased")
@pytest.mark.parametrize(
    ("pricing_rule", "kind", "situation"),
    [
        ("vickrey", "single", "own"),
        ("vickrey", "multi", "own"),
        ("vickrey", "multi", "shared"),
        ("vickrey", "single", "shared"),
        ("first_rejected", "single", "shared"),
    ],
)
def test_the_arena_would_have_found_that_rivals_set_no_price(
    pricing_rule: PricingRule, kind: Kind, situation: Situation
):
    """CLR-4, CLR-5: each promise that prices without rivals break has a situation in which that is seen."""
    found = [best_reply(one, pricing_rule, every_reply(one)) for one in drawn(3, kind, 40, situation)]
    assert max(deviation.gain_tokens for deviation in found) > 0


def test_the_same_lies_earn_nothing_now():
    """CLR-5: beside the two tests above: the very same round, with the prices as they are."""
    found = best_reply(TWO_TASKS, "vickrey", every_reply(TWO_TASKS))
    assert (found.honest_tokens, found.gain_tokens) == (2, 0)


def test_the_replies_are_what_they_are_called():
    """Shadows above and below, a task taken outright, and a second name, each with the honest bid."""
    one = OneRound(1, (5,), ((("t2", 3),), (("t2", 4), ("t1", 2))), 0)
    honest = [reply.others for reply in every_reply(one) if reply.own_tokens == (5,) and reply.others]
    assert honest[:3] == [(("t2", 5),), (("t2", 3),), (("t2", 6),)]
    # No second name where others bid for the task: it would be a way around them.
    assert {others[0][0] for others in honest} == {"t2"}
    alone = [reply.others for reply in every_reply(TWO_TASKS) if reply.own_tokens == (10,)]
    assert alone[1:4] == [(("t2", 9),), (("t2", 7),), (("t2", 11),)]
    assert (("t1-again", 10),) in alone


def test_a_task_is_worth_its_value_once():
    """Under a second name it may be won twice, and is paid twice."""
    table = Table(round_of(2, (10,), ((3,),)), "pay_as_bid")
    assert table.utility_tokens(Reply((10,))) == 0
    assert table.utility_tokens(Reply((6,), (("t1-again", 5),))) == 10 - 6 - 5


def test_vickrey_is_honest_with_three_tasks_too(seed: int):
    """CLR-5: whatever the others bid, for any number of bids; here all 6^3 of them."""
    random = np.random.Generator(np.random.PCG64(seed))
    for slots in range(1, 6):
        values = sorted((int(value) for value in random.integers(1, 5, 3)), reverse=True)
        others = tuple(tuple(int(bid) for bid in random.integers(1, 5, 2)) for _ in range(2))
        one = round_of(slots, values, others, int(random.integers(0, 3)))
        assert best_reply(one, "vickrey", prices_alone(one)).gain_tokens == 0, one


@pytest.mark.parametrize(
    ("pricing_rule", "honest", "bids", "best"),
    [
        # Honest, it wins both slots at the 80 of the rejected bid; with one bid it wins one, and nobody is rejected.
        ("first_rejected", 30, (81, 0), 100),
        ("last_accepted", 10, (81, 81), 28),
        ("pay_as_bid", 0, (81, 81), 28),
        # The slots cost 80 and nothing, which is what they cost the other: the second one is worth having.
        ("vickrey", 110, (81, 0), 100),
    ],
)
def test_a_large_bidder_by_hand(pricing_rule: PricingRule, honest: int, bids: tuple[int, ...], best: int):
    """CLR-4, CLR-5: what two slots cost honestly, and what bidding otherwise gains."""
    found = best_reply(LARGE_BIDDER, pricing_rule, [Reply(bids)])
    assert found.honest_tokens == honest
    if best > honest:
        assert (found.reply, found.utility_tokens) == (Reply(bids), best)
    else:
        assert (found.reply, found.gain_tokens) == (LARGE_BIDDER.honest, 0)


def test_the_least_bids_are_as_good_as_any(seed: int):
    """Under all rules: exactly where own bids set no price, else but for the token that beats a tie, on each slot."""
    for kind in KINDS:
        for one in drawn(seed, kind, 15):
            for rule in RULES:
                best = best_reply(one, rule, prices_alone(one)).utility_tokens
                least = best_reply(one, rule, one.least_replies).utility_tokens
                slack = len(one.values_tokens) if rule in ("last_accepted", "pay_as_bid") else 0
                assert best - slack <= least <= best, (one, rule)


def test_the_best_reply_is_one(seed: int):
    """The strategy of that name, against bids that stand: under all rules with one bid, else not under `vickrey`."""
    for kind in KINDS:
        for one in drawn(seed, kind, 15):
            standing = sorted((price for bids in one.others for _, price in bids), reverse=True)
            view = View(1, one.slots, 1, 0, 0, standing)
            bids = tuple(BestReply().offers(one.values_tokens, view))
            for rule in RULES if kind == "single" else RULES[:3]:
                found = best_reply(one, rule, prices_alone(one))
                reply = Table(one, rule).utility_tokens(Reply(bids))
                assert found.utility_tokens - len(bids) <= reply <= found.utility_tokens, (one, rule)


def test_the_summary_counts_what_was_found():
    found = try_everything(3, rounds=3)
    assert [(one.situation, one.kind, one.pricing_rule) for one in found] == [
        (situation, kind, rule) for situation in SITUATIONS for kind in KINDS for rule in RULES
    ]
    for one in found:
        assert (one.largest is None) == (one.rounds_with_gain == 0)
        assert one.rounds_with_gain == 0 or not promised(one.pricing_rule, one.kind, one.situation)
    assert found == try_everything(3, rounds=3)
