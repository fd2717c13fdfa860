"""Which charges an account can pay at this moment: exactly as much as it has is enough, and one token less is not.

Method: pages as the tables give them, by hand. Demurrage.
"""

import pytest

from callmarket.bridge.fleet.earning.demurrage import Debts, Demurrage, Walk
from callmarket.persistence.queries.idle import IdleRow
from callmarket.persistence.stores.demurrage_debts import DebtRow

TERMS = Demurrage(ppm=100_000, period_us=3_600_000_000, exempt_tokens=50, to="treasury")


@pytest.mark.parametrize(
    ("idle_tokens", "charge"), [(0, 0), (50, 0), (59, 0), (60, 1), (69, 1), (70, 2), (1_050, 100), (1_059, 100)]
)
def test_a_charge_is_rounded_down_beyond_what_is_exempt(idle_tokens: int, charge: int) -> None:
    assert TERMS.tokens(idle_tokens) == charge


@pytest.mark.parametrize(("available_tokens", "pays"), [(0, False), (99, False), (100, True), (101, True)])
def test_an_account_pays_with_all_that_it_has(available_tokens: int, pays: bool) -> None:
    walk = Walk(TERMS, 7, 20)
    nothing, owing = IdleRow("a", 59, 0), IdleRow("b", 1_050, available_tokens)
    payable, waiting = walk.payable([nothing, owing])
    assert [(one.account_id, one.tokens) for one in payable] == ([("b", 100)] if pays else [])
    assert [(one.account_id, one.tokens) for one in waiting] == ([] if pays else [("b", 100)])
    (debt,) = payable or waiting
    assert (debt.period, debt.reference_id, debt.attempts) == (7, "1970-01-01T07:00:00Z/PT3600S", 0)


def test_a_period_is_the_last_one_that_has_ended() -> None:
    hour_us = TERMS.period_us
    for now_us, period in ((hour_us, 0), (2 * hour_us - 1, 0), (2 * hour_us, 1)):
        assert TERMS.period(now_us) == period
    assert TERMS.since(1).timestamp() == 3_600


def test_debts_are_paid_one_by_one_from_what_is_left() -> None:
    """In their order; one that is too large does not keep a later, smaller one from being paid."""

    def row(account_id: str, period: int, tokens: int, available_tokens: int, *, paid: bool = False) -> DebtRow:
        return DebtRow(account_id, period, f"p{period}", tokens, 0, paid, available_tokens)

    rows = [
        row("a", 1, 60, 100),
        row("a", 2, 41, 100),
        row("a", 3, 40, 100),
        row("a", 4, 1, 100),
        row("b", 1, 100, 100),
        row("c", 1, 5, 100, paid=True),
        row("c", 2, 100, 100),
    ]
    payable, paid = Debts().payable(rows)
    assert payable == [rows[0], rows[2], rows[4], rows[6]]
    assert paid == [rows[5]]
