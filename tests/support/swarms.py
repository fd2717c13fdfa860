"""Mixtures for random streams: how many of everything, how often what is asked, and which bounds are low.

Rule of this file: a mixture is chosen by the seed alone, and each seed chooses another one, for a generator that does
everything equally often gets nowhere in particular. Bounds are made small: one that is never met is never tested.
"""

import random
from dataclasses import dataclass, field
from typing import get_args

from callmarket.engine.capital.commands import SettledAs

# How often each command is asked for, before a seed multiplies it by one of FACTORS.
WEIGHTS = {
    "place_bid": 50.0,
    "amend_bid": 8.0,
    "cancel_bid": 5.0,
    "clear_round": 6.0,
    "settle_award": 9.0,
    "void_award": 2.0,
    "expire_due": 3.0,
    "offer_slot": 16.0,
    "withdraw_slot": 1.0,
    "open_account": 1.0,
    "mint": 4.0,
    "burn": 1.0,
    "transfer": 3.0,
    "open_market": 0.5,
    "place_hold": 5.0,
    "capture_hold": 2.0,
    "release_hold": 1.0,
    "begin_history": 0.5,
    "bind_holds": 2.0,
}
# The same of artifact markets, for the swarms that have some.
CAPITAL_WEIGHTS = {
    "open_position": 60.0,
    "close_position": 30.0,
    "cancel_order": 4.0,
    "open_artifact_market": 2.0,
    "freeze_artifact": 1.0,
    "unfreeze_artifact": 1.5,
    "settle_artifact": 1.0,
    "decay_subsidy": 8.0,
    "fund_liquidity": 1.0,
}
FACTORS = (0.2, 1.0, 1.0, 3.0)
# The bounds that a stream may lower, and to what.
SMALL_BOUNDS = {
    "ACCOUNTS_MAX": (4, 12),
    "MARKETS_MAX": (1, 3),
    "SLOTS_LIVE_PER_MARKET_MAX": (1, 8),
    "SLOTS_PER_PROVIDER_MAX": (1, 4),
    "SLOTS_ENDED_KEPT": (1, 4),
    "BIDS_PER_BIDDER_MAX": (1, 5),
    "BIDS_PER_MARKET_MAX": (2, 12),
    "HOLDS_PER_ACCOUNT_MAX": (1, 3),
    "HOLDS_MAX": (1, 6),
    "HOLDS_ENDED_KEPT": (1, 4),
    "HOLDS_BOUND_US": (1, 60),
    "HOLD_BINDINGS_MAX": (1, 3),
    "EARNINGS_MAX": (1, 4),
    "RECEIPTS_MAX": (1, 6),
    "SWEEP_ITEMS_MAX": (1, 5),
    "LOSERS_PER_CALL_MAX": (0, 4),
}
# The bounds of what retries are known by, lowered together: what is kept longest is forgotten only where all is small.
SMALL_RETRY_BOUNDS = {
    "RECEIPTS_MAX": (1, 2),
    "RETRIES_PERIOD_US": (1, 100),
    "RETRIES_PERIODS_KEPT": (0, 3),
    "RETRIES_PER_STAFF_MAX": (3, 12),
    "RETRIES_PER_ACCOUNT_MAX": (1, 3),
    "RETRIES_OF_ACCOUNTS_MAX": (1, 6),
}
# The bounds of artifact markets that a stream may lower.
SMALL_CAPITAL_BOUNDS = {
    "ORDER_FILLS_MAX": (1, 4),
    "ORDERS_PER_ACCOUNT_MAX": (1, 3),
    "ORDERS_MAX": (1, 6),
    "POSITIONS_PER_ACCOUNT_MAX": (1, 5),
    "POSITIONS_PER_ARTIFACT_MAX": (1, 6),
    "POSITIONS_MAX": (1, 10),
    "ARTIFACT_MARKETS_MAX": (1, 3),
    "FREEZE_US_MAX": (1, 100),
}


@dataclass
class Swarm:
    """What a seed chose: sizes, chances and bounds of one stream."""

    accounts: int
    markets: int
    tasks: int
    slots: int
    price_max: int
    mint_max: int
    wrong_chance: float
    id_chance: float
    gtd_chance: float
    rich: bool
    steps_us: tuple[int, ...]
    ttls_us: tuple[int, ...]
    leases_us: tuple[int, ...]
    weights: dict[str, float]
    bounds: dict[str, int] = field(default_factory=dict)
    # Of artifact markets: how many there are at first, the largest subsidy, how often an order names no limit.
    artifacts: int = 0
    subsidy_max: int = 1
    market_order_chance: float = 0.5
    fees_ppm: tuple[int, ...] = (50_000,)
    exposures_ppm: tuple[int, ...] = (10**6, 10**6, 500_000, 100_000)
    windows_us: tuple[int, ...] = (0, 0, 0, 5, 50)
    # Closes what has won, where anything has.
    takes_profits: bool = False
    settled_as: tuple[SettledAs, ...] = get_args(SettledAs)


def small_swarm(rng: random.Random) -> Swarm:
    """Choose a small crowded world, in which everything meets everything soon."""
    price_max = rng.choice((1, 2, 5, 20, 1000))
    weights = {name: weight * rng.choice(FACTORS) for name, weight in WEIGHTS.items()}
    low_bounds = {name: rng.randint(*ends) for name, ends in SMALL_BOUNDS.items() if rng.random() < 0.3}
    forgetful = rng.random() < 0.3
    if forgetful:
        low_bounds |= {name: rng.randint(*ends) for name, ends in SMALL_RETRY_BOUNDS.items()}
    return Swarm(
        accounts=rng.randint(2, 9),
        markets=rng.randint(1, 3),
        tasks=rng.choice((2, 10, 40, 40)),
        slots=rng.choice((3, 12, 30)),
        price_max=price_max,
        mint_max=price_max * rng.choice((4, 40, 400)),
        wrong_chance=rng.choice((0.0, 0.03, 0.15)),
        id_chance=0.4 if forgetful else rng.choice((0.0, 0.1, 0.4)),
        gtd_chance=rng.choice((0.1, 0.5, 0.9)),
        rich=rng.random() < 0.15,
        steps_us=rng.choice(((0, 0, 1), (0, 0, 1, 10), (0, 1, 5, 100))),
        ttls_us=rng.choice(((1, 5, 20), (1, 50, 500), (2000,))),
        leases_us=rng.choice(((5, 20), (20, 200, 2000), (100_000,))),
        weights=weights,
        bounds=low_bounds,
    )


def lingering_swarm(rng: random.Random) -> Swarm:
    """Choose a small world in which losers and due things wait long for a sweep."""
    swarm = small_swarm(rng)
    swarm.bounds |= {"LOSERS_PER_CALL_MAX": 1, "SWEEP_ITEMS_MAX": 2}
    swarm.gtd_chance = 0.3
    swarm.weights["expire_due"] = 2.0
    return swarm


def rewarding_swarm(rng: random.Random) -> Swarm:
    """Choose a small world in which much work is settled, on many days."""
    swarm = small_swarm(rng)
    swarm.accounts, swarm.tasks, swarm.wrong_chance = 3, 40, 0.0
    swarm.leases_us = (2_000,)
    swarm.bounds = {"REWARD_DAY_US": rng.randint(20, 400)}
    swarm.weights = dict.fromkeys(WEIGHTS, 0.5) | {
        "place_bid": 50.0,
        "offer_slot": 30.0,
        "clear_round": 10.0,
        "settle_award": 30.0,
    }
    return swarm


def capital_swarm(rng: random.Random) -> Swarm:
    """Choose a small world that trades in artifacts, beside a little of all else."""
    swarm = small_swarm(rng)
    swarm.accounts, swarm.rich = rng.randint(3, 7), False
    swarm.artifacts = rng.randint(1, 3)
    swarm.subsidy_max = rng.choice((1, 5, 70, 70, 5_000, 10**9))
    swarm.mint_max = swarm.subsidy_max * rng.choice((4, 40))
    swarm.fees_ppm = rng.choice(((0,), (50_000,), (0, 50_000, 333_333, 10**6)))
    swarm.market_order_chance = rng.choice((0.1, 0.5))
    swarm.weights = {name: weight * 0.1 for name, weight in swarm.weights.items()}
    swarm.weights |= {name: weight * rng.choice(FACTORS) for name, weight in CAPITAL_WEIGHTS.items()}
    swarm.weights["expire_due"] = rng.choice((3.0, 12.0))
    swarm.bounds |= {name: rng.randint(*ends) for name, ends in SMALL_CAPITAL_BOUNDS.items() if rng.random() < 0.15}
    if rng.random() < 0.2:
        swarm.bounds["SIDE_MICROSHARES_MAX"] = rng.choice((1, 3)) * swarm.subsidy_max * 10**6
    # A stream lasts some milliseconds.
    swarm.bounds |= {
        "DECAY_PRICES": rng.choice((2, 5, 50)),
        "DECAY_INTERVAL_US": rng.choice((0, 0, 10, 100)),
        "AVERAGE_HALF_LIFE_US": rng.choice((1, 7, 1_000, 10**9)),
    }
    return swarm


def swinging_swarm(rng: random.Random) -> Swarm:
    """Choose a small world in which a few accounts push prices from edge to edge, and win more than the subsidy."""
    swarm = capital_swarm(rng)
    swarm.wrong_chance, swarm.gtd_chance, swarm.market_order_chance = 0.0, 0.1, 0.95
    swarm.fees_ppm, swarm.artifacts, swarm.subsidy_max = (0,), 1, 5
    swarm.mint_max, swarm.bounds = 4_000, {}
    swarm.exposures_ppm, swarm.windows_us, swarm.settled_as = (10**6,), (0,), ("void",)
    swarm.takes_profits = True
    swarm.weights = {"open_position": 60.0, "close_position": 30.0, "settle_artifact": 3.0, "open_artifact_market": 1.0}
    return swarm


def long_swarm(rng: random.Random) -> Swarm:
    """Choose a world with a few hundred live bids, for a stream of very many commands."""
    return Swarm(
        accounts=40,
        markets=2,
        tasks=400,
        slots=60,
        price_max=rng.choice((20, 1000)),
        mint_max=50_000,
        wrong_chance=0.02,
        id_chance=0.1,
        gtd_chance=0.6,
        rich=False,
        steps_us=(0, 1, 10),
        ttls_us=(1, 200, 3000),
        leases_us=(100, 1000),
        weights=WEIGHTS | {"clear_round": 2.0, "expire_due": 2.0, "cancel_bid": 3.0},
        bounds={
            "BIDS_PER_MARKET_MAX": 400,
            "BIDS_PER_BIDDER_MAX": 30,
            "SWEEP_ITEMS_MAX": 20,
            "LOSERS_PER_CALL_MAX": 30,
            "RECEIPTS_MAX": 200,
            "SLOTS_ENDED_KEPT": 20,
            "HOLDS_ENDED_KEPT": 5,
        },
    )


def crowd_swarm(rng: random.Random) -> Swarm:
    """Choose a world in which thousands of bids fall due within the same milliseconds."""
    weights = {"place_bid": 200.0, "cancel_bid": 25.0, "amend_bid": 25.0, "clear_round": 0.1, "expire_due": 2.0}
    return Swarm(
        accounts=6,
        markets=2,
        tasks=5_000,
        slots=20,
        price_max=rng.choice((5, 1000)),
        mint_max=100_000_000,
        wrong_chance=0.01,
        id_chance=0.05,
        gtd_chance=0.9,
        rich=False,
        steps_us=(0,) * 19 + (1,),
        ttls_us=(100, 101, 160, 160, 160),
        leases_us=(100, 1000),
        weights=WEIGHTS | weights,
        bounds={"SWEEP_ITEMS_MAX": 150, "LOSERS_PER_CALL_MAX": 30},
    )
