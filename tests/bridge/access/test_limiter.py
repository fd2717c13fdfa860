"""Token buckets: never faster than the rate, never more at once than the burst, never more names than agreed."""

import random
import time
from collections import OrderedDict

import pytest

from callmarket.bridge.access.limiter import Buckets
from tests.support.small_market import in_threads

SECOND_NS = 1_000_000_000


def test_a_full_bucket_gives_its_burst_and_then_its_rate() -> None:
    buckets = Buckets(10)
    assert [buckets.take("a", 10, 3, 1, 0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", 10, 3, 1, 0) == SECOND_NS // 10
    assert buckets.take("a", 10, 3, 1, SECOND_NS // 10 - 1) == 1
    assert buckets.take("a", 10, 3, 1, SECOND_NS // 10) == 0
    assert buckets.take("a", 10, 3, 3, SECOND_NS // 10) == 3 * SECOND_NS // 10


def test_a_refused_request_takes_no_tokens_from_the_bucket() -> None:
    """Who asks too early again and again is not kept away for longer."""
    buckets = Buckets(10)
    buckets.take("a", 1, 1, 1, 0)
    for now_ns in range(0, SECOND_NS, SECOND_NS // 10):
        assert buckets.take("a", 1, 1, 1, now_ns) == SECOND_NS - now_ns
    assert buckets.take("a", 1, 1, 1, SECOND_NS) == 0


def test_the_reported_wait_is_exactly_long_enough(seed: int) -> None:
    """And over any time no more is taken than the burst and what the rate gives."""
    draw = random.Random(seed)
    for _ in range(50):
        buckets, rate, burst = Buckets(1), draw.randint(1, 1_000_000), draw.randint(1, 100)
        now_ns, taken, began_ns = 10**15, 0, 10**15
        for _ in range(200):
            cost = draw.randint(1, burst)
            wait_ns = buckets.take("a", rate, burst, cost, now_ns)
            if wait_ns:
                assert wait_ns == 1 or buckets.take("a", rate, burst, cost, now_ns + wait_ns - 1) == 1
                now_ns += wait_ns
                assert buckets.take("a", rate, burst, cost, now_ns) == 0
            taken += cost
            assert (taken - burst) * SECOND_NS <= (now_ns - began_ns) * rate
            now_ns += draw.choice([0, 1, SECOND_NS // rate, SECOND_NS])


def test_one_name_takes_nothing_of_another() -> None:
    buckets = Buckets(10)
    assert buckets.take("a", 1, 1, 1, 0) == 0
    assert buckets.take("b", 1, 1, 1, 0) == 0
    assert buckets.take("a", 1, 1, 1, 0) > 0


def test_no_more_names_are_remembered_than_agreed() -> None:
    """The one that has asked least recently is forgotten, and so begins anew."""
    buckets = Buckets(3)
    for name in ("a", "b", "c", "a"):
        buckets.take(name, 1, 2, 1, 0)
    for number in range(1_000):
        buckets.take(f"flood {number}", 1, 2, 1, 0)
        assert buckets.take("a", 1, 2, 2, 0) > 0 or number > 0
        assert len(buckets) <= 3
    assert buckets.take("b", 1, 2, 2, 0) == 0


def test_more_than_a_bucket_holds_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        Buckets(1).take("a", 1, 1, 2, 0)


class Interrupted(OrderedDict[str, int]):
    """Each reading is followed by a turn of another thread."""

    def get(self, name: str, default: int = 0) -> int:  # type: ignore[override]
        found = super().get(name, default)
        time.sleep(0)
        return found


def test_concurrent_callers_get_no_more_than_one_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """None takes what another has taken, whenever they are interrupted."""
    buckets, burst, granted = Buckets(1), 500, list[int]()
    monkeypatch.setattr(buckets, "_full_at_ns", Interrupted())

    def ask() -> None:
        granted.append(sum(not buckets.take("a", 1, burst, 1, 0) for _ in range(burst)))

    assert in_threads([ask] * 4) == []
    assert sum(granted) == burst
