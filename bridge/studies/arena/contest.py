"""All games, and what they say: the utility of each strategy, the regret of honesty, efficiency and revenue.

Rule of this file: one seat changes its strategy, the others keep theirs, and all else is equal; differences are taken
game by game before anything is averaged.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final

import numpy as np
from msgspec import Struct

from callmarket.bridge.studies.arena.best_possible import best_possible_tokens
from callmarket.bridge.studies.arena.deviations import RULES, OneRound, best_reply, round_of
from callmarket.bridge.studies.arena.game import Bids, Outcome, play
from callmarket.bridge.studies.arena.scenario import Draw, Kind, Scenario, World, make_scenario
from callmarket.bridge.studies.arena.strategies import HONEST, STRATEGIES
from callmarket.engine.commands import PricingRule

# The seat whose strategy changes. Tasks and order are dealt alike, so no seat is better than another.
FOCAL: Final = 0
# Among the games of a cell: the mixed field with an honest focal seat, and the field in which all are honest.
HONEST_FIELDS: Final = (list(STRATEGIES).index(HONEST), len(STRATEGIES))
# An interval is the middle 95 % of this many resamples of the games (Efron's percentile bootstrap).
RESAMPLES: Final = 2_000
PERCENTILES: Final = (2.5, 97.5)

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


class Estimate(Struct, frozen=True):
    """A mean over games with its 95 % interval."""

    mean: float
    low: float
    high: float


class Standing(Struct, frozen=True):
    """One strategy in the focal seat.

    `gain` is what it earned more than honesty did, as a share of the value that honesty won.
    """

    strategy: str
    utility_tokens: float
    gain: Estimate


class Field(Struct, frozen=True):
    """What became of a field of bidders in which the focal seat is honest.

    Efficiency is the value that was realised, as a share of the best possible; revenue is that of a game. `hindsight`,
    where it was asked for, is what the best reply to the very bids that the others made would have earned more than
    honesty, round by round, as a share of the value that honesty won: exactly 0 where honesty is dominant.
    """

    efficiency: float
    revenue_tokens: float
    hindsight: Estimate | None


class Row(Struct, frozen=True):
    """What was measured in one world, with one kind of bidders, under one rule.

    `regret` is what the best of the shipped strategies, chosen afterwards for each game, earned more than honesty, as a
    share of the value that honesty won: never negative. The others react to what they see, so another strategy meets
    other bids. `mixed` is the field of all of these games, with honesty in the focal seat.
    """

    world: World
    kind: Kind
    pricing_rule: PricingRule
    bidders: int
    standings: tuple[Standing, ...]
    regret: Estimate
    mixed: Field
    all_honest: Field

    @property
    def best_other(self) -> Standing:
        """The strategy other than honesty that earned most on average."""
        return max((one for one in self.standings if one.strategy != HONEST), key=lambda one: one.utility_tokens)


class Contest(Struct, frozen=True):
    """All rows, and how much was played. Each game asserted that what was paid in it is in the treasury."""

    rows: tuple[Row, ...]
    games: int
    tasks: int
    paid_tokens: int


class _Cell:
    """The games of one row, draw by draw."""

    def __init__(self) -> None:
        # By strategy in the focal seat; the last of a line is the game of the field in which all are honest.
        self.played: list[list[Outcome]] = []
        self.best_tokens: list[int] = []
        # What hindsight would have gained in the games of the two honest focal seats.
        self.hindsight_tokens: list[list[int]] = []


def opponents(bidders: int) -> list[str]:
    """The strategies in the seats beside the focal one: the shipped ones, one after another, repeated."""
    names = list(STRATEGIES)
    return [names[seat % len(names)] for seat in range(bidders - 1)]


def hold_contest(
    draws: Iterable[Draw], worlds: Sequence[World], kinds: Sequence[Kind], *, hindsight: bool = True
) -> Contest:
    """Play every strategy in the focal seat in each world, kind, rule and draw. About two seconds a draw.

    `hindsight` asks for it in the world `fresh`, where a round changes nothing in the next.
    """
    cells = {(world, kind, rule): _Cell() for world in worlds for kind in kinds for rule in RULES}
    tasks = 0
    for drawn in draws:
        tasks += len(drawn.tasks)
        for world, kind in product(worlds, kinds):
            stage = make_scenario(drawn, world, kind)
            best = best_possible_tokens(stage)
            for rule in RULES:
                cells[world, kind, rule].best_tokens.append(best)
                _play_cell(cells[world, kind, rule], stage, rule, hindsight=hindsight and world == "fresh")
    rows = tuple(_row(world, kind, rule, cell) for (world, kind, rule), cell in cells.items())
    games = [played for cell in cells.values() for line in cell.played for played in line]
    return Contest(rows, len(games), tasks, sum(sum(played.paid_tokens) for played in games))


def _play_cell(cell: _Cell, stage: Scenario, rule: PricingRule, *, hindsight: bool) -> None:
    """Play the games of one draw: each strategy in the focal seat, and all seats honest."""
    seats = len(stage.wallets_tokens)
    fields = [[name, *opponents(seats)] for name in STRATEGIES] + [[HONEST] * seats]
    cell.played.append([play(stage, rule, [STRATEGIES[name]() for name in field]) for field in fields])
    if hindsight:
        cell.hindsight_tokens.append(
            [_hindsight_tokens(stage, rule, fields[number], cell.played[-1][number]) for number in HONEST_FIELDS]
        )


def _hindsight_tokens(stage: Scenario, rule: PricingRule, field: Sequence[str], played: Outcome) -> int:
    """What the best replies would have gained in a game, which is played again to see its bids."""
    rounds: list[OneRound] = []
    play(stage, rule, [STRATEGIES[name]() for name in field], lambda bids: rounds.append(_one_round(stage.slots, bids)))
    replies = [best_reply(one, rule, one.least_replies) for one in rounds]
    # Round by round it was the same game.
    assert sum(reply.honest_tokens for reply in replies) == played.utility_tokens(FOCAL)
    return sum(reply.gain_tokens for reply in replies)


def _one_round(slots: int, bids: Bids) -> OneRound:
    """A round of an honest focal bidder, whose bids are therefore its values."""
    place = next(place for place, (seat, _) in enumerate(bids) if seat == FOCAL)
    others = tuple(prices for seat, prices in bids if seat != FOCAL)
    return round_of(slots, bids[place][1], others, place)


def _row(world: World, kind: Kind, rule: PricingRule, cell: _Cell) -> Row:
    utility = {
        name: _floats([line[number].utility_tokens(FOCAL) for line in cell.played])
        for number, name in enumerate(STRATEGIES)
    }
    won = _floats([line[HONEST_FIELDS[0]].values_tokens[FOCAL] for line in cell.played])
    standings = tuple(
        Standing(name, float(earned.mean()), ratio(earned - utility[HONEST], won)) for name, earned in utility.items()
    )
    regret = ratio(np.max(list(utility.values()), axis=0) - utility[HONEST], won)
    bidders = len(cell.played[0][0].values_tokens)
    return Row(world, kind, rule, bidders, standings, regret, _field(cell, 0), _field(cell, 1))


def _field(cell: _Cell, number: int) -> Field:
    games = [line[HONEST_FIELDS[number]] for line in cell.played]
    value = sum(sum(game.values_tokens) for game in games)
    hindsight = None
    if cell.hindsight_tokens:
        gained = _floats([pair[number] for pair in cell.hindsight_tokens])
        hindsight = ratio(gained, _floats([game.values_tokens[FOCAL] for game in games]))
    revenue = sum(sum(game.paid_tokens) for game in games) / len(games)
    return Field(value / max(1, sum(cell.best_tokens)), revenue, hindsight)


def ratio(parts: Numbers, wholes: Numbers) -> Estimate:
    """The sum of the parts over the sum of the wholes, with the interval of the ratio when games are drawn again."""
    random = np.random.Generator(np.random.PCG64(RESAMPLES))
    drawn = random.integers(0, len(parts), (RESAMPLES, len(parts)))
    # A game in which nothing was won has no share; one token keeps the division whole.
    ratios = parts[drawn].sum(axis=1) / np.maximum(1.0, wholes[drawn].sum(axis=1))
    low, high = np.percentile(ratios, PERCENTILES)
    return Estimate(float(parts.sum() / max(1.0, wholes.sum())), float(low), float(high))


def _floats(values: Sequence[int]) -> Numbers:
    return np.array(values, np.float64)
