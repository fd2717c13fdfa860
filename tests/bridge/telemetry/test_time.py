"""What Prometheus is told of time: seconds, from the microseconds in which this process reckons."""

from types import SimpleNamespace

from callmarket.bridge.telemetry.metrics import _Families
from callmarket.bridge.timekeeping.keeper import Timekeeper


class Leapt(Timekeeper):
    """A clock that is two seconds ahead, beside a database that is three behind and a market that leads by four."""

    fault = "the clock has leapt"
    leaps = 5
    ahead_us = 2_000_000
    database_ahead_us = -3_000_000
    lead_us = 4_000_000

    def __init__(self) -> None: ...


class Silent(Leapt):
    """While the database does not answer."""

    fault = ""
    database_ahead_us = None


def told(source: object) -> dict[str, float]:
    families = _Families(SimpleNamespace(node=SimpleNamespace(time=source)))
    return {sample.name.removeprefix("callmarket_"): sample.value for one in families._time() for sample in one.samples}


def test_clocks_are_told_in_seconds() -> None:
    assert told(Leapt()) == {
        "clock_right": 0,
        "clock_leaps_total": 5,
        "clock_ahead_seconds": 2,
        "clock_database_ahead_seconds": -3,
        "market_time_lead_seconds": 4,
    }


def test_what_is_not_known_is_not_told() -> None:
    found = told(Silent())
    assert found["clock_right"] == 1
    assert "clock_database_ahead_seconds" not in found
    assert told(SimpleNamespace(fault="")) == {"clock_right": 1}, "a clock that a test has made is compared with none"
