"""Everything the market knows: the state that commands read and events change.

Rule of this file: it holds and checks. Only `evolve` changes what is here; `image` turns it into bytes and back.
"""

from collections import OrderedDict

from callmarket.engine import image, limits
from callmarket.engine.book import Bid, Book
from callmarket.engine.capital.commands import ESCROW
from callmarket.engine.capital.state import Capital
from callmarket.engine.commands import ISSUANCE, TimeInForce
from callmarket.engine.deadlines import Deadlines
from callmarket.engine.holds import NamedHolds
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.ledger import Ledger
from callmarket.engine.market import LosingRound, Market
from callmarket.engine.receipts import Receipts
from callmarket.engine.retries import Retries
from callmarket.engine.slots import Award, Slot, SlotKey


class State:
    """The whole state of one shard. `seq` and `at_us` are those of the last entry that was applied."""

    __slots__ = (
        "at_us",
        "award_leases",
        "awards",
        "awards_by_bid",
        "awards_granted",
        "bid_deadlines",
        "bids",
        "bids_placed",
        "capital",
        "holds",
        "ledger",
        "markets",
        "receipts",
        "retries",
        "seq",
        "slots",
        "slots_ended",
        "unreleased_losers",
    )

    def __init__(self) -> None:
        """Begin before the first command, with the two system accounts."""
        self.seq = 0
        self.at_us = 0
        self.ledger = Ledger()
        self.markets: dict[str, Market] = {}
        # Every bid with a hold and no award: open, or lost and still to be released.
        self.bids: dict[BidId, Bid] = {}
        # The last id given: a bid that is not here and not above this has ended, or was lost (HST-1).
        self.bids_placed = 0
        self.bid_deadlines = Deadlines()
        # Losers to release, by (market, round), in the order of the calls.
        self.unreleased_losers: dict[tuple[str, int], LosingRound] = {}
        # Live slots, and the latest ended ones; `slots_ended` names those, oldest first.
        self.slots: dict[SlotKey, Slot] = {}
        self.slots_ended: OrderedDict[SlotKey, None] = OrderedDict()
        self.awards: dict[AwardId, Award] = {}
        # The same by the bid that won.
        self.awards_by_bid: dict[BidId, Award] = {}
        self.awards_granted = 0
        self.award_leases = Deadlines()
        self.holds = NamedHolds()
        self.capital = Capital()
        self.receipts = Receipts()
        self.retries = Retries()

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
        self.retries.check()
        self.holds.check()
        self.bid_deadlines.check()
        self.award_leases.check()
        assert all(market.rules.market_id == market_id for market_id, market in self.markets.items())
        self._check_bids()
        self._check_awards()
        self._check_slots()
        self._check_held()
        self.capital.check(self.ledger.accounts[ESCROW].balance_tokens)

    def _check_bids(self) -> None:
        # A recovery waits for this: each bid is looked at once, and found in all that must know it. Equal counts then
        # say that nothing knows more.
        due = self.bid_deadlines.by_id()
        assert len(due) == len(self.bid_deadlines), "a bid with two deadlines"
        standing = dict.fromkeys(self.markets, 0)
        replaced = 0
        for market_id, market in self.markets.items():
            replaced += self._check_book(market, market.resting, "gtd", 0)
            replaced += self._check_book(market, market.round_bids, "round", market.rounds_called + 1)
            standing[market_id] = market.bids_open
        for (market_id, round_no), losing in self.unreleased_losers.items():
            market = self.markets[market_id]
            # A round whose losers are all released is forgotten.
            assert losing.book and round_no <= market.rounds_called, (market_id, round_no)
            replaced += self._check_book(market, losing.book, "round", round_no)
            standing[market_id] += len(losing.book)
        # Each bid is due at its deadline. In the order in which they came: their memory is read from end to end.
        for bid_id, bid in self.bids.items():
            assert due.pop(bid_id, None) == bid.ttl_at_us, bid
        # What is left is the deadline of no bid.
        assert not due, next(iter(due.items()))
        # Each held bid stands in exactly one book: the one that its fields say, where it can stand but once.
        assert sum(standing.values()) == len(self.bids), (standing, len(self.bids))
        indexed = 0
        for market_id, market in self.markets.items():
            assert market.bids_held == standing[market_id] <= limits.BIDS_PER_MARKET_MAX, market_id
            for bidder_id, bids in market.bids_by_bidder.items():
                assert 0 < len(bids) <= limits.BIDS_PER_BIDDER_MAX, bidder_id
                indexed += len(bids)
        assert indexed == len(self.bids) - replaced, (indexed, replaced)

    def _check_book(self, market: Market, book: Book, time_in_force: TimeInForce, round_no: int) -> int:
        """Check a book for such bids, and each bid in it. Returns how many are replaced."""
        market_id, index, held = market.rules.market_id, market.bids_by_bidder, self.bids
        placed, replaced = self.bids_placed, 0
        for bid in book.checked():
            bid_id, bidder_id = bid.bid_id, bid.bidder_id
            assert held[bid_id] is bid and bid.market_id == market_id and bid_id <= placed, bid
            assert bid.time_in_force == time_in_force and (bid.round_no == round_no or not round_no), bid
            # The index names it, and not another, unless a newer bid has replaced it.
            if bid.replaced:
                replaced += 1
            else:
                assert index[bidder_id][bid.task_id] is bid, bid
        return replaced

    def _check_held(self) -> None:
        # What an account has held is the sum of its bids, each in full (BID-1), of its awards at their price (CLR-6),
        # of its named holds (HLD-1), and of its resting orders (ORD-6): nothing is held for anything else (LED-5).
        held_tokens = dict.fromkeys(self.ledger.accounts, 0)
        for bid in self.bids.values():
            assert bid.max_price_tokens > 0, bid
            held_tokens[bid.bidder_id] += bid.max_price_tokens
        for award in self.awards.values():
            assert award.price_tokens >= 0, award
            held_tokens[award.bidder_id] += award.price_tokens
        for hold in self.holds.open.values():
            # It belongs to an account that owns tokens, and was placed by now.
            assert hold.amount_tokens > 0 and hold.account_id != ISSUANCE and hold.placed_seq <= self.seq, hold
            held_tokens[hold.account_id] += hold.amount_tokens
        for order in self.capital.orders.values():
            held_tokens[order.account_id] += order.held_tokens
        for account_id, account in self.ledger.accounts.items():
            assert account.held_tokens == held_tokens[account_id], (account, held_tokens[account_id])

    def _check_awards(self) -> None:
        # Every live award is that of its awarded slot, of its task (BID-6) and of its bid, and due at the end of its
        # lease.
        due = self.award_leases.by_id()
        assert len(due) == len(self.award_leases) == len(self.awards), (len(due), len(self.awards))
        assert len(self.awards_by_bid) == len(self.awards), (len(self.awards_by_bid), len(self.awards))
        for award_id, award in self.awards.items():
            assert award_id == award.award_id <= self.awards_granted, award
            assert due[award_id] == award.lease_until_us, award
            assert self.awards_by_bid[award.bid_id] is award and award.bid_id not in self.bids, award
            slot = self.slots[award.slot_key]
            assert slot.status == "awarded" and slot.award_id == award_id and slot.market_id == award.market_id, slot
            market = self.markets[award.market_id]
            assert market.tasks_awarded[market.task_key(award.bidder_id, award.task_id)] == award_id, award
            assert award.provider_id != ISSUANCE and slot.winner_id == award.bidder_id, slot
        assert sum(len(market.tasks_awarded) for market in self.markets.values()) == len(self.awards)

    def _check_slots(self) -> None:
        live: dict[str, dict[str, int]] = {market_id: {} for market_id in self.markets}
        offered = awarded = 0
        for key, slot in self.slots.items():
            assert slot.key == key, slot
            if slot.status in ("offered", "awarded"):
                of_market = live[slot.market_id]
                of_market[slot.provider_id] = of_market.get(slot.provider_id, 0) + 1
                offered += slot.status == "offered"
                awarded += slot.status == "awarded"
            else:
                # An ended slot is remembered as one.
                assert key in self.slots_ended, slot
        assert awarded == len(self.awards), (awarded, len(self.awards))
        assert len(self.slots_ended) == len(self.slots) - offered - awarded <= limits.SLOTS_ENDED_KEPT
        for market_id, market in self.markets.items():
            market.offers.check()
            assert all(self.slots[slot.key] is slot and slot.market_id == market_id for slot in market.offers)
            assert market.slots_by_provider == live[market_id], market_id
            assert market.slots_live == sum(live[market_id].values()), market_id
        assert sum(len(market.offers) for market in self.markets.values()) == offered, offered
