"""The workloads that the benchmarks share.

Rule of this file: everything is drawn from a seed, and drawn before the clock runs.
"""

import random
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from callmarket.engine.book import Bid
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    Command,
    Entry,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PricingRule,
    Transfer,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import Events, Rejected

SEED: Final = 20_261_121
BIDDERS: Final = 1_000
MARKET: Final = "bench"
# 99,001 prices are the worst case for price levels: nearly every bid opens one until they are all there. People and
# agents prefer round prices; a step of 100 leaves 991.
PRICE_MIN_TOKENS: Final = 1_000
PRICE_MAX_TOKENS: Final = 100_000
# 25 us between commands is 40,000 a second; deadlines an hour away, give or take a second.
STEP_US: Final = 25
TTL_US: Final = 3_600_000_000
TTL_SPREAD_US: Final = 1_000_000


def open_engine(pricing_rule: PricingRule = "first_rejected") -> Engine:
    """An engine with one market and rich bidders."""
    engine = Engine()
    apply(engine, ADMIN, OpenMarket(MARKET, pricing_rule))
    for number in range(BIDDERS):
        apply(engine, ADMIN, OpenAccount(f"agent-{number}", "agent"))
        apply(engine, ADMIN, Mint(f"agent-{number}", 10**12, "grant:initial"))
    return engine


def apply(engine: Engine, actor: str, command: Command) -> None:
    """Apply a command as the next one."""
    accepted(engine, Entry(engine.state.seq + 1, engine.state.at_us, actor, command))


def accepted(engine: Engine, entry: Entry) -> Events:
    """Apply an entry: a workload whose commands are refused measures something else than it says."""
    events = engine.apply(entry)
    assert type(events[0]) is not Rejected, (entry, events)
    return events


def place_bids(first_seq: int, count: int, first_task: int = 0, price_step_tokens: int = 1) -> Iterator[Entry]:
    """Stamped `gtd` bids of many bidders at uniform prices."""
    draw = random.Random(SEED + first_task)
    for number in range(first_task, first_task + count):
        bidder_id = f"agent-{draw.randrange(BIDDERS)}"
        at_us = number * STEP_US
        command = PlaceBid(
            market_id=MARKET,
            bidder_id=bidder_id,
            task_id=f"task-{number}",
            max_price_tokens=draw.randrange(PRICE_MIN_TOKENS, PRICE_MAX_TOKENS + 1, price_step_tokens),
            expected_value_microusd=1_000,
            ttl_at_us=at_us + TTL_US + draw.randrange(TTL_SPREAD_US),
            time_in_force="gtd",
        )
        yield Entry(first_seq + number - first_task, at_us, bidder_id, command)


def transfers(first_seq: int, count: int, command_id: str = "") -> Iterator[Entry]:
    """Stamped payments of one token, round the bidders; with an id of its own each, if one is given to begin with."""
    for seq in range(first_seq, first_seq + count):
        payer, payee = f"agent-{seq % BIDDERS}", f"agent-{(seq + 1) % BIDDERS}"
        own_id = f"{command_id}{seq}" if command_id else ""
        yield Entry(seq, seq * STEP_US, payer, Transfer(payer, payee, 1, "pay"), own_id)


def later(command: Command, at_us: int) -> Command:
    """The same bid with its deadline moved by so much, for a market that runs on the machine's time."""
    assert isinstance(command, PlaceBid)
    assert command.ttl_at_us is not None
    return replace(command, ttl_at_us=command.ttl_at_us + at_us)


def fill(engine: Engine, count: int, price_step_tokens: int = 1) -> None:
    """Let this many bids rest."""
    for entry in place_bids(engine.state.seq + 1, count, price_step_tokens=price_step_tokens):
        accepted(engine, entry)


def place_winners(engine: Engine, count: int, rivals: int, whale: int) -> list[int]:
    """Let so many bids stand above all others, each with so many rivals for its task; returns the ids of the rivals.

    The first `whale` of them are of one bidder, all others of a bidder each.
    """
    first_task = engine.state.bids_placed
    for number in range(count):
        bidder = 0 if number < whale else number
        _place_above(engine, bidder, first_task + number, 3 * PRICE_MAX_TOKENS + number)
    first_rival = engine.state.bids_placed + 1
    for number in range(count * rivals):
        # The rivals for one task are of different bidders.
        bidder = count + (number + number // count) % (BIDDERS - count)
        _place_above(engine, bidder, first_task + number % count, 2 * PRICE_MAX_TOKENS + number)
    return list(range(first_rival, engine.state.bids_placed + 1))


def _place_above(engine: Engine, bidder: int, task: int, price_tokens: int) -> None:
    ttl_at_us = engine.state.at_us + TTL_US
    bid = PlaceBid(MARKET, f"agent-{bidder}", f"top-{task}", price_tokens, 1_000, ttl_at_us, "gtd")
    apply(engine, ADMIN, bid)


def offer_slots(engine: Engine, count: int) -> list[str]:
    """Offer this many slots, under names not used before, which are returned."""
    slot_ids = [f"slot-{engine.state.seq + number}" for number in range(count)]
    for slot_id in slot_ids:
        apply(engine, OPERATOR, OfferSlot(MARKET, slot_id, 0))
    return slot_ids


def bids(count: int, first_id: int = 1) -> list[Bid]:
    """Bare bids for the books, in order of time, at uniform prices."""
    draw = random.Random(SEED + first_id)
    return [
        Bid(
            bid_id=bid_id,
            market_id=MARKET,
            bidder_id="agent-0",
            task_id="task-0",
            max_price_tokens=draw.randint(PRICE_MIN_TOKENS, PRICE_MAX_TOKENS),
            expected_value_microusd=0,
            ttl_at_us=None,
            time_in_force="gtd",
            priority_seq=bid_id,
            round_no=1,
            replaced=False,
        )
        for bid_id in range(first_id, first_id + count)
    ]
