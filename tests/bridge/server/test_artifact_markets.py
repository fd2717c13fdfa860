"""Artifact markets over HTTP: under the platform's own paths, and by which keys.

Goal: an agent of the platform trades by changing a URL. Method: the service in this process, asked as it asks.
"""

from typing import Any

import pytest

from tests.bridge.server.conftest import Served

ORDER = {"artifact_id": "paper", "side": "yes", "amount_tokens": 70}


@pytest.fixture
def paper(served: Served) -> Served:
    """The same with a market for an artifact, `judge` its arbiter."""
    served.exchange.open_account("judge")
    served.exchange.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
    served.exchange.open_artifact_market("paper", 70, arbiter_id="judge")
    return served


@pytest.mark.parametrize("path", ["/api/market/order", "/api/market/bid"])
def test_an_order_under_the_paths_of_the_platform(paper: Served, path: str) -> None:
    """ORD-1: an opening order, done once for an Idempotency-Key, by the account of the key."""
    key = paper.key(bid=("a",))
    assert paper.ask("POST", path, json=ORDER).status_code == 401
    told = paper.ask("POST", path, key=key, json=ORDER, headers={"Idempotency-Key": "once"})
    assert told.status_code == 201, told.text
    placed = told.json()
    assert (placed["account_id"], placed["side"], placed["market"]["price_after"]) == ("a", "long", 0.75)
    again = paper.ask("POST", path, key=key, json=ORDER, headers={"Idempotency-Key": "once"}).json()
    assert (again["stamp"]["repeated"], again["position_id"]) == (True, placed["position_id"])


def test_who_acts_is_never_in_the_body(paper: Served) -> None:
    key = paper.key(bid=("a",))
    told = paper.ask("POST", "/api/market/order", key=key, json={**ORDER, "account_id": "b"})
    assert (told.status_code, told.json()["field"]) == (400, "account_id")
    told = paper.ask("POST", "/api/market/order", key=key, json=ORDER, account="b")
    assert told.status_code == 403
    assert paper.exchange.wallet("b").balance_tokens == 10_000


def test_the_book_has_no_null_among_its_lists(paper: Served) -> None:
    key = paper.key()
    assert paper.ask("GET", "/api/market/book/paper").status_code == 401
    assert paper.ask("GET", "/api/market/book/none", key=key).status_code == 404
    book = paper.ask("GET", "/api/market/book/paper", key=key).json()
    assert (book["bids"], book["asks"], book["price"], book["price_average"]) == ([], [], 0.5, 0.5)
    assert len(book["depth"]) == 10
    amm = book["amm"]
    assert (amm["subsidy_tokens"], amm["b"], amm["loss_bound_tokens"]) == (70.0, 100.988653, 70.0)
    assert book == paper.ask("GET", "/api/v1/artifacts/paper/market", key=key).json() | {"at": book["at"]}


def test_a_position_is_cancelled_at_the_market(paper: Served) -> None:
    """POS-2, POS-3: by its account alone, and never at what it cost."""
    placed = paper.ask("POST", "/api/market/order", key=paper.key(bid=("a",)), json=ORDER).json()
    path = f"/api/positions/{placed['position_id']}"
    assert paper.ask("DELETE", path).status_code == 401
    assert paper.ask("DELETE", path, key=paper.key(bid=("b",))).json()["reason"] == "NOT_PERMITTED"
    closed = paper.ask("DELETE", path, key=paper.key(bid=("a",))).json()
    assert (closed["effect"], closed["position_shares"], closed["market"]["price_after"]) == ("close", 0.0, 0.5)
    assert closed["realised_tokens"] == pytest.approx(-0.05 * closed["tokens"], abs=0.00001)
    told = paper.ask("DELETE", path, key=paper.key(bid=("a",)))
    assert (told.status_code, told.json()["type"]) == (409, "/problems/position-closed")


REFUSALS: list[tuple[str, str, dict[str, Any], tuple[int, str, Any, Any]]] = [
    ("POST", "artifacts/none/positions", {"side": "no", "amount_tokens": 1}, (404, "artifact_id", "none", None)),
    ("POST", "positions/9/close", {"shares": 1.5}, (404, "position_id", 9, None)),
    ("POST", "positions/1/close", {"shares": 1000.5}, (409, "shares", 1000.5, 110.0)),
    ("POST", "positions/1/close", {"shares": 1, "limit_price": 0.9}, (409, "time_in_force", "ioc", 1.0)),
    ("POST", "artifacts/paper/positions", {"side": "no", "amount_tokens": 5_001}, (409, "amount_tokens", 5_001, None)),
    ("POST", "artifacts/paper/positions", {"side": "up", "amount_tokens": 1}, (400, "side", None, None)),
    (
        "POST",
        "artifacts/paper/positions",
        {"side": "no", "amount_tokens": 1, "limit_price": 1},
        (400, "limit_price", None, None),
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "expected"), REFUSALS)
def test_a_refusal_names_field_value_and_bound(
    paper: Served, method: str, path: str, body: dict[str, Any], expected: tuple[int, str, Any, Any]
) -> None:
    """In units of people, under the names of the API; and nothing is changed."""
    key = paper.key(bid=("a",))
    paper.ask("POST", "/api/market/order", key=key, json=ORDER)
    before = paper.exchange.wallet("a").balance_tokens
    told = paper.ask(method, f"/api/v1/{path}", key=key, json=body)
    problem = told.json()
    status, field, value, bound = expected
    assert (told.status_code, problem["field"]) == (status, field), problem
    assert value is None or problem["value"] == value
    if field == "shares":
        (held,) = paper.exchange.positions("a").items
        assert problem["bound"] == held.shares
    else:
        assert bound is None or problem["bound"] == bound
    assert paper.exchange.wallet("a").balance_tokens == before


def test_who_judges_holds_no_part(paper: Served) -> None:
    """STL-8: by a key that stands for nobody there, of staff or of the arbiter."""
    paper.ask("POST", "/api/market/order", key=paper.key(bid=("a",)), json=ORDER)
    settle = "/api/v1/artifacts/paper/settle"
    partial = paper.ask("POST", settle, key=paper.key(operate=True, bid=("a",)), json={"settled_as": "validated"})
    assert partial.status_code == 403
    assert "has a part of artifact 'paper'" in partial.json()["detail"]
    assert paper.ask("POST", settle, key=paper.key(bid=("b",)), json={"settled_as": "void"}).status_code == 403
    trade = paper.ask("POST", "/api/market/order", key=paper.key(bid=("judge",)), json=ORDER)
    assert (trade.status_code, trade.json()["reason"]) == (403, "CONFLICT_OF_INTEREST")
    settled = paper.ask("POST", settle, key=paper.key(bid=("judge",)), json={"settled_as": "validated"})
    assert (settled.status_code, settled.json()["positions_paid"]) == (200, 1), settled.text


def test_staff_alone_opens_a_market_within_the_setting(paper: Served) -> None:
    path = "/api/v1/artifacts/new/market"
    assert paper.ask("POST", path, key=paper.key(bid=("a",)), json={"subsidy_tokens": 5}).status_code == 403
    staff = paper.key(operate=True)
    told = paper.ask("POST", path, key=staff, json={"subsidy_tokens": 501})
    assert (told.status_code, told.json()["field"], told.json()["value"]) == (400, "subsidy_tokens", 501)
    assert "500" in told.json()["bound"]
    opened = paper.ask("POST", path, key=staff, json={"b": 10}, headers={"Idempotency-Key": "once"})
    assert (opened.status_code, opened.json()["subsidy_tokens"]) == (201, 7)
