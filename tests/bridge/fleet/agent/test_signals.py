"""Signals end a worker: the first after the work in hand, the next at once, however close they come."""

import os
import signal
import threading
from typing import Any, cast

import pytest

from callmarket.bridge.fleet.agent import Worker, ended_by_signals
from tests.support.small_market import WAIT_S_MAX


class Told:
    """Notes how it is stopped."""

    def __init__(self) -> None:
        self.at_once: list[bool] = []
        self.heard_both = threading.Event()

    def stop(self, *, at_once: bool) -> None:
        self.at_once.append(at_once)
        if len(self.at_once) == 2:
            self.heard_both.set()


@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_closes_ends_a_worker_that_is_not_to_outlive_it(ignored: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        told = Told()
        with ended_by_signals(cast(Worker, told)):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            if ignored:
                os.kill(os.getpid(), signal.SIGINT)
            assert told.heard_both.wait(WAIT_S_MAX)
        assert told.at_once == [False, True]
    finally:
        signal.signal(signal.SIGHUP, before)


def kill_twice() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)


def test_signals_that_come_together_are_all_heard() -> None:
    """Whichever thread catches them, and while the main one waits for a lock; then the old handlers are back."""
    before: Any = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    for _ in range(200):
        told = Told()
        with ended_by_signals(cast(Worker, told)):
            # From another thread, so that both may come before the main one has seen the first.
            threading.Thread(target=kill_twice).start()
            assert told.heard_both.wait(WAIT_S_MAX)
        assert told.at_once == [False, True]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
