"""The hot route and the framework answer alike: the same requests are sent both ways.

`?ack=durable` is what a request means anyway, and takes it past the hot route.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from callmarket.bridge.api.bodies import NewBid
from callmarket.bridge.server.placing import market_of
from callmarket.bridge.server.routes.bids import bid_request

from callmarket.bridge.api.bids import place_bid
from callmarket.bridge.api.requests import check
from callmarket.bridge.server.intake import BODY_BYTES_MAX
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


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_give_the_same_answer(served: Served, name: str) -> None:
    key = served.key(bid=("a",))
    fast = served.ask("POST", BIDS, key=key, **REQUESTS[name])
    if fast.status_code == 201:
        served.exchange.cancel_bid(fast.json()["bid_id"])
    slow = served.ask("POST", BIDS + "?ack=durable", key=key, **REQUESTS[name])
    assert (fast.status_code, fast.headers["content-type"]) == (slow.status_code, slow.headers["content-type"])
    one, two = fast.json(), slow.json()
    for varying in ("request_id", "seq", "durable_seq", "bid_id"):
        one.pop(varying, None), two.pop(varying, None)
    assert one.pop("stamp", {}).keys() == two.pop("stamp", {}).keys()
    assert one == two
    assert fast.status_code < 500


@pytest.mark.parametrize("market_id", ["m%20x", "%00", "%C3%A9", "x" * 129, "x" * 128, "..", "~"])
def test_both_ways_say_the_same_of_a_market_that_there_is_not(served: Served, market_id: str) -> None:
    """The hot route looks at the market's name itself, where that saves it a check of the whole command."""
    key, path = served.key(bid=("a",)), f"/api/v1/markets/{market_id}/bids"
    fast = served.ask("POST", path, key=key, json={"task_id": "t", "max_price_tokens": 10})
    slow = served.ask("POST", path + "?ack=durable", key=key, json={"task_id": "t", "max_price_tokens": 10})
    told = [(answer.status_code, answer.json().get("field"), answer.json()["type"]) for answer in (fast, slow)]
    assert told[0] == told[1]
    assert fast.status_code >= 400


@pytest.mark.parametrize("task_id", ["t", "!" * 128, "~"])
@pytest.mark.parametrize("price", [1, 2**53 - 1])
@pytest.mark.parametrize("value", [0.0, 1e-6, 9e9])
@pytest.mark.parametrize("until", [None, datetime(2030, 1, 1, tzinfo=UTC)])
def test_what_a_body_may_be_needs_no_second_check(
    task_id: str, price: int, value: float, until: datetime | None
) -> None:
    """The bounds of `NewBid` are the engine's own: what it lets in, `verbs` would have built."""
    bid = msgspec.json.decode(
        msgspec.json.encode(NewBid(task_id=task_id, max_price_tokens=price, expected_value_usd=value, ttl_at=until)),
        type=NewBid,
    )
    built = bid_request("m", "a", bid, "k")
    check(built)
    assert built == place_bid.request("m", "a", task_id, price, expected_value_usd=value, ttl_at=until, command_id="k")


def test_the_hot_route_takes_bids_without_options_and_nothing_else() -> None:
    def scope(method: str, path: str, query: bytes = b"") -> dict[str, Any]:
        return {"method": method, "path": path, "query_string": query}

    assert market_of(scope("POST", BIDS)) == "m"
    assert market_of(scope("GET", BIDS)) == ""
    assert market_of(scope("POST", BIDS, b"ack=applied")) == ""
    assert market_of(scope("POST", "/api/v1/markets/m/n/bids")) == ""
    assert market_of(scope("POST", "/api/v1/markets//bids")) == ""
    assert market_of(scope("POST", "/api/v1/markets/m/bids/batch")) == ""


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
