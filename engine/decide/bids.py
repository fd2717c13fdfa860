"""Demand: placing, amending and cancelling bids.

Rule of this file: what may stand in a book. BID rules.
"""

from collections.abc import Mapping

from callmarket.engine import limits
from callmarket.engine.book import Bid
from callmarket.engine.commands import ADMIN, AmendBid, CancelBid, Entry, PlaceBid
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import BidAmended, BidCancelled, BidPlaced, Events
from callmarket.engine.ids import BidId
from callmarket.engine.reject import Reject
from callmarket.engine.slots import Award
from callmarket.engine.state import State


def place(state: State, entry: Entry, command: PlaceBid) -> Events:
    """Open a bid and hold its price."""
    market = state.markets.get(command.market_id)
    bidder_id, ttl_at_us = command.bidder_id, command.ttl_at_us
    account = state.ledger.accounts.get(bidder_id)
    if market is None:
        return refused(Reject.MARKET_UNKNOWN, "market_id", command.market_id)
    if account is None:
        return refused(Reject.ACCOUNT_UNKNOWN, "bidder_id", bidder_id)
    if entry.actor not in (bidder_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, bidder_id)
    if account.kind not in ("agent", "quest"):
        return refused(Reject.ACCOUNT_KIND, "bidder_id", bidder_id, "agent or quest")
    if ttl_at_us is None and command.time_in_force == "gtd":
        return refused(Reject.TTL_MISSING, "ttl_at_us", "", "a deadline, for a bid that is good till date")
    if ttl_at_us is not None and ttl_at_us <= entry.at_us:
        return refused(Reject.TTL_PAST, "ttl_at_us", ttl_at_us, entry.at_us)
    if market.tasks_awarded and (award_id := market.award_of(bidder_id, command.task_id)):
        return refused(Reject.TASK_AWARDED, "task_id", command.task_id, award_id)
    bids = market.bids_by_bidder.get(bidder_id)
    if bids and (refusal := _refuse_beside(state, bids, entry.at_us, command)):
        return refusal
    if market.bids_held >= limits.BIDS_PER_MARKET_MAX:
        return refused(Reject.BIDS_PER_MARKET_FULL, "market_id", command.market_id, limits.BIDS_PER_MARKET_MAX)
    available_tokens = account.balance_tokens - account.held_tokens
    if command.max_price_tokens > available_tokens:
        return refused(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", command.max_price_tokens, available_tokens)
    return (
        # By position: this is the hot path, and keywords cost it a tenth.
        # The names are those that the market and the account have: one string for all bids, which compares at once.
        BidPlaced(
            BidId(state.bids_placed + 1),
            market.market_id,
            account.account_id,
            command.task_id,
            command.max_price_tokens,
            command.expected_value_microusd,
            ttl_at_us,
            command.time_in_force,
            entry.seq,
        ),
    )


def amend(state: State, entry: Entry, command: AmendBid) -> Events:
    """Change price or deadline of an open bid (BID-5)."""
    bid_id, price, ttl_at_us = command.bid_id, command.max_price_tokens, command.ttl_at_us
    # What its tokens are held for: the bid itself, or the award that it has won.
    bid = state.bids.get(bid_id) or state.awards_by_bid.get(bid_id)
    if bid is None:
        return _refuse_absent(state, bid_id)
    bidder_id = bid.bidder_id
    if entry.actor not in (bidder_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, bidder_id)
    if ttl_at_us is not None and ttl_at_us <= entry.at_us:
        return refused(Reject.TTL_PAST, "ttl_at_us", ttl_at_us, entry.at_us)
    if price is None and ttl_at_us is None:
        return refused(Reject.AMENDMENT_EMPTY, "max_price_tokens", "", "a price or a deadline")
    if type(bid) is Award:
        return refused(Reject.BID_WON, "bid_id", bid_id)
    if end := end_of(state, bid, entry.at_us):
        return refused(end, "bid_id", bid_id)
    available_tokens = state.ledger.accounts[bidder_id].available_tokens + bid.max_price_tokens
    if price is not None and price > available_tokens:
        return refused(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", price, available_tokens)
    return (
        BidAmended(
            bid_id=bid_id,
            bidder_id=bidder_id,
            max_price_tokens_before=bid.max_price_tokens,
            max_price_tokens=bid.max_price_tokens if price is None else price,
            ttl_at_us=bid.ttl_at_us if ttl_at_us is None else ttl_at_us,
            priority_seq=bid.priority_seq if price is None else entry.seq,
            market_id=bid.market_id,
        ),
    )


def cancel(state: State, entry: Entry, command: CancelBid) -> Events:
    """Take back an open bid (BID-7)."""
    bid_id = command.bid_id
    bid = state.bids.get(bid_id) or state.awards_by_bid.get(bid_id)
    if bid is None:
        return _refuse_absent(state, bid_id)
    bidder_id = bid.bidder_id
    if entry.actor not in (bidder_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, bidder_id)
    if type(bid) is Award:
        return refused(Reject.BID_WON, "bid_id", bid_id)
    if end := end_of(state, bid, entry.at_us):
        return refused(end, "bid_id", bid_id)
    return (BidCancelled(bid.bid_id, bidder_id, bid.max_price_tokens, bid.market_id),)


def _refuse_beside(state: State, bids: Mapping[str, Bid], now_us: int, command: PlaceBid) -> Events | None:
    """The refusal that a bidder's other bids in the market are a reason for (BID-5, BID-9)."""
    earlier = bids.get(command.task_id)
    if earlier is None:
        if len(bids) >= limits.BIDS_PER_BIDDER_MAX:
            return refused(Reject.BIDS_PER_BIDDER_FULL, "bidder_id", command.bidder_id, limits.BIDS_PER_BIDDER_MAX)
    elif end_of(state, earlier, now_us) is None:
        return refused(Reject.TASK_BID_OPEN, "task_id", command.task_id, earlier.bid_id)
    return None


def end_of(state: State, bid: Bid, now_us: int) -> Reject | None:
    """How a bid that still has its hold has ended, or None while it is open: what came first counts (BID-3, BID-4)."""
    lost = bid.time_in_force == "round" and state.markets[bid.market_id].lost_round(bid)
    last_us = state.unreleased_losers[bid.market_id, bid.round_no].called_at_us if lost else now_us
    if bid.ttl_at_us is not None and bid.ttl_at_us <= last_us:
        return Reject.BID_EXPIRED
    return Reject.BID_LOST if lost else None


def _refuse_absent(state: State, bid_id: BidId) -> Events:
    reason = Reject.BID_CLOSED if bid_id <= state.bids_placed else Reject.BID_UNKNOWN
    return refused(reason, "bid_id", bid_id, state.bids_placed)
