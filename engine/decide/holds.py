"""Named holds: placing, capturing, releasing, binding.

Rule of this file: tokens set aside outside the auction, ended once (LED-6). HLD rules.
"""

from collections.abc import Sequence

from callmarket.engine import limits
from callmarket.engine.commands import (
    ADMIN,
    NO_PARTIES,
    OPERATOR,
    BindHolds,
    CaptureHold,
    Entry,
    PlaceHold,
    ReleaseHold,
)
from callmarket.engine.decide.accounts import ACCOUNT_KINDS, posted, refuse_earning, refuse_reason
from callmarket.engine.decide.refusals import is_staff, refused
from callmarket.engine.events import Events, HoldCaptured, HoldPlaced, HoldReleased, HoldsBound, HoldsExpired
from callmarket.engine.holds import NamedHold
from callmarket.engine.reasons import is_earning
from callmarket.engine.reject import Reject
from callmarket.engine.state import State

ENDED_AS = {
    "captured": Reject.HOLD_CAPTURED,
    "released": Reject.HOLD_RELEASED,
    "expired": Reject.HOLD_EXPIRED,
}
"""The refusal for a hold that has ended so."""


def place(state: State, entry: Entry, command: PlaceHold) -> Events:
    """Set available tokens aside (HLD-1)."""
    holds, hold_id, account_id = state.holds, command.hold_id, command.account_id
    account = state.ledger.accounts.get(account_id)
    if account is None:
        return refused(Reject.ACCOUNT_UNKNOWN, "account_id", account_id)
    if entry.actor not in (account_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, account_id)
    if refusal := refuse_reason(entry.actor, command.reason):
        return refusal
    if (earlier := holds.get(account_id, hold_id)) is not None:
        return refused(Reject.HOLD_EXISTS, "hold_id", hold_id, earlier.status)
    if account_id in NO_PARTIES:
        return refused(Reject.ACCOUNT_KIND, "account_id", account_id, ACCOUNT_KINDS)
    if is_earning(command.reason) and not command.reference_id:
        return refused(Reject.REFERENCE_MISSING, "reference_id", "", f"a reference for {command.reason}")
    if command.expires_at_us is not None and command.expires_at_us <= entry.at_us:
        return refused(Reject.TTL_PAST, "expires_at_us", command.expires_at_us, entry.at_us)
    if holds.open_by_account.get(account_id, 0) >= limits.HOLDS_PER_ACCOUNT_MAX:
        return refused(Reject.HOLDS_PER_ACCOUNT_FULL, "account_id", account_id, limits.HOLDS_PER_ACCOUNT_MAX)
    if len(holds.open) >= limits.HOLDS_MAX:
        return refused(Reject.HOLDS_FULL, "hold_id", hold_id, limits.HOLDS_MAX)
    if command.amount_tokens > account.available_tokens:
        return refused(Reject.FUNDS_INSUFFICIENT, "amount_tokens", command.amount_tokens, account.available_tokens)
    return (
        HoldPlaced(
            hold_id=hold_id,
            placed_seq=entry.seq,
            account_id=account_id,
            placed_by=entry.actor,
            amount_tokens=command.amount_tokens,
            reason=command.reason,
            reference_type=command.reference_type,
            reference_id=command.reference_id,
            expires_at_us=command.expires_at_us,
            memo=command.memo,
        ),
    )


def capture(state: State, entry: Entry, command: CaptureHold) -> Events:
    """Pay from a hold, in part or whole, and give the rest back (HLD-3)."""
    ledger, payee_id = state.ledger, command.to_account_id
    hold = state.holds.get(command.account_id, command.hold_id)
    if payee_id not in ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "to_account_id", payee_id)
    if hold is None:
        return refused(Reject.HOLD_UNKNOWN, "hold_id", command.hold_id)
    if entry.actor not in (hold.placed_by, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, hold.placed_by)
    # Of one that was placed under older rules, when these were anybody's words.
    if refusal := refuse_reason(hold.placed_by, hold.reason):
        return refusal
    if payee_id in NO_PARTIES:
        return refused(Reject.ACCOUNT_KIND, "to_account_id", payee_id, ACCOUNT_KINDS)
    if payee_id == hold.account_id:
        return refused(Reject.SAME_ACCOUNT, "to_account_id", payee_id)
    if refusal := _refuse_ended(state, entry, hold):
        return refusal
    if refusal := refuse_earning(ledger, payee_id, hold):
        return refusal
    tokens = hold.amount_tokens if command.amount_tokens is None else command.amount_tokens
    if tokens > hold.amount_tokens:
        return refused(Reject.HOLD_EXCEEDED, "amount_tokens", tokens, hold.amount_tokens)
    captured = HoldCaptured(
        hold_id=hold.hold_id,
        placed_seq=hold.placed_seq,
        account_id=hold.account_id,
        to_account_id=payee_id,
        captured_tokens=tokens,
        released_tokens=hold.amount_tokens - tokens,
    )
    return captured, posted(ledger, hold.account_id, payee_id, tokens, hold)


def release(state: State, entry: Entry, command: ReleaseHold) -> Events:
    """Give a whole hold back (HLD-4)."""
    hold = state.holds.get(command.account_id, command.hold_id)
    if hold is None:
        return refused(Reject.HOLD_UNKNOWN, "hold_id", command.hold_id)
    if entry.actor not in (hold.placed_by, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, hold.placed_by)
    if refusal := _refuse_ended(state, entry, hold):
        return refusal
    return (HoldReleased(hold.hold_id, hold.placed_seq, hold.account_id, hold.amount_tokens),)


def bind(state: State, entry: Entry, command: BindHolds) -> Events:
    """Keep the owners of holds for a reason and reference from ending them for a while (HLD-8)."""
    if not is_staff(entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    holds, key = state.holds, (command.reason, command.reference_type, command.reference_id)
    bindings = len(holds.bindings) - len(holds.past_bindings(entry.at_us))
    if key not in holds.bindings and bindings >= limits.HOLD_BINDINGS_MAX:
        return refused(Reject.HOLD_BINDINGS_FULL, "reference_id", command.reference_id, limits.HOLD_BINDINGS_MAX)
    return (HoldsBound(*key, entry.seq, entry.at_us + limits.HOLDS_BOUND_US),)


def expired(holds: Sequence[NamedHold]) -> HoldsExpired:
    """The end of some holds past their deadline (HLD-5)."""
    return HoldsExpired(
        tuple([hold.hold_id for hold in holds]),
        tuple([hold.placed_seq for hold in holds]),
        tuple([hold.account_id for hold in holds]),
        tuple([hold.amount_tokens for hold in holds]),
    )


def _refuse_ended(state: State, entry: Entry, hold: NamedHold) -> Events | None:
    """The refusal for what has ended the hold or binds it, None if there is nothing: a deadline counts swept or not."""
    now_us = entry.at_us
    if hold.status != "open":
        return refused(ENDED_AS[hold.status], "hold_id", hold.hold_id, hold.status)
    if hold.expires_at_us is not None and hold.expires_at_us <= now_us:
        return refused(Reject.HOLD_EXPIRED, "hold_id", hold.hold_id, hold.expires_at_us)
    if entry.actor != ADMIN and (until_us := state.holds.bound_until(hold, now_us)):
        return refused(Reject.HOLD_BOUND, "hold_id", hold.hold_id, until_us)
    return None
