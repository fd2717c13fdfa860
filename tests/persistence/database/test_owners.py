"""Tables by owner: of journals in which an id was enough, and of new ones in which ids collide.

Goal: after an upgrade the tables are right as they are, whole or made again, and the market goes on; nothing else is
missed for it. Method: golden journals of older rules in a real PostgreSQL, brought to what older programs left.
"""

from collections.abc import Iterable, Sequence

import psycopg
import pytest

from callmarket.engine.codec import SealedRow, seal
from callmarket.engine.commands import ADMIN, OPERATOR, Command, Entry, OfferSlot, OpenAccount, OpenMarket, WithdrawSlot
from callmarket.engine.core import Engine
from callmarket.engine.events import SlotWithdrawn
from callmarket.persistence.database import migrate
from callmarket.persistence.database.migrate import ensure_schema, load
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import recover
from callmarket.persistence.tables.rebuild import rebuild
from callmarket.persistence.tables.rows import LiveSlotChange
from callmarket.persistence.verify import verify
from tests.support.following import level
from tests.support.golden import golden_journal, journal_of
from tests.support.sealed import batches, changes_of

OLDER_RULES = [1, 2]

# What an offer did under older rules: the row of the id was its own from then on.
REPLACED = """DELETE FROM compute_auction_slots AS one USING compute_auction_slots AS later
    WHERE later.shard_id = one.shard_id AND later.slot_id = one.slot_id AND later.offer_seq > one.offer_seq"""


def sealed(rules: int) -> list[SealedRow]:
    return list(journal_of(golden_journal(rules)).read())


def write(url: str, rows: Sequence[SealedRow], seed: int) -> None:
    with PostgresJournal(url, 0) as journal:
        journal.claim()
        append(journal, url, batches(list(rows), seed))


def append(journal: PostgresJournal, url: str, batched: Iterable[Sequence[SealedRow]]) -> None:
    """Bring the tables along batch by batch: what a batch has is folded before it is written."""
    for batch in batched:
        journal.append(batch)
        level(url)


def statuses(connection: psycopg.Connection) -> list[tuple[str, str, str]]:
    query = "SELECT slot_id, provider_id, status FROM compute_auction_slots ORDER BY 1, 2"
    return [(slot, provider, status) for slot, provider, status in connection.execute(query)]


def test_tables_that_older_programs_left_are_right(database_url: str, seed: int) -> None:
    """SLT-1: a row that another provider's offer has replaced is not missed, any other is; a rebuild makes all."""
    write(database_url, sealed(2), seed)
    with psycopg.connect(database_url, autocommit=True) as connection:
        whole = statuses(connection)
        assert connection.execute(REPLACED).rowcount > 0, "the journal has such offers"
        report = verify(database_url, 0)
        assert report.ok, report
        left = statuses(connection)
        connection.execute("DELETE FROM compute_auction_slots WHERE slot_id = %s", (left[0][0],))
        report = verify(database_url, 0)
        assert [line for line in report.differences if f"{left[0][0]} {left[0][1]}: the row is missing" in line]
        assert len(report.differences) == 1
        with PostgresJournal(database_url, 0) as journal:
            rebuild(database_url, 0, journal)
        assert statuses(connection) == whole
    report = verify(database_url, 0)
    assert report.ok, report


@pytest.mark.parametrize("rules", OLDER_RULES)
def test_the_market_goes_on_where_ids_were_shared(database_url: str, rules: int, seed: int) -> None:
    """SLT-1: every id of then is offered by everybody, and withdrawn again, and the tables follow."""
    write(database_url, sealed(rules), seed)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(REPLACED)
    with PostgresJournal(database_url, 0) as journal:
        recovered = recover(journal)
        engine, digest, rows = recovered.engine, recovered.position.last_digest, list[SealedRow]()
        slot_ids = sorted({slot_id for _, slot_id in engine.state.slots})
        providers = sorted(set(engine.state.ledger.accounts) - {"issuance"})[:4]
        asked: list[tuple[str, Command]] = [(ADMIN, OpenMarket("after")), (ADMIN, OpenAccount("newcomer", "provider"))]
        for provider_id in (*providers, "newcomer"):
            asked += [(OPERATOR, OfferSlot("after", slot_id, 0, 0, provider_id)) for slot_id in slot_ids]
            asked += [(OPERATOR, WithdrawSlot(slot_id, provider_id)) for slot_id in slot_ids[::2]]
        for actor, command in asked:
            entry = Entry(engine.state.seq + 1, engine.state.at_us, actor, command)
            rows.append(seal(digest, entry, engine.apply(entry)))
            digest = rows[-1].digest
        append(journal, database_url, batches(rows, seed))
    report = verify(database_url, 0)
    assert report.ok, report
    withdrawn = sum(isinstance(event, SlotWithdrawn) for row in rows for event in row.events)
    assert withdrawn >= len(slot_ids[::2])


def test_the_end_of_a_slot_of_older_rules_finds_the_one_that_lives(database_url: str) -> None:
    """SLT-1: the row names no provider, and the batch before has offered it; one of the id that had ended stays."""
    engine, digest, rows = Engine(), None, list[SealedRow]()
    for actor, command in (
        (ADMIN, OpenMarket("m")),
        (ADMIN, OpenAccount("p", "provider")),
        (OPERATOR, OfferSlot("m", "s", 0, 0, "p")),
        (OPERATOR, WithdrawSlot("s", "p")),
        (OPERATOR, OfferSlot("m", "s", 0, 0)),
        (OPERATOR, WithdrawSlot("s")),
        (OPERATOR, OfferSlot("m", "s", 0, 0, "p")),
    ):
        entry = Entry(engine.state.seq + 1, 0, actor, command)
        events = engine.apply(entry)
        if isinstance(events[0], SlotWithdrawn):
            events = (SlotWithdrawn("s", "m"),)
        rows.append(seal(bytes(32) if digest is None else digest, entry, events, 2))
        digest = rows[-1].digest
    # Apart, the row of the end knows nobody; together, the offer before it says who.
    assert changes_of(rows[5:6]).slots.live_changed == [LiveSlotChange("s", "withdrawn", 6)]
    assert not changes_of(rows[4:6]).slots.live_changed
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        append(journal, database_url, (rows[:5], rows[5:]))
    with psycopg.connect(database_url) as connection:
        assert statuses(connection) == [("s", "p", "offered"), ("s", "treasury", "withdrawn")]
    report = verify(database_url, 0)
    assert report.ok, report


def test_the_migration_keeps_what_is_there(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """0019 on a database in use: rows stay, and an id is free for everybody else."""
    known = load()
    slot = """INSERT INTO compute_auction_slots (shard_id, slot_id, market_id, provider_id, available_at,
            reserve_price_tokens, lease_us, offer_seq, status, seq)
        VALUES (0, 's', 'm', %s, now(), 0, 1, 1, 'offered', 1)"""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        with monkeypatch.context() as before:
            before.setattr(migrate, "load", lambda: known[:18])
            ensure_schema(connection)
        connection.execute(slot, ("p",))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(slot, ("q",))
        assert ensure_schema(connection)[0] == "0019_owners.sql"
        connection.execute(slot, ("q",))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(slot, ("p",))
        assert statuses(connection) == [("s", "p", "offered"), ("s", "q", "offered")]
