"""Requests that last, as a stream or a long poll does, and that end when their key does.

Rule of this file: a key is checked when the request comes in, and from then on here. A request costs nothing while it
lasts: keys are looked at, four times a second, not their requests.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.principal import Principal
from callmarket.bridge.api.errors import Unauthorized
from callmarket.bridge.feed.loops import PerLoop

logger: Final = logging.getLogger(__name__)

# With the half second in which the keyring hears of what other processes revoke, it is less than a second.
LOOK_S: Final = 0.25

OnEnd = Callable[[str], None]
"""Called once, in the loop of the request, with what became of the key. It must not block."""


class Stays:
    """The long requests of one process, in however many loops."""

    def __init__(self, keyring: Keyring) -> None:
        """Nothing runs until the first request enters."""
        self._loops: Final = PerLoop(lambda loop: _Here(loop, keyring))

    @contextmanager
    def stay(self, principal: Principal, on_end: OnEnd) -> Iterator[None]:
        """Call `on_end` if this key stops working within the block, which is in a loop. O(1)."""
        here = self._loops.here()
        visit = here.enter(principal, on_end)
        try:
            yield
        finally:
            here.leave(principal, visit)


class _Visit:
    """One request, compared by identity."""

    __slots__ = ("on_end",)

    def __init__(self, on_end: OnEnd) -> None:
        self.on_end = on_end


class _Here:
    """The long requests of one loop, by their keys."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keyring: Keyring) -> None:
        self._loop = loop
        self._keyring = keyring
        self._visits: dict[Principal, set[_Visit]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, principal: Principal, on_end: OnEnd) -> _Visit:
        visit = _Visit(on_end)
        self._visits.setdefault(principal, set()).add(visit)
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_S, self._look)
        return visit

    def leave(self, principal: Principal, visit: _Visit) -> None:
        there = self._visits.get(principal)
        if there is not None:
            there.discard(visit)
            if not there:
                del self._visits[principal]

    def _look(self) -> None:
        """End the requests of keys that no longer work. O(keys that are here)."""
        try:
            for principal in list(self._visits):
                try:
                    self._keyring.present(principal)
                except Unauthorized as error:
                    for visit in self._visits.pop(principal):
                        _tell(visit, str(error))
        finally:
            self._timer = self._loop.call_later(LOOK_S, self._look) if self._visits else None


def _tell(visit: _Visit, why: str) -> None:
    try:
        visit.on_end(why)
    except Exception:
        # What one of them does wrong must not keep the others inside.
        logger.exception("somebody whose key has ended did not go")
