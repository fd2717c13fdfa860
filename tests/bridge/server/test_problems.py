"""Problem details (RFC 9457): every error has a type with a meaning, a status, and says what was wrong."""

from http import HTTPStatus

import msgspec
import pytest

from callmarket.bridge.api.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotLeader,
    Refused,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from callmarket.bridge.api.http.meanings import MEANINGS
from callmarket.bridge.server.http.http_error import HttpError
from callmarket.bridge.server.problems import body_of, every_type, headers_of, problem_of, status_of
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject


def test_every_type_has_a_meaning_and_no_meaning_is_left_over() -> None:
    assert set(MEANINGS) == set(every_type())


@pytest.mark.parametrize("reason", list(Reject))
def test_every_refusal_is_a_client_error_with_its_own_type(reason: Reject) -> None:
    problem = problem_of(Refused(Rejected(reason, "task_id", "t", 5), 17), "r1", 18)
    assert 400 <= problem.status < 500
    assert problem.type == "/problems/" + reason.value.lower().replace("_", "-")
    assert (problem.reason, problem.field, problem.value, problem.bound) == (reason.value, "task_id", "t", 5)
    assert (problem.request_id, problem.seq, problem.durable_seq) == ("r1", 17, 18)


def test_the_statuses_that_clients_decide_by() -> None:
    assert status_of(Reject.FUNDS_INSUFFICIENT) == HTTPStatus.PAYMENT_REQUIRED
    assert status_of(Reject.NOT_PERMITTED) == HTTPStatus.FORBIDDEN
    assert status_of(Reject.BID_UNKNOWN) == HTTPStatus.NOT_FOUND
    assert status_of(Reject.TASK_BID_OPEN) == HTTPStatus.CONFLICT
    assert status_of(Reject.COMMAND_ID_REUSED) == HTTPStatus.UNPROCESSABLE_ENTITY


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (Invalid("price", -1, "1 or more"), 400, "invalid"),
        (NotFound("account_id", "x", "an open account"), 404, "not-found"),
        (Conflict("bounty_id", "x", "an open bounty"), 409, "conflict"),
        (UnknownOutcome("a plain table", range(0)), 504, "unknown-outcome"),
        (Unauthorized("no key"), 401, "unauthorized"),
        (Forbidden("no scope"), 403, "forbidden"),
        (TooManyRequests("slow down", 0.2), 429, "too-many-requests"),
        (NotLeader("ask there", "http://other:1", 0.2), 503, "not-leader"),
        (Unavailable("away", 2.0), 503, "unavailable"),
        (UnknownOutcome("who knows", range(5, 8)), 504, "unknown-outcome"),
        (RuntimeError("password=hunter2"), 500, "internal"),
    ],
)
def test_each_error_has_its_status_and_type(error: Exception, status: int, slug: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.type) == (status, f"/problems/{slug}")
    assert b"hunter2" not in body_of(problem), "what nobody foresaw is not told to strangers"


def test_headers_say_when_to_retry_and_where_the_leader_is() -> None:
    assert headers_of(problem_of(TooManyRequests("slow down", 0.2))) == {"Retry-After": "1"}
    assert headers_of(problem_of(NotLeader("ask there", "http://other:1", 0.2))) == {
        "Retry-After": "1",
        "Callmarket-Leader": "http://other:1",
    }
    assert "WWW-Authenticate" in headers_of(problem_of(Unauthorized("no key")))


def test_an_unknown_outcome_names_its_rows() -> None:
    problem = problem_of(UnknownOutcome("who knows", range(5, 8)))
    assert (problem.first_seq, problem.last_seq) == (5, 7)


def test_long_values_are_shortened() -> None:
    body = msgspec.json.decode(body_of(problem_of(Invalid("memo", "x" * 10_000, "less"))))
    assert len(body["value"]) == 200


def test_a_status_is_a_number_everywhere() -> None:
    """In a log line too, which shows an enumeration by its name."""
    for error in (HttpError(HTTPStatus.NOT_FOUND), HttpError(HTTPStatus.METHOD_NOT_ALLOWED), Unavailable("away")):
        assert type(problem_of(error).status) is int
