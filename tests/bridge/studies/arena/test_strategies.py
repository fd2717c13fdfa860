"""What the shipped strategies offer.

Goal: each does what its name says, and none pays more than a task is worth. Method: random values and books; the bids
that should just win are tried on the engine.
"""

import random

import pytest

from callmarket.bridge.studies.arena.market import ArenaMarket
from callmarket.bridge.studies.arena.strategies import HONEST, STRATEGIES, Paced, View, just_enough

AMPLE = 10**9


def view(slots: int = 3, standing: tuple[int, ...] = (), **changes: int) -> View:
    fields = {"rounds": 16, "wallet_tokens": AMPLE, "spent_tokens": 0, "last_price_tokens": 0} | changes
    return View(slots=slots, standing_tokens=standing, **fields)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_offer_is_above_the_value(name: str, seed: int):
    chance = random.Random(seed)
    strategy = STRATEGIES[name]()
    for _ in range(300):
        values = sorted((chance.randint(1, 20) for _ in range(chance.randint(0, 5))), reverse=True)
        standing = tuple(sorted((chance.randint(1, 20) for _ in range(chance.randint(0, 8))), reverse=True))
        offers = strategy.offers(values, view(chance.randint(1, 6), standing, spent_tokens=chance.randint(0, 90)))
        assert len(offers) == len(values)
        assert all(0 <= offer <= value for offer, value in zip(offers, values, strict=True))


def test_each_does_what_its_name_says():
    values = [100, 80, 50]
    offers = {name: list(make().offers(values, view(standing=(90, 70, 20)))) for name, make in STRATEGIES.items()}
    assert offers[HONEST] == values
    assert offers["shaded"] == [60, 48, 30]
    assert offers["paced"] == values
    assert offers["reducing"] == [100, 64, 32]
    # Two slots need 71 each; the third would need 91, and is worth 50.
    assert offers["sniping"] == [71, 71, 0]
    # One slot at 21 earns 79; two at 71 earn 38.
    assert offers["best reply"] == [21, 0, 0]


def test_late_bidders_are_those_that_read_the_book():
    assert {name for name, make in STRATEGIES.items() if make().late} == {"sniping", "best reply"}


def test_the_least_bids_win_so_many_slots(seed: int):
    """CLR-3: as many as are wanted win against the book, and with a token less they do not all win."""
    chance = random.Random(seed)
    for _ in range(60):
        slots = chance.randint(1, 5)
        standing = sorted((chance.randint(2, 30) for _ in range(chance.randint(0, 8))), reverse=True)
        wanted = chance.randint(0, slots)
        bids = just_enough(wanted, 6, standing, slots)
        assert len(bids) == 6
        assert slots_won(slots, standing, bids) == wanted
        if bids[0] > 1:
            assert slots_won(slots, standing, [max(0, price - 1) for price in bids]) < wanted


def slots_won(slots: int, standing: list[int], bids: list[int] | tuple[int, ...]) -> int:
    market = ArenaMarket("first_rejected", slots, [AMPLE, AMPLE])
    market.place(0, [(f"other-{number}", price) for number, price in enumerate(standing)])
    market.place(1, [(f"own-{number}", price) for number, price in enumerate(bids) if price > 0])
    return sum(win.seat == 1 for win in market.call().wins)


def test_a_paced_bidder_spends_what_a_round_may():
    """Balseiro and Gur 2019: against a price that never changes, spending settles at the budget of a round."""
    paced, spent, history = Paced(), 0, []
    for _ in range(400):
        offers = paced.offers([100] * 10, view(rounds=400, wallet_tokens=400 * 200, spent_tokens=spent))
        # Ten slots, each at what is offered for it: honest, it would spend five times its budget.
        spent = sum(offers)
        history.append(spent)
    assert history[0] == 1_000
    assert sum(history[200:]) / 200 == pytest.approx(200, rel=0.05)


def test_a_paced_bidder_with_enough_is_honest():
    paced = Paced()
    for _ in range(20):
        assert list(paced.offers([9, 5], view(spent_tokens=14))) == [9, 5]
