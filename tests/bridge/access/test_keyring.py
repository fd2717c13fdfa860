"""The keys in memory, against a real PostgreSQL: who gets in, when others hear of a revocation, what an outage changes.

Waits are for something to happen, with the bounds of `tests.support`; no time is asserted but that of the clock given.
"""

import asyncio
import hmac
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest

from callmarket import ManualClock
from callmarket.bridge.access import key_text, keyring
from callmarket.bridge.access.issue import Issued, NewKey, issue
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.api.errors import Invalid, Unauthorized, Unavailable
from callmarket.bridge.api.units import datetime_of
from callmarket.persistence.database.connections import connect
from callmarket.persistence.stores import api_keys
from tests.bridge.conftest import START_US
from tests.support.own_server import OwnServer
from tests.support.small_market import WAIT_S_MAX, in_threads, until

SECOND_US = 1_000_000


@pytest.fixture
def keys(database_url: str, clock: ManualClock) -> Iterator[Keyring]:
    with Keyring(database_url, 0, clock) as found:
        yield found


def make(keys: Keyring, **changes: object) -> Issued:
    return keys.issue(NewKey(**({"name": "lab", "bid": ("alpha",)} | changes)), "a test")


def gets_in(keys: Keyring, key: str) -> bool:
    try:
        return keys.authenticate(key.encode()).key_id == key[4:16]
    except Unauthorized:
        return False


def test_a_key_gets_in_at_once_and_after_a_restart(keys: Keyring, database_url: str, clock: ManualClock) -> None:
    issued = make(keys)
    principal = keys.authenticate(issued.key.encode())
    assert (principal.name, principal.accounts) == ("lab", {"alpha"})
    with Keyring(database_url, 0, clock) as other:
        assert other.authenticate(issued.key.encode()) == principal
        assert keys.views() == other.views() == (issued.view,)
    with Keyring(database_url, 1, clock) as other:
        assert not gets_in(other, issued.key), "another shard's"


def test_every_invalid_key_is_refused_in_the_same_words(keys: Keyring) -> None:
    """With the words of who has an unknown key, whatever is wrong."""
    issued, other = make(keys), make(keys)
    unknown, _, _ = key_text.make()
    wrong = [unknown, issued.key[:16] + other.key[16:], issued.key[:-1] + ("a" if issued.key[-1] != "a" else "b"), "x"]
    odd = [issued.key[:-1].encode() + sign for sign in (b"\0", b"\xe9", b"\n", b"_")]
    for key in [key.encode() for key in wrong] + odd + [b"\xff" * 60, "\u0661".encode() * 30]:
        with pytest.raises(Unauthorized) as raised:
            keys.authenticate(key)
        assert str(raised.value) == key_text.NOT_VALID


def test_a_key_that_is_unknown_takes_the_same_steps(keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the calls, not by time: one hash and one comparison in constant time, on every path."""
    issued = make(keys)
    unknown, _, _ = key_text.make()
    calls: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def compared(one: bytes, other: bytes) -> bool:
        calls.append((len(one), len(other)))
        return compare(one, other)

    hashed: list[int] = []
    digest = keyring.sha256
    monkeypatch.setattr(hmac, "compare_digest", compared)
    monkeypatch.setattr(keyring, "sha256", lambda secret: hashed.append(len(secret)) or digest(secret))
    assert gets_in(keys, issued.key)
    assert not gets_in(keys, issued.key[:16] + unknown[16:])
    assert not gets_in(keys, unknown)
    assert calls == [(32, 32)] * 3
    assert hashed == [43] * 3


def test_a_key_expires_by_the_clock_given(keys: Keyring, clock: ManualClock) -> None:
    issued = make(keys, expires_at=datetime_of(START_US) + timedelta(seconds=1))
    clock.set_us(START_US + SECOND_US - 1)
    assert gets_in(keys, issued.key)
    clock.set_us(START_US + SECOND_US)
    assert not gets_in(keys, issued.key)


def test_a_key_that_was_read_by_a_clock_that_leapt_works_again(keys: Keyring, clock: ManualClock) -> None:
    """While the clock is years ahead keys are read again, for another was made: those that seemed expired come back."""
    issued = make(keys, expires_at=datetime_of(START_US) + timedelta(hours=1))
    clock.set_us(2 * START_US)
    version = keys._version
    make(keys)
    until(lambda: keys._version > version)
    assert not gets_in(keys, issued.key)
    clock.set_us(START_US)
    until(lambda: gets_in(keys, issued.key))


def test_a_key_that_is_revoked_here_is_refused_at_once(keys: Keyring, database_url: str, clock: ManualClock) -> None:
    issued, other = make(keys), make(keys)
    view = keys.revoke(issued.view.key_id)
    assert view.revoked_at is not None
    assert not view.works
    assert not gets_in(keys, issued.key)
    assert gets_in(keys, other.key)
    assert keys.revoke(issued.view.key_id).revoked_at == view.revoked_at
    with Keyring(database_url, 0, clock) as restarted:
        assert not gets_in(restarted, issued.key)


def test_keys_made_and_revoked_by_other_processes_are_noticed(
    keys: Keyring, database_url: str, clock: ManualClock
) -> None:
    """Another server, and a hand with psql."""
    with Keyring(database_url, 0, clock) as other:
        issued, second = make(other), make(other)
        until(lambda: gets_in(keys, issued.key) and gets_in(keys, second.key))
        other.revoke(issued.view.key_id)
        until(lambda: not gets_in(keys, issued.key))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET revoked_at = now() WHERE key_id = %s", (second.view.key_id,))
    until(lambda: not gets_in(keys, second.key))


def test_the_bound_on_that_is_the_one_promised() -> None:
    """A second: half for the pause, half for a database that answers."""
    assert keyring.POLL_S <= 0.5


def test_revoking_an_unknown_key_is_an_error_that_does_not_show_it(keys: Keyring) -> None:
    with pytest.raises(Invalid, match="the id of a key"):
        keys.revoke("0" * 12)
    whole = make(keys).key
    for wrong in ("", whole, "é" * 12, "0" * 1_000):
        with pytest.raises(Invalid) as raised:
            keys.revoke(wrong)
        assert whole[16:] not in str(raised.value)


def test_no_more_keys_than_there_is_room_for(keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "KEYS_MAX", 2)
    first = make(keys)
    make(keys)
    with pytest.raises(Unavailable, match="2 keys work already"):
        make(keys)
    assert len(keys) == 2
    keys.revoke(first.view.key_id)
    assert gets_in(keys, make(keys).key)


@pytest.mark.parametrize("rows_max", [0, -1, keyring.LIST_ROWS_MAX + 1])
def test_a_list_of_keys_has_its_bounds(keys: Keyring, rows_max: int) -> None:
    """Newest first, so that what is left out is the oldest."""
    made = [make(keys).view for _ in range(3)]
    with pytest.raises(Invalid, match="rows_max") as caught:
        keys.views(rows_max)
    assert caught.value.value == rows_max
    assert set(keys.views(keyring.LIST_ROWS_MAX)) == set(made)
    assert len(keys.views(1)) == 1


def test_a_look_that_meets_a_bug_is_not_the_last(
    keys: Keyring,
    database_url: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else nobody here would hear of a key that was revoked elsewhere; who waited for that look goes on."""
    issued, real, left = make(keys), api_keys.version, [ValueError("a bug")]

    def version(connection: psycopg.Connection, shard_id: int) -> int:
        if threading.current_thread() is keys._thread and left:
            raise left.pop()
        return real(connection, shard_id)

    monkeypatch.setattr(api_keys, "version", version)
    asyncio.run(asyncio.wait_for(keys.catch_up(), WAIT_S_MAX))
    until(lambda: not left)
    with Keyring(database_url, 0, clock) as other:
        other.revoke(issued.view.key_id)
    until(lambda: not gets_in(keys, issued.key))
    assert "met a bug" in caplog.text


def test_where_nobody_looks_nobody_waits_for_a_look(keys: Keyring, database_url: str, clock: ManualClock) -> None:
    """Before it is started, after it was closed, and where as many wait as may."""
    never = Keyring(database_url, 0, clock)
    asyncio.run(never.catch_up())
    assert not never._waiting
    keys.close()
    asyncio.run(keys.catch_up())
    assert not keys._waiting


def test_an_outage_shuts_nobody_out_and_lets_nobody_stay(
    own_server: OwnServer, own_url: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Known keys stay, expiry goes on, what is revoked here is refused here; all is as it should be afterwards."""
    with Keyring(own_url, 0, clock) as keys:
        long_requests, leaves = make(keys), make(keys)
        ends = make(keys, expires_at=datetime_of(START_US) + timedelta(seconds=1))
        with own_server.away():
            until(lambda: "stay valid" in caplog.text)
            assert gets_in(keys, long_requests.key)
            assert gets_in(keys, ends.key)
            clock.set_us(START_US + SECOND_US)
            assert not gets_in(keys, ends.key)
            with pytest.raises(Unavailable, match="could not be recorded"):
                keys.revoke(leaves.view.key_id)
            assert not gets_in(keys, leaves.key)
            with pytest.raises(Unavailable, match="no key was handed out"):
                make(keys)
            with pytest.raises(Unavailable):
                keys.views()
            assert keys.seconds_behind > 0
        # Another change makes it read the keys again, in which the revoked one still works.
        with psycopg.connect(own_url, autocommit=True) as connection:
            connection.execute("UPDATE api_keys SET name = 'renamed'")
        until(lambda: keys.authenticate(long_requests.key.encode()).name == "renamed")
        assert not gets_in(keys, leaves.key), "what was revoked here stays so"
        assert keys.revoke(leaves.view.key_id).revoked_at is not None
    assert caplog.text.count("stay valid") == 1, "one line for an outage"


def test_a_database_that_is_frozen_holds_no_check_up(
    own_server: OwnServer, own_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its connections and answers nothing: a revocation is not recorded then, and is obeyed at once."""
    monkeypatch.setattr(keyring, "_ANSWER_S_MAX", 1.0)
    with Keyring(own_url, 0, clock) as keys:
        long_requests, leaves = make(keys), make(keys)
        with own_server.frozen():
            until(keys._asking.locked)

            def revoke() -> None:
                with pytest.raises(Unavailable):
                    keys.revoke(leaves.view.key_id)

            revoking = threading.Thread(target=revoke)
            revoking.start()
            until(lambda: not gets_in(keys, leaves.key))
            assert revoking.is_alive(), "before the database has answered"
            assert gets_in(keys, long_requests.key)
            revoking.join()


def test_closing_does_not_wait_for_a_database_that_does_not_answer(
    own_server: OwnServer, own_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again: nothing; and nobody is kept who waited for a look."""
    monkeypatch.setattr(keyring, "_ANSWER_S_MAX", 10 * WAIT_S_MAX)
    keys = Keyring(own_url, 0, clock).start()
    with own_server.frozen():
        until(keys._asking.locked)
        waiting = threading.Thread(target=lambda: asyncio.run(keys.catch_up()), daemon=True)
        waiting.start()
        closing = [threading.Thread(target=keys.close, daemon=True) for _ in range(2)]
        for thread in closing:
            thread.start()
        for thread in (*closing, waiting):
            thread.join(WAIT_S_MAX)
            assert not thread.is_alive()
    assert not keys._thread.is_alive()


def test_a_keyring_does_not_start_without_a_database(clock: ManualClock) -> None:
    with pytest.raises(Unavailable, match="keys cannot be read"), Keyring("postgresql://127.0.0.1:1/x", 0, clock):
        pass


def test_revoking_against_reading_lets_nobody_back_in(keys: Keyring, database_url: str, clock: ManualClock) -> None:
    """Many at once: after `revoke` has returned, no reading of the keys brings the key back."""
    issued = [make(keys) for _ in range(20)]
    came_back: list[str] = []

    def read_again() -> None:
        for _ in range(50):
            with keys._asking:
                keys._version = -1
                keys._look()

    def revoke_all() -> None:
        for one in issued:
            keys.revoke(one.view.key_id)
            came_back.extend(one.key for _ in range(20) if gets_in(keys, one.key))

    assert in_threads([read_again, revoke_all]) == []
    assert came_back == []
    assert len(keys) == 0


def test_a_key_that_is_revoked_while_it_is_read_is_not_let_in_again(
    keys: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is noted between the reading and its end counts: the database may never hear of it."""
    issued, real = make(keys), keyring._held
    key_id = issued.view.key_id
    revoking = threading.Thread(target=keys.revoke, args=(key_id,))

    def held(row: api_keys.KeyRow) -> keyring._CachedKey:
        found = real(row)
        revoking.start()
        until(lambda: key_id in keys._revoked_here and key_id.encode() not in keys._keys)
        return found

    with keys._asking:
        monkeypatch.setattr(keyring, "_held", held)
        keys._version = -1
        keys._look()
        assert not gets_in(keys, issued.key)
        monkeypatch.setattr(keyring, "_held", real)
    revoking.join()


def test_a_database_that_went_back_is_read_again(keys: Keyring, database_url: str) -> None:
    """Its number of changes is lower then, not higher."""
    issued, kept = make(keys), make(keys)
    until(lambda: keys._version > 0)
    with psycopg.connect(database_url) as connection:
        api_keys.revoke(connection, 0, issued.view.key_id)
        connection.execute("UPDATE api_key_versions SET version = 0 WHERE shard_id = 0")
    until(lambda: not gets_in(keys, issued.key))
    assert gets_in(keys, kept.key)


def test_a_secret_is_in_no_table_log_error_or_repr(
    keys: Keyring, database_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the table, not in the log at its most talkative, not in what is raised, nor in what an object prints."""
    caplog.set_level(logging.DEBUG)
    issued = make(keys, name="lab", operate=True)
    secret, raised = issued.key[16:].lstrip("_"), []
    tries: list[Callable[[], object]] = [
        lambda: keys.authenticate(issued.key.encode()),
        lambda: keys.authenticate(issued.key.encode() + b"x"),
        lambda: keys.authenticate(f"cmk_{'0' * 12}_{secret}".encode()),
        lambda: key_text.bearer(issued.key.encode()),
        lambda: keys.revoke(issued.key),
        lambda: keys.revoke(issued.view.key_id),
        lambda: keys.authenticate(issued.key.encode()),
    ]
    for one in tries:
        try:
            one()
        except (Unauthorized, Invalid) as error:
            logging.getLogger("test").exception("as a server would log it")
            raised.append(f"{error!r} {error} {error.__cause__} {error.__context__} {vars(error)}")
    assert len(raised) == 5
    with psycopg.connect(database_url) as connection:
        dump = "".join(str(row) for row in connection.execute("SELECT api_keys::text, * FROM api_keys"))
    written = capfd.readouterr()
    shown = [dump, caplog.text, repr(keys), repr(vars(keys)), repr(issued), written.out, written.err, *raised]
    assert issued.view.key_id in dump
    assert issued.view.key_id in caplog.text
    for text in shown:
        assert secret not in text
        assert secret[:20] not in text


def test_of_two_that_add_the_last_key_one_finds_no_room(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks for room only once the other has said whether its key stays."""
    monkeypatch.setattr(api_keys, "KEYS_MAX", 1)
    first, second = (issue(NewKey(name=name), "a test", START_US)[1] for name in ("first", "second"))
    with connect(database_url, "one") as one, connect(database_url, "two") as two:
        waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
        raised: list[BaseException] = []

        def add_second() -> None:
            try:
                keyring.insert(two, 0, second)
            except Unavailable as error:
                raised.append(error)

        with one.transaction():
            keyring.insert(one, 0, first)
            adding = threading.Thread(target=add_second, daemon=True)
            adding.start()
            with connect(database_url, "three") as three:
                until(lambda: three.execute(waits, (two.info.backend_pid,)).fetchone() == (True,))
        adding.join(WAIT_S_MAX)
        assert [str(error) for error in raised] == ["1 keys work already: revoke some first"]
        assert [row.name for row in api_keys.working(one, 0, datetime_of(START_US))] == ["first"]
