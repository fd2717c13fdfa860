"""What a command causes: it reads the state and returns events, and changes nothing.

Rule of this folder: one function per command, in the file of what it is about. Every refusal is returned before the
first event, in the order of `Reject`; what is returned otherwise must succeed.
"""

from typing import assert_never

from engine.commands import (
    AmendBid,
    BeginHistory,
    BindHolds,
    Burn,
    CancelBid,
    CaptureHold,
    ClearRound,
    Entry,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PlaceHold,
    ReleaseHold,
    SettleAward,
    Transfer,
    VoidAward,
    WithdrawSlot,
)
from engine.decide import accounts, awards, bids, histories, holds, rounds, slots, sweeps
from engine.events import Events
from engine.state import State


def decide(state: State, entry: Entry) -> Events:  # noqa: C901 -- one flat, exhaustive dispatch
    """The events that this command causes now: at least one, and one `Rejected` if it may not be done."""
    match entry.command:
        case PlaceBid() as command:
            return bids.place(state, entry, command)
        case CancelBid() as command:
            return bids.cancel(state, entry, command)
        case AmendBid() as command:
            return bids.amend(state, entry, command)
        case ClearRound() as command:
            return rounds.clear(state, entry, command)
        case SettleAward() as command:
            return awards.settle(state, entry, command)
        case VoidAward() as command:
            return awards.void(state, entry, command)
        case ExpireDue():
            return sweeps.expire_due(state, entry)
        case OfferSlot() as command:
            return slots.offer(state, entry, command)
        case WithdrawSlot() as command:
            return slots.withdraw(state, entry, command)
        case OpenAccount() as command:
            return accounts.open_account(state, entry, command)
        case Mint() as command:
            return accounts.mint(state, entry, command)
        case Burn() as command:
            return accounts.burn(state, entry, command)
        case Transfer() as command:
            return accounts.transfer(state, entry, command)
        case OpenMarket() as command:
            return slots.open_market(state, entry, command)
        case PlaceHold() as command:
            return holds.place(state, entry, command)
        case CaptureHold() as command:
            return holds.capture(state, entry, command)
        case ReleaseHold() as command:
            return holds.release(state, entry, command)
        case BeginHistory() as command:
            return histories.begin(entry, command)
        case BindHolds() as command:
            return holds.bind(state, entry, command)
        case _ as never:
            assert_never(never)
