"""The bounds: what they promise beside their numbers.

Goal: no bound is missing its kind or contradicts another. Method: relations between the numbers, and their names.
"""

from callmarket.engine import limits

NUMBERS = {name: value for name, value in vars(limits).items() if name.isupper()}


def test_every_bound_is_a_positive_whole_number() -> None:
    assert NUMBERS
    assert all(type(value) is int and value > 0 for value in NUMBERS.values())


def test_every_bound_is_named_for_what_it_bounds() -> None:
    numbers = {name for name in NUMBERS if not name.endswith(("_MAX", "_KEPT"))}
    assert numbers == {"RULES", "RETRIES_PERIOD_US", "REWARD_DAY_US", "HOLDS_BOUND_US", "HISTORY_ROWS"}


def test_every_number_that_leaves_the_engine_is_exact_in_json_and_float64() -> None:
    """LED-4: 2^53 - 1 is the largest integer below which every integer is a float64."""
    for bound in (limits.TOKENS_MAX, limits.AT_US_MAX, limits.MICROS_MAX, limits.SEQ_MAX):
        assert bound == 2**53 - 1
    assert int(float(limits.TOKENS_MAX)) == limits.TOKENS_MAX
    assert int(float(limits.TOKENS_MAX + 2)) != limits.TOKENS_MAX + 2


def test_a_bidder_has_no_more_room_than_its_market() -> None:
    """BID-9."""
    assert limits.BIDS_PER_BIDDER_MAX <= limits.BIDS_PER_MARKET_MAX


def test_the_losers_of_a_call_fit_the_sweeps() -> None:
    """BID-4, SET-6: a sweep ends at least as many as the losers that a call releases itself."""
    assert limits.LOSERS_PER_CALL_MAX <= limits.SWEEP_ITEMS_MAX


def test_all_rewards_of_the_largest_impact_are_still_integers_of_one_word_or_two() -> None:
    """SET-3: impact times rate, before it is capped, stays within 128 bits for readers in other languages."""
    assert limits.MICROS_MAX * limits.REWARD_TOKENS_PER_IMPACT_MAX < 2**127


def test_a_lease_that_begins_at_the_last_moment_still_has_an_end_that_orders() -> None:
    """SET-5: `at_us + lease_us` may pass AT_US_MAX; the packed deadline must still order by it."""
    from callmarket.engine.deadlines import Deadlines

    pending = Deadlines()
    last = limits.AT_US_MAX + limits.LEASE_US_MAX
    pending.add(last, 1)
    pending.add(limits.AT_US_MAX, limits.SEQ_MAX)
    assert list(pending) == [(limits.AT_US_MAX, limits.SEQ_MAX), (last, 1)]
    assert list(pending.due(limits.AT_US_MAX)) == [limits.SEQ_MAX]
