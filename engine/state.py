"""Everything the market knows: the state that commands read and events change.

Rule of this file: it holds and checks. Only `evolve` changes what is here; `image` turns it into bytes and back.
"""

from collections import OrderedDict

from engine import image, limits
from engine.book import Bid
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
        for market_id, market in self.markets.items():
            assert market.rules.market_id == market_id, market_id
            self._check_market(market_id, market)
        self._check_bids()
        self._check_awards_and_slots()
        # Every hold belongs to exactly one bid or award, in full (BID-1, CLR-6).
        held = {bid.bid_id: (bid.bidder_id, bid.max_price_tokens) for bid in self.bids.values()}
        held |= {award.bid_id: (award.bidder_id, award.price_tokens) for award in self.awards.values()}
        assert len(held) == len(self.bids) + len(self.awards), "a bid is both open and awarded"
        assert held == {key: (hold.account_id, hold.tokens) for key, hold in self.ledger.holds.items()}, "stray hold"
        assert ISSUANCE not in {award.provider_id for award in self.awards.values()}

    def _check_market(self, market_id: str, market: Market) -> None:
        books = [market.resting, market.round_bids]
        books += [losing.book for (owner_id, _), losing in self.losing.items() if owner_id == market_id]
        for book in books:
            book.check()
        # Each held bid stands in exactly one book of its market.
        standing = sorted(bid.bid_id for book in books for bid in book)
        assert standing == sorted(bid.bid_id for bid in self.bids.values() if bid.market_id == market_id)
        assert market.bids_held == len(standing) <= limits.BIDS_PER_MARKET_MAX, market_id
        assert all(bid.time_in_force == "gtd" for bid in market.resting)
        assert all(bid.time_in_force == "round" for bid in market.round_bids)
        assert all(bid.round_no == market.rounds_called + 1 for bid in market.round_bids)
        # The index names every held bid that is not replaced, and only those, under its own bidder and task.
        indexed = sorted(bid.bid_id for bids in market.bids_by_bidder.values() for bid in bids.values())
        held = [bid for bid in self.bids.values() if bid.market_id == market_id]
        assert indexed == sorted(bid.bid_id for bid in held if not bid.replaced), market_id
        for bidder_id, bids in market.bids_by_bidder.items():
            assert 0 < len(bids) <= limits.BIDS_PER_BIDDER_MAX, bidder_id
            for task_id, bid in bids.items():
                assert (bid.bidder_id, bid.task_id) == (bidder_id, task_id) and self.bids[bid.bid_id] is bid
        # The offers are the offered slots, and the live count is theirs and the awarded ones'.
        market.offers.check()
        live = [slot for slot in self.slots.values() if slot.market_id == market_id]
        offered = [slot for slot in live if slot.status == "offered"]
        assert len(market.offers) == len(offered), market_id
        assert market.slots_live == len(offered) + sum(slot.status == "awarded" for slot in live), market_id

    def _check_bids(self) -> None:
        # Every bid is known under its id and below the counter; exactly those with a deadline are due.
        assert all(bid_id == bid.bid_id <= self.bids_placed for bid_id, bid in self.bids.items())
        deadlines = sorted((bid.ttl_at_us, bid.bid_id) for bid in self.bids.values() if bid.ttl_at_us is not None)
        assert deadlines == list(self.bid_deadlines), "deadlines do not match bids"
        # A round whose losers are all released is forgotten.
        assert all(len(losing.book) for losing in self.losing.values())

    def _check_awards_and_slots(self) -> None:
        # Every live award is that of its awarded slot, of its task, and of its lease; and nothing else is (BID-6).
        assert all(award_id == award.award_id <= self.awards_granted for award_id, award in self.awards.items())
        awarded = {slot.award_id for slot in self.slots.values() if slot.status == "awarded"}
        assert awarded == self.awards.keys(), "awarded slots and awards differ"
        assert all(self.slots[award.slot_id].award_id == award.award_id for award in self.awards.values())
        tasks = {(award.market_id, award.task_id): award.award_id for award in self.awards.values()}
        assert tasks == {
            (market_id, task_id): award_id
            for market_id, market in self.markets.items()
            for task_id, award_id in market.tasks_awarded.items()
        }, "awarded tasks and awards differ"
        leases = sorted((award.lease_until_us, award.award_id) for award in self.awards.values())
        assert leases == list(self.award_leases), "leases do not match awards"
        # The ended slots that are remembered are the ended ones, and not more than the bound.
        ended = {slot_id for slot_id, slot in self.slots.items() if slot.status not in ("offered", "awarded")}
        assert ended == self.slots_ended.keys() and len(ended) <= limits.SLOTS_ENDED_KEPT
