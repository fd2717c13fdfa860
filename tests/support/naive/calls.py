"""The call of a market (CLR), naively: every list is built whole, from the whole book."""

from collections.abc import Iterator
from dataclasses import dataclass

from callmarket.engine import limits
from callmarket.engine.commands import OPERATOR, ClearRound
from callmarket.engine.events import AwardGranted, AwardsGranted, BidsExpired, BidsLost, RoundCleared
from callmarket.engine.reject import Reject
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
    live = live_bids(shard, market, book)
    eligible = eligible_bids(shard, market, live)
    sold = matched([bid.price for bid in eligible], [slot.reserve for slot in slots])
    call = Call(shard, market, live, eligible[:sold], eligible[sold:], [slot.reserve for slot in slots])
    runner_up = eligible[sold] if sold < len(eligible) else None
    sales = zip(call.winners, slots[:sold], prices_paid(call), strict=True)
    awards = [grant(shard, market, bid, slot, price, runner_up) for bid, slot, price in sales]
    if awards:
        shard.say(together(awards))
    losers, remaining = lose(shard, market, book)
    shard.say(
        RoundCleared(
            market_id=command.market_id,
            round_no=market.rounds,
            slots_available=len(slots),
            bids_open=len(book),
            awards_granted=sold,
            clearing_price_tokens=one_price(call),
            best_rejected_bid_id=runner_up.bid_id if runner_up else None,
            bids_visited=visits_needed(call, book),
            losers_remaining=remaining,
            next_reserve_tokens=slots[sold].reserve if sold < len(slots) else None,
        )
    )
    release_losers(shard, losers)


@dataclass(frozen=True)
class Call:
    """What the prices of a call depend on: `live` are all bids that could win if there were no others."""

    shard: Shard
    market: Market
    live: list[Bid]
    winners: list[Bid]
    rejected: list[Bid]
    # Of all slots, cheapest first.
    reserves: list[int]

    def task(self, bid: Bid) -> tuple[str, ...]:
        """Return what the bid has in common with those for the same task."""
        return self.shard.task_of(bid.market_id, bid.bidder, bid.task)

    def capped(self, bidder: str, bids: list[Bid]) -> bool:
        """CLR-2: whether a bidder that has these bids has all awards that the market allows."""
        cap = self.market.rules.awards_per_bidder_max
        return cap > 0 and sum(bid.bidder == bidder for bid in bids) >= cap


def supply_slots(shard: Shard, market_id: str) -> list[Slot]:
    """CLR-1."""
    offered = [slot for slot in shard.slots.values() if slot.market_id == market_id and slot.status == "offered"]
    ready = [slot for slot in offered if slot.available_at <= shard.now]
    return sorted(ready, key=lambda slot: (slot.reserve, slot.available_at, slot.offer_seq))


def live_bids(shard: Shard, market: Market, book: list[Bid]) -> list[Bid]:
    """CLR-2: the bids of the book that are not past their deadline, and whose task has no award."""
    awarded = shard.awarded_tasks(market.rules.market_id)
    return [
        bid
        for bid in book
        if not bid.past_deadline(shard.now) and shard.task_of(bid.market_id, bid.bidder, bid.task) not in awarded
    ]


def eligible_bids(shard: Shard, market: Market, live: list[Bid]) -> list[Bid]:
    """CLR-2: over the whole book."""
    eligible: list[Bid] = []
    call = Call(shard, market, live, [], [], [])
    for bid in live:
        if call.task(bid) not in map(call.task, eligible) and not call.capped(bid.bidder, eligible):
            eligible.append(bid)
    return eligible


def one_price(call: Call) -> int | None:
    """CLR-4, CLR-5: the price of the round, where there is one."""
    rule, sold = call.market.rules.pricing_rule, len(call.winners)
    if not sold or rule not in ("first_rejected", "last_accepted"):
        return None
    if rule == "first_rejected":
        return max([bid.price for bid in call.rejected[:1]] + call.reserves[:sold])
    return min([call.winners[-1].price, *call.reserves[sold : sold + 1]])


def prices_paid(call: Call) -> list[int]:
    """CLR-4, CLR-5: what each winner pays."""
    price = one_price(call)
    if price is not None:
        return [max([price] + [rival.price for rival in rivals_of(call, bid)]) for bid in call.winners]
    if call.market.rules.pricing_rule == "pay_as_bid":
        return [bid.price for bid in call.winners]
    return [vickrey_price(call, bid) for bid in call.winners]


def rivals_of(call: Call, winner: Bid) -> list[Bid]:
    """CLR-4: the bids for a winner's task that it alone stood before."""
    eligible = call.winners + call.rejected
    return [
        bid
        for place, bid in enumerate(call.live)
        if bid is not winner
        and call.task(bid) == call.task(winner)
        and not call.capped(bid.bidder, [other for other in call.live[:place] if other in eligible])
    ]


def grant(shard: Shard, market: Market, bid: Bid, slot: Slot, price: int, runner_up: Bid | None) -> AwardGranted:
    """CLR-6, CLR-8: the hold shrinks to the price."""
    shard.awards_ever += 1
    award = Award(shard.awards_ever, bid, price, shard.now + slot.lease)
    bid.status, bid.hold = "won", price
    slot.status, slot.award = "awarded", award
    return AwardGranted(
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


def together(awards: list[AwardGranted]) -> AwardsGranted:
    """Return all awards of a call as the one event that says them."""
    prices = [award.price_tokens for award in awards]
    providers = [award.provider_id for award in awards]
    leases = [award.lease_until_us for award in awards]
    return AwardsGranted(
        market_id=awards[0].market_id,
        round_no=awards[0].round_no,
        first_award_id=awards[0].award_id,
        runner_up_task_id=awards[0].runner_up_task_id,
        slot_started_at_us=awards[0].slot_started_at_us,
        slot_ids=tuple(award.slot_id for award in awards),
        bid_ids=tuple(award.bid_id for award in awards),
        bidder_ids=tuple(award.bidder_id for award in awards),
        task_ids=tuple(award.task_id for award in awards),
        premiums_tokens=tuple(award.premium_tokens for award in awards),
        prices_tokens=tuple(prices if len(set(prices)) > 1 else prices[:1]),
        provider_ids=tuple(providers if len(set(providers)) > 1 else providers[:1]),
        leases_until_us=tuple(leases if len(set(leases)) > 1 else leases[:1]),
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


def vickrey_price(call: Call, bid: Bid) -> int:
    """CLR-5, word by word."""
    own = [winner for winner in call.winners if winner.bidder == bid.bidder]
    displaced = [other.price for other in displaced_by(call, bid.bidder)]
    q, w, i = len(call.winners), len(own), own.index(bid) + 1
    ith_displaced = displaced[i - 1] if i <= len(displaced) else 0
    return max(ith_displaced, call.reserves[q - w + i - 1])


def displaced_by(call: Call, bidder: str) -> list[Bid]:
    """CLR-5: the bids of others that could have a bidder's slots beside what the others win, best first."""
    have = [winner for winner in call.winners if winner.bidder != bidder]
    slots = len(call.winners) - len(have)
    displaced: list[Bid] = []
    for bid in call.live:
        if bid.bidder == bidder or bid in have or len(displaced) == slots:
            continue
        if call.task(bid) not in map(call.task, have + displaced) and not call.capped(bid.bidder, have + displaced):
            displaced.append(bid)
    return displaced


def visits_needed(call: Call, book: list[Bid]) -> int:
    """CLR-9: how far down the book a call has to look for its winners, the runner-up, and the bids that set prices."""
    if not call.rejected:
        return len(book)
    last = [book.index(call.rejected[0])]
    for bidder in {bid.bidder for bid in call.winners} if call.market.rules.pricing_rule == "vickrey" else ():
        displaced = displaced_by(call, bidder)
        enough = len(displaced) == sum(bid.bidder == bidder for bid in call.winners)
        last.append(book.index(displaced[-1]) if enough else len(book) - 1)
    return max(last) + 1
