"""What happens to awards after the call (SET), and the sweep of all that is due (SET-6), naively."""

from collections.abc import Iterator
from itertools import groupby

from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, OPERATOR, ExpireDue, SettleAward, VoidAward
from callmarket.engine.events import AwardLapsed, AwardSettled, AwardVoided, BidsExpired, SlotStatus, SweepFinished
from callmarket.engine.reject import Reject
from tests.support.naive.calls import release_losers, released
from tests.support.naive.capital import settlement
from tests.support.naive.holds import expire_holds
from tests.support.naive.shard import SLOT_ENDS, Award, Market, Shard, Slot, permit
from tests.support.naive.slots import pays_rewards


def refuse_award_end(shard: Shard, slot: Slot, award_id: int | None) -> Iterator[Reject]:
    """SLT-3, SET-5, LED-6: what settling and voiding have in common."""
    latest = slot.award.award_id if slot.award is not None else None
    if award_id is not None and award_id != latest:
        yield Reject.AWARD_STALE
    if slot.status == "offered":
        yield Reject.SLOT_NOT_AWARDED
    if slot.status in SLOT_ENDS:
        yield SLOT_ENDS[slot.status]
    if slot.status == "awarded" and slot.award is not None and slot.award.lease_until <= shard.now:
        yield Reject.LEASE_EXPIRED


def refuse_settle_award(shard: Shard, command: SettleAward, actor: str) -> Iterator[Reject]:
    """SET-1, SET-5."""
    slot = shard.find_slot(command.provider_id, command.slot_id)
    if slot is None:
        yield Reject.SLOT_UNKNOWN
        return
    bidder = slot.award.bid.bidder if slot.award is not None else ADMIN
    yield from permit(actor, bidder, slot.provider, OPERATOR)
    if slot.award is not None and actor == bidder and pays_rewards(shard.markets[slot.market_id].rules):
        yield Reject.NOT_PERMITTED
    yield from refuse_award_end(shard, slot, command.award_id)


def settle_award(shard: Shard, command: SettleAward) -> None:
    """SET-1 to SET-3."""
    slot, award = end_award(shard, (command.provider_id, command.slot_id), "settled")
    market = shard.markets[slot.market_id]
    reward = reward_for_impact(shard, market, slot, award, command.actual_impact_micros)
    shard.say(
        AwardSettled(
            award_id=award.award_id,
            slot_id=slot.slot_id,
            bid_id=award.bid.bid_id,
            bidder_id=award.bid.bidder,
            price_tokens=award.price,
            actual_cost_tokens=command.actual_cost_tokens,
            actual_impact_micros=command.actual_impact_micros,
            reward_tokens=reward,
            market_id=slot.market_id,
            provider_id=slot.provider,
        )
    )
    capture(shard, slot, award, award.price, "settle:slot")
    if reward > 0:
        market.rewards.append((shard.now, award.bid.bidder, reward))
        payer = market.rules.reward_account_id
        shard.post(payer, award.bid.bidder, reward, "reward:impact", ("award", str(award.award_id)))


def capture(shard: Shard, slot: Slot, award: Award, amount: int, reason: str) -> None:
    """SET-1: bidder to provider; nothing, and a payment to itself, is no transfer."""
    if amount > 0 and slot.provider != award.bid.bidder:
        shard.post(award.bid.bidder, slot.provider, amount, reason, ("award", str(award.award_id)))


def reward_for_impact(shard: Shard, market: Market, slot: Slot, award: Award, impact_micros: int) -> int:
    """SET-3: impact is in millionths; the division rounds down. The price has been paid before."""
    rules, bidder = market.rules, award.bid.bidder
    if not pays_rewards(rules) or rules.reward_account_id == bidder:
        return 0
    whole = impact_micros * rules.reward_tokens_per_impact // 1_000_000
    day_us = limits.REWARD_DAY_US
    today = shard.now // day_us
    had = sum(tokens for at, who, tokens in market.rewards if who == bidder and at // day_us == today)
    price = award.price if slot.provider == rules.reward_account_id else 0
    room = shard.available(rules.reward_account_id) + price
    return min(whole, rules.reward_cap_tokens, rules.reward_day_cap_tokens - had, room)


def end_award(shard: Shard, name: tuple[str, str], status: SlotStatus) -> tuple[Slot, Award]:
    """LED-6: slot, award and bid end together, and with the bid its hold."""
    slot = shard.slots[name]
    award = slot.award
    assert award is not None
    shard.end_slot(slot, status)
    del shard.bids[award.bid.bid_id]
    return slot, award


def refuse_void_award(shard: Shard, command: VoidAward, actor: str) -> Iterator[Reject]:
    """SET-4, SET-5."""
    slot = shard.find_slot(command.provider_id, command.slot_id)
    if slot is None:
        yield Reject.SLOT_UNKNOWN
        return
    yield from permit(actor, slot.provider, OPERATOR)
    yield from refuse_award_end(shard, slot, command.award_id)


def void_award(shard: Shard, command: VoidAward) -> None:
    """SET-4."""
    slot, award = end_award(shard, (command.provider_id, command.slot_id), "voided")
    bid = award.bid
    whose = slot.market_id, slot.provider
    shard.say(AwardVoided(award.award_id, slot.slot_id, bid.bid_id, bid.bidder, bid.hold, *whose))


def refuse_expire_due(shard: Shard, command: ExpireDue, actor: str) -> Iterator[Reject]:
    """Run by the operator."""
    yield from permit(actor, OPERATOR)


def expire_due(shard: Shard, command: ExpireDue) -> None:
    """SET-6: losers, awards, bids, named holds, then what is due of artifact markets, SWEEP_ITEMS_MAX in all."""
    budget = limits.SWEEP_ITEMS_MAX
    losers = shard.losers_due()[:budget]
    awards = shard.awards_due()[: budget - len(losers)]
    bids = shard.bids_due()[: budget - len(losers) - len(awards)]
    holds = shard.holds_due()[: budget - len(losers) - len(awards) - len(bids)]
    lost = sum(bid.status == "lost" for bid in losers)
    for _, round_losers in groupby(losers, key=lambda bid: bid.lost_seq):
        release_losers(shard, list(round_losers))
    for name in awards:
        lapse(shard, name)
    for bid in bids:
        del shard.bids[bid.bid_id]
    if bids:
        shard.say(BidsExpired(*released(bids)))
    expire_holds(shard, holds)
    orders, positions = settlement.sweep(shard, budget - len(losers) - len(awards) - len(bids) - len(holds))
    settlement.finish_sweep(shard)
    more_due = bool(shard.losers_due() or shard.awards_due() or shard.bids_due() or shard.holds_due())
    more_due = more_due or settlement.is_due(shard)
    expired = len(losers) - lost + len(bids)
    shard.say(SweepFinished(lost, expired, len(awards), more_due, len(holds), orders, positions))


def lapse(shard: Shard, name: tuple[str, str]) -> None:
    """SET-5."""
    slot, award = end_award(shard, name, "lapsed")
    charged = award.price if shard.markets[slot.market_id].rules.lapse_policy == "charge" else 0
    bid = award.bid
    whose = slot.market_id, slot.provider
    shard.say(AwardLapsed(award.award_id, slot.slot_id, bid.bid_id, bid.bidder, award.price, charged, *whose))
    capture(shard, slot, award, charged, "lapse:slot")
