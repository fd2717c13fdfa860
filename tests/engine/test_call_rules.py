"""The rules CLR-1 to CLR-8, told in the table language.

Goal: who wins, which slot, and what is paid. Method: small markets whose outcome was worked out by hand from the rules.
"""

from collections.abc import Sequence

import pytest

from callmarket.engine.events import AwardGranted, RoundCleared
from tests.support.script import Script, play


def called(bids: Sequence[int], reserves: Sequence[int], rules: str, result: str) -> Script:
    """A market with a bid per price, each by a bidder of its own, and a slot per reserve; then its call."""
    lines = [f"market m {rules}"]
    lines += [f"account a{number} agent 1000" for number, _ in enumerate(bids, 1)]
    lines += [f"slot s{number} reserve={reserve}" for number, reserve in enumerate(reserves, 1)]
    lines += [f"bid a{number} t{number} {price} gtd ttl=99 -> bid {number}" for number, price in enumerate(bids, 1)]
    return play("\n".join([*lines, f"clear -> {result}"]))


def test_only_offered_slots_of_the_market_that_are_available_now_are_supply() -> None:
    """CLR-1: not those of another market, awarded, withdrawn or still to come."""
    play("""
    market m
    market m2
    account a agent 100
    slot s1 at=10
    slot s2 at=11
    slot s3 market=m2
    slot s4
    withdraw s4
    slot s5
    bid a t0 9 -> bid 1
    clear -> price 0: 1@s5
    bid a t1 9 -> bid 2
    bid a t2 9 -> bid 3
    t=10 clear -> price 9: 2@s1, lost 3
    round -> supply 1 demand 2 awards 1 price 9 visited 2 best_rejected 3 later 0
    """)


def test_slots_are_sold_by_reserve_then_availability_then_order_of_offer() -> None:
    """CLR-1: and the i-th bid gets the i-th slot, so the best bid gets the cheapest reserve (CLR-3)."""
    play("""
    market m
    account a agent 1000
    slot dear  at=0 reserve=5
    slot late  at=3 reserve=1
    slot soon  at=2 reserve=1
    slot soon2 at=2 reserve=1
    slot free  at=9 reserve=0
    bid a t1 50 -> bid 1
    bid a t2 60 -> bid 2
    bid a t3 70 -> bid 3
    bid a t4 80 -> bid 4
    bid a t5 90 -> bid 5
    t=9 clear -> price 5: 5@free 4@soon 3@soon2 2@late 1@dear
    """)


def test_eligible_bids_are_taken_in_book_order_without_those_past_their_deadline() -> None:
    """CLR-2, BID-3: an unswept bid past its deadline neither wins nor sets the price."""
    play("""
    market m
    account a agent 1000
    slot s1
    bid a t1 90 gtd ttl=10 -> bid 1
    bid a t2 80 gtd ttl=11 -> bid 2
    bid a t3 70 gtd ttl=10 -> bid 3
    bid a t4 60 gtd ttl=99 -> bid 4
    t=10 clear -> price 60: 2@s1
    round -> supply 1 demand 4 awards 1 price 60 visited 4 best_rejected 4 later 0
    """)


def test_a_capped_bidder_wins_no_more_than_its_awards_per_round() -> None:
    """CLR-2: its further bids neither win nor set the price, in this round."""
    play("""
    market m cap=2
    account a agent 1000
    account b agent 1000
    slot s1
    slot s2
    slot s3
    bid a t1 90 gtd ttl=99 -> bid 1
    bid a t2 80 gtd ttl=99 -> bid 2
    bid a t3 70 gtd ttl=99 -> bid 3
    bid b t4 60 gtd ttl=99 -> bid 4
    bid b t5 50 gtd ttl=99 -> bid 5
    clear -> price 50: 1@s1 2@s2 4@s3
    slot s4
    slot s5
    clear -> price 0: 3@s4 5@s5
    """)


def test_a_cap_of_0_lets_one_bidder_win_everything() -> None:
    """CLR-2: with `awards_per_bidder_max` 0 one bidder may win everything."""
    play("""
    market m cap=0
    account a agent 1000
    slot s1
    slot s2
    bid a t1 9 -> bid 1
    bid a t2 8 -> bid 2
    bid a t3 7 -> bid 3
    clear -> price 7: 1@s1 2@s2, lost 3
    """)


@pytest.mark.parametrize(
    ("cap", "result"),
    [
        (0, "prices: 1@s1=70 2@s2=60 3@s3=0, lost 4 5 6"),
        (2, "prices: 1@s1=70 2@s2=0 3@s3=0, lost 4 5 6"),
        (1, "prices: 1@s1=0 3@s2=0, lost 2 4 5 6"),
    ],
)
def test_each_bid_taken_uses_up_an_award_of_its_bidder_whether_it_wins_or_not(cap: int, result: str) -> None:
    """CLR-2: what is rejected beyond the cap is no rival: it does not count for the Vickrey prices.

    Uncapped, b's two slots cost a's rejected 70 and 60, and a's costs nothing, as no bid of another is rejected. With
    a cap of 2 the rejected 70 is a's second and last, so b's second slot costs nothing. With 1, only one wins each.
    """
    play(f"""
    market m rule=vickrey cap={cap}
    account a agent 1000
    account b agent 1000
    slot s1
    slot s2
    slot s3
    bid b t1 90 -> bid 1
    bid b t2 80 -> bid 2
    bid a t3 75 -> bid 3
    bid a t4 70 -> bid 4
    bid a t5 60 -> bid 5
    bid a t6 50 -> bid 6
    clear -> {result}
    """)


def test_wins_and_rejected_bids_of_others_count_together_for_the_cap() -> None:
    """CLR-2, CLR-5: without b, a would have won two more of its four, and not a third: b's third slot costs nothing."""
    play("""
    market m rule=vickrey cap=3
    account a agent 1000
    account b agent 1000
    slot s1
    slot s2
    slot s3
    slot s4
    bid b t1 90 -> bid 1
    bid b t2 80 -> bid 2
    bid b t3 75 -> bid 3
    bid a t4 70 -> bid 4
    bid a t5 60 -> bid 5
    bid a t6 50 -> bid 6
    bid a t7 40 -> bid 7
    clear -> prices: 1@s1=60 2@s2=50 3@s3=0 4@s4=0, lost 5 6 7
    """)


def test_the_second_best_for_a_task_that_nobody_has_is_what_the_best_ones_bidder_displaces() -> None:
    """CLR-5: also where another winner was priced before, by both of them and by what comes after."""
    play("""
    market m rule=vickrey
    account a agent 1000
    account b agent 1000
    account c agent 1000
    account d agent 1000
    slot s1
    slot s2
    slot s3
    bid a t1 100 -> bid 1
    bid a t2 95 -> bid 2
    bid b t3 90 -> bid 3
    bid b t4 50 -> bid 4
    bid c t4 40 -> bid 5
    bid d t5 30 -> bid 6
    clear -> prices: 1@s1=50 2@s2=30 3@s3=40, lost 4 5 6
    """)


def test_a_rejected_bid_uses_up_its_task() -> None:
    """CLR-2: the second bid on the same rejected task does not count as the next of others."""
    play("""
    market m rule=vickrey
    account a agent 1000
    account b agent 1000
    account c agent 1000
    slot s1
    slot s2
    bid a t1 90 -> bid 1
    bid a t2 80 -> bid 2
    bid b t3 70 -> bid 3
    bid c t3 60 -> bid 4
    bid c t4 50 -> bid 5
    clear -> prices: 1@s1=70 2@s2=50, lost 3 4 5
    """)


@pytest.mark.parametrize(
    ("bids", "reserves", "result"),
    [
        ([9, 8, 7], [0, 0], "price 7: 1@s1 2@s2"),
        ([9, 8, 7], [0, 8], "price 8: 1@s1 2@s2"),
        ([9, 8, 7], [0, 9], "price 8: 1@s1"),
        ([9, 8, 7], [9, 9], "price 9: 1@s1"),
        ([9, 8, 7], [10, 10], "no sale"),
        ([9, 8, 7], [0, 0, 7], "price 7: 1@s1 2@s2 3@s3"),
        ([9, 8, 7], [0, 0, 0, 0], "price 0: 1@s1 2@s2 3@s3"),
        ([7, 8, 9], [6, 1], "price 7: 3@s2 2@s1"),
        ([9], [], "no sale"),
        ([], [0], "no sale"),
    ],
)
def test_the_most_that_can_be_sold_is_sold(bids: list[int], reserves: list[int], result: str) -> None:
    """CLR-3: q is the largest number such that the q-th eligible bid is at least the q-th reserve."""
    called(bids, reserves, "", result)


@pytest.mark.parametrize(
    ("bids", "reserves", "result"),
    [
        ([9, 8, 7, 6], [0, 0], "price 7: 1@s1 2@s2"),
        ([9, 8], [0, 0], "price 0: 1@s1 2@s2"),
        ([9, 8], [0, 3], "price 3: 1@s1 2@s2"),
        ([9, 8, 4], [0, 3], "price 4: 1@s1 2@s2"),
        ([9, 8, 2], [0, 3], "price 3: 1@s1 2@s2"),
        ([9, 8, 2], [1, 3, 5], "price 3: 1@s1 2@s2"),
        ([5, 5, 5], [0, 0], "price 5: 1@s1 2@s2"),
    ],
)
def test_all_pay_the_first_rejected_bid_or_the_highest_reserve_sold(
    bids: list[int], reserves: list[int], result: str
) -> None:
    """CLR-4: max(the (q+1)th eligible bid, the highest reserve among the q slots), 0 where there is neither."""
    called(bids, reserves, "", result)


def test_the_round_names_its_best_rejected_bid_even_if_nothing_was_sold() -> None:
    """CLR-4, Precisely: for want of slots, and below the reserve; without eligible bids there is none."""
    play("""
    market m
    account a agent 1000
    bid a t1 9 gtd ttl=50 -> bid 1
    bid a t2 8 gtd ttl=99 -> bid 2
    clear -> no sale
    round -> supply 0 demand 2 awards 0 price none visited 1 best_rejected 1 later 0
    slot s1 reserve=10
    t=50 clear -> no sale
    round -> supply 1 demand 2 awards 0 price none visited 2 best_rejected 2 later 0
    t=99 clear -> no sale
    round -> supply 1 demand 2 awards 0 price none visited 2 best_rejected none later 0
    """)


def test_first_rejected_is_the_default() -> None:
    """CLR-4: a market that names no rule has this one."""
    with_rule = called([9, 8, 7], [0], "rule=first_rejected", "price 8: 1@s1")
    without = called([9, 8, 7], [0], "", "price 8: 1@s1")
    assert with_rule.events == without.events


@pytest.mark.parametrize(
    ("rule", "bids", "reserves", "result"),
    [
        ("last_accepted", [9, 8, 7], [0, 0], "price 8: 1@s1 2@s2"),
        ("last_accepted", [9, 8], [0, 0], "price 8: 1@s1 2@s2"),
        ("last_accepted", [9, 8], [2, 9], "price 9: 1@s1"),
        # Where a slot stays unsold, nobody pays more than it could have been had for.
        ("last_accepted", [10, 9], [0] * 10, "price 0: 1@s1 2@s2"),
        ("last_accepted", [30, 12], [5, 20], "price 20: 1@s1"),
        ("last_accepted", [30], [5, 20], "price 20: 1@s1"),
        ("last_accepted", [30], [5, 40], "price 30: 1@s1"),
        ("pay_as_bid", [9, 8, 7], [0, 5], "prices: 1@s1=9 2@s2=8"),
        ("vickrey", [9, 8, 7], [0, 0], "prices: 1@s1=7 2@s2=7"),
        ("vickrey", [9, 8], [0, 0], "prices: 1@s1=0 2@s2=0"),
        ("vickrey", [9, 8], [1, 6], "prices: 1@s1=6 2@s2=6"),
        ("vickrey", [9, 8, 7], [1, 6], "prices: 1@s1=7 2@s2=7"),
    ],
)
def test_the_prices_of_last_accepted_pay_as_bid_and_vickrey(
    rule: str, bids: list[int], reserves: list[int], result: str
) -> None:
    """CLR-5: `last_accepted` the highest price that clears; `pay_as_bid` each its own; `vickrey` for single bids."""
    called(bids, reserves, f"rule={rule}", result)


def test_a_vickrey_winner_of_several_slots_pays_what_it_takes_from_others() -> None:
    """CLR-5: a has w=2 of q=3 slots with reserves 1, 2, 7 and others' rejected bids 6 and 4.

    a's best pays max(6, the (3-2+1)=2nd reserve 2) = 6, its second max(4, the 3rd reserve 7) = 7; b's one slot costs
    max(4, 7) = 7, for the 6 is its own.
    """
    play("""
    market m rule=vickrey
    account a agent 100
    account b agent 100
    account c agent 100
    slot s1 reserve=1
    slot s2 reserve=2
    slot s3 reserve=7
    bid a t1 12 -> bid 1
    bid a t2 10 -> bid 2
    bid b t3 9  -> bid 3
    bid b t4 6  -> bid 4
    bid c t5 4  -> bid 5
    clear -> prices: 1@s1=6 2@s2=7 3@s3=7, lost 4 5
    """)


def test_a_vickrey_winner_whose_rivals_are_few_pays_the_reserves() -> None:
    """CLR-5: 0 where there is no rejected bid of others, so the reserves decide."""
    play("""
    market m rule=vickrey
    account a agent 100
    slot s1 reserve=1
    slot s2 reserve=3
    bid a t1 9 -> bid 1
    bid a t2 8 -> bid 2
    bid a t3 7 -> bid 3
    clear -> prices: 1@s1=1 2@s2=3, lost 3
    """)


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("first_rejected", "price 9: 1@s1 2@s2 3@s3"),
        ("last_accepted", "price 10: 1@s1 2@s2 3@s3"),
        ("pay_as_bid", "prices: 1@s1=30 2@s2=20 3@s3=10"),
        ("vickrey", "prices: 1@s1=9 2@s2=8 3@s3=8"),
    ],
)
def test_no_rule_charges_more_than_the_bid_or_less_than_the_reserve(rule: str, result: str) -> None:
    """CLR-4, CLR-5: between the slot's reserve and the bid, whatever the rule."""
    script = play(f"""
    market m rule={rule}
    account a agent 1000
    account b agent 1000
    slot s1 reserve=2
    slot s2 reserve=5
    slot s3 reserve=8
    bid a t1 30 -> bid 1
    bid b t2 20 -> bid 2
    bid a t3 10 -> bid 3
    bid b t4 9  -> bid 4
    clear -> {result}, lost 4
    """)
    reserves = {"s1": 2, "s2": 5, "s3": 8}
    bids = {1: 30, 2: 20, 3: 10}
    for award in script.all(AwardGranted):
        assert reserves[award.slot_id] <= award.price_tokens <= bids[award.bid_id]
        assert award.premium_tokens == bids[award.bid_id] - award.price_tokens


def test_a_winners_hold_shrinks_to_its_price_at_the_call() -> None:
    """CLR-6: the premium is available at once, and to the next bid."""
    play("""
    market m
    account a agent 100
    account b agent 100
    slot s1
    bid a t1 90 -> bid 1
    bid b t2 30 -> bid 2
    clear -> price 30: 1@s1, lost 2
    hold? 1 -> 30
    wallet a -> balance 100 held 30
    bid a t3 70 -> bid 3
    """)


def test_a_winner_for_nothing_holds_nothing_and_still_holds_the_award() -> None:
    """CLR-6: a price of 0 shrinks the hold to 0."""
    play("""
    market m
    account a agent 100
    slot s1
    bid a t1 90 -> bid 1
    clear -> price 0: 1@s1
    hold? 1 -> 0
    cancel 1 -> BID_WON
    """)


@pytest.mark.parametrize("rule", ["first_rejected", "last_accepted", "pay_as_bid", "vickrey"])
@pytest.mark.parametrize(
    ("bids", "reserves", "seen"),
    [
        ([], [], "supply 0 demand 0"),
        ([9], [], "supply 0 demand 1"),
        ([], [0], "supply 1 demand 0"),
        ([9, 8], [10, 11], "supply 2 demand 2"),
    ],
)
def test_a_round_that_matches_nothing_is_recorded(rule: str, bids: list[int], reserves: list[int], seen: str) -> None:
    """CLR-7: with supply and demand and no price; and it counts as a round."""
    script = called(bids, reserves, f"rule={rule}", "no sale")
    best, visited = (1, 1) if bids else ("none", 0)
    script.run(f"round -> {seen} awards 0 price none visited {visited} best_rejected {best} later 0")
    script.run("clear -> no sale")
    assert [one.round_no for one in script.all(RoundCleared)] == [1, 2]


def test_demand_is_the_open_bids_eligible_or_not() -> None:
    """CLR-7, Precisely: past its deadline, on an awarded task or over the cap, an unswept open bid is demand."""
    play("""
    market m cap=1
    account a agent 1000
    account b agent 1000
    slot s1
    bid a t1 9 gtd ttl=99 -> bid 1
    bid b t1 8 gtd ttl=99 -> bid 2
    bid a t2 7 gtd ttl=99 -> bid 3
    bid b t3 6 gtd ttl=50 -> bid 4
    clear -> prices: 1@s1=8
    round -> supply 1 demand 4 awards 1 price 6 visited 4 best_rejected 4 later 0
    t=50 clear -> no sale
    round -> supply 0 demand 3 awards 0 price none visited 2 best_rejected 3 later 0
    """)


def test_demand_leaves_out_the_losers_of_past_rounds() -> None:
    """CLR-7, Precisely: although their holds are still to be released."""
    play("""
    bound LOSERS_PER_CALL_MAX 0
    market m
    account a agent 1000
    bid a t1 9 -> bid 1
    bid a t2 9 -> bid 2
    clear -> no sale, later 2
    round -> supply 0 demand 2 awards 0 price none visited 1 best_rejected 1 later 2
    bid a t3 9 -> bid 3
    clear -> no sale, later 1
    round -> supply 0 demand 1 awards 0 price none visited 1 best_rejected 3 later 1
    """)


@pytest.mark.parametrize(
    ("rule", "result"), [("pay_as_bid", "prices: 1@s1=9 2@s2=8"), ("vickrey", "prices: 1@s1=0 2@s2=0")]
)
def test_a_round_without_one_price_records_none(rule: str, result: str) -> None:
    """CLR-5, Precisely: only the first two rules have one clearing price (CLR-7)."""
    (cleared,) = called([9, 8], [0, 0], f"rule={rule}", result).all(RoundCleared)
    assert (cleared.awards_granted, cleared.clearing_price_tokens) == (2, None)


def test_an_award_records_price_lease_and_terms() -> None:
    """CLR-8: ids, task, the runner-up's task, price, premium, start."""
    script = play("""
    market m lease=500
    account a agent 1000
    account b agent 1000
    account p provider
    slot s1 provider=p
    slot s2 lease=7
    bid a t1 90 -> bid 1
    bid b t2 80 -> bid 2
    bid a t3 60 -> bid 3
    t=44 clear m -> price 60: 1@s1 2@s2, lost 3
    """)
    one, two = script.all(AwardGranted)
    assert one == AwardGranted(
        award_id=1,
        market_id="m",
        round_no=1,
        slot_id="s1",
        bid_id=1,
        bidder_id="a",
        task_id="t1",
        runner_up_task_id="t3",
        price_tokens=60,
        premium_tokens=30,
        provider_id="p",
        slot_started_at_us=44,
        lease_until_us=544,
    )
    assert (two.award_id, two.slot_id, two.task_id, two.runner_up_task_id) == (2, "s2", "t2", "t3")
    assert (two.premium_tokens, two.provider_id, two.lease_until_us) == (20, "treasury", 51)


def test_without_a_rejected_bid_there_is_no_runner_up() -> None:
    """CLR-8: the (q+1)th eligible bid may not exist; a rival for a won task is none."""
    script = play("""
    market m
    account a agent 1000
    account b agent 1000
    slot s1
    bid a t1 90 -> bid 1
    bid b t1 80 -> bid 2
    clear -> prices: 1@s1=80, lost 2
    """)
    assert [award.runner_up_task_id for award in script.all(AwardGranted)] == [None]
    assert script.all(RoundCleared)[0].best_rejected_bid_id is None


def test_award_ids_grow_over_all_markets() -> None:
    """CLR-8: an award's id only grows, so that it can fence off stale workers."""
    script = play("""
    market m
    market m2
    account a agent 1000
    slot s1
    slot s2 market=m2
    slot s3
    bid a t1 9 -> bid 1
    bid a t2 9 market=m2 -> bid 2
    bid a t3 8 -> bid 3
    clear m2 -> price 0: 2@s2
    clear m -> price 0: 1@s1 3@s3
    """)
    assert [award.award_id for award in script.all(AwardGranted)] == [1, 2, 3]


def test_a_call_leaves_other_markets_alone() -> None:
    """CLR-1, CLR-2: neither their slots nor their bids."""
    play("""
    market m
    market m2
    account a agent 1000
    slot s1 market=m2
    bid a t1 9 -> bid 1
    bid a t2 9 market=m2 -> bid 2
    clear m -> no sale, lost 1
    book m2 -> 9:2
    slot? s1 -> offered
    clear nowhere -> MARKET_UNKNOWN market_id=nowhere bound=
    """)


def test_the_best_rejected_bid_is_named_even_if_nothing_was_sold() -> None:
    """CLR-4, Precisely: with no slot at all, and with a reserve that nobody reaches."""
    play("""
    market m
    account a agent 100
    bid a t1 9 gtd ttl=99 -> bid 1
    clear -> no sale
    round -> supply 0 demand 1 awards 0 price none visited 1 best_rejected 1 later 0
    slot s1 reserve=10
    clear -> no sale
    round -> supply 1 demand 1 awards 0 price none visited 1 best_rejected 1 later 0
    """)


@pytest.mark.parametrize("rule", ["pay_as_bid", "vickrey"])
def test_rules_with_a_price_for_each_winner_record_no_price_of_the_round(rule: str) -> None:
    """CLR-5, Precisely: even where all happen to pay the same."""
    script = called([9, 9], [9, 9], f"rule={rule}", "prices: 1@s1=9 2@s2=9")
    (cleared,) = script.all(RoundCleared)
    assert cleared.clearing_price_tokens is None
