"""Rivals: bids of several bidders for one task (BID-6, CLR-2, CLR-4, CLR-5).

Goal: whoever bids for another's task competes in price and erases nobody, under every pricing rule. Method: the table
language; each table is the smallest market that shows its sentence.
"""

import pytest

from callmarket.engine.commands import OPERATOR, ClearRound, Entry
from callmarket.engine.events import AwardGranted, Events, RoundCleared, one_by_one
from tests.support.script import Script
from tests.support.script import play as play_exactly


def play(table: str) -> Script:
    """Play a table whose bids are accepted and numbered in order, unless it says otherwise."""
    lines, bids = [], 0
    for line in table.splitlines():
        placed = line.split()[:1] == ["bid"] and "->" not in line
        bids += placed
        lines.append(f"{line} -> bid {bids}" if placed else line)
    return play_exactly("\n".join(lines))


def call(script: Script) -> Events:
    """Call the market and return what that caused."""
    return script.engine.apply(Entry(script.engine.state.seq + 1, script.at_us, OPERATOR, ClearRound("m")))


def awards_of(script: Script) -> list[AwardGranted]:
    """Call the market and return its awards, best bid first."""
    return [event for event in one_by_one(call(script)) if isinstance(event, AwardGranted)]


WORLD = """
    account alice agent 5000
    account bob agent 5000
    account eve agent 5000
"""


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("first_rejected", "prices: 1@s1=900"),
        ("last_accepted", "price 1000: 1@s1"),
        ("pay_as_bid", "prices: 1@s1=1000"),
        ("vickrey", "prices: 1@s1=900"),
    ],
)
def test_two_bidders_for_one_task_compete_in_price(rule: str, result: str) -> None:
    """BID-6: with one slot the better of two bids for one task pays at least the other, whatever the rule."""
    play(f"market m rule={rule}{WORLD}slot s1\nbid alice t 1000\nbid bob t 900\nclear -> {result}, lost 2")


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("first_rejected", "prices: 1@s1=900 3@s2=0"),
        ("last_accepted", "prices: 1@s1=900 3@s2=0"),
        ("pay_as_bid", "prices: 1@s1=1000 3@s2=20"),
        ("vickrey", "prices: 1@s1=900 3@s2=0"),
    ],
)
def test_a_slot_that_stays_unsold_does_not_end_the_competition(rule: str, result: str) -> None:
    """BID-6, CLR-4: the rival cannot have the free slot, for its task has one already; others do not pay its bid."""
    play(
        f"market m rule={rule}{WORLD}slot s1\nslot s2\nslot s3\n"
        f"bid alice t 1000\nbid bob t 900\nbid eve u 20\nclear -> {result}, lost 2"
    )


def test_the_round_records_one_price_and_each_award_its_own() -> None:
    """CLR-4, CLR-8: the price of the round is the best rejected bid; only the winner of the shared task pays more."""
    script = play(f"""
    market m
    {WORLD}
    account dan agent 5000
    slot s1
    slot s2
    bid alice t 50
    bid bob   t 40
    bid eve   u 30
    bid dan   v 20
    clear -> prices: 1@s1=40 3@s2=20, lost 2 4
    round -> supply 2 demand 4 awards 2 price 20 visited 4 best_rejected 4 later 0
    """)
    assert [award.premium_tokens for award in script.all(AwardGranted)] == [10, 10]


def test_a_reserve_that_is_above_the_rival_is_paid() -> None:
    """CLR-4: a rival below the reserve takes nothing."""
    play(f"market m{WORLD}slot s1 reserve=7\nbid alice t 9\nbid bob t 6\nclear -> price 7: 1@s1, lost 2")


@pytest.mark.parametrize("shadows", [1, 2, 5, 10, 20])
def test_bids_on_the_tasks_of_rivals_do_not_lower_a_vickrey_price(shadows: int) -> None:
    """CLR-5: eve has 5 tasks worth 100, for 5 slots, and pays what the best 5 of 20 rivals bid, whatever else she bids.

    One token above a rival on its own task, and the rival is passed over: it would still win without her.
    """
    rivals = "\n".join(f"account r{n} agent 100\nbid r{n} t{n} {50 + 2 * n}" for n in range(20))
    tasks = "\n".join(f"bid eve e{n} 100" for n in range(5))
    shadow_bids = "\n".join(f"bid eve t{19 - n} {89 - 2 * n}" for n in range(shadows))
    slots = "\n".join(f"slot s{n}" for n in range(5))
    script = play(f"market m rule=vickrey\naccount eve agent 5000\n{slots}\n{rivals}\n{tasks}\n{shadow_bids}")
    awards = awards_of(script)
    assert {award.bidder_id for award in awards} == {"eve"}
    assert sum(award.price_tokens for award in awards) == 88 + 86 + 84 + 82 + 80


def test_one_shadow_bid_does_not_make_a_vickrey_price_0() -> None:
    """CLR-5: bob is passed over for eve's bid on his task, and would win without her: she pays his bid."""
    bids = "bid bob b 8\nbid eve e 10\nbid eve b 9"
    play(f"market m rule=vickrey{WORLD}slot s1\n{bids}\nclear -> prices: 2@s1=8, lost 3 1")


@pytest.mark.parametrize("rule", ["first_rejected", "last_accepted", "pay_as_bid", "vickrey"])
def test_nobody_takes_a_task_from_another_for_nothing(rule: str) -> None:
    """BID-6: with slots to spare, whoever outbids a task's owner pays at least what the owner offered."""
    script = play(f"market m rule={rule}{WORLD}slot s1\nslot s2\nbid bob b 8\nbid eve b 9")
    (award,) = awards_of(script)
    assert award.bidder_id == "eve"
    assert award.price_tokens >= 8


@pytest.mark.parametrize("rule", ["first_rejected", "vickrey"])
def test_where_tasks_are_private_nobody_meets_anothers(rule: str) -> None:
    """BID-6: with `task_scope` bidder both have a slot for their task of that name, at no price of each other's."""
    play(f"""
    market m rule={rule} scope=bidder
    {WORLD}
    slot s1
    slot s2
    slot s3
    bid bob b 8
    bid eve b 9
    clear -> {"price 0: 2@s1 1@s2" if rule != "vickrey" else "prices: 2@s1=0 1@s2=0"}
    bid alice b 7
    bid eve b 7 -> TASK_AWARDED task_id=b bound=1
    clear -> {"price 0: 3@s3" if rule != "vickrey" else "prices: 3@s3=0"}
    """)


def test_a_private_task_is_free_again_when_its_own_award_ends() -> None:
    """BID-6: ending one bidder's award frees that bidder's task and no other's."""
    play(f"""
    market m scope=bidder
    {WORLD}
    slot s1
    slot s2
    bid bob b 8
    bid eve b 9
    clear -> price 0: 2@s1 1@s2
    void s1 -> released 0
    bid eve b 5 -> bid 3
    bid bob b 5 -> TASK_AWARDED task_id=b bound=2
    """)


def test_a_rival_that_has_its_cap_of_awards_sets_no_price() -> None:
    """CLR-2, CLR-4: bob's better bid on t is passed over for his cap; alice wins t and pays no more than her bid."""
    for rule, price in (("first_rejected", 0), ("last_accepted", 5), ("vickrey", 0)):
        script = play(f"""
        market m rule={rule} cap=1
        {WORLD}
        slot s1
        slot s2
        bid bob x 10
        bid bob t 9
        bid alice t 5
        """)
        assert [(award.bid_id, award.price_tokens) for award in awards_of(script)] == [(1, price), (3, price)], rule


def test_a_cap_and_shared_tasks_together_may_leave_value_behind() -> None:
    """CLR-2, Precisely: the walk is greedy: 12 where 23 was possible. With private tasks it finds the best."""
    bids = "bid bob t0 12\nbid bob t2 10\nbid eve t0 11"
    slots = "\n".join(f"slot s{n}" for n in range(5))
    shared = play(f"market m cap=1{WORLD}{slots}\n{bids}")
    assert [award.bid_id for award in awards_of(shared)] == [1]
    private = play(f"market m cap=1 scope=bidder{WORLD}{slots}\n{bids}")
    assert [award.bid_id for award in awards_of(private)] == [1, 3]


@pytest.mark.parametrize(
    ("reserves", "bids", "next_reserve"),
    [([0, 0, 7], [12, 6, 3], 7), ([0], [5, 4], None), ([9], [5], 9), ([], [5], None), ([3, 4], [], 3)],
)
def test_a_round_records_the_reserve_of_the_cheapest_unsold_slot(
    reserves: list[int], bids: list[int], next_reserve: int | None
) -> None:
    """CLR-8: None where all were sold or none was offered."""
    slots = "\n".join(f"slot s{n} reserve={reserve}" for n, reserve in enumerate(reserves))
    placed = "\n".join(f"bid alice t{n} {price}" for n, price in enumerate(bids))
    script = play(f"market m{WORLD}{slots}\n{placed}")
    (cleared,) = [event for event in call(script) if isinstance(event, RoundCleared)]
    assert cleared.next_reserve_tokens == next_reserve
