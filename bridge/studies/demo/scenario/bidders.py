"""What each bidder offers, and when it is priced out.

Rule of this file: pure; a bidder knows its wallet, its tasks and the last price, nothing of the others. Prices of bids
are whole tokens, rounded down.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.studies.demo.scenario.policies import Waiting
from callmarket.engine.ids import BidId

# The worker gets half of its impact as tokens (SET-3). A bid is measured by the whole of it, so what winners pay
# and what they earn are of one size: tokens stay scarce, and a wallet is refilled by results, not by bidding.
REWARD_TOKENS_PER_IMPACT: Final = 500_000
# A lucky result refills a wallet, it does not end scarcity: at most ten typical tasks' worth.
REWARD_CAP_TOKENS: Final = 500_000
# The default strategy of a quest (BRG-1) shades its bids; agents bid what a slot is worth.
QUEST_SHADE: Final = 0.6
# A resting bid is raised if that makes it a quarter higher: less is not worth losing its place in time.
RAISE_FACTOR: Final = 1.25


class Quote(Struct, frozen=True, gc=False):
    """A bid to place: the price, and what the bidder would have bid with a full wallet."""

    task: Waiting
    price_tokens: int
    wanted_tokens: int


class OpenBid(Struct, gc=False):
    """A bid that rests in the market."""

    bid_id: BidId
    bidder: int
    price_tokens: int
    wanted_tokens: int


def slot_worth_tokens(tractability: float, value_tokens: int, cost_tokens: int) -> int:
    """EV in tokens: the worth of a task if it is solved, times how likely that is, less the compute that it burns."""
    return max(0, int(tractability * value_tokens) - cost_tokens)


def worth_tokens(task: Waiting) -> int:
    """What a slot is worth to a task that waits."""
    return slot_worth_tokens(task.tractability, task.value_tokens, task.estimated_cost_tokens)


def quest_quotes(tasks: Sequence[Waiting], spendable_tokens: int) -> list[Quote]:
    """`clamp(0.6 * EV_in_tokens, 0, spendable / open tasks)` for each task that has no bid yet (BRG-1)."""
    if not tasks:
        return []
    cap = max(0, spendable_tokens) // len(tasks)
    wanted = [int(QUEST_SHADE * worth_tokens(task)) for task in tasks]
    return [Quote(task, min(price, cap), price) for task, price in zip(tasks, wanted, strict=True)]


def agent_quotes(tasks: Sequence[Waiting], available_tokens: int, last_price_tokens: int) -> list[Quote]:
    """What each slot is worth to the agent, the dearest first, as far as its wallet goes.

    Where too little is left for the going price of a slot that is worth it, the agent asks all the same: the market
    refuses it (LED-7), and that is what it means to be priced out.
    """
    quotes = []
    left = available_tokens
    for task in sorted(tasks, key=lambda task: (-worth_tokens(task), task.index)):
        worth = worth_tokens(task)
        priced_out = left < last_price_tokens <= worth
        price = worth if priced_out else min(worth, left)
        if price <= left:
            left -= price
        quotes.append(Quote(task, price, worth))
    return quotes


def quest_raises(bids: Sequence[OpenBid], spendable_tokens: int) -> list[tuple[OpenBid, int]]:
    """New prices for the bids that the wallet had kept low, now that it has tokens again."""
    short = [bid for bid in bids if bid.price_tokens < bid.wanted_tokens]
    if not short or spendable_tokens <= 0:
        return []
    more = spendable_tokens // len(short)
    raised = [(bid, min(bid.wanted_tokens, bid.price_tokens + more)) for bid in short]
    return [(bid, price) for bid, price in raised if price >= RAISE_FACTOR * bid.price_tokens]
