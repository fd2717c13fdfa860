"""What is done to a peer, and timed.

Rule of this file: a step is prepared before the clock runs and looked at after it. All peers are given the same bids
and asked the same, so what their calls sell can be compared.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal, NamedTuple

from benchmarks.table.drawn import bids
from benchmarks.table.peer import Bid, Called, Peer, Step
from benchmarks.workload import PRICE_MAX_TOKENS, PRICE_MIN_TOKENS

Kind = Literal["place", "batch", "cancel", "call"]

# Bids to be cancelled are among the cheapest, which no call comes down to.
CHEAP_TOKENS: Final = PRICE_MIN_TOKENS + (PRICE_MAX_TOKENS - PRICE_MIN_TOKENS) // 20
CANCELS_MAX: Final = 2_000
# What is called or placed at once to bring the book back to its size: a batch of ours has no more.
CHUNK: Final = 1_000


class Turn(NamedTuple):
    """How long each step took, and what the calls among them sold."""

    took_ns: list[int]
    called: list[Called]


class Driver:
    """A peer with the bids that it is given."""

    def __init__(self, peer: Peer, seed: int, price_step_tokens: int = 1) -> None:
        """Nothing rests yet."""
        self._peer: Final = peer
        self._bids: Final = bids(seed, price_step_tokens)
        self._cheap: Final = list[int]()
        self._to_cancel: Final = iter(self._cheap)
        self._size = 0
        self._resting = 0

    def fill(self, size: int) -> None:
        """Let so many bids rest."""
        self._peer.fill(self._noting_the_cheap(islice(self._bids, size)))
        self._size = self._resting = size
        self._peer.tidy()
        self.check()

    def check(self) -> None:
        """As many rest as should, by the peer's own word."""
        resting = self._peer.resting()
        assert resting == self._resting, f"{resting} rest, expected {self._resting}"

    def level(self) -> list[Called]:
        """Bring the book back to its size, and say what had to be sold for it."""
        self.check()
        called = []
        while (surplus := self._resting - self._size) > 0:
            called.append(self._call(min(surplus, CHUNK))[1])
        while (missing := self._size - self._resting) > 0:
            some = self._some(min(missing, CHUNK))
            self._peer.place_all(some)()
            self._resting += len(some)
        self._peer.tidy()
        return called

    def turn(self, kind: Kind, size: int, times: int) -> Turn:
        """Do a step so many times: place one, place a batch of `size`, cancel one, sell `size` slots."""
        took_ns, called = [], []
        for _ in range(times):
            if kind == "call":
                step_ns, sold = self._call(size)
                called.append(sold)
            else:
                step_ns = self._timed(kind, size)
            took_ns.append(step_ns)
        self._peer.tidy()
        return Turn(took_ns, called)

    def _timed(self, kind: Kind, size: int) -> int:
        if kind == "cancel":
            self._resting -= 1
            return timed_ns(self._peer.cancel(next(self._to_cancel)))
        some = self._some(size)
        self._resting += size
        return timed_ns(self._peer.place(some[0]) if kind == "place" else self._peer.place_all(some))

    def _call(self, k: int) -> tuple[int, Called]:
        call = self._peer.call(k)
        began_ns = time.perf_counter_ns()
        answer = call.run()
        took_ns = time.perf_counter_ns() - began_ns
        called = call.told(answer)
        self._peer.tidy()
        assert len(set(called.numbers)) == k, (k, called)
        self._resting -= k
        return took_ns, called

    def _some(self, count: int) -> list[Bid]:
        return list(islice(self._bids, count))

    def _noting_the_cheap(self, given: Iterator[Bid]) -> Iterator[Bid]:
        for bid in given:
            if bid.price_tokens < CHEAP_TOKENS and len(self._cheap) < CANCELS_MAX:
                self._cheap.append(bid.number)
            yield bid


def timed_ns(step: Step) -> int:
    """How long it takes."""
    began_ns = time.perf_counter_ns()
    step()
    return time.perf_counter_ns() - began_ns
