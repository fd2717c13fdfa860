"""What a command causes: it reads the state and returns events, and changes nothing.

Rule of this folder: one function per command, in the file of what it is about. Every refusal is returned before the
first event, in the order of `Reject`; what is returned otherwise must succeed.
"""

from typing import assert_never

from callmarket.engine.capital.commands import CapitalCommandBase
from callmarket.engine.commands import (
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
from callmarket.engine.decide import accounts, awards, bids, histories, holds, rounds, slots, sweeps
from callmarket.engine.decide.capital import decide_capital
from callmarket.engine.events import Events
from callmarket.engine.state import State


def decide(state: State, entry: Entry) -> Events:  # noqa: C901 -- one flat, exhaustive dispatch
    """The events that this command causes now: at least one, and one `Rejected` if it may not be done."""
    command = entry.command
    # The two of which there are most by far: each case of a `match` costs 80 ns, since it asks the metaclass.
    if type(command) is PlaceBid:
        return bids.place(state, entry, command)
    if type(command) is CancelBid:
        return bids.cancel(state, entry, command)
    if isinstance(command, CapitalCommandBase):
        return decide_capital(state, entry, command)
    match command:
        case AmendBid():
            return bids.amend(state, entry, command)
        case ClearRound():
            return rounds.clear(state, entry, command)
        case SettleAward():
            return awards.settle(state, entry, command)
        case VoidAward():
            return awards.void(state, entry, command)
        case ExpireDue():
            return sweeps.expire_due(state, entry)
        case OfferSlot():
            return slots.offer(state, entry, command)
        case WithdrawSlot():
            return slots.withdraw(state, entry, command)
        case OpenAccount():
            return accounts.open_account(state, entry, command)
        case Mint():
            return accounts.mint(state, entry, command)
        case Burn():
            return accounts.burn(state, entry, command)
        case Transfer():
            return accounts.transfer(state, entry, command)
        case OpenMarket():
            return slots.open_market(state, entry, command)
        case PlaceHold():
            return holds.place(state, entry, command)
        case CaptureHold():
            return holds.capture(state, entry, command)
        case ReleaseHold():
            return holds.release(state, entry, command)
        case BeginHistory():
            return histories.begin(entry, command)
        case BindHolds():
            return holds.bind(state, entry, command)
        case _ as never:
            assert_never(never)
