"""Turns for what is dear: who comes next, when, and what becomes of the turn of somebody who has gone.

Goal: no turn is ever lost, and none begins before its time. Method: one loop, whose tasks are let on step by step, and
a clock that is set.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from bridge.errors import TooManyRequests
from bridge.server import turns
from bridge.server.turns import Turns

# Steps of a loop in which everything that can go on has done so.
STEPS = 8


async def settle() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


def in_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


class Asker:
    """A task that takes a turn, and keeps it until it is let go."""

    def __init__(self, some: Turns, key_id: str, order: list[str]) -> None:
        self.has_turn = False
        self._let_go = asyncio.Event()
        self.task = asyncio.create_task(self._ask(some, key_id, order))

    async def _ask(self, some: Turns, key_id: str, order: list[str]) -> None:
        async with some.turn(key_id):
            self.has_turn = True
            order.append(key_id)
            await self._let_go.wait()

    async def end(self) -> None:
        self._let_go.set()
        await self.task


def test_keys_come_round_one_after_the_other() -> None:
    """Whoever asks for much is behind whoever asks for the first time, and no key has more at a time than its part."""

    async def test() -> None:
        some, order = Turns(in_all=2, each=1, waiting_each=2), list[str]()
        askers = [Asker(some, key_id, order) for key_id in ("a", "a", "a", "b", "c")]
        await settle()
        assert order == ["a", "b"]
        with pytest.raises(TooManyRequests):
            await some.turn("a").__aenter__()
        for number in (0, 3, 1, 4):
            await askers[number].end()
            await settle()
        assert order == ["a", "b", "a", "c", "a"]
        await askers[2].end()

    in_a_loop(test)


def test_a_turn_that_is_given_to_somebody_who_has_just_gone_is_given_on() -> None:
    async def test() -> None:
        some, order = Turns(in_all=1, each=1, waiting_each=4), list[str]()
        async with some.turn("a"):
            gone, next_one = (Asker(some, key_id, order) for key_id in ("b", "c"))
            await settle()
        # It has been given the turn by now, and has not heard of it.
        gone.task.cancel()
        await settle()
        assert order == ["c"]
        await next_one.end()

    in_a_loop(test)


def test_what_is_dear_begins_only_after_a_rest_that_is_counted_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: now_s[0]))

    async def test() -> None:
        loop, looked_again = asyncio.get_running_loop(), list[tuple[float, Callable[[], object]]]()
        monkeypatch.setattr(loop, "call_later", lambda delay_s, call: looked_again.append((delay_s, call)))
        some, order = Turns(in_all=1, each=1, waiting_each=4, rest=4.0), list[str]()
        first = Asker(some, "a", order)
        await settle()
        now_s[0] = 110.0
        await first.end()
        now_s[0] = 149.0
        second = Asker(some, "b", order)
        await settle()
        assert not second.has_turn, "ten seconds of work, forty of rest"
        assert [delay_s for delay_s, _ in looked_again] == [1.0]
        now_s[0] = 150.0
        looked_again[0][1]()
        await settle()
        assert second.has_turn
        await second.end()

    # Without a bound on its time, for which it would need the timer that is faked.
    asyncio.run(test())


def test_whoever_comes_and_goes_no_turn_is_lost(seed: int) -> None:
    """At any time as many have a turn as may, of those who ask; in the end nothing is remembered of anybody."""
    rng = random.Random(seed)

    async def test() -> None:
        some, order = Turns(in_all=3, each=2, waiting_each=50), list[str]()
        askers: dict[Asker, str] = {}
        for _ in range(400):
            if askers and rng.random() < 0.4:
                one = rng.choice(list(askers))
                one.task.cancel() if rng.random() < 0.5 else one._let_go.set()
                del askers[one]
                if rng.random() < 0.5:
                    # The next one goes at almost the same moment, perhaps who has just been given this turn.
                    for _ in range(rng.randrange(3)):
                        await asyncio.sleep(0)
                    continue
            else:
                key_id = rng.choice("abc")
                askers[Asker(some, key_id, order)] = key_id
            await settle()
            have = Counter(key_id for one, key_id in askers.items() if one.has_turn)
            asked = Counter(askers.values())
            assert max(have.values(), default=0) <= 2
            assert have.total() == min(3, sum(min(2, count) for count in asked.values()))
        for one in askers:
            one._let_go.set()
        await asyncio.gather(*(one.task for one in askers))
        assert (some._running, some._of_key, some._waiting) == (0, {}, {})

    in_a_loop(test)
