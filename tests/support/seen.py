"""What can be learned of a market from its commands and events alone: live ids, who bid and who provides.

Rule of this file: a hint for choosing likely commands, not an oracle. What falls out of date here only makes a command
that is refused.
"""

from engine.commands import ISSUANCE, Entry
from engine.events import (
    AccountOpened,
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardVoided,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Event,
    Events,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsExpired,
    MarketOpened,
    SlotOffered,
    SlotWithdrawn,
    TransferPosted,
    one_by_one,
)


class Seen:
    """The public record so far."""

    def __init__(self) -> None:
        self.seq = 0
        self.supply = 0
        self.accounts: list[str] = []
        self.bidders: list[str] = []
        self.markets: list[str] = []
        self.bids_ever = 0
        self.awards_ever = 0
        # Bid id to bidder.
        self.open: dict[int, str] = {}
        self.won: dict[int, str] = {}
        # Slot id to provider, while offered and while awarded; slot id to its latest award and to who won it.
        self.offered: dict[str, str] = {}
        self.awarded: dict[str, str] = {}
        self.award_of: dict[str, int] = {}
        self.winner_of: dict[str, str] = {}

        # Hold id to who placed it, while open.
        self.holds: dict[str, str] = {}

    def observe(self, entry: Entry, events: Events) -> None:
        """Take in one entry and its events."""
        self.seq = entry.seq
        for event in one_by_one(events):
            self._bids(event)
            self._slots(event)
            self._holds(event)
            if isinstance(event, AccountOpened):
                self.accounts.append(event.account_id)
            if isinstance(event, AccountOpened) and event.kind != "provider":
                self.bidders.append(event.account_id)
            if isinstance(event, MarketOpened):
                self.markets.append(event.market_id)
            if isinstance(event, TransferPosted) and event.debit_account_id == ISSUANCE:
                self.supply += event.amount_tokens
            if isinstance(event, TransferPosted) and event.credit_account_id == ISSUANCE:
                self.supply -= event.amount_tokens

    def bidder(self, bid_id: int) -> tuple[str, ...]:
        """Return who placed a bid that is open or won, if known."""
        bidder = self.open.get(bid_id) or self.won.get(bid_id)
        return (bidder,) if bidder else ()

    def provider(self, slot_id: str) -> tuple[str, ...]:
        """Return who provides a live slot, if known."""
        provider = self.offered.get(slot_id) or self.awarded.get(slot_id)
        return (provider,) if provider else ()

    def winner(self, slot_id: str) -> tuple[str, ...]:
        """Return who last won a slot, if known."""
        return (self.winner_of[slot_id],) if slot_id in self.winner_of else ()

    def placer(self, hold_id: str) -> tuple[str, ...]:
        """Return who placed an open named hold, if known."""
        return (self.holds[hold_id],) if hold_id in self.holds else ()

    def _holds(self, event: Event) -> None:
        match event:
            case HoldPlaced(hold_id=hold_id):
                self.holds[hold_id] = event.placed_by
            case HoldCaptured(hold_id=hold_id) | HoldReleased(hold_id=hold_id):
                self.holds.pop(hold_id, None)
            case HoldsExpired(hold_ids=hold_ids):
                for hold_id in hold_ids:
                    self.holds.pop(hold_id, None)
            case _:
                pass

    def _bids(self, event: Event) -> None:
        match event:
            case BidPlaced(bid_id=bid_id):
                self.bids_ever = bid_id
                self.open[bid_id] = event.bidder_id
            case BidCancelled(bid_id=bid_id):
                self.open.pop(bid_id, None)
            case BidsLost(bid_ids=bid_ids) | BidsExpired(bid_ids=bid_ids):
                for bid_id in bid_ids:
                    self.open.pop(bid_id, None)
            case AwardGranted(bid_id=bid_id):
                self.open.pop(bid_id, None)
                self.won[bid_id] = event.bidder_id
            case AwardSettled(bid_id=bid_id) | AwardVoided(bid_id=bid_id) | AwardLapsed(bid_id=bid_id):
                self.won.pop(bid_id, None)
            case _:
                pass

    def _slots(self, event: Event) -> None:
        match event:
            case SlotOffered(slot_id=slot_id):
                self.offered[slot_id] = event.provider_id
            case AwardGranted(slot_id=slot_id):
                self.awards_ever = event.award_id
                self.awarded[slot_id] = self.offered.pop(slot_id, event.provider_id)
                self.award_of[slot_id] = event.award_id
                self.winner_of[slot_id] = event.bidder_id
            case SlotWithdrawn(slot_id=slot_id):
                self.offered.pop(slot_id, None)
            case AwardSettled(slot_id=slot_id) | AwardVoided(slot_id=slot_id) | AwardLapsed(slot_id=slot_id):
                self.awarded.pop(slot_id, None)
            case _:
                pass
