"""Sweeping what is due.

Rule of this file: bounded work per command, in one order, and the truth about what is left (SET-6).
"""

from collections.abc import Iterator
from itertools import islice

from callmarket.engine import limits
from callmarket.engine.book import Bid
from callmarket.engine.commands import OPERATOR, Entry
from callmarket.engine.decide import holds
from callmarket.engine.decide.awards import lapsed
from callmarket.engine.decide.capital.settlement import swept
from callmarket.engine.decide.refusals import is_staff, refused
from callmarket.engine.decide.rounds import expired, released
from callmarket.engine.events import BidsLost, Event, Events, SweepFinished
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.reject import Reject
from callmarket.engine.state import State


def expire_due(state: State, entry: Entry) -> Events:
    """End what is due, in the order of SET-6, up to the bound. O(ended + log n)."""
    if not is_staff(entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    items_max = limits.SWEEP_ITEMS_MAX
    loser_ends, losers = _losers(state, items_max)
    losers_left = sum(len(losing.book) for losing in state.unreleased_losers.values()) - losers
    # One more than there is room for, here and below, tells whether more is due.
    award_ids = list(islice(state.award_leases.due(entry.at_us), items_max - losers + 1))
    awards = [state.awards[AwardId(award_id)] for award_id in award_ids[: items_max - losers]]
    room = items_max - losers - len(awards)
    bids = [] if losers_left else list(islice(_open_bids_due(state, entry.at_us), room + 1))
    past = bids[:room]
    room -= len(past)
    named = list(islice(state.holds.due(entry.at_us), room + 1))
    over = named[:room]
    more_due = losers_left > 0 or len(award_ids) > len(awards) or len(bids) > len(past) or len(named) > len(over)
    events = [*loser_ends, *lapsed(state, awards)]
    if past:
        events.append(expired(past))
    if over:
        events.append(holds.expired(over))
    artifacts, artifacts_due = swept(state, entry.at_us, room - len(over), events)
    events += artifacts.events
    lost = sum(len(event.bid_ids) for event in loser_ends if isinstance(event, BidsLost))
    events.append(
        SweepFinished(
            lost,
            losers - lost + len(past),
            len(awards),
            more_due or artifacts_due,
            len(over),
            artifacts.orders,
            artifacts.positions,
        )
    )
    return tuple(events)


def _open_bids_due(state: State, now_us: int) -> Iterator[Bid]:
    """Bids past their deadline, without the losers that this very sweep releases."""
    for bid_id in state.bid_deadlines.due(now_us):
        bid = state.bids[BidId(bid_id)]
        if not state.markets[bid.market_id].lost_round(bid):
            yield bid


def _losers(state: State, items_max: int) -> tuple[list[Event], int]:
    """The ends of the losers that fit, oldest round first, and their number."""
    events: list[Event] = []
    taken = 0
    for (market_id, round_no), losing in state.unreleased_losers.items():
        losers = list(islice(losing.book, items_max - taken))
        if not losers:
            break
        taken += len(losers)
        events += released(market_id, round_no, losing.called_at_us, losers)
    return events, taken
