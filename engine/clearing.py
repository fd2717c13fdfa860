"""Matching and the pricing rules: pure functions over bids and reserves.

Rule of this file: no state is known here. The walk over the book is lazy and stops as soon as the prices are certain,
so a call costs what it visits and nothing for what rests (CLR-9).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import assert_never

from msgspec import Struct

from engine.book import Bid, priority
from engine.commands import PricingRule


class Match(Struct, frozen=True):
    """The outcome of a call: the i-th winner takes the i-th slot at the i-th price.

    `clearing_price_tokens` is the one price of the round, None where there is none; a winner whose task another bidder
    bid for may pay more (CLR-4). `next_reserve_tokens` is the reserve of the cheapest slot that was not sold, None
    where all were.
    """

    winners: tuple[Bid, ...]
    prices_tokens: tuple[int, ...]
    clearing_price_tokens: int | None
    best_rejected: Bid | None
    next_reserve_tokens: int | None
    bids_visited: int


TaskKey = Callable[[Bid], str]
"""What names a bid's task: bids of one key are rivals, of which at most one wins (BID-6)."""


class Eligible:
    """The eligible bids of one call (CLR-2), lazily and in book order, counting the bids visited.

    Each bid taken uses up its task and one of its bidder's awards, whether or not it goes on to win: so who comes
    next never depends on the number of slots. `rivals` are the bids passed over for no other reason than that a better
    bid had taken their task, best first. `live` are the bids still to be visited that nothing from before this call
    stands against: neither their deadline nor an award of their task.
    """

    def __init__(
        self,
        bids: Iterator[Bid],
        now_us: int,
        tasks_awarded: Mapping[str, int],
        awards_per_bidder_max: int,
        task_key: TaskKey,
    ) -> None:
        """Walk `bids`, best first. A cap of 0 is no cap."""
        self._tasks_taken: set[str] = set()
        self._taken_by_bidder: dict[str, int] = {}
        self.awards_per_bidder_max = awards_per_bidder_max
        self.task_key = task_key
        self.live = self._live(bids, now_us, tasks_awarded)
        self.rivals: list[Bid] = []
        self.bids_visited = 0

    def next(self) -> Bid | None:
        """The next eligible bid, or None when the book is exhausted. O(bids passed over)."""
        cap = self.awards_per_bidder_max
        for bid in self.live:
            taken = self._taken_by_bidder.get(bid.bidder_id, 0)
            if 0 < cap <= taken:
                continue
            task = self.task_key(bid)
            if task in self._tasks_taken:
                self.rivals.append(bid)
                continue
            self._tasks_taken.add(task)
            self._taken_by_bidder[bid.bidder_id] = taken + 1
            return bid
        return None

    def _live(self, bids: Iterator[Bid], now_us: int, tasks_awarded: Mapping[str, int]) -> Iterator[Bid]:
        for bid in bids:
            self.bids_visited += 1
            if bid.ttl_at_us is not None and bid.ttl_at_us <= now_us:
                continue
            if self.task_key(bid) not in tasks_awarded:
                yield bid


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
    sold = len(winners)
    next_reserve = reserves_tokens[sold] if sold < len(reserves_tokens) else None
    price, prices = None, []
    if winners:
        price = _one_price(winners, rejected, reserves_tokens[sold - 1], next_reserve, pricing_rule)
        prices = _prices(winners, rejected, reserves_tokens[:sold], price, eligible, pricing_rule)
    return Match(
        winners=tuple(winners),
        prices_tokens=tuple(prices),
        clearing_price_tokens=price,
        best_rejected=rejected,
        next_reserve_tokens=next_reserve,
        bids_visited=eligible.bids_visited,
    )


def _one_price(
    winners: Sequence[Bid], rejected: Bid | None, last_reserve: int, next_reserve: int | None, pricing_rule: PricingRule
) -> int | None:
    """The price that clears the market, None under the rules that have no single one (CLR-4, CLR-5).

    Of all prices that clear it `first_rejected` takes the lowest and `last_accepted` the highest.
    """
    match pricing_rule:
        case "first_rejected":
            return max(rejected.max_price_tokens if rejected else 0, last_reserve)
        case "last_accepted":
            lowest_winning = winners[-1].max_price_tokens
            return lowest_winning if next_reserve is None else min(lowest_winning, next_reserve)
        case "pay_as_bid" | "vickrey":
            return None
        case _:
            assert_never(pricing_rule)


def _prices(
    winners: Sequence[Bid],
    rejected: Bid | None,
    sold: Sequence[int],
    price: int | None,
    eligible: Eligible,
    pricing_rule: PricingRule,
) -> list[int]:
    """What each winner pays."""
    if pricing_rule == "pay_as_bid":
        return [bid.max_price_tokens for bid in winners]
    if price is None:
        return _vickrey_prices(winners, rejected, sold, eligible)
    if not eligible.rivals:
        return [price] * len(winners)
    # Best first, so the first of a task is the best; it came after the winner, so no price is above its bid. The walk
    # has met every rival that bids more than the one price.
    best_rivals: dict[str, int] = {}
    for bid in eligible.rivals:
        best_rivals.setdefault(eligible.task_key(bid), bid.max_price_tokens)
    return [max(price, best_rivals.get(eligible.task_key(bid), 0)) for bid in winners]


def _vickrey_prices(winners: Sequence[Bid], rejected: Bid | None, sold: Sequence[int], eligible: Eligible) -> list[int]:
    """What each winner's presence costs the others (Vickrey 1961, Clarke 1971), the reserves being the sellers' bids.

    Without a bidder who has w of the q slots, those w go to the bids of others that could have them beside what the
    others win anyway, or stay with the sellers of the w dearest slots, whichever is worth more: its i-th price is
    max(i-th such bid, (q-w+i)th reserve). Without a cap, or where no two bidders name one task, bids that can win
    together form a matroid: adding the best that fits, one after the other, is then the call without the bidder.
    """
    won = Counter(bid.bidder_id for bid in winners)
    places = _Places(winners, rejected, eligible, won)
    prices: list[int] = []
    displaced: dict[str, list[int]] = {}
    priced: Counter[str] = Counter()
    for bid in winners:
        bidder_id, slots = bid.bidder_id, won[bid.bidder_id]
        if bidder_id not in displaced:
            displaced[bidder_id] = places.displaced_by(bidder_id, slots)
        rank = priced[bidder_id]
        priced[bidder_id] += 1
        prices.append(max(displaced[bidder_id][rank], sold[len(sold) - slots + rank]))
    return prices


class _Places:
    """Who would come in if a winner stayed away, the awards of the others unchanged.

    Two kinds of bids: rivals for a task that the winner has, and bids for tasks that nobody has. They are read from the
    book as far as somebody needs them, and kept for the next winner.
    """

    def __init__(
        self, winners: Sequence[Bid], rejected: Bid | None, eligible: Eligible, won: Mapping[str, int]
    ) -> None:
        self._task_key = eligible.task_key
        self._cap = eligible.awards_per_bidder_max
        self._won = won
        self._winner_of = {self._task_key(bid): bid.bidder_id for bid in winners}
        self._rivals_of: defaultdict[str, list[Bid]] = defaultdict(list)
        self._open: list[Bid] = []
        self._unread = eligible.live
        # What the walk has met already is kept in book order, so that all that is still unread comes behind it.
        for bid in eligible.rivals:
            self._keep(bid)
        if rejected is not None:
            self._keep(rejected)

    def displaced_by(self, bidder_id: str, slots: int) -> list[int]:
        """The prices of the best bids that would take a winner's slots, filled up with 0."""
        prices: list[int] = []
        tasks: set[str] = set()
        taken: Counter[str] = Counter()
        for bid in self._others_of(bidder_id):
            task = self._task_key(bid)
            if task in tasks or 0 < self._cap <= self._won.get(bid.bidder_id, 0) + taken[bid.bidder_id]:
                continue
            tasks.add(task)
            taken[bid.bidder_id] += 1
            prices.append(bid.max_price_tokens)
            if len(prices) == slots:
                break
        return prices + [0] * (slots - len(prices))

    def _others_of(self, bidder_id: str) -> Iterator[Bid]:
        """The bids of others that do not win, for tasks that the winner has or nobody has, in book order."""
        rivals, rivals_read, open_read = self._rivals_of[bidder_id], 0, 0
        while True:
            rival = rivals[rivals_read] if rivals_read < len(rivals) else None
            other = self._open[open_read] if open_read < len(self._open) else None
            if rival is not None and (other is None or priority(rival) < priority(other)):
                rivals_read += 1
                yield rival
            elif other is not None:
                open_read += 1
                if other.bidder_id != bidder_id:
                    yield other
            elif (unread := next(self._unread, None)) is not None:
                self._keep(unread)
            else:
                return

    def _keep(self, bid: Bid) -> None:
        winner_id = self._winner_of.get(self._task_key(bid))
        (self._open if winner_id is None else self._rivals_of[winner_id]).append(bid)
