"""Named holds (HLD), naively."""

from collections.abc import Iterator

from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, NO_PARTIES, OPERATOR, BindHolds, CaptureHold, PlaceHold, ReleaseHold
from callmarket.engine.events import HoldCaptured, HoldPlaced, HoldReleased, HoldsBound, HoldsExpired, HoldStatus
from callmarket.engine.reject import Reject
from tests.support.naive.shard import NamedHold, Shard, drop_oldest, permit
from tests.support.naive.tokens import payers, refuse_earning, refuse_reason, remember_earning

ENDS = {"captured": Reject.HOLD_CAPTURED, "released": Reject.HOLD_RELEASED, "expired": Reject.HOLD_EXPIRED}


def refuse_place_hold(shard: Shard, command: PlaceHold, actor: str) -> Iterator[Reject]:
    """HLD-1, HLD-6, HLD-7."""
    yield from permit(actor, *payers(command.reason, command.account_id))
    yield from refuse_reason(command.reason)
    name = command.account_id, command.hold_id
    if name in shard.holds or name in shard.holds_ended:
        yield Reject.HOLD_EXISTS
    if command.account_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    if command.reason.startswith("earn:") and not command.reference_id:
        yield Reject.REFERENCE_MISSING
    if command.expires_at_us is not None and command.expires_at_us <= shard.now:
        yield Reject.TTL_PAST
    if len(shard.holds_of(command.account_id)) >= limits.HOLDS_PER_ACCOUNT_MAX:
        yield Reject.HOLDS_PER_ACCOUNT_FULL
    if len(shard.holds) >= limits.HOLDS_MAX:
        yield Reject.HOLDS_FULL
    if command.account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    elif shard.available(command.account_id) < command.amount_tokens:
        yield Reject.FUNDS_INSUFFICIENT


def place_hold(shard: Shard, command: PlaceHold) -> None:
    """HLD-1, HLD-2."""
    shard.holds[command.account_id, command.hold_id] = NamedHold(command, shard.actor, shard.seq)
    shard.say(
        HoldPlaced(
            hold_id=command.hold_id,
            placed_seq=shard.seq,
            account_id=command.account_id,
            placed_by=shard.actor,
            amount_tokens=command.amount_tokens,
            reason=command.reason,
            reference_type=command.reference_type,
            reference_id=command.reference_id,
            expires_at_us=command.expires_at_us,
            memo=command.memo,
        )
    )


def refuse_hold_end(shard: Shard, name: tuple[str, str], actor: str) -> Iterator[Reject]:
    """HLD-2, HLD-5, HLD-6: what capturing and releasing have in common."""
    hold = shard.holds.get(name) or shard.holds_ended.get(name)
    if hold is None:
        yield Reject.HOLD_UNKNOWN
        return
    yield from permit(actor, hold.placed_by)
    if hold.status in ENDS:
        yield ENDS[hold.status]
    elif hold.past_deadline(shard.now):
        yield Reject.HOLD_EXPIRED
    if actor != ADMIN and is_bound(shard, hold):
        yield Reject.HOLD_BOUND


def is_bound(shard: Shard, hold: NamedHold) -> bool:
    """HLD-8: by what was spent after it was placed, in the last week."""
    key = (hold.place.reason, hold.place.reference_type, hold.place.reference_id)
    return any(
        bound == key and hold.placed_seq < seq and shard.now < at + limits.HOLDS_BOUND_US
        for bound, seq, at in shard.bindings
    )


def refuse_bind_holds(shard: Shard, command: BindHolds, actor: str) -> Iterator[Reject]:
    """HLD-8."""
    yield from permit(actor, OPERATOR)
    key = (command.reason, command.reference_type, command.reference_id)
    bound = {one for one, _, at in shard.bindings if shard.now < at + limits.HOLDS_BOUND_US}
    if key not in bound and len(bound) >= limits.HOLD_BINDINGS_MAX:
        yield Reject.HOLD_BINDINGS_FULL


def bind_holds(shard: Shard, command: BindHolds) -> None:
    """HLD-8."""
    key = (command.reason, command.reference_type, command.reference_id)
    shard.bindings.append((key, shard.seq, shard.now))
    shard.say(HoldsBound(*key, shard.seq, shard.now + limits.HOLDS_BOUND_US))


def refuse_capture_hold(shard: Shard, command: CaptureHold, actor: str) -> Iterator[Reject]:
    """HLD-3."""
    name = command.account_id, command.hold_id
    yield from refuse_hold_end(shard, name, actor)
    if command.to_account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    if command.to_account_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    hold = shard.holds.get(name)
    ended = shard.holds_ended.get(name)
    owner = hold or ended
    if owner is not None and owner.place.account_id == command.to_account_id:
        yield Reject.SAME_ACCOUNT
    if hold is not None:
        yield from refuse_earning(shard, hold.place, command.to_account_id)
        if (command.amount_tokens or 0) > hold.place.amount_tokens:
            yield Reject.HOLD_EXCEEDED


def capture_hold(shard: Shard, command: CaptureHold) -> None:
    """HLD-3: the movement has the words of the hold; the rest goes back."""
    hold = end(shard, (command.account_id, command.hold_id), "captured")
    place, payee = hold.place, command.to_account_id
    tokens = place.amount_tokens if command.amount_tokens is None else command.amount_tokens
    rest = place.amount_tokens - tokens
    shard.say(HoldCaptured(command.hold_id, hold.placed_seq, place.account_id, payee, tokens, rest))
    remember_earning(shard, place, payee)
    reference = (place.reference_type, place.reference_id)
    shard.post(place.account_id, payee, tokens, place.reason, reference, place.memo)


def refuse_release_hold(shard: Shard, command: ReleaseHold, actor: str) -> Iterator[Reject]:
    """HLD-4."""
    yield from refuse_hold_end(shard, (command.account_id, command.hold_id), actor)


def release_hold(shard: Shard, command: ReleaseHold) -> None:
    """HLD-4."""
    hold = end(shard, (command.account_id, command.hold_id), "released")
    place = hold.place
    shard.say(HoldReleased(command.hold_id, hold.placed_seq, place.account_id, place.amount_tokens))


def expire_holds(shard: Shard, names: list[tuple[str, str]]) -> None:
    """HLD-5."""
    ended = [end(shard, name, "expired") for name in names]
    if ended:
        seqs = tuple(hold.placed_seq for hold in ended)
        accounts = tuple(account for account, _ in names)
        ids = tuple(hold_id for _, hold_id in names)
        shard.say(HoldsExpired(ids, seqs, accounts, tuple(hold.place.amount_tokens for hold in ended)))


def end(shard: Shard, name: tuple[str, str], status: HoldStatus) -> NamedHold:
    """HLD-6: the last HOLDS_ENDED_KEPT are remembered."""
    hold = shard.holds.pop(name)
    hold.status = status
    shard.holds_ended[name] = hold
    drop_oldest(shard.holds_ended, limits.HOLDS_ENDED_KEPT)
    return hold
