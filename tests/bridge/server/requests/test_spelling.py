"""Numbers have one spelling, whoever reads them; and what is sent to be counted on is honoured or refused.

Goal: what a proxy, a log or another client could take for another number, or for none, is nobody's number here. Method:
every whole number of the OpenAPI document, in paths, parameters, headers and bodies, in every spelling that some
language has.
"""

from typing import Any
from urllib.parse import quote

import pytest

from callmarket.bridge.api.spelling import whole
from callmarket.bridge.server.http_app import document, endpoints
from callmarket.engine.limits import SEQ_MAX
from tests.bridge.server.conftest import Served
from tests.support.cases import CASES, Case

ODD = [
    "1e3",
    "1E0",
    "1.0",
    "1.",
    "+1",
    "-0",
    "-1",
    " 1",
    "1 ",
    "01",
    "00",
    "1_000",
    "1,000",
    "0x1",
    "0b1",
    "٣",
    "\uff11",
    "²",
]
ODD += ["", "one", "true", "null", "NaN", "Infinity", "1\n", "1\0", "9" * 30]

KEYED = {one.declaration.name for one in endpoints() if one.is_keyed}
WHOLE = [
    (case, name) for case in CASES for name, option in document().options[case.operation_id].items() if option.bounds
]


@pytest.mark.parametrize(("case", "name"), WHOLE, ids=[f"{case.operation_id}-{name}" for case, name in WHOLE])
def test_a_parameter_is_a_number_in_digits(served: Served, case: Case, name: str) -> None:
    key = served.key(admin=True)
    path = case.at(market_id="m", account_id="a")
    others = "&".join(part for part in path.partition("?")[2].split("&") if part and not part.startswith(f"{name}="))
    # All spellings of one route, and those that the framework would take of all.
    for text in ODD if case.operation_id == "bids" else ("1e3", "1.0", "-0", "01"):
        told = served.ask(case.method, f"{path.partition('?')[0]}?{others}&{name}={quote(text)}", key=key)
        assert told.status_code == 400, (text, told.text)
        problem = told.json()
        assert (problem["field"], problem["value"]) == (name, text)
        assert "whole number" in problem["bound"]
    option = document().options[case.operation_id][name]
    assert option.bounds is not None
    for number in (option.bounds[0] - 1, option.bounds[1] + 1):
        told = served.ask(case.method, f"{path.partition('?')[0]}?{others}&{name}={number}", key=key)
        assert (told.status_code, told.json()["field"]) == (400, name)


def test_a_number_in_a_path_is_in_digits(served: Served) -> None:
    served.exchange.place_bid("m", "a", "t", 5)
    key = served.key(bid=("a",))
    for method, path in (("GET", "/api/v1/bids/{}"), ("GET", "/api/v1/bids/{}/why"), ("DELETE", "/api/v1/bids/{}")):
        for text in filter(None, ODD):
            told = served.ask(method, path.format(quote(text, safe="")), key=key)
            assert told.status_code in (400, 404, 405), (text, told.text)
            assert told.status_code != 400 or told.json()["field"] in ("bid_id", "path"), told.text
    assert served.exchange.bid(1).status == "open"
    assert served.ask("GET", "/api/v1/bids/1", key=key).json()["bid_id"] == 1


def test_a_last_event_id_is_in_digits(served: Served) -> None:
    for text in ODD:
        if text.strip() == text and text.isprintable() and text:
            told = served.ask(
                "GET", "/api/v1/events", key=served.key(), more_headers=[(b"last-event-id", text.encode())]
            )
            assert told.status_code == 400, text


JSON_ODD = ["1.0", "1e0", "-0.0", '"1"', '" 1"', "true", "null", "[1]", '{"1": 1}', "1e400", "-1", "9" * 30]
NO_JSON = ["01", "+1", "1_000", "0x1", "NaN", "Infinity", "1.", ".1", "1,000", "٣"]


@pytest.mark.parametrize("path", ["/api/v1/markets/m/bids", "/api/v1/markets/m/bids?ack=durable"], ids=["hot", "other"])
def test_a_number_in_a_body_is_a_number(served: Served, path: str) -> None:
    key = served.key(bid=("a",))
    for text in [*JSON_ODD, *NO_JSON]:
        body = f'{{"task_id": "t", "max_price_tokens": {text}}}'.encode()
        told = served.ask("POST", path, key=key, content=body)
        assert told.status_code == 400, (text, told.text)
        assert text in NO_JSON or told.json()["field"] == "max_price_tokens", told.text
    assert served.exchange.wallet("a").held_tokens == 0


def test_single_bids_and_batches_report_errors_alike(served: Served) -> None:
    """By the name that the sender gave it, with its value and its bound."""
    key = served.key(bid=("a",))
    good: dict[str, Any] = {"task_id": "t", "max_price_tokens": 5}
    wrong: list[tuple[dict[str, Any], str, Any]] = [
        ({"max_price_tokens": 0}, "max_price_tokens", 0),
        ({"max_price_tokens": "5"}, "max_price_tokens", "5"),
        ({"max_price_tokens": 2**53}, "max_price_tokens", str(2**53)),
        ({"task_id": "a b"}, "task_id", "a b"),
        ({"task_id": None}, "task_id", None),
        ({"bidder_id": "b"}, "bidder_id", "b"),
        ({"time_in_force": "day"}, "time_in_force", "day"),
        ({"expected_value_usd": -1}, "expected_value_usd", -1),
        ({"expected_value_usd": 1e300}, "expected_value_usd", 1e300),
        ({"ttl_at": "2026-01-31"}, "ttl_at", "2026-01-31"),
        ({"ttl_at": "2026-01-31T12:00:00"}, "ttl_at", "2026-01-31T12:00:00"),
        ({"ttl_at": "9999-12-31T00:00:00Z"}, "ttl_at", "9999-12-31T00:00:00+00:00"),
        ({"ttl_at": "1969-12-31T00:00:00Z"}, "ttl_at", "1969-12-31T00:00:00+00:00"),
    ]
    for change, field, value in wrong:
        seen = []
        for path in ("/api/v1/markets/m/bids", "/api/v1/markets/m/bids?ack=durable"):
            told = served.ask("POST", path, key=key, json=good | change)
            assert told.status_code == 400, told.text
            problem = told.json()
            seen.append((problem["field"], problem.get("value"), problem["bound"], problem["detail"]))
        assert seen[0] == seen[1]
        assert seen[0][:2] == (field, value)
        assert seen[0][2]
        told = served.ask("POST", "/api/v1/markets/m/bids/batch", key=key, json={"bids": [good, good | change]})
        assert (told.status_code, told.json()["field"], told.json()["bound"]) == (400, f"bids[1].{field}", seen[0][2])


@pytest.mark.parametrize("name", ["a b", "a/b", ".", "..", "ü", ""])
def test_the_error_of_a_new_name_says_which_are_valid(served: Served, name: str) -> None:
    """Not as the pattern that it is checked by; of an account as of a market."""
    key = served.key(admin=True)
    for path, field in (("/api/v1/wallets", "account_id"), ("/api/v1/markets", "market_id")):
        told = served.ask("POST", path, key=key, json={field: name})
        assert (told.status_code, told.json()["field"], told.json()["value"]) == (400, field, name)
        assert "regex" not in told.text


def test_an_idempotency_key_is_honoured_or_refused(served: Served) -> None:
    """Never passed over: who sends one counts on it. For questions there is nothing that could be done twice."""
    key = served.key(admin=True, operate=True, bid=("a",))
    for case in CASES:
        if case.public or case.operation_id == "events":
            continue
        told = served.ask(
            case.method,
            case.at(market_id="m"),
            key=key,
            headers={"Idempotency-Key": f"one-{case.operation_id}"},
            **case.body,
        )
        honoured = case.operation_id in KEYED or not case.changes
        assert honoured == ('"field":"Idempotency-Key"' not in told.text), (case.operation_id, told.text)
        assert honoured or told.status_code == 400
    assert {case.operation_id for case in CASES if case.changes} - KEYED == {
        "set_cycle",
        "create_key",
        "revoke_key",
    }


def test_a_sweep_that_is_sent_again_is_done_once(served: Served) -> None:
    key = served.key(operate=True)
    first, second = (
        served.ask("POST", "/api/v1/sweep", key=key, headers={"Idempotency-Key": "sweep-1"}).json() for _ in range(2)
    )
    assert first["stamp"]["seq"] == second["stamp"]["seq"]
    told = served.ask("POST", "/api/v1/markets/m/clear", key=key, headers={"Idempotency-Key": "sweep-1"})
    assert (told.status_code, told.json()["reason"]) == (422, "COMMAND_ID_REUSED")


def test_a_whole_number_has_one_spelling() -> None:
    for number in (0, 1, 9, 10, 1_000, SEQ_MAX):
        assert whole(str(number), SEQ_MAX) == number
    for text in [*ODD, str(SEQ_MAX + 1)]:
        assert whole(text, SEQ_MAX) is None, text


def test_the_error_of_a_parameter_has_the_name_that_was_sent(served: Served) -> None:
    """Not by that of the Python API, and not by that of a header where it was a parameter."""
    key = served.key()
    for path, field in (
        ("/api/v1/events?kind=day", "kind"),
        ("/api/v1/events?after_seq=9000", "after_seq"),
        ("/api/v1/candles?market_id=m&interval_s=0.5", "interval_s"),
        ("/api/v1/awards?status=won", "status"),
        ("/api/v1/rounds?since=2026", "since"),
        ("/api/v1/wallets/a%20b", "account_id"),
        ("/api/v1/markets/m/stats?period_s=1_0", "period_s"),
        ("/api/v1/markets/m/stats?period_s=1e400", "period_s"),
        ("/api/v1/awards?bidder_id=a&wait_s=nan", "wait_s"),
        ("/api/v1/markets/m/quote?max_price_tokens=1&task_id=a%20b", "task_id"),
    ):
        told = served.ask("GET", path, key=key)
        assert (told.status_code, told.json()["field"]) == (400, field), told.text
        assert told.json()["bound"]
        # The decoder says what it got as well, in its own words.
        assert not any(words in told.json()["bound"] for words in ("got", "regex", "Number out of range")), told.text
    told = served.ask("GET", "/api/v1/events?after_seq=1", key=key, headers={"Last-Event-ID": "9000"})
    assert (told.status_code, told.json()["field"]) == (400, "Last-Event-ID")
