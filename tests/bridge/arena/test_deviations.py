"""Whether honesty is dominant: every bid of one bidder in small rounds, on the real engine.

Goal: CLR-4 and CLR-5 mean to bidders what theory says, and where they do not the arena finds it. Method: random rounds
with all bids of the grid, and rounds by hand with known answers.
"""

import numpy as np
import pytest

from bridge.arena.deviations import RULES, OneRound, _Table, best_reply, draw_round, promised, try_everything
from bridge.arena.scene import KINDS, Kind
from bridge.arena.strategies import BestReply, View
from engine.commands import PricingRule

ROUNDS = 25
# Two slots; two tasks that are worth 100 and 90, against one bid of 80.
LARGE_BIDDER = OneRound(2, (100, 90), ((80,),), 0)


def drawn(seed: int, kind: Kind, rounds: int = ROUNDS) -> list[OneRound]:
    random = np.random.Generator(np.random.PCG64(seed))
    return [draw_round(random, kind) for _ in range(rounds)]


@pytest.mark.parametrize(
    ("pricing_rule", "kind"), [(rule, kind) for rule in RULES for kind in KINDS if promised(rule, kind)]
)
def test_no_bid_earns_more_than_the_honest_one(pricing_rule: PricingRule, kind: Kind, seed: int):
    """CLR-4 with one bid each, CLR-5 `vickrey` always, AUC-13: honesty is dominant, to the token."""
    for one in drawn(seed, kind):
        assert best_reply(one, pricing_rule, one.every_bid).gain_tokens == 0, one


@pytest.mark.parametrize(
    ("pricing_rule", "kind"), [(rule, kind) for rule in RULES for kind in KINDS if not promised(rule, kind)]
)
def test_elsewhere_some_bid_does(pricing_rule: PricingRule, kind: Kind, seed: int):
    """CLR-4 with many bids, CLR-5 `last_accepted` and `pay_as_bid`: the search finds what is to be gained."""
    gains = [best_reply(one, pricing_rule, one.least_bids).gain_tokens for one in drawn(seed, kind, 100)]
    assert max(gains) > 0


def test_vickrey_is_honest_with_three_tasks_too(seed: int):
    """CLR-5: whatever the others bid, for any number of bids; here all 6^3 of them."""
    random = np.random.Generator(np.random.PCG64(seed))
    for slots in range(1, 6):
        values = sorted((int(value) for value in random.integers(1, 5, 3)), reverse=True)
        others = tuple(tuple(int(bid) for bid in random.integers(1, 5, 2)) for _ in range(2))
        one = OneRound(slots, tuple(values), others, int(random.integers(0, 3)))
        assert best_reply(one, "vickrey", one.every_bid).gain_tokens == 0, one


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
    found = best_reply(LARGE_BIDDER, pricing_rule, [bids])
    assert found.honest_tokens == honest
    if best > honest:
        assert (found.bids_tokens, found.utility_tokens) == (bids, best)
    else:
        assert (found.bids_tokens, found.gain_tokens) == (LARGE_BIDDER.values_tokens, 0)


def test_the_least_bids_are_as_good_as_any(seed: int):
    """Under all rules: exactly where own bids set no price, else but for the token that beats a tie, on each slot."""
    for kind in KINDS:
        for one in drawn(seed, kind, 15):
            for rule in RULES:
                best = best_reply(one, rule, one.every_bid).utility_tokens
                least = best_reply(one, rule, one.least_bids).utility_tokens
                slack = len(one.values_tokens) if rule in ("last_accepted", "pay_as_bid") else 0
                assert best - slack <= least <= best, (one, rule)


def test_the_best_reply_is_one(seed: int):
    """The strategy of that name, against bids that stand: under all rules with one bid, else not under `vickrey`."""
    for kind in KINDS:
        for one in drawn(seed, kind, 15):
            standing = sorted((price for prices in one.others_tokens for price in prices), reverse=True)
            view = View(1, one.slots, 1, 0, 0, standing)
            bids = tuple(BestReply().offers(one.values_tokens, view))
            for rule in RULES if kind == "single" else RULES[:3]:
                found = best_reply(one, rule, one.every_bid)
                reply = _Table(one, rule).utility_tokens(bids)
                assert found.utility_tokens - len(bids) <= reply <= found.utility_tokens, (one, rule)


def test_the_summary_counts_what_was_found():
    found = try_everything(3, rounds=6)
    assert [(one.kind, one.pricing_rule) for one in found] == [(kind, rule) for kind in KINDS for rule in RULES]
    for one in found:
        assert (one.largest is None) == (one.rounds_with_gain == 0)
        assert one.rounds_with_gain == 0 or not promised(one.pricing_rule, one.kind)
    assert found == try_everything(3, rounds=6)
