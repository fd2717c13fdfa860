"""The lines of requests: which are logged, what is in them, and how many.

Goal: every change and every failure has a line that can be found again, and a flood of them cannot stop the service.
"""

import logging
from typing import Any

import pytest

from callmarket.bridge.telemetry.access_log import AccessLog, PerSecond, RateLimitFilter


class Seconds:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def scope(method: str, path: str = "/api/v1/markets/m/bids") -> dict[str, Any]:
    return {"method": method, "path": path, "path_template": "/api/v1/markets/{market_id}/bids"}


@pytest.mark.parametrize(
    ("method", "status", "level"),
    [
        ("POST", 201, "INFO"),
        ("POST", 404, "INFO"),
        ("POST", 503, "WARNING"),
        ("PUT", 200, "INFO"),
        ("GET", 200, "DEBUG"),
        ("GET", 404, "INFO"),
        ("GET", 500, "WARNING"),
        ("GET", 0, "INFO"),
    ],
)
def test_changes_and_failures_are_told_and_reads_are_for_debug(
    method: str, status: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "callmarket.access")
    AccessLog(100).log_request(scope(method), None, status, 0.0015, "id-1")
    assert [(one.levelname, one.message) for one in caplog.records] == [(level, "request")]


def test_beyond_the_bound_requests_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callmarket.access")
    clock = Seconds()
    log = AccessLog(3, clock)
    for _ in range(10):
        log.log_request(scope("POST"), None, 201, 0.001, "id")
    assert len(caplog.records) == 3
    clock.now_s += 1
    log.log_request(scope("POST"), None, 201, 0.001, "id")
    assert [(one.message, getattr(one, "requests", None)) for one in caplog.records[3:]] == [
        ("requests without a line", 7),
        ("request", None),
    ]
    for _ in range(5):
        log.log_request(scope("POST"), None, 201, 0.001, "id")
    log.tell_rest()
    assert getattr(caplog.records[-1], "requests", None) == 3


def test_a_path_is_shortened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callmarket.access")
    AccessLog(1).log_request(scope("POST", "/" + "x" * 10_000), None, 404, 0.001, "id")
    assert len(caplog.records[0].path) == 200  # type: ignore[attr-defined]


def test_errors_of_a_bounded_logger_pass_always() -> None:
    few = RateLimitFilter(2)
    levels = [logging.WARNING] * 5 + [logging.ERROR] * 5
    passed = [few.filter(logging.LogRecord("x", level, "", 0, "", (), None)) for level in levels]
    assert sum(passed[5:]) == 5
    assert 2 <= sum(passed[:5]) <= 4, "two in a second, and the second may have changed meanwhile"


def test_each_second_has_its_own_bound() -> None:
    clock = Seconds()
    bound = PerSecond(2, clock)
    told = []
    for _ in range(3):
        told.append([bound.passes() for _ in range(4)])
        clock.now_s += 1
    assert told == [[True, True, False, False]] * 3
    assert (bound.held_back(), bound.held_back()) == (6, 0)
