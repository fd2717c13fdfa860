"""Supply: markets and the slots offered in them.

Rule of this file: what may be sold, before anyone buys it. SLT rules.
"""

from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, NO_PARTIES, OPERATOR, TREASURY, Entry, OfferSlot, OpenMarket, WithdrawSlot
from callmarket.engine.decide.accounts import ACCOUNT_KINDS
from callmarket.engine.decide.refusals import is_staff, refused
from callmarket.engine.events import Events, MarketOpened, SlotOffered, SlotWithdrawn
from callmarket.engine.reject import Reject
from callmarket.engine.slots import Slot
from callmarket.engine.state import State

ENDED_AS = {
    "offered": Reject.SLOT_NOT_AWARDED,
    "awarded": Reject.SLOT_AWARDED,
    "settled": Reject.SLOT_SETTLED,
    "voided": Reject.SLOT_VOIDED,
    "lapsed": Reject.SLOT_LAPSED,
    "withdrawn": Reject.SLOT_WITHDRAWN,
}
"""The refusal for a slot that is in this status when the command needs another."""


def open_market(state: State, entry: Entry, command: OpenMarket) -> Events:
    """Open a market with its rules."""
    market_id = command.market_id
    opened = MarketOpened(
        market_id=market_id,
        pricing_rule=command.pricing_rule,
        reserve_price_tokens=command.reserve_price_tokens,
        awards_per_bidder_max=command.awards_per_bidder_max,
        lease_us=command.lease_us,
        lapse_policy=command.lapse_policy,
        reward_tokens_per_impact=command.reward_tokens_per_impact,
        reward_cap_tokens=command.reward_cap_tokens,
        task_scope=command.task_scope,
        reward_account_id=command.reward_account_id,
        reward_day_cap_tokens=command.reward_day_cap_tokens,
    )
    if command.reward_account_id not in state.ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "reward_account_id", command.reward_account_id)
    if not is_staff(entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    # It spends the tokens of another account, and the operator has no right to those.
    if opened.pays_for_impact and entry.actor != ADMIN:
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, ADMIN)
    if market_id in state.markets:
        return refused(Reject.MARKET_EXISTS, "market_id", market_id)
    if command.reward_account_id in NO_PARTIES:
        return refused(Reject.ACCOUNT_KIND, "reward_account_id", command.reward_account_id, ACCOUNT_KINDS)
    if len(state.markets) >= limits.MARKETS_MAX:
        return refused(Reject.MARKETS_FULL, "market_id", market_id, limits.MARKETS_MAX)
    return (opened,)


def offer(state: State, entry: Entry, command: OfferSlot) -> Events:
    """Put a slot on sale, with the market's defaults for what is not named (SLT-1)."""
    market = state.markets.get(command.market_id)
    slot = state.slots.get((command.provider_id, command.slot_id))
    if market is None:
        return refused(Reject.MARKET_UNKNOWN, "market_id", command.market_id)
    if command.provider_id not in state.ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "provider_id", command.provider_id)
    if not may_supply(entry.actor, command.provider_id):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, command.provider_id)
    if slot is not None and slot.status in ("offered", "awarded"):
        return refused(Reject.SLOT_EXISTS, "slot_id", command.slot_id, slot.status)
    if command.provider_id in NO_PARTIES:
        return refused(Reject.ACCOUNT_KIND, "provider_id", command.provider_id, ACCOUNT_KINDS)
    of_provider = market.slots_by_provider.get(command.provider_id, 0)
    if of_provider >= limits.SLOTS_PER_PROVIDER_MAX and command.provider_id != TREASURY:
        bound = limits.SLOTS_PER_PROVIDER_MAX
        return refused(Reject.SLOTS_PER_PROVIDER_FULL, "provider_id", command.provider_id, bound)
    if market.slots_live >= limits.SLOTS_LIVE_PER_MARKET_MAX:
        return refused(Reject.SLOTS_FULL, "slot_id", command.slot_id, limits.SLOTS_LIVE_PER_MARKET_MAX)
    rules, reserve, lease_us = market.rules, command.reserve_price_tokens, command.lease_us
    return (
        SlotOffered(
            market_id=command.market_id,
            slot_id=command.slot_id,
            offer_seq=entry.seq,
            available_at_us=command.available_at_us,
            reserve_price_tokens=rules.reserve_price_tokens if reserve is None else reserve,
            provider_id=command.provider_id,
            lease_us=rules.lease_us if lease_us is None else lease_us,
        ),
    )


def withdraw(state: State, entry: Entry, command: WithdrawSlot) -> Events:
    """Take an offered slot off sale."""
    slot = state.slots.get((command.provider_id, command.slot_id))
    if slot is None:
        return refused(Reject.SLOT_UNKNOWN, "slot_id", command.slot_id)
    if not may_supply(entry.actor, slot.provider_id):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, slot.provider_id)
    if slot.status != "offered":
        return refused(ENDED_AS[slot.status], "slot_id", slot.slot_id, slot.status)
    return (SlotWithdrawn(slot.slot_id, slot.market_id, slot.provider_id),)


def may_supply(actor: str, provider_id: str) -> bool:
    """Whether the actor may offer, withdraw or void what this provider sells."""
    return actor == provider_id or is_staff(actor)


def may_settle(actor: str, slot: Slot) -> bool:
    """Whether the actor may report the work done in this slot."""
    return actor == slot.winner_id or may_supply(actor, slot.provider_id)
