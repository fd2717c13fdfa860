"""What a model is told of each error: under the name that the service has for it, with what to do about it.

Goal: who reads both, the log of the service and what a model was told, finds one error under one name. Method: each
error beside the problem that the service makes of it.
"""

import pytest

from callmarket.bridge.api import errors
from callmarket.bridge.api.http.meanings import MEANINGS
from callmarket.bridge.mcp_server.faults import render_error
from callmarket.bridge.server.problems import problem_of
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

ERRORS: list[errors.ExchangeError] = [
    errors.Refused(Rejected(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", 9, 5), 3),
    errors.Invalid("price", -1, "1 or more"),
    errors.NotFound("market_id", "x", "an open market"),
    errors.Conflict("market_id", "m", "a market whose call passes over fewer bids"),
    errors.Gone("after_seq", 7, "a row that is there"),
    errors.Unauthorized("no key"),
    errors.Forbidden("no scope"),
    errors.AccessDenied("role 'r' lacks a right"),
    errors.TooManyRequests("slow down", 1.5),
    errors.NotLeader("ask there", "http://other:1", 0.2),
    errors.Unavailable("away"),
    errors.UnknownOutcome("who knows", range(5, 8)),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
def test_a_model_reads_the_name_that_the_service_has_for_an_error(error: errors.ExchangeError) -> None:
    slug = problem_of(error).type.rpartition("/")[2]
    words = render_error(error)
    assert words.startswith(f"{slug.replace('-', '_').upper()}: ")
    assert str(error).removeprefix(f"{slug.replace('-', '_').upper()}: ") in words
    assert slug in MEANINGS


def test_every_error_of_the_exchange_is_among_them() -> None:
    kinds, left = set[type](), [errors.ExchangeError]
    while left:
        found = [kind for kind in left.pop().__subclasses__() if kind.__module__ == errors.__name__]
        kinds.update(found)
        left += found
    assert {type(one) for one in ERRORS} == kinds


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (errors.Unavailable("away"), "Nothing happened: try again later."),
        (errors.Unavailable("away", 2.5), "Nothing happened: try again later. Wait 2.5 s first."),
        (errors.TooManyRequests("slow", 1.0), "Wait, then call less often. Wait 1 s first."),
        (errors.Conflict("market_id", "m", "another"), f"got 'm'. {MEANINGS['conflict']}"),
        (errors.Invalid("price", -1, "1 or more"), "got -1. Correct that field, then try again. Nothing happened."),
        (RuntimeError("password=hunter2"), "Try again once; then tell your operator."),
    ],
)
def test_a_model_is_told_what_to_do(error: Exception, ending: str) -> None:
    words = render_error(error)
    assert words.endswith(ending)
    assert "hunter2" not in words


@pytest.mark.parametrize(("command_id", "again"), [("", ""), ("k-1", ", with idempotency_key='k-1'")])
def test_an_unknown_outcome_is_repeated_as_it_was(command_id: str, again: str) -> None:
    assert render_error(errors.UnknownOutcome("who knows", range(5, 8)), command_id) == (
        "UNKNOWN_OUTCOME: who knows. It may have been done. Call this tool again with the same arguments"
        f"{again}: it is done only once."
    )
