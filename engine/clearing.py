"""Matching and the pricing rules: pure functions over bids and reserves.

Rule of this file: no state is known here. The walk over the book is lazy and stops as soon as the prices are certain,
so a call costs what it visits and nothing for what rests (CLR-9).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain, islice
from operator import attrgetter, ge
from typing import Final, assert_never

from msgspec import Struct

from callmarket.engine.book import Bid, priority
from callmarket.engine.commands import PricingRule

_PRICE: Final = attrgetter("max_price_tokens")
_TTL: Final = attrgetter("ttl_at_us")
_BIDDER: Final = attrgetter("bidder_id")


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
    bid had taken their task, best first.
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
        self._bids = bids
        self._now_us = now_us
        self._tasks_awarded = tasks_awarded
        self._tasks_taken: set[str] = set()
        self._taken_by_bidder: dict[str, int] = {}
        self.awards_per_bidder_max = awards_per_bidder_max
        self.task_key = task_key
        self.rivals: list[Bid] = []
        self.bids_visited = 0

    def next(self) -> Bid | None:
        """The next eligible bid, or None when the book is exhausted. O(bids passed over)."""
        cap, task_key = self.awards_per_bidder_max, self.task_key
        # Not over `live`: one generator more is a fifth of the walk.
        for bid in self._bids:
            self.bids_visited += 1
            if bid.ttl_at_us is not None and bid.ttl_at_us <= self._now_us:
                continue
            task = task_key(bid)
            taken = self._taken_by_bidder.get(bid.bidder_id, 0) if cap else 0
            if task in self._tasks_awarded or 0 < cap <= taken:
                continue
            if task in self._tasks_taken:
                self.rivals.append(bid)
                continue
            self._tasks_taken.add(task)
            if cap:
                self._taken_by_bidder[bid.bidder_id] = taken + 1
            return bid
        return None

    def take(self, reserves_tokens: Sequence[int]) -> tuple[list[Bid], Bid | None]:
        """The winners for slots with these reserves, cheapest first, and the first eligible bid that does not win.

        Bids fall and reserves rise, so the most that can be sold is where they first cross (CLR-3).
        """
        # As a rule nothing is passed over, and a look at all of them together says so. It is no other walk, only a
        # faster one: most of its time is waiting for memory, and for many bids at once that is waited for but once.
        ahead = list(islice(self._bids, len(reserves_tokens) + 1))
        sold = sum(map(ge, map(_PRICE, ahead), reserves_tokens))
        visited = ahead[: sold + 1]
        if self._takes_all(visited):
            self._bids = chain(ahead[sold + 1 :], self._bids)
            return visited[:sold], visited[sold] if sold < len(visited) else None
        self._bids = chain(ahead, self._bids)
        winners: list[Bid] = []
        rejected = self.next()
        while rejected and len(winners) < len(reserves_tokens):
            if rejected.max_price_tokens < reserves_tokens[len(winners)]:
                break
            winners.append(rejected)
            rejected = self.next()
        return winners, rejected

    def _takes_all(self, bids: Sequence[Bid]) -> bool:
        """Visit these, the first of the walk, if all of them are eligible; else do nothing."""
        tasks = set(map(self.task_key, bids))
        deadlines_us = set(map(_TTL, bids)) - {None}
        if len(tasks) < len(bids) or not self._tasks_awarded.keys().isdisjoint(tasks):
            return False
        if deadlines_us and min(deadlines_us) <= self._now_us:
            return False
        if self.awards_per_bidder_max:
            self._taken_by_bidder = Counter(map(_BIDDER, bids))
            if max(self._taken_by_bidder.values(), default=0) > self.awards_per_bidder_max:
                self._taken_by_bidder = {}
                return False
        self._tasks_taken = tasks
        self.bids_visited = len(bids)
        return True

    def live(self) -> Iterator[Bid]:
        """The bids still to be visited that nothing from before this call stands against, whatever has won so far."""
        for bid in self._bids:
            self.bids_visited += 1
            past = bid.ttl_at_us is not None and bid.ttl_at_us <= self._now_us
            if not past and self.task_key(bid) not in self._tasks_awarded:
                yield bid


def match(eligible: Eligible, reserves_tokens: Sequence[int], pricing_rule: PricingRule) -> Match:
    """Match the eligible bids to slots with these reserves, cheapest first, and price the winners (CLR-3 to CLR-5)."""
    winners, rejected = eligible.take(reserves_tokens)
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
    task_key = eligible.task_key
    best_rivals: dict[str, int] = {}
    for bid in eligible.rivals:
        best_rivals.setdefault(task_key(bid), bid.max_price_tokens)
    return [max(price, best_rivals.get(task_key(bid), 0)) for bid in winners]


def _vickrey_prices(winners: Sequence[Bid], rejected: Bid | None, sold: Sequence[int], eligible: Eligible) -> list[int]:
    """What each winner's presence costs the others (Vickrey 1961, Clarke 1971), the reserves being the sellers' bids.

    Without a bidder who has w of the q slots, those w go to the bids of others that could have them beside what the
    others win anyway, or stay with the sellers of the w dearest slots, whichever is worth more: its i-th price is
    max(i-th such bid, (q-w+i)th reserve). Without a cap, or where no two bidders name one task, bids that can win
    together form a matroid: adding the best that fits, one after the other, is then the call without the bidder.
    """
    won: dict[str, int] = {}
    ranks: list[int] = []
    for bid in winners:
        rank = won.get(bid.bidder_id, 0)
        ranks.append(rank)
        won[bid.bidder_id] = rank + 1
    places = _Places(winners, rejected, eligible, won)
    displaced = {bidder_id: places.displaced_by(bidder_id, slots) for bidder_id, slots in won.items()}
    return [
        max(displaced[bid.bidder_id][rank], sold[len(sold) - won[bid.bidder_id] + rank])
        for bid, rank in zip(winners, ranks, strict=True)
    ]


class _Places:
    """Which bid would win a slot if a winner stayed away, the awards of the others unchanged.

    Two kinds of bids: rivals for a task that the winner has, and bids for tasks that nobody has. They are read from the
    book as far as somebody needs them, and kept, in book order, for the next winner.
    """

    def __init__(
        self, winners: Sequence[Bid], rejected: Bid | None, eligible: Eligible, won: Mapping[str, int]
    ) -> None:
        self._task_key = eligible.task_key
        self._cap = eligible.awards_per_bidder_max
        self._won = won
        self._winner_of = {self._task_key(bid): bid.bidder_id for bid in winners}
        self._unread = eligible.live()
        self._open: list[Bid] = []
        self._rivals_of: dict[str, list[Bid]] = {}
        self._kept_for_task: dict[str, int] = {}
        self._best_of_open_task: dict[str, int] = {}
        # Bidders of kept bids, and winners with rivals. All other winners of the same number of slots displace the same
        # bids.
        self._unlike: set[str] = set()
        self._displaced_by_alike: dict[int, list[int]] = {}
        # The rivals that the walk has met stand before the bid at which it ended.
        for bid in eligible.rivals:
            self._keep(bid)
        if rejected is not None:
            self._keep(rejected)

    def displaced_by(self, bidder_id: str, slots: int) -> list[int]:
        """The prices of the best bids that would take a winner's slots, filled up with 0."""
        if bidder_id not in self._unlike and slots in self._displaced_by_alike:
            return self._displaced_by_alike[slots]
        prices = self._best_prices(bidder_id, slots)
        prices += [0] * (slots - len(prices))
        # Looked at once more, because reading on may have found some.
        if bidder_id not in self._unlike:
            self._displaced_by_alike[slots] = prices
        return prices

    def _best_prices(self, bidder_id: str, slots: int) -> list[int]:
        """As many as there are, up to one for each slot."""
        prices: list[int] = []
        tasks: set[str] = set()
        taken: dict[str, int] = {}
        for bid in self._candidates(bidder_id):
            other_id, task = bid.bidder_id, self._task_key(bid)
            more = taken.get(other_id, 0)
            if other_id == bidder_id or task in tasks or 0 < self._cap <= self._won.get(other_id, 0) + more:
                continue
            prices.append(bid.max_price_tokens)
            if len(prices) == slots:
                break
            tasks.add(task)
            taken[other_id] = more + 1
        return prices

    def _candidates(self, bidder_id: str) -> Iterator[Bid]:
        """The bids that do not win, for tasks that the winner has or nobody has, in book order."""
        rivals = self._rivals_of.get(bidder_id)
        if rivals and self._open and priority(rivals[-1]) > priority(self._open[0]):
            yield from merge(rivals, self._open, key=priority)
        else:
            yield from rivals or ()
            yield from self._open
        for bid in self._unread:
            if self._keep(bid) in (None, bidder_id):
                yield bid

    def _keep(self, bid: Bid) -> str | None:
        """Keep a bid if it may ever count. Returns whose task it is for, None if nobody's."""
        task = self._task_key(bid)
        winner_id = self._winner_of.get(task)
        kept = self._kept_for_task.get(task, 0)
        if self._cap:
            # Whichever winner stays away, the best bid for a task that nobody has comes in as long as its bidder is
            # under the cap. So a bidder with as many of these as the cap allows is at it before any more of its bids,
            # which need not be read.
            best = self._best_of_open_task.get(bid.bidder_id, 0)
            if self._won.get(bid.bidder_id, 0) + best >= self._cap:
                return winner_id
            if winner_id is None and not kept:
                self._best_of_open_task[bid.bidder_id] = best + 1
        # A task has one winner and no two bids of one bidder. So without a cap only its best bid counts or, if nobody
        # has the task, the second best too: that is for the bidder of the best. A task that all want costs no more.
        if self._cap or kept < (2 if winner_id is None else 1):
            self._kept_for_task[task] = kept + 1
            (self._open if winner_id is None else self._rivals_of.setdefault(winner_id, [])).append(bid)
            self._unlike.add(winner_id or bid.bidder_id)
        return winner_id
