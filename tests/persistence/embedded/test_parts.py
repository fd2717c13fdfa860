"""The parts of the private server that decide something, without a server: accounts, folders, and what a file says.

Method: folders with modes of the test's own making, and answers of the system that it chooses; `test_embedded.py` has
real servers.
"""

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from callmarket.persistence.embedded import account, clients, postmaster
from callmarket.persistence.embedded.account import BORROWED_NAMES, Account
from callmarket.persistence.embedded.home import SOCKET_NAME, SOCKET_PATH_BYTES_MAX, Home
from callmarket.persistence.embedded.postmaster import Postmaster, find_running
from callmarket.persistence.errors import Unavailable
from tests.support.databases import temporary_home

ME = os.getuid()


# --- whom PostgreSQL runs as -----------------------------------------------------------------------------------------


def known(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the system know these accounts and no others."""

    def found(name: str) -> SimpleNamespace:
        if name not in names:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=1_000 + names.index(name), pw_gid=2_000 + names.index(name))

    monkeypatch.setattr(pwd, "getpwnam", found)


def test_root_borrows_the_account_that_was_made_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account.os, "geteuid", lambda: 0)
    data = tmp_path / "data"
    known(monkeypatch, "nobody", "postgres")
    assert Account.choose(data) == Account("postgres", 1_001, 2_001, borrowed=True)
    known(monkeypatch, "nobody")
    assert Account.choose(data) == Account("nobody", 1_000, 2_000, borrowed=True)
    known(monkeypatch, "root")
    with pytest.raises(Unavailable, match=f"none of the accounts {', '.join(BORROWED_NAMES)} exists"):
        Account.choose(data)


def test_data_keeps_its_owner_whatever_was_installed_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if ME == 0:
        os.chown(data, 12_345, 23_456)
    monkeypatch.setattr(account.os, "geteuid", lambda: 0)
    known(monkeypatch, "postgres")
    found = Account.choose(data)
    status = data.stat()
    assert (found.uid, found.gid, found.borrowed) == (status.st_uid, status.st_gid, True)


def test_a_user_that_is_not_root_runs_the_server_on_its_own_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    monkeypatch.setattr(account.os, "geteuid", lambda: ME + 1)
    found = Account.choose(data)
    assert (found.uid, found.gid, found.borrowed) == (ME + 1, os.getegid(), False)
    data.mkdir()
    with pytest.raises(Unavailable, match=f"belongs to uid {ME}, and this process runs as uid {ME + 1}"):
        Account.choose(data)


def test_an_account_without_a_name_is_refused_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(uid: int) -> SimpleNamespace:
        if uid != 7:
            raise KeyError(uid)
        return SimpleNamespace()

    monkeypatch.setattr(pwd, "getpwuid", found)
    Account("x", 7, 7, borrowed=True).insist_on_name()
    with pytest.raises(Unavailable, match="Uid 8 has no name on this system"):
        Account("x", 8, 7, borrowed=True).insist_on_name()


@pytest.mark.parametrize(
    ("uid", "gid", "closed", "open_"),
    [(ME, os.getgid(), 0o677, 0o100), (ME + 1, os.getgid(), 0o767, 0o010), (ME + 1, os.getgid() + 1, 0o776, 0o001)],
)
def test_the_topmost_folder_that_keeps_an_account_out_is_named(uid: int, gid: int, closed: int, open_: int) -> None:
    """By the bits that are meant for it: those of the owner, else of the group, else of all others."""
    one = Account("x", uid, gid, borrowed=True)
    with temporary_home() as home:
        if one.closed_folder(home.parent) != home.parent:
            pytest.skip("a folder above those of the test keeps everybody out")
        inner = home / "middle" / "inner"
        inner.mkdir(parents=True)
        folders = [home, home / "middle", inner]
        for shut in folders:
            for folder in folders:
                folder.chmod(0o700 | open_)
            assert one.closed_folder(inner) == inner, "where nothing is closed it is the folder itself"
            shut.chmod(closed)
            assert one.closed_folder(inner) == shut
            shut.chmod(0o700)
        for folder in folders:
            folder.chmod(0o700)


def test_a_program_that_cannot_be_started_is_said_not_to_run(tmp_path: Path) -> None:
    one = Account("x", ME, os.getgid(), borrowed=False)
    program = tmp_path / "program"
    assert not one.can_run(program)
    program.write_text("#!/bin/sh\nexit 0\n")
    assert not one.can_run(program)
    program.chmod(0o700)
    assert one.can_run(program)
    program.write_text("#!/bin/sh\nexit 3\n")
    assert not one.can_run(program)
    assert one.can_enter(tmp_path)
    assert not one.can_enter(tmp_path / "none")
    assert not one.can_enter(program)


def test_nothing_of_the_callers_environment_reaches_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "elsewhere")
    one = Account("x", ME, os.getgid(), borrowed=False)
    found = one.run(["/usr/bin/env"], environment={"MORE": "1"}).stdout
    assert {line.partition("=")[0] for line in found.splitlines()} - {"PWD", "SHLVL", "_"} == {"PATH", "LC_ALL", "MORE"}


# --- the home --------------------------------------------------------------------------------------------------------


def test_the_socket_is_in_the_home_where_its_address_fits() -> None:
    most = SOCKET_PATH_BYTES_MAX - len(f"/socket/{SOCKET_NAME}")
    fits, too_long = Home(Path("/" + "x" * (most - 1))), Home(Path("/" + "x" * most))
    assert fits.socket_folder == fits.path / "socket"
    assert len(str(fits.socket_folder / SOCKET_NAME)) == SOCKET_PATH_BYTES_MAX
    assert too_long.socket_folder.parent == Path("/tmp")
    wide = Home(Path("/" + "\u00e9" * (most - 1)))
    assert wide.socket_folder.parent == Path("/tmp"), "bytes are counted, not characters"
    for character in ",\"'\\":
        assert Home(Path(f"/a{character}b")).socket_folder.parent == Path("/tmp")
    assert too_long.socket_folder != wide.socket_folder, "each home has its own"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", None),
        ("\n", None),
        ("none\n/data\n", None),
        ("7\n", (7, "starting")),
        ("7\n/data\n1\n5432\n/socket\n\n1 2\n", (7, "starting")),
        ("7\n/data\n1\n5432\n/socket\n\n1 2\nready   \n", (7, "ready")),
        ("7\n/data\n1\n5432\n/socket\n\n1 2\nstopping\n", (7, "stopping")),
    ],
)
def test_the_state_of_a_server_is_read_from_its_pid_file(
    tmp_path: Path, content: str, found: tuple[int, str] | None
) -> None:
    """Also one that has just created the file, and has not written into it."""
    home = Home(tmp_path)
    assert Postmaster.read(home) is None
    home.data.mkdir()
    home.pid_file.write_text(content)
    read = Postmaster.read(home)
    assert (None if read is None else (read.pid, read.status)) == found


# --- a server that runs, or does not ---------------------------------------------------------------------------------


class System:
    """What the system says of a server: look after look, and the last for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Home, *looks: tuple[str, bool, bool]) -> None:
        self.looks = list(looks)
        self.seen = 0
        self.home = home
        monkeypatch.setattr(Postmaster, "read", lambda _: self.read())
        monkeypatch.setattr(Postmaster, "answers", lambda _: self.now[1])
        monkeypatch.setattr(Postmaster, "is_alive", lambda _: self.now[2])
        monkeypatch.setattr(postmaster, "POLL_S", 0.001)

    def read(self) -> Postmaster | None:
        self.now = self.looks[min(self.seen, len(self.looks) - 1)]
        self.seen += 1
        return Postmaster(self.home, 7, self.now[0]) if self.now[0] else None


@pytest.mark.parametrize(
    ("looks", "runs"),
    [
        ([("", False, False)], False),
        ([("ready", True, True)], True),
        # One of another container: it answers, and is no process here.
        ([("ready", True, False)], True),
        ([("ready", False, False)], False),
        ([("starting", False, True), ("starting", False, True), ("ready", True, True)], True),
        ([("stopping", False, True), ("stopping", False, True), ("", False, False)], False),
        ([("stopping", False, True), ("stopping", False, False)], False),
    ],
)
def test_a_server_that_starts_or_stops_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[tuple[str, bool, bool]], runs: bool
) -> None:
    system = System(monkeypatch, Home(tmp_path), *looks)
    assert (find_running(Home(tmp_path)) is not None) == runs
    assert system.seen == len(looks)


@pytest.mark.parametrize(("status", "silent"), [("ready", True), ("starting", False)])
def test_a_server_that_says_nothing_is_waited_for_as_long_as_it_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, silent: bool
) -> None:
    """One that is ready answers at once; one that starts may have much to recover."""
    monkeypatch.setattr(postmaster, "SILENCE_S_MAX", 0.0 if silent else 600.0)
    monkeypatch.setattr(postmaster, "START_S_MAX", 600.0 if silent else 0.0)
    System(monkeypatch, Home(tmp_path), (status, False, True))
    with pytest.raises(Unavailable, match=f"process 7, {status}.* kill -INT 7"):
        find_running(Home(tmp_path))


def test_a_server_that_starts_is_not_held_to_the_silence_of_one_that_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmaster, "SILENCE_S_MAX", 0.0)
    System(monkeypatch, Home(tmp_path), *[("starting", False, True)] * 5, ("ready", True, True))
    assert find_running(Home(tmp_path)) is not None


def test_a_server_that_does_not_stop_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    System(monkeypatch, Home(tmp_path), ("ready", True, True)).read()
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(postmaster.os, "kill", lambda pid, number: told.append((pid, number)))
    monkeypatch.setattr(postmaster, "STOP_S_MAX", 0.0)
    for mode, number in postmaster.STOP_SIGNALS.items():
        with pytest.raises(Unavailable, match=rf"process 7\) did not stop within 0.0 s \({mode}\)"):
            Postmaster(Home(tmp_path), 7, "ready").stop(mode)
        assert told.pop() == (7, number)


def test_variables_that_a_server_may_refuse_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in clients.SESSION_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert clients.refused_variables() == ""
    assert clients.has_clients("postgresql:///none?host=/nowhere&connect_timeout=1"), "where it cannot be known"
    monkeypatch.setenv("PGGEQO", "x")
    monkeypatch.setenv("PGTZ", "x")
    assert clients.refused_variables() == "PGTZ, PGGEQO"
    monkeypatch.setenv("PGDATESTYLE", "")
    assert clients.refused_variables() == "PGTZ, PGDATESTYLE, PGGEQO", "libpq sends an empty one too"
