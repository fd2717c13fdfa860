"""What can be learned of a market from its commands and events alone: live ids, who bid and who provides.

Rule of this file: a hint for choosing likely commands, not an oracle. What falls out of date here only makes a command
that is refused.
"""

from callmarket.engine.commands import ISSUANCE, Entry
from callmarket.engine.events import (
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
from tests.support.seen_artifacts import SeenArtifacts


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
        # Slots by provider and id: the offered, the awarded, the latest award of each and who won it.
        self.offered: set[tuple[str, str]] = set()
        self.awarded: set[tuple[str, str]] = set()
        self.award_of: dict[tuple[str, str], int] = {}
        self.winner_of: dict[tuple[str, str], str] = {}
        # Open holds, by account and id: who placed each.
        self.holds: dict[tuple[str, str], str] = {}
        self.artifacts = SeenArtifacts()

    def observe(self, entry: Entry, events: Events) -> None:
        """Take in one entry and its events."""
        self.seq = entry.seq
        for event in one_by_one(events):
            self._bids(event)
            self._slots(event)
            self._holds(event)
            self.artifacts.observe(event)
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

    def live_slots(self) -> set[tuple[str, str]]:
        """Return the slots that are offered or awarded."""
        return self.offered | self.awarded

    def winner(self, slot: tuple[str, str]) -> tuple[str, ...]:
        """Return who last won a slot, if known."""
        return (self.winner_of[slot],) if slot in self.winner_of else ()

    def placer(self, hold: tuple[str, str]) -> tuple[str, ...]:
        """Return who placed an open named hold, if known."""
        return (self.holds[hold],) if hold in self.holds else ()

    def _holds(self, event: Event) -> None:
        match event:
            case HoldPlaced():
                self.holds[event.account_id, event.hold_id] = event.placed_by
            case HoldCaptured() | HoldReleased():
                self.holds.pop((event.account_id, event.hold_id), None)
            case HoldsExpired():
                for hold in zip(event.account_ids, event.hold_ids, strict=True):
                    self.holds.pop(hold, None)
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
            case SlotOffered():
                self.offered.add((event.provider_id, event.slot_id))
            case AwardGranted():
                slot = event.provider_id, event.slot_id
                self.awards_ever = event.award_id
                self.offered.discard(slot)
                self.awarded.add(slot)
                self.award_of[slot] = event.award_id
                self.winner_of[slot] = event.bidder_id
            case SlotWithdrawn():
                self.offered.discard((event.provider_id, event.slot_id))
            case AwardSettled() | AwardVoided() | AwardLapsed():
                self.awarded.discard((event.provider_id, event.slot_id))
            case _:
                pass
