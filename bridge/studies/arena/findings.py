"""What the numbers say, in sentences: what theory promises and whether it holds, and where honesty costs something.

Rule of this file: every sentence is computed; a result that goes the other way changes the words, not only the numbers.
"""

from collections.abc import Mapping
from typing import Final

from callmarket.bridge.studies.arena.contest import Contest, Estimate, Row
from callmarket.bridge.studies.arena.deviations import AGAIN, RULES, Bids, Deviation
from callmarket.bridge.studies.arena.result import find_dominance, find_row
from callmarket.bridge.studies.arena.scenario import KINDS, Kind, World
from callmarket.bridge.studies.arena.small_rounds import SITUATIONS, Dominance, Situation, promised
from callmarket.bridge.studies.demo.audit import Proof
from callmarket.engine.commands import PricingRule

BIDS = {"single": "one bid each", "multi": "many bids each"}
SITUATION: Final[Mapping[Situation, str]] = {
    "own": "own tasks",
    "shared": "shared tasks",
    "private": "task_scope bidder",
    "capped": "own tasks, a cap",
    "capped and shared": "shared tasks, a cap",
}


def proofs(dominance: tuple[Dominance, ...], contest: Contest, duel: Contest) -> tuple[Proof, ...]:
    """One for each rule and kind of bidders under which honesty should be dominant."""
    found = []
    for rule in RULES:
        for kind in KINDS:
            if promised(rule, kind):
                small = [
                    find_dominance(dominance, kind, rule, situation)
                    for situation in SITUATIONS
                    if promised(rule, kind, situation)
                ]
                rows = [
                    row
                    for row in (*contest.rows, *duel.rows)
                    if (row.world, row.kind, row.pricing_rule) == ("fresh", kind, rule)
                ]
                found.append(_proof(rule, kind, small, rows))
    return tuple(found)


def _proof(rule: PricingRule, kind: Kind, small: list[Dominance], rows: list[Row]) -> Proof:
    regrets = [field.hindsight for row in rows for field in (row.mixed, row.all_honest) if field.hindsight is not None]
    exact = all(regret.mean == regret.high == 0 for regret in regrets)
    with_gain = sum(one.rounds_with_gain for one in small)
    rounds, tried = sum(one.rounds for one in small), sum(one.deviations for one in small)
    return Proof(
        f"{rule}, {BIDS[kind]}: no bid earns more than the honest one",
        with_gain == 0 and exact,
        f"{with_gain} of {rounds} small rounds in which some other does ({tried:,} replies tried); best reply in "
        f"rounds of the trace: {shown(max(regrets, key=lambda regret: regret.mean))}",
    )


def findings(dominance: tuple[Dominance, ...], contest: Contest, duel: Contest) -> tuple[str, ...]:
    """Where honesty fails, whether `vickrey` mends it, what that costs, and what no rule mends."""
    many, mended = (find_row(contest, "fresh", "multi", rule) for rule in ("first_rejected", "vickrey"))
    two, two_mended = (find_row(duel, "fresh", "multi", rule) for rule in ("first_rejected", "vickrey"))
    small = find_dominance(dominance, "multi", "first_rejected")
    return (
        _rivals(dominance),
        f"Many bids each under first_rejected: in {small.rounds_with_gain} of {small.rounds} small rounds another bid "
        f"earns more. On the trace, with {many.bidders} bidders, the best reply in hindsight would earn "
        f"{_hindsight(many)} more; of the strategies, {_best_other(many)}. With two bidders, {_best_other(two)}.",
        f"The same bids under vickrey: the best reply in hindsight would earn {_hindsight(mended)} more; with two "
        f"bidders, {_best_other(two_mended)}. If all are honest, winners pay {_revenue_change(many, mended)} than "
        "under first_rejected.",
        *(_other_rule(contest, rule) for rule in ("last_accepted", "pay_as_bid")),
        _reaction(contest),
        _beyond(contest, "wallets", "Wallets that are too small"),
        _beyond(contest, "waiting", "Tasks that may wait for a cheaper round"),
    )


def _rivals(dominance: tuple[Dominance, ...]) -> str:
    """Whether bids for the tasks of others pay, where that is promised not to be, and where a cap meets them."""
    small = [one for one in dominance if promised(one.pricing_rule, one.kind, one.situation)]
    with_gain = sum(one.rounds_with_gain for one in small)
    capped = find_dominance(dominance, "multi", "vickrey", "capped and shared")
    rounds = sum(one.rounds for one in small)
    return (
        "Rivals for one task, and bids for the tasks of others, above theirs and below: where honesty should be "
        f"dominant, another bid earns more in {with_gain} of {rounds} small rounds. Where a cap meets shared tasks "
        f"nothing is promised: under vickrey another bid earns more in {capped.rounds_with_gain} of {capped.rounds}."
    )


def _other_rule(contest: Contest, rule: PricingRule) -> str:
    one, many = (find_row(contest, "fresh", kind, rule) for kind in KINDS)
    return (
        f"{rule}: the best reply in hindsight would earn {_hindsight(one)} more with one bid each, {_hindsight(many)} "
        "with many."
    )


def _reaction(contest: Contest) -> str:
    row = find_row(contest, "fresh", "single", "first_rejected")
    return (
        "Opponents who read the book and bid late may react to an honest bid: with one bid each under first_rejected, "
        f"the best strategy of each game, chosen afterwards, earns {shown(row.regret)} more than honesty. Chosen "
        f"beforehand, {_best_other(row)}."
    )


def _beyond(contest: Contest, world: World, title: str) -> str:
    """What happens outside of the textbook."""
    said = [
        f"{BIDS[kind]}, {rule}: {_best_other(find_row(contest, world, kind, rule))}"
        for kind in KINDS
        for rule in ("first_rejected", "vickrey")
    ]
    return f"{title}, where no rule promises anything: {'; '.join(said)}."


def shown(estimate: Estimate, *, signed: bool = False) -> str:
    """A share as people read it: in percent, with its interval; an exact zero is called so."""
    if estimate.mean == estimate.low == estimate.high == 0:
        return "exactly 0"
    form = "{:+.1f}% [{:+.1f}, {:+.1f}]" if signed else "{:.1f}% [{:.1f}, {:.1f}]"
    return form.format(*(100 * share for share in (estimate.mean, estimate.low, estimate.high)))


def shown_deviation(deviation: Deviation) -> str:
    """A round in which another bid earns more, with all of its numbers."""
    one, reply = deviation.round, deviation.reply
    others = "; ".join(_bids(bids) for bids in one.others)
    told = tuple((task, price) for task, price in zip(one.tasks, reply.own_tokens, strict=True) if price)
    cap = f", at most {one.cap} a bidder" if one.cap else ""
    values = _bids(tuple(zip(one.tasks, one.values_tokens, strict=True)))
    return (
        f"{one.slots} slot{'s' if one.slots > 1 else ''}{cap}; the others bid {others}. A bidder values {values}: "
        f"bidding so earns {deviation.honest_tokens}, bidding {_bids(told + reply.others)} earns "
        f"{deviation.utility_tokens}."
    )


def _bids(bids: Bids) -> str:
    named = [f"{task.replace(AGAIN, ' again')} at {price}" for task, price in bids]
    return " and ".join(named) if named else "nothing"


def _hindsight(row: Row) -> str:
    assert row.mixed.hindsight is not None
    return shown(row.mixed.hindsight)


def _best_other(row: Row) -> str:
    gain = row.best_other.gain
    if gain.mean == gain.low == gain.high == 0:
        return f"no other earns more than honesty, and {row.best_other.strategy} the same"
    if gain.high < 0:
        return f"no other earns more than honesty: the next, {row.best_other.strategy}, {shown(gain, signed=True)}"
    doubt = "" if gain.low > 0 else " (no telling from honesty)"
    return f"{row.best_other.strategy} earns {shown(gain, signed=True)}{doubt}"


def _revenue_change(before: Row, after: Row) -> str:
    change = after.all_honest.revenue_tokens / max(1.0, before.all_honest.revenue_tokens) - 1
    return f"{abs(change):.1%} {'less' if change < 0 else 'more'}"
