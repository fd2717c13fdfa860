"""Rounds small enough to try whatever one bidder might do: any price for its tasks, and bids for the tasks of others.

Rule of this file: draws never depend on the pricing rule, and every promise of RULES.md about honesty has a
situation in which it would be seen to be broken.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from typing import Final, Literal, get_args

import numpy as np
from msgspec import Struct

from callmarket.bridge.studies.arena.deviations import AGAIN, RULES, Bids, Deviation, OneRound, Reply, best_reply
from callmarket.bridge.studies.arena.scenario import KINDS, Kind
from callmarket.engine.commands import PricingRule

Situation = Literal["own", "shared", "private", "capped", "capped and shared"]
"""`own`: everybody has tasks of its own. `shared`: others bid for the focal bidder's tasks and for one another's.
`private`: the same, in a market with `task_scope` bidder. `capped`: as `own`, with one award a bidder and round."""
SITUATIONS: Final[tuple[Situation, ...]] = get_args(Situation)

# Values and bids are 1 to 6, so that 0 to 7 is every price that differs from another.
VALUE_MAX: Final = 6
ROUNDS_DRAWN: Final = 20
OTHERS: Final = {"single": 4, "multi": 2}
TASKS: Final = {"single": 1, "multi": 2}
# Where tasks are shared there are this many beside those of the focal bidder.
SHARED_MORE: Final = 2


class Dominance(Struct, frozen=True):
    """What was found in a situation, with one kind of bidder, under one rule.

    `largest` is None where no deviation gained.
    """

    situation: Situation
    kind: Kind
    pricing_rule: PricingRule
    rounds: int
    deviations: int
    rounds_with_gain: int
    largest: Deviation | None


def promised(pricing_rule: PricingRule, kind: Kind, situation: Situation = "own") -> bool:
    """Whether honesty should be dominant: where what a bidder pays does not depend on its own bids (CLR-4, CLR-5).

    Vickrey 1961 and Clarke 1971; for one bid each also Wurman, Walsh and Wellman 1998. Where a cap meets shared tasks
    the call does not find the best choice of bids (CLR-2), and then no price makes honesty dominant.
    """
    if situation == "capped and shared":
        return False
    return pricing_rule == "vickrey" or (pricing_rule, kind) == ("first_rejected", "single")


def every_price(one: OneRound) -> Iterator[tuple[int, ...]]:
    """For each of the focal bidder's tasks no bid, or any whole price up to one more than anybody's value or bid."""
    return product(range(_top(one) + 2), repeat=len(one.values_tokens))


def every_reply(one: OneRound) -> Iterator[Reply]:
    """Every price for its own tasks alone; and, at its values or all at one price, with bids for others' tasks too.

    Those are the two shadows, taking the task of a rival outright, and, of its own tasks, those without rivals under a
    second name. (With rivals, a second name would be a way around them that no price can close.)
    """
    own = [*every_price(one)]
    level = [prices for prices in own if len(set(prices)) == 1]
    takes = [((task, _top(one) + 1),) for task, _ in one.foreign]
    rivalled = {task for bids in one.others for task, _ in bids}
    for prices in own:
        yield Reply(prices)
    for prices in (one.values_tokens, *level):
        bids = zip(one.tasks, prices, strict=True)
        split = tuple((task + AGAIN, price) for task, price in bids if price and task not in rivalled)
        yield from (Reply(prices, others) for others in (*one.shadows, *takes, split) if others)


def _top(one: OneRound) -> int:
    return max(chain(one.values_tokens, (price for bids in one.others for _, price in bids)))


def draw_round(random: np.random.Generator, kind: Kind, situation: Situation = "own") -> OneRound:
    """Draw a small round in which slots are scarce. Others may bid anything, honest or not."""
    others, tasks = OTHERS[kind], TASKS[kind]
    values = sorted((int(value) for value in random.integers(1, VALUE_MAX + 1, tasks)), reverse=True)
    prices = random.integers(1, VALUE_MAX + 1, (others, tasks))
    slots = int(random.integers(1, (others + 1) * tasks - 1))
    place = int(random.integers(0, others + 1))
    named = _named(random, others, tasks, shared=situation in ("shared", "private", "capped and shared"))
    bids: list[Bids] = [
        tuple((task, int(price)) for task, price in zip(names, line, strict=True))
        for names, line in zip(named, prices, strict=True)
    ]
    return OneRound(
        slots,
        tuple(values),
        tuple(bids),
        place,
        cap=1 if situation.startswith("capped") else 0,
        task_scope="bidder" if situation == "private" else "market",
    )


def _named(random: np.random.Generator, others: int, tasks: int, *, shared: bool) -> list[list[str]]:
    """Which tasks each of the others bids for: its own or, where tasks are shared, some of the same few."""
    everybodys = [f"t{number}" for number in range(1, (others + 1) * tasks + 1)]
    if shared:
        # So few that most tasks have rivals.
        wanted = everybodys[: tasks + SHARED_MORE]
        return [[str(task) for task in random.choice(wanted, tasks, replace=False)] for _ in range(others)]
    return [everybodys[(seat + 1) * tasks : (seat + 2) * tasks] for seat in range(others)]


def try_everything(seed: int, rounds: int = ROUNDS_DRAWN) -> list[Dominance]:
    """Try every reply in the same drawn rounds under each rule, in all situations. Some ten seconds."""
    found = []
    for situation, kind in product(SITUATIONS, KINDS):
        random = np.random.Generator(np.random.PCG64([seed, TASKS[kind], SITUATIONS.index(situation)]))
        drawn = [draw_round(random, kind, situation) for _ in range(rounds)]
        found += [_dominance(situation, kind, rule, drawn) for rule in RULES]
    return found


def _dominance(situation: Situation, kind: Kind, pricing_rule: PricingRule, drawn: Sequence[OneRound]) -> Dominance:
    best = [best_reply(small, pricing_rule, every_reply(small)) for small in drawn]
    gainful = [deviation for deviation in best if deviation.gain_tokens > 0]
    largest = max(gainful, key=lambda deviation: deviation.gain_tokens, default=None)
    tried = sum(sum(1 for _ in every_reply(small)) for small in drawn)
    return Dominance(situation, kind, pricing_rule, len(drawn), tried, len(gainful), largest)
