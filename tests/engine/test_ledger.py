"""The ledger by itself: double entry, holds, and its own check.

Goal: a caller that is wrong stops the process, and damage is found. Method: each assertion is provoked.
"""

from collections.abc import Callable

import pytest

from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.engine.ledger import Account, Ledger
from callmarket.engine.limits import TOKENS_MAX
from callmarket.engine.reasons import is_earning


@pytest.fixture
def ledger() -> Ledger:
    """A ledger with two agents, of whom `a` has 100."""
    ledger = Ledger()
    ledger.open("a", "agent")
    ledger.open("b", "agent")
    ledger.post(ISSUANCE, "a", 100)
    return ledger


def wallet(ledger: Ledger, account_id: str) -> tuple[int, int, int]:
    account = ledger.accounts[account_id]
    return account.balance_tokens, account.held_tokens, account.available_tokens


def test_a_transfer_moves_tokens_and_is_counted(ledger: Ledger) -> None:
    """LED-1."""
    ledger.post("a", "b", 30)
    assert wallet(ledger, "a") == (70, 0, 70)
    assert wallet(ledger, "b") == (30, 0, 30)
    assert (ledger.transfers_posted, ledger.supply_tokens) == (2, 100)
    ledger.check()


def test_tokens_are_set_aside_and_released(ledger: Ledger) -> None:
    """LED-2, LED-6."""
    ledger.hold("a", 60)
    assert wallet(ledger, "a") == (100, 60, 40)
    ledger.hold("a", 40)
    assert wallet(ledger, "a") == (100, 100, 0)
    ledger.release("a", 30)
    assert wallet(ledger, "a") == (100, 70, 30)
    ledger.release_all(["a", "a"], [50, 20])
    assert wallet(ledger, "a") == (100, 0, 100)
    ledger.check()


def test_tokens_that_are_not_held_cannot_be_released(ledger: Ledger) -> None:
    """LED-6: in the ledger this is a bug and stops the process; `decide` refuses it before."""
    ledger.hold("a", 60)
    with pytest.raises(AssertionError):
        ledger.release("a", 61)
    with pytest.raises(AssertionError):
        ledger.release_all(["a", "a"], [59, 2])


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("post", ("a", "b", 41)),
        ("post", ("b", "a", 1)),
        ("post", ("a", "b", 0)),
        ("post", ("a", "b", -1)),
        ("post", (ISSUANCE, "b", TOKENS_MAX + 1)),
        ("hold", ("a", 41)),
        ("hold", ("a", -1)),
        ("release", ("a", -1)),
        ("release_all", (["a"], [-1])),
        ("open", ("a", "agent")),
        ("open", (TREASURY, "agent")),
    ],
)
def test_an_impossible_posting_stops_the_process(ledger: Ledger, method: str, arguments: tuple[object, ...]) -> None:
    """LED-2, LED-5: overdrawn, held too much, negative, nothing, twice."""
    ledger.hold("a", 60)
    with pytest.raises(AssertionError):
        getattr(ledger, method)(*arguments)


def test_issuance_alone_goes_below_zero(ledger: Ledger) -> None:
    """LED-1, LED-2."""
    assert wallet(ledger, ISSUANCE) == (-100, 0, -100)
    ledger.post(ISSUANCE, "b", TOKENS_MAX - 100)
    assert ledger.supply_tokens == TOKENS_MAX
    ledger.check()


def test_an_earning_is_known_by_its_reason() -> None:
    """LED-4."""
    assert [is_earning(reason) for reason in ("earn:x", "earn:", "earn", "earned:x", "Earn:x", "grant:earn:x")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def damaged_sum(ledger: Ledger) -> None:
    ledger.accounts["a"].balance_tokens += 1


def damaged_held(ledger: Ledger) -> None:
    ledger.accounts["a"].held_tokens = -1


def damaged_name(ledger: Ledger) -> None:
    ledger.accounts["a"].account_id = "b"


def damaged_balance(ledger: Ledger) -> None:
    ledger.accounts["a"].balance_tokens -= 101
    ledger.accounts["b"].balance_tokens += 101


def damaged_bound(ledger: Ledger) -> None:
    ledger.accounts["a"].balance_tokens += TOKENS_MAX
    ledger.accounts[ISSUANCE].balance_tokens -= TOKENS_MAX


def damaged_overheld(ledger: Ledger) -> None:
    ledger.accounts["b"].held_tokens = 1


def damaged_issuance(ledger: Ledger) -> None:
    ledger.accounts[ISSUANCE].held_tokens = 1


def damaged_kind(ledger: Ledger) -> None:
    ledger.accounts[ISSUANCE] = Account(ISSUANCE, "agent", -100, 0)


@pytest.mark.parametrize(
    "damage",
    [
        damaged_sum,
        damaged_held,
        damaged_name,
        damaged_balance,
        damaged_bound,
        damaged_overheld,
        damaged_issuance,
        damaged_kind,
    ],
)
def test_the_check_finds_each_kind_of_damage(ledger: Ledger, damage: Callable[[Ledger], None]) -> None:
    """LED-1, LED-2, LED-5."""
    ledger.check()
    damage(ledger)
    with pytest.raises(AssertionError):
        ledger.check()
