"""The end of an award: settled, voided or lapsed.

Rule of this file: every end of an award's hold is decided here, once (LED-6). SET rules.
"""

from callmarket.engine import limits, reasons
from callmarket.engine.commands import Entry, SettleAward, VoidAward
from callmarket.engine.decide.refusals import refused
from callmarket.engine.decide.slots import ENDED_AS, may_settle, may_supply
from callmarket.engine.events import AwardLapsed, AwardSettled, AwardVoided, Event, Events, TransferPosted
from callmarket.engine.ids import AwardId
from callmarket.engine.ledger import Ledger
from callmarket.engine.reject import Reject
from callmarket.engine.slots import Award, Slot
from callmarket.engine.state import State

MICROS_PER_UNIT = 1_000_000


def settle(state: State, entry: Entry, command: SettleAward) -> Events:
    """Capture the price, record cost and impact, pay the reward (SET-1 to SET-3)."""
    slot = state.slots.get((command.provider_id, command.slot_id))
    if slot is None:
        return refused(Reject.SLOT_UNKNOWN, "slot_id", command.slot_id)
    if not may_settle(entry.actor, slot):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, slot.winner_id or slot.provider_id)
    rules = state.markets[slot.market_id].rules
    if rules.pays_for_impact and entry.actor == slot.winner_id:
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, slot.provider_id)
    if refusal := _refuse_end(state, entry, slot, command.award_id):
        return refusal
    award = state.awards[slot.award_id]
    reward_tokens = _reward_tokens(state, entry.at_us, award, command.actual_impact_micros)
    settled = AwardSettled(
        award_id=award.award_id,
        slot_id=award.slot_id,
        bid_id=award.bid_id,
        bidder_id=award.bidder_id,
        price_tokens=award.price_tokens,
        actual_cost_tokens=command.actual_cost_tokens,
        actual_impact_micros=command.actual_impact_micros,
        reward_tokens=reward_tokens,
        market_id=award.market_id,
        provider_id=award.provider_id,
    )
    books = _Postings(state.ledger)
    books.post(award.bidder_id, award.provider_id, award.price_tokens, reasons.SETTLE, award.award_id)
    books.post(rules.reward_account_id, award.bidder_id, reward_tokens, reasons.REWARD, award.award_id)
    return (settled, *books.events)


def void(state: State, entry: Entry, command: VoidAward) -> Events:
    """Release the whole hold: the provider failed (SET-4)."""
    slot = state.slots.get((command.provider_id, command.slot_id))
    if slot is None:
        return refused(Reject.SLOT_UNKNOWN, "slot_id", command.slot_id)
    if not may_supply(entry.actor, slot.provider_id):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, slot.provider_id)
    if refusal := _refuse_end(state, entry, slot, command.award_id):
        return refusal
    award = state.awards[slot.award_id]
    return (
        AwardVoided(
            award_id=award.award_id,
            slot_id=award.slot_id,
            bid_id=award.bid_id,
            bidder_id=award.bidder_id,
            released_tokens=award.price_tokens,
            market_id=award.market_id,
            provider_id=award.provider_id,
        ),
    )


def lapsed(state: State, awards: list[Award]) -> list[Event]:
    """The ends of awards past their lease, each by its market's policy (SET-5)."""
    events: list[Event] = []
    books = _Postings(state.ledger)
    for award in awards:
        charged = state.markets[award.market_id].rules.lapse_policy == "charge"
        charged_tokens = award.price_tokens if charged else 0
        events.append(
            AwardLapsed(
                award_id=award.award_id,
                slot_id=award.slot_id,
                bid_id=award.bid_id,
                bidder_id=award.bidder_id,
                price_tokens=award.price_tokens,
                charged_tokens=charged_tokens,
                market_id=award.market_id,
                provider_id=award.provider_id,
            )
        )
        books.post(award.bidder_id, award.provider_id, charged_tokens, reasons.LAPSE, award.award_id)
        events += books.take()
    return events


def _refuse_end(state: State, entry: Entry, slot: Slot, award_id: AwardId | None) -> Events | None:
    if award_id is not None and award_id != slot.award_id:
        return refused(Reject.AWARD_STALE, "award_id", award_id, slot.award_id)
    if slot.status != "awarded":
        return refused(ENDED_AS[slot.status], "slot_id", slot.slot_id, slot.status)
    lease_until_us = state.awards[slot.award_id].lease_until_us
    if entry.at_us >= lease_until_us:
        return refused(Reject.LEASE_EXPIRED, "slot_id", slot.slot_id, lease_until_us)
    return None


def _reward_tokens(state: State, at_us: int, award: Award, impact_micros: int) -> int:
    """Impact times rate, rounded down; at most the caps of an award and a day, and what its account has (SET-3)."""
    market = state.markets[award.market_id]
    rules, payer_id = market.rules, market.rules.reward_account_id
    if not rules.pays_for_impact or payer_id == award.bidder_id:
        return 0
    earned = impact_micros * rules.reward_tokens_per_impact // MICROS_PER_UNIT
    day_left = rules.reward_day_cap_tokens - market.rewarded_on(at_us // limits.REWARD_DAY_US, award.bidder_id)
    # The price has moved by then.
    received = award.price_tokens if award.provider_id == payer_id else 0
    available = state.ledger.accounts[payer_id].available_tokens + received
    return min(earned, rules.reward_cap_tokens, day_left, available)


class _Postings:
    """Transfers that will be posted one after the other: keeps the balances that each will find."""

    def __init__(self, ledger: Ledger) -> None:
        self.events: list[Event] = []
        self._accounts = ledger.accounts
        self._balances: dict[str, int] = {}
        self._transfers_posted = ledger.transfers_posted

    def post(self, debit_id: str, credit_id: str, tokens: int, reason: str, award_id: AwardId) -> None:
        """Add a transfer, unless there is nothing to move: no tokens, or a provider that won its own slot."""
        if tokens == 0 or debit_id == credit_id:
            return
        self._transfers_posted += 1
        debit_balance_tokens = self._move(debit_id, -tokens)
        credit_balance_tokens = self._move(credit_id, tokens)
        self.events.append(
            TransferPosted(
                transfer_id=self._transfers_posted,
                debit_account_id=debit_id,
                credit_account_id=credit_id,
                amount_tokens=tokens,
                reason=reason,
                reference_type="award",
                reference_id=str(award_id),
                memo="",
                debit_balance_tokens=debit_balance_tokens,
                credit_balance_tokens=credit_balance_tokens,
            )
        )

    def take(self) -> list[Event]:
        """The transfers added since the last call."""
        events, self.events = self.events, []
        return events

    def _move(self, account_id: str, tokens: int) -> int:
        balance_tokens = self._balances.get(account_id)
        if balance_tokens is None:
            balance_tokens = self._accounts[account_id].balance_tokens
        self._balances[account_id] = balance_tokens + tokens
        return balance_tokens + tokens
