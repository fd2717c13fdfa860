"""A key that was made by another process works at once, and keys that are none make the database do next to nothing.

Method: the command line beside a served market, each a process; and the door over a real table, with looks counted.
"""

import asyncio
import time
from collections.abc import Iterator

import httpx2
import psycopg
import pytest

from callmarket.bridge.access import key_text, keyring
from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.access.issue import NewKey, issue
from callmarket.bridge.access.keyring import _LOOK_PAUSE_S, CATCHING_UP_MAX, Keyring, insert
from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import TooManyRequests, Unauthorized
from callmarket.persistence.database.connections import connect
from callmarket.persistence.stores import api_keys
from tests.bridge.cli.test_commands import as_json
from tests.support.own_server import OwnServer
from tests.support.service_process import served
from tests.support.small_market import WAIT_S_MAX


class Counting(Keyring):
    """Counts how often the table was looked at."""

    looks = 0

    def _look(self) -> None:
        self.looks += 1
        super()._look()


@pytest.fixture
def keys(own_url: str) -> Iterator[Counting]:
    with Counting(own_url, 0) as found:
        yield found


def header(key: str) -> bytes:
    return f"Bearer {key}".encode()


def made_elsewhere(url: str) -> str:
    """A key that another process has just made."""
    issued, row = issue(NewKey(name="new"), "another process", system_clock())
    with connect(url, "a test") as connection:
        insert(connection, 0, row)
    return issued.key


def test_a_printed_key_works_at_once(database_url: str) -> None:
    with served(database_url) as service:
        service.until(lambda told: told.status_code == 200)
        for number in range(3):
            key = as_json("keys", "create", "--name", f"k{number}", url=database_url)["key"]
            told = httpx2.get(service.url + "/api/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=30)
            assert told.status_code == 200, told.text
        assert not [line for line in service.lines() if "without a key that works" in line["event"]]
        key = key[:-1] + ("x" if key[-1] != "x" else "y")
        told = httpx2.get(service.url + "/api/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=30)
        assert told.status_code == 401


def test_each_of_many_new_keys_is_let_in_the_first_time(
    keys: Counting, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody waits longer for a database that is away; this one is there, on a machine that may be busy.
    monkeypatch.setattr(keyring, "_CATCH_UP_S_MAX", WAIT_S_MAX)

    async def ask() -> None:
        for _ in range(10):
            key = await asyncio.to_thread(made_elsewhere, own_url)
            assert (await Authenticator(keys).enter(header(key), "peer")).name == "new"

    asyncio.run(ask())


def test_keys_that_are_none_share_a_few_looks(keys: Counting) -> None:
    """However many ask from wherever: so many looks as pauses between them fit in, and each is one row."""
    authenticator = Authenticator(keys)
    unknown = [key_text.make()[0] for _ in range(4 * CATCHING_UP_MAX)]

    async def ask() -> list[object]:
        asked = (authenticator.enter(header(key), f"10.0.{n // 250}.{n % 250}") for n, key in enumerate(unknown))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    before, began_s = keys.looks, time.monotonic()
    for _ in range(3):
        assert {type(one) for one in asyncio.run(ask())} == {Unauthorized}
    assert keys.looks - before <= (time.monotonic() - began_s) / _LOOK_PAUSE_S + 2


def test_a_malformed_key_causes_no_look_at_the_table(keys: Counting, own_url: str) -> None:
    """Nor is a peer that fails too often."""
    authenticator, peer = Authenticator(keys), "10.0.0.1"

    async def fail(authorization: bytes | None) -> Exception:
        try:
            await authenticator.enter(authorization, peer)
        except (Unauthorized, TooManyRequests) as error:
            return error
        raise AssertionError("let in")

    with psycopg.connect(own_url) as connection:
        # Who looks now would wait until the end of the block.
        connection.execute("LOCK TABLE api_key_versions IN ACCESS EXCLUSIVE MODE")
        for wrong in (None, b"Bearer x", b"Basic abc", b"Bearer cmk_" + b"x" * 56):
            assert isinstance(asyncio.run(fail(wrong)), Unauthorized)
        while not isinstance(asyncio.run(fail(None)), TooManyRequests):
            pass
        assert isinstance(asyncio.run(fail(header(key_text.make()[0]))), TooManyRequests)


def test_a_database_that_does_not_answer_keeps_nobody_for_long(
    keys: Counting, own_server: OwnServer, own_url: str
) -> None:
    known = made_elsewhere(own_url)

    async def ask() -> None:
        authenticator = Authenticator(keys)
        assert (await authenticator.enter(header(known), "a")).name == "new"
        with own_server.frozen():
            for _ in range(2):
                with pytest.raises(Unauthorized):
                    await authenticator.enter(header(key_text.make()[0]), "b")
                assert (await authenticator.enter(header(known), "a")).name == "new"

    asyncio.run(ask())


def test_closing_the_keyring_releases_its_waiters(own_url: str) -> None:
    ring = Keyring(own_url, 0)
    asyncio.run(ring.catch_up())  # nobody looks yet
    with ring:
        asyncio.run(ring.catch_up())
    asyncio.run(ring.catch_up())
    assert api_keys.KEYS_MAX > CATCHING_UP_MAX
