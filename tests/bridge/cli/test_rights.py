"""Every command against a database that does not let it: one line of words, exit code 3, and what is to be granted.

Goal: a missing right is no traceback, is not told as something that passes, and is no verdict about the market:
`verify` and `status` have an exit code of their own for those. Method: real roles on a real server, one without any
right, one that may only read and one whose sessions only read; each command as a process.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typer

from callmarket import AccessDenied, Client, Unavailable, ensure_schema, open_exchange
from callmarket.bridge.cli.commands import app
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.persistence.database import migrate
from tests.bridge.cli.test_commands import complaint, run, run_all
from tests.support.databases import temporary_home
from tests.support.own_server import OwnServer, open_own_server
from tests.support.roles import role_on, taken_role_on
from tests.support.service_process import served
from tests.support.small_market import furnish

# A command that only looks.
READING = (
    ("book", "m"),
    ("wallet", "a"),
    ("wallet", "--as-of-seq", "1"),
    ("rounds",),
    ("why", "1"),
    ("earnings", "a"),
    ("budgets",),
    ("cycle",),
    ("status",),
    ("verify",),
    ("snapshots",),
    ("recover", "--dry-run"),
    ("clock",),
    ("keys", "list"),
    ("accept-loss",),
    ("export",),
)
# A command that needs more, with what it needs.
WRITING = (
    ("cycle", "m", "--every", "60s"),
    ("handover", "--wait", "1"),
    ("rebuild-projections",),
    ("snapshot",),
    ("keys", "create", "--name", "x"),
    ("keys", "revoke", "the key"),
)
# The other half of `clock`.
ACCEPTED = ("clock", "--accept", "2026-11-30T12:00:00Z", "--reason", "x")
# They ask no database: some of them ask a served market.
OTHERS = {"config", "mcp", "arena", "artifact", "portfolio", "leaderboard"}
ALL_TABLES = "ON ALL TABLES IN SCHEMA public"


@pytest.fixture(scope="module")
def url(own_server: OwnServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A market with a bid, a key and a snapshot, which nobody leads any more."""
    with own_server.market_database() as one:
        with open_exchange(one) as market:
            furnish(market, "a")
            market.place_bid("m", "a", "t", 5)
        for asked in (["keys", "create", "--name", "the key"], ["snapshot"]):
            assert run(*asked, url=one).returncode == 0
        yield one


def test_every_command_is_tried_without_rights() -> None:
    """So that a new one is tried too."""
    command = typer.main.get_command(app)
    names = set(getattr(command, "commands"))  # noqa: B009 -- typer's type does not say that it is a group
    assert {asked[0] for asked in (*READING, *WRITING)} | {
        "migrate",
        "prune",
        "serve",
        "demo",
        "economy",
        "replay-lost",
        "import-chain",
    } | OTHERS == names


def test_a_role_without_rights_is_told_what_to_grant(url: str, tmp_path: Path) -> None:
    asked = [*READING, *WRITING, ("prune", "--archive", str(tmp_path)), ("migrate",)]
    with role_on(url) as denied:
        ran = run_all(asked, url=denied)
        name = re.findall(r"//(\w+)@", denied)[0]
    for arguments, one in zip(asked, ran, strict=True):
        said = complaint(one, 3)
        assert f"role '{name}' lacks a right: permission denied for" in said, (arguments, said)
        assert f'GRANT USAGE ON SCHEMA "public" TO "{name}"' in said, (arguments, said)
        assert "again" not in said, (arguments, said)


def test_the_grant_that_is_named_is_enough(url: str, tmp_path: Path) -> None:
    """What a command says to grant is granted, and it works: for reading no more than SELECT."""
    with role_on(url) as denied:
        said = [
            complaint(run("wallet", "a", url=denied), 3),
            complaint(run("keys", "create", "--name", "x", url=denied), 3),
        ]
        grants = [re.findall(r'GRANT [^;\n]+ TO "\w+"', one) for one in said]
        for granted, commands in zip(grants, (READING, WRITING), strict=True):
            assert len(granted) == 2, said
            with psycopg.connect(url, autocommit=True) as connection:
                for grant in granted:
                    connection.execute(grant.encode())
            for arguments, one in zip(commands, run_all(commands, url=denied), strict=True):
                # Nobody leads, and nobody stands by: that is what the two say, and no matter of rights.
                code = {"status": 1, "handover": 3}.get(arguments[0], 0)
                assert one.returncode == code, (arguments, one)
                assert "lacks a right" not in one.stderr


def test_a_session_with_another_role_is_granted_what_is_named(own_url: str, empty_database_url: str) -> None:
    """ALTER ROLE ... SET role: the session has the rights of that role, and a grant to its login would change nothing.

    What is named is granted: for tables, for a schema that is closed, and for one without tables.
    """
    for url, command, before in (
        (own_url, ("keys", "create", "--name", "x"), "GRANT USAGE ON SCHEMA public TO PUBLIC"),
        (own_url, ("snapshots",), "REVOKE USAGE ON SCHEMA public FROM PUBLIC"),
        (empty_database_url, ("migrate",), "REVOKE USAGE ON SCHEMA public FROM PUBLIC"),
    ):
        with taken_role_on(url) as (login, role), psycopg.connect(url, autocommit=True) as owner:
            owner.execute(before.encode())
            said = complaint(run(*command, url=login), 3)
            assert f"role '{role}'" in said
            for grant in re.findall(r'GRANT [^;\n]+ TO "\w+"', said):
                owner.execute(grant.encode())
            ran = run(*command, url=login)
            assert ran.returncode == 0, ran


def test_a_database_without_a_market(empty_database_url: str, tmp_path: Path) -> None:
    """Every command says what to do, in our words and not in the server's."""
    for one in run_all([*READING, *WRITING, ACCEPTED, ("prune", "--archive", str(tmp_path))], url=empty_database_url):
        assert "this database has no market yet: run `callmarket migrate`" in complaint(one, 3)


def test_tables_of_an_earlier_version(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do they where only the latest tables are missing."""
    # The first that knew who leads; what came later is not there.
    first = migrate.load()[:5]
    monkeypatch.setattr(migrate, "load", lambda: first)
    ensure_schema(empty_database_url)
    for one in run_all([("clock",), ACCEPTED, ("wallet", "a"), ("snapshot",)], url=empty_database_url):
        assert "the tables are those of an earlier version: run `callmarket migrate`" in complaint(one, 3)


def test_a_role_that_may_not_enter_the_schema(url: str) -> None:
    """The tables look as if they were not there. It is not told that there is no market."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
        try:
            with role_on(url) as denied:
                for one in run_all([("wallet", "a"), ("verify",), ("migrate",)], url=denied):
                    said = complaint(one, 3)
                    assert "may not use the schema 'public'" in said
                    assert 'GRANT USAGE ON SCHEMA "public" TO' in said
        finally:
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")


@pytest.mark.parametrize("only_reads", ["default_transaction_read_only = on"])
def test_commands_in_a_read_only_session(url: str, tmp_path: Path, only_reads: str) -> None:
    """Reading commands work; the others say so in one line, and nothing of a failover that would pass."""
    rights = (f"SELECT, INSERT, UPDATE, DELETE {ALL_TABLES}",)
    with role_on(url, *rights, settings=only_reads) as reader:
        for arguments, one in zip(READING, run_all(READING, url=reader), strict=True):
            assert (one.returncode, one.stderr) == ({"status": 1}.get(arguments[0], 0), ""), (arguments, one)
        writing = [*(asked for asked in WRITING if asked[0] != "handover"), ("handover", "--wait", "1")]
        for arguments, one in zip(writing, run_all(writing, url=reader), strict=True):
            said = complaint(one, 3)
            if arguments[0] != "handover":
                assert "only read" in said, (arguments, said)
            assert "again" not in said, (arguments, said)


def test_a_role_that_may_not_connect(own_server: OwnServer) -> None:
    with (
        own_server.databases.fresh_database() as name,
        own_server.databases.connect(name, autocommit=True) as connection,
    ):
        connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC".encode())
        with role_on(own_server.databases.url(name)) as denied:
            said = complaint(run("wallet", url=denied), 3)
            assert re.search(rf'GRANT CONNECT ON DATABASE "{name}" TO "test_\w+"$', said.strip()), said
            with pytest.raises(AccessDenied, match="GRANT CONNECT"):
                open_exchange(denied)


def test_a_replica(tmp_path: Path) -> None:
    """Who reads is served; who writes is told where he is, and nothing of coming again."""
    with open_own_server() as server, temporary_home() as copy, server.market_database() as url:
        with open_exchange(url) as market:
            furnish(market, "a")
        name = url.rpartition("/")[2].partition("?")[0]
        server.stop("fast")
        shutil.copytree(server.home, copy, ignore=shutil.ignore_patterns("socket", "*.lock", "postmaster.pid"))
        for path in (copy, *copy.rglob("*")):
            found = (server.home / path.relative_to(copy)).stat()
            os.chown(path, found.st_uid, found.st_gid)
        (copy / "data" / "standby.signal").touch()
        with open_own_server(copy) as standby:
            replica = standby.databases.url(name)
            reading = [("wallet", "a"), ("verify",), ("keys", "list"), ("recover", "--dry-run")]
            for one in run_all(reading, url=replica):
                assert (one.returncode, one.stderr) == (0, ""), one
            writing = [asked for asked in WRITING if asked[0] != "handover" and "revoke" not in asked]
            for arguments, one in zip(writing, run_all(writing, url=replica), strict=True):
                said = complaint(one, 3)
                assert "The database is a replica, which only reads: name the primary" in said, (arguments, said)
                assert "again" not in said, (arguments, said)
            with pytest.raises(AccessDenied, match="replica"):
                open_exchange(replica)
        server.start()


def test_migrate_says_what_it_needs(own_server: OwnServer) -> None:
    """As PostgreSQL comes from version 15 on: nobody but the owner of the database may make tables."""
    with own_server.databases.fresh_database() as name, role_on(own_server.databases.url(name)) as denied:
        for arguments in (["migrate"], ["serve", "--port", "0"]):
            ran = run(*arguments, url=denied)
            assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (3, "", False), ran
            said = ran.stderr.splitlines()[-1]
            assert "permission denied for schema public" in said
            assert re.search(r'GRANT USAGE, CREATE ON SCHEMA "public" TO "test_\w+"$', said), said
        for opening in (open_exchange, ensure_schema):
            with pytest.raises(AccessDenied, match='GRANT USAGE, CREATE ON SCHEMA "public" TO'):
                opening(denied)


def test_a_simulation_needs_a_database_of_its_own(url: str, tmp_path: Path) -> None:
    with role_on(url) as denied:
        for arguments in (["economy", "--days", "1"], ["demo", "--minutes", "1"]):
            ran = run(*arguments, "--report", str(tmp_path / "x.html"), "--json", url=denied)
            assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (3, "", False), ran
            told = json.loads(ran.stderr.splitlines()[-1])["error"]
            assert told["type"] == "access-denied"
            assert re.search(
                r'permission denied to create database\. .*: ALTER ROLE "test_\w+" CREATEDB$', told["message"]
            )


def test_only_the_owner_changes_tables(url: str) -> None:
    """A schema that is not up to date, and a role that has every right to the rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        last = connection.execute("DELETE FROM schema_migrations WHERE name LIKE '0009%' RETURNING *").fetchone()
        assert last is not None
        try:
            with role_on(url, f"ALL {ALL_TABLES}", "ALL ON SCHEMA public") as denied:
                said = complaint(run("migrate", url=denied), 3)
                assert "Let the role that owns them run `callmarket migrate`" in said
                assert "earlier version: run `callmarket migrate`" in complaint(run("wallet", url=denied), 3)
        finally:
            connection.execute("INSERT INTO schema_migrations VALUES (%s, %s, %s)", last)


def test_missing_rights_are_not_reported_as_retryable(url: str) -> None:
    """`Unavailable` promises that it may help to come back; this is none."""
    assert not issubclass(AccessDenied, Unavailable)
    with role_on(url) as denied:
        with pytest.raises(AccessDenied, match="permission denied for table"):
            open_exchange(denied)
        with WorkTables(denied) as work, pytest.raises(AccessDenied, match="GRANT"):
            work.block(["t"])
        with DailyBudgets(denied) as budgets, pytest.raises(AccessDenied, match="GRANT"):
            budgets.allocations()
    rights = (f"SELECT, INSERT, UPDATE, DELETE {ALL_TABLES}",)
    with (
        role_on(url, *rights, settings="default_transaction_read_only = on") as reader,
        pytest.raises(AccessDenied, match="only read"),
    ):
        open_exchange(reader)


def test_a_right_that_is_revoked_while_a_market_runs(own_url: str) -> None:
    """Questions say so, and the market goes on with what it may do still."""
    rights = (f"SELECT, INSERT, UPDATE, DELETE {ALL_TABLES}",)
    with role_on(own_url, *rights) as url, open_exchange(url) as market:
        furnish(market, "a")
        name = re.findall(r"//(\w+)@", url)[0]
        with psycopg.connect(own_url, autocommit=True) as connection:
            connection.execute(f"REVOKE SELECT ON token_ledger, artifacts FROM {name}".encode())
        with pytest.raises(AccessDenied, match="permission denied for table token_ledger"):
            market.statement("a")
        with pytest.raises(AccessDenied, match="permission denied for view artifacts"):
            market.put_artifact("art", "paper")
        assert market.wallet("a").balance_tokens == 1_000
        assert market.open_account("b").durable


def test_missing_rights_are_reported_as_json_too(url: str) -> None:
    with role_on(url) as denied:
        ran = run("verify", "--json", url=denied)
    assert (ran.returncode, ran.stdout) == (3, "")
    told = json.loads(ran.stderr)["error"]
    assert (told["type"], told["exit_code"]) == ("access-denied", 3)
    assert 'GRANT SELECT ON ALL TABLES IN SCHEMA "public"' in told["message"]


def test_clients_of_a_service_without_a_right_are_told_once(own_url: str) -> None:
    """The service says that it lacks one, its log says which; the client does not ask again and again."""
    rights = (f"SELECT, INSERT, UPDATE, DELETE {ALL_TABLES}",)
    with role_on(own_url, *rights) as url, served(url) as service:
        service.until(lambda told: told.status_code == 200)
        name = re.findall(r"//(\w+)@", url)[0]
        with Client(service.url, service.key) as client:
            client.open_account("a")
            with psycopg.connect(own_url, autocommit=True) as connection:
                connection.execute(f"REVOKE SELECT ON token_ledger FROM {name}".encode())
            with pytest.raises(AccessDenied, match="its log says which privilege is missing"):
                client.statement("a")
            assert client.wallet("a").balance_tokens == 0
        told = [
            line for line in service.lines(level="error") if "permission denied for table token_ledger" in str(line)
        ]
        assert len(told) == 1, service.log
