"""Everything the market knows: the state that commands read and events change.

Rule of this file: it holds and checks. Only `evolve` changes what is here; `image` turns it into bytes and back.
"""

from collections import OrderedDict
from collections.abc import Iterator

from engine import image, limits
from engine.book import Bid, Book
from engine.commands import ISSUANCE
from engine.deadlines import Deadlines
from engine.ledger import Ledger
from engine.market import LosingRound, Market
from engine.receipts import Receipts
from engine.slots import Award, Slot


class State:
    """The whole state of one shard. `seq` and `at_us` are those of the last entry that was applied."""

    __slots__ = (
        "at_us",
        "award_leases",
        "awards",
        "awards_granted",
        "bid_deadlines",
        "bids",
        "bids_placed",
        "ledger",
        "losing",
        "markets",
        "receipts",
        "seq",
        "slots",
        "slots_ended",
    )

    def __init__(self) -> None:
        """Begin before the first command, with the two system accounts."""
        self.seq = 0
        self.at_us = 0
        self.ledger = Ledger()
        self.markets: dict[str, Market] = {}
        # Every bid with a hold and no award: open, or lost and still to be released.
        self.bids: dict[int, Bid] = {}
        # The last id given: ids are dense, so a bid that is not here and not above this has ended.
        self.bids_placed = 0
        self.bid_deadlines = Deadlines()
        # Losers to release, by (market, round), in the order of the calls.
        self.losing: dict[tuple[str, int], LosingRound] = {}
        # Live slots, and the latest ended ones; `slots_ended` names those, oldest first.
        self.slots: dict[str, Slot] = {}
        self.slots_ended: OrderedDict[str, None] = OrderedDict()
        self.awards: dict[int, Award] = {}
        self.awards_granted = 0
        self.award_leases = Deadlines()
        self.receipts = Receipts()

    def encode(self) -> bytes:
        """The whole state as canonical bytes: equal states are equal bytes, whatever path led to them. O(state)."""
        return image.encode(self)

    @staticmethod
    def decode(data: bytes) -> "State":
        """The state from its bytes. Raises `image.ImageError` if they are not such bytes. O(state)."""
        state = State()
        image.restore(data, into=state)
        return state

    def check(self) -> None:
        """Assert every property of the state, from the leaves up. O(state)."""
        self.ledger.check()
        self.receipts.check()
        assert all(market.rules.market_id == market_id for market_id, market in self.markets.items())
        # One pass over each structure, because a recovery waits for it: what stands is found among what is known, and
        # equal counts then say that nothing is missing.
        self._check_books()
        self._check_indexes()
        self._check_deadlines()
        self._check_awards()
        self._check_slots()
        self._check_holds()

    def _check_books(self) -> None:
        standing = dict.fromkeys(self.markets, 0)
        for market_id, market in self.markets.items():
            self._check_book(market_id, market.resting)
            self._check_book(market_id, market.round_bids)
            assert all(bid.time_in_force == "gtd" for bid in market.resting), market_id
            next_round = market.rounds_called + 1
            assert all(bid.time_in_force == "round" and bid.round_no == next_round for bid in market.round_bids)
            standing[market_id] = market.bids_open
        for (market_id, round_no), losing in self.losing.items():
            self._check_book(market_id, losing.book)
            # A round whose losers are all released is forgotten.
            assert len(losing.book), (market_id, round_no)
            assert round_no <= self.markets[market_id].rounds_called, (market_id, round_no)
            assert all(bid.time_in_force == "round" and bid.round_no == round_no for bid in losing.book)
            standing[market_id] += len(losing.book)
        # Each held bid stands in exactly one book: the one that its fields say, where it can stand but once.
        assert sum(standing.values()) == len(self.bids), (standing, len(self.bids))
        for market_id, market in self.markets.items():
            assert market.bids_held == standing[market_id] <= limits.BIDS_PER_MARKET_MAX, market_id

    def _check_book(self, market_id: str, book: Book) -> None:
        book.check()
        for bid in book:
            assert self.bids[bid.bid_id] is bid and bid.market_id == market_id, bid

    def _check_indexes(self) -> None:
        # The index names held bids that are not replaced, under their own bidder and task; and all of them.
        indexed = 0
        for market_id, market in self.markets.items():
            for bidder_id, bids in market.bids_by_bidder.items():
                assert 0 < len(bids) <= limits.BIDS_PER_BIDDER_MAX, bidder_id
                indexed += len(bids)
                for task_id, bid in bids.items():
                    assert bid.task_id == task_id and bid.bidder_id == bidder_id and bid.market_id == market_id, bid
                    assert self.bids[bid.bid_id] is bid and not bid.replaced, bid
        assert indexed == sum(not bid.replaced for bid in self.bids.values()), indexed

    def _check_deadlines(self) -> None:
        # Every bid with a deadline, and no other, is due at it; every award at the end of its lease; soonest first.
        due = 0
        for at_us, bid_id in _ascending(self.bid_deadlines):
            assert self.bids[bid_id].ttl_at_us == at_us, (bid_id, at_us)
            due += 1
        assert due == sum(bid.ttl_at_us is not None for bid in self.bids.values()), due
        due = 0
        for at_us, award_id in _ascending(self.award_leases):
            assert self.awards[award_id].lease_until_us == at_us, (award_id, at_us)
            due += 1
        assert due == len(self.awards), due

    def _check_awards(self) -> None:
        # Every live award is that of its awarded slot and of its task (BID-6).
        for award_id, award in self.awards.items():
            assert award_id == award.award_id <= self.awards_granted, award
            slot = self.slots[award.slot_id]
            assert slot.status == "awarded" and slot.award_id == award_id and slot.market_id == award.market_id, slot
            assert self.markets[award.market_id].tasks_awarded[award.task_id] == award_id, award
            assert award.provider_id == slot.provider_id != ISSUANCE and slot.winner_id == award.bidder_id, slot
        assert sum(len(market.tasks_awarded) for market in self.markets.values()) == len(self.awards)

    def _check_slots(self) -> None:
        live = dict.fromkeys(self.markets, 0)
        offered = awarded = 0
        for slot_id, slot in self.slots.items():
            assert slot.slot_id == slot_id, slot
            if slot.status in ("offered", "awarded"):
                live[slot.market_id] += 1
                offered += slot.status == "offered"
                awarded += slot.status == "awarded"
            else:
                # An ended slot is remembered as one.
                assert slot_id in self.slots_ended, slot
        assert awarded == len(self.awards), (awarded, len(self.awards))
        assert len(self.slots_ended) == len(self.slots) - offered - awarded <= limits.SLOTS_ENDED_KEPT
        for market_id, market in self.markets.items():
            market.offers.check()
            assert all(self.slots[slot.slot_id] is slot and slot.market_id == market_id for slot in market.offers)
            assert market.slots_live == live[market_id], market_id
        assert sum(len(market.offers) for market in self.markets.values()) == offered, offered

    def _check_holds(self) -> None:
        # Every hold belongs to exactly one bid or award, in full (BID-1, CLR-6).
        holds = self.ledger.holds
        for bid_id, bid in self.bids.items():
            hold = holds[bid_id]
            assert bid_id == bid.bid_id <= self.bids_placed, bid
            assert hold.tokens == bid.max_price_tokens and hold.account_id == bid.bidder_id, (bid, hold)
        for award in self.awards.values():
            hold = holds[award.bid_id]
            assert award.bid_id not in self.bids, award
            assert hold.tokens == award.price_tokens and hold.account_id == award.bidder_id, (award, hold)
        assert len(holds) == len(self.bids) + len(self.awards), "a hold belongs to nothing"


def _ascending(deadlines: Deadlines) -> Iterator[tuple[int, int]]:
    before = (-1, 0)
    for deadline in deadlines:
        assert before < deadline, (before, deadline)
        before = deadline
        yield deadline
