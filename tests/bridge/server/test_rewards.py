"""Rewards over HTTP, against who would like to be paid for nothing.

Goal: without staff's word no token is made, and no key pays an account that it may bid for; two that collude get no
more of what the market has been funded with than an account may get in a day. Method: the attack, over and over.
"""

from typing import Any

import pytest

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.commands import ISSUANCE
from tests.bridge.server.conftest import Served

CAP, DAY, FUND = 500, 1_200, 5_000
IMPACT = {"actual_cost_tokens": 0, "actual_impact": 9_000_000_000.0}


@pytest.fixture
def paying(served: Served) -> Served:
    """A market that pays for impact from the treasury, and two friends: one bids, one sells."""
    market = served.exchange
    market.open_market("paying", reward_tokens_per_impact=10, reward_cap_tokens=CAP, reward_day_cap_tokens=DAY)
    market.mint("treasury", FUND, "fund:rewards")
    market.open_account("mallory")
    market.mint("mallory", 10, "grant:initial")
    market.open_account("mal2", "provider")
    return served


def settled(served: Served, number: int, seller: str, reporter: str, account: str = "mal2") -> Any:
    """A slot that mallory has won, and who would report its impact."""
    body = {"slot_id": f"s{number}"}
    assert served.ask("POST", "/api/v1/markets/paying/slots", key=seller, account="mal2", json=body).status_code == 201
    served.exchange.place_bid("paying", "mallory", f"t{number}", 1)
    served.exchange.clear_round("paying")
    return served.ask("POST", f"/api/v1/slots/mal2/s{number}/settle", key=reporter, account=account, json=IMPACT)


def test_a_key_that_holds_both_sides_is_paid_nothing(paying: Served) -> None:
    """SET-3, A4: it may bid for the winner, so it does not report, whichever of its accounts it names."""
    both = paying.key(bid=("mallory",), offer=("mal2",))
    before = paying.exchange.wallet(ISSUANCE).balance_tokens
    for number, account in enumerate(("mal2", "mallory")):
        told = settled(paying, number, both, both, account)
        assert told.status_code == 403
        assert "may bid for 'mallory'" in told.json()["detail"]
    anybody = paying.key(bid=("*",), offer=("*",))
    assert settled(paying, 2, anybody, anybody).status_code == 403
    assert paying.exchange.wallet("mallory").balance_tokens == 10
    assert paying.exchange.wallet(ISSUANCE).balance_tokens == before


def test_colluding_keys_get_no_more_than_the_daily_cap_and_no_tokens_are_made(paying: Served) -> None:
    """SET-3: 20 reports of an absurd impact: 500, 500, 200, and then nothing until the next day."""
    seller = paying.key(offer=("mal2",))
    before = paying.exchange.wallet(ISSUANCE).balance_tokens
    told = [settled(paying, number, seller, seller).json()["reward_tokens"] for number in range(20)]
    assert told == [CAP, CAP, DAY - 2 * CAP] + [0] * 17
    assert paying.exchange.wallet("mallory").balance_tokens == 10 + DAY
    assert paying.exchange.wallet("treasury").balance_tokens == FUND - DAY
    assert paying.exchange.wallet(ISSUANCE).balance_tokens == before


def test_opening_a_market_does_not_allow_spending_another_account(paying: Served) -> None:
    """SET-3: a market that pays rewards is opened by the admin alone."""
    body = {"market_id": "mine", "reward_tokens_per_impact": 1, "reward_cap_tokens": 9, "reward_day_cap_tokens": 9}
    body["reward_account_id"] = "a"  # type: ignore[assignment]
    operator, admin = paying.key(operate=True), paying.key(operate=True, admin=True)
    assert paying.ask("POST", "/api/v1/markets", key=operator, json=body).status_code == 403
    assert paying.ask("POST", "/api/v1/markets", key=operator, json={"market_id": "plain"}).status_code == 201
    assert paying.ask("POST", "/api/v1/markets", key=admin, json=body).status_code == 201
    shown = paying.ask("GET", "/api/v1/markets/mine", key=operator).json()
    assert (shown["reward_account_id"], shown["reward_day_cap_tokens"]) == ("a", 9)


@pytest.mark.parametrize("left_out", ["reward_tokens_per_impact", "reward_cap_tokens", "reward_day_cap_tokens"])
def test_incomplete_reward_settings_name_the_missing_number(paying: Served, left_out: str) -> None:
    """Nobody means a market that says it rewards, and rewards nothing."""
    numbers = {"reward_tokens_per_impact": 1, "reward_cap_tokens": 9, "reward_day_cap_tokens": 9}
    del numbers[left_out]
    told = paying.ask("POST", "/api/v1/markets", key=paying.key(admin=True), json={"market_id": "half", **numbers})
    assert (told.status_code, told.json()["field"], told.json()["value"]) == (400, left_out, 0)
    with pytest.raises(Invalid, match=f"{left_out}: expected 1 or more, as rewards need all of"):
        paying.exchange.open_market("half", **numbers)  # type: ignore[arg-type]
