"""Markets and the slots offered in them (SLT), naively."""

from collections.abc import Iterator

from callmarket.engine import limits
from callmarket.engine.commands import NO_PARTIES, OPERATOR, TREASURY, OfferSlot, OpenMarket, WithdrawSlot
from callmarket.engine.events import MarketOpened, SlotOffered, SlotWithdrawn
from callmarket.engine.reject import Reject
from tests.support.naive.shard import SLOT_ENDS, Market, Shard, Slot, permit


def refuse_open_market(shard: Shard, command: OpenMarket, actor: str) -> Iterator[Reject]:
    """Run by the operator; by the admin alone if it spends an account's tokens (SET-3)."""
    if command.reward_account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    yield from permit(actor, *([] if pays_rewards(command) else [OPERATOR]))
    if command.market_id in shard.markets:
        yield Reject.MARKET_EXISTS
    if command.reward_account_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    if len(shard.markets) >= limits.MARKETS_MAX:
        yield Reject.MARKETS_FULL


def pays_rewards(command: OpenMarket) -> bool:
    """SET-3: off while any of the three numbers is 0."""
    numbers = command.reward_tokens_per_impact, command.reward_cap_tokens, command.reward_day_cap_tokens
    return 0 not in numbers


def open_market(shard: Shard, command: OpenMarket) -> None:
    """Its rules stay as they are."""
    shard.markets[command.market_id] = Market(command)
    shard.say(MarketOpened(*(getattr(command, name) for name in command.__struct_fields__)))


def refuse_offer_slot(shard: Shard, command: OfferSlot, actor: str) -> Iterator[Reject]:
    """SLT-1, SLT-2, LED-3."""
    if command.market_id not in shard.markets:
        yield Reject.MARKET_UNKNOWN
    if command.provider_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    yield from permit(actor, command.provider_id, OPERATOR)
    if (command.provider_id, command.slot_id) in shard.slots:
        yield Reject.SLOT_EXISTS
    if command.provider_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    of_provider = shard.count_slots_of(command.market_id, command.provider_id)
    if command.provider_id != TREASURY and of_provider >= limits.SLOTS_PER_PROVIDER_MAX:
        yield Reject.SLOTS_PER_PROVIDER_FULL
    if shard.count_slots(command.market_id) >= limits.SLOTS_LIVE_PER_MARKET_MAX:
        yield Reject.SLOTS_FULL


def offer_slot(shard: Shard, command: OfferSlot) -> None:
    """SLT-1: what is not named comes from the market. SLT-2: the id of an ended slot lives again."""
    rules = shard.markets[command.market_id].rules
    reserve = rules.reserve_price_tokens if command.reserve_price_tokens is None else command.reserve_price_tokens
    lease = rules.lease_us if command.lease_us is None else command.lease_us
    name = command.provider_id, command.slot_id
    shard.slots_ended.pop(name, None)
    shard.slots[name] = Slot(
        slot_id=command.slot_id,
        market_id=command.market_id,
        offer_seq=shard.seq,
        available_at=command.available_at_us,
        reserve=reserve,
        provider=command.provider_id,
        lease=lease,
    )
    shard.say(
        SlotOffered(
            market_id=command.market_id,
            slot_id=command.slot_id,
            offer_seq=shard.seq,
            available_at_us=command.available_at_us,
            reserve_price_tokens=reserve,
            provider_id=command.provider_id,
            lease_us=lease,
        )
    )


def refuse_withdraw_slot(shard: Shard, command: WithdrawSlot, actor: str) -> Iterator[Reject]:
    """SLT-2."""
    slot = shard.find_slot(command.provider_id, command.slot_id)
    if slot is None:
        yield Reject.SLOT_UNKNOWN
        return
    yield from permit(actor, slot.provider, OPERATOR)
    if slot.status == "awarded":
        yield Reject.SLOT_AWARDED
    if slot.status in SLOT_ENDS:
        yield SLOT_ENDS[slot.status]


def withdraw_slot(shard: Shard, command: WithdrawSlot) -> None:
    """SLT-2."""
    slot = shard.slots[command.provider_id, command.slot_id]
    shard.end_slot(slot, "withdrawn")
    shard.say(SlotWithdrawn(command.slot_id, slot.market_id, command.provider_id))
