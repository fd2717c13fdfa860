"""Named holds: placing, capturing, releasing.

Rule of this file: tokens set aside outside the auction, ended once (LED-6). HLD rules.
"""

from collections.abc import Sequence

from engine import limits
from engine.commands import ADMIN, ISSUANCE, CaptureHold, Entry, PlaceHold, ReleaseHold
from engine.decide.accounts import ACCOUNT_KINDS, posted, refuse_earning, refuse_reason
from engine.decide.refusals import refused
from engine.events import Events, HoldCaptured, HoldPlaced, HoldReleased, HoldsExpired
from engine.holds import NamedHold
from engine.reasons import is_earning
from engine.reject import Reject
from engine.state import State

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
    if (earlier := holds.get(hold_id)) is not None:
        return refused(Reject.HOLD_EXISTS, "hold_id", hold_id, earlier.status)
    if account_id == ISSUANCE:
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
    ledger, payee_id, hold = state.ledger, command.to_account_id, state.holds.get(command.hold_id)
    if payee_id not in ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "to_account_id", payee_id)
    if hold is None:
        return refused(Reject.HOLD_UNKNOWN, "hold_id", command.hold_id)
    if entry.actor not in (hold.placed_by, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, hold.placed_by)
    # Of one that was placed under older rules, when these were anybody's words.
    if refusal := refuse_reason(hold.placed_by, hold.reason):
        return refusal
    if payee_id == ISSUANCE:
        return refused(Reject.ACCOUNT_KIND, "to_account_id", payee_id, ACCOUNT_KINDS)
    if payee_id == hold.account_id:
        return refused(Reject.SAME_ACCOUNT, "to_account_id", payee_id)
    if refusal := _refuse_ended(hold, entry.at_us):
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
    hold = state.holds.get(command.hold_id)
    if hold is None:
        return refused(Reject.HOLD_UNKNOWN, "hold_id", command.hold_id)
    if entry.actor not in (hold.placed_by, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, hold.placed_by)
    if refusal := _refuse_ended(hold, entry.at_us):
        return refusal
    return (HoldReleased(hold.hold_id, hold.placed_seq, hold.account_id, hold.amount_tokens),)


def expired(holds: Sequence[NamedHold]) -> HoldsExpired:
    """The end of some holds past their deadline (HLD-5)."""
    return HoldsExpired(
        tuple([hold.hold_id for hold in holds]),
        tuple([hold.placed_seq for hold in holds]),
        tuple([hold.account_id for hold in holds]),
        tuple([hold.amount_tokens for hold in holds]),
    )


def _refuse_ended(hold: NamedHold, now_us: int) -> Events | None:
    """The refusal for what ended the hold, or None while it is open: a deadline counts swept or not (HLD-5)."""
    if hold.status != "open":
        return refused(ENDED_AS[hold.status], "hold_id", hold.hold_id, hold.status)
    if hold.expires_at_us is not None and hold.expires_at_us <= now_us:
        return refused(Reject.HOLD_EXPIRED, "hold_id", hold.hold_id, hold.expires_at_us)
    return None
