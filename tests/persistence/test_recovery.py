"""Recovery: the engine comes back as it was, and no damage of the journal passes unseen.

Goal: each kind of damage is planted in a real database and is named with its seq by recovery and by verify.
"""

from collections.abc import Callable

import psycopg
import pytest

from callmarket.engine import limits
from callmarket.engine.codec import GENESIS_DIGEST, seal
from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import BidCancelled, Events
from callmarket.persistence import recovery
from callmarket.persistence.errors import Corrupt, Diverged, Fenced
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Chain, Position
from callmarket.persistence.recovery import Recovered, check_end, recover
from callmarket.persistence.verify import verify
from tests.support.sealed import batches, bids, story
from tests.support.streams import bounds
from tests.support.swarms import long_swarm


def write(url: str, rows, seed: int = 0) -> None:
    with PostgresJournal(url, 0) as journal:
        journal.claim()
        for batch in batches(rows, seed):
            journal.append(batch)


def recover_from(url: str, shard_id: int = 0) -> Recovered:
    with PostgresJournal(url, shard_id) as journal:
        return recover(journal)


def damage(url: str, statement: str) -> None:
    """Change the journal behind everybody's back, as a bad disk or a determined person would."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(statement).rowcount > 0


@pytest.mark.parametrize("small", [False, True])
def test_the_engine_comes_back_as_it_was(database_url: str, seed: int, small: bool):
    overrides = {"LOSERS_PER_CALL_MAX": 2, "SWEEP_ITEMS_MAX": 3, "RECEIPTS_MAX": 5} if small else {}
    with bounds(overrides):
        told = story(seed, 1500, long_swarm)
        write(database_url, told.rows, seed)
        recovered = recover_from(database_url)
    assert recovered.engine.state.encode() == told.engine.state.encode()
    assert recovered.position == (2, len(told.rows), told.rows[-1].digest)
    assert recovered.report.rows == len(told.rows)
    assert "1,500 rows in" in str(recovered.report)


def test_recovery_after_every_prefix_is_that_prefix(seed: int):
    told = story(seed, 60)
    database = MemoryDatabase()
    writer, engine = MemoryJournal(database), Engine()
    writer.claim()
    for row in told.rows:
        writer.append([row])
        engine.apply(row.entry)
        recovered = recover(MemoryJournal(database))
        assert recovered.engine.state.encode() == engine.state.encode()
        with pytest.raises(Fenced):
            writer.append([row])
        writer.epoch = recovered.position.epoch


def test_a_new_shard_is_a_new_engine(database_url: str):
    recovered = recover_from(database_url, 7)
    assert recovered.position == (1, 0, GENESIS_DIGEST)
    assert recovered.engine.state.encode() == Engine().state.encode()


# What is done, what it is called, the seq that must be named.
DAMAGES: dict[str, tuple[str, type[Exception], int]] = {
    "command": (
        "UPDATE journal SET command = replace(command::text, 'task', 'tusk')::json WHERE seq = 50",
        Corrupt,
        50,
    ),
    "command's price": (
        "UPDATE journal SET command = regexp_replace(command::text, 'tokens\":(\\d+)', 'tokens\":1\\1')::json "
        "WHERE seq = 50",
        Corrupt,
        50,
    ),
    "command is no command": ("UPDATE journal SET command = '{}' WHERE seq = 50", Corrupt, 50),
    "events": ("UPDATE journal SET events = replace(events::text, 'task', 'tusk')::json WHERE seq = 50", Corrupt, 50),
    "spaces in the events": (
        "UPDATE journal SET events = replace(events::text, ',', ', ')::json WHERE seq = 50",
        Corrupt,
        50,
    ),
    "digest": ("UPDATE journal SET digest = set_byte(digest, 7, get_byte(digest, 7) # 1) WHERE seq = 50", Corrupt, 50),
    "at_us": ("UPDATE journal SET at_us = at_us + 1 WHERE seq = 50", Corrupt, 50),
    "actor": ("UPDATE journal SET actor = 'admin' WHERE seq = 50", Corrupt, 50),
    "command_id": ("UPDATE journal SET command_id = 'x' WHERE seq = 50", Corrupt, 50),
    "rules": ("UPDATE journal SET rules = 0 WHERE seq = 50", Corrupt, 50),
    "a row is gone": ("DELETE FROM journal WHERE seq = 50", Corrupt, 50),
    "the first row is gone": ("DELETE FROM journal WHERE seq = 1", Corrupt, 1),
    "the last row is gone": ("DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)", Corrupt, 221),
    "two rows are swapped": (
        "UPDATE journal AS one SET command = two.command, events = two.events, actor = two.actor, digest = two.digest "
        "FROM journal AS two WHERE (one.seq, two.seq) IN ((50, 51), (51, 50))",
        Corrupt,
        50,
    ),
    "the epoch falls": ("UPDATE journal SET epoch = 5 WHERE seq = 50", Corrupt, 51),
    "the last row has an epoch that nobody took": ("UPDATE journal SET epoch = 9 WHERE seq = 221", Corrupt, 221),
    "the fence is ahead": ("UPDATE engine_writer SET last_seq = 300", Corrupt, 222),
    "the fence is behind": ("UPDATE engine_writer SET last_seq = 100", Corrupt, 101),
    "the fence has another digest": ("UPDATE engine_writer SET last_digest = sha256(last_digest)", Corrupt, 221),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(database_url: str, name: str):
    statement, error, seq = DAMAGES[name]
    rows = bids(200)
    assert len(rows) == 221
    write(database_url, rows)
    damage(database_url, statement)
    report = verify(database_url, 0)
    assert not report.ok
    assert report.first_bad_seq == seq
    with pytest.raises(error) as caught:
        recover_from(database_url)
    assert caught.value.seq == seq
    assert str(seq) in str(caught.value)


@pytest.mark.parametrize("name", [name for name in DAMAGES if not name.startswith(("the fence", "the last"))])
def test_damage_is_found_in_sql_alone(database_url: str, name: str):
    statement, _, seq = DAMAGES[name]
    write(database_url, bids(200))
    query = "SELECT min(seq) FROM journal_breaks WHERE shard_id = 0"
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute(query).fetchone() == (None,)
        damage(database_url, statement)
        # SQL sees a missing row at the one that follows.
        assert connection.execute(query).fetchone() == (seq + (1 if "gone" in name else 0),)


def test_the_journal_refuses_to_be_changed_by_slip(database_url: str):
    write(database_url, bids(5))
    for statement in ("UPDATE journal SET actor = 'x'", "DELETE FROM journal", "TRUNCATE journal"):
        with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.RaiseException):
            connection.execute(statement)


def rewritten(rows, seq: int, change: Callable):
    """The same history with one row changed and all digests made right again: whole, and wrong."""
    digest, again = GENESIS_DIGEST, []
    for row in rows:
        sealed = change(digest, row) if row.entry.seq == seq else seal(digest, row.entry, row.events, row.rules)
        again.append(sealed)
        digest = sealed.digest
    return again


def test_a_row_that_is_decided_otherwise_is_named():
    rows = bids(50)
    other = rewritten(rows, 40, lambda digest, row: seal(digest, row.entry, rows[40].events))
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(other)
    with pytest.raises(Diverged, match=r"Row 40 .*decides otherwise now") as caught:
        recover(journal)
    assert caught.value.seq == 40


def test_rows_of_older_rules_are_folded_not_decided(monkeypatch: pytest.MonkeyPatch, seed: int):
    told = story(seed, 300)
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(told.rows)
    monkeypatch.setattr(recovery, "RULES", limits.RULES + 1)
    monkeypatch.setattr(Engine, "apply", None)
    recovered = recover(journal)
    assert recovered.report.rows_folded == 300
    assert recovered.engine.state.encode() == told.engine.state.encode()


def test_rows_of_newer_rules_are_refused():
    rows = bids(50)
    newer = rewritten(rows, 40, lambda digest, row: seal(digest, row.entry, row.events, limits.RULES + 1))
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(newer)
    with pytest.raises(Diverged, match="run the version that wrote it, or a newer one") as caught:
        recover(journal)
    assert caught.value.seq == 40


@pytest.mark.parametrize("rules", [limits.RULES - 1, limits.RULES])
def test_a_row_that_its_past_makes_impossible_is_named(rules: int, monkeypatch: pytest.MonkeyPatch):
    """Whether it is folded or decided again: as damage of that row, which a snapshot may help to pass over."""
    rows = bids(50)
    impossible = (BidCancelled(999, "agent0", 1),)
    other = rewritten(rows, 40, lambda digest, row: seal(digest, row.entry, impossible, rules))
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(other)
    if rules == limits.RULES:
        apply = Engine.apply

        def broken(engine: Engine, entry: Entry) -> Events:
            assert entry.seq != 40, "an invariant"
            return apply(engine, entry)

        monkeypatch.setattr(Engine, "apply", broken)
    with pytest.raises(
        Diverged, match=r"Row 40 breaks an invariant of the engine: (KeyError|AssertionError)"
    ) as caught:
        recover(journal)
    assert caught.value.seq == 40


class ClaimedMeanwhile(MemoryJournal):
    """While it is read to its end, another becomes its writer, and has written nothing yet."""

    def scan(self, after_seq=0):
        yield from super().scan(after_seq)
        MemoryJournal(self.database).claim()


def test_a_recovery_does_not_lead_if_another_claims_meanwhile():
    database, rows = MemoryDatabase(), bids(30)
    writer = MemoryJournal(database)
    writer.claim()
    writer.append(rows)
    with pytest.raises(Fenced, match="claimed with epoch 3 while epoch 2 recovered"):
        recover(ClaimedMeanwhile(database))


def test_a_state_whose_index_leads_nowhere_is_named_as_diverged():
    """Not a bare KeyError, which no caller would take for a damaged snapshot and pass over."""
    told = story(1, 300, long_swarm)
    engine = told.engine
    del engine.state.bids[next(iter(engine.state.bids))]
    last = told.rows[-1]
    chain = Chain(last.entry.seq, last.digest)
    with pytest.raises(Diverged, match="breaks an invariant: KeyError"):
        check_end(engine, chain, Position(1, last.entry.seq, last.digest))
