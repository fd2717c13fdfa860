"""The past as it was: answers as of a row equal those that a live market gave when that row was its last.

Goal: time travel goes through recovery, so it needs no snapshot, uses those at or before the row, and passes over the
damaged. Method: a random stream whose live answers are noted at random rows, and then asked for again.
"""

import random
from collections.abc import Iterator

import psycopg
import pytest

from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.operations.accounts import wallet
from callmarket.bridge.api.operations.markets import get_order_book
from callmarket.engine.core import Engine
from callmarket.engine.events import RoundCleared
from callmarket.engine.state import State
from callmarket.persistence import queries, time_travel
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Corrupt, Diverged, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Snapshot
from callmarket.persistence.time_travel import rounds_at, state_at, statement_at
from tests.support.following import level
from tests.support.sealed import Story, batches, story
from tests.support.swarms import long_swarm

ROWS = 900
MOMENTS = 6


def live_answers(url: str, state: State) -> dict[str, object]:
    """All that can be asked, of the live state and of the tables, which end at the same row."""
    moment = Moment(state, state.seq, state.at_us)
    with connect(url, "test") as connection:
        return {
            "image": state.encode(),
            "wallets": [wallet.plan(account_id).answer(moment) for account_id in sorted(state.ledger.accounts)],
            "books": [get_order_book.plan(market_id, 1_000).answer(moment) for market_id in sorted(state.markets)],
            "rounds": queries.rounds(connection, 0, None, 1_000),
            "rounds of each": [queries.rounds(connection, 0, market_id, 3) for market_id in sorted(state.markets)],
            "statements": [
                queries.statement(connection, 0, account_id, 7) for account_id in sorted(state.ledger.accounts)
            ],
        }


def past_answers(url: str, state: State) -> dict[str, object]:
    """The same, as of a state of the past."""
    accounts = sorted(state.ledger.accounts)
    moment = Moment(state, state.seq, state.at_us)
    with connect(url, "test") as connection:
        return {
            "image": state.encode(),
            "wallets": [wallet.plan(account_id).answer(moment) for account_id in accounts],
            "books": [get_order_book.plan(market_id, 1_000).answer(moment) for market_id in sorted(state.markets)],
            "rounds": rounds_at(connection, 0, state, None, 1_000),
            "rounds of each": [rounds_at(connection, 0, state, market_id, 3) for market_id in sorted(state.markets)],
            "statements": [statement_at(connection, 0, state, account_id, 7) for account_id in accounts],
        }


@pytest.fixture
def lived(database_url: str, seed: int) -> tuple[str, Story, dict[int, dict[str, object]]]:
    """A stream that was written to its end, and what was answered at random rows on the way."""
    told = story(seed, ROWS, long_swarm)
    moments = {1, ROWS, *random.Random(seed).sample(range(2, ROWS), MOMENTS)}
    engine, answers, before = Engine(), {}, 0
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        for seq in sorted(moments):
            for batch in batches(told.rows[before:seq], seed, (10, 200)):
                journal.append(batch)
            for row in told.rows[before:seq]:
                engine.apply(row.entry)
            answers[seq] = live_answers(level(database_url), engine.state)
            before = seq
    return database_url, told, answers


@pytest.fixture
def journal(database_url: str) -> Iterator[PostgresJournal]:
    with PostgresJournal(database_url, 0, reader=True) as opened:
        yield opened


def keep_snapshots(url: str, told: Story, seqs: list[int]) -> PostgresSnapshots:
    store, engine = PostgresSnapshots(url, 0), Engine()
    for row in told.rows:
        engine.apply(row.entry)
        seq = row.entry.seq
        if seq in seqs:
            store.write(Snapshot(seq, engine.state.at_us, row.digest, engine.state.encode()))
    return store


def test_the_past_is_what_the_present_was(lived, journal: PostgresJournal, seed: int) -> None:
    """Wallets, books in order, rounds and statements, without snapshots, with them, and with damaged ones."""
    url, told, answers = lived
    for seq, answer in answers.items():
        assert past_answers(url, state_at(journal, None, seq)) == answer
    seqs = sorted(random.Random(seed).sample(range(1, ROWS + 1), 4))
    with keep_snapshots(url, told, seqs) as store:
        for damage in (None, seqs[1], seqs[3]):
            if damage is not None:
                with psycopg.connect(url) as connection:
                    connection.execute(
                        "UPDATE snapshot_chunks SET data = set_byte(data, 30, get_byte(data, 30) # 4) "
                        "WHERE snapshot_id = (SELECT snapshot_id FROM snapshots WHERE seq = %s)",
                        (damage,),
                    )
            for seq, answer in answers.items():
                assert past_answers(url, state_at(journal, store, seq)) == answer


def test_only_snapshots_before_the_row_are_used(lived, journal: PostgresJournal) -> None:
    """One of that very row is enough by itself; later ones are not even looked at."""
    from callmarket.persistence.recovery import rehearse

    url, told, _ = lived
    with keep_snapshots(url, told, [300, 500, 700]) as store:
        for seq, from_seq in ((299, 0), (300, 300), (499, 300), (501, 500), (ROWS, 700)):
            recovered, replica = rehearse(journal, store, seq)
            assert (recovered.report.from_seq, replica.rows) == (from_seq, seq - from_seq)
            assert recovered.position == (1, seq, told.rows[seq - 1].digest)
            assert recovered.report.passed_over == ()


def test_damage_before_the_row_is_found_and_damage_after_it_is_not_asked_for(lived, journal: PostgresJournal) -> None:
    url, _, answers = lived
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE journal SET actor = 'nobody' WHERE seq = 450")
    for seq, answer in answers.items():
        if seq < 450:
            assert state_at(journal, None, seq).encode() == answer["image"]
        else:
            with pytest.raises(Corrupt) as caught:
                state_at(journal, None, seq)
            assert caught.value.seq == 450


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM compute_auction_rounds WHERE (market_id, round_no) IN "
        "(SELECT market_id, round_no FROM compute_auction_rounds ORDER BY seq LIMIT 1)",
        "UPDATE compute_auction_rounds SET seq = 1 WHERE seq = (SELECT max(seq) FROM compute_auction_rounds)",
        "DELETE FROM compute_auction_rounds WHERE seq = (SELECT max(seq) FROM compute_auction_rounds)",
    ],
)
def test_rounds_that_are_not_so_are_not_shown(lived, journal: PostgresJournal, statement: str) -> None:
    """What is read from a table must end where the state of that time says."""
    url, told, _ = lived
    last = max(row.entry.seq for row in told.rows if any(isinstance(event, RoundCleared) for event in row.events))
    state = state_at(journal, None, last - 1)
    with connect(url, "test") as connection:
        rounds_at(connection, 0, state, None, 1_000)
        connection.execute(statement)
        # The last round is not of that time, so it may be missing, but it may not come into it.
        if statement.startswith("DELETE") and "max" in statement:
            rounds_at(connection, 0, state, None, 1_000)
            state = state_at(journal, None, last)
        with pytest.raises(Diverged, match="rebuild the tables"):
            rounds_at(connection, 0, state, None, 1_000)


def test_a_round_that_is_missing_is_noticed_though_there_are_enough_others(
    lived, journal: PostgresJournal, seed: int
) -> None:
    """Whoever asks for the latest few gets an older one instead, and their number is right."""
    url, told, _ = lived
    state = state_at(journal, None, told.rows[-1].entry.seq)
    market_id, market = max(state.markets.items(), key=lambda one: one[1].rounds_called)
    most = market.rounds_called - 1
    if most < 1:
        pytest.skip("a stream with hardly a call")
    with connect(url, "test") as connection:
        latest = [row.round_no for row in rounds_at(connection, 0, state, market_id, most)]
        assert latest == list(range(market.rounds_called, 1, -1))
        connection.execute(
            "DELETE FROM compute_auction_rounds WHERE shard_id = 0 AND market_id = %s AND round_no = %s",
            (market_id, random.Random(seed).choice(latest)),
        )
        with pytest.raises(Diverged, match="its rounds are not those that were called"):
            rounds_at(connection, 0, state, market_id, most)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM token_ledger WHERE id = {}",
        "UPDATE token_ledger SET amount = amount + 1 WHERE id = {}",
        "UPDATE token_ledger SET balance_after_to = balance_after_to + 1 WHERE id = {}",
    ],
)
@pytest.mark.parametrize("which", ["min", "max"])
def test_movements_that_are_not_so_are_not_shown(lived, journal: PostgresJournal, change: str, which: str) -> None:
    url, told, _ = lived
    state = state_at(journal, None, ROWS)
    account_id = told.rows[0].entry.command.account_id
    with connect(url, "test") as connection:
        assert statement_at(connection, 0, state, account_id, 10_000)
        select = f"(SELECT {which}(id) FROM token_ledger WHERE to_account = '{account_id}')"
        assert connection.execute(change.format(select)).rowcount == 1
        with pytest.raises(Diverged, match="rebuild the tables"):
            statement_at(connection, 0, state, account_id, 10_000)


def test_tables_that_lack_the_row_are_not_asked(
    lived, journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may yet come to it; what they had then would be taken for all there was."""
    url, told, _ = lived
    monkeypatch.setattr(time_travel, "_WAIT_S_MAX", 0.1)
    state, account_id = state_at(journal, None, ROWS), told.rows[0].entry.command.account_id
    with connect(url, "test") as connection:
        for mark in (ROWS, ROWS - 1):
            connection.execute("UPDATE projections SET seq = %s", (mark,))
            for ask in (
                lambda: rounds_at(connection, 0, state, None, 1_000),
                lambda: statement_at(connection, 0, state, account_id, 10),
            ):
                if mark == ROWS:
                    ask()
                else:
                    with pytest.raises(Unavailable, match=f"stand at row {ROWS - 1} and do not have row {ROWS} yet"):
                        ask()
