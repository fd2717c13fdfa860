"""What the numbers say, in sentences: what theory promises and whether it holds, and where honesty costs something.

Rule of this file: every sentence is computed; a result that goes the other way changes the words, not only the numbers.
"""

from bridge.arena.contest import Contest, Estimate, Row
from bridge.arena.deviations import RULES, Deviation, Dominance, promised
from bridge.arena.result import find_dominance, find_row
from bridge.arena.scene import KINDS, World
from bridge.demo.audit import Proof
from engine.commands import PricingRule

BIDS = {"single": "one bid each", "multi": "many bids each"}


def proofs(dominance: tuple[Dominance, ...], contest: Contest, duel: Contest) -> tuple[Proof, ...]:
    """One for each rule and kind of bidders under which honesty should be dominant."""
    found = []
    for rule in RULES:
        for kind in KINDS:
            if promised(rule, kind):
                small = find_dominance(dominance, kind, rule)
                rows = [
                    row
                    for row in (*contest.rows, *duel.rows)
                    if (row.world, row.kind, row.pricing_rule) == ("fresh", kind, rule)
                ]
                found.append(_proof(small, rows))
    return tuple(found)


def _proof(small: Dominance, rows: list[Row]) -> Proof:
    regrets = [field.hindsight for row in rows for field in (row.mixed, row.all_honest) if field.hindsight is not None]
    exact = all(regret.mean == regret.high == 0 for regret in regrets)
    return Proof(
        f"{small.pricing_rule}, {BIDS[small.kind]}: no bid earns more than the honest one",
        small.rounds_with_gain == 0 and exact,
        f"{small.rounds_with_gain} of {small.rounds} small rounds in which some other does ({small.deviations:,} bids "
        f"tried); best reply in rounds of the trace: {shown(max(regrets, key=lambda regret: regret.mean))}",
    )


def findings(dominance: tuple[Dominance, ...], contest: Contest, duel: Contest) -> tuple[str, ...]:
    """Where honesty fails, whether `vickrey` mends it, what that costs, and what no rule mends."""
    many, mended = (find_row(contest, "fresh", "multi", rule) for rule in ("first_rejected", "vickrey"))
    two, two_mended = (find_row(duel, "fresh", "multi", rule) for rule in ("first_rejected", "vickrey"))
    small = find_dominance(dominance, "multi", "first_rejected")
    return (
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
    one = deviation.round
    others = ", ".join(_prices(prices) for prices in one.others_tokens)
    bids = _prices(deviation.bids_tokens)
    return (
        f"{one.slots} slots; others bid {others}. A bidder values its tasks at {_prices(one.values_tokens)}: bidding "
        f"so earns {deviation.honest_tokens}, bidding {bids} earns {deviation.utility_tokens}."
    )


def _prices(prices: tuple[int, ...]) -> str:
    return " and ".join(str(price) if price else "none" for price in prices)


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
