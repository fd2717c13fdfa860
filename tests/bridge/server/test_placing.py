"""Placing a bid over HTTP: what is taken, and what is told of what is not."""

from typing import Any

import pytest

from callmarket.bridge.server.http.intake import BODY_BYTES_MAX
from tests.bridge.server.conftest import Served

BIDS = "/api/v1/markets/m/bids"

REQUESTS: dict[str, dict[str, Any]] = {
    "a bid": {"json": {"task_id": "t", "max_price_tokens": 10}},
    "all fields": {
        "json": {
            "task_id": "t",
            "max_price_tokens": 10,
            "expected_value_usd": 1.25,
            "ttl_at": "2030-01-01T00:00:00Z",
            "time_in_force": "gtd",
        }
    },
    "no tokens": {"json": {"task_id": "t", "max_price_tokens": 10_001}},
    "price of zero": {"json": {"task_id": "t", "max_price_tokens": 0}},
    "price as text": {"json": {"task_id": "t", "max_price_tokens": "10"}},
    "price missing": {"json": {"task_id": "t"}},
    "a field too many": {"json": {"task_id": "t", "max_price_tokens": 10, "bidder_id": "b"}},
    "a time without a zone": {"json": {"task_id": "t", "max_price_tokens": 10, "ttl_at": "2030-01-01T00:00:00"}},
    "a deadline in the past": {"json": {"task_id": "t", "max_price_tokens": 10, "ttl_at": "2001-01-01T00:00:00Z"}},
    "good till no date": {"json": {"task_id": "t", "max_price_tokens": 10, "time_in_force": "gtd"}},
    "a list": {"json": [1]},
    "not JSON": {"content": b"{"},
    "not UTF-8": {"content": b'{"task_id": "\xff", "max_price_tokens": 10}'},
    "nothing": {"content": b""},
    "too large": {"content": b" " * (BODY_BYTES_MAX + 1)},
}

ANSWERS = {
    "a bid": (201, ""),
    "all fields": (201, ""),
    "no tokens": (402, "max_price_tokens"),
    "price of zero": (400, "max_price_tokens"),
    "price as text": (400, "max_price_tokens"),
    "price missing": (400, "max_price_tokens"),
    "a field too many": (400, "bidder_id"),
    "a time without a zone": (400, "ttl_at"),
    "a deadline in the past": (409, "ttl_at"),
    "good till no date": (422, "ttl_at"),
    "a list": (400, "body"),
    "not JSON": (400, ""),
    "not UTF-8": (400, ""),
    "nothing": (400, "body"),
    "too large": (413, ""),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_to_place_a_bid_has_its_status(served: Served, name: str) -> None:
    """With its status; and where a field is wrong, by its name."""
    status, field = ANSWERS[name]
    told = served.ask("POST", BIDS, key=served.key(bid=("a",)), **REQUESTS[name])
    assert (told.status_code, told.json().get("field", "")) == (status, field), told.text
    held = {"a bid": 10, "all fields": 10}.get(name, 0)
    assert served.exchange.wallet("a").held_tokens == held
    assert len(served.app.places) == 0, "whatever became of it, its place is free again"


@pytest.mark.parametrize("market_id", ["m%20x", "%00", "%C3%A9", "x" * 129, "x" * 128, "..", "~"])
def test_an_unknown_market_is_not_found(served: Served, market_id: str) -> None:
    told = served.ask(
        "POST",
        f"/api/v1/markets/{market_id}/bids",
        key=served.key(bid=("a",)),
        json={"task_id": "t", "max_price_tokens": 10},
    )
    if market_id == "..":
        # A client takes it for a step, and then it is another path.
        assert told.status_code in (400, 404, 405)
        return
    assert (told.status_code, told.json()["field"]) == (404 if market_id in ("x" * 128, "~") else 400, "market_id")


def test_a_bid_is_placed_by_the_account_of_the_key(served: Served) -> None:
    placed = served.ask("POST", BIDS, key=served.key(bid=("a",)), json={"task_id": "t", "max_price_tokens": 10})
    assert placed.status_code == 201
    assert served.exchange.wallet("a").held_tokens == 10


def test_a_retry_with_its_idempotency_key_is_done_once(served: Served) -> None:
    key = served.key(bid=("a",))
    sent = {"json": {"task_id": "t", "max_price_tokens": 10}, "headers": {"Idempotency-Key": "k-1"}}
    first = served.ask("POST", BIDS, key=key, **sent)
    again = served.ask("POST", BIDS, key=key, **sent)
    assert first.json()["bid_id"] == again.json()["bid_id"]
    assert (first.json()["stamp"]["repeated"], again.json()["stamp"]["repeated"]) == (False, True)
    other = served.ask("POST", BIDS, key=key, json={"task_id": "u", "max_price_tokens": 10}, headers=sent["headers"])
    assert (other.status_code, other.json()["reason"]) == (422, "COMMAND_ID_REUSED")
    assert served.exchange.wallet("a").held_tokens == 10


def test_a_batch_answers_for_each_bid_and_can_be_sent_again(served: Served) -> None:
    key = served.key(bid=("a",))
    bids = [{"task_id": f"t{number}", "max_price_tokens": price} for number, price in enumerate((6_000, 5_000, 4_000))]
    for repeated in (False, True):
        told = served.ask("POST", f"{BIDS}/batch", key=key, json={"bids": bids}, headers={"Idempotency-Key": "b-1"})
        assert told.status_code == 200
        one, two, three = told.json()
        assert [one["stamp"]["repeated"], three["stamp"]["repeated"]] == [repeated, repeated]
        assert (two["status"], two["reason"]) == (402, "FUNDS_INSUFFICIENT")
    assert served.exchange.wallet("a").held_tokens == 10_000


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (1_000, 200), (1_001, 400)])
def test_a_batch_has_bids_and_not_too_many(served: Served, count: int, status: int) -> None:
    bids = [{"task_id": f"t{number}", "max_price_tokens": 1} for number in range(count)]
    answer = served.ask("POST", f"{BIDS}/batch", key=served.key(bid=("a",)), json={"bids": bids})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["field"] == "bids"
        assert f"length {'>= 1' if count == 0 else '<= 1000'}" in answer.json()["detail"]
