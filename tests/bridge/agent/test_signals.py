"""Signals end a worker: the first after the work in hand, the next at once, however close they come."""

import os
import signal
from typing import Any, cast

from bridge.agent import Worker, ended_by_signals
from tests.support.small_market import until


class Told:
    """Notes how it is stopped."""

    def __init__(self) -> None:
        self.at_once: list[bool] = []

    def stop(self, *, at_once: bool) -> None:
        self.at_once.append(at_once)


def test_signals_that_come_together_are_all_heard() -> None:
    """A handler may interrupt another one in the middle, many times over; then the old handlers are back."""
    before: Any = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    for _ in range(200):
        told = Told()
        with ended_by_signals(cast(Worker, told)):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: len(told.at_once) == 2)  # noqa: B023
        assert told.at_once == [False, True]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
