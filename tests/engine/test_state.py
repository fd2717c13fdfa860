"""The state's own check: it finds each kind of damage.

Goal: `check()` can fail, for every property that it states. Method: one full state, and one change that only a bug
could make at a time; the check must not pass it.
"""

from collections.abc import Callable
from copy import copy

import msgspec
import pytest

from callmarket.engine.book import Book
from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.engine.market import LosingRound
from callmarket.engine.retries import Generation
from callmarket.engine.state import State
from tests.support.samples import FULL_WORLD
from tests.support.script import play


@pytest.fixture
def state() -> State:
    """A state with something in every part: bids 3 (lost), 4 (replaced), 5 and 6 (open), award 1, slots s1 to s3."""
    state = play(FULL_WORLD).engine.state
    state.check()
    return state


def bid_under_another_id(state: State) -> None:
    state.bids[99] = state.bids.pop(5)


def bid_above_the_counter(state: State) -> None:
    state.bids_placed = 5


def bid_of_another_market(state: State) -> None:
    state.bids[5].market_id = "n"


def bid_of_another_task(state: State) -> None:
    state.bids[5].task_id = "t9"


def bid_without_its_hold(state: State) -> None:
    state.ledger.release("q", 50)


def hold_without_a_bid(state: State) -> None:
    state.ledger.hold("a", 1)


def bid_that_holds_nothing(state: State) -> None:
    bid = state.bids[5]
    state.markets["m"].resting.remove(bid)
    state.ledger.release("q", 50)
    bid.max_price_tokens = 0
    state.markets["m"].resting.add(bid)


def bid_that_is_in_no_book(state: State) -> None:
    state.markets["m"].resting.remove(state.bids[5])


def bid_in_the_wrong_book(state: State) -> None:
    market, bid = state.markets["m"], state.bids[5]
    market.resting.remove(bid)
    market.round_bids.add(bid)


def bid_of_a_round_that_rests(state: State) -> None:
    market, bid = state.markets["n"], state.bids[6]
    market.round_bids.remove(bid)
    market.resting.add(bid)


def bid_for_a_round_that_is_over(state: State) -> None:
    state.bids[6].round_no = 7


def deadline_without_a_bid(state: State) -> None:
    state.bid_deadlines.add(77, 99)


def bid_without_its_deadline(state: State) -> None:
    state.bid_deadlines.discard(90, 5)


def count_of_held_bids(state: State) -> None:
    state.markets["m"].bids_held += 1


def open_bid_that_is_not_indexed(state: State) -> None:
    del state.markets["m"].bids_by_bidder["q"]["t4"]


def replaced_bid_that_is_indexed(state: State) -> None:
    state.markets["m"].bids_by_bidder["q"]["t4"] = state.bids[4]


def open_bid_that_is_replaced(state: State) -> None:
    state.bids[5].replaced = True


def bidder_without_bids(state: State) -> None:
    state.markets["m"].bids_by_bidder["a2"] = {}


def losing_round_without_losers(state: State) -> None:
    state.unreleased_losers["m", 1].book.remove(state.bids[3])


def losers_that_are_forgotten(state: State) -> None:
    del state.unreleased_losers["m", 1]


def losers_of_a_round_that_is_to_come(state: State) -> None:
    state.unreleased_losers["m", 9] = state.unreleased_losers.pop(("m", 1))


def losers_of_another_round(state: State) -> None:
    state.bids[3].round_no = 2


def loser_that_is_good_till_date(state: State) -> None:
    state.bids[3].time_in_force = "gtd"


def copy_of_a_bid(state: State) -> None:
    state.bids[5] = copy(state.bids[5])


def book_of_the_round_that_miscounts(state: State) -> None:
    book = state.markets["n"].round_bids
    book._bids += 1


def empty_level(book: Book) -> None:
    book._levels[99] = {}
    book._prices.add(99)


def empty_level_in_the_book_that_rests(state: State) -> None:
    empty_level(state.markets["m"].resting)


def empty_level_in_the_book_of_the_round(state: State) -> None:
    empty_level(state.markets["n"].round_bids)


def empty_level_in_a_book_of_losers(state: State) -> None:
    empty_level(state.unreleased_losers["m", 1].book)


def book_that_rests_out_of_order(state: State) -> None:
    state.bids[5].max_price_tokens += 1


def book_of_losers_out_of_order(state: State) -> None:
    state.bids[3].max_price_tokens += 1


def award_at_another_price(state: State) -> None:
    award = msgspec.structs.replace(state.awards[1], price_tokens=79)
    state.awards[1] = state.awards_by_bid[1] = award


def award_below_zero(state: State) -> None:
    award = msgspec.structs.replace(state.awards[1], price_tokens=-1)
    state.awards[1] = state.awards_by_bid[1] = award
    state.ledger.accounts["a"].held_tokens -= 81


def award_that_is_not_found_by_its_bid(state: State) -> None:
    state.awards_by_bid[2] = state.awards_by_bid.pop(1)


def award_that_is_found_by_a_bid_more(state: State) -> None:
    state.awards_by_bid[2] = state.awards_by_bid[1]


def copy_of_an_award(state: State) -> None:
    state.awards_by_bid[1] = copy(state.awards[1])


def hold_of_a_bid_of_somebody_else(state: State) -> None:
    state.ledger.release("q", 50)
    state.ledger.hold("a", 50)


def deadline_at_another_time(state: State) -> None:
    state.bid_deadlines.discard(90, 5)
    state.bid_deadlines.add(91, 5)


def deadline_in_the_wrong_bucket(state: State) -> None:
    state.bid_deadlines._buckets[10**6] = state.bid_deadlines._buckets.pop(0)


def deadline_of_a_bid_that_has_none(state: State) -> None:
    state.bids[6].ttl_at_us = 5


def lease_of_another_end(state: State) -> None:
    state.award_leases.discard(110, 1)
    state.award_leases.add(111, 1)


def lease_that_is_said_twice(state: State) -> None:
    state.award_leases.add(10**12, 1)


def copy_of_a_bid_in_the_index(state: State) -> None:
    state.markets["m"].bids_by_bidder["q"]["t4"] = copy(state.bids[5])


def bid_of_another_bidder_in_the_index(state: State) -> None:
    index = state.markets["m"].bids_by_bidder
    index["a"] = index.pop("q")


def hold_that_an_award_and_a_bid_share(state: State) -> None:
    state.bids[1] = state.bids.pop(5)


def bid_that_is_in_no_book_and_not_counted(state: State) -> None:
    market = state.markets["n"]
    market.round_bids.remove(state.bids[6])
    market.bids_held -= 1


def bid_with_two_deadlines(state: State) -> None:
    # The later one is the right one.
    state.bid_deadlines.discard(90, 5)
    state.bids[5].ttl_at_us = 10**6
    state.bid_deadlines.add(10**6, 5)
    state.bid_deadlines.add(1, 5)


def round_that_was_never_lost(state: State) -> None:
    state.unreleased_losers["m", 0] = LosingRound(1, Book())


def losers_of_the_round_after_next(state: State) -> None:
    state.unreleased_losers["m", 9] = state.unreleased_losers.pop(("m", 1))
    state.bids[3].round_no = 9


def award_of_a_bid_that_is_still_open(state: State) -> None:
    del state.awards_by_bid[1]
    state.awards[1] = state.awards_by_bid[5] = msgspec.structs.replace(state.awards[1], bid_id=5)


def deadline_that_is_said_twice(state: State) -> None:
    state.bid_deadlines.add(10**12, 5)


def award_under_another_id(state: State) -> None:
    state.awards[2] = state.awards.pop(1)


def award_above_the_counter(state: State) -> None:
    state.awards_granted = 0


def award_that_is_forgotten(state: State) -> None:
    del state.awards[1]


def award_of_a_slot_that_is_not_awarded(state: State) -> None:
    state.slots["p", "s1"].status = "settled"
    state.slots_ended["p", "s1"] = None


def award_of_issuance(state: State) -> None:
    # Frozen, as a bug would have to be: the award is replaced by one with another provider.
    state.awards[1] = type(state.awards[1])(
        **{
            **{name: getattr(state.awards[1], name) for name in state.awards[1].__struct_fields__},
            "provider_id": ISSUANCE,
        }
    )


def awarded_task_that_is_forgotten(state: State) -> None:
    state.markets["m"].tasks_awarded.clear()


def awarded_task_of_another_market(state: State) -> None:
    state.markets["n"].tasks_awarded["t1"] = 1


def award_without_its_lease(state: State) -> None:
    state.award_leases.discard(110, 1)


def lease_without_an_award(state: State) -> None:
    state.award_leases.add(111, 2)


def offer_that_is_not_for_sale(state: State) -> None:
    state.markets["m"].offers.remove(state.slots[TREASURY, "s2"])


def ended_slot_that_is_for_sale(state: State) -> None:
    state.markets["m"].offers.add(state.slots[TREASURY, "s3"])


def count_of_live_slots(state: State) -> None:
    state.markets["m"].slots_live -= 1


def ended_slot_that_is_not_listed(state: State) -> None:
    state.slots_ended.clear()


def live_slot_among_the_ended(state: State) -> None:
    state.slots_ended[TREASURY, "s2"] = None


def slot_of_another_award(state: State) -> None:
    state.slots["p", "s1"].award_id = 2


def slot_that_was_awarded_in_another_market(state: State) -> None:
    # What counts live slots goes along.
    for name, change in (("m", -1), ("n", 1)):
        market = state.markets[name]
        market.slots_live += change
        market.slots_by_provider["p"] = market.slots_by_provider.get("p", 0) + change
    del state.markets["m"].slots_by_provider["p"]
    state.slots["p", "s1"].market_id = "n"


def slot_that_somebody_else_has_won(state: State) -> None:
    state.slots["p", "s1"].winner_id = "q"


def task_of_another_award(state: State) -> None:
    market = state.markets["m"]
    market.tasks_awarded = dict.fromkeys(market.tasks_awarded, 2)


def slot_that_is_awarded_without_an_award(state: State) -> None:
    slot = state.slots[TREASURY, "s2"]
    state.markets["m"].offers.remove(slot)
    slot.status = "awarded"


def ended_slot_under_another_id(state: State) -> None:
    state.slots[TREASURY, "s9"] = state.slots.pop((TREASURY, "s3"))
    state.slots_ended[TREASURY, "s9"] = state.slots_ended.pop((TREASURY, "s3"))


def ended_slot_that_another_is_listed_for(state: State) -> None:
    state.slots_ended["q", "s3"] = state.slots_ended.pop((TREASURY, "s3"))


def copy_of_an_offer(state: State) -> None:
    state.slots[TREASURY, "s2"] = copy(state.slots[TREASURY, "s2"])


def live_slots_of_somebody_else(state: State) -> None:
    market = state.markets["m"]
    market.slots_by_provider = {"q": market.slots_live}


def market_under_another_name(state: State) -> None:
    state.markets["x"] = state.markets.pop("n")


def tokens_from_nowhere(state: State) -> None:
    state.ledger.accounts["a"].balance_tokens += 1


def named_hold_under_another_id(state: State) -> None:
    state.holds.open["a", "h9"] = state.holds.open.pop(("a", "h1"))


def named_hold_of_another_size(state: State) -> None:
    state.holds.open["a", "h1"].amount_tokens += 1


def named_hold_of_another_account(state: State) -> None:
    # Its key, its deadline and its count go along, so the index itself is right.
    hold = state.holds.open["q", "h1"] = state.holds.open.pop(("a", "h1"))
    hold.account_id = "q"
    state.holds.open_by_account = {"q": 2}
    if hold.expires_at_us is not None:
        state.holds._deadlines.remove((hold.expires_at_us, ("a", "h1")))
        state.holds._deadlines.add((hold.expires_at_us, ("q", "h1")))


def tokens_of_another_account_under_a_name(state: State) -> None:
    # The ledger itself is right.
    tokens = state.holds.open["a", "h1"].amount_tokens
    state.ledger.release("a", tokens)
    state.ledger.hold("q", tokens)


def named_hold_without_tokens(state: State) -> None:
    hold = state.holds.open["a", "h1"]
    state.ledger.release(hold.account_id, hold.amount_tokens)


def tokens_held_under_a_name_that_is_not_there(state: State) -> None:
    state.ledger.hold("a", 2)


def named_hold_of_the_future(state: State) -> None:
    state.holds.open["a", "h1"].placed_seq = state.seq + 1


def named_hold_of_issuance(state: State) -> None:
    hold = state.holds.open["a", "h1"]
    state.ledger.release(hold.account_id, hold.amount_tokens)
    state.ledger.accounts[ISSUANCE].held_tokens += hold.amount_tokens
    hold.account_id = ISSUANCE
    state.holds.open_by_account = {ISSUANCE: 1, "q": 1}


def count_of_named_holds(state: State) -> None:
    state.holds.open_by_account["a"] += 1


def named_hold_without_its_deadline(state: State) -> None:
    state.holds._deadlines.clear()


def deadline_of_a_named_hold_that_has_none(state: State) -> None:
    state.holds._deadlines.add((5, ("q", "h2")))


def ended_hold_that_is_open(state: State) -> None:
    state.holds.ended["q", "h3"].status = "open"


def open_hold_among_the_ended(state: State) -> None:
    state.holds.ended["a", "h1"] = state.holds.open["a", "h1"]


def ended_hold_under_another_id(state: State) -> None:
    state.holds.ended["q", "h9"] = state.holds.ended.pop(("q", "h3"))


def receipts_out_of_order(state: State) -> None:
    state.receipts._done.rotate()


def receipt_that_is_not_found(state: State) -> None:
    state.receipts._by_id.popitem()


def refusal_among_what_was_done(state: State) -> None:
    state.receipts._done.append(state.receipts._refused.pop())


def retry_that_is_nobodys(state: State) -> None:
    state.retries.generations[0].by_actor.clear()


def retry_that_is_counted_for_an_account(state: State) -> None:
    state.retries.generations[0].by_accounts += 1


def retries_out_of_order(state: State) -> None:
    state.retries.generations.insert(0, Generation(7, {"a": 1}, 1, state.retries.generations[0].done))


def retries_of_longer_than_a_day(state: State) -> None:
    state.retries.generations.append(Generation(7, {"admin": 1}, 0, state.retries.generations[0].done))


def digest_in_the_wrong_place(state: State) -> None:
    (prefix, bucket), *_ = state.ledger.earnings._buckets.items()
    state.ledger.earnings._buckets[prefix] = bucket * 2


def half_a_digest(state: State) -> None:
    for bucket in state.ledger.earnings._buckets.values():
        bucket.pop()


def count_of_digests(state: State) -> None:
    state.ledger.earnings._count += 1


DAMAGES = [
    bid_under_another_id,
    bid_above_the_counter,
    bid_of_another_market,
    bid_of_another_task,
    bid_without_its_hold,
    hold_without_a_bid,
    bid_that_holds_nothing,
    bid_that_is_in_no_book,
    bid_in_the_wrong_book,
    bid_of_a_round_that_rests,
    bid_for_a_round_that_is_over,
    deadline_without_a_bid,
    bid_without_its_deadline,
    count_of_held_bids,
    open_bid_that_is_not_indexed,
    replaced_bid_that_is_indexed,
    open_bid_that_is_replaced,
    bidder_without_bids,
    losing_round_without_losers,
    losers_that_are_forgotten,
    losers_of_a_round_that_is_to_come,
    losers_of_another_round,
    loser_that_is_good_till_date,
    copy_of_a_bid,
    book_of_the_round_that_miscounts,
    empty_level_in_the_book_that_rests,
    empty_level_in_the_book_of_the_round,
    empty_level_in_a_book_of_losers,
    book_that_rests_out_of_order,
    book_of_losers_out_of_order,
    award_at_another_price,
    award_below_zero,
    award_that_is_not_found_by_its_bid,
    award_that_is_found_by_a_bid_more,
    copy_of_an_award,
    hold_of_a_bid_of_somebody_else,
    deadline_at_another_time,
    deadline_in_the_wrong_bucket,
    deadline_of_a_bid_that_has_none,
    lease_of_another_end,
    lease_that_is_said_twice,
    copy_of_a_bid_in_the_index,
    bid_of_another_bidder_in_the_index,
    hold_that_an_award_and_a_bid_share,
    bid_that_is_in_no_book_and_not_counted,
    bid_with_two_deadlines,
    round_that_was_never_lost,
    losers_of_the_round_after_next,
    award_of_a_bid_that_is_still_open,
    deadline_that_is_said_twice,
    award_under_another_id,
    award_above_the_counter,
    award_that_is_forgotten,
    award_of_a_slot_that_is_not_awarded,
    award_of_issuance,
    awarded_task_that_is_forgotten,
    awarded_task_of_another_market,
    award_without_its_lease,
    lease_without_an_award,
    offer_that_is_not_for_sale,
    ended_slot_that_is_for_sale,
    count_of_live_slots,
    ended_slot_that_is_not_listed,
    live_slot_among_the_ended,
    slot_of_another_award,
    slot_that_was_awarded_in_another_market,
    slot_that_somebody_else_has_won,
    task_of_another_award,
    slot_that_is_awarded_without_an_award,
    ended_slot_under_another_id,
    ended_slot_that_another_is_listed_for,
    copy_of_an_offer,
    market_under_another_name,
    tokens_from_nowhere,
    named_hold_under_another_id,
    named_hold_of_another_size,
    named_hold_of_another_account,
    tokens_of_another_account_under_a_name,
    named_hold_without_tokens,
    tokens_held_under_a_name_that_is_not_there,
    named_hold_of_the_future,
    named_hold_of_issuance,
    count_of_named_holds,
    named_hold_without_its_deadline,
    deadline_of_a_named_hold_that_has_none,
    ended_hold_that_is_open,
    open_hold_among_the_ended,
    ended_hold_under_another_id,
    receipts_out_of_order,
    receipt_that_is_not_found,
    refusal_among_what_was_done,
    retry_that_is_nobodys,
    retry_that_is_counted_for_an_account,
    retries_out_of_order,
    retries_of_longer_than_a_day,
    digest_in_the_wrong_place,
    half_a_digest,
    count_of_digests,
]


def test_an_image_does_not_depend_on_the_order_of_rewards(state: State) -> None:
    """Equal states are equal bytes, by which a recovery is proved."""
    market = next(iter(state.markets.values()))
    images = []
    for names in ("ab", "ba"):
        market.rewarded_tokens = {name: ord(name) for name in names}
        images.append(state.encode())
    assert images[0] == images[1]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_check_of_the_state_finds_each_damage(state: State, damage: Callable[[State], None]) -> None:
    """BID-1, BID-5, BID-6, BID-9, SLT-2, SET-5, LED-1: each property is one that a bug could break."""
    damage(state)
    # A KeyError is a find too: a row leads to one that is not there.
    with pytest.raises((AssertionError, KeyError)):
        state.check()
