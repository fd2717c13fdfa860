"""Bids placed, amended and cancelled (BID), naively."""

from collections.abc import Iterator

from callmarket.engine import limits
from callmarket.engine.commands import AmendBid, CancelBid, PlaceBid
from callmarket.engine.events import BidAmended, BidCancelled, BidPlaced
from callmarket.engine.reject import Reject
from tests.support.naive.shard import Bid, Shard, permit


def refuse_place_bid(shard: Shard, command: PlaceBid, actor: str) -> Iterator[Reject]:
    """BID-1, BID-3 to BID-6, BID-9."""
    market_id, bidder = command.market_id, command.bidder_id
    if market_id not in shard.markets:
        yield Reject.MARKET_UNKNOWN
    if bidder not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
        return
    yield from permit(actor, bidder)
    if shard.accounts[bidder].kind not in ("agent", "quest"):
        yield Reject.ACCOUNT_KIND
    if command.time_in_force == "gtd" and command.ttl_at_us is None:
        yield Reject.TTL_MISSING
    if command.ttl_at_us is not None and command.ttl_at_us <= shard.now:
        yield Reject.TTL_PAST
    if market_id in shard.markets and _task_is_awarded(shard, command):
        yield Reject.TASK_AWARDED
    if any(shard.can_win(bid) for bid in shard.bids_for_task(market_id, bidder, command.task_id)):
        yield Reject.TASK_BID_OPEN
    unwon = [bid for bid in shard.bids.values() if bid.market_id == market_id and bid.status != "won"]
    # A bid for the same task gives up its place to this one, so it does not count against it.
    others = [bid for bid in unwon if bid.bidder == bidder and bid.task != command.task_id and not bid.replaced]
    if len(others) >= limits.BIDS_PER_BIDDER_MAX:
        yield Reject.BIDS_PER_BIDDER_FULL
    if len(unwon) >= limits.BIDS_PER_MARKET_MAX:
        yield Reject.BIDS_PER_MARKET_FULL
    if shard.available(bidder) < command.max_price_tokens:
        yield Reject.FUNDS_INSUFFICIENT


def _task_is_awarded(shard: Shard, command: PlaceBid) -> bool:
    task = shard.task_of(command.market_id, command.bidder_id, command.task_id)
    return task in shard.awarded_tasks(command.market_id)


def place_bid(shard: Shard, command: PlaceBid) -> None:
    """BID-1."""
    for bid in shard.bids_for_task(command.market_id, command.bidder_id, command.task_id):
        bid.replaced = True
    shard.bids_ever += 1
    shard.bids[shard.bids_ever] = Bid(
        bid_id=shard.bids_ever,
        market_id=command.market_id,
        bidder=command.bidder_id,
        task=command.task_id,
        price=command.max_price_tokens,
        ttl=command.ttl_at_us,
        in_force=command.time_in_force,
        priority=shard.seq,
        hold=command.max_price_tokens,
    )
    shard.say(
        BidPlaced(
            bid_id=shard.bids_ever,
            market_id=command.market_id,
            bidder_id=command.bidder_id,
            task_id=command.task_id,
            max_price_tokens=command.max_price_tokens,
            expected_value_microusd=command.expected_value_microusd,
            ttl_at_us=command.ttl_at_us,
            time_in_force=command.time_in_force,
            priority_seq=shard.seq,
        )
    )


def refuse_bid_end(shard: Shard, bid_id: int, actor: str) -> Iterator[Reject]:
    """BID-3, BID-4, BID-7, LED-6: what amendments and cancellations have in common."""
    bid = shard.bids.get(bid_id)
    if bid is None:
        yield Reject.BID_CLOSED if 1 <= bid_id <= shard.bids_ever else Reject.BID_UNKNOWN
        return
    yield from permit(actor, bid.bidder)
    if bid.status == "won":
        yield Reject.BID_WON
    elif bid.status == "lost":
        yield Reject.BID_LOST
    elif not shard.can_win(bid):
        yield Reject.BID_EXPIRED


def refuse_amend_bid(shard: Shard, command: AmendBid, actor: str) -> Iterator[Reject]:
    """BID-5."""
    yield from refuse_bid_end(shard, command.bid_id, actor)
    if command.ttl_at_us is not None and command.ttl_at_us <= shard.now:
        yield Reject.TTL_PAST
    if command.max_price_tokens is None and command.ttl_at_us is None:
        yield Reject.AMENDMENT_EMPTY
    bid = shard.bids.get(command.bid_id)
    if bid is not None and (command.max_price_tokens or 0) > shard.available(bid.bidder) + bid.hold:
        yield Reject.FUNDS_INSUFFICIENT


def amend_bid(shard: Shard, command: AmendBid) -> None:
    """BID-5: a price takes a new place in time, a deadline alone keeps it."""
    bid = shard.bids[command.bid_id]
    price_before = bid.price
    if command.max_price_tokens is not None:
        bid.price = bid.hold = command.max_price_tokens
        bid.priority = shard.seq
    if command.ttl_at_us is not None:
        bid.ttl = command.ttl_at_us
    shard.say(BidAmended(bid.bid_id, bid.bidder, price_before, bid.price, bid.ttl, bid.priority, bid.market_id))


def refuse_cancel_bid(shard: Shard, command: CancelBid, actor: str) -> Iterator[Reject]:
    """BID-7."""
    yield from refuse_bid_end(shard, command.bid_id, actor)


def cancel_bid(shard: Shard, command: CancelBid) -> None:
    """LED-6: the hold is released."""
    bid = shard.bids.pop(command.bid_id)
    shard.say(BidCancelled(bid.bid_id, bid.bidder, bid.hold, bid.market_id))
