"""What takes more than one request, or makes more than one result: clearing with its sweeps, sweeping, many bids.

Rule of this file: no waiting. A conversation yields requests and is sent their replies, so threads and asyncio hold the
same one; `hold` and `hold_async` are the two ways of waiting.
"""

import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from callmarket.bridge.api import results, verbs
from callmarket.bridge.api.errors import ExchangeError, Refused, Unavailable, UnknownOutcome
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.results import PlacedBid, Round, Swept

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

Conversation = Generator[Sequence[Request], list[Reply], T]

# A sweep ends 500 things, so this is more than a market can hold: reaching it is a bug.
SWEEPS_MAX: Final = 10_000


def clear_round(market_id: str, now: datetime | None, command_id: str) -> Conversation[Round]:
    """Call a market; then release all losers, in bounded sweeps that let others in between (BID-4)."""
    (reply,) = yield [verbs.clear_round(market_id, now, command_id=command_id)]
    cleared = results.cleared_round(reply)
    if cleared.losers_remaining:
        try:
            yield from refund_unfilled(now)
        except (Unavailable, UnknownOutcome):
            # The round stands and was acknowledged; its last losers are released by the next sweep.
            logger.warning("losers of round %d of %s wait for a sweep", cleared.round_no, market_id, exc_info=True)
    return cleared


def refund_unfilled(now: datetime | None, command_id: str = "") -> Conversation[Swept]:
    """Sweep all that is due: losers, awards past their lease, bids and named holds past their deadline (SET-6).

    The first sweep has the command id; asked again, its result is told again, and what it left is swept.
    """
    swept: Swept | None = None
    for number in range(SWEEPS_MAX):
        (reply,) = yield [verbs.refund_unfilled(now, command_id="" if number else command_id)]
        more = results.swept(reply)
        swept = more if swept is None else results.swept_together(swept, more)
        if not swept.more_due:
            return swept
    raise AssertionError("sweeps do not come to an end")


def place_bids(requests: Sequence[Request]) -> Conversation[list[PlacedBid | Refused]]:
    """Place many bids at once; one durable wait for all, one outcome for each. Raises `Invalid` if one is no bid."""
    verbs.check_bids(requests)
    for request in requests:
        verbs.check(request)
    return [results.placed_or_refused(reply) for reply in (yield requests)]


def hold(conversation: Conversation[T], submit: Callable[[Sequence[Request]], list[Reply]]) -> T:
    """The result of a conversation, blocking. What `submit` raises is raised where the requests came from."""
    try:
        requests = next(conversation)
        while True:
            try:
                replies = submit(requests)
            except ExchangeError as error:
                requests = conversation.throw(error)
            else:
                requests = conversation.send(replies)
    except StopIteration as end:
        result: T = end.value
        return result


async def hold_async(conversation: Conversation[T], submit: Callable[[Sequence[Request]], Awaitable[list[Reply]]]) -> T:
    """The result of a conversation, awaited."""
    try:
        requests = next(conversation)
        while True:
            try:
                replies = await submit(requests)
            except ExchangeError as error:
                requests = conversation.throw(error)
            else:
                requests = conversation.send(replies)
    except StopIteration as end:
        result: T = end.value
        return result
