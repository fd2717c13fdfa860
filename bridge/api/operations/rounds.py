"""Rounds: calling a market, sweeping what is due; and what calls came to, one by one or in a period.

Rule of this file: the operations about calls of markets, with what they return.
"""

import logging
from collections.abc import Generator, Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import ROWS_MAX, check_limit, check_name, check_since
from callmarket.bridge.api.contract.fields import After, Limit, Named, Now, Order, PathName, Period, Since
from callmarket.bridge.api.contract.operation import Submit, Workflow, operation
from callmarket.bridge.api.contract.pages import numbered, page_of
from callmarket.bridge.api.contract.queries import SUMMING_UP, TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Stamp, only, stamp
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

# A sweep ends 500 things, so this is more than a market can hold: reaching it is a bug.
SWEEPS_MAX: Final = 10_000
# Nobody sees less on a chart.
INTERVAL_US_MIN: Final = 1_000_000
# A hundred years: far longer ones are beyond what the database can count in.
INTERVAL_US_MAX: Final = 36_525 * 86_400_000_000


class Award(Struct, frozen=True, gc=False):
    """A right to a slot. `award_id` is the fencing token: name it when settling."""

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
    """One call of a market. The price is None where nobody won, or where each winner pays a price of its own.

    What each pays is in its award: where another bidder bid for the same task it may be more than that price.
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
    """What sweeps ended. `more_due` says that there is more."""

    bids_lost: int
    bids_expired: int
    awards_lapsed: int
    more_due: bool
    stamp: Stamp
    holds_expired: int = 0


class RecentStats(Stats, frozen=True):
    """What a market did in a period, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class Candles(Struct, frozen=True):
    """What a market did since `since` in parts of equal length, as the tables have it at `seq`.

    The oldest part is first, and parts without a call are left out. The first and the last may have begun before
    `since`, or be under way.
    """

    market_id: str
    since: datetime
    interval: timedelta
    candles: tuple[Candle, ...]
    seq: int
    durable_seq: int


@operation("POST", "/markets/{market_id}/clear", "Markets", "Call a market")
def clear_round(market_id: PathName, now: Now | None = None, *, command_id: str = "") -> Workflow[Round]:
    """Match bids and slots, price and award, and release the losers, in bounded sweeps that let others in between.

    Needs the scope `operate`. `now` is for who drives the market's time: it may not be ahead of the service's clock by
    more than a second (BID-4).
    """
    call = clear_request(market_id, now, command_id=command_id)

    def steps() -> Generator[Any, Any, Round]:
        (reply,) = yield Submit([call])
        cleared = _cleared(reply)
        if cleared.losers_remaining:
            try:
                yield from _sweeps(sweep_request(now), now)
            except (Unavailable, UnknownOutcome):
                # The round stands and was acknowledged; its last losers are released by the next sweep.
                logger.warning("losers of round %d of %s wait for a sweep", cleared.round_no, market_id, exc_info=True)
        return cleared

    return Workflow(steps())


@operation("POST", "/sweep", "Markets", "End what is due")
def refund_unfilled(now: Now | None = None, *, command_id: str = "") -> Workflow[Swept]:
    """End bids and holds past their deadline and awards past their lease, and release losers (SET-6).

    Needs the scope `operate`. The service does so by itself; this is for those who cannot wait. The first sweep has the
    command id; asked again, its result is told again, and what it left is swept.
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
    """Calls of a market, or of all: supply, demand, price. Page after page; with `since`, those then or later.

    Raises `NotFound` if there is no such market.
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


@operation("GET", "/markets/{market_id}/stats", "Markets", "Recent figures")
def get_recent_stats(
    market_id: PathName, period: Period = timedelta(hours=24), *, limit: Limit = ROWS_MAX
) -> TableQuery[RecentStats]:
    """Prices paid, fill rate, and the ten best winning bids beside their impact, of a period up to now.

    `limit` is how many of its rounds are listed at most, the newest first; the totals count all. Raises `NotFound` if
    there is no such market. Costs the rounds and awards of the period.
    """
    check_name("market_id", market_id)
    check_limit(limit)
    period_us = units.duration_us("period", period)

    def answer(at: Tables) -> RecentStats:
        check_market(at, market_id)
        found = queries.stats(at.connection, at.shard_id, market_id, at.now, _since_1970(period_us, at.now), limit)
        return RecentStats(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/candles", "Markets", "Figures of a chart")
def get_candles(
    market_id: Annotated[Named, Meta(description="Whose figures.")],
    period: Period = timedelta(hours=24),
    interval: Period = timedelta(minutes=5),
) -> TableQuery[Candles]:
    """Prices paid, supply and awards of a period up to now, in at most a thousand equal parts: what a chart shows.

    Parts begin at multiples of `interval` since 1970. Raises `NotFound` if there is no such market. Costs the rounds of
    the period.
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
    """Check that there is such a market. Raises `NotFound`."""
    if not queries.market_exists(at.connection, at.shard_id, market_id):
        raise NotFound("market_id", market_id, "an open market")


def awards_of(events: Iterable[Event]) -> tuple[Award, ...]:
    """The awards of a call, as its events have them."""
    granted = [event for event in one_by_one(events) if isinstance(event, AwardGranted)]
    # All begin at one moment, and most leases are alike: to make dates took longer than all else.
    times_us = {event.slot_started_at_us for event in granted} | {event.lease_until_us for event in granted}
    dates = {at_us: datetime_of(at_us) for at_us in times_us}
    # By position: a call may grant thousands.
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
    """The request that calls a market, and no more. Raises `Invalid`."""
    return request(OPERATOR, commands.ClearRound(market_id), command_id, now)


def sweep_request(now: datetime | None = None, *, command_id: str = "") -> Request:
    """The request for one sweep. Raises `Invalid`."""
    return request(OPERATOR, commands.ExpireDue(), command_id, now)


def _sweeps(sweep: Request, now: datetime | None) -> Generator[Any, Any, Swept]:
    """Sweep until nothing is due."""
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
    return Swept(event.bids_lost, event.bids_expired, event.awards_lapsed, event.more_due, made, event.holds_expired)


def _together(one: Swept, two: Swept) -> Swept:
    """Two sweeps, one after the other, as one."""
    return Swept(
        bids_lost=one.bids_lost + two.bids_lost,
        bids_expired=one.bids_expired + two.bids_expired,
        awards_lapsed=one.awards_lapsed + two.awards_lapsed,
        more_due=two.more_due,
        stamp=two.stamp,
        holds_expired=one.holds_expired + two.holds_expired,
    )


def _since_1970(period_us: int, now: datetime) -> timedelta:
    """The period, but not longer than there was anything: dates end in the year 1."""
    return duration_of(min(period_us, units.at_us("now", now)))


class Rounds:
    """The operations about calls, as methods of a market."""

    clear_round = clear_round
    refund_unfilled = refund_unfilled
    get_rounds = get_rounds
    get_recent_stats = get_recent_stats
    get_candles = get_candles
