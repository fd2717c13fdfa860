"""Stays: whoever is inside when its key ends hears so, once, and nobody else does."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from callmarket import ManualClock
from callmarket.bridge.access import long_requests
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.long_requests import LongRequests
from callmarket.bridge.access.principal import Principal
from callmarket.bridge.api.units import datetime_of
from tests.bridge.feed.test_feed import awaited

SECOND_US = 1_000_000


@pytest.fixture
def keys(database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyring]:
    monkeypatch.setattr(long_requests, "LOOK_S", 0.005)
    with Keyring(database_url, 0, clock) as found:
        yield found


def made(keys: Keyring, clock: ManualClock, for_s: int | None = None) -> Principal:
    expires_at = None if for_s is None else datetime_of(clock()) + timedelta(seconds=for_s)
    return keys.authenticate(keys.issue(NewKey(name="k", expires_at=expires_at), "a test").key.encode())


async def until_told(told: list[str], count: int) -> None:
    while len(told) < count:  # noqa: ASYNC110 -- it is what is waited for
        await asyncio.sleep(0.005)


@awaited
async def test_a_long_request_ends_when_its_key_does(keys: Keyring, clock: ManualClock) -> None:
    """One is revoked, one expires while it is in memory, one expires and is no longer read; the fourth goes on."""
    revoked, expires, forgotten, stays_on = (
        made(keys, clock), made(keys, clock, 60), made(keys, clock, 60), made(keys, clock, 120)
    )  # fmt: skip
    inside, told = LongRequests(keys), dict[str, list[str]]()
    with (
        inside.while_key_works(revoked, told.setdefault("revoked", []).append),
        inside.while_key_works(revoked, told.setdefault("revoked too", []).append),
        inside.while_key_works(expires, told.setdefault("expired", []).append),
        inside.while_key_works(stays_on, told.setdefault("stays", []).append),
    ):
        await asyncio.to_thread(keys.revoke, revoked.key_id)
        await until_told(told["revoked"], 1)
        await until_told(told["revoked too"], 1)
        assert not told["expired"]
        clock.set_us(clock() + 61 * SECOND_US)
        await until_told(told["expired"], 1)
        # It is read again without those that have expired.
        await asyncio.to_thread(keys.revoke, revoked.key_id)
        while len(keys) > 1:  # noqa: ASYNC110 -- nobody announces it
            await asyncio.sleep(0.005)
        with inside.while_key_works(forgotten, told.setdefault("forgotten", []).append):
            await until_told(told["forgotten"], 1)
        await asyncio.sleep(0.05)
    assert told["revoked"] == told["revoked too"] == [f"key {revoked.key_id} was taken away"], "once"
    assert told["expired"] == [f"key {expires.key_id} has expired"]
    assert told["forgotten"] == [f"key {forgotten.key_id} has expired"]
    assert told["stays"] == []


@awaited
async def test_a_request_that_has_ended_is_not_called_and_polling_stops(keys: Keyring, clock: ManualClock) -> None:
    principal, inside, told = made(keys, clock), LongRequests(keys), list[str]()
    with inside.while_key_works(principal, told.append):
        pass
    await asyncio.to_thread(keys.revoke, principal.key_id)
    await asyncio.sleep(0.05)
    assert told == []
    assert inside._loops.here()._timer is None, "no timer where nobody stays"
    with inside.while_key_works(principal, told.append):
        await until_told(told, 1)


@awaited
async def test_a_callback_that_raises_does_not_keep_other_requests_open(keys: Keyring, clock: ManualClock) -> None:
    first, second, inside, told = made(keys, clock), made(keys, clock), LongRequests(keys), list[str]()

    def fail(why: str) -> None:
        told.append(why)
        raise RuntimeError(why)

    with (
        inside.while_key_works(first, fail),
        inside.while_key_works(first, fail),
        inside.while_key_works(second, told.append),
    ):
        await asyncio.to_thread(keys.revoke, first.key_id)
        await until_told(told, 2)
        await asyncio.to_thread(keys.revoke, second.key_id)
        await until_told(told, 3)


def test_each_loop_ends_its_own_requests(keys: Keyring, clock: ManualClock) -> None:
    principal, inside = made(keys, clock), LongRequests(keys)
    keys.revoke(principal.key_id)

    async def stay() -> list[str]:
        told: list[str] = []
        with inside.while_key_works(principal, told.append):
            await until_told(told, 1)
        return told

    for _ in range(2):
        assert len(asyncio.run(asyncio.wait_for(stay(), 60))) == 1


def test_a_key_may_do_what_its_row_said_when_last_read(keys: Keyring, clock: ManualClock, database_url: str) -> None:
    """Also of who was let in before: scopes that are taken away by hand are gone with the next look."""
    principal = keys.authenticate(keys.issue(NewKey(name="k", bid=("a",)), "a test").key.encode())
    assert keys.present(principal) == principal
    with keys._connection.use() as connection:
        connection.execute(
            "UPDATE api_keys SET scopes = '{read}', accounts = '{}' WHERE key_id = %s", (principal.key_id,)
        )
    while keys.present(principal) == principal:
        asyncio.run(keys.catch_up())
    assert keys.present(principal).accounts == frozenset()
