"""What every question owes who asks it: from which row its answer is, what is durable, and what asking weighs.

Goal: an answer that named another row would be taken for newer or older than it is, and a question without its weight
would cost the others their turn. Method: one market in which each question finds something; each is asked as of two
positions that nothing else has.
"""

import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from callmarket import Exchange, ManualClock, NotFound, open_exchange
from callmarket.bridge.api.contract.queries import (
    ASKING,
    SUMMING_UP,
    Moment,
    StateQuery,
    TableQuery,
    Tables,
    weight_of_page,
)
from callmarket.bridge.api.market import all_operations
from callmarket.persistence.database.connections import connect
from tests.bridge.conftest import START_US
from tests.support.following import level
from tests.support.small_market import at, award_one, furnish

QUESTIONS: dict[str, dict[str, Any]] = {
    "markets": {},
    "market": {"market_id": "m"},
    "get_order_book": {"market_id": "m"},
    "quote": {"market_id": "m", "max_price_tokens": 5},
    "get_rounds": {},
    "get_recent_stats": {"market_id": "m"},
    "get_candles": {"market_id": "m"},
    "slots": {"market_id": "m"},
    "bids": {},
    "bid": {"bid_id": 1},
    "why": {"bid_id": 1},
    "awards": {},
    "wallets": {},
    "wallet": {"account_id": "a"},
    "statement": {"account_id": "a"},
    "earnings": {"account_id": "a"},
    "holds": {},
    "hold": {"hold_id": "h", "account_id": "a"},
    "get_quest_budgets": {},
    "artifact": {"artifact_id": "x"},
    "artifacts": {},
    "compute_resource_budget": {"artifact_id": "x"},
    "get_resource_budget_rankings": {},
    "resource_allocations": {"artifact_id": "x"},
    "bounties": {},
    "bounty": {"bounty_id": "b", "account_id": "a"},
}
# Questions about positions and exports: those of `tests/contract` are asked of a market that has some.
OF_OTHERS = {
    *("artifact_markets", "artifact_market", "preview_settlement", "artifact_trades", "quote_open", "quote_close"),
    *("positions", "orders", "compute_exposure", "compute_sharpe", "get_portfolio_days", "get_track_record"),
    *("get_top_performers", "agent_id_to_address", "export_ledger_for_chain", "ledger_months", "export_ledger_month"),
}
OPERATIONS = {one.name: one for one in all_operations()}
LIMIT = 1_000
SUMS = {"get_recent_stats", "get_candles", "earnings", "get_resource_budget_rankings"}

each = pytest.mark.parametrize("name", QUESTIONS)


@pytest.fixture(scope="module")
def lived(module_database_url: str) -> Iterator[Exchange]:
    """A market in which each question finds something, and whose tables have all of it."""
    with open_exchange(module_database_url, clock=ManualClock(START_US)) as market:
        furnish(market, "a", "b")
        award_one(market)
        market.place_bid("m", "b", "t", 7)
        market.place_hold("h", "a", 5, "deposit")
        market.put_artifact("x", "hypothesis", "Sleep clears amyloid")
        market.stake("st", "a", "x", 50)
        market.post_bounty("b", "a", "x", 20, expires_at=at(START_US) + timedelta(days=8))
        market.record_resource_spending("x", 1, "task", "t")
        level(module_database_url)
        yield market


def asked(name: str, limit: int | None = None) -> Any:
    plan, given = OPERATIONS[name].plan, QUESTIONS[name]
    if limit is not None and "limit" in inspect.signature(plan).parameters:
        given = given | {"limit": limit}
    return plan(**given)


def test_each_question_is_among_them() -> None:
    kinds = {name: str(inspect.signature(one.plan).return_annotation) for name, one in OPERATIONS.items()}
    assert {name for name, kind in kinds.items() if "Query[" in kind} == QUESTIONS.keys() | OF_OTHERS


@each
def test_an_answer_names_the_row_that_it_was_read_at_and_the_last_durable_one(lived: Exchange, name: str) -> None:
    """Two rows that are no other's, so that nothing else can be taken for one of them."""
    question = asked(name)
    if isinstance(question, StateQuery):
        seq, answer = lived.read(lambda state: (state.seq, question.answer(Moment(state, 10**9, START_US))))
        wanted = (seq, 10**9)
    else:
        wanted = (10**6, 10**9)
        with connect(lived.node.url, "test") as connection:
            answer = question.answer(Tables(connection, 0, *wanted, at(START_US), 1_000))
    assert (answer.seq, answer.durable_seq) == wanted
    assert getattr(answer, "items", True), "it finds something"


@each
def test_asking_weighs_what_the_answer_costs(lived: Exchange, name: str) -> None:
    """A page by its length, a sum over a period at least as much as the longest page, and anything else as little."""
    for limit in (1, 10, LIMIT):
        question = asked(name, limit)
        has_limit = "limit" in inspect.signature(OPERATIONS[name].plan).parameters
        if isinstance(question, TableQuery):
            page = weight_of_page(limit) if has_limit else ASKING
            assert question.weight == (SUMMING_UP if name in SUMS else page)
        elif question.weight is not None:
            assert lived.read(question.weight) >= 1


def test_a_page_weighs_by_its_length() -> None:
    assert [weight_of_page(limit) for limit in (1, 9, 10, 100, LIMIT)] == [4, 4, 5, 14, 104]
    assert (ASKING, SUMMING_UP) == (4, 100)


UNKNOWN = {
    **dict.fromkeys(
        ("market", "get_order_book", "quote", "get_recent_stats", "get_candles", "slots"),
        ({"market_id": "none"}, "market_id: expected an open market, got 'none'"),
    ),
    **dict.fromkeys(("bid", "why"), ({"bid_id": 10**6}, "bid_id: expected a bid that was accepted, got 1000000")),
    **dict.fromkeys(
        ("wallet", "statement", "earnings"),
        ({"account_id": "none"}, "account_id: expected an open account, got 'none'"),
    ),
    **dict.fromkeys(
        ("artifact", "compute_resource_budget", "resource_allocations"),
        ({"artifact_id": "none"}, "artifact_id: expected an existing artifact, got 'none'"),
    ),
    "hold": ({"hold_id": "none"}, "hold_id: expected a hold of 'a' that was placed, got 'none'"),
    "bounty": ({"bounty_id": "none"}, "bounty_id: expected a bounty of 'a' that was posted, got 'none'"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_there_is_named_with_what_would_be(lived: Exchange, name: str) -> None:
    """A question about one thing, or about what one has, does not answer as if that were there and had nothing."""
    given, words = UNKNOWN[name]
    with pytest.raises(NotFound) as caught:
        getattr(lived, name)(**QUESTIONS[name] | given)
    assert str(caught.value) == words


def test_lists_of_what_may_not_be_there_are_empty() -> None:
    """All other questions are about everything, or find nothing to name."""
    assert set(QUESTIONS) - set(UNKNOWN) == {
        *("markets", "get_rounds", "bids", "awards", "wallets", "holds", "get_quest_budgets", "artifacts"),
        *("get_resource_budget_rankings", "bounties"),
    }
