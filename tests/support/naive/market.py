"""The naive market's entry point: one stamped command in, the events that the engine should return out.

Rule of this file: a refusal is the first declared of *all* refusals that apply, so precedence is decided here and
nowhere else.
"""

from typing import Any

import msgspec

from callmarket.engine.capital.commands import (
    CancelOrder,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
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
from callmarket.engine.events import Event, Events, Rejected, Repeated, RoundCleared
from callmarket.engine.reject import Reject
from tests.support.naive import awards, bids, calls, histories, holds, retries, slots, tokens
from tests.support.naive.capital import markets, orders, settlement
from tests.support.naive.shard import Shard

PRECEDENCE = tuple(Reject)
# For each command, what refuses it and what carries it out.
PLANS: dict[type, tuple[Any, Any]] = {
    OpenAccount: (tokens.refuse_open_account, tokens.open_account),
    Mint: (tokens.refuse_mint, tokens.mint),
    Burn: (tokens.refuse_burn, tokens.burn),
    Transfer: (tokens.refuse_transfer, tokens.transfer),
    OpenMarket: (slots.refuse_open_market, slots.open_market),
    OfferSlot: (slots.refuse_offer_slot, slots.offer_slot),
    WithdrawSlot: (slots.refuse_withdraw_slot, slots.withdraw_slot),
    PlaceBid: (bids.refuse_place_bid, bids.place_bid),
    AmendBid: (bids.refuse_amend_bid, bids.amend_bid),
    CancelBid: (bids.refuse_cancel_bid, bids.cancel_bid),
    ClearRound: (calls.refuse_clear_round, calls.clear_round),
    SettleAward: (awards.refuse_settle_award, awards.settle_award),
    VoidAward: (awards.refuse_void_award, awards.void_award),
    PlaceHold: (holds.refuse_place_hold, holds.place_hold),
    CaptureHold: (holds.refuse_capture_hold, holds.capture_hold),
    ReleaseHold: (holds.refuse_release_hold, holds.release_hold),
    BindHolds: (holds.refuse_bind_holds, holds.bind_holds),
    ExpireDue: (awards.refuse_expire_due, awards.expire_due),
    OpenArtifactMarket: (markets.refuse_open_artifact_market, markets.open_artifact_market),
    OpenPosition: (orders.refuse_open_position, orders.take_order),
    ClosePosition: (orders.refuse_close_position, orders.take_order),
    CancelOrder: (orders.refuse_cancel_order, orders.cancel_order),
    FreezeArtifact: (markets.refuse_freeze_artifact, markets.freeze_artifact),
    UnfreezeArtifact: (markets.refuse_unfreeze_artifact, markets.unfreeze_artifact),
    SettleArtifact: (settlement.refuse_settle_artifact, settlement.settle_artifact),
    DecaySubsidy: (markets.refuse_decay_subsidy, markets.decay_subsidy),
    BeginHistory: (histories.refuse_begin_history, histories.begin_history),
}


class NaiveMarket(Shard):
    """The whole market. `apply` returns the events that the engine should return, in the same order."""

    def apply(self, entry: Entry) -> Events:
        """Decide and change, as `Engine.apply`."""
        assert entry.at_us >= self.now, entry
        self.before, self.seq, self.now, self.actor = self.seq, entry.seq, entry.at_us, entry.actor
        if not entry.command_id:
            return self.decided(entry)
        if first := retries.first_use(self, entry):
            first_seq, first_command = first
            return (Repeated(first_seq) if first_command == entry.command else rejected(Reject.COMMAND_ID_REUSED),)
        events = self.decided(entry)
        retries.remember(self, entry, isinstance(events[0], Rejected))
        return events

    def decided(self, entry: Entry) -> Events:
        """Refuse with the first declared of all refusals that apply, or act."""
        refuse, act = PLANS[type(entry.command)]
        reasons = {*refuse(self, entry.command, entry.actor), *retries.refuse_to_remember(self, entry)}
        if reasons:
            return (rejected(min(reasons, key=PRECEDENCE.index)),)
        self.said = []
        act(self, entry.command)
        return tuple(self.said)


def rejected(reason: Reject) -> Rejected:
    """Return a refusal; the model says nothing about field, value and bound."""
    return Rejected(reason, "", "", "")


def comparable(events: Events) -> Events:
    """Leave out what the rules do not fix: the cost of a call (the model gives its bound), and a refusal's details."""
    return tuple(_comparable(event) for event in events)


def _comparable(event: Event) -> Event:
    if isinstance(event, Rejected):
        return rejected(event.reason)
    if isinstance(event, RoundCleared):
        return msgspec.structs.replace(event, bids_visited=0)
    return event
