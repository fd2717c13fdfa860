"""What a wallet should have in the book, against what it has there: what to place, amend and cancel.

Rule of this file: pure, and one wallet at a time; it asks nobody and does nothing. A plan over what it has itself made
is empty: to submit again changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from callmarket.bridge.config import Config
from callmarket.bridge.fleet.ev_scorer.scoring import Scores
from callmarket.engine.ids import NO_BID, BidId
from callmarket.engine.limits import TOKENS_MAX

BLOCKED: Final = "blocked"
UNSOUND: Final = "unsound"
AWARDED: Final = "awarded"
OUTRANKED: Final = "outranked"
ZERO: Final = "zero"
FUNDS: Final = "funds"
NOT_OPEN: Final = "not open"
PRICE: Final = "price"
DEADLINE: Final = "deadline"


class Resting(Struct, frozen=True, gc=False):
    """An open bid of the wallet."""

    bid_id: BidId
    task_id: str
    price_tokens: int
    ttl_at: datetime | None


class Change(Struct, frozen=True, gc=False):
    """One thing to do to the book. `bid_id` is 0 for a bid to place; what stays as it is is None."""

    action: Literal["place", "amend", "cancel"]
    task_id: str
    reason: str
    bid_id: BidId = NO_BID
    price_tokens: int | None = None
    ttl_at: datetime | None = None


class Plan(Struct, frozen=True):
    """What to do, in this order: the stages one after the other, so that tokens are free before they are needed.

    `skipped` has the task and the reason of each that is not bid for.
    """

    cancels: Sequence[Change]
    lowers: Sequence[Change]
    raises: Sequence[Change]
    places: Sequence[Change]
    kept: Sequence[Resting]
    skipped: Sequence[tuple[str, str]]


class Wanted(Struct, frozen=True, gc=False):
    """A task that is worth a bid, and what would be bid with a full wallet."""

    task_id: str
    price_tokens: int


class Wallet(Struct, frozen=True):
    """The input of a plan: available tokens, open bids, and the tasks that have an award already."""

    available_tokens: int
    resting: Sequence[Resting]
    tasks_awarded: frozenset[str]


def plan(scores: Scores, fractions: Mapping[str, float], wallet: Wallet, now: datetime, config: Config) -> Plan:
    """Plan the bids of one wallet for all open tasks of its quests (BRG-1). `fractions` are the quests' bid fractions.

    The wallet has for its bids its available tokens and those that its open bids hold in this market: a bid that rests
    takes nothing from the cap. Of all tasks only the `ev_bids_per_wallet_max` best are bid for, and counted. O(n log
    n).
    """
    resting = {bid.task_id: bid for bid in wallet.resting if bid.ttl_at is None or bid.ttl_at > now}
    why_not: dict[str, str] = {}
    wanted = list(_wanted(scores, fractions, wallet.tasks_awarded, why_not, config.ev_bids_per_wallet_max))
    spendable = wallet.available_tokens + sum(bid.price_tokens for bid in resting.values())
    prices = _prices(wanted, spendable, why_not)
    cancels = [
        Change("cancel", bid.task_id, why_not.get(bid.task_id, NOT_OPEN), bid.bid_id)
        for bid in resting.values()
        if bid.task_id not in prices
    ]
    ttl = timedelta(seconds=config.ev_bid_ttl_s)
    staying = [bid for bid in resting.values() if bid.task_id in prices]
    amended = _amended(staying, prices, spendable, config.ev_amend_percent)
    changes = [change for bid in staying if (change := _amendment(bid, amended.get(bid.task_id), now, ttl))]
    touched = {change.task_id for change in changes}
    raises = {bid.task_id for bid in staying if amended.get(bid.task_id, 0) > bid.price_tokens}
    return Plan(
        cancels=cancels,
        lowers=[change for change in changes if change.task_id not in raises],
        raises=[change for change in changes if change.task_id in raises],
        places=[
            Change("place", task_id, PRICE, price_tokens=price, ttl_at=now + ttl)
            for task_id, price in prices.items()
            if task_id not in resting
        ],
        kept=[bid for bid in staying if bid.task_id not in touched],
        skipped=[(task_id, reason) for task_id, reason in why_not.items() if task_id not in resting],
    )


def _wanted(
    scores: Scores,
    fractions: Mapping[str, float],
    tasks_awarded: frozenset[str],
    why_not: dict[str, str],
    bids_max: int,
) -> Iterator[Wanted]:
    """The best tasks that are worth a bid, best first; why not, for each of the others."""
    ev_tokens = scores.ev_tokens.tolist()
    found = 0
    for index in scores.order.tolist():
        task = scores.tasks[index]
        price = int(min(fractions[task.quest_id] * ev_tokens[index], TOKENS_MAX))
        if task.blocked:
            why_not[task.task_id] = BLOCKED
        elif index in scores.unsound:
            why_not[task.task_id] = UNSOUND
        elif task.task_id in tasks_awarded:
            why_not[task.task_id] = AWARDED
        elif not price:
            why_not[task.task_id] = ZERO
        elif found == bids_max:
            why_not[task.task_id] = OUTRANKED
        else:
            found += 1
            yield Wanted(task.task_id, price)


def _prices(wanted: Sequence[Wanted], spendable: int, why_not: dict[str, str]) -> dict[str, int]:
    """The bid for each: the wanted price, capped at an equal part of the tokens there are; none if that is 0."""
    cap = spendable // len(wanted) if wanted else 0
    if not cap:
        why_not.update(dict.fromkeys((one.task_id for one in wanted), FUNDS))
        return {}
    return {one.task_id: min(one.price_tokens, cap) for one in wanted}


def _amended(staying: Sequence[Resting], prices: Mapping[str, int], spendable: int, percent: int) -> dict[str, int]:
    """The new price of each open bid whose price changes enough.

    Where the bids that are a little too high would leave too little for the others, each of them is lowered as well.
    """
    amended = {
        bid.task_id: prices[bid.task_id]
        for bid in staying
        if prices[bid.task_id] != bid.price_tokens
        and 100 * abs(prices[bid.task_id] - bid.price_tokens) >= percent * bid.price_tokens
    }
    kept = [bid for bid in staying if bid.task_id not in amended]
    over = sum(prices.values()) + sum(bid.price_tokens - prices[bid.task_id] for bid in kept) - spendable
    if over > 0:
        amended |= {bid.task_id: prices[bid.task_id] for bid in kept if bid.price_tokens > prices[bid.task_id]}
    return amended


def _amendment(bid: Resting, price: int | None, now: datetime, ttl: timedelta) -> Change | None:
    """The change of an open bid; None where it stays as it is. A deadline that is less than half of it off moves."""
    late = bid.ttl_at is not None and bid.ttl_at - now < ttl / 2
    if price is None and not late:
        return None
    reason = DEADLINE if price is None else PRICE
    return Change("amend", bid.task_id, reason, bid.bid_id, price, now + ttl if late else None)
