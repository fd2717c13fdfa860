"""Whether, when and where a call is sent again: the decisions, with a clock and a chance of the test's.

Goal: nothing is sent twice that was refused, everything is that may be lost, and an error says no more than is known.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from callmarket import Invalid, NotFound, NotLeader, Refused, TooManyRequests, Unavailable, UnknownOutcome
from callmarket.bridge.api.errors import ExchangeError, Forbidden
from callmarket.bridge.client import InDoubt
from callmarket.bridge.client.answers import Answer, TransportFailure
from callmarket.bridge.client.attempts import ATTEMPT_S_MAX, PAUSE_FIRST_S, PAUSE_S_MAX, Attempts, Done, RetryAfter
from callmarket.bridge.client.call import Call, reader, target
from callmarket.bridge.client.endpoints import Endpoints
from callmarket.bridge.client.wire import settings_of
from callmarket.bridge.server.problems import body_of, problem_of
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

BID: Call[int] = Call("POST", "/bids", reader(int), b"{}", command_id="one")
LOOK: Call[int] = Call("GET", "/bids", reader(int))
NOT_SENT = TransportFailure("ConnectError", sent=False)
CUT = TransportFailure("ReadError", sent=True)
URLS = ("https://a.example", "https://b.example", "https://c.example")


def problem(error: Exception) -> Answer:
    told = problem_of(error)
    return Answer(told.status, body_of(told))


def attempts(call: Call[int], *, endpoints: Endpoints | None = None, timeout_s: float = 60.0) -> Attempts[int]:
    return Attempts(call, endpoints or Endpoints(URLS[0], False), timeout_s, 0.0, lambda: 1.0)


def pauses(of: Attempts[int], outcome: Answer | TransportFailure) -> tuple[list[float], Exception]:
    """All pauses until it gives up, and how it does."""
    found: list[float] = []
    now_s = 0.0
    for _ in range(1_000):
        try:
            step = of.on_response(outcome, now_s)
        except ExchangeError as error:
            return found, error
        assert isinstance(step, RetryAfter)
        found.append(step.pause_s)
        now_s += step.pause_s
    raise AssertionError("it never gives up")


@pytest.mark.parametrize(
    ("call", "outcome", "ends"),
    [
        (BID, NOT_SENT, Unavailable),
        (BID, CUT, InDoubt),
        (BID, problem(Unavailable("away")), Unavailable),
        (BID, problem(UnknownOutcome("not durable", range(7, 8))), InDoubt),
        (BID, problem(NotLeader("not me", "", 0.1)), NotLeader),
        (BID, Answer(502, b"<html>"), InDoubt),
        (BID, Answer(500, b"{}"), InDoubt),
        (LOOK, CUT, Unavailable),
        (LOOK, Answer(502, b""), Unavailable),
    ],
)
def test_a_call_is_retried_with_growing_pauses_until_the_deadline(call: Any, outcome: Any, ends: type) -> None:
    found, error = pauses(attempts(call), outcome)
    assert type(error) is ends
    assert found == sorted(found)
    assert 10 < len(found) < 40
    assert sum(found) <= 60.0
    assert max(found) == PAUSE_S_MAX


@pytest.mark.parametrize(
    "error",
    [
        Refused(Rejected(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", 51, 50), 4),
        Invalid("limit", 0, "1 to 10"),
        NotFound("bid_id", 9, "a bid"),
        Forbidden("key x may not bid"),
    ],
)
def test_a_final_error_is_raised_at_once_and_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        attempts(BID).on_response(problem(error), 0.0)
    shown = {name: value for name, value in vars(error).items() if name != "expected"}
    assert {name: vars(caught.value)[name] for name in shown} == shown


def test_only_a_result_or_a_refusal_ends_a_doubt() -> None:
    """After a reply was lost, `Forbidden` and "nothing happened" are about the retry, not about the first attempt."""
    for outcome in (problem(Forbidden("revoked")), problem(Invalid("x", 1, "y")), Answer(404, b"")):
        one = attempts(BID)
        one.on_response(CUT, 0.0)
        with pytest.raises(InDoubt) as caught:
            one.on_response(outcome, 0.1)
        assert caught.value.command_id == "one"
        assert next(caught.value.again()) is BID
    one = attempts(BID)
    one.on_response(CUT, 0.0)
    with pytest.raises(Refused):
        one.on_response(problem(Refused(Rejected(Reject.BID_WON, "bid_id", 1, ""), 4)), 0.1)
    one = attempts(BID)
    one.on_response(CUT, 0.0)
    assert one.on_response(Answer(200, b"5"), 0.1) == Done(5)


@pytest.mark.parametrize(
    ("lost", "seqs"),
    [
        (CUT, range(0)),
        (Answer(502, b"<html>"), range(0)),
        (problem(UnknownOutcome("not durable", range(7, 8))), range(7, 8)),
    ],
)
@pytest.mark.parametrize(
    "later",
    [
        NOT_SENT,
        CUT,
        problem(Unavailable("away")),
        problem(NotLeader("not me", "", 0.1)),
        Answer(408, b""),
        Answer(502, b""),
    ],
)
def test_no_later_failure_ends_a_doubt(lost: Any, seqs: range, later: Any) -> None:
    """That the retries never arrived says nothing of the first attempt; nor are the rows forgotten that it told of."""
    one = attempts(BID)
    one.on_response(lost, 0.0)
    _, error = pauses(one, later)
    assert isinstance(error, InDoubt)
    assert error.seqs == seqs


def test_an_unreadable_result_leaves_a_doubt() -> None:
    with pytest.raises(InDoubt):
        attempts(BID).on_response(Answer(200, b"<html>"), 0.0)
    with pytest.raises(Unavailable, match="404"):
        attempts(BID).on_response(Answer(404, b"<html>"), 0.0)


def test_retry_after_is_respected_unless_it_passes_the_deadline() -> None:
    step = attempts(BID).on_response(problem(TooManyRequests("slow down", 7.5)), 0.0)
    assert step == RetryAfter(7.5)
    with pytest.raises(TooManyRequests) as caught:
        attempts(BID, timeout_s=5.0).on_response(problem(TooManyRequests("slow down", 7.5)), 0.0)
    assert caught.value.retry_after_s == 7.5


def test_pauses_double_up_to_the_longest_with_jitter() -> None:
    """At most by half: clients that were cut off together come back apart, and none comes back at once."""
    whole = pauses(attempts(LOOK), CUT)[0]
    assert whole[:5] == [PAUSE_FIRST_S * 2**number for number in range(5)]
    assert max(whole) == PAUSE_S_MAX == whole[-1]
    half = Attempts(LOOK, Endpoints(URLS[0], False), 60.0, 0.0, lambda: 0.0)
    assert pauses(half, CUT)[0][:5] == [one / 2 for one in whole[:5]]


def test_an_attempt_is_bounded_by_its_limit_and_by_the_deadline() -> None:
    """A question that waits has its patience besides; at the deadline an attempt still has a moment."""
    patient = replace(LOOK, patience_s=30.0)
    assert attempts(LOOK).attempt_s(0.0) == ATTEMPT_S_MAX < 60.0
    assert attempts(LOOK).attempt_s(59.0) == 1.0
    assert attempts(patient).attempt_s(0.0) == ATTEMPT_S_MAX + 30.0
    assert attempts(patient).attempt_s(89.0) == 1.0, "its patience is on top of the time-out"
    assert attempts(LOOK).attempt_s(61.0) == 0.001


def test_a_process_that_names_itself_as_leader_is_skipped() -> None:
    """Two processes that each take the other for the leader, or one that takes itself for it, keep nobody."""
    of = attempts(LOOK, endpoints=Endpoints(",".join(URLS), False))
    of.on_response(problem(NotLeader("stands by", URLS[0], 0.2)), 0.0)
    assert of.url == URLS[1]


def test_after_not_leader_the_other_addresses_are_tried_at_once_the_named_one_first() -> None:
    endpoints = Endpoints(",".join(URLS), False)
    one = attempts(BID, endpoints=endpoints)
    assert one.url == URLS[0]
    assert one.on_response(problem(NotLeader("not me", URLS[2], 0.1)), 0.0) == RetryAfter(0.0)
    assert one.url == URLS[2]
    assert one.on_response(NOT_SENT, 0.0) == RetryAfter(0.0)
    assert one.url == URLS[0]
    step = one.on_response(NOT_SENT, 0.0)
    assert isinstance(step, RetryAfter)
    assert step.pause_s > 0
    assert one.url == URLS[1]
    assert one.on_response(Answer(200, b"1"), 0.0) == Done(1)
    assert attempts(LOOK, endpoints=endpoints).url == URLS[1], "the next call begins where one was answered"


def test_times_are_sent_in_utc() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    moments = (datetime(2030, 1, 1, 5, 30, tzinfo=zone), datetime(2030, 1, 1, tzinfo=UTC))
    assert [target("/x", {"at": one}) for one in moments] == ["/x?at=2030-01-01T00%3A00%3A00Z"] * 2


def test_an_unknown_address_is_never_used() -> None:
    """The key goes to the addresses that were given, whatever a problem names."""
    one = attempts(BID, endpoints=Endpoints(",".join(URLS), False))
    for _ in range(10):
        one.on_response(problem(NotLeader("not me", "https://evil.example", 0.1)), 0.0)
        assert one.url in URLS


@pytest.mark.parametrize(
    "url",
    [
        "http://market.example",
        "ftp://a",
        "https://",
        "https://me:secret@a",
        "https://a?x=1",
        "",
        ",",
        "no url",
        "a" * 9,
        "https://[::1",
        "https://a:secret",
        "https://a\x00secret",
        ",".join(f"https://secret{number}.example" for number in range(1_000)),
    ],
)
def test_addresses_are_checked(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        Endpoints(url, False)
    assert "secret" not in str(caught.value)


def test_plain_http_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://127.0.0.1:8321", "http://localhost:1", "http://[::1]:2", "http://market.localhost:1"):
        assert Endpoints(url, False).urls == (url,)
    for host in ("evillocalhost", "localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1", "0.0.0.0", "[::2]"):
        with pytest.raises(Invalid, match="https"):
            Endpoints(f"http://{host}:1", False)
    assert Endpoints("http://market.example", True).urls == ("http://market.example",)
    monkeypatch.setenv("CALLMARKET_ALLOW_PLAIN_HTTP", "true")
    assert settings_of("http://market.example", "cmk_x", 1.0).endpoints.urls == ("http://market.example",)


def test_the_key_is_never_shown() -> None:
    from callmarket import AsyncClient, Client

    settings = settings_of("https://a", "cmk_secret", 1.0)
    for shown in (settings, Client("https://a", "cmk_secret"), AsyncClient("https://a", "cmk_secret")):
        assert "cmk_secret" not in f"{shown!r} {shown!s}"
    for key in ("", "cmk_secret\n", "cmk_secret" * 100):
        with pytest.raises(Invalid) as caught:
            settings_of("https://a", key, 1.0)
        assert "secret" not in str(caught.value)


def test_an_unknown_refusal_is_unrecognized() -> None:
    told = msgspec.structs.replace(
        problem_of(Refused(Rejected(Reject.BID_WON, "bid_id", 1, ""), 4)), reason="SOMETHING_NEW"
    )
    with pytest.raises(Unavailable, match="newer market"):
        attempts(BID).on_response(Answer(409, body_of(told)), 0.0)
