"""The table of keys: what it keeps, what it refuses, who may see it, and how a change of it is noticed.

A real PostgreSQL; rows as the bridge makes them, and rows as somebody might write them by hand.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import AccessDenied
from callmarket.persistence.stores import api_keys
from callmarket.persistence.stores.api_keys import KeyRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW = KeyRow(
    key_id="abcdefABC123",
    secret_sha256=bytes(range(32)),
    name="lab",
    scopes=["read", "bid"],
    accounts=["alpha", 'be"{},\\ta'],
    providers=[],
    rate_per_s=10,
    burst=20,
    created_at=NOW,
    created_by="a test",
    expires_at=NOW + timedelta(days=1),
)


def row(number: int, **changes: object) -> KeyRow:
    return replace(ROW, key_id=f"key{number:09}", **changes)


def add(connection: psycopg.Connection, *rows: KeyRow, shard_id: int = 0) -> list[bool]:
    with api_keys.changing(connection, shard_id):
        return [api_keys.add(connection, shard_id, one) for one in rows]


@pytest.fixture
def connection(database_url: str):
    with connect(database_url, "test") as found:
        yield found


def test_a_row_comes_back_as_it_was(connection) -> None:
    assert add(connection, ROW) == [True]
    assert api_keys.working(connection, 0, NOW) == [ROW]
    assert api_keys.latest(connection, 0, 10) == [replace(ROW, secret_sha256=b"")]
    assert api_keys.working(connection, 1, NOW) == [], "another shard's keys are another's"


def test_an_expired_or_revoked_key_does_not_work(connection) -> None:
    add(connection, row(1, expires_at=NOW), row(2), row(3, expires_at=None))
    revoked = api_keys.revoke(connection, 0, row(2).key_id)
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert [one.key_id for one in api_keys.working(connection, 0, NOW)] == [row(3).key_id]
    assert len(api_keys.latest(connection, 0, 10)) == 3
    assert len(api_keys.latest(connection, 0, 2)) == 2
    again = api_keys.revoke(connection, 0, row(2).key_id)
    assert again == revoked, "the first time counts"
    assert api_keys.revoke(connection, 1, row(3).key_id) is None
    assert api_keys.revoke(connection, 0, "none") is None


def test_no_more_keys_work_than_are_read(connection, monkeypatch) -> None:
    """Those that work no longer take no room."""
    monkeypatch.setattr(api_keys, "KEYS_MAX", 2)
    assert add(connection, row(1, expires_at=NOW), row(2), row(3), row(4)) == [True, True, True, False]
    assert add(connection, row(4), shard_id=1) == [True]
    api_keys.revoke(connection, 0, row(2).key_id)
    assert add(connection, row(5)) == [True]
    assert [one.key_id for one in api_keys.working(connection, 0, NOW)] == [row(3).key_id, row(5).key_id]


CHANGES = [
    "INSERT INTO api_keys SELECT shard_id, 'byhand000000', secret_sha256, name, scopes, accounts, providers, "
    "rate_per_s, burst, created_at, created_by, expires_at, revoked_at FROM api_keys",
    "UPDATE api_keys SET revoked_at = now()",
    "DELETE FROM api_keys",
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_the_keys_is_counted(connection, change: str) -> None:
    """Also one by hand: servers look at this number alone."""
    assert api_keys.version(connection, 0) == 0
    add(connection, ROW)
    before = api_keys.version(connection, 0)
    assert before > 0
    connection.execute(change)
    assert api_keys.version(connection, 0) > before
    assert api_keys.version(connection, 1) == 0


def test_truncate_would_not_be_noticed_and_is_refused(connection) -> None:
    add(connection, ROW)
    with pytest.raises(psycopg.errors.RaiseException, match="cannot be truncated"):
        connection.execute("TRUNCATE api_keys")


WRONG = {
    "key_id": "short",
    "secret_sha256": b"a secret, perhaps",
    "name": "",
    "scopes": ["read", "everything"],
    "accounts": ["admin"],
    "providers": ["operator"],
    "rate_per_s": 0,
    "burst": 0,
}


@pytest.mark.parametrize(("column", "value"), WRONG.items(), ids=WRONG)
def test_the_database_refuses_what_would_be_more_than_it_seems(connection, column: str, value: object) -> None:
    """An account named as the engine's staff above all: its key would be staff."""
    with pytest.raises(psycopg.errors.CheckViolation):
        add(connection, replace(ROW, **{"scopes": ["read", "bid", "offer"], "providers": ["p"], column: value}))


@pytest.mark.parametrize("name", ["operator", "issuance", "treasury"])
def test_no_key_bids_under_a_name_of_the_engine(connection, name: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        add(connection, replace(ROW, accounts=["alpha", name]))


def test_scopes_and_accounts_belong_together(connection) -> None:
    for wrong in (replace(ROW, accounts=[]), replace(ROW, scopes=["read"]), replace(ROW, providers=["p"])):
        with pytest.raises(psycopg.errors.CheckViolation):
            add(connection, wrong)


def test_the_reader_role_sees_all_of_the_keys_but_their_digests(database_url: str, connection) -> None:
    add(connection, ROW)
    columns = [
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'api_keys'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    ]
    connection.execute("SET ROLE callmarket_reader")
    for column in columns:
        query = sql.SQL("SELECT {} FROM api_keys").format(sql.Identifier(column))
        if column == "secret_sha256":
            with pytest.raises(AccessDenied, match="permission denied for table api_keys"):
                connection.execute(query)
        else:
            assert len(connection.execute(query).fetchall()) == 1, column
    assert connection.execute("SELECT count(*) FROM api_key_versions").fetchone() == (1,)
    assert [row.key_id for row in api_keys.latest(connection, 0, 10)] == [ROW.key_id], "people need no digest"
    with pytest.raises(AccessDenied, match="permission denied for table api_keys"):
        connection.execute("UPDATE api_keys SET name = 'mine'")


def test_changes_wait_for_each_other(database_url: str, connection) -> None:
    """Two that first look and then add do not both see nothing."""
    with (
        connect(database_url, "test other") as other,
        api_keys.changing(connection, 0),
    ):
        other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable), api_keys.changing(other, 0):
            pass
        with api_keys.changing(other, 1):
            pass
    with api_keys.changing(connection, 0):
        pass


def test_a_row_that_is_printed_shows_no_digest() -> None:
    assert "secret" not in repr(ROW)
    assert repr(ROW.secret_sha256) not in repr(ROW)


def test_changes_of_keys_exclude_each_other(database_url: str) -> None:
    """Of one shard: else two that add the last keys that fit would both find room."""
    with connect(database_url, "one") as one, connect(database_url, "two") as two:
        with api_keys.changing(one, 0):
            pass
        two.execute("SET lock_timeout = '50ms'")
        with api_keys.changing(one, 0):
            with pytest.raises(psycopg.errors.LockNotAvailable), api_keys.changing(two, 0):
                raise AssertionError("both change them")
            with api_keys.changing(two, 1):
                pass
        with api_keys.changing(two, 0):
            pass


def test_keys_are_found_by_what_a_person_may_say_of_them(connection) -> None:
    """An id before all, then those that still work, the newest first; too short a beginning means a name only."""
    add(
        connection,
        row(1, name="lab", created_at=NOW),
        row(2, name="lab", created_at=NOW + timedelta(hours=1)),
        row(3, name="lab", created_at=NOW + timedelta(hours=2)),
        row(4, name=row(1).key_id, created_at=NOW + timedelta(hours=3)),
        row(5, name="key", created_at=NOW + timedelta(hours=3)),
    )
    add(connection, row(6, name="lab"), shard_id=1)
    api_keys.revoke(connection, 0, row(3).key_id)

    def found(text: str, rows_max: int = 10, shard_id: int = 0) -> list[int]:
        return [int(one.key_id[3:]) for one in api_keys.matching(connection, shard_id, text, rows_max)]

    assert found("lab") == [2, 1, 3]
    assert found("lab", 2) == [2, 1]
    assert found("lab", shard_id=1) == [6]
    assert found("la") == []
    assert found("key") == [5], "a beginning of three characters is none"
    assert found("key0") == [4, 5, 2, 1, 3]
    assert found(row(1).key_id) == [1, 4], "the id itself before a name like it"
    assert found("ey00") == []
    assert found("key0%") == []
    assert [one.key_id for one in api_keys.latest(connection, 0, 3)] == [row(n).key_id for n in (4, 5, 3)]
    assert [one.key_id for one in api_keys.latest(connection, 1, 3)] == [row(6).key_id]
    assert [one.key_id for one in api_keys.working(connection, 0, NOW)] == [row(n).key_id for n in (1, 2, 4, 5)]
