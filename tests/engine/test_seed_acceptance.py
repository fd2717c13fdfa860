"""The acceptance test that the market was asked for, by itself.

Goal: ten bids from 1k to 100k tokens and five slots clear at the sixth highest bid; the five losers get every token
back; settlement debits the clearing price and not the bid; the impact is logged.
Method: the ten bidders come in an order drawn from the seed, so that no order of arrival makes it pass.
"""

import random

from callmarket.engine.events import AwardGranted, AwardSettled, BidsLost, RoundCleared, TransferPosted
from tests.support.script import play

PRICES = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000, 100_000)
GRANT = 150_000
SIXTH_HIGHEST = 20_000


def test_ten_bids_and_five_slots_from_the_first_bid_to_the_last_settlement(seed: int) -> None:
    """CLR-10, CLR-4, CLR-6, SET-1, SET-2, AUC-4, AUC-5, AUC-11, AUC-12: the whole story, to the token."""
    prices = list(PRICES)
    random.Random(seed).shuffle(prices)
    assert sorted(PRICES)[-6] == SIXTH_HIGHEST

    script = play("market scidex-agent\naccount lab provider")
    for number, price in enumerate(prices, 1):
        script.run(f"account quest{price} quest {GRANT}")
        script.run(f"bid quest{price} task{price} {price} -> bid {number}")
        script.run(f"wallet quest{price} -> balance {GRANT} held {price}")
    for number in range(1, 6):
        script.run(f"slot agent{number} provider=lab")

    winners, losers = sorted(PRICES)[:4:-1], sorted(PRICES)[4::-1]
    ids = {price: number for number, price in enumerate(prices, 1)}
    awarded = " ".join(f"{ids[price]}@agent{number}" for number, price in enumerate(winners, 1))
    lost = " ".join(str(ids[price]) for price in losers)
    script.run(f"t=1000 clear -> price {SIXTH_HIGHEST}: {awarded}, lost {lost}")
    script.run(
        f"round -> supply 5 demand 10 awards 5 price {SIXTH_HIGHEST} visited 6 "
        f"best_rejected {ids[SIXTH_HIGHEST]} later 0"
    )

    # The five losers have every token back, the winners hold the price and not their bid.
    for price in losers:
        script.run(f"wallet quest{price} -> balance {GRANT} held 0")
    for price in winners:
        script.run(f"wallet quest{price} -> balance {GRANT} held {SIXTH_HIGHEST}")
    (released,) = script.all(BidsLost)
    assert released.released_tokens == tuple(losers)
    assert [award.premium_tokens for award in script.all(AwardGranted)] == [price - SIXTH_HIGHEST for price in winners]
    assert {award.runner_up_task_id for award in script.all(AwardGranted)} == {f"task{SIXTH_HIGHEST}"}

    # Settlement debits the clearing price, whatever was bid and whatever it cost.
    for number, price in enumerate(winners, 1):
        impact = 250_000 * number
        script.run(f"settle agent{number} cost={price * 2} impact={impact} -> paid {SIXTH_HIGHEST} to lab")
        script.run(f"wallet quest{price} -> balance {GRANT - SIXTH_HIGHEST} held 0")
    script.run(f"wallet lab -> balance {5 * SIXTH_HIGHEST} held 0")

    settled = script.all(AwardSettled)
    assert [one.price_tokens for one in settled] == [SIXTH_HIGHEST] * 5
    assert [one.actual_impact_micros for one in settled] == [250_000, 500_000, 750_000, 1_000_000, 1_250_000]
    assert [one.actual_cost_tokens for one in settled] == [price * 2 for price in winners]
    paid = [one for one in script.all(TransferPosted) if one.reason == "settle:slot"]
    assert [(one.debit_account_id, one.amount_tokens) for one in paid] == [
        (f"quest{price}", SIXTH_HIGHEST) for price in winners
    ]
    assert len(script.all(RoundCleared)) == 1
    assert not any(account.held_tokens for account in script.engine.state.ledger.accounts.values())
