"""What a bid would get if its market were called now.

Rule of this file: it reads, changes nothing, and knows no rule of its own: what a bid is refused for is asked of
`place` and `amend`, what it wins and pays of the call itself. A quote is no promise: until the call others may bid,
amend and cancel, and slots may be offered and withdrawn.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice

from msgspec import Struct

from callmarket.engine.book import Bid, best_first, priority
from callmarket.engine.clearing import Eligible
from callmarket.engine.commands import AmendBid, Entry, PlaceBid
from callmarket.engine.decide.bids import amend, end_of, place
from callmarket.engine.decide.rounds import eligible, matched
from callmarket.engine.events import Rejected
from callmarket.engine.ids import NO_BID, BidId
from callmarket.engine.limits import BIDS_PER_MARKET_MAX, TOKENS_MAX
from callmarket.engine.market import Market
from callmarket.engine.reject import Reject
from callmarket.engine.slots import Slot
from callmarket.engine.state import State


class Quote(Struct, frozen=True):
    """The answer for one price, as of the state that was asked.

    `wins`: it would be accepted, and win. `refusal` is why it would not be accepted; only known for a named bidder.
    `price_tokens` is what it would pay, None unless it wins. `rank` is its place among the eligible bids (CLR-2), None
    where it would be passed over, or where it is further back than the first that cannot win. `bids_ahead` counts the
    eligible bids before it, up to one more than there are slots. `replaces_bid_id` is the bidder's open bid for the
    task, which an amendment would give this price. The two clearing prices are those of the call with this bid and of
    the call as things are, None where there is no one price; a bid with a rival for its task may pay more.
    `winning_price_tokens` is the lowest that would win, whatever the bidder has, None where none would.
    """

    wins: bool
    refusal: Rejected | None
    price_tokens: int | None
    rank: int | None
    bids_ahead: int
    slots_available: int
    replaces_bid_id: BidId | None
    clearing_price_tokens: int | None
    clearing_price_without_tokens: int | None
    winning_price_tokens: int | None


def quote(
    state: State,
    market_id: str,
    max_price_tokens: int,
    at_us: int,
    bidder_id: str = "",
    task_id: str = "",
    bids_max: int = BIDS_PER_MARKET_MAX,
) -> Quote | None:
    """What a bid of this price would get in a call at `at_us`, which is not before the state's own time.

    Without a bidder the bid is that of an account with no bid yet and enough tokens; without a task, it is for a new
    one. The market must be there. Costs what two calls cost: the slots, and the bids visited, not those that rest
    (CLR-9); None if a call visits `bids_max` of them or more.
    """
    assert at_us >= state.at_us, (at_us, state.at_us)
    market = state.markets[market_id]
    slots = market.offers.available(at_us)
    own = _own(state, market, bidder_id, task_id, at_us)
    refusal = _refusal(state, PlaceBid(market_id, bidder_id, task_id, max_price_tokens), own, at_us)
    bid = _as_if_placed(state, market, bidder_id, task_id, max_price_tokens)
    with_it = islice(merge(_others(market, own), (bid,), key=priority), bids_max)
    result = matched(market, at_us, slots, with_it)
    place_won = next((place for place, winner in enumerate(result.winners) if winner is bid), None)
    wins = place_won is not None and refusal is None
    without = matched(market, at_us, slots, islice(best_first(market.resting, market.round_bids), bids_max))
    walk = eligible(market, at_us, islice(_others(market, own), bids_max))
    rivals = _Rivals(walk, market, bid, len(slots))
    # A walk that has come to its bound might have gone on; nobody can say what it would have found.
    if max(result.bids_visited, without.bids_visited, walk.bids_visited) >= bids_max:
        return None
    return Quote(
        wins=wins,
        refusal=refusal,
        price_tokens=result.prices_tokens[place_won] if place_won is not None and wins else None,
        rank=rivals.rank(max_price_tokens),
        bids_ahead=rivals.ahead_of(max_price_tokens),
        slots_available=len(slots),
        replaces_bid_id=own.bid_id if own else None,
        clearing_price_tokens=result.clearing_price_tokens,
        clearing_price_without_tokens=without.clearing_price_tokens,
        winning_price_tokens=rivals.lowest_winning(slots) if _is_of_price(refusal) else None,
    )


class _Rivals:
    """The eligible bids that stand between a bid and the slots: as many as there are slots, and one more."""

    def __init__(self, walk: Eligible, market: Market, bid: Bid, slots: int) -> None:
        self._prices: list[int] = []
        # Up to this many may be ahead of the bid before it is passed over: its task gone, or its bidder at the cap.
        self._ahead_max = slots
        cap, taken = market.rules.awards_per_bidder_max, 0
        task = market.task_of(bid)
        if task in market.tasks_awarded:
            self._ahead_max = -1
        while len(self._prices) <= slots and (rival := walk.next()) is not None:
            self._prices.append(rival.max_price_tokens)
            taken += rival.bidder_id == bid.bidder_id
            if market.task_of(rival) == task or 0 < cap <= taken:
                self._ahead_max = min(self._ahead_max, len(self._prices) - 1)

    def ahead_of(self, price_tokens: int) -> int:
        """How many are ahead of a bid of this price, which is the latest."""
        return sum(price >= price_tokens for price in self._prices)

    def rank(self, price_tokens: int) -> int | None:
        """The place of a bid of this price, None if it is passed over or not within reach."""
        ahead = self.ahead_of(price_tokens)
        return ahead + 1 if ahead <= self._ahead_max else None

    def lowest_winning(self, slots: Sequence[Slot]) -> int | None:
        """The lowest price that wins.

        A higher price has fewer bids ahead and a cheaper slot to reach, so whatever wins wins at a higher price too:
        the place that is furthest back and can be had at all is the cheapest.
        """
        prices = self._prices
        for ahead in range(min(self._ahead_max, len(prices), len(slots) - 1), -1, -1):
            behind_tokens = prices[ahead] if ahead < len(prices) else 0
            lowest_tokens = max(behind_tokens + 1, slots[ahead].reserve_price_tokens)
            highest_tokens = prices[ahead - 1] if ahead else TOKENS_MAX
            if lowest_tokens <= highest_tokens:
                return lowest_tokens
        return None


def _own(state: State, market: Market, bidder_id: str, task_id: str, at_us: int) -> Bid | None:
    """The bidder's open bid for the task, which can only be amended (BID-5)."""
    bid = market.bids_by_bidder.get(bidder_id, {}).get(task_id)
    return bid if bid is not None and end_of(state, bid, at_us) is None else None


def _refusal(state: State, command: PlaceBid, own: Bid | None, at_us: int) -> Rejected | None:
    """What the bid would be refused for."""
    if not command.bidder_id:
        return None
    if own is None:
        (event,) = place(state, Entry(state.seq + 1, at_us, command.bidder_id, command), command)
    else:
        change = AmendBid(own.bid_id, command.max_price_tokens)
        (event,) = amend(state, Entry(state.seq + 1, at_us, command.bidder_id, change), change)
    return event if isinstance(event, Rejected) else None


def _is_of_price(refusal: Rejected | None) -> bool:
    """Whether another price might be accepted."""
    return refusal is None or refusal.reason is Reject.FUNDS_INSUFFICIENT


def _as_if_placed(state: State, market: Market, bidder_id: str, task_id: str, max_price_tokens: int) -> Bid:
    return Bid(
        # Behind all others of its price, with an id that no bid has.
        bid_id=NO_BID,
        market_id=market.rules.market_id,
        bidder_id=bidder_id,
        task_id=task_id,
        max_price_tokens=max_price_tokens,
        expected_value_microusd=0,
        ttl_at_us=None,
        time_in_force="round",
        priority_seq=state.seq + 1,
        round_no=market.rounds_called + 1,
        replaced=False,
    )


def _others(market: Market, own: Bid | None) -> Iterator[Bid]:
    """The book without the bid that an amendment would move."""
    return (bid for bid in best_first(market.resting, market.round_bids) if bid is not own)
