"""Matching and the pricing rules: pure functions over bids and reserves.

Rule of this file: no state is known here. The walk over the book is lazy and stops as soon as the price is certain,
so a call costs what it visits and nothing for what rests (CLR-9).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from msgspec import Struct

from engine.book import Bid
from engine.commands import PricingRule


class Match(Struct, frozen=True):
    """The outcome of a call: the i-th winner takes the i-th slot at the i-th price.

    `clearing_price_tokens` is the one price of all winners, None where there is no such price.
    """

    winners: tuple[Bid, ...]
    prices_tokens: tuple[int, ...]
    clearing_price_tokens: int | None
    best_rejected: Bid | None
    bids_visited: int


class Eligible:
    """The eligible bids of one call (CLR-2), lazily and in book order, counting the bids visited.

    Each bid taken uses up its task and one of its bidder's awards, whether or not it goes on to win: so who comes
    next never depends on the number of slots.
    """

    def __init__(
        self, bids: Iterator[Bid], now_us: int, tasks_awarded: Mapping[str, int], awards_per_bidder_max: int
    ) -> None:
        """Walk `bids`, best first. A cap of 0 is no cap."""
        self._bids = bids
        self._now_us = now_us
        self._tasks_awarded = tasks_awarded
        self._awards_per_bidder_max = awards_per_bidder_max
        self._tasks_taken: set[str] = set()
        self._taken_by_bidder: dict[str, int] = {}
        self.bids_visited = 0

    def next(self) -> Bid | None:
        """The next eligible bid, or None when the book is exhausted. O(bids passed over)."""
        for bid in self._bids:
            self.bids_visited += 1
            if bid.ttl_at_us is not None and bid.ttl_at_us <= self._now_us:
                continue
            if bid.task_id in self._tasks_awarded or bid.task_id in self._tasks_taken:
                continue
            taken = self._taken_by_bidder.get(bid.bidder_id, 0)
            if 0 < self._awards_per_bidder_max <= taken:
                continue
            self._tasks_taken.add(bid.task_id)
            self._taken_by_bidder[bid.bidder_id] = taken + 1
            return bid
        return None


def match(eligible: Eligible, reserves_tokens: Sequence[int], pricing_rule: PricingRule) -> Match:
    """Match the eligible bids to slots with these reserves, cheapest first, and price the winners (CLR-3 to CLR-5).

    Bids fall and reserves rise, so the largest feasible q is where they first cross.
    """
    winners: list[Bid] = []
    rejected = eligible.next()
    while rejected and len(winners) < len(reserves_tokens):
        if rejected.max_price_tokens < reserves_tokens[len(winners)]:
            break
        winners.append(rejected)
        rejected = eligible.next()
    sold = reserves_tokens[: len(winners)]
    prices = _prices(winners, rejected, sold, eligible, pricing_rule) if winners else ()
    uniform = pricing_rule in ("first_rejected", "last_accepted")
    return Match(
        winners=tuple(winners),
        prices_tokens=tuple(prices),
        clearing_price_tokens=prices[0] if winners and uniform else None,
        best_rejected=rejected,
        bids_visited=eligible.bids_visited,
    )


def _prices(
    winners: Sequence[Bid], rejected: Bid | None, sold: Sequence[int], eligible: Eligible, pricing_rule: PricingRule
) -> Sequence[int]:
    match pricing_rule:
        case "first_rejected":
            price = max(rejected.max_price_tokens if rejected else 0, sold[-1])
            return [price] * len(winners)
        case "last_accepted":
            return [winners[-1].max_price_tokens] * len(winners)
        case "pay_as_bid":
            return [bid.max_price_tokens for bid in winners]
        case "vickrey":
            return _vickrey_prices(winners, rejected, sold, eligible)
        case _:
            assert_never(pricing_rule)


def _vickrey_prices(
    winners: Sequence[Bid], rejected: Bid | None, sold: Sequence[int], eligible: Eligible
) -> Sequence[int]:
    """What each winner's presence costs the others: VCG for unit bids, the reserves being the sellers' bids.

    Without a bidder who has w of the q slots, those w go to the best rejected bids of others, or stay with the sellers
    of the w dearest slots, whichever is worth more: its i-th price is max(i-th such bid, (q-w+i)th reserve).
    """
    slots_by_bidder: dict[str, int] = {}
    for bid in winners:
        slots_by_bidder[bid.bidder_id] = slots_by_bidder.get(bid.bidder_id, 0) + 1
    rejected_bids = _rejected_enough(slots_by_bidder, rejected, eligible)
    prices: list[int] = []
    others: dict[str, list[int]] = {}
    slots_priced: dict[str, int] = {}
    for bid in winners:
        bidder_id, slots = bid.bidder_id, slots_by_bidder[bid.bidder_id]
        if bidder_id not in others:
            others[bidder_id] = _first_of_others(rejected_bids, bidder_id, slots)
        rank = slots_priced.get(bidder_id, 0)
        slots_priced[bidder_id] = rank + 1
        prices.append(max(others[bidder_id][rank], sold[len(sold) - slots + rank]))
    return prices


def _rejected_enough(slots_by_bidder: Mapping[str, int], rejected: Bid | None, eligible: Eligible) -> Sequence[Bid]:
    """Rejected bids, best first, until each winner has as many of others' as it has slots, or there are no more."""
    missing = dict(slots_by_bidder)
    rejected_bids: list[Bid] = []
    slots_most = max(slots_by_bidder.values())
    while rejected:
        rejected_bids.append(rejected)
        # A bid counts for every winner but its own bidder: enough when total less own reaches the need of each.
        if rejected.bidder_id in missing:
            missing[rejected.bidder_id] += 1
            slots_most = max(slots_most, missing[rejected.bidder_id])
        if len(rejected_bids) >= slots_most:
            break
        rejected = eligible.next()
    return rejected_bids


def _first_of_others(rejected_bids: Sequence[Bid], bidder_id: str, slots: int) -> list[int]:
    """The best `slots` prices among bids of others, filled up with 0."""
    prices: list[int] = []
    for bid in rejected_bids:
        if len(prices) == slots:
            break
        if bid.bidder_id != bidder_id:
            prices.append(bid.max_price_tokens)
    return prices + [0] * (slots - len(prices))
