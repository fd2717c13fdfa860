"""`callmarket keys`, as a person or a program uses it: real processes, and a server's keyring that hears of it."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.principal import Principal, Scope
from callmarket.bridge.api.errors import Unauthorized
from tests.bridge.cli.test_commands import as_json, assert_helps, complaint, run, run_all
from tests.support.small_market import until

KEY = re.compile(r"cmk_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}")
EVERYTHING = ("--bid", "alpha", "--bid", "beta", "--offer", "prov", "--operate", "--admin", "--expires", "30d")


@pytest.fixture
def server(database_url: str) -> Iterator[Keyring]:
    with Keyring(database_url, 0) as found:
        yield found


def whose(server: Keyring, key: str) -> Principal | None:
    try:
        return server.authenticate(key.encode())
    except Unauthorized:
        return None


def test_a_key_is_made_listed_and_revoked(server: Keyring, database_url: str) -> None:
    made = as_json("keys", "create", "--name", "lab", *EVERYTHING, "--rate", "7", "--burst", "9", url=database_url)
    key, view = made["key"], made["view"]
    assert KEY.fullmatch(key)
    until(lambda: whose(server, key) is not None)
    principal = whose(server, key)
    assert principal is not None
    assert principal.scopes == set(Scope)
    assert (principal.accounts, principal.providers) == ({"alpha", "beta"}, {"prov"})
    assert (principal.rate_per_s, principal.burst) == (7, 9)
    assert view["created_by"].startswith("command line, process")
    assert as_json("keys", "list", url=database_url) == {"keys": [view]}
    revoked = as_json("keys", "revoke", view["key_id"], url=database_url)
    assert (revoked["works"], revoked["key_id"]) == (False, view["key_id"])
    until(lambda: whose(server, key) is None)
    assert as_json("keys", "list", "--rows", "1", url=database_url)["keys"] == [revoked]


def test_a_new_key_is_printed_once(database_url: str) -> None:
    """On a line of its own, however narrow the terminal; later lists show all but the secret."""
    ran = run("keys", "create", "--name", "[bold]lab", "--bid", "*", url=database_url, COLUMNS="40")
    assert (ran.returncode, ran.stderr) == (0, "")
    key = ran.stdout.splitlines()[0]
    assert KEY.fullmatch(key)
    assert ran.stdout.count(key) == 1
    run("keys", "revoke", key[4:16], url=database_url)
    listed = run("keys", "list", url=database_url, COLUMNS="200")
    for word in (key[4:16], "[bold]lab", "bid: *", "never", "no: revoked"):
        assert word in listed.stdout, word
    with psycopg.connect(database_url) as connection:
        dump = str(connection.execute("SELECT api_keys::text FROM api_keys").fetchall())
    for text in (listed.stdout, dump):
        assert key[17:] not in text


def test_invalid_arguments_are_exit_code_2(database_url: str) -> None:
    asked = {
        "name": ["--name", "two\nlines"],
        "bid": ["--name", "x", "--bid", "admin"],
        "offer": ["--name", "x", "--offer", "two words"],
        "expires": ["--name", "x", "--expires", "tomorrow"],
        "expires_at": ["--name", "x", "--expires", "0d"],
        "rate_per_s": ["--name", "x", "--rate", "0"],
    }
    ran = run_all([["keys", "create", *arguments] for arguments in asked.values()], url=database_url)
    for field, one in zip(asked, ran, strict=True):
        said = complaint(one, 2)
        assert f"callmarket: {field}: expected" in said
        assert "regex" not in said, "in words, not as the pattern that it is checked by"
    assert as_json("keys", "list", url=database_url) == {"keys": []}


def test_an_unknown_key_is_exit_code_1(database_url: str) -> None:
    assert "no key" in complaint(run("keys", "revoke", "0" * 12, url=database_url), 1)


def test_a_key_is_revoked_by_its_name_or_the_beginning_of_its_id(database_url: str) -> None:
    """One that is meant, and no other; what fits several says which, and what fits none does not repeat it."""

    def create(name: str) -> str:
        return str(as_json("keys", "create", "--name", name, url=database_url)["view"]["key_id"])

    def revoked() -> set[str]:
        return {one["key_id"] for one in as_json("keys", "list", url=database_url)["keys"] if not one["works"]}

    lab, old, new, other = create("lab [1]"), create("twice"), create("twice"), create("other")
    assert as_json("keys", "revoke", "lab [1]", url=database_url)["key_id"] == lab
    said = complaint(run("keys", "revoke", "twice", url=database_url), 2)
    assert old in said
    assert new in said
    assert revoked() == {lab}
    assert as_json("keys", "revoke", old[:8], url=database_url)["key_id"] == old
    assert as_json("keys", "revoke", "twice", url=database_url)["key_id"] == new, "the one that works is meant"
    assert as_json("keys", "revoke", old, url=database_url)["key_id"] == old, "again: nothing changes"
    for none in (other[:3], "twic", other[1:8], "%", "_" * 12, ""):
        said = complaint(run("keys", "revoke", none, url=database_url), 1)
        assert "no key has this id or name" in said
    assert revoked() == {lab, old, new}
    same = create(other)
    assert as_json("keys", "revoke", other, url=database_url)["key_id"] == other, "an id comes before a name"
    assert revoked() == {lab, old, new, other}
    assert same not in revoked()


def test_an_error_does_not_repeat_a_whole_key(database_url: str) -> None:
    key = as_json("keys", "create", "--name", "x", url=database_url)["key"]
    assert key[17:] not in complaint(run("keys", "revoke", key, url=database_url), 1)


def test_a_database_without_a_market_is_exit_code_3(empty_database_url: str) -> None:
    for ran in run_all([["keys", "list"], ["keys", "create", "--name", "x"]], url=empty_database_url):
        assert "callmarket migrate" in complaint(ran, 3)


def test_the_help_of_each_keys_command_has_an_example() -> None:
    for command in ("create", "list", "revoke"):
        assert_helps("keys", command)
    shown = run()
    assert "keys" in shown.stdout + shown.stderr
