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


class LongRequests:
    """The long requests of one process, in however many loops."""

    def __init__(self, keyring: Keyring) -> None:
        """Nothing runs until the first request enters."""
        self._loops: Final = PerLoop(lambda loop: _LoopRequests(loop, keyring))

    @contextmanager
    def while_key_works(self, principal: Principal, on_end: OnEnd) -> Iterator[None]:
        """Call `on_end` if this key stops working within the block, which is in a loop. O(1)."""
        here = self._loops.here()
        request = here.enter(principal, on_end)
        try:
            yield
        finally:
            here.leave(principal, request)


class _LongRequest:
    """One request, compared by identity."""

    __slots__ = ("on_end",)

    def __init__(self, on_end: OnEnd) -> None:
        self.on_end = on_end


class _LoopRequests:
    """The long requests of one loop, by their keys."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keyring: Keyring) -> None:
        self._loop = loop
        self._keyring = keyring
        self._requests: dict[Principal, set[_LongRequest]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, principal: Principal, on_end: OnEnd) -> _LongRequest:
        request = _LongRequest(on_end)
        self._requests.setdefault(principal, set()).add(request)
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_S, self._look)
        return request

    def leave(self, principal: Principal, request: _LongRequest) -> None:
        there = self._requests.get(principal)
        if there is not None:
            there.discard(request)
            if not there:
                del self._requests[principal]

    def _look(self) -> None:
        """End the requests of keys that no longer work. O(keys that are here)."""
        try:
            for principal in list(self._requests):
                try:
                    self._keyring.present(principal)
                except Unauthorized as error:
                    for request in self._requests.pop(principal):
                        _tell(request, str(error))
        finally:
            self._timer = self._loop.call_later(LOOK_S, self._look) if self._requests else None


def _tell(request: _LongRequest, why: str) -> None:
    try:
        request.on_end(why)
    except Exception:
        # What one of them does wrong must not keep the others inside.
        logger.exception("somebody whose key has ended did not go")
