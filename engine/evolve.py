"""What an event changes: the only code that changes the state.

Rule of this file: one function per event, no decision, no refusal. The events of one command are applied in order after
`state.seq` and `state.at_us` are those of the command, so `at_us` here is when it happened.
"""

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter
from typing import Final, assert_never

from callmarket.engine import limits
from callmarket.engine.book import Bid, Book
from callmarket.engine.capital.events import CapitalEventBase
from callmarket.engine.capital.evolve import evolve as evolve_capital
from callmarket.engine.columns import spread
from callmarket.engine.commands import ISSUANCE
from callmarket.engine.events import (
    AccountOpened,
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardsGranted,
    AwardVoided,
    BidAmended,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Event,
    HistoryBegun,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsBound,
    HoldsExpired,
    HoldStatus,
    MarketOpened,
    Rejected,
    Repeated,
    RoundCleared,
    SlotOffered,
    SlotStatus,
    SlotWithdrawn,
    SweepFinished,
    TransferPosted,
)
from callmarket.engine.holds import Binding, HoldKey, NamedHold
from callmarket.engine.ids import NO_AWARD, AwardId, BidId
from callmarket.engine.ledger import earning_of
from callmarket.engine.market import LosingRound, Market
from callmarket.engine.reasons import is_earning
from callmarket.engine.slots import Award, Slot, SlotKey
from callmarket.engine.state import State

_BID: Final = attrgetter("bid_id")
_TTL: Final = attrgetter("ttl_at_us")


def evolve(state: State, event: Event) -> None:  # noqa: C901 -- one flat, exhaustive dispatch
    """Apply one event to the state."""
    # The two of which there are most by far: each case of a `match` costs 80 ns, since it asks the metaclass.
    if type(event) is BidPlaced:
        _bid_placed(state, event)
        return
    if type(event) is BidCancelled:
        _bid_ended(state, event.bid_id)
        return
    if isinstance(event, CapitalEventBase):
        evolve_capital(state.capital, state.ledger, state.at_us, event)
        return
    match event:
        case AwardsGranted():
            _awards_granted(state, event)
        case AwardGranted():
            _award_granted(state, event)
        case BidsLost():
            _bids_lost(state, event)
        case BidsExpired():
            for bid_id in event.bid_ids:
                _bid_ended(state, bid_id)
        case BidAmended():
            _bid_amended(state, event)
        case RoundCleared():
            _round_cleared(state, event)
        case AwardSettled():
            _award_settled(state, event)
        case AwardVoided():
            _award_ended(state, event.award_id, "voided")
        case AwardLapsed():
            _award_ended(state, event.award_id, "lapsed")
        case TransferPosted():
            _transfer_posted(state, event)
        case SlotOffered():
            _slot_offered(state, event)
        case SlotWithdrawn():
            _slot_withdrawn(state, event)
        case AccountOpened():
            state.ledger.open(event.account_id, event.kind)
        case MarketOpened():
            state.markets[event.market_id] = Market(event)
        case HoldPlaced():
            _hold_placed(state, event)
        case HoldCaptured():
            _hold_ended(state, (event.account_id, event.hold_id), "captured")
        case HoldReleased():
            _hold_ended(state, (event.account_id, event.hold_id), "released")
        case HoldsExpired():
            for key in zip(event.account_ids, event.hold_ids, strict=True):
                _hold_ended(state, key, "expired")
        case HistoryBegun():
            # Every bid had a row of its own and every award a bid, so no id that was lost is beyond the seqs that were.
            state.bids_placed = state.awards_granted = state.capital.orders_placed = state.seq
        case HoldsBound():
            binding = Binding(event.reason, event.reference_type, event.reference_id, event.bound_seq, event.until_us)
            state.holds.bind(binding, state.at_us)
        case Rejected() | Repeated() | SweepFinished():
            pass
        case _ as never:
            assert_never(never)


def _bid_placed(state: State, event: BidPlaced) -> None:
    bid_id = event.bid_id
    market = state.markets[event.market_id]
    # By position: this is the hot path, and keywords cost it a tenth.
    bid = Bid(
        bid_id,
        event.market_id,
        event.bidder_id,
        event.task_id,
        event.max_price_tokens,
        event.expected_value_microusd,
        event.ttl_at_us,
        event.time_in_force,
        event.priority_seq,
        market.rounds_called + 1,
        False,
    )
    state.ledger.hold(event.bidder_id, event.max_price_tokens)
    state.bids[bid_id] = bid
    state.bids_placed = bid_id
    market.book_of(bid).add(bid)
    market.index(bid)
    if event.ttl_at_us is not None:
        state.bid_deadlines.add(event.ttl_at_us, bid_id)


def _bid_amended(state: State, event: BidAmended) -> None:
    bid = state.bids[event.bid_id]
    if event.ttl_at_us != bid.ttl_at_us:
        if bid.ttl_at_us is not None:
            state.bid_deadlines.discard(bid.ttl_at_us, bid.bid_id)
        bid.ttl_at_us = event.ttl_at_us
        if bid.ttl_at_us is not None:
            state.bid_deadlines.add(bid.ttl_at_us, bid.bid_id)
    if event.priority_seq != bid.priority_seq:
        book = state.markets[bid.market_id].book_of(bid)
        book.remove(bid)
        state.ledger.release(bid.bidder_id, bid.max_price_tokens)
        bid.max_price_tokens = event.max_price_tokens
        bid.priority_seq = event.priority_seq
        state.ledger.hold(bid.bidder_id, bid.max_price_tokens)
        book.add(bid)


def _bid_ended(state: State, bid_id: BidId) -> None:
    bid = _take_out(state, bid_id)
    state.ledger.release(bid.bidder_id, bid.max_price_tokens)


def _bids_lost(state: State, event: BidsLost) -> None:
    """What `_bid_ended` does for each of them, in one pass over each structure."""
    bids = list(map(state.bids.pop, event.bid_ids))
    losing = state.unreleased_losers[event.market_id, event.round_no].book
    losing.remove_all(bids)
    if not losing:
        del state.unreleased_losers[event.market_id, event.round_no]
    state.markets[event.market_id].unindex_all(bids)
    _discard_deadlines(state, bids)
    state.ledger.release_all(event.bidder_ids, event.released_tokens)


def _discard_deadlines(state: State, bids: Sequence[Bid]) -> None:
    due = [bid for bid in bids if bid.ttl_at_us is not None]
    state.bid_deadlines.discard_all(list(map(_TTL, due)), list(map(_BID, due)))


def _take_out(state: State, bid_id: BidId) -> Bid:
    """Remove a bid from everything but the ledger, where its hold ends or becomes the award's."""
    bid = state.bids.pop(bid_id)
    market = state.markets[bid.market_id]
    if bid.time_in_force == "gtd":
        market.resting.remove(bid)
    elif not market.lost_round(bid):
        market.round_bids.remove(bid)
    else:
        losing = state.unreleased_losers[bid.market_id, bid.round_no].book
        losing.remove(bid)
        if not losing:
            del state.unreleased_losers[bid.market_id, bid.round_no]
    market.unindex(bid)
    if bid.ttl_at_us is not None:
        state.bid_deadlines.discard(bid.ttl_at_us, bid_id)
    return bid


def _award_granted(state: State, event: AwardGranted) -> None:
    bid = _take_out(state, event.bid_id)
    state.ledger.release(bid.bidder_id, event.premium_tokens)
    market, slot = state.markets[event.market_id], state.slots[event.provider_id, event.slot_id]
    market.offers.remove(slot)
    slot.status = "awarded"
    slot.award_id = event.award_id
    slot.winner_id = event.bidder_id
    market.tasks_awarded[market.task_key(event.bidder_id, event.task_id)] = event.award_id
    state.awards[event.award_id] = state.awards_by_bid[event.bid_id] = Award(
        award_id=event.award_id,
        market_id=event.market_id,
        slot_id=event.slot_id,
        bid_id=event.bid_id,
        bidder_id=event.bidder_id,
        task_id=event.task_id,
        price_tokens=event.price_tokens,
        provider_id=event.provider_id,
        lease_until_us=event.lease_until_us,
    )
    state.awards_granted = event.award_id
    state.award_leases.add(event.lease_until_us, event.award_id)


def _awards_granted(state: State, event: AwardsGranted) -> None:
    """What `_award_granted` does for each of them, in one pass over each structure."""
    market, count = state.markets[event.market_id], len(event.bid_ids)
    bids = list(map(state.bids.pop, event.bid_ids))
    market.take_out(bids)
    market.unindex_all(bids)
    _discard_deadlines(state, bids)
    state.ledger.release_all(event.bidder_ids, event.premiums_tokens)
    award_ids = list(event.award_ids)
    provider_ids = spread(event.provider_ids, count)
    slots = list(map(state.slots.__getitem__, zip(provider_ids, event.slot_ids, strict=True)))
    market.offers.remove_all(slots)
    for slot, award_id, bidder_id in zip(slots, award_ids, event.bidder_ids, strict=True):
        slot.status = "awarded"
        slot.award_id = award_id
        slot.winner_id = bidder_id
    leases_until_us = spread(event.leases_until_us, count)
    awards = list(
        map(
            Award,
            award_ids,
            repeat(event.market_id),
            event.slot_ids,
            event.bid_ids,
            event.bidder_ids,
            event.task_ids,
            spread(event.prices_tokens, count),
            provider_ids,
            leases_until_us,
        )
    )
    market.tasks_awarded.update(zip(map(market.task_of, bids), award_ids, strict=True))
    state.awards.update(zip(award_ids, awards, strict=True))
    state.awards_by_bid.update(zip(event.bid_ids, awards, strict=True))
    state.awards_granted = award_ids[-1]
    state.award_leases.add_all(leases_until_us, award_ids)


def _round_cleared(state: State, event: RoundCleared) -> None:
    market = state.markets[event.market_id]
    market.rounds_called = event.round_no
    if market.round_bids:
        state.unreleased_losers[event.market_id, event.round_no] = LosingRound(state.at_us, market.round_bids)
        market.round_bids = Book()


def _award_settled(state: State, event: AwardSettled) -> None:
    if event.reward_tokens:
        # By the award, as rows of rules 1 name no market.
        market = state.markets[state.awards[event.award_id].market_id]
        market.note_reward(state.at_us // limits.REWARD_DAY_US, event.bidder_id, event.reward_tokens)
    _award_ended(state, event.award_id, "settled")


def _award_ended(state: State, award_id: AwardId, status: SlotStatus) -> None:
    award = state.awards.pop(award_id)
    del state.awards_by_bid[award.bid_id]
    state.award_leases.discard(award.lease_until_us, award_id)
    market = state.markets[award.market_id]
    del market.tasks_awarded[market.task_key(award.bidder_id, award.task_id)]
    state.ledger.release(award.bidder_id, award.price_tokens)
    _end_slot(state, (award.provider_id, award.slot_id), status)


def _transfer_posted(state: State, event: TransferPosted) -> None:
    ledger = state.ledger
    ledger.post(event.debit_account_id, event.credit_account_id, event.amount_tokens)
    assert ledger.transfers_posted == event.transfer_id, event
    assert ledger.accounts[event.debit_account_id].balance_tokens == event.debit_balance_tokens, event
    assert ledger.accounts[event.credit_account_id].balance_tokens == event.credit_balance_tokens, event
    if is_earning(event.reason) and event.credit_account_id != ISSUANCE:
        ledger.earnings.put(earning_of(event.credit_account_id, event.reason, event.reference_type, event.reference_id))


def _slot_offered(state: State, event: SlotOffered) -> None:
    market = state.markets[event.market_id]
    # The id of an ended slot starts anew: a new offer has no award yet.
    key = event.provider_id, event.slot_id
    state.slots_ended.pop(key, None)
    slot = Slot(
        slot_id=event.slot_id,
        market_id=event.market_id,
        status="offered",
        offer_seq=event.offer_seq,
        available_at_us=event.available_at_us,
        reserve_price_tokens=event.reserve_price_tokens,
        provider_id=event.provider_id,
        lease_us=event.lease_us,
        award_id=NO_AWARD,
        winner_id="",
    )
    state.slots[key] = slot
    market.offers.add(slot)
    market.add_slot(event.provider_id)


def _slot_withdrawn(state: State, event: SlotWithdrawn) -> None:
    key = (event.provider_id, event.slot_id) if event.provider_id else _only_offer(state, event.slot_id)
    slot = state.slots[key]
    state.markets[slot.market_id].offers.remove(slot)
    _end_slot(state, key, "withdrawn")


def _only_offer(state: State, slot_id: str) -> SlotKey:
    """The slot that a row of rules 1 or 2 means: one live slot of a shard had an id then. O(offered)."""
    offered = (slot for market in state.markets.values() for slot in market.offers.unordered())
    return next(slot.key for slot in offered if slot.slot_id == slot_id)


def _end_slot(state: State, key: SlotKey, status: SlotStatus) -> None:
    """Set a last status, and forget the slot that ended longest ago beyond the bound."""
    slot = state.slots[key]
    slot.status = status
    state.markets[slot.market_id].end_slot(slot.provider_id)
    state.slots_ended[key] = None
    while len(state.slots_ended) > limits.SLOTS_ENDED_KEPT:
        oldest, _ = state.slots_ended.popitem(last=False)
        del state.slots[oldest]


def _hold_placed(state: State, event: HoldPlaced) -> None:
    state.ledger.hold(event.account_id, event.amount_tokens)
    state.holds.add(
        NamedHold(
            hold_id=event.hold_id,
            placed_seq=event.placed_seq,
            account_id=event.account_id,
            placed_by=event.placed_by,
            amount_tokens=event.amount_tokens,
            reason=event.reason,
            reference_type=event.reference_type,
            reference_id=event.reference_id,
            expires_at_us=event.expires_at_us,
            memo=event.memo,
            status="open",
        )
    )


def _hold_ended(state: State, key: HoldKey, status: HoldStatus) -> None:
    hold = state.holds.end(key, status)
    state.ledger.release(hold.account_id, hold.amount_tokens)
