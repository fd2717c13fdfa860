"""What our sessions are set to, whatever the URL, the environment, a service, the role, the database or a pooler says.

Method: a real database that is set up against us in every way we know, and a real market on it; what the sessions of
each kind then have is asked of the server. The pooler is a stand-in: PgBouncer's two ways of treating `options`, and
nothing else of it, in front of a real PostgreSQL, so that no test depends on a program that may not be there.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from callmarket import AccessDenied, Unavailable, ensure_schema, open_exchange
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.persistence import errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import load
from callmarket.persistence.database.reader_pool import ReaderPool
from callmarket.persistence.stores.work import pool
from callmarket.persistence.stores.work.pool import WorkPool
from callmarket.persistence.verify import verify
from tests.support.databases import TestServer
from tests.support.own_server import OwnServer, open_own_server
from tests.support.proxy import Proxy
from tests.support.roles import taken_role_on
from tests.support.small_market import furnish

MEMO = "→ 😀 ünïcode"
# What a role or a database may be set to, against us.
AGAINST_US = {
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "900ms",
    "transaction_timeout": "900ms",
    "default_transaction_isolation": "serializable",
    "timezone": "Asia/Kolkata",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-5",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "exit_on_error": "on",
    "plan_cache_mode": "force_generic_plan",
    "row_security": "on",
    "client_min_messages": "error",
    "client_encoding": "LATIN1",
    "synchronous_commit": "off",
    "enable_indexscan": "on",
    "application_name": "somebody",
}
OURS = {
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "1min",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "exit_on_error": "off",
    "plan_cache_mode": "auto",
    "row_security": "off",
    "client_min_messages": "warning",
    "client_encoding": "UTF8",
    "synchronous_commit": "on",
}
# The shell's: what other servers need, and what people like.
SHELL = {
    "PGCLIENTENCODING": "LATIN1",
    "PGTZ": "Asia/Kolkata",
    "PGDATESTYLE": "German",
    "PGGEQO": "off",
    "PGAPPNAME": "somebody",
    "PGCONNECT_TIMEOUT": "1000",
    "PGOPTIONS": "-c statement_timeout=1ms -c client_encoding=LATIN1 -c intervalstyle=iso_8601",
    "PGTARGETSESSIONATTRS": "read-write",
}


def set_on_database(url: str, settings: dict[str, str], *, role: bool = False) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        whose = sql.SQL("ROLE CURRENT_USER IN DATABASE {}") if role else sql.SQL("DATABASE {}")
        known = connection.execute("SELECT name FROM pg_settings WHERE context = 'user' OR name = 'client_encoding'")
        names = {name.lower() for (name,) in known}
        for name, value in settings.items():
            if name in names:
                statement = sql.SQL("ALTER {} SET {} = {}").format(
                    whose.format(database), sql.Identifier(name), sql.Literal(value)
                )
                connection.execute(statement)


def shown(connection: psycopg.Connection) -> dict[str, str]:
    """What the server says that a session of ours has."""
    return {name: str(connection.execute(f"SHOW {name}").fetchall()[0][0]) for name in OURS}


def assert_market_is_sound(url: str) -> None:
    """A market, its tables, its readers and its workers, in sessions of each kind."""
    with open_exchange(url) as market:
        furnish(market, "a", "b")
        market.transfer("a", "b", 1, "pay", memo=MEMO)
        assert [one.memo for one in market.statement("b", limit=1).items] == [MEMO]
    with WorkTables(url) as work:
        work.put_quests([Quest("q", "a")])
        unknown = [Task(name, "q", 0.5, 0.5, task_type=name) for name in ("NULL", "t")]
        work.put_tasks(unknown)
        assert work.open_tasks() == unknown
    assert verify(url, 0).ok
    with connect(url, "test writer", writer=True) as writer, connect(url, "test") as plain:
        assert shown(writer) == OURS == shown(plain)
        assert writer.info.parameter_status("application_name") == "test writer"
        with pytest.raises(psycopg.errors.DivisionByZero):
            writer.execute("SELECT 1 / 0")
        assert writer.execute("SHOW enable_seqscan").fetchone() == ("off",)
        if writer.info.server_version >= 170_000:
            assert writer.execute("SHOW transaction_timeout").fetchone() == ("0",)
    with connect(url, "test", read_only=True) as reader:
        assert shown(reader) | {"synchronous_commit": "on"} == OURS
        with pytest.raises(errors.ReadOnly):
            reader.execute("CREATE TABLE nothing ()")
    with closing(ReaderPool(url, 0)) as readers, readers.snapshot() as snapshot:
        assert shown(snapshot.connection)["timezone"] == "UTC"
        assert snapshot.connection.execute("SHOW statement_timeout").fetchone() == ("10s",)
    with closing(WorkPool(url)) as workers, workers.use() as connection:
        assert shown(connection) == OURS | {"statement_timeout": "15s"}
        assert connection.answer_s_max == pool.ANSWER_S_MAX, "only to show that it lives it has less time"


@pytest.mark.parametrize("role", [False, True], ids=["database", "role"])
def test_settings_of_role_and_database_change_nothing(empty_database_url: str, role: bool) -> None:
    set_on_database(empty_database_url, AGAINST_US, role=role)
    assert_market_is_sound(empty_database_url)


def test_environment_variables_of_libpq_change_no_session_setting(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    assert_market_is_sound(empty_database_url)


def test_options_in_the_url_change_no_session_setting(empty_database_url: str) -> None:
    options = " ".join(
        f"-c {name}={value.replace(' ', '')}" for name, value in AGAINST_US.items() if name != "datestyle"
    )
    url = make_conninfo(empty_database_url, options=options, client_encoding="LATIN1", application_name="x")
    assert_market_is_sound(url)


@pytest.mark.parametrize("wanted", ["any", "read-write", "primary", "prefer-standby"])
def test_every_way_to_ask_for_the_primary_works(empty_database_url: str, wanted: str) -> None:
    """The usual URLs of high availability, also with a host that is not there: readers come to the primary too."""
    with Proxy(empty_database_url) as gone, Proxy(empty_database_url) as there:
        gone.refusing = True
        hosts = {"host": "127.0.0.1,127.0.0.1", "sslmode": "disable", "target_session_attrs": wanted}
        ports = f"{gone.port},{there.port}"
        assert_market_is_sound(make_conninfo(empty_database_url, port=ports, **hosts))


@pytest.mark.parametrize("wanted", ["read-only", "standby"])
def test_a_url_that_asks_for_a_replica_is_refused(database_url: str, wanted: str) -> None:
    with pytest.raises(Unavailable, match=r"No connection to the database.*(read-only|hot standby)"):
        open_exchange(make_conninfo(database_url, target_session_attrs=wanted))


def test_a_database_that_takes_no_writes_is_refused_when_a_market_is_opened(database_url: str) -> None:
    """Somebody may mean it so, before a move to another server: then it is not for us to overrule; reading goes on."""
    open_exchange(database_url).close()
    set_on_database(database_url, {"default_transaction_read_only": "on"})
    for standby in (False, True):
        with pytest.raises(AccessDenied, match=r"only read .default_transaction_read_only is on, by ALTER DATABASE"):
            open_exchange(database_url, standby=standby)
    assert verify(database_url, 0).ok
    open_exchange(make_conninfo(database_url, options="-c default_transaction_read_only=off")).close()


def test_triggers_that_would_not_fire_are_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET session_replication_role = replica").format(database))
    with pytest.raises(Unavailable, match="session_replication_role is replica, so the triggers"):
        open_exchange(database_url)
    connect(database_url, "test", read_only=True).close()


# --- what is honoured ----------------------------------------------------------------------------------------------


@contextmanager
def schema_chosen(url: str, way: str, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A URL that leads to a schema, by one of the ways that libpq has."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    path = f"-c search_path={schema}"
    with monkeypatch.context() as patch:
        match way:
            case "url":
                yield make_conninfo(url, options=path)
            case "environment":
                patch.setenv("PGOPTIONS", path)
                yield url
            case "role":
                set_on_database(url, {"search_path": schema}, role=True)
                yield url
            case _:
                (tmp_path / "services").write_text(f"[m]\noptions={path}\n")
                patch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
                if way == "service of the environment":
                    patch.setenv("PGSERVICE", "m")
                    yield url
                else:
                    yield make_conninfo(url, service="m")


@pytest.mark.parametrize("way", ["url", "environment", "role", "service", "service of the environment"])
def test_a_schema_is_chosen_as_libpq_lets_one(
    empty_database_url: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with schema_chosen(empty_database_url, way, "mkt", tmp_path, monkeypatch) as url:
        assert ensure_schema(url) == [one.name for one in load()]
        with open_exchange(url) as market:
            furnish(market, "a")
            assert [one.account_id for one in market.wallets().items if one.account_id == "a"] == ["a"]
        assert verify(url, 0).ok
    with psycopg.connect(empty_database_url) as connection:
        tables = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('mkt', 'public')"
        assert connection.execute(tables).fetchall() == [("mkt",)]


def test_a_role_is_taken_as_libpq_lets_one(empty_database_url: str) -> None:
    with taken_role_on(empty_database_url, "USAGE, CREATE ON SCHEMA public") as (url, role):
        assert_market_is_sound(url)
        open_exchange(make_conninfo(url, options=f"-c role={role}")).close()
        with psycopg.connect(empty_database_url) as connection:
            owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(owners).fetchall() == [(role,)]


def test_a_service_that_is_not_there_is_named(database_url: str) -> None:
    with pytest.raises(Unavailable, match='definition of service "nowhere" not found'):
        open_exchange(make_conninfo(database_url, service="nowhere"))


def test_a_reload_of_the_server_changes_no_open_session(tmp_path: Path) -> None:
    """What the server's owner sets while we run is for sessions to come, and ours will say no then too."""
    with open_own_server() as own, own.market_database() as url, ExitStack() as opened:
        kinds = ({"writer": True}, {}, {"read_only": True})
        sessions = [opened.enter_context(connect(url, "test", **kind)) for kind in kinds]
        reload(own, {"synchronous_commit": "off", "timezone": "Asia/Kolkata", "statement_timeout": "1ms"})
        try:
            for one in sessions:
                assert shown(one) == OURS
            with connect(url, "test", writer=True) as new:
                assert shown(new) == OURS
        finally:
            reload(own, dict.fromkeys(("synchronous_commit", "timezone", "statement_timeout"), ""))


def reload(own: OwnServer, settings: dict[str, str]) -> None:
    """Change the server's configuration and see it arrive."""
    with own.databases.connect("postgres", autocommit=True, options="-c statement_timeout=0") as connection:
        for name, value in settings.items():
            to = sql.Literal(value) if value else sql.SQL("DEFAULT")
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), to))
        connection.execute("SELECT pg_reload_conf()")
        while connection.execute("SELECT pg_conf_load_time() < statement_timestamp()").fetchone() == (False,):
            pass


# --- poolers -------------------------------------------------------------------------------------------------------


def test_a_pooler_that_drops_the_options_is_named(database_url: str) -> None:
    """PgBouncer with `ignore_startup_parameters = options`: all works, and none of our settings is in force."""
    with Proxy(database_url, options="dropped") as pooler:
        for opening in (lambda: open_exchange(pooler.url), lambda: ensure_schema(pooler.url)):
            with pytest.raises(
                Unavailable, match=r"a connection pooler \(PgBouncer\), has dropped the options.*directly"
            ):
                opening()
        for kind in ({"writer": True}, {"read_only": True}, {}):
            with pytest.raises(errors.Unavailable, match="pooler"):
                connect(pooler.url, "test", **kind)
        named = pytest.raises(errors.Unavailable, match="pooler")
        with closing(ReaderPool(pooler.url, 0)) as readers, named, readers.snapshot():
            pass
        with closing(WorkPool(pooler.url)) as workers, named, workers.use():
            pass
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM engine_writer").fetchone() == (0,), "nothing was written"


def test_a_pooler_that_refuses_the_options_is_named(database_url: str) -> None:
    """PgBouncer as it comes."""
    with (
        Proxy(database_url, options="refused") as pooler,
        pytest.raises(Unavailable, match=r"unsupported startup parameter: options.*connection pooler.*directly"),
    ):
        open_exchange(pooler.url)


# --- encodings -----------------------------------------------------------------------------------------------------


@contextmanager
def database_of(server: TestServer, encoding: str) -> Iterator[str]:
    with server.fresh_database() as name, psycopg.connect(server.maintenance_url, autocommit=True) as connection:
        statement = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
        made = f"{name}_{encoding.lower()}"
        connection.execute(sql.SQL(statement).format(sql.Identifier(made), sql.Literal(encoding)))
        try:
            yield server.url(quote(made))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(made)))


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "WIN1252"])
def test_a_database_without_room_for_every_character_is_refused(postgres_server: TestServer, encoding: str) -> None:
    with database_of(postgres_server, encoding) as url:
        openings = (
            lambda: open_exchange(url),
            lambda: open_exchange(url, standby=True),
            lambda: ensure_schema(url),
            lambda: WorkTables(url).ensure_schema(),
        )
        for opening in openings:
            with pytest.raises(
                errors.SchemaError, match=f"stores text as {encoding}.*CREATE DATABASE .*ENCODING 'UTF8'"
            ):
                opening()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
def test_any_memo_is_stored_where_it_can_be(
    postgres_server: TestServer, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    with database_of(postgres_server, encoding) as url:
        assert_market_is_sound(url)


def test_commits_that_wait_for_this_server_alone_are_named_only_where_there_are_others(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`local` says nothing where no standby is asked for: a warning that is always there is read by nobody."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f'ALTER DATABASE "{owner.info.dbname}" SET synchronous_commit = local')
    with connect(database_url, "test", writer=True) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("local",), "what people chose is kept"
        assert connection.execute("SHOW synchronous_standby_names").fetchone() == ("",)
    assert [record.message for record in caplog.records if "synchronous" in record.message] == []
