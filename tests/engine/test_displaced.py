"""What a winner pays under `vickrey`, against the words of CLR-5.

Goal: prices that are found by reading on, with what some winners displace shared among them, are those of walking the
book again for each winner. Method: random books in which bidders have many bids and most tasks have rivals.
"""

import random
from collections.abc import Sequence
from operator import attrgetter

from callmarket.engine.book import Bid, priority
from callmarket.engine.clearing import Eligible, match

BOOKS = 3_000


def random_book(rng: random.Random) -> list[Bid]:
    """Some bidders with some bids each, no two of one bidder for one task."""
    tasks = [f"t{number}" for number in range(rng.randint(2, 8))]
    named = [(f"a{bidder}", task) for bidder in range(rng.randint(2, 5)) for task in tasks if rng.random() < 0.6]
    rng.shuffle(named)
    bids = [
        Bid(seq, "m", bidder, task, rng.randint(1, 12), 0, None, "round", seq, 1, False)
        for seq, (bidder, task) in enumerate(named, 1)
    ]
    return sorted(bids, key=priority)


def displaced_tokens(book: Sequence[Bid], winners: Sequence[Bid], bidder_id: str, cap: int) -> list[int]:
    """CLR-5, Precisely: the book walked again without a bidder's bids, the other winners being placed already."""
    placed = [bid for bid in winners if bid.bidder_id != bidder_id]
    slots = len(winners) - len(placed)
    found: list[int] = []
    for bid in book:
        others = [other for other in placed if other.bidder_id == bid.bidder_id]
        taken = bid.task_id in {other.task_id for other in placed}
        if bid.bidder_id == bidder_id or taken or 0 < cap <= len(others) or len(found) == slots:
            continue
        placed.append(bid)
        found.append(bid.max_price_tokens)
    return found + [0] * (slots - len(found))


def test_a_winner_pays_what_its_slots_keep_out(seed: int) -> None:
    """CLR-5: the i-th best bid that its slots keep out, or the reserve; with rivals, caps and large bidders."""
    rng = random.Random(seed)
    for _ in range(BOOKS):
        book, cap = random_book(rng), rng.choice((0, 0, 1, 2, 3))
        reserves = sorted(rng.choice((0, 0, 0, 3)) for _ in range(rng.randint(1, 6)))
        result = match(Eligible(iter(book), 0, {}, cap, attrgetter("task_id")), reserves, "vickrey")
        sold = len(result.winners)
        for place, (bid, price) in enumerate(zip(result.winners, result.prices_tokens, strict=True)):
            slots = sum(winner.bidder_id == bid.bidder_id for winner in result.winners)
            rank = sum(winner.bidder_id == bid.bidder_id for winner in result.winners[:place])
            kept_out = displaced_tokens(book, result.winners, bid.bidder_id, cap)[rank]
            assert price == max(kept_out, reserves[sold - slots + rank]), (book, reserves, cap, bid)
