"""One game: a scene, a pricing rule, and a strategy in each seat.

Rule of this file: every seat is treated alike; a wallet that cannot pay for all that its strategy offers is spent
on the dearest tasks first.
"""

from bisect import insort
from collections.abc import Callable, Sequence

from msgspec import Struct

from callmarket.bridge.studies.arena.market import ArenaMarket, Called
from callmarket.bridge.studies.arena.scenario import Scenario, Task
from callmarket.bridge.studies.arena.strategies import Strategy, View
from callmarket.engine.commands import PricingRule

Bids = Sequence[tuple[int, tuple[int, ...]]]
"""What was bid in a round, in order of time: the seat, and its prices, dearest first."""


class Outcome(Struct, frozen=True):
    """What came of a game, by seat. Utility is quasi-linear: the value of the tasks that won, less what they paid."""

    values_tokens: tuple[int, ...]
    paid_tokens: tuple[int, ...]
    slots_won: tuple[int, ...]

    def utility_tokens(self, seat: int) -> int:
        """What a seat gained."""
        return self.values_tokens[seat] - self.paid_tokens[seat]


class _Seat:
    """A bidder during a game."""

    def __init__(self, strategy: Strategy, wallet_tokens: int) -> None:
        self.strategy = strategy
        self.wallet_tokens = wallet_tokens
        self.waiting: list[Task] = []
        self.value_tokens = self.paid_tokens = self.slots_won = 0
        self.spent_last_tokens = 0


def play(
    scene: Scenario,
    pricing_rule: PricingRule,
    strategies: Sequence[Strategy],
    on_bids: Callable[[Bids], None] | None = None,
) -> Outcome:
    """Play all rounds. Some tens of microseconds a bid; asserts that the sum of prices is in the treasury."""
    seats = [_Seat(strategy, wallet) for strategy, wallet in zip(strategies, scene.wallets_tokens, strict=True)]
    market = ArenaMarket(pricing_rule, scene.slots, scene.wallets_tokens)
    last_price = 0
    arriving: list[list[Task]] = [[] for _ in range(scene.rounds)]
    for task in scene.tasks:
        arriving[task.begins].append(task)
    for round_no, order in enumerate(scene.orders):
        for task in arriving[round_no]:
            seats[task.seat].waiting.append(task)
        bids = _bid(scene, market, seats, order, last_price)
        if on_bids is not None:
            on_bids(bids)
        called = market.call()
        last_price = called.price_tokens
        _note(called, seats, round_no + 1)
    assert market.audit() == sum(seat.paid_tokens for seat in seats)
    return Outcome(
        tuple(seat.value_tokens for seat in seats),
        tuple(seat.paid_tokens for seat in seats),
        tuple(seat.slots_won for seat in seats),
    )


def _bid(scene: Scenario, market: ArenaMarket, seats: Sequence[_Seat], order: Sequence[int], last_price: int) -> Bids:
    """Let the early seats bid, then the late ones, each in the order of the round."""
    # Negative, so that the dearest come first.
    standing: list[int] = []
    placed: list[tuple[int, tuple[int, ...]]] = []
    for number in sorted(order, key=lambda number: seats[number].strategy.late):
        seat = seats[number]
        tasks = sorted(seat.waiting, key=lambda task: -task.value_tokens)[: scene.bids_per_seat_max]
        seen = tuple(-price for price in standing) if seat.strategy.late else ()
        view = View(scene.rounds, scene.slots, seat.wallet_tokens, seat.spent_last_tokens, last_price, seen)
        offers = seat.strategy.offers([task.value_tokens for task in tasks], view)
        bids = _funded(tasks, offers, market.available_tokens(number))
        market.place(number, bids)
        prices = tuple(price for _, price in bids)
        placed.append((number, prices))
        for price in prices:
            insort(standing, -price)
    return placed


def _funded(tasks: Sequence[Task], offers: Sequence[int], available_tokens: int) -> list[tuple[str, int]]:
    """The bids that the wallet covers; the last one as far as it goes."""
    bids = []
    for task, offer in zip(tasks, offers, strict=True):
        price = min(offer, available_tokens)
        available_tokens -= price
        if price > 0:
            bids.append((task.task_id, price))
    return bids


def _note(called: Called, seats: Sequence[_Seat], next_round: int) -> None:
    """Book what was won, and forget the tasks that are done or over."""
    won = {win.task_id: win for win in called.wins}
    for number, seat in enumerate(seats):
        seat.spent_last_tokens = 0
        for task in seat.waiting:
            if task.task_id in won:
                win = won[task.task_id]
                assert win.seat == number, (win, number)
                seat.value_tokens += task.value_tokens
                seat.spent_last_tokens += win.price_tokens
                seat.slots_won += 1
        seat.paid_tokens += seat.spent_last_tokens
        seat.waiting = [task for task in seat.waiting if task.ends > next_round and task.task_id not in won]
