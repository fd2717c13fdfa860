"""What an arena leaves: plain data that encodes to JSON.

Rule of this file: shape, and how to find a row; nothing is measured here.
"""

from collections.abc import Mapping

from msgspec import Struct

from callmarket.bridge.studies.arena.contest import Contest, Row
from callmarket.bridge.studies.arena.scenario import Kind, World
from callmarket.bridge.studies.arena.small_rounds import Dominance, Situation
from callmarket.bridge.studies.demo.audit import Proof
from callmarket.engine.commands import PricingRule


class Setup(Struct, frozen=True):
    """What was played: the contest in all worlds with all kinds, the duel by two bidders of many tasks in `fresh`."""

    seed: int
    seeds: int
    rounds: int
    bidders: int


class ArenaResult(Struct, frozen=True):
    """Everything that came out. `ok`: honesty is dominant where it should be. `findings` say where it is not."""

    ok: bool
    setup: Setup
    dominance: tuple[Dominance, ...]
    contest: Contest
    duel: Contest
    proofs: tuple[Proof, ...]
    findings: tuple[str, ...]
    seconds: Mapping[str, float]
    report: str | None


def find_row(contest: Contest, world: World, kind: Kind, pricing_rule: PricingRule) -> Row:
    """The row of a world, a kind of bidders and a rule."""
    wanted = (world, kind, pricing_rule)
    return next(row for row in contest.rows if (row.world, row.kind, row.pricing_rule) == wanted)


def find_dominance(
    found: tuple[Dominance, ...], kind: Kind, pricing_rule: PricingRule, situation: Situation = "own"
) -> Dominance:
    """What was found in small rounds with a kind of bidders under a rule."""
    wanted = (kind, pricing_rule, situation)
    return next(one for one in found if (one.kind, one.pricing_rule, one.situation) == wanted)
