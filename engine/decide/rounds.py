"""The call of a market.

Rule of this file: from the book and the offers to awards; the prices themselves are made in `clearing`. CLR rules.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter, sub
from typing import Final

from callmarket.engine import limits
from callmarket.engine.book import Bid, best_first
from callmarket.engine.clearing import Eligible, Match, match
from callmarket.engine.columns import said_once
from callmarket.engine.commands import OPERATOR, ClearRound, Entry
from callmarket.engine.decide.refusals import is_staff, refused
from callmarket.engine.events import AwardsGranted, BidsExpired, BidsLost, Event, Events, RoundCleared
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.market import Market
from callmarket.engine.reject import Reject
from callmarket.engine.slots import Slot
from callmarket.engine.state import State

_BID: Final = attrgetter("bid_id")
_BIDDER: Final = attrgetter("bidder_id")
_TASK: Final = attrgetter("task_id")
_PRICE: Final = attrgetter("max_price_tokens")
_SLOT: Final = attrgetter("slot_id")
_PROVIDER: Final = attrgetter("provider_id")
_LEASE: Final = attrgetter("lease_us")
_RESERVE: Final = attrgetter("reserve_price_tokens")


def clear(state: State, entry: Entry, command: ClearRound) -> Events:
    """Match, price, award; record the round; release the first losers. O(slots + bids visited)."""
    market = state.markets.get(command.market_id)
    if market is None:
        return refused(Reject.MARKET_UNKNOWN, "market_id", command.market_id)
    if not is_staff(entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    slots = market.offers.available(entry.at_us)
    result = matched(market, entry.at_us, slots, best_first(market.resting, market.round_bids))
    events: list[Event] = [_awards(state, entry, market, result, slots)] if result.winners else []
    losers = _first_losers(market, result.winners) if market.round_bids else []
    rounds = market.rounds_called + 1
    # Every winner stands in one of the two books, so the rest of the round's book is what lost.
    round_winners = sum(bid.time_in_force == "round" for bid in result.winners)
    events.append(
        RoundCleared(
            market_id=command.market_id,
            round_no=rounds,
            slots_available=len(slots),
            bids_open=market.bids_open,
            awards_granted=len(result.winners),
            clearing_price_tokens=result.clearing_price_tokens,
            best_rejected_bid_id=result.best_rejected.bid_id if result.best_rejected else None,
            bids_visited=result.bids_visited,
            losers_remaining=len(market.round_bids) - round_winners - len(losers),
            next_reserve_tokens=result.next_reserve_tokens,
        )
    )
    events += released(command.market_id, rounds, entry.at_us, losers)
    return tuple(events)


def matched(market: Market, at_us: int, slots: Sequence[Slot], bids: Iterator[Bid]) -> Match:
    """The outcome of a call at `at_us` of these bids, in book order, for these slots, in the order of sale."""
    reserves = list(map(_RESERVE, slots))
    return match(eligible(market, at_us, bids), reserves, market.rules.pricing_rule)


def eligible(market: Market, at_us: int, bids: Iterator[Bid]) -> Eligible:
    """The walk over those of some bids, in book order, that a call at `at_us` may award (CLR-2)."""
    return Eligible(bids, at_us, market.tasks_awarded, market.rules.awards_per_bidder_max, market.task_of)


def released(market_id: str, round_no: int, called_at_us: int, losers: Sequence[Bid]) -> list[Event]:
    """The ends of some losers: expired if past their deadline already at the call, lost otherwise (BID-4)."""
    past = [bid for bid in losers if bid.ttl_at_us is not None and bid.ttl_at_us <= called_at_us]
    lost = [bid for bid in losers if bid.ttl_at_us is None or bid.ttl_at_us > called_at_us]
    events: list[Event] = []
    if past:
        events.append(expired(past))
    if lost:
        events.append(BidsLost(market_id, round_no, *_releases(lost)))
    return events


def expired(bids: Sequence[Bid]) -> BidsExpired:
    """The end of some bids past their deadline."""
    return BidsExpired(*_releases(bids))


def _releases(bids: Sequence[Bid]) -> tuple[tuple[BidId, ...], tuple[str, ...], tuple[int, ...]]:
    return (
        tuple([bid.bid_id for bid in bids]),
        tuple([bid.bidder_id for bid in bids]),
        tuple([bid.max_price_tokens for bid in bids]),
    )


def _first_losers(market: Market, winners: Sequence[Bid]) -> list[Bid]:
    winner_ids = set(map(_BID, winners))
    losers = (bid for bid in market.round_bids if bid.bid_id not in winner_ids)
    return list(islice(losers, limits.LOSERS_PER_CALL_MAX))


def _awards(state: State, entry: Entry, market: Market, result: Match, slots: Sequence[Slot]) -> AwardsGranted:
    winners, prices_tokens = result.winners, result.prices_tokens
    sold = slots[: len(winners)]
    return AwardsGranted(
        market_id=market.market_id,
        round_no=market.rounds_called + 1,
        first_award_id=AwardId(state.awards_granted + 1),
        runner_up_task_id=result.best_rejected.task_id if result.best_rejected else None,
        slot_started_at_us=entry.at_us,
        slot_ids=tuple(map(_SLOT, sold)),
        bid_ids=tuple(map(_BID, winners)),
        bidder_ids=tuple(map(_BIDDER, winners)),
        task_ids=tuple(map(_TASK, winners)),
        premiums_tokens=tuple(map(sub, map(_PRICE, winners), prices_tokens)),
        prices_tokens=said_once(prices_tokens),
        provider_ids=said_once(tuple(map(_PROVIDER, sold))),
        leases_until_us=tuple([entry.at_us + lease_us for lease_us in said_once(tuple(map(_LEASE, sold)))]),
    )
