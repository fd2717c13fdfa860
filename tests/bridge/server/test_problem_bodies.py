"""Each error as it leaves the service, member by member: clients decide by them, and logs are searched for them.

Method: one table of errors beside the whole body and headers; what an error does not have is not in its body.
"""

from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from callmarket.bridge.api import errors
from callmarket.bridge.server.http.http_error import HttpError
from callmarket.bridge.server.problems import (
    DATABASE_DENIED,
    body_of,
    every_type,
    headers_of,
    problem_of,
    status_of,
)
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

NOT_FOUND = {"MARKET_UNKNOWN", "ACCOUNT_UNKNOWN", "SLOT_UNKNOWN", "BID_UNKNOWN", "HOLD_UNKNOWN"} | {
    *("ARTIFACT_MARKET_UNKNOWN", "ORDER_UNKNOWN", "POSITION_UNKNOWN"),
}
UNPROCESSABLE = {
    *("COMMAND_ID_REUSED", "NAME_RESERVED", "ACCOUNT_KIND", "SAME_ACCOUNT", "REFERENCE_MISSING", "TTL_MISSING"),
    *("AMENDMENT_EMPTY", "SETTLE_PRICE_RANGE"),
}


def decoding_error(data: bytes, kind: type) -> Exception:
    with pytest.raises(msgspec.MsgspecError) as caught:
        msgspec.json.decode(data, type=kind)
    return caught.value


class Slot(msgspec.Struct):
    limit: int


class Order(msgspec.Struct):
    slots: list[Slot]


BODIES: list[tuple[Exception, dict[str, Any], dict[str, str]]] = [
    (
        errors.Invalid("price", -1, "1 or more"),
        {
            "type": "/problems/invalid",
            "title": "Invalid",
            "status": 400,
            "detail": "price: expected 1 or more, got -1",
            "field": "price",
            "value": -1,
            "bound": "1 or more",
        },
        {},
    ),
    (
        errors.NotFound("account_id", "x", "an open account"),
        {
            "type": "/problems/not-found",
            "title": "Not found",
            "status": 404,
            "detail": "account_id: expected an open account, got 'x'",
            "field": "account_id",
            "value": "x",
            "bound": "an open account",
        },
        {},
    ),
    (
        errors.Gone("after_seq", 7, "a row before 5"),
        {
            "type": "/problems/gone",
            "title": "Gone",
            "status": 410,
            "detail": "after_seq: expected a row before 5, got 7",
            "field": "after_seq",
            "value": 7,
            "bound": "a row before 5",
        },
        {},
    ),
    (
        errors.Conflict("bounty_id", "b", "an open bounty"),
        {
            "type": "/problems/conflict",
            "title": "Conflict",
            "status": 409,
            "detail": "bounty_id: expected an open bounty, got 'b'",
            "field": "bounty_id",
            "value": "b",
            "bound": "an open bounty",
        },
        {},
    ),
    (
        errors.Unauthorized("no key"),
        {"type": "/problems/unauthorized", "title": "Unauthorized", "status": 401, "detail": "no key"},
        {"WWW-Authenticate": 'Bearer realm="callmarket"'},
    ),
    (
        errors.Forbidden("no scope"),
        {"type": "/problems/forbidden", "title": "Forbidden", "status": 403, "detail": "no scope"},
        {},
    ),
    (
        errors.AccessDenied("role 'secret' lacks a right"),
        {
            "type": "/problems/database-access-denied",
            "title": "Database access denied",
            "status": 500,
            "detail": DATABASE_DENIED,
        },
        {},
    ),
    (
        errors.TooManyRequests("slow down", 1.2),
        {
            "type": "/problems/too-many-requests",
            "title": "Too many requests",
            "status": 429,
            "detail": "slow down",
            "retry_after_s": 1.2,
        },
        {"Retry-After": "2"},
    ),
    (
        errors.NotLeader("ask there", "http://other:1", 0.2),
        {
            "type": "/problems/not-leader",
            "title": "Not leader",
            "status": 503,
            "detail": "ask there",
            "retry_after_s": 0.2,
            "leader": "http://other:1",
        },
        {"Retry-After": "1", "Callmarket-Leader": "http://other:1"},
    ),
    (
        errors.NotLeader("nobody yet", "", 3.0),
        {
            "type": "/problems/not-leader",
            "title": "Not leader",
            "status": 503,
            "detail": "nobody yet",
            "retry_after_s": 3.0,
        },
        {"Retry-After": "3"},
    ),
    (
        errors.Unavailable("away", 2.5),
        {
            "type": "/problems/unavailable",
            "title": "Unavailable",
            "status": 503,
            "detail": "away",
            "retry_after_s": 2.5,
        },
        {"Retry-After": "3"},
    ),
    (
        errors.Unavailable("away"),
        {
            "type": "/problems/unavailable",
            "title": "Unavailable",
            "status": 503,
            "detail": "away",
            "retry_after_s": 1.0,
        },
        {"Retry-After": "1"},
    ),
    (
        errors.UnknownOutcome("who knows", range(5, 8)),
        {
            "type": "/problems/unknown-outcome",
            "title": "Unknown outcome",
            "status": 504,
            "detail": "who knows",
            "retry_after_s": 1.0,
            "first_seq": 5,
            "last_seq": 7,
        },
        {"Retry-After": "1"},
    ),
    (
        errors.UnknownOutcome("a plain table", range(0)),
        {
            "type": "/problems/unknown-outcome",
            "title": "Unknown outcome",
            "status": 504,
            "detail": "a plain table",
            "retry_after_s": 1.0,
        },
        {"Retry-After": "1"},
    ),
    (
        HttpError(HTTPStatus.METHOD_NOT_ALLOWED, allow=("GET",)),
        {"type": "about:blank", "title": "Method Not Allowed", "status": 405, "detail": "Method Not Allowed"},
        {},
    ),
    (
        HttpError(HTTPStatus.REQUEST_TIMEOUT, "too slow"),
        {"type": "about:blank", "title": "Request Timeout", "status": 408, "detail": "too slow"},
        {},
    ),
    (
        decoding_error(b'{"slots":[{"limit":1},{"limit":"x"}]}', Order),
        {
            "type": "/problems/invalid",
            "title": "Invalid",
            "status": 400,
            "detail": "slots[1].limit: Expected `int`, got `str`",
            "field": "slots[1].limit",
        },
        {},
    ),
    (
        decoding_error(b"{", Order),
        {"type": "/problems/invalid", "title": "Invalid", "status": 400, "detail": "Input data was truncated"},
        {},
    ),
    (
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        {"type": "/problems/invalid", "title": "Invalid", "status": 400, "detail": "the body is not UTF-8"},
        {},
    ),
    (
        RuntimeError("password=hunter2"),
        {
            "type": "/problems/internal",
            "title": "Internal",
            "status": 500,
            "detail": "an internal error: see the log of the service",
        },
        {},
    ),
]


@pytest.mark.parametrize(("error", "body", "headers"), BODIES, ids=lambda one: type(one).__name__)
def test_each_error_has_its_members_and_headers(
    error: Exception, body: dict[str, Any], headers: dict[str, str]
) -> None:
    assert msgspec.json.decode(body_of(problem_of(error))) == body
    assert headers_of(problem_of(error)) == headers
    stamped = msgspec.json.decode(body_of(problem_of(error, "r-1", 9)))
    assert stamped == body | {"request_id": "r-1", "durable_seq": 9}
    slug = body["type"].rpartition("/")[2]
    assert slug == "about:blank" or every_type()[slug] == body["status"]


@pytest.mark.parametrize("reason", Reject)
def test_each_refusal_has_its_status(reason: Reject) -> None:
    wanted = (
        404
        if reason.value in NOT_FOUND
        else 422
        if reason.value in UNPROCESSABLE
        else {"NOT_PERMITTED": 403, "CONFLICT_OF_INTEREST": 403, "FUNDS_INSUFFICIENT": 402}.get(reason.value, 409)
    )
    slug = reason.value.lower().replace("_", "-")
    assert status_of(reason) == every_type()[slug] == wanted
    problem = problem_of(errors.Refused(Rejected(reason, "lease_us", 1_000_000, ""), 3))
    assert (problem.status, problem.title) == (wanted, slug.replace("-", " ").capitalize())
    assert (problem.field, problem.value, problem.bound) == ("lease", "1970-01-01T00:00:01Z", None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (0.5, 0.5),
        (2**53 - 1, 2**53 - 1),
        (1 - 2**53, 1 - 2**53),
        (2**53, str(2**53)),
        (-(2**53), str(-(2**53))),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 197 + "..."),
        ([1, "a"], "[1, 'a']"),
        (["x" * 300], "['" + "x" * 195 + "..."),
    ],
)
def test_a_value_is_shown_as_it_was_sent_as_far_as_every_parser_reads_it(value: object, shown: object) -> None:
    found = problem_of(errors.Invalid("memo", value, "another")).value
    assert (found, type(found)) == (shown, type(shown))
