"""The engine says what the naive market says, event for event, over seeded random streams.

Goal: the two readings of RULES.md (one fast, one plain) never part; and after each command the balances are equal,
sum to zero (LED-1), no account holds more than it has (LED-2) and the engine's own `check()` passes.
Method: `tests.support.agreement` runs both on one stream; a failure prints the seed, the index, the entry, what each
said, and the shortest list of commands that still makes them differ. To repeat: `--seed`, or `Stream(<seed>)` by hand.
"""

import pytest

from callmarket.engine.commands import PricingRule
from tests.support.agreement import Step, assert_agreement, first_difference, shrink
from tests.support.streams import PRICING_RULES, Stream, bounds
from tests.support.swarms import capital_swarm, crowd_swarm, long_swarm, rewarding_swarm, swinging_swarm

FIXED_SEEDS = range(40)
FRESH_SEEDS = 40


def agree(stream_seed: int, pricing_rule: PricingRule, count: int) -> None:
    stream = Stream(stream_seed, (pricing_rule,))
    assert_agreement(stream, count, check_every=1, context=f"seed {stream_seed}, {pricing_rule}")


@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_short_streams_of_fixed_seeds_behave_as_in_the_naive_market(pricing_rule: PricingRule) -> None:
    """LED, BID, SLT, CLR, SET, IDM-1: each refusal and each event, on streams that are the same in every run."""
    for stream_seed in FIXED_SEEDS:
        agree(stream_seed, pricing_rule, 300)


@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_short_streams_of_fresh_seeds_behave_as_in_the_naive_market(pricing_rule: PricingRule, seed: int) -> None:
    """LED, BID, SLT, CLR, SET, IDM-1: as above, on streams that nobody has seen."""
    for stream_seed in range(seed, seed + FRESH_SEEDS):
        agree(stream_seed, pricing_rule, 300)


def test_markets_of_different_rules_side_by_side(seed: int) -> None:
    """SLT-1, BID-9, SET-6: slot ids, bounds and sweeps across markets that price differently."""
    for stream_seed in range(seed, seed + FRESH_SEEDS):
        assert_agreement(Stream(stream_seed), 300, check_every=1, context=f"seed {stream_seed}, all rules")


@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_a_crowded_market_behaves_as_the_naive_one(pricing_rule: PricingRule, seed: int) -> None:
    """CLR-1 to CLR-5, BID-4, SET-6: hundreds of live bids, some thousands of commands."""
    stream = Stream(seed, (pricing_rule,), long_swarm)
    assert_agreement(stream, 3_000, check_every=100, context=f"seed {seed}, {pricing_rule}, long swarm")


def test_rewards_of_many_days_are_those_of_the_naive_market(seed: int) -> None:
    """SET-3: what an account is rewarded with counts for its day and market, and for no other."""
    for stream_seed in range(seed, seed + FRESH_SEEDS):
        stream = Stream(stream_seed, choose_swarm=rewarding_swarm)
        assert_agreement(stream, 300, check_every=10, context=f"seed {stream_seed}, rewarding swarm")


@pytest.mark.parametrize("first", [0, FRESH_SEEDS])
def test_artifact_markets_behave_as_the_naive_ones(first: int, seed: int) -> None:
    """CAP, LMSR, ORD, POS, STL, PRC, SET-6: beside a little of all else; CAP-2 is checked after every command."""
    for stream_seed in range(seed + first, seed + first + FRESH_SEEDS):
        stream = Stream(stream_seed, choose_swarm=capital_swarm)
        assert_agreement(stream, 300, check_every=1, context=f"seed {stream_seed}, capital swarm")


def test_prices_that_swing_from_edge_to_edge_behave_as_in_the_naive_market(seed: int) -> None:
    """LMSR-4, LMSR-6, STL-6: a few accounts win more than the subsidy from the others, and the market is void."""
    for stream_seed in range(seed, seed + FRESH_SEEDS // 2):
        stream = Stream(stream_seed, choose_swarm=swinging_swarm)
        assert_agreement(stream, 300, check_every=1, context=f"seed {stream_seed}, swinging swarm")


def test_a_crowd_that_falls_due_at_once(seed: int) -> None:
    """BID-3, SET-6: more than a thousand bids with almost the same deadline are swept in order, step by step."""
    stream = Stream(seed, choose_swarm=crowd_swarm)
    assert_agreement(stream, 5_000, check_every=250, context=f"seed {seed}, crowd swarm")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_a_crowded_market_behaves_as_the_naive_one_for_long(pricing_rule: PricingRule, seed: int) -> None:
    """CLR-1 to CLR-5, BID-4, SET-6: as above, for 10**5 commands."""
    stream = Stream(seed, (pricing_rule,), long_swarm)
    assert_agreement(stream, 100_000, check_every=1_000, context=f"seed {seed}, {pricing_rule}, long swarm")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_short_streams_behave_as_in_the_naive_market(seed: int) -> None:
    """LED, BID, SLT, CLR, SET, IDM-1: two thousand more worlds."""
    for stream_seed in range(seed, seed + 2_000):
        assert_agreement(Stream(stream_seed), 300, check_every=10, context=f"seed {stream_seed}, all rules")


def test_a_difference_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: a model that rewards everybody is caught, and few commands are enough to show it."""
    monkeypatch.setattr("tests.support.naive.awards.reward_for_impact", lambda *_: 1)
    with pytest.raises(AssertionError, match="shortest commands") as failure:
        test_short_streams_of_fixed_seeds_behave_as_in_the_naive_market("first_rejected")
    shortest = str(failure.value).partition("shortest commands")[2]
    assert "SettleAward" in shortest
    assert len(shortest.splitlines()) < 20


def test_shrinking_keeps_only_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: of a stream whose first mint differs, two commands are left."""
    monkeypatch.setattr("tests.support.naive.tokens.ISSUANCE", "treasury")
    stream = Stream(0)
    with bounds(stream.swarm.bounds):
        steps = [Step(stream.next_entry(), None) for _ in range(6)]
        difference = first_difference(shrink(steps))
    assert difference is not None
    assert difference.index == 1
