"""What the schedule asks the live state: which sweeps are due, and what a call of a market would do.

Rule of this file: queries on the state, run under the sequencer's lock: they change nothing and copy what they give.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from callmarket.bridge.scheduler.schedule import Probe, Watermark
from callmarket.engine.book import best_first
from callmarket.engine.commands import OPERATOR, ClearRound
from callmarket.engine.core import first_use
from callmarket.engine.decide.rounds import eligible
from callmarket.engine.market import Market
from callmarket.engine.state import State


class Overview(NamedTuple):
    """The whole shard at a glance. `at_us` is the market's time, which may be ahead of the clock.

    `sweep_us` is when the next sweep is due, 0 for losers that wait for one, None if nothing has a deadline; `stirring`
    are those of the markets asked for that have slots and bids.
    """

    seq: int
    at_us: int
    sweep_us: int | None
    stirring: frozenset[str]


def overview(market_ids: Sequence[str]) -> Callable[[State], Overview]:
    """The query for a glance at the shard and at some markets. O(markets asked for)."""

    def query(state: State) -> Overview:
        bids_and_holds = (state.award_leases.soonest(), state.bid_deadlines.soonest(), state.holds.soonest())
        deadlines = (*bids_and_holds, state.capital.soonest())
        due = [at_us for at_us in deadlines if at_us is not None]
        sweep_us = 0 if state.unreleased_losers else min(due, default=None)
        stirring = frozenset([market_id for market_id in market_ids if _stirs(state.markets.get(market_id))])
        return Overview(state.seq, state.at_us, sweep_us, stirring)

    return query


def probe(market_id: str, now_us: int, watermark: Watermark, command_id: str) -> Callable[[State], Probe | None]:
    """The query for what a call at `now_us` would do; None if there is no such market.

    O(slots offered + bids that the call would pass over before its first winner).
    """

    def query(state: State) -> Probe | None:
        market = state.markets.get(market_id)
        if market is None:
            return None
        at_us = max(state.at_us, now_us)
        available = [slot for slot in market.offers.unordered() if slot.available_at_us <= at_us]
        reserve_tokens = min((slot.reserve_price_tokens for slot in available), default=None)
        sells = reserve_tokens is not None and _best_tokens(market, at_us) >= reserve_tokens
        return Probe(
            slots_available=len(available),
            bids_open=market.bids_open,
            sells=sells,
            # Bids for one round lose at the call.
            changes=sells or len(market.round_bids) > 0,
            offered=any(slot.offer_seq > watermark.seq or slot.available_at_us > watermark.at_us for slot in available),
            called=bool(command_id)
            and first_use(state, OPERATOR, command_id, ClearRound(market_id), at_us) is not None,
            watermark=Watermark(state.seq, at_us),
        )

    return query


def _best_tokens(market: Market, at_us: int) -> int:
    """The best bid that a call takes (CLR-2), -1 if there is none. It wins if the cheapest slot lets it (CLR-3)."""
    book = best_first(market.resting, market.round_bids)
    best = eligible(market, at_us, book).next()
    return -1 if best is None else best.max_price_tokens


def _stirs(market: Market | None) -> bool:
    return market is not None and market.bids_open > 0 and len(market.offers) > 0
