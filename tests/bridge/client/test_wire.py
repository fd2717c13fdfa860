"""What a client sends, what it takes an answer for, and what it does not: without a service or a wait.

Goal: an error is the same on both sides; the key goes where it was meant to go; each bound is where it says it is.
"""

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from callmarket import Conflict, Invalid, NotFound, NotLeader, TooManyRequests, Unavailable, UnknownOutcome
from callmarket.bridge.api.errors import AccessDenied, ExchangeError, Forbidden, Gone, Unauthorized
from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.client.answers import Answer, UnrecognizedResponse, error_of
from callmarket.bridge.client.call import Call, check_command_id, reader
from callmarket.bridge.client.endpoints import PLACES_MAX, Endpoints
from callmarket.bridge.client.wire import answer_of, fault_of, headers_of, options, settings_of, timeouts
from callmarket.bridge.server.problems import DATABASE_DENIED, body_of, problem_of
from callmarket.engine.limits import SEQ_MAX

KEY = "cmk_" + "x" * 56
LOOK: Call[int] = Call("GET", "/bids", reader(int))
CHANGE: Call[int] = Call("POST", "/bids", reader(int), b"{}", "a", "one")


@pytest.mark.parametrize(
    "error",
    [
        Invalid("limit", 0, "1 to 10"),
        NotFound("bid_id", 9, "a bid"),
        Conflict("bounty_id", "b", "an open bounty"),
        Gone("after_seq", 5, "a row that is left"),
        Unauthorized("no key"),
        Forbidden("no scope"),
        AccessDenied(DATABASE_DENIED),
        TooManyRequests("slow down", 2.5),
        NotLeader("ask there", "https://other", 0.25),
        NotLeader("ask somebody", "", 0.25),
        Unavailable("away", 2.5),
        UnknownOutcome("who knows", range(5, 8)),
        UnknownOutcome("who knows", range(0)),
    ],
    ids=lambda error: f"{type(error).__name__}-{error}",
)
def test_an_error_is_the_same_over_http(error: ExchangeError) -> None:
    problem = problem_of(error)
    heard = error_of(Answer(problem.status, body_of(problem)))
    assert type(heard) is type(error)
    assert (str(heard), vars(heard)) == (str(error), vars(error))


def test_a_missing_retry_after_has_a_default() -> None:
    """Before it asks the same again, or the next."""
    for kind in ("too-many-requests", "not-leader"):
        problem = Problem(type=f"/problems/{kind}", title="", status=503, detail="later")
        heard = error_of(Answer(503, body_of(problem)))
        assert isinstance(heard, TooManyRequests | NotLeader)
        assert heard.retry_after_s == 1.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"type": "/problems/of-another", "status": 400}'])
def test_an_answer_that_is_not_the_markets_is_unrecognized(body: bytes) -> None:
    assert isinstance(error_of(Answer(400, body)), UnrecognizedResponse)


def test_only_a_2xx_status_is_a_result() -> None:
    assert [Answer(status, b"").good for status in (199, 200, 204, 299, 300, 302, 400)] == [
        False,
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_headers_of_questions_and_of_changes() -> None:
    assert headers_of(LOOK, 0) == {}
    assert headers_of(LOOK, 7) == {"Callmarket-Min-Seq": "7"}
    assert headers_of(CHANGE, 7) == {
        "Content-Type": "application/json",
        "Callmarket-Account": "a",
        "Idempotency-Key": "one",
    }
    assert headers_of(replace(LOOK, account="a"), 0) == {"Callmarket-Account": "a"}


def test_an_answer_has_the_seq_of_its_header() -> None:
    assert answer_of(200, {"Callmarket-Seq": str(SEQ_MAX)}, b"x") == Answer(200, b"x", SEQ_MAX)
    for text in ("", "-1", "1.5", "seven", str(SEQ_MAX + 1)):
        assert answer_of(200, {"Callmarket-Seq": text}, b"") == Answer(200, b"", 0)
    assert answer_of(200, {}, b"") == Answer(200, b"", 0)


def test_a_request_that_was_not_sent_leaves_no_doubt() -> None:
    not_sent: list[type[httpx2.TransportError]] = [
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.UnsupportedProtocol,
    ]
    may_be: list[type[httpx2.TransportError]] = [
        httpx2.ReadError,
        httpx2.ReadTimeout,
        httpx2.WriteError,
        httpx2.WriteTimeout,
        httpx2.RemoteProtocolError,
        httpx2.CloseError,
    ]
    assert [fault_of(kind("no")).sent for kind in not_sent] == [False] * len(not_sent)
    assert [fault_of(kind("no")).sent for kind in may_be] == [True] * len(may_be)
    assert fault_of(httpx2.ReadError("it broke")).words == "ReadError it broke"


def test_the_connect_timeout_is_shorter_than_that_of_an_answer() -> None:
    assert (timeouts(30.0).connect, timeouts(30.0).read) == (5.0, 30.0)
    assert (timeouts(2.0).connect, timeouts(2.0).read) == (2.0, 2.0)


def test_the_key_is_not_sent_to_redirects_or_proxies() -> None:
    """It follows no redirect; nor through a proxy of the environment, unless all that the proxy sees is sealed."""
    for urls, trusts in (
        ("https://a,https://b", True),
        ("http://127.0.0.1:1", False),
        ("https://a,http://127.0.0.1:1", False),
    ):
        made = options(settings_of(urls, KEY, 1.0))
        assert (made["follow_redirects"], made["trust_env"]) == (False, trusts)
        assert made["headers"]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"key": "x" * 201}, "key"),
        ({"key": "a b"}, "key"),
        ({"key": "a\x7f"}, "key"),
        ({"key": "ä"}, "key"),
        ({"key": ""}, "key"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"timeout_s": -1.0}, "timeout_s"),
        ({"timeout_s": 86_400.1}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"url": ",".join(["https://a"] * (PLACES_MAX + 1))}, "url"),
    ],
)
def test_an_invalid_setting_of_a_client_is_named(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        settings_of(**{"url": "https://a", "key": KEY, "timeout_s": 1.0} | said)
    assert caught.value.field == field


def test_settings_of_a_client_may_reach_their_bounds() -> None:
    urls = [f"https://a{number}" for number in range(PLACES_MAX)]
    settings = settings_of(" , ".join(urls), "!" * 100 + "~" * 100, 86_400.0)
    assert settings.endpoints.urls == tuple(urls)
    assert settings.timeout_s == 86_400.0
    check_command_id("c" * 123)
    with pytest.raises(Invalid, match="command_id"):
        check_command_id("c" * 124)


def test_a_trailing_slash_of_an_address_does_not_matter() -> None:
    endpoints = Endpoints("https://a/,https://b/market", False)
    assert endpoints.urls == ("https://a", "https://b/market")
    assert [endpoints.index_of(url) for url in ("https://a", "https://a/", "https://b/market/", "https://b")] == [
        0,
        0,
        1,
        None,
    ]
    assert endpoints.index_of("https://[::1") is None
