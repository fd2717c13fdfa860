"""One market: its rules, its books, its offers and its indexes.

Rule of this file: what belongs to one market stands together; what is counted over the shard is in `state`.
"""

from collections.abc import Callable, Sequence
from itertools import filterfalse
from operator import attrgetter
from typing import Final

from msgspec import Struct

from callmarket.engine.book import Bid, Book
from callmarket.engine.events import MarketOpened
from callmarket.engine.ids import AwardId
from callmarket.engine.slots import Offers

_BIDDER: Final = attrgetter("bidder_id")
_REPLACED: Final = attrgetter("replaced")
_TASK: Final = attrgetter("task_id")


class LosingRound(Struct):
    """What lost a round and still waits for a sweep to release it, in book order (BID-4)."""

    called_at_us: int
    book: Book


class Market:
    """The live part of one market.

    `resting` holds the `gtd` bids and `round_bids` those for the next round alone: a call then ends the whole of the
    latter by putting it aside, however many they are.
    """

    __slots__ = (
        "bids_by_bidder",
        "bids_held",
        "market_id",
        "offers",
        "resting",
        "reward_day",
        "rewarded_tokens",
        "round_bids",
        "rounds_called",
        "rules",
        "slots_by_provider",
        "slots_live",
        "task_of",
        "tasks_awarded",
    )

    def __init__(self, rules: MarketOpened) -> None:
        """Open with these rules and nothing in it."""
        self.rules = rules
        self.market_id = rules.market_id
        self.resting = Book()
        self.round_bids = Book()
        self.rounds_called = 0
        # Bidder -> task -> its latest bid, while that is held: one lookup for BID-5, and `len` for BID-9.
        self.bids_by_bidder: dict[str, dict[str, Bid]] = {}
        # Bids of this market with a hold: both books and the losers still to be released.
        self.bids_held = 0
        self.offers = Offers()
        # Slots offered or awarded, and how many of them a provider has; none is no entry.
        self.slots_live = 0
        self.slots_by_provider: dict[str, int] = {}
        # The latest day of a reward, counted from 1970, and what each account was rewarded with in it (SET-3).
        self.reward_day = 0
        self.rewarded_tokens: dict[str, int] = {}
        # Task key -> its live award (BID-6).
        self.tasks_awarded: dict[str, AwardId] = {}
        # The task key of a bid. Asked for each bid that a call visits, so the usual answer costs no Python call.
        self.task_of: Callable[[Bid], str] = (
            attrgetter("task_id")
            if rules.task_scope == "market"
            else lambda bid: self.task_key(bid.bidder_id, bid.task_id)
        )

    def task_key(self, bidder_id: str, task_id: str) -> str:
        """What names a task in this market: its id, or where tasks are private, that and whose it is (BID-6)."""
        # No name has a space, so no two pairs give one key.
        return task_id if self.rules.task_scope == "market" else f"{bidder_id} {task_id}"

    def award_of(self, bidder_id: str, task_id: str) -> int | None:
        """The live award that a bidder's bid for a task would meet. O(1)."""
        return self.tasks_awarded.get(self.task_key(bidder_id, task_id))

    def add_slot(self, provider_id: str) -> None:
        """Count a slot that is offered. O(1)."""
        self.slots_live += 1
        self.slots_by_provider[provider_id] = self.slots_by_provider.get(provider_id, 0) + 1

    def end_slot(self, provider_id: str) -> None:
        """Count a slot that has ended no longer. O(1)."""
        self.slots_live -= 1
        self.slots_by_provider[provider_id] -= 1
        if not self.slots_by_provider[provider_id]:
            del self.slots_by_provider[provider_id]

    def rewarded_on(self, day: int, account_id: str) -> int:
        """What an account was rewarded with on a day that is not past. O(1)."""
        return self.rewarded_tokens.get(account_id, 0) if day == self.reward_day else 0

    def note_reward(self, day: int, account_id: str, tokens: int) -> None:
        """Count a reward, and forget those of days before. O(1), but for the first of a day."""
        if day != self.reward_day:
            self.reward_day = day
            self.rewarded_tokens = {}
        self.rewarded_tokens[account_id] = self.rewarded_tokens.get(account_id, 0) + tokens

    @property
    def bids_open(self) -> int:
        """The bids that the next call looks at."""
        return len(self.resting) + len(self.round_bids)

    def lost_round(self, bid: Bid) -> bool:
        """Whether the one round that the bid was for is over."""
        return bid.time_in_force == "round" and bid.round_no <= self.rounds_called

    def book_of(self, bid: Bid) -> Book:
        """The book in which an open bid stands."""
        return self.resting if bid.time_in_force == "gtd" else self.round_bids

    def index(self, bid: Bid) -> None:
        """Make this the bidder's bid for its task."""
        self.bids_held += 1
        bids = self.bids_by_bidder.get(bid.bidder_id)
        if bids is None:
            self.bids_by_bidder[bid.bidder_id] = {bid.task_id: bid}
            return
        earlier = bids.get(bid.task_id)
        if earlier is not None:
            earlier.replaced = True
        bids[bid.task_id] = bid

    def take_out(self, bids: Sequence[Bid]) -> None:
        """Take open bids out of their books. O(1) a bid, as a rule."""
        resting = [bid for bid in bids if bid.time_in_force == "gtd"]
        self.resting.remove_all(resting)
        if len(resting) < len(bids):
            self.round_bids.remove_all([bid for bid in bids if bid.time_in_force == "round"])

    def unindex_all(self, bids: Sequence[Bid]) -> None:
        """Forget bids, as `unindex` does one after the other."""
        self.bids_held -= len(bids)
        standing = list(filterfalse(_REPLACED, bids))
        bidder_ids = list(map(_BIDDER, standing))
        of_bidders = list(map(self.bids_by_bidder.__getitem__, bidder_ids))
        taken = list(map(dict[str, Bid].pop, of_bidders, map(_TASK, standing)))
        assert taken == standing
        for bidder_id, bids_left in zip(bidder_ids, of_bidders, strict=True):
            if not bids_left:
                self.bids_by_bidder.pop(bidder_id, None)

    def fill(self, bids: Sequence[Bid]) -> None:
        """Make bids whose fields say which of them are replaced held, and the others indexed, as `index` does."""
        by_bidder = self.bids_by_bidder
        for bid in bids:
            if not bid.replaced:
                by_bidder.setdefault(bid.bidder_id, {})[bid.task_id] = bid
        self.bids_held += len(bids)

    def unindex(self, bid: Bid) -> None:
        """Forget a bid whose hold has ended or is an award's now."""
        self.bids_held -= 1
        if not bid.replaced:
            bids = self.bids_by_bidder[bid.bidder_id]
            del bids[bid.task_id]
            if not bids:
                del self.bids_by_bidder[bid.bidder_id]
