"""What a role is told that lacks a right: which one, whose it is, and the statement that grants it, word for word.

Goal: what is named can be pasted, and is enough. Method: roles of the server without the right, in a schema whose name
has to be quoted.
"""

from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import ensure_schema, pending
from callmarket.persistence.database.rights import making_tables
from callmarket.persistence.errors import AccessDenied, ReadOnly
from tests.support.roles import role_on

SCHEMA = "My own"
QUOTED = '"My own"'


@pytest.fixture
def url(empty_database_url: str) -> str:
    """Tables in a schema of an odd name, and what leads there."""
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        owner.execute(f"CREATE SCHEMA {QUOTED}")
        owner.execute(f"SET search_path = {QUOTED}")
        ensure_schema(owner)
    return empty_database_url


def led_there(url: str) -> str:
    return make_conninfo(url, options=r'-c search_path="My\ own"')


def name_of(url: str) -> str:
    return str(urlsplit(url).username)


@pytest.mark.parametrize("ask", [ensure_schema, pending])
@pytest.mark.parametrize(("read_only", "rights"), [(True, "SELECT"), (False, "SELECT, INSERT, UPDATE, DELETE")])
def test_a_schema_that_may_not_be_entered(url: str, ask, read_only: bool, rights: str) -> None:
    """Its tables look as if there were none, and nobody may be told to make them."""
    with role_on(url) as role_url, connect(led_there(role_url), "test", read_only=read_only) as connection:
        role = name_of(role_url)
        with pytest.raises(AccessDenied) as caught:
            ask(connection)
        grants = [
            f'GRANT USAGE ON SCHEMA {QUOTED} TO "{role}"',
            f'GRANT {rights} ON ALL TABLES IN SCHEMA {QUOTED} TO "{role}"',
        ]
        assert str(caught.value) == (
            f"The database's role {role!r} may not use the schema {SCHEMA!r}, in which the tables are. "
            f"Their owner or a superuser grants it: {'; '.join(grants)}"
        )
        with psycopg.connect(url, autocommit=True) as owner:
            for grant in grants:
                owner.execute(grant)
        assert ask(connection) == []


def test_a_table_that_may_not_be_read(url: str) -> None:
    grant = f"USAGE ON SCHEMA {QUOTED}"
    with role_on(url, grant) as role_url, connect(led_there(role_url), "test") as connection:
        role = name_of(role_url)
        with pytest.raises(
            AccessDenied, match=rf"role '{role}' lacks a right: permission denied for table journal\."
        ) as caught:
            connection.execute("SELECT * FROM journal")
        assert f'ON ALL TABLES IN SCHEMA {QUOTED} TO "{role}"' in str(caught.value)
        assert not isinstance(caught.value, ReadOnly)


def test_tables_that_may_not_be_made(empty_database_url: str) -> None:
    with role_on(empty_database_url) as role_url, connect(role_url, "test") as connection:
        role = name_of(role_url)
        with pytest.raises(AccessDenied) as caught:
            ensure_schema(connection)
        assert str(caught.value) == (
            f"The database's role {role!r} lacks a right: permission denied for schema public, so the tables cannot be "
            "brought up to date. Let the role that owns them run `callmarket migrate`, or, where there are none, its "
            f'owner or a superuser grant: GRANT USAGE, CREATE ON SCHEMA "public" TO "{role}"'
        )


def test_a_search_path_that_leads_nowhere(empty_database_url: str) -> None:
    """There is no schema to make tables in: what is missing is the same as for want of a right."""
    nowhere = make_conninfo(empty_database_url, options="-c search_path=nowhere")
    with connect(nowhere, "test") as connection, pytest.raises(AccessDenied) as caught:
        ensure_schema(connection)
    assert 'GRANT USAGE, CREATE ON SCHEMA "nowhere" TO "postgres"' in str(caught.value)


def test_other_errors_within_are_left_as_they_are(empty_database_url: str) -> None:
    with (
        connect(empty_database_url, "test") as connection,
        pytest.raises(psycopg.errors.DivisionByZero),
        making_tables(connection),
    ):
        connection.execute("SELECT 1 / 0")


def test_a_database_that_may_not_be_connected_to(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        database = owner.info.dbname
        owner.execute(f'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC')
        with role_on(url) as role_url:
            role = name_of(role_url)
            with pytest.raises(AccessDenied) as caught:
                connect(role_url, "test")
            assert str(caught.value).endswith(f'GRANT CONNECT ON DATABASE "{database}" TO "{role}"')
            assert f"role {role!r} lacks a right: permission denied for database" in str(caught.value)


def test_a_session_that_only_reads(url: str) -> None:
    with role_on(url, settings="default_transaction_read_only = on") as role_url:
        with pytest.raises(
            ReadOnly, match=r"default_transaction_read_only is on.* name a database, or a role, that may"
        ):
            connect(role_url, "test", writer=True)
        with (
            connect(url, "test", read_only=True) as connection,
            pytest.raises(ReadOnly, match="lets this session only read"),
        ):
            connection.execute("CREATE TABLE own ()")
