"""The naive market's state: plain lists and dicts, and the questions that the rules ask of them.

Rule of this file: nothing that can be counted, summed or sorted when it is asked for is kept, so there is no index
that could disagree with what it indexes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, ISSUANCE, SYSTEM_ACCOUNTS, Command, OpenMarket, PlaceHold
from callmarket.engine.events import Event, HoldStatus, SlotStatus, TransferPosted
from callmarket.engine.reject import Reject
from tests.support.naive.capital.state import Capital

SLOT_ENDS = {
    "withdrawn": Reject.SLOT_WITHDRAWN,
    "settled": Reject.SLOT_SETTLED,
    "voided": Reject.SLOT_VOIDED,
    "lapsed": Reject.SLOT_LAPSED,
}


@dataclass(eq=False)
class Account:
    """A balance. What is held of it is the sum over the account's bids, so it is not kept here."""

    kind: str
    balance: int = 0


@dataclass(eq=False)
class Market:
    """The rules that a market was opened with, and how often it was called."""

    rules: OpenMarket
    rounds: int = 0
    # When, to whom, how much (SET-3).
    rewards: list[tuple[int, str, int]] = field(default_factory=list)


@dataclass(eq=False)
class Bid:
    """A bid whose hold has not ended (BID-8): resting, won, or out of the book and still to be released (BID-4)."""

    bid_id: int
    market_id: str
    bidder: str
    task: str
    price: int
    ttl: int | None
    in_force: str
    priority: int
    status: Literal["open", "won", "lost", "expired"] = "open"
    hold: int = 0
    # A newer bid of the bidder for the same task has taken its place in the bidder's count (BID-9).
    replaced: bool = False
    # Of a loser that is still to be released: the call (its seq and round) and the place in the book at the call.
    lost_seq: int = 0
    lost_round: int = 0
    lost_place: int = 0

    def past_deadline(self, now: int) -> bool:
        """BID-3: from `ttl_at` on."""
        return self.ttl is not None and self.ttl <= now


@dataclass(eq=False)
class Award:
    """A winner's right to a slot."""

    award_id: int
    bid: Bid
    price: int
    lease_until: int


@dataclass(eq=False)
class Slot:
    """A slot, live or remembered after its end."""

    slot_id: str
    market_id: str
    offer_seq: int
    available_at: int
    reserve: int
    provider: str
    lease: int
    status: SlotStatus = "offered"
    # The latest award of this offer.
    award: Award | None = None


@dataclass(eq=False)
class NamedHold:
    """Tokens set aside under a name, or how that ended (HLD)."""

    place: PlaceHold
    placed_by: str
    placed_seq: int
    status: HoldStatus = "open"

    def past_deadline(self, now: int) -> bool:
        """HLD-5: from `expires_at` on."""
        return self.place.expires_at_us is not None and self.place.expires_at_us <= now


@dataclass(eq=False)
class Shard:
    """All that the market remembers."""

    # The seq of the row before this one.
    before: int = 0
    seq: int = 0
    now: int = 0
    actor: str = ""
    accounts: dict[str, Account] = field(default_factory=lambda: {name: Account("system") for name in SYSTEM_ACCOUNTS})
    markets: dict[str, Market] = field(default_factory=dict)
    # By provider and id (SLT-1), and holds by account and id (HLD-1).
    slots: dict[tuple[str, str], Slot] = field(default_factory=dict)
    # Oldest end first, at most SLOTS_ENDED_KEPT.
    slots_ended: dict[tuple[str, str], Slot] = field(default_factory=dict)
    bids: dict[int, Bid] = field(default_factory=dict)
    holds: dict[tuple[str, str], NamedHold] = field(default_factory=dict)
    # Oldest end first, at most HOLDS_ENDED_KEPT.
    holds_ended: dict[tuple[str, str], NamedHold] = field(default_factory=dict)
    # What of the holds was bound, by which row, and when (HLD-8).
    bindings: list[tuple[tuple[str, str, str], int, int]] = field(default_factory=list)
    earnings: set[tuple[str, str, str, str]] = field(default_factory=set)
    # What was done and what was refused, each oldest first, at most RECEIPTS_MAX.
    receipts: dict[tuple[str, str], tuple[int, Command]] = field(default_factory=dict)
    refusals: dict[tuple[str, str], tuple[int, Command]] = field(default_factory=dict)
    # What moved tokens within the last periods, oldest first: when, whose, under which id, the row, and what it was.
    moved: list[tuple[int, str, str, int, Command]] = field(default_factory=list)
    capital: Capital = field(default_factory=Capital)
    bids_ever: int = 0
    awards_ever: int = 0
    transfers_ever: int = 0
    said: list[Event] = field(default_factory=list)

    def held(self, account_id: str) -> int:
        """Return what bids, awards, named holds and resting orders set aside (LED-2)."""
        named = sum(hold.place.amount_tokens for hold in self.holds_of(account_id))
        bids = sum(bid.hold for bid in self.bids.values() if bid.bidder == account_id)
        return named + bids + self.capital.held(account_id)

    def holds_of(self, account_id: str) -> list[NamedHold]:
        """Return the open named holds of an account."""
        return [hold for hold in self.holds.values() if hold.place.account_id == account_id]

    def available(self, account_id: str) -> int:
        """Return the balance less the holds (LED-2)."""
        return self.accounts[account_id].balance - self.held(account_id)

    def supply(self) -> int:
        """Return all tokens minted and not burnt."""
        return -self.accounts[ISSUANCE].balance

    def balances(self) -> dict[str, tuple[int, int]]:
        """Return balance and held of each account."""
        return {account_id: (account.balance, self.held(account_id)) for account_id, account in self.accounts.items()}

    def book(self, market_id: str) -> list[Bid]:
        """Return the market's bids that are neither won nor lost, best first (BID-2)."""
        resting = [bid for bid in self.bids.values() if bid.market_id == market_id and bid.status == "open"]
        return sorted(resting, key=lambda bid: (-bid.price, bid.priority))

    def open_bids(self) -> dict[str, list[int]]:
        """Return the bid ids of every book, best first."""
        return {market_id: [bid.bid_id for bid in self.book(market_id)] for market_id in self.markets}

    def live_awards(self) -> list[Award]:
        """Return the awards that have not ended."""
        return [slot.award for slot in self.slots.values() if slot.status == "awarded" and slot.award is not None]

    def task_of(self, market_id: str, bidder: str, task: str) -> tuple[str, ...]:
        """Return what bids have in common that are for one task (BID-6)."""
        private = self.markets[market_id].rules.task_scope == "bidder"
        return (bidder, task) if private else (task,)

    def awarded_tasks(self, market_id: str) -> set[tuple[str, ...]]:
        """Return the tasks that have an award in the market (BID-6)."""
        bids = [award.bid for award in self.live_awards() if award.bid.market_id == market_id]
        return {self.task_of(market_id, bid.bidder, bid.task) for bid in bids}

    def count_slots(self, market_id: str) -> int:
        """Return how many slots are offered or awarded in the market."""
        return sum(slot.market_id == market_id for slot in self.slots.values())

    def count_slots_of(self, market_id: str, provider: str) -> int:
        """Return how many of them are of this provider."""
        return sum(slot.market_id == market_id and slot.provider == provider for slot in self.slots.values())

    def find_slot(self, provider: str, slot_id: str) -> Slot | None:
        """SLT-3: live, or among the last that ended."""
        return self.slots.get((provider, slot_id)) or self.slots_ended.get((provider, slot_id))

    def bids_for_task(self, market_id: str, bidder: str, task: str) -> list[Bid]:
        """Return the bidder's bids for a task in a market, whatever their status."""
        key = (market_id, bidder, task)
        return [bid for bid in self.bids.values() if (bid.market_id, bid.bidder, bid.task) == key]

    def can_win(self, bid: Bid) -> bool:
        """BID-3: a bid past its deadline does not count, whether the sweep has come by or not."""
        return bid.status == "open" and not bid.past_deadline(self.now)

    def losers_due(self) -> list[Bid]:
        """Return what rounds left to sweeps, in the order of the rounds and of the book."""
        losers = [bid for bid in self.bids.values() if bid.status in ("lost", "expired")]
        return sorted(losers, key=lambda bid: (bid.lost_seq, bid.lost_place))

    def awards_due(self) -> list[tuple[str, str]]:
        """Return the slots of the awards past their lease, in the order of lease and id."""
        pairs = [(slot.award, name) for name, slot in self.slots.items() if slot.status == "awarded"]
        due = [(award.lease_until, award.award_id, name) for award, name in pairs if award is not None]
        return [name for lease_until, _, name in sorted(due) if lease_until <= self.now]

    def bids_due(self) -> list[Bid]:
        """Return the open bids past their deadline, in the order of deadline and id."""
        due = [bid for bid in self.bids.values() if bid.status == "open" and bid.past_deadline(self.now)]
        return sorted(due, key=lambda bid: (bid.ttl, bid.bid_id))

    def holds_due(self) -> list[tuple[str, str]]:
        """Return the open named holds past their deadline, in the order of deadline, account and id."""
        due = [(hold.place.expires_at_us, name) for name, hold in self.holds.items() if hold.past_deadline(self.now)]
        return [name for _, name in sorted(due, key=lambda pair: (pair[0] or 0, pair[1]))]

    def post(
        self, debit: str, credit: str, amount: int, reason: str, reference: tuple[str, str], memo: str = ""
    ) -> None:
        """LED-1: one movement, one transfer."""
        self.transfers_ever += 1
        self.accounts[debit].balance -= amount
        self.accounts[credit].balance += amount
        balances = self.accounts[debit].balance, self.accounts[credit].balance
        self.say(TransferPosted(self.transfers_ever, debit, credit, amount, reason, *reference, memo, *balances))

    def end_slot(self, slot: Slot, status: SlotStatus) -> None:
        """SLT-3: the last SLOTS_ENDED_KEPT are remembered."""
        slot.status = status
        del self.slots[slot.provider, slot.slot_id]
        self.slots_ended[slot.provider, slot.slot_id] = slot
        drop_oldest(self.slots_ended, limits.SLOTS_ENDED_KEPT)

    def say(self, event: Event) -> None:
        """Add to what this command caused."""
        self.said.append(event)


def permit(actor: str, *allowed: str) -> Iterator[Reject]:
    """Refuse whoever is neither the admin nor one of the allowed."""
    if actor != ADMIN and actor not in allowed:
        yield Reject.NOT_PERMITTED


def drop_oldest(kept: dict[Any, Any], count_max: int) -> None:
    """Forget the first entries until `count_max` are left."""
    while len(kept) > count_max:
        del kept[next(iter(kept))]
