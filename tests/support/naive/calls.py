"""The call of a market (CLR), naively: every list is built whole, from the whole book."""

from collections.abc import Iterator

from engine import limits
from engine.commands import OPERATOR, ClearRound
from engine.events import AwardGranted, BidsExpired, BidsLost, RoundCleared
from engine.reject import Reject
from tests.support.naive.shard import Award, Bid, Market, Shard, Slot, permit


def refuse_clear_round(shard: Shard, command: ClearRound, actor: str) -> Iterator[Reject]:
    """Run by the operator."""
    if command.market_id not in shard.markets:
        yield Reject.MARKET_UNKNOWN
    yield from permit(actor, OPERATOR)


def clear_round(shard: Shard, command: ClearRound) -> None:
    """CLR-1 to CLR-8, then BID-4 for those that did not win."""
    market = shard.markets[command.market_id]
    market.rounds += 1
    slots = supply_slots(shard, command.market_id)
    book = shard.book(command.market_id)
    eligible = eligible_bids(shard, market, book)
    sold = matched([bid.price for bid in eligible], [slot.reserve for slot in slots])
    prices = prices_paid(market.rules.pricing_rule, eligible, slots, sold)
    runner_up = eligible[sold] if sold < len(eligible) else None
    for bid, slot, price in zip(eligible[:sold], slots[:sold], prices, strict=True):
        grant(shard, market, bid, slot, price, runner_up)
    losers, remaining = lose(shard, market, book)
    one_price = market.rules.pricing_rule in ("first_rejected", "last_accepted") and sold > 0
    shard.say(
        RoundCleared(
            market_id=command.market_id,
            round_no=market.rounds,
            slots_available=len(slots),
            bids_open=len(book),
            awards_granted=sold,
            clearing_price_tokens=prices[0] if one_price else None,
            best_rejected_bid_id=runner_up.bid_id if runner_up else None,
            bids_visited=visits_needed(market.rules.pricing_rule, book, eligible, sold),
            losers_remaining=remaining,
        )
    )
    release_losers(shard, losers)


def supply_slots(shard: Shard, market_id: str) -> list[Slot]:
    """CLR-1."""
    offered = [slot for slot in shard.slots.values() if slot.market_id == market_id and slot.status == "offered"]
    ready = [slot for slot in offered if slot.available_at <= shard.now]
    return sorted(ready, key=lambda slot: (slot.reserve, slot.available_at, slot.offer_seq))


def eligible_bids(shard: Shard, market: Market, book: list[Bid]) -> list[Bid]:
    """CLR-2: over the whole book."""
    cap = market.rules.awards_per_bidder_max
    used_tasks = shard.awarded_tasks(market.rules.market_id)
    taken: dict[str, int] = {}
    eligible = []
    for bid in book:
        capped = cap > 0 and taken.get(bid.bidder, 0) >= cap
        if bid.past_deadline(shard.now) or bid.task in used_tasks or capped:
            continue
        used_tasks.add(bid.task)
        taken[bid.bidder] = taken.get(bid.bidder, 0) + 1
        eligible.append(bid)
    return eligible


def prices_paid(rule: str, eligible: list[Bid], slots: list[Slot], sold: int) -> list[int]:
    """CLR-4, CLR-5: what each of the `sold` best bids pays."""
    winners, rejected_bids = eligible[:sold], eligible[sold:]
    if not winners:
        return []
    if rule == "first_rejected":
        best_rejected = rejected_bids[0].price if rejected_bids else 0
        return [max(best_rejected, *(slot.reserve for slot in slots[:sold]))] * sold
    if rule == "last_accepted":
        return [winners[-1].price] * sold
    if rule == "pay_as_bid":
        return [bid.price for bid in winners]
    assert rule == "vickrey"
    return [vickrey_price(bid, winners, rejected_bids, [slot.reserve for slot in slots[:sold]]) for bid in winners]


def grant(shard: Shard, market: Market, bid: Bid, slot: Slot, price: int, runner_up: Bid | None) -> None:
    """CLR-6, CLR-8: the hold shrinks to the price."""
    shard.awards_ever += 1
    award = Award(shard.awards_ever, bid, price, shard.now + slot.lease)
    bid.status, bid.hold = "won", price
    slot.status, slot.award = "awarded", award
    shard.say(
        AwardGranted(
            award_id=award.award_id,
            market_id=market.rules.market_id,
            round_no=market.rounds,
            slot_id=slot.slot_id,
            bid_id=bid.bid_id,
            bidder_id=bid.bidder,
            task_id=bid.task,
            runner_up_task_id=runner_up.task if runner_up else None,
            price_tokens=price,
            premium_tokens=bid.price - price,
            provider_id=slot.provider,
            slot_started_at_us=shard.now,
            lease_until_us=award.lease_until,
        )
    )


def lose(shard: Shard, market: Market, book: list[Bid]) -> tuple[list[Bid], int]:
    """BID-4: all losers leave the book. Return those to release now, and how many are left to sweeps."""
    losers = [bid for bid in book if bid.status == "open" and bid.in_force == "round"]
    for place, bid in enumerate(losers):
        bid.status = "expired" if bid.past_deadline(shard.now) else "lost"
        bid.lost_seq, bid.lost_round, bid.lost_place = shard.seq, market.rounds, place
    first = losers[: limits.LOSERS_PER_CALL_MAX]
    return first, len(losers) - len(first)


def release_losers(shard: Shard, losers: list[Bid]) -> None:
    """BID-4: release losers of one round, first those that had expired, then those that lost."""
    expired = [bid for bid in losers if bid.status == "expired"]
    lost = [bid for bid in losers if bid.status == "lost"]
    if expired:
        shard.say(BidsExpired(*released(expired)))
    if lost:
        shard.say(BidsLost(lost[0].market_id, lost[0].lost_round, *released(lost)))
    for bid in losers:
        del shard.bids[bid.bid_id]


def released(bids: list[Bid]) -> tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]:
    """Return ids, bidders and holds, in parallel."""
    return tuple(bid.bid_id for bid in bids), tuple(bid.bidder for bid in bids), tuple(bid.hold for bid in bids)


def matched(bids: list[int], reserves: list[int]) -> int:
    """CLR-3: the largest q such that the q-th bid is at least the q-th reserve, by trying each."""
    pairs = enumerate(zip(bids, reserves, strict=False), 1)
    return max((q for q, (bid, reserve) in pairs if bid >= reserve), default=0)


def vickrey_price(bid: Bid, winners: list[Bid], rejected_bids: list[Bid], reserves: list[int]) -> int:
    """CLR-5, word by word; `reserves` are those of the sold slots, cheapest first."""
    own = [winner for winner in winners if winner.bidder == bid.bidder]
    others = [loser.price for loser in rejected_bids if loser.bidder != bid.bidder]
    q, w, i = len(winners), len(own), own.index(bid) + 1
    ith_best_of_others = others[i - 1] if i <= len(others) else 0
    return max(ith_best_of_others, reserves[q - w + i - 1])


def visits_needed(rule: str, book: list[Bid], eligible: list[Bid], sold: int) -> int:
    """CLR-9: how far down the book a call has to look for its winners, the runner-up, and the bids that set prices."""
    last_needed = [sold]
    for bid in eligible[:sold] if rule == "vickrey" else ():
        slots = sum(winner.bidder == bid.bidder for winner in eligible[:sold])
        others = [place for place in range(sold, len(eligible)) if eligible[place].bidder != bid.bidder]
        last_needed.append(others[slots - 1] if slots <= len(others) else len(eligible))
    last = max(last_needed)
    return book.index(eligible[last]) + 1 if last < len(eligible) else len(book)
