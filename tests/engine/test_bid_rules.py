"""The rules BID-1 to BID-9, told in the table language.

Goal: what stands in a book is funded, in one order, and ends once. Method: one script a sentence of a rule.
"""

import pytest

from callmarket.engine.events import BidAmended, BidPlaced
from tests.support.script import play

WORLD = """
market m
account a agent 1000
account b agent 1000
"""


def test_placing_holds_the_whole_price() -> None:
    """BID-1: no bid is unfunded, and six bids of 1,000 need 6,000."""
    play("""
    market m
    account a agent 5000
    bid a t1 1000 -> bid 1
    bid a t2 1000 -> bid 2
    bid a t3 1000 -> bid 3
    bid a t4 1000 -> bid 4
    bid a t5 1000 -> bid 5
    wallet a -> balance 5000 held 5000
    bid a t6 1000 -> FUNDS_INSUFFICIENT max_price_tokens=1000 bound=0
    """)


def test_the_book_is_in_order_of_price_then_time() -> None:
    """BID-2: price descending, then time."""
    play(
        WORLD
        + """
    bid a t1 5  -> bid 1
    bid b t2 9  -> bid 2
    bid a t3 9  -> bid 3
    bid b t4 5 gtd ttl=99 -> bid 4
    bid b t5 9 gtd ttl=99 -> bid 5
    book -> 9:2,3,5 5:1,4
    """
    )


def test_time_is_the_command_that_placed_the_bid_or_last_gave_it_a_price() -> None:
    """BID-2, Precisely: `priority_seq` is its sequence number; so an amended price, even the same, is late."""
    script = play(
        WORLD
        + """
    bid a t1 5  -> bid 1
    bid a t2 5  -> bid 2
    bid a t3 5  -> bid 3
    book -> 5:1,2,3
    amend 1 price=5
    book -> 5:2,3,1
    amend 3 ttl=99
    book -> 5:2,3,1
    amend 2 price=6 ttl=99
    book -> 6:2 5:3,1
    """
    )
    assert [one.priority_seq for one in script.all(BidPlaced)] == [6, 7, 8]
    assert [one.priority_seq for one in script.all(BidAmended)] == [9, 8, 11]


def test_equal_prices_win_in_order_of_time_at_the_same_microsecond() -> None:
    """BID-2: the order is total: the sequence decides, never the clock."""
    play(
        WORLD
        + """
    slot s1
    bid b t1 5  -> bid 1
    bid a t2 5  -> bid 2
    clear -> price 5: 1@s1, lost 2
    """
    )


@pytest.mark.parametrize(("at_us", "result"), [(99, "price 0: 1@s1"), (100, "no sale"), (101, "no sale")])
def test_from_its_deadline_on_a_bid_never_wins(at_us: int, result: str) -> None:
    """BID-3: at `ttl_at` it is too late, one microsecond before it is not."""
    play(
        WORLD
        + f"""
    slot s1
    bid a t1 5 gtd ttl=100 -> bid 1
    t={at_us} clear -> {result}
    """
    )


def test_the_sweep_releases_the_hold_and_calls_it_expired() -> None:
    """BID-3: not before the deadline, and from it on."""
    play(
        WORLD
        + """
    bid a t1 5 gtd ttl=100 -> bid 1
    t=99 sweep -> done
    wallet a -> balance 1000 held 5
    t=100 sweep -> expired 1, done
    wallet a -> balance 1000 held 0
    """
    )


def test_an_unswept_bid_past_its_deadline_cannot_be_amended_or_cancelled() -> None:
    """BID-3, Precisely: `BID_EXPIRED`, whether or not the sweep has come by."""
    play(
        WORLD
        + """
    bid a t1 5 gtd ttl=100 -> bid 1
    t=100 amend 1 price=6 -> BID_EXPIRED bid_id=1 bound=
    amend 1 ttl=200  -> BID_EXPIRED
    cancel 1         -> BID_EXPIRED
    cancel 1 by admin -> BID_EXPIRED
    sweep            -> expired 1, done
    cancel 1         -> BID_CLOSED
    """
    )


@pytest.mark.parametrize("force", ["round", "gtd"])
def test_an_unswept_bid_past_its_deadline_does_not_stand_in_the_way_of_a_new_one(force: str) -> None:
    """BID-3, Precisely: its task may be bid for again at once; the old hold still waits for the sweep."""
    play(
        WORLD
        + f"""
    slot s1
    bid a t1 5 {force} ttl=100 -> bid 1
    t=99 bid a t1 6 ttl=200 -> TASK_BID_OPEN task_id=t1 bound=1
    t=100 bid a t1 6 ttl=200 -> bid 2
    wallet a -> balance 1000 held 11
    clear -> price 0: 2@s1{", expired 1" if force == "round" else ""}
    sweep -> {"" if force == "round" else "expired 1, "}done
    wallet a -> balance 1000 held 0
    """
    )


def test_a_deadline_in_the_past_is_refused() -> None:
    """BID-3: a bid that could never win is not taken (`TTL_PAST`), nor is one with the deadline now."""
    play(
        WORLD
        + """
    t=100 bid a t1 5 ttl=99 -> TTL_PAST ttl_at_us=99 bound=100
    bid a t1 5 gtd ttl=100  -> TTL_PAST ttl_at_us=100 bound=100
    bid a t1 5 gtd ttl=101  -> bid 1
    """
    )


def test_a_bid_for_the_round_that_does_not_win_is_lost_and_released() -> None:
    """BID-4: `round` is the default, and the call itself releases it."""
    play(
        WORLD
        + """
    slot s1
    bid a t1 9 -> bid 1
    bid b t2 5 -> bid 2
    clear -> price 5: 1@s1, lost 2
    wallet b -> balance 1000 held 0
    book -> empty
    """
    )


def test_a_bid_for_the_round_is_lost_although_there_were_slots_and_no_competition() -> None:
    """BID-4: whatever the reason it did not win: below the reserve, or no slot at all."""
    play(
        WORLD
        + """
    bid a t1 9 -> bid 1
    clear -> no sale, lost 1
    slot s1 reserve=10
    bid a t1 9 -> bid 2
    clear -> no sale, lost 2
    """
    )


def test_a_bid_that_is_good_till_date_rests_round_after_round() -> None:
    """BID-4: `gtd` rests until `ttl_at`, and wins when a slot comes."""
    play(
        WORLD
        + """
    bid a t1 9 gtd ttl=100 -> bid 1
    t=1 clear -> no sale
    t=2 clear -> no sale
    book -> 9:1
    slot s1
    t=99 clear -> price 0: 1@s1
    """
    )


def test_a_bid_that_is_good_till_date_must_name_the_date() -> None:
    """BID-4: `TTL_MISSING`; a bid for the round need not."""
    play(
        WORLD
        + """
    bid a t1 9 gtd -> TTL_MISSING ttl_at_us= bound=a deadline, for a bid that is good till date
    bid a t1 9 round -> bid 1
    """
    )


def test_the_round_releases_its_best_losers_and_the_sweeps_the_rest() -> None:
    """BID-4, Precisely: the best `LOSERS_PER_CALL_MAX` in book order; the rest leave the book at once."""
    play(
        WORLD
        + """
    bound LOSERS_PER_CALL_MAX 2
    bound SWEEP_ITEMS_MAX 1
    slot s1
    bid a t1 9 -> bid 1
    bid a t2 3 -> bid 2
    bid b t3 5 -> bid 3
    bid b t4 4 -> bid 4
    bid b t5 2 -> bid 5
    t=1 clear -> price 5: 1@s1, lost 3 4, later 2
    book -> empty
    wallet a -> balance 1000 held 8
    slot s2
    t=2 clear -> no sale
    t=3 sweep -> lost 2, more
    wallet a -> balance 1000 held 5
    sweep -> lost 5, done
    wallet b -> balance 1000 held 0
    """
    )


def test_a_loser_that_waits_for_its_release_has_lost() -> None:
    """BID-4, Precisely: `BID_LOST` to its bidder, and its task may be bid for again."""
    play(
        WORLD
        + """
    bound LOSERS_PER_CALL_MAX 0
    bid a t1 9 ttl=50 -> bid 1
    clear -> no sale, later 1
    cancel 1 -> BID_LOST bid_id=1 bound=
    amend 1 price=10 -> BID_LOST
    t=60 cancel 1 -> BID_LOST
    bid a t1 9 -> bid 2
    book -> 9:2
    sweep -> lost 1, done
    """
    )


def test_a_bid_past_its_deadline_at_the_call_has_expired_and_not_lost() -> None:
    """BID-4, Precisely: it is released with the losers, by the call or a sweep, and counted among them."""
    play(
        WORLD
        + """
    bound LOSERS_PER_CALL_MAX 1
    bid a t1 9 ttl=50 -> bid 1
    bid a t2 8 ttl=50 -> bid 2
    bid a t3 7 ttl=51 -> bid 3
    t=50 clear -> no sale, expired 1, later 2
    t=51 cancel 2 -> BID_EXPIRED
    cancel 3 -> BID_LOST
    sweep -> expired 2, lost 3, done
    wallet a -> balance 1000 held 0
    """
    )


def test_one_open_bid_per_market_bidder_and_task() -> None:
    """BID-5: `TASK_BID_OPEN` names the bid that is there; another market, bidder or task is another matter."""
    play(
        WORLD
        + """
    market m2
    bid a t1 9 -> bid 1
    bid a t1 8 -> TASK_BID_OPEN task_id=t1 bound=1
    bid a t1 8 gtd ttl=9 -> TASK_BID_OPEN
    bid a t1 8 market=m2 -> bid 2
    bid b t1 8 -> bid 3
    bid a t2 8 -> bid 4
    cancel 1 -> released 9
    bid a t1 8 -> bid 5
    """
    )


def test_an_amended_price_moves_the_bid_and_its_hold() -> None:
    """BID-5: up and down; a price, even the same, takes a new place in time."""
    script = play(
        WORLD
        + """
    bid a t1 5 -> bid 1
    bid b t2 5 -> bid 2
    amend 1 price=5
    book -> 5:2,1
    amend 1 price=8
    book -> 8:1 5:2
    wallet a -> balance 1000 held 8
    amend 1 price=3
    book -> 5:2 3:1
    wallet a -> balance 1000 held 3
    """
    )
    changes = [(one.max_price_tokens_before, one.max_price_tokens) for one in script.all(BidAmended)]
    assert changes == [(5, 5), (5, 8), (8, 3)]


def test_an_amended_deadline_keeps_the_place() -> None:
    """BID-5: a deadline alone keeps the place in time, and counts from now on."""
    play(
        WORLD
        + """
    bid a t1 5 gtd ttl=50 -> bid 1
    bid b t2 5 -> bid 2
    amend 1 ttl=80
    amend 2 ttl=60
    book -> 5:1,2
    t=50 sweep -> done
    t=60 sweep -> expired 2, done
    amend 1 ttl=70
    t=70 sweep -> expired 1, done
    """
    )


def test_an_amended_deadline_replaces_the_old_one_however_far_apart_they_are() -> None:
    """BID-5, BID-3: an hour earlier or later, alone or with a price; the old deadline is forgotten."""
    hour = 3_600_000_000
    play(
        WORLD
        + f"""
    bid a t1 5 gtd ttl={hour} -> bid 1
    bid a t2 5 gtd ttl={3 * hour} -> bid 2
    amend 1 ttl={2 * hour}
    amend 2 ttl={2 * hour} price=6
    t={hour} sweep -> done
    t={2 * hour} sweep -> expired 1 2, done
    t={3 * hour} sweep -> done
    """
    )


def test_an_amendment_without_a_price_or_deadline_is_refused() -> None:
    """BID-5, Precisely: a price or a deadline (`AMENDMENT_EMPTY`)."""
    play(WORLD + "bid a t1 5 -> bid 1\namend 1 -> AMENDMENT_EMPTY max_price_tokens= bound=a price or a deadline")


def test_an_amended_deadline_is_not_in_the_past() -> None:
    """BID-5, Precisely: `TTL_PAST`, also for the present."""
    play(
        WORLD
        + """
    bid a t1 5 -> bid 1
    t=10 amend 1 ttl=10 -> TTL_PAST ttl_at_us=10 bound=10
    amend 1 price=9 ttl=9 -> TTL_PAST ttl_at_us=9 bound=10
    wallet a -> balance 1000 held 5
    amend 1 ttl=11
    """
    )


def test_an_amendment_cannot_take_a_deadline_away() -> None:
    """BID-5, Precisely: a price alone leaves the deadline as it is."""
    script = play(
        WORLD
        + """
    bid a t1 5 ttl=50 -> bid 1
    amend 1 price=6
    t=50 sweep -> expired 1, done
    """
    )
    assert [one.ttl_at_us for one in script.all(BidAmended)] == [50]


def test_an_amendment_is_paid_from_what_is_available_and_the_bids_own_hold() -> None:
    """BID-5, Precisely: the whole balance for one bid, and not a token more."""
    play(
        WORLD
        + """
    bid a t1 600 -> bid 1
    bid a t2 300 -> bid 2
    amend 1 price=701 -> FUNDS_INSUFFICIENT max_price_tokens=701 bound=700
    amend 1 price=700
    wallet a -> balance 1000 held 1000
    amend 2 price=301 -> FUNDS_INSUFFICIENT max_price_tokens=301 bound=300
    amend 2 price=300
    """
    )


def test_bids_on_a_task_that_has_an_award_are_passed_over() -> None:
    """BID-6: a rival in the call that made the award bounds its price; later it neither wins nor sets a price."""
    play(
        WORLD
        + """
    slot s1
    bid a t1 9 -> bid 1
    bid b t1 8 gtd ttl=99 -> bid 2
    clear -> prices: 1@s1=8
    slot s2
    slot s3
    bid a t2 5 -> bid 3
    clear -> price 0: 3@s2
    book -> 8:2
    """
    )


def test_bids_on_a_task_that_won_earlier_in_the_round_are_passed_over() -> None:
    """BID-6, CLR-4: the second bid on the task takes no slot, and only the winner of the task pays that bid."""
    play(
        WORLD
        + """
    slot s1
    slot s2
    bid a t1 9 -> bid 1
    bid b t1 8 -> bid 2
    bid b t2 3 -> bid 3
    bid b t3 2 -> bid 4
    clear -> prices: 1@s1=8 3@s2=2, lost 2 4
    """
    )


def test_a_new_bid_on_a_task_that_has_an_award_is_refused() -> None:
    """BID-6: `TASK_AWARDED` names the award, for everybody and in this market alone, until the award ends."""
    play(
        WORLD
        + """
    market m2
    slot s1
    bid a t1 9 -> bid 1
    clear -> price 0: 1@s1
    bid b t1 9 -> TASK_AWARDED task_id=t1 bound=1
    bid a t1 9 -> TASK_AWARDED
    bid b t1 9 market=m2 -> bid 2
    settle s1 -> moved nothing
    bid b t1 9 -> bid 3
    """
    )


def test_only_the_bidder_or_the_admin_cancels_or_amends() -> None:
    """BID-7: not even the operator, and nobody for somebody else."""
    play(
        WORLD
        + """
    bid a t1 9 -> bid 1
    cancel 1 by b -> NOT_PERMITTED actor=b bound=a
    cancel 1 by operator -> NOT_PERMITTED
    amend 1 price=1 by b -> NOT_PERMITTED
    amend 1 price=1 by operator -> NOT_PERMITTED
    amend 1 price=8 by admin
    amend 1 price=7 by a
    cancel 1 by admin -> released 7
    bid a t1 9 -> bid 2
    cancel 2 by a -> released 9
    """
    )


@pytest.mark.parametrize(
    ("way", "cancel"),
    [
        ("", "released 9"),
        ("cancel 1 -> released 9", "BID_CLOSED"),
        ("clear -> no sale, lost 1", "BID_CLOSED"),
        ("t=50 sweep -> expired 1, done", "BID_CLOSED"),
        ("slot s1\nclear -> price 0: 1@s1", "BID_WON"),
        ("slot s1\nclear -> price 0: 1@s1\nsettle s1 -> moved nothing", "BID_CLOSED"),
        ("slot s1\nclear -> price 0: 1@s1\nvoid s1 -> released 0", "BID_CLOSED"),
        ("slot s1 lease=1\nclear -> price 0: 1@s1\nt=1 sweep -> lapsed 1@s1=0, done", "BID_CLOSED"),
    ],
)
def test_a_bid_goes_from_open_to_one_end(way: str, cancel: str) -> None:
    """BID-8: `open` -> `won | lost | expired | cancelled`; `won` -> `settled | voided | lapsed`; and nothing after."""
    play(WORLD + f"bid a t1 9 ttl=50 -> bid 1\n{way}\ncancel 1 -> {cancel}\ncancel 2 -> BID_UNKNOWN bid_id=2 bound=1")


def test_a_bid_is_won_while_its_award_lives_and_closed_after_any_end() -> None:
    """BID-8, Precisely: `BID_WON`, also past the lease until the sweep; then `BID_CLOSED`, as after every other end."""
    play(
        WORLD
        + """
    slot s1 lease=50
    bid a t1 9 -> bid 1
    clear -> price 0: 1@s1
    cancel 1 -> BID_WON bid_id=1 bound=
    t=50 cancel 1 -> BID_WON
    amend 1 price=5 -> BID_WON
    sweep -> lapsed 1@s1=0, done
    cancel 1 -> BID_CLOSED bid_id=1 bound=1
    amend 1 price=5 -> BID_CLOSED
    """
    )


def test_a_voided_bid_does_not_come_back() -> None:
    """BID-8: after a void the task may bid again, with a new bid; the old one has ended."""
    play(
        WORLD
        + """
    slot s1
    bid a t1 9 gtd ttl=99 -> bid 1
    clear -> price 0: 1@s1
    void s1 -> released 0
    slot s1
    clear -> no sale
    bid a t1 9 -> bid 2
    clear -> price 0: 2@s1
    """
    )


def test_open_bids_per_bidder_are_bounded() -> None:
    """BID-9: per bidder and market, and the refusal names the bound."""
    play(
        WORLD
        + """
    bound BIDS_PER_BIDDER_MAX 2
    market m2
    bid a t1 9 -> bid 1
    bid a t2 9 gtd ttl=99 -> bid 2
    bid a t3 9 -> BIDS_PER_BIDDER_FULL bidder_id=a bound=2
    bid b t3 9 -> bid 3
    bid a t3 9 market=m2 -> bid 4
    cancel 1 -> released 9
    bid a t3 9 -> bid 5
    """
    )


def test_open_bids_per_market_are_bounded() -> None:
    """BID-9: per market, whoever bids, and the refusal names the bound; a winner makes room (Precisely)."""
    play(
        WORLD
        + """
    bound BIDS_PER_MARKET_MAX 2
    market m2
    bid a t1 9 -> bid 1
    bid b t2 9 -> bid 2
    bid b t3 9 -> BIDS_PER_MARKET_FULL market_id=m bound=2
    bid b t3 9 market=m2 -> bid 3
    slot s1
    clear -> price 9: 1@s1, lost 2
    bid b t3 9 -> bid 4
    bid b t4 9 -> bid 5
    bid b t5 9 -> BIDS_PER_MARKET_FULL
    """
    )


def test_a_bid_counts_for_its_market_until_its_hold_is_released() -> None:
    """BID-9, Precisely: expired and lost bids count until the sweep, replaced or not."""
    play(
        WORLD
        + """
    bound BIDS_PER_MARKET_MAX 2
    bound LOSERS_PER_CALL_MAX 0
    bid a t1 9 gtd ttl=50 -> bid 1
    t=50 bid a t1 9 gtd ttl=90 -> bid 2
    bid b t2 9 -> BIDS_PER_MARKET_FULL
    sweep -> expired 1, done
    bid b t2 9 -> bid 3
    clear -> no sale, later 1
    bid b t3 9 -> BIDS_PER_MARKET_FULL
    sweep -> lost 3, done
    bid b t3 9 -> bid 4
    """
    )


@pytest.mark.parametrize(
    ("first", "end", "swept"),
    [
        ("gtd ttl=50", "t=50 clear -> no sale", "expired 1"),
        ("round", "t=50 clear -> no sale, later 1", "lost 1"),
    ],
)
def test_a_bid_counts_for_its_bidder_until_it_is_released_or_replaced(first: str, end: str, swept: str) -> None:
    """BID-9, Precisely: a new bid for the same task takes the place of one that has ended; another task must wait."""
    play(
        WORLD
        + f"""
    bound BIDS_PER_BIDDER_MAX 1
    bound LOSERS_PER_CALL_MAX 0
    bid a t1 9 {first} -> bid 1
    {end}
    bid a t2 9 -> BIDS_PER_BIDDER_FULL bidder_id=a bound=1
    bid a t1 8 -> bid 2
    bid a t2 9 -> BIDS_PER_BIDDER_FULL
    cancel 2 -> released 8
    bid a t2 7 -> bid 3
    wallet a -> balance 1000 held 16
    sweep -> {swept}, done
    bid a t3 7 -> BIDS_PER_BIDDER_FULL
    """
    )


def test_an_award_past_its_lease_holds_its_task_until_the_sweep() -> None:
    """BID-6, Precisely: time alone frees nothing; the sweep does."""
    play("""
    market m lease=10
    account a agent 100
    account b agent 100
    slot s1
    t=1 bid a t1 9 -> bid 1
    clear -> price 0: 1@s1
    t=50 bid b t1 9 -> TASK_AWARDED task_id=t1 bound=1
    sweep -> lapsed 1@s1=0, done
    bid b t1 9 -> bid 2
    """)


def test_a_bid_is_won_while_its_award_lives_and_closed_afterwards() -> None:
    """BID-8, Precisely: and so is a bid that ended in any other way."""
    play("""
    market m
    account a agent 100
    slot s1
    bid a t1 9 -> bid 1
    bid a t2 8 -> bid 2
    clear -> price 8: 1@s1, lost 2
    cancel 1 -> BID_WON
    cancel 2 -> BID_CLOSED
    settle s1 -> paid 8 to treasury
    cancel 1 -> BID_CLOSED
    bid a t3 7 -> bid 3
    cancel 3 -> released 7
    amend 3 price=9 -> BID_CLOSED
    """)
