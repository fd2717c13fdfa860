"""The loop of a world: trade, fund research by the average price, learn from it, settle.

Rule of this file: figures in, figures out. The formula of budgets is BRG-3 with the averaged price (RBG-1, RBG-3).
"""

import math
from random import Random
from statistics import fmean
from typing import Final, Literal

from msgspec import Struct

from examples.capital.traders import Trader, signal, trade_on_nothing
from examples.capital.world import DAY_US, HOUR_US, World

Research = Literal["by the market", "evenly"]

ARTIFACTS: Final = 30
DAYS: Final = 20
GRANT_TOKENS: Final = 3_000
SUBSIDY_TOKENS: Final = 100
# How often a signal of each kind of agent is right, and how many agents there are of it.
KINDS: Final = (("expert", 0.70, 4), ("informed", 0.60, 6), ("guessing", 0.50, 4))
MANIPULATOR: Final = "manipulator"
# Looks at an artifact in a day that nobody funds, and those that research of a day may add in all.
LOOKS_A_DAY: Final = 12
RESEARCH_LOOKS_A_DAY: Final = 30
# Below this many holders a price says nothing to a budget (RBG-3).
_HOLDERS_MIN: Final = 3
# Of its wallet, what the manipulator spends each morning.
_PUSH: Final = 0.25


class Outcome(Struct, frozen=True):
    """What came of a world, with a figure for each day where it is a list.

    `brier` is the mean squared error of the prices, 0.25 where nothing is known; `brier_of_capital` is the same
    weighted by the tokens that are committed. `pushed` is the price that the manipulator leaves in the morning, and
    `pushed_path` what it is in the evening. `paths` are those of the other artifacts, with whether each holds.
    """

    brier: list[float]
    brier_of_capital: list[float]
    profit_tokens: dict[str, float]
    subsidy_lost_tokens: float
    bits_learned: float
    trades: int
    pushed: list[float]
    pushed_path: list[float]
    paths: list[tuple[bool, list[float]]]


def play(seed: int, research: Research) -> Outcome:
    """Play a world of a seed. A fraction of a second."""
    rng, world = Random(seed), World()
    traders = [Trader(f"{kind}-{number}", kind, accuracy) for kind, accuracy, count in KINDS for number in range(count)]
    for account_id in [*(trader.account_id for trader in traders), MANIPULATOR]:
        world.open_account(account_id, GRANT_TOKENS)
    truths = {f"paper-{number}": rng.random() < 0.5 for number in range(ARTIFACTS)}
    artifacts = list(truths)
    world.open_markets(artifacts, SUBSIDY_TOKENS)
    # What is false and pushed up, day after day.
    target = next((one for one in artifacts if not truths[one]), artifacts[0])
    brier, brier_of_capital, pushed = [], [], []
    paths: dict[str, list[float]] = {one: [0.5] for one in artifacts}
    for _ in range(DAYS):
        world.buy(MANIPULATOR, target, "long", max(1, int(world.wealth_tokens(MANIPULATOR) * _PUSH)))
        pushed.append(world.price(target))
        _look_around(rng, world, traders, truths, rng.choices(artifacts, k=LOOKS_A_DAY))
        weights = [budget_tokens(world, one) if research == "by the market" else 1.0 for one in artifacts]
        if any(weights):
            _look_around(rng, world, traders, truths, rng.choices(artifacts, weights, k=RESEARCH_LOOKS_A_DAY))
        world.now_us += DAY_US - world.now_us % DAY_US
        errors = [(world.price(one) - truths[one]) ** 2 for one in artifacts]
        committed = [world.committed_tokens(one) for one in artifacts]
        brier.append(fmean(errors))
        brier_of_capital.append(fmean(errors, committed) if any(committed) else fmean(errors))
        for one in artifacts:
            paths[one].append(world.price(one))
    bits = sum(1 + math.log2(world.price(one) if truths[one] else 1 - world.price(one)) for one in artifacts)
    returned_tokens = _settle(world, truths)
    return Outcome(
        brier=brier,
        brier_of_capital=brier_of_capital,
        profit_tokens=_profits(world, traders),
        subsidy_lost_tokens=ARTIFACTS * SUBSIDY_TOKENS - returned_tokens,
        bits_learned=bits,
        trades=sum(market.trades for market in world.engine.state.capital.markets.values()),
        pushed=pushed,
        pushed_path=paths[target],
        paths=[(truths[one], paths[one]) for one in artifacts if one != target],
    )


def _profits(world: World, traders: list[Trader]) -> dict[str, float]:
    """What an agent of each kind has won on the average, and the manipulator."""
    kinds = {kind: [one.account_id for one in traders if one.kind == kind] for kind, _, _ in KINDS}
    kinds[MANIPULATOR] = [MANIPULATOR]
    return {kind: fmean(map(world.wealth_tokens, ids)) - GRANT_TOKENS for kind, ids in kinds.items()}


def budget_tokens(world: World, artifact_id: str) -> float:
    """What research on an artifact may cost: a tenth of what is committed, most if the price is undecided (BRG-3)."""
    price = world.average(artifact_id) if world.holders(artifact_id) >= _HOLDERS_MIN else 0.5
    return 0.1 * world.committed_tokens(artifact_id) * (0.5 + 0.5 * (1 - 2 * abs(price - 0.5)))


def _look_around(rng: Random, world: World, traders: list[Trader], truths: dict[str, bool], looks: list[str]) -> None:
    """Each look is one agent's, which then trades on what it saw; some hours pass meanwhile."""
    for artifact_id in looks:
        world.now_us += HOUR_US // 4
        trader = rng.choice(traders)
        if trader.accuracy == 0.5:
            trade_on_nothing(rng, world, trader.account_id, artifact_id)
        else:
            says_long = signal(rng, trader.accuracy, holds=truths[artifact_id])
            trader.trade_on(world, artifact_id, says_long=says_long)


def _settle(world: World, truths: dict[str, bool]) -> float:
    """Settle all, check that no token was made or lost, and say what came back of the subsidies."""
    for artifact_id, holds in truths.items():
        world.settle(artifact_id, holds=holds)
    state = world.engine.state
    state.check()
    assert not state.capital.positions
    return world.wealth_tokens("lmsr_subsidy_pool")
