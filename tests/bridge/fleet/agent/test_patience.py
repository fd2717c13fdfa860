"""How long a worker waits before it asks again, without waiting: pauses are read, and sleeping is written down."""

import time
from concurrent.futures import Future

import pytest

from callmarket.bridge.api.errors import TooManyRequests, Unavailable, UnknownOutcome
from callmarket.bridge.fleet.agent.backoff import (
    _PAUSE_ENDING_S_MAX,
    _TRIES_ENDING_MAX,
    PAUSE_FIRST_S,
    PAUSE_S_MAX,
    Backoff,
    StopSignal,
)


def test_pauses_grow_up_to_a_bound_and_begin_anew() -> None:
    backoff = Backoff()
    grown_s = [backoff.next_s() for _ in range(30)]
    for number, pause_s in enumerate(grown_s):
        most_s = min(PAUSE_S_MAX, PAUSE_FIRST_S * 2**number)
        assert most_s / 2 <= pause_s <= most_s
    backoff.reset()
    assert backoff.next_s() <= PAUSE_FIRST_S


def test_a_pause_is_never_shorter_than_the_other_side_asks_for() -> None:
    backoff = Backoff()
    for least_s in (7.5, 0.5, 60.0):
        assert backoff.next_s(least_s) >= least_s
    assert backoff.next_s(60.0) == 60.0


def test_a_retry_waits_at_least_as_long_as_the_server_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """And as long as pauses grow where nothing is said; then it has the answer."""
    answers: list[Exception | str] = [
        TooManyRequests("slow down", 7.5),
        UnknownOutcome("not durable", range(0)),
        Unavailable("away"),
        "done",
    ]
    ending, waited_s = StopSignal(), list[float]()
    monkeypatch.setattr(ending, "wait", waited_s.append)

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert ending.retry(ask) == "done"
    assert waited_s[0] == 7.5
    assert [PAUSE_FIRST_S <= pause_s <= 4 * PAUSE_FIRST_S for pause_s in waited_s[1:]] == [True, True]


def test_a_worker_that_ends_retries_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the other side asks for, no pause is long then."""
    ending, slept_s = StopSignal(), list[float]()
    ending.ask(at_once=False)
    monkeypatch.setattr(time, "sleep", slept_s.append)
    tries = 0

    def ask() -> None:
        nonlocal tries
        tries += 1
        raise TooManyRequests("slow down", 60.0)

    with pytest.raises(TooManyRequests):
        ending.retry(ask)
    assert tries == _TRIES_ENDING_MAX + 1
    assert slept_s == [_PAUSE_ENDING_S_MAX] * _TRIES_ENDING_MAX


def test_of_two_requests_to_stop_the_stronger_holds() -> None:
    ending, work = StopSignal(), Future[int]()
    assert (ending.asked, ending.at_once, ending.wait(0.0)) == (False, False, False)
    ending.ask(at_once=False)
    assert (ending.asked, ending.at_once, ending.wait(60.0)) == (True, False, True)
    for at_once in (True, False, True):
        ending.ask(at_once=at_once)
        assert (ending.asked, ending.at_once) == (True, True)
    assert not ending.wait_for(work), "the work in hand is not waited for"
    work.set_result(5)
    assert ending.wait_for(work)


def test_errors_that_a_retry_does_not_cure_are_raised_at_once() -> None:
    def ask() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        StopSignal().retry(ask)
