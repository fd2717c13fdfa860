"""Places, shares and turns: what one key may have of what all need. Goal: whoever has none of it finds some.

Method: random streams against what the rules promise, and the loop's own order for turns; no time is measured.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import pytest
import uvloop

from callmarket.bridge.access.principal import Principal, Scope
from callmarket.bridge.api.errors import TooManyRequests, Unavailable
from callmarket.bridge.server.fairness.places import KEYS_MAX, KEYS_PATH, STAFF_MAX, Place, Places
from callmarket.bridge.server.fairness.shares import Share, Shares
from callmarket.bridge.server.fairness.turns import Turns

PATH = "/api/v1/markets/m/bids"


def key(key_id: str, *scopes: Scope) -> Principal:
    return Principal(key_id, "", frozenset({Scope.READ, *scopes}), frozenset(), frozenset(), 1, 1)


def taken_by(places: Places, principal: Principal, path: str = PATH) -> list[Place]:
    """As many as a key gets that takes all it can."""
    taken: list[Place] = []
    with suppress(Unavailable):
        while True:
            taken.append(places.take(principal, path))
    return taken


def test_greedy_keys_leave_places_to_the_next_key() -> None:
    """One gets half; each that follows finds some, and as many stay free as it got."""
    places = Places(256)
    counts = [len(taken_by(places, key(f"k{number}"))) for number in range(8)]
    assert counts == [128, 64, 32, 16, 8, 4, 2, 1]
    # And where they all come at the same time, each has its part.
    places = Places(256)
    greedy = [key(f"k{number}") for number in range(7)]
    had = dict.fromkeys((one.key_id for one in greedy), 0)
    for _ in range(256):
        for one in greedy:
            with suppress(Unavailable):
                had[one.key_id] += places.take(one, PATH).key_id == one.key_id
    assert set(had.values()) == {32}


def test_in_any_order_no_key_is_shut_out_and_no_place_is_lost(seed: int) -> None:
    draw = random.Random(seed)
    for places_max in (1, 2, 7, 64):
        places, held = Places(places_max), dict[str, list[Place]]()
        for _ in range(2_000):
            who = f"k{draw.randrange(places_max)}"
            own = held.setdefault(who, [])
            if own and draw.random() < 0.5:
                places.give_back(own.pop(draw.randrange(len(own))))
                continue
            free = places_max - len(places)
            try:
                own.append(places.take(key(who), PATH))
                assert len(own) <= free
            except Unavailable:
                assert len(own) >= free, "it had fewer than were free"
            assert len(places) == sum(map(len, held.values())) <= places_max
            # Only then is anybody looked for who might get none.
            assert places.is_crowded == (2 * len(places) >= places_max)
            assert places.is_crowded or all(map(places.has_room_for, held))
        for place in [place for own in held.values() for place in own]:
            places.give_back(place)
        assert len(places) == 0
        assert not places._of_key, "keys come and go"
        assert places.take(key("last"), PATH).key_id == "last"


def test_a_refusal_for_want_of_places_says_whose_requests_wait() -> None:
    """Its own, where it has some; who has none is told of all."""
    places = Places(4)
    taken_by(places, key("a"))
    with pytest.raises(Unavailable, match="2 requests of key a wait already") as caught:
        places.take(key("a"), PATH)
    assert caught.value.retry_after_s
    for name in "bcd":
        taken_by(places, key(name))
    with pytest.raises(Unavailable, match="4 requests wait already"):
        places.take(key("e"), PATH)


def test_staff_has_places_of_its_own_and_keys_have_too() -> None:
    places = Places(4)
    for number in range(4):
        taken_by(places, key(f"k{number}"))
    with pytest.raises(Unavailable, match="4 requests wait already"):
        places.take(key("modest"), PATH)
    operator, admin = key("o", Scope.OPERATE), key("a", Scope.ADMIN)
    assert len(taken_by(places, operator)) == STAFF_MAX
    with pytest.raises(Unavailable):
        places.take(admin, PATH)
    # Revoking a key is nobody else's, not even an operator's.
    with pytest.raises(Unavailable):
        places.take(operator, KEYS_PATH + "/abc")
    assert len(taken_by(places, admin, KEYS_PATH + "/abc")) == KEYS_MAX


def test_staff_may_take_ordinary_places_too() -> None:
    places = Places(100)
    assert len(taken_by(places, key("o", Scope.OPERATE))) == STAFF_MAX + 50


def test_a_share_is_closed_once() -> None:
    shares = Shares("streams", 2, retry_after_s=3.0)
    first, _ = shares.one("a"), shares.one("a")
    with pytest.raises(TooManyRequests, match="key a has 2 streams") as told:
        shares.one("a")
    assert told.value.retry_after_s == 3.0
    with shares.one("b"):
        assert len(shares) == 3
    first.close()
    first.close()
    assert len(shares) == 1
    assert isinstance(shares.one("a"), Share)


def test_a_key_that_has_nothing_any_more_is_not_remembered() -> None:
    """Names that come and go would fill the memory of a service that runs for years."""
    shares = Shares("streams", 2, retry_after_s=3.0)
    for number in range(1_000):
        with shares.one(f"key{number}"), shares.one(f"key{number}"), pytest.raises(TooManyRequests):
            shares.one(f"key{number}")
    kept = shares.one("key7")
    assert dict(shares._of_key) == {"key7": 1}
    kept.close()
    assert (dict(shares._of_key), len(shares)) == ({}, 0)


async def asked(turns: Turns, key_id: str, order: list[str], go: asyncio.Event) -> None:
    async with turns.turn(key_id):
        order.append(key_id)
        await go.wait()


def test_keys_take_turns_however_much_each_asks_for() -> None:
    async def run() -> None:
        turns, order, go = Turns(in_all=1, each=1, waiting_each=8), list[str](), asyncio.Event()
        tasks = [asyncio.create_task(asked(turns, who, order, go)) for who in "aaaaaaaabbc"]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        assert "".join(order) == "aabcabaaaaa"

    asyncio.run(run())


def test_turns_and_waiting_requests_of_a_key_are_bounded() -> None:
    async def run() -> None:
        turns, order, go = Turns(in_all=4, each=2, waiting_each=3), list[str](), asyncio.Event()
        tasks = [asyncio.create_task(asked(turns, "a", order, go)) for _ in range(5)]
        await asyncio.sleep(0)
        assert order == ["a", "a"]
        with pytest.raises(TooManyRequests, match="3 queries of key a"):
            await asked(turns, "a", order, go)
        tasks += [asyncio.create_task(asked(turns, who, order, go)) for who in "bb"]
        await asyncio.sleep(0)
        assert order == ["a", "a", "b", "b"]
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_cancelled_wait_leaves_no_turn_behind(seed: int) -> None:
    """Cancelled while it waits, at the moment of its turn, or in it."""

    async def run() -> None:
        draw = random.Random(seed)
        turns, order, go = Turns(in_all=2, each=1, waiting_each=50), list[str](), asyncio.Event()
        go.set()
        tasks = [asyncio.create_task(asked(turns, draw.choice("abcd"), order, go)) for _ in range(60)]
        while not all(task.done() for task in tasks):
            draw.choice(tasks).cancel()
            if draw.random() < 0.5:
                await asyncio.sleep(0)
        for who in "abcd":
            await asked(turns, who, order, go)
        assert not turns._of_key
        assert not turns._waiting
        assert turns._running == 0

    asyncio.run(run())


def test_a_request_cancelled_as_a_turn_ends_passes_it_to_the_next_of_its_key() -> None:
    async def run() -> None:
        turns, order, go = Turns(in_all=1, each=1, waiting_each=8), list[str](), asyncio.Event()
        running, first, second = (asyncio.create_task(asked(turns, "a", order, go)) for _ in range(3))
        await asyncio.sleep(0)
        go.set()
        first.cancel()
        async with asyncio.timeout(30):
            await asyncio.gather(running, second)

    asyncio.run(run())


def test_a_turn_given_to_a_request_just_cancelled_is_passed_on() -> None:
    async def run() -> None:
        turns, order, go = Turns(in_all=1, each=1, waiting_each=8), list[str](), asyncio.Event()
        go.set()
        async with turns.turn("a"):
            gone, next_one = (asyncio.create_task(asked(turns, who, order, go)) for who in "bc")
            await asyncio.sleep(0)
        # It has been given the turn by now, and has not heard of it.
        gone.cancel()
        async with asyncio.timeout(30):
            await next_one
        assert order == ["c"]

    asyncio.run(run())


def test_a_rest_is_counted_from_the_end_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds of work, forty of rest; who comes meanwhile is looked at again when they are over."""
    now_s, timers = [100.0], list[tuple[float, Callable[[], object]]]()
    monkeypatch.setattr("callmarket.bridge.server.fairness.turns.time", SimpleNamespace(monotonic=lambda: now_s[0]))

    async def run() -> None:
        turns, order, go = Turns(in_all=1, each=1, waiting_each=8, rest=4.0), list[str](), asyncio.Event()
        go.set()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda delay_s, call: timers.append((delay_s, call)))
        async with turns.turn("a"):
            now_s[0] = 110.0
        now_s[0] = 149.0
        waiting = asyncio.create_task(asked(turns, "b", order, go))
        await asyncio.sleep(0)
        ((delay_s, look_again),) = timers
        assert (delay_s, order) == (1.0, [])
        now_s[0] = 150.0
        look_again()
        await waiting

    asyncio.run(run())


def test_after_an_expensive_turn_the_loop_is_left_to_others() -> None:
    """As many times as long as it took: here for ever."""

    async def run() -> None:
        turns, order, go = Turns(in_all=1, each=1, waiting_each=8, rest=1e9), list[str](), asyncio.Event()

        async def dear() -> None:
            async with turns.turn("a"):
                order.append("dear")
                began_s = time.monotonic()
                while time.monotonic() == began_s:
                    pass

        tasks = [asyncio.create_task(one) for one in (dear(), dear(), asked(turns, "b", order, go))]
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert order == ["dear"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What their clocks say in a callback differs.
    asyncio.run(run())
    uvloop.run(run())


def test_a_loop_that_ends_in_a_rest_leaves_the_next_one_its_turns() -> None:
    turns = Turns(in_all=1, each=1, waiting_each=8, rest=1.0)

    async def one() -> None:
        async with turns.turn("a"):
            time.sleep(0.001)  # noqa: ASYNC251 -- it is what is dear

    async def given_up() -> None:
        async with asyncio.timeout(0):
            await one()

    for _ in range(3):
        asyncio.run(one())
        with suppress(TimeoutError):
            asyncio.run(given_up())
    assert not turns._waiting
