"""The bids that every peer is given: the same ones, in the same order.

Rule of this file: drawn from a seed and from nothing else; prices as in `workload`, whose 99,001 are the worst case.
"""

import random
from collections.abc import Iterator

from benchmarks.table.peer import Bid
from benchmarks.workload import BIDDERS, PRICE_MAX_TOKENS, PRICE_MIN_TOKENS


def bids(seed: int, price_step_tokens: int = 1) -> Iterator[Bid]:
    """Bids without end, at uniform prices; a step of 10,000 leaves ten prices, so that many bids have the same."""
    draw = random.Random(seed)
    number = 0
    while True:
        price_tokens = draw.randrange(PRICE_MIN_TOKENS, PRICE_MAX_TOKENS + 1, price_step_tokens)
        yield Bid(number, draw.randrange(BIDDERS), price_tokens)
        number += 1
