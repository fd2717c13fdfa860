"""The view `bid_outcomes`: it names the one reason for which a bid did not win its round.

Goal: what a bidder is told is true, and says what would have been enough. Method: random rounds; before each call the
state is copied, and for each bid that the call passes over, what the reason promises is tried on the copy: the price
that would have won wins, and where no price is to blame, none does. The words come from the SQL tables afterwards.
"""

import random
import re
from dataclasses import dataclass, replace

import psycopg
import pytest

from callmarket.engine.book import Bid, best_first, priority
from callmarket.engine.commands import ADMIN, AmendBid, ClearRound, Command, Entry, Mint
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardGranted, BidAmended, Events, MarketOpened, Rejected, RoundCleared, one_by_one
from callmarket.engine.limits import TOKENS_MAX
from callmarket.engine.state import State
from tests.persistence.tables.test_projections import append
from tests.support.sealed import Sealer, batches
from tests.support.streams import Stream, bounds
from tests.support.swarms import Swarm, small_swarm

# So many streams from this seed on, each long enough for some dozens of calls, and more while they gave few reasons.
STREAMS = 6
STREAMS_MAX = 60
ROWS = 500


@dataclass(frozen=True)
class Call:
    """A market just before a call that passed a bid over, and what the call gave."""

    image: bytes
    entry: Entry
    bid_id: int
    awards: tuple[AwardGranted, ...]
    round: RoundCleared

    @property
    def state(self) -> State:
        """The state before the call."""
        return State.decode(self.image)

    @property
    def rules(self) -> MarketOpened:
        """The rules of the market."""
        return self.state.markets[self.round.market_id].rules

    @property
    def bid(self) -> Bid:
        """The bid, as it was."""
        return self.state.bids[self.bid_id]

    def wins_at(self, price_tokens: int) -> bool:
        """Whether the bid would have won with another price, placed at the last moment."""
        engine = Engine(self.state)
        bid = engine.state.bids[self.bid_id]
        if price_tokens > bid.max_price_tokens:
            apply(engine, self.entry.at_us, Mint(bid.bidder_id, price_tokens, "grant:more"))
        apply(engine, self.entry.at_us, AmendBid(self.bid_id, price_tokens))
        events = apply(engine, self.entry.at_us, self.entry.command)
        return any(isinstance(event, AwardGranted) and event.bid_id == self.bid_id for event in one_by_one(events))


def apply(engine: Engine, at_us: int, command: Command) -> Events:
    events = engine.apply(Entry(engine.state.seq + 1, at_us, ADMIN, command))
    assert not isinstance(events[0], Rejected), events
    return events


def passed_over(sealer: Sealer, entry: Entry) -> dict[int, bytes]:
    """The open bids of the market that is about to be called, with the state."""
    command, state = entry.command, sealer.engine.state
    if not isinstance(command, ClearRound) or command.market_id not in state.markets:
        return {}
    market, image = state.markets[command.market_id], state.encode()
    return {bid.bid_id: image for bid in best_first(market.resting, market.round_bids)}


def modest_swarm(rng: random.Random) -> Swarm:
    """A small world that has not minted all tokens there can be, so that another price can be paid."""
    return replace(small_swarm(rng), rich=False, mint_max=10_000)


def played(seed: int) -> tuple[Sealer, dict[int, Call]]:
    """A stream, and for each bid the last call that passed it over at the price that it has in the end."""
    sealer, stream, calls = Sealer(), Stream(seed, choose_swarm=modest_swarm), dict[int, Call]()
    stream.swarm.bounds.pop("BIDS_PER_MARKET_MAX", None)
    with bounds(stream.swarm.bounds):
        for _ in range(ROWS):
            entry = stream.next_entry()
            open_before = passed_over(sealer, entry)
            events = sealer.apply(entry).events
            stream.observe(entry, events)
            awards = tuple(event for event in one_by_one(events) if isinstance(event, AwardGranted))
            for cleared in [event for event in events if isinstance(event, RoundCleared)]:
                for bid_id in open_before.keys() - {award.bid_id for award in awards}:
                    calls[bid_id] = Call(open_before[bid_id], entry, bid_id, awards, cleared)
            for event in events:
                if isinstance(event, BidAmended) and event.priority_seq == entry.seq:
                    calls.pop(event.bid_id, None)
    return sealer, calls


def numbers(reason: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", reason.partition(": ")[2])]


def check(call: Call, reason: str) -> str:
    """Try what a reason promises. Returns its kind."""
    bid, rules = call.bid, call.rules
    _, _, words = reason.partition(": ")
    for kind, holds in (
        ("past its deadline", lambda: bid.ttl_at_us is not None and bid.ttl_at_us <= call.entry.at_us),
        ("its task had award", lambda: had_award(call, numbers(reason)[0])),
        ("better bids of its bidder", lambda: capped(call, rules.awards_per_bidder_max)),
        ("no slot was on offer", lambda: call.round.slots_available == 0),
        ("under the reserve", lambda: under_the_reserve(call, numbers(reason)[0])),
        ("outbid", lambda: call.round.slots_available == len(call.awards) and call.wins_at(numbers(reason)[0] + 1)),
        ("as high as", lambda: call.wins_at(numbers(reason)[0] + 1)),
    ):
        if words.startswith(kind):
            assert holds(), (reason, bid, call.round, call.awards)
            return kind
    assert words.startswith("bid "), reason
    rival_id, rival_tokens, own_tokens = numbers(reason)
    (rival,) = [award for award in call.awards if award.bid_id == rival_id]
    assert (rival.task_id, own_tokens) == (bid.task_id, bid.max_price_tokens), reason
    assert rival.price_tokens + rival.premium_tokens == rival_tokens >= own_tokens
    assert call.wins_at(min(rival_tokens + 1, TOKENS_MAX)), (reason, bid, call.awards)
    return "a rival"


def under_the_reserve(call: Call, next_reserve_tokens: int) -> bool:
    """Whether a slot was left, for which its reserve was enough, and for which no less was, but to outbid a winner."""
    left = call.round.slots_available > len(call.awards)
    lowest = min((award.price_tokens + award.premium_tokens for award in call.awards), default=TOKENS_MAX)
    too_low = min(next_reserve_tokens - 1, lowest)
    return left and call.wins_at(next_reserve_tokens) and not (too_low > 0 and call.wins_at(too_low))


def had_award(call: Call, award_id: int) -> bool:
    """Whether the award was live, of the bid's task, and no price would have helped."""
    award, bid = call.state.awards[award_id], call.bid
    same_task = award.task_id == bid.task_id and award.market_id == bid.market_id
    private = call.rules.task_scope == "bidder"
    return same_task and (not private or award.bidder_id == bid.bidder_id) and not call.wins_at(10**9)


def capped(call: Call, cap: int) -> bool:
    """Whether the bidder's better bids won its cap, so that nothing up to the last of these would have helped."""
    bid, bids = call.bid, call.state.bids
    own = [bids[award.bid_id] for award in call.awards if award.bidder_id == bid.bidder_id]
    better = [one for one in own if priority(one) < priority(bid)]
    return 0 < cap == len(better) and not call.wins_at(min(one.max_price_tokens for one in better))


@pytest.mark.timeout(300)
def test_the_reason_of_each_bid_that_did_not_win_is_the_true_one(database_url: str, seed: int) -> None:
    """CLR-2, CLR-3, BID-3, BID-6, BID-8: all bids of some random streams."""
    met: dict[str, int] = {}
    for shard_id in range(STREAMS_MAX):
        if shard_id >= STREAMS and sum(met.values()) > 50:
            break
        sealer, calls = played(seed + shard_id)
        append(database_url, batches(sealer.rows, seed, (50, 400)), shard_id)
        with psycopg.connect(database_url) as connection:
            outcomes = connection.execute(
                "SELECT bid_id, status, reason FROM bid_outcomes WHERE shard_id = %s AND status IN ('open', 'lost') "
                "AND round_no IS NOT NULL",
                (shard_id,),
            ).fetchall()
        assert {bid_id for bid_id, _, _ in outcomes} <= calls.keys()
        for bid_id, _, reason in outcomes:
            kind = check(calls[bid_id], reason)
            met[kind] = met.get(kind, 0) + 1
    assert sum(met.values()) > 50, met
