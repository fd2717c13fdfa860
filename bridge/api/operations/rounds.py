"""Rounds: call a market, sweep what is due; and the results of calls, one by one or summed over a period.

Rule of this file: the operations on calls of markets and their result types.
"""

import logging
from collections.abc import Generator, Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import ROWS_MAX, check_limit, check_name, check_since
from callmarket.bridge.api.contract.fields import After, Limit, Named, Now, Order, PathName, Period, Since
from callmarket.bridge.api.contract.operation import Submit, Workflow, operation
from callmarket.bridge.api.contract.pages import numbered, page_of
from callmarket.bridge.api.contract.queries import SUMMING_UP, TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Stamp, detail, only, stamp
from callmarket.bridge.api.errors import Invalid, NotFound, Unavailable, UnknownOutcome
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.units import datetime_of, duration_of
from callmarket.engine import commands
from callmarket.engine.commands import OPERATOR
from callmarket.engine.events import AwardGranted, Event, RoundCleared, SweepFinished, one_by_one
from callmarket.engine.ids import AwardId, BidId
from callmarket.persistence import queries
from callmarket.persistence.queries import Candle, RoundRow, Stats

__all__ = ["Award", "Candles", "RecentStats", "Round", "RoundRow", "Swept"]

logger: Final = logging.getLogger(__name__)

# A sweep ends up to 500 items, so this many end more than a market can hold: reaching the bound is a bug.
SWEEPS_MAX: Final = 10_000
# Shorter intervals cannot be seen on a chart.
INTERVAL_US_MIN: Final = 1_000_000
# A hundred years. Much longer intervals are beyond the range of the database.
INTERVAL_US_MAX: Final = 36_525 * 86_400_000_000


class Award(Struct, frozen=True, gc=False):
    """The right to use a slot until `lease_until`. `award_id` is its fencing token: name it when settling."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    task_id: str
    price_tokens: int
    premium_tokens: int
    runner_up_task_id: str | None
    provider_id: str
    slot_started_at: datetime
    lease_until: datetime


class Round(Struct, frozen=True):
    """The result of one call of a market.

    `clearing_price_tokens` is None if nothing was sold, or if the pricing rule gives each winner its own price. The
    price that a winner pays is in its award; it exceeds the clearing price if a rival bid more for the same task.
    `losers_remaining` counts the losing bids whose holds a later sweep releases.
    """

    market_id: str
    round_no: int
    slots_available: int
    bids_open: int
    clearing_price_tokens: int | None
    awards: tuple[Award, ...]
    losers_remaining: int
    stamp: Stamp


class Swept(Struct, frozen=True):
    """The number of bids, awards, holds and orders that sweeps ended, and of positions that they paid.

    `more_due`: more are due and were not ended yet.
    """

    bids_lost: int
    bids_expired: int
    awards_lapsed: int
    more_due: bool
    stamp: Stamp
    holds_expired: int = 0
    orders_ended: int = 0
    positions_paid: int = 0


class RecentStats(Stats, frozen=True):
    """Statistics of a market over a period, read from the tables at `seq`."""

    seq: int
    durable_seq: int


class Candles(Struct, frozen=True):
    """Statistics of a market since `since` in intervals of equal length, read from the tables at `seq`.

    Oldest first; intervals without a call are left out. The first may begin before `since`, and the last may not be
    over yet.
    """

    market_id: str
    since: datetime
    interval: timedelta
    candles: tuple[Candle, ...]
    seq: int
    durable_seq: int


@operation("POST", "/markets/{market_id}/clear", "Markets", "Call a market")
def clear_round(market_id: PathName, now: Now | None = None, *, command_id: str = "") -> Workflow[Round]:
    """Call a market: match bids and slots, set the prices, grant the awards, and release the losers.

    Needs the scope `operate`. Losers are released in bounded sweeps, between which other commands are applied. `now` is
    for callers that control the market's time; it may be up to one second ahead of the service's clock.
    """
    call = clear_request(market_id, now, command_id=command_id)

    def steps() -> Generator[Any, Any, Round]:
        (reply,) = yield Submit([call])
        cleared = _cleared(reply)
        if cleared.losers_remaining:
            try:
                yield from _sweeps(sweep_request(now), now)
            except (Unavailable, UnknownOutcome):
                # The round is done and acknowledged. Its remaining losers are released by the next sweep.
                logger.warning("losers of round %d of %s wait for a sweep", cleared.round_no, market_id, exc_info=True)
        return cleared

    return Workflow(steps())


@operation("POST", "/sweep", "Markets", "Sweep what is due")
def refund_unfilled(now: Now | None = None, *, command_id: str = "") -> Workflow[Swept]:
    """End bids and holds past their deadline and awards past their lease, and release losers (SET-6).

    Needs the scope `operate`. The service sweeps by itself; call this to sweep at once. Only the first sweep has the
    command id: a retry returns the result of that sweep, and goes on with what is still due.
    """
    return Workflow(_sweeps(sweep_request(now, command_id=command_id), now))


@operation("GET", "/rounds", "Markets", "List rounds")
def get_rounds(
    market_id: Named | None = None,
    limit: Limit = 100,
    *,
    since: Since | None = None,
    after: After | None = None,
    order: Order = "newest",
) -> TableQuery[Page[RoundRow]]:
    """Calls of one market, or of all: supply, demand and price, in pages.

    With `since`, only calls at that time or later. Raises `NotFound` if there is no such market.
    """
    if market_id is not None:
        check_name("market_id", market_id)
    check_since(since)
    kind, page = numbered("rounds", limit, after, order)

    def answer(at: Tables) -> Page[RoundRow]:
        if market_id is not None:
            check_market(at, market_id)
        rows = queries.rounds_page(at.connection, at.shard_id, market_id, since, page)
        return page_of(rows, limit, kind, lambda row: row.seq, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/markets/{market_id}/stats", "Markets", "Recent statistics")
def get_recent_stats(
    market_id: PathName, period: Period = timedelta(hours=24), *, limit: Limit = ROWS_MAX
) -> TableQuery[RecentStats]:
    """Prices paid, fill rate, and the ten highest winning bids with their impact, over a period up to now.

    Up to `limit` rounds of the period are listed, newest first; the totals count all. Raises `NotFound` if there is no
    such market. Cost: reads the rounds and awards of the period.
    """
    check_name("market_id", market_id)
    check_limit(limit)
    period_us = units.duration_us("period", period)

    def answer(at: Tables) -> RecentStats:
        check_market(at, market_id)
        found = queries.stats(at.connection, at.shard_id, market_id, at.now, _since_1970(period_us, at.now), limit)
        return detail(RecentStats, found, at.seq, at.durable_seq)

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/candles", "Markets", "Candles of a market")
def get_candles(
    market_id: Annotated[Named, Meta(description="The market.")],
    period: Period = timedelta(hours=24),
    interval: Period = timedelta(minutes=5),
) -> TableQuery[Candles]:
    """Prices paid, supply and awards over a period up to now, in up to a thousand equal intervals, for a chart.

    Intervals begin at multiples of `interval` since 1970. Raises `NotFound` if there is no such market. Cost: reads the
    rounds of the period.
    """
    check_name("market_id", market_id)
    period_us = units.duration_us("period", period)
    interval_us = units.duration_us("interval", interval)
    if interval_us < INTERVAL_US_MIN or interval_us * ROWS_MAX < period_us:
        raise Invalid("interval", str(interval), f"at least a second, and at least a part in {ROWS_MAX} of the period")
    if interval_us > INTERVAL_US_MAX:
        raise Invalid("interval", str(interval), "at most a hundred years")

    def answer(at: Tables) -> Candles:
        check_market(at, market_id)
        longest = _since_1970(period_us, at.now)
        found = queries.candles(at.connection, at.shard_id, market_id, at.now, longest, interval)
        return Candles(market_id, at.now - longest, interval, tuple(found), at.seq, at.durable_seq)

    return TableQuery(answer, SUMMING_UP)


def check_market(at: Tables, market_id: str) -> None:
    """Check that a market exists. Raises `NotFound`."""
    if not queries.market_exists(at.connection, at.shard_id, market_id):
        raise NotFound("market_id", market_id, "an open market")


def awards_of(events: Iterable[Event]) -> tuple[Award, ...]:
    """The awards that are granted by the events of a call."""
    granted = [event for event in one_by_one(events) if isinstance(event, AwardGranted)]
    # All awards begin at one time, and most leases are equal. Converting each time once matters: it dominated the cost.
    times_us = {event.slot_started_at_us for event in granted} | {event.lease_until_us for event in granted}
    dates = {at_us: datetime_of(at_us) for at_us in times_us}
    # Positional arguments are faster, and a call may grant thousands of awards.
    return tuple(
        [
            Award(
                event.award_id,
                event.slot_id,
                event.bid_id,
                event.bidder_id,
                event.task_id,
                event.price_tokens,
                event.premium_tokens,
                event.runner_up_task_id,
                event.provider_id,
                dates[event.slot_started_at_us],
                dates[event.lease_until_us],
            )
            for event in granted
        ]
    )


def clear_request(market_id: str, now: datetime | None = None, *, command_id: str = "") -> Request:
    """The request that calls a market, without the sweeps that follow. Raises `Invalid`."""
    return request(OPERATOR, commands.ClearRound(market_id), command_id, now)


def sweep_request(now: datetime | None = None, *, command_id: str = "") -> Request:
    """The request for one sweep. Raises `Invalid`."""
    return request(OPERATOR, commands.ExpireDue(), command_id, now)


def _sweeps(sweep: Request, now: datetime | None) -> Generator[Any, Any, Swept]:
    """Sweep until nothing is due. Returns the sums of all sweeps."""
    swept: Swept | None = None
    for _ in range(SWEEPS_MAX):
        (reply,) = yield Submit([sweep])
        more = _swept(reply)
        swept = more if swept is None else _together(swept, more)
        if not swept.more_due:
            return swept
        sweep = sweep_request(now)
    raise AssertionError("sweeps do not come to an end")


def _cleared(reply: Reply) -> Round:
    made, event = stamp(reply), only(reply.events, RoundCleared)
    return Round(
        market_id=event.market_id,
        round_no=event.round_no,
        slots_available=event.slots_available,
        bids_open=event.bids_open,
        clearing_price_tokens=event.clearing_price_tokens,
        awards=awards_of(reply.events),
        losers_remaining=event.losers_remaining,
        stamp=made,
    )


def _swept(reply: Reply) -> Swept:
    made, event = stamp(reply), only(reply.events, SweepFinished)
    return Swept(
        bids_lost=event.bids_lost,
        bids_expired=event.bids_expired,
        awards_lapsed=event.awards_lapsed,
        more_due=event.more_due,
        stamp=made,
        holds_expired=event.holds_expired,
        orders_ended=event.orders_ended,
        positions_paid=event.positions_paid,
    )


def _together(one: Swept, two: Swept) -> Swept:
    """The sum of two successive sweeps."""
    return Swept(
        bids_lost=one.bids_lost + two.bids_lost,
        bids_expired=one.bids_expired + two.bids_expired,
        awards_lapsed=one.awards_lapsed + two.awards_lapsed,
        more_due=two.more_due,
        stamp=two.stamp,
        holds_expired=one.holds_expired + two.holds_expired,
        orders_ended=one.orders_ended + two.orders_ended,
        positions_paid=one.positions_paid + two.positions_paid,
    )


def _since_1970(period_us: int, now: datetime) -> timedelta:
    """The period, cut so that it begins in 1970 at the earliest: a `datetime` before the year 1 is an error."""
    return duration_of(min(period_us, units.at_us("now", now)))


class Rounds:
    """The operations on calls, as methods of a market."""

    clear_round = clear_round
    refund_unfilled = refund_unfilled
    get_rounds = get_rounds
    get_recent_stats = get_recent_stats
    get_candles = get_candles
