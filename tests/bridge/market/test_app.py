"""Opening the market: whose database it is, who writes it, and everything that is a reason not to open it."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from callmarket import Exchange, Invalid, ManualClock, Unavailable, UnknownOutcome, open_exchange
from callmarket.bridge.market import app
from callmarket.persistence.errors import Corrupt, PersistenceError
from callmarket.persistence.leadership.register import Leader
from tests.support.client_log import read_rows
from tests.support.databases import temporary_home
from tests.support.small_market import furnish, last_seq, until

ROOT = Path(__file__).resolve().parents[3]


def test_a_second_writer_is_refused_with_the_name_of_the_first(market: Exchange, database_url: str) -> None:
    """Even while the first has written nothing yet; and it is not disturbed."""
    for _ in range(2):
        with pytest.raises(Unavailable, match="shard 0 is led by process") as caught:
            open_exchange(database_url)
        assert f"(process {os.getpid()} on {os.uname().nodename}, epoch 1, lease renewed 0." in str(caught.value)
        assert "close that one first, or stand by" in str(caught.value)
        assert market.open_account(f"a{last_seq(market)}").durable


def test_closed_exchange_makes_way(database_url: str) -> None:
    for number in range(3):
        with open_exchange(database_url) as market:
            assert market.open_account(f"a{number}").seq == number + 1


@pytest.mark.parametrize("led_before", [False, True])
def test_of_two_that_open_at_once_the_first_is_not_pushed_aside(
    database_url: str, monkeypatch: pytest.MonkeyPatch, led_before: bool
) -> None:
    """Both have looked, and nobody led: on a new shard, or after one that has ended."""
    if led_before:
        open_exchange(database_url).close()
    look, opened = app.living_leader, list[Exchange]()

    def look_slowly(connection: psycopg.Connection, shard_id: int) -> Leader | None:
        found = look(connection, shard_id)
        if not opened:
            monkeypatch.setattr(app, "living_leader", look)
            opened.append(open_exchange(database_url))
        return found

    monkeypatch.setattr(app, "living_leader", look_slowly)
    with pytest.raises(Unavailable, match="is led by another, who has begun at this moment"):
        open_exchange(database_url)
    with opened[0] as first:
        assert first.open_account("a").durable
        assert first.role == "leader"


def test_takeover_fences_the_first_writer(database_url: str, clock: ManualClock) -> None:
    """The first one's next write fails with who is to blame, and nothing of it is recorded."""
    first = open_exchange(database_url, clock=clock)
    furnish(first, "a")
    image = first.image()
    with open_exchange(database_url, clock=clock, takeover=True) as second:
        assert second.image() == image
        # On a busy machine the first one's heartbeat may hear of it before this write does.
        with pytest.raises((UnknownOutcome, Unavailable), match="another writer has taken over"):
            first.mint("a", 5, "grant:any", command_id="mine")
        for _ in range(2):
            with pytest.raises(Unavailable, match="another writer has taken over"):
                first.mint("a", 5, "grant:any", command_id="mine")
        assert second.mint("a", 7, "grant:any", command_id="mine").to_balance_tokens == 1_007
        with pytest.raises(Unavailable, match="another writer has taken over"):
            first.close()
        assert second.open_account("b").seq == 5
        assert second.verify().ok
    assert len(read_rows(database_url)) == 5


def test_error_inside_the_block_is_not_replaced_by_one_of_closing(database_url: str) -> None:
    """Else an unknown outcome would look like `Unavailable`, which says that nothing happened."""

    def lose_the_shard() -> None:
        with open_exchange(database_url) as first:
            open_exchange(database_url, takeover=True).close()
            # So that closing fails, whether its heart or a command has heard of it.
            until(lambda: first.role == "ended")
            raise UnknownOutcome("lost on the way", range(1, 2))

    with pytest.raises(UnknownOutcome, match="lost on the way"):
        lose_the_shard()


def test_an_error_of_closing_is_raised_where_nothing_else_is(database_url: str) -> None:
    """Else whoever leaves the block in order would take for written what was not."""

    def lose_the_shard() -> None:
        with open_exchange(database_url) as first:
            open_exchange(database_url, takeover=True).close()
            until(lambda: first.role == "ended")

    with pytest.raises(Unavailable, match="another writer has taken over"):
        lose_the_shard()


def test_shards_of_one_database_know_nothing_of_each_other(database_url: str) -> None:
    with open_exchange(database_url) as zero, open_exchange(database_url, shard_id=7) as seven:
        furnish(zero, "a")
        assert seven.open_account("a").seq == 1
        assert (zero.wallet("a").balance_tokens, seven.wallet("a").balance_tokens) == (1_000, 0)
        assert zero.verify().ok
        assert seven.verify().ok


def test_shard_and_url_come_from_the_environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLMARKET_DATABASE_URL", database_url)
    monkeypatch.setenv("CALLMARKET_SHARD_ID", "3")
    with open_exchange() as market:
        market.open_account("a")
    assert len(read_rows(database_url, 3)) == 1
    with open_exchange(shard_id=4) as market:
        assert market.recovery.rows == 0, "what the caller says comes before the environment"


def test_empty_database_gets_its_tables(empty_database_url: str) -> None:
    with open_exchange(empty_database_url) as market:
        furnish(market, "a")
        assert market.recovery.rows == 0
    with open_exchange(empty_database_url) as market:
        assert market.recovery.rows == 3
        assert str(market.recovery).startswith("3 rows in ")


def test_a_home_that_is_named_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one of the settings, which is left as it is."""
    with temporary_home() as home, temporary_home() as other:
        monkeypatch.setenv("CALLMARKET_HOME", str(other))
        assert app.ensure_schema(home=home)
        assert app.ensure_schema(home=home) == []
        with open_exchange(home=home) as market:
            assert market.open_account("a").seq == 1
        assert home.exists()
        assert not other.exists()


def test_a_missing_database_is_unavailable(postgres_server: object) -> None:
    with pytest.raises(Unavailable, match="No connection to the database"):
        open_exchange("postgresql://me:secret@127.0.0.1:1/market")


@pytest.mark.parametrize("url", ["nonsense", "postgres//me:secret@here/market", "postgresql://[::1/market", "a=b"])
def test_url_that_is_none_is_invalid_and_not_shown(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(Invalid, match="database_url: expected a URL") as caught:
        open_exchange(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("options", [{"shard_id": -1}, {"shard_id": 2**31}, {"shard_id": "0"}, {"ack": "durabel"}])
def test_wrong_option_is_invalid_before_anything_is_opened(options: dict[str, object], database_url: str) -> None:
    """A mistyped "durable" above all must not mean less than it says."""
    with pytest.raises(Invalid) as caught:
        open_exchange(database_url, **options)  # type: ignore[arg-type]
    assert {caught.value.field: caught.value.value} == options
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM engine_writer").fetchone() == (0,)


def test_wrong_setting_is_invalid(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLMARKET_SHARD", "1")
    with pytest.raises(Invalid, match="CALLMARKET_SHARD_ID"):
        open_exchange(database_url)


def test_damaged_history_is_not_opened(database_url: str) -> None:
    """It is said which row, and nobody can write on top of it."""
    with open_exchange(database_url) as market:
        furnish(market, "a", "b")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # past the trigger that forbids it
        connection.execute("UPDATE journal SET actor = 'operator' WHERE seq = 3")
        for _ in range(2):
            with pytest.raises(Corrupt, match="Row 3") as caught:
                open_exchange(database_url)
            assert caught.value.seq == 3
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (5,)
        connection.execute("UPDATE journal SET actor = 'admin' WHERE seq = 3")
    with open_exchange(database_url) as market:
        assert market.open_account("c").seq == 6


def test_newer_schema_is_not_opened(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('9999_future.sql', '', now())")
    with pytest.raises(PersistenceError, match="newer than this version"):
        open_exchange(database_url)


@pytest.mark.parametrize(
    "arguments", [["-c", "from callmarket import open_exchange; open_exchange('x')"], ["-m", "callmarket", "verify"]]
)
def test_the_exchange_refuses_to_run_without_assertions(arguments: list[str]) -> None:
    """They are how a broken invariant stops the process."""
    ran = subprocess.run(
        [sys.executable, "-O", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode != 0
    assert "python -O removes the assertions that guard the tokens" in ran.stderr


@pytest.mark.parametrize("objection", ["", "its clock is wrong"])
def test_the_clock_is_read_before_the_database_is_asked_for_its_own(
    monkeypatch: pytest.MonkeyPatch, objection: str
) -> None:
    """So the time that the question takes counts against a clock that is behind, and for none that is ahead."""
    done: list[object] = []

    class Keeper:
        def asking(self) -> int:
            done.append("read")
            return 17

        def objection(self, asked_us: int, view: object) -> str:
            done.append((asked_us, view))
            return objection

    def look(*_: object) -> str:
        done.append("asked")
        return "what it said"

    monkeypatch.setattr(app.market_time, "look", look)
    insist = lambda: app._insist_on_the_time(Keeper(), None, 3)  # type: ignore[arg-type]  # noqa: E731
    if objection:
        with pytest.raises(PersistenceError, match="shard 3: its clock is wrong"):
            insist()
    else:
        insist()
    assert done == ["read", "asked", (17, "what it said")]
