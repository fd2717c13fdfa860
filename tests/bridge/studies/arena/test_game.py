"""Games on the real engine: what is counted is what the ledger says.

Goal: utility is value less price, to the token, and a strategy that must win or lose does. Method: small draws of the
trace, all rules, worlds and kinds; planted strategies; books that are tampered with.
"""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from callmarket.bridge.studies.arena.contest import opponents
from callmarket.bridge.studies.arena.deviations import RULES
from callmarket.bridge.studies.arena.game import Bids, play
from callmarket.bridge.studies.arena.market import ArenaMarket
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS, Kind, Scenario, World, make_scenario
from callmarket.bridge.studies.arena.strategies import STRATEGIES, Strategy, Truthful, View
from callmarket.engine.commands import TREASURY, PricingRule
from tests.bridge.studies.arena.arenas import BIDDERS, ROUNDS, small_draw


class Idle:
    """Never bids."""

    late: ClassVar[bool] = False

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
        return [0] * len(values_tokens)


class Reckless:
    """Bids its wallet's tenth for each task, whatever it is worth."""

    late: ClassVar[bool] = False

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
        return [view.wallet_tokens // 10] * len(values_tokens)


def field(first: Strategy, others: type[Strategy] = Truthful) -> list[Strategy]:
    return [first, *(others() for _ in range(BIDDERS - 1))]


def mixed() -> list[Strategy]:
    return [STRATEGIES[name]() for name in opponents(BIDDERS + 1)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", WORLDS)
def test_the_counts_are_the_ledgers(world: World, kind: Kind, rule: PricingRule, seed: int):
    """LED-1, SET-1: the prices of all wins are in the treasury, each wallet has the rest, and nobody spends more."""
    stage = make_scenario(small_draw(seed % 1000), world, kind)
    audited: list[ArenaMarket] = []
    original = ArenaMarket.audit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArenaMarket, "audit", lambda market: audited.append(market) or original(market))
        played = play(stage, rule, mixed())
    accounts = audited[0]._market.engine.state.ledger.accounts
    assert accounts[TREASURY].balance_tokens == sum(played.paid_tokens)
    for seat, wallet in enumerate(stage.wallets_tokens):
        assert accounts[f"seat-{seat}"].balance_tokens == wallet - played.paid_tokens[seat]
        assert accounts[f"seat-{seat}"].held_tokens == 0
    assert sum(played.slots_won) <= stage.slots * stage.rounds
    if kind == "single":
        assert max(played.slots_won) <= stage.rounds


def test_an_audit_that_does_not_add_up_stops_the_arena():
    market = ArenaMarket("first_rejected", 1, [100, 100])
    market.place(0, [("a", 60)])
    market.place(1, [("b", 40)])
    assert [(win.seat, win.price_tokens) for win in market.call().wins] == [(0, 40)]
    assert market.audit() == 40
    market._paid_tokens += 1
    with pytest.raises(AssertionError):
        market.audit()


def test_a_refused_bid_stops_the_arena():
    market = ArenaMarket("first_rejected", 1, [100, 100])
    with pytest.raises(AssertionError, match="FUNDS_INSUFFICIENT"):
        market.place(0, [("a", 101)])


@pytest.mark.parametrize("rule", RULES)
def test_the_same_game_is_the_same(rule: PricingRule):
    stage = make_scenario(small_draw(), "waiting", "multi")
    assert play(stage, rule, mixed()) == play(stage, rule, mixed())


@pytest.mark.parametrize("rule", RULES)
def test_who_never_bids_gains_nothing(rule: PricingRule):
    played = play(make_scenario(small_draw(), "fresh", "multi"), rule, field(Idle()))
    assert (played.values_tokens[0], played.paid_tokens[0], played.slots_won[0]) == (0, 0, 0)
    assert sum(played.slots_won) > 0


def test_who_pays_more_than_it_is_worth_loses():
    """CLR-5: under `pay_as_bid` a wallet's tenth a task is far too much; under the default the price is others'."""
    stage = make_scenario(small_draw(), "fresh", "single")
    paid = play(stage, "pay_as_bid", field(Reckless()))
    uniform = play(stage, "first_rejected", field(Reckless()))
    assert paid.slots_won[0] == uniform.slots_won[0] > 0
    assert paid.utility_tokens(0) < uniform.utility_tokens(0)
    assert play(stage, "pay_as_bid", field(Truthful())).utility_tokens(0) == 0


def test_honest_bids_are_the_values_while_no_wallet_binds():
    """What hindsight relies on: the bids of a round are those of all seats, dearest first, in order of time."""
    stage = make_scenario(small_draw(), "fresh", "multi")
    rounds: list[Bids] = []
    play(stage, "first_rejected", field(Truthful()), rounds.append)
    assert len(rounds) == ROUNDS
    for number, bids in enumerate(rounds):
        assert [seat for seat, _ in bids] == list(stage.orders[number])
        for seat, prices in bids:
            values = [task.value_tokens for task in stage.tasks if (task.begins, task.seat) == (number, seat)]
            assert list(prices) == sorted(values, reverse=True)


def test_late_bidders_see_what_stands_and_the_others_do_not():
    seen: list[tuple[bool, int]] = []

    class Watching(Truthful):
        def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
            seen.append((self.late, len(view.standing_tokens)))
            assert list(view.standing_tokens) == sorted(view.standing_tokens, reverse=True)
            return values_tokens

    class WatchingLate(Watching):
        late: ClassVar[bool] = True

    stage = make_scenario(small_draw(), "waiting", "multi")
    play(stage, "first_rejected", field(WatchingLate(), Watching))
    assert {count for late, count in seen if not late} == {0}
    assert max(count for late, count in seen if late) > 0


def test_a_task_is_bid_for_until_it_wins_or_its_deadline():
    counts: dict[int, int] = {}

    class Counting(Idle):
        def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
            for value in values_tokens:
                counts[value] = counts.get(value, 0) + 1
            return super().offers(values_tokens, view)

    stage: Scenario = make_scenario(small_draw(), "waiting", "multi")
    play(stage, "first_rejected", [Counting() for _ in range(BIDDERS)])
    lengths: dict[int, int] = {}
    for task in stage.tasks:
        lengths[task.value_tokens] = lengths.get(task.value_tokens, 0) + task.ends - task.begins
    assert counts == lengths
