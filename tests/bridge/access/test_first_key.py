"""The first start: one admin key, in a file that nobody else can read, whatever happens in the middle of it.

Real files, real processes, a real PostgreSQL.
"""

import logging
import multiprocessing
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callmarket import ManualClock
from callmarket.bridge.access import first_key
from callmarket.bridge.access.first_key import ensure_admin_key
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.principal import Scope
from callmarket.bridge.api.errors import Unauthorized, Unavailable


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there yet"


@pytest.fixture
def keys(database_url: str, clock: ManualClock) -> Iterator[Keyring]:
    with Keyring(database_url, 0, clock) as found:
        yield found


def admins(url: str) -> int:
    with Keyring(url, 0) as keys:
        return sum(view.works and Scope.ADMIN in view.scopes for view in keys.views())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_key_and_the_next_finds_it(
    database_url: str, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = ensure_admin_key(database_url, 0, home)
    assert path is not None
    assert path.parent == home
    key = path.read_bytes().strip()
    with Keyring(database_url, 0) as keys:
        assert keys.authenticate(key).scopes == {Scope.READ, Scope.ADMIN}
    assert mode(path) == 0o600
    assert ensure_admin_key(database_url, 0, home) == path
    assert path.read_bytes().strip() == key
    assert list(home.iterdir()) == [path]
    assert str(path) in caplog.text
    assert key.decode()[16:] not in caplog.text


def test_a_key_that_somebody_else_keeps_is_not_made_again(database_url: str, home: Path, tmp_path: Path) -> None:
    ensure_admin_key(database_url, 0, home)
    assert ensure_admin_key(database_url, 0, tmp_path / "elsewhere") is None
    assert admins(database_url) == 1


def test_a_file_that_does_not_hold_the_key_is_not_shown(database_url: str, home: Path) -> None:
    path = ensure_admin_key(database_url, 0, home)
    assert path is not None
    for other in (b"", path.read_bytes()[:-5] + b"aaaa\n", b"\xff" * 1_000_000):
        path.write_bytes(other)
        assert ensure_admin_key(database_url, 0, home) is None


def test_other_keys_than_an_admins_do_not_count(keys: Keyring, database_url: str, home: Path) -> None:
    keys.issue(NewKey(name="operator", operate=True, bid=("*",)), "a test")
    assert ensure_admin_key(database_url, 0, home) is not None


def test_each_shard_has_its_own_and_no_file_is_replaced(database_url: str, home: Path) -> None:
    """Nor that of another database with the same home, nor that of a key that was revoked."""
    first, other = (ensure_admin_key(database_url, shard_id, home) for shard_id in (0, 1))
    assert first is not None
    assert other not in (None, first)
    kept = first.read_bytes()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET revoked_at = now() WHERE shard_id = 0")
    second = ensure_admin_key(database_url, 0, home)
    assert second not in (None, first, other)
    assert first.read_bytes() == kept
    with Keyring(database_url, 0) as keys, pytest.raises(Unauthorized):
        keys.authenticate(kept.strip())


def test_nobody_can_read_the_file_while_it_is_written(
    database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not under its first name either, and with no umask to help."""
    seen: list[int] = []
    write = os.fsync

    def looked_at(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        write(descriptor)

    opened: list[int] = []
    really_open = os.open

    def opening(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if flags & os.O_CREAT and str(home) in str(path):
            opened.append(mode)
        return really_open(path, flags, mode, **more)

    monkeypatch.setattr(os, "fsync", looked_at)
    monkeypatch.setattr(os, "open", opening)
    before = os.umask(0)
    try:
        path = ensure_admin_key(database_url, 0, home)
    finally:
        os.umask(before)
    assert path is not None
    assert (opened, seen, mode(path)) == ([0o600], [0o600], 0o600)


def test_a_start_that_dies_before_the_key_works_leaves_the_next_one_free(
    database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(first_key, "insert", killed)
        with pytest.raises(KeyboardInterrupt):
            ensure_admin_key(database_url, 0, home)
    (left,) = home.iterdir()
    assert admins(database_url) == 0
    path = ensure_admin_key(database_url, 0, home)
    assert path not in (None, left)
    assert admins(database_url) == 1


def test_a_start_that_cannot_write_makes_no_key(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all, file = tmp_path / "open", tmp_path / "file"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    file.touch()
    for wrong in (open_to_all, file / "below"):
        with pytest.raises(Unavailable):
            ensure_admin_key(database_url, 0, wrong)
    assert admins(database_url) == 0
    with pytest.raises(Unavailable, match="no admin key"):
        ensure_admin_key("postgresql://127.0.0.1:1/x", 0, tmp_path)


def test_without_a_home_it_is_the_usual_place(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_key, "default_home", lambda: tmp_path / "usual")
    path = ensure_admin_key(database_url, 0, None)
    assert path is not None
    assert path.parent == tmp_path / "usual"


def start(url: str, home: Path, barrier, results) -> None:
    barrier.wait(60)
    results.put(ensure_admin_key(url, 0, home))


def test_two_processes_that_start_at_once_make_one(database_url: str, home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=start, args=(database_url, home, barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    paths = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert admins(database_url) == 1
    assert len(paths) == 1
    assert set(home.iterdir()) == paths
