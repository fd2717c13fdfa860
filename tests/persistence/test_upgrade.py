"""What earlier versions wrote, and what later ones might have written: it recovers, or is refused in clear words.

Goal: an upgrade loses nothing and rewrites nothing. Method: the journal of each rules and the snapshot of each format
as they were written then (`tests/golden/`), in memory and in a real PostgreSQL; and a change of the rules planted here,
so that rows of both rules stand in one journal.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from callmarket.engine import limits
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.commands import (
    ADMIN,
    CancelBid,
    Command,
    Entry,
    ExpireDue,
    Mint,
    OpenAccount,
    OpenMarket,
    PlaceBid,
)
from callmarket.engine.core import Engine
from callmarket.engine.decide import bids
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import AwardGranted, BidPlaced, Events, HistoryBegun, Rejected, Repeated
from callmarket.engine.image import FORMAT
from callmarket.engine.limits import RULES
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from callmarket.persistence import recovery
from callmarket.persistence.errors import Diverged, TooNew
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import recover, rehearse
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Snapshot
from callmarket.persistence.verify import verify
from tests.support.golden import (
    golden_journal,
    golden_snapshot,
    golden_state,
    journal_file,
    journal_of,
    snapshot_file,
    state_file,
)
from tests.support.sealed import batches

ALL_RULES = range(1, RULES + 1)
ALL_FORMATS = range(1, FORMAT + 1)
FLOOR_TOKENS = 10
"""Under the rules that are planted here, no bid may offer less."""


def sealed(rules: int) -> list[SealedRow]:
    """The golden rows as a writer would hand them over."""
    return list(journal_of(golden_journal(rules)).read())


def write(url: str, rows: list[SealedRow], seed: int) -> None:
    with PostgresJournal(url, 0) as journal:
        journal.claim()
        for batch in batches(rows, seed):
            journal.append(batch)


def test_every_version_has_its_golden_files() -> None:
    """Whoever raises RULES or FORMAT adds a set: `python -m tests.support.golden`."""
    for rules in ALL_RULES:
        assert journal_file(rules).exists(), f"rules {rules} have no golden journal: see tests/golden/README.md"
    for image_format in ALL_FORMATS:
        for file in (snapshot_file(image_format), state_file(image_format)):
            assert file.exists(), f"format {image_format} has no {file.name}: see tests/golden/README.md"


@pytest.mark.parametrize("rules", ALL_RULES)
def test_a_golden_journal_is_of_its_rules_and_says_all_there_is(rules: int) -> None:
    rows = sealed(rules)
    assert {row.rules for row in rows} == {rules}
    if rules == RULES:
        assert {type(row.entry.command) for row in rows} == set(Command.__args__)
        # In a stream nothing is lost, and rows of these rules say the awards of a call together.
        never = {HistoryBegun, AwardGranted}
        assert {type(event) for row in rows for event in row.events} == set(Events.__args__[0].__args__) - never


@pytest.mark.parametrize("rules", ALL_RULES)
def test_a_golden_journal_recovers(rules: int) -> None:
    """Byte for byte under its own rules, from its events under later ones."""
    rows = golden_journal(rules)
    recovered = rehearse(journal_of(rows))[0]
    assert recovered.position == (rows[-1].epoch, rows[-1].seq, rows[-1].digest)
    assert recovered.report.rows_folded == (len(rows) if rules < RULES else 0)


@pytest.mark.parametrize("rules", ALL_RULES)
def test_a_golden_journal_goes_through_postgresql_byte_for_byte(database_url: str, rules: int, seed: int) -> None:
    rows = golden_journal(rules)
    write(database_url, sealed(rules), seed)
    with PostgresJournal(database_url, 0) as journal:
        assert [row for chunk in journal.scan() for row in chunk] == rows
        recovered = recover(journal)
    assert recovered.engine.state.encode() == rehearse(journal_of(rows))[0].engine.state.encode()
    report = verify(database_url, 0)
    assert report.ok, report


def test_the_golden_snapshot_is_read(database_url: str, seed: int) -> None:
    """It is the state that the rows before it lead to, to the last byte, and recovery goes on from it."""
    kept = golden_snapshot(FORMAT)
    rows = golden_journal(kept.rules)
    assert kept.image == rehearse(journal_of(rows[: kept.seq]))[0].engine.state.encode()
    assert kept.image == State.decode(kept.image).encode()
    write(database_url, sealed(kept.rules), seed)
    with PostgresSnapshots(database_url, 0) as store, PostgresJournal(database_url, 0) as journal:
        store.write(kept)
        recovered = recover(journal, store)
    assert (recovered.report.from_seq, recovered.report.passed_over) == (kept.seq, ())
    assert recovered.engine.state.encode() == rehearse(journal_of(rows))[0].engine.state.encode()


@pytest.mark.parametrize("image_format", [*range(1, FORMAT), FORMAT + 1])
def test_a_snapshot_of_another_format_is_passed_over_in_words(
    database_url: str, tmp_path: Path, image_format: int, seed: int
) -> None:
    """Older ones as they were written then, and one that is yet to come: the journal has it all."""
    if image_format < FORMAT:
        kept = golden_snapshot(image_format)
    else:
        present = golden_snapshot(FORMAT)
        kept = Snapshot(present.seq, present.at_us, present.digest, b"of the future", image_format, present.rules)
    rows = golden_journal(kept.rules)
    write(database_url, sealed(kept.rules), seed)
    for store in (PostgresSnapshots(database_url, 0), FolderSnapshots(tmp_path, 0)):
        with store, PostgresJournal(database_url, 0, reader=True) as journal:
            store.write(kept)
            recovered = rehearse(journal, store)[0]
        (passed,) = recovered.report.passed_over
        words = f"row {kept.seq}: the image has format {image_format}, and this program reads {FORMAT}"
        assert words in str(passed)
        assert words in str(recovered.report)
        assert (recovered.report.from_seq, recovered.report.rows) == (0, len(rows))
        assert recovered.engine.state.encode() == rehearse(journal_of(rows))[0].engine.state.encode()


def test_a_state_of_each_format_is_of_that_format() -> None:
    for image_format in ALL_FORMATS:
        snapshot = golden_snapshot(image_format)
        assert snapshot.format == image_format
        for image in (golden_state(image_format), snapshot.image):
            assert msgspec.msgpack.decode(image)[0] == image_format


@pytest.mark.parametrize("newer_from", [1, 100, 240])
def test_a_journal_of_newer_rules_is_refused_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, newer_from: int
) -> None:
    """Nothing of it is guessed, and a good snapshot is not blamed for it."""
    digest, rows = GENESIS_DIGEST, []
    for row in sealed(RULES):
        rows.append(seal(digest, row.entry, row.events, RULES + (row.entry.seq >= newer_from)))
        digest = rows[-1].digest
    journal = MemoryJournal(MemoryDatabase())
    journal.claim()
    journal.append(rows)
    words = f"Row {newer_from} was decided by rules {RULES + 1}, and this version knows them up to {RULES}: run the"
    for store in (None, FolderSnapshots(tmp_path, 0)):
        if store is not None and newer_from > 1:
            _, replica = rehearse(journal_of([row for row in journal.database.rows if row.seq < newer_from]))
            image = replica.engine.state.encode()
            store.write(snapshot_after(rows, newer_from - 1, image))
        with pytest.raises(TooNew, match=words) as caught:
            recover(journal, store)
        assert caught.value.seq == newer_from
        assert "passed over" not in caplog.text


def snapshot_after(rows: list[SealedRow], seq: int, image: bytes) -> Snapshot:
    """What would have been taken after a row."""
    return Snapshot(seq, rows[seq - 1].entry.at_us, rows[seq - 1].digest, image)


@pytest.fixture
def next_rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Change one decision, and raise the rules as whoever changes one must: no bid below the floor any more."""
    changed = RULES + 1
    place = bids.place

    def place_above_the_floor(state: State, entry: Entry, command: PlaceBid) -> Events:
        if command.max_price_tokens < FLOOR_TOKENS:
            price = command.max_price_tokens
            return refused(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", price, FLOOR_TOKENS)
        return place(state, entry, command)

    monkeypatch.setattr(bids, "place", place_above_the_floor)
    for module in (limits, recovery):
        monkeypatch.setattr(module, "RULES", changed)
    return changed


def upgraded(before: int, rules: int) -> tuple[list[SealedRow], Engine]:
    """A journal that was begun under the rules `before` and goes on under these, and the engine that went on."""
    engine = rehearse(journal_of(golden_journal(before)))[0].engine
    rows = sealed(before)
    at_us = engine.state.at_us
    retried = next(row.entry for row in reversed(rows) if row.entry.command_id and is_first_of_its_id(row))
    onward: list[tuple[str, Command, str]] = [
        (ADMIN, OpenMarket("after"), ""),
        (ADMIN, OpenAccount("newcomer", "agent"), ""),
        (ADMIN, Mint("newcomer", 1_000, "grant:first"), ""),
        ("newcomer", PlaceBid("after", "newcomer", "cheap", FLOOR_TOKENS - 1), ""),
        ("newcomer", PlaceBid("after", "newcomer", "dear", FLOOR_TOKENS), "k1"),
        (retried.actor, retried.command, retried.command_id),
        (ADMIN, CancelBid(next(iter(engine.state.bids))), ""),
        (ADMIN, ExpireDue(), ""),
    ]
    for number, (actor, command, command_id) in enumerate(onward):
        entry = Entry(engine.state.seq + 1, at_us + number, actor, command, command_id)
        rows.append(seal(rows[-1].digest, entry, engine.apply(entry), rules))
    return rows, engine


def is_first_of_its_id(row: SealedRow) -> bool:
    """Whether a command with an id was neither a retry nor another command under the id of one before."""
    event = row.events[0]
    return not isinstance(event, Repeated) and getattr(event, "reason", None) is not Reject.COMMAND_ID_REUSED


def has_cheap_bid(rows: list[SealedRow]) -> bool:
    return any(
        isinstance(event, BidPlaced) and event.max_price_tokens < FLOOR_TOKENS for row in rows for event in row.events
    )


def test_a_change_of_the_rules_that_is_not_declared_stops_recovery(
    next_rules: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted change is a real one: old rows would be decided otherwise now."""
    monkeypatch.setattr(recovery, "RULES", next_rules - 1)
    with pytest.raises(Diverged, match="decides otherwise now"):
        rehearse(journal_of(golden_journal(RULES)))


def test_rows_of_older_rules_are_folded_to_the_same_state(next_rules: int) -> None:
    before = golden_snapshot(FORMAT)
    assert has_cheap_bid(sealed(before.rules))
    rows = golden_journal(before.rules)
    recovered = rehearse(journal_of(rows[: before.seq]))[0]
    assert recovered.report.rows_folded == before.seq
    assert recovered.engine.state.encode() == before.image


@pytest.mark.parametrize("before", ALL_RULES)
def test_a_journal_of_two_rules_recovers_and_is_proved(
    database_url: str, next_rules: int, before: int, seed: int
) -> None:
    """Old rows from their events, new ones decided again; the tables are what both make."""
    rows, live = upgraded(before, next_rules)
    cheap, dear = rows[-5].events[0], rows[-4].events[0]
    assert isinstance(cheap, Rejected)
    assert isinstance(dear, BidPlaced)
    # The retry of a command of the old rules is answered with what it caused then.
    assert isinstance(rows[-3].events[0], Repeated)
    write(database_url, rows, seed)
    with PostgresJournal(database_url, 0) as journal:
        recovered = recover(journal)
        assert recovered.report.rows_folded == len(golden_journal(before))
        assert f"{recovered.report.rows_folded:,} of older rules" in str(recovered.report)
        assert recovered.engine.state.encode() == live.state.encode()
    report = verify(database_url, 0)
    assert report.ok, report


def test_a_snapshot_of_older_rules_serves_under_newer_ones(database_url: str, next_rules: int, seed: int) -> None:
    """State is state: the rows after it are folded or decided, as each one's rules ask."""
    kept = golden_snapshot(FORMAT)
    rows, live = upgraded(kept.rules, next_rules)
    assert kept.rules < next_rules
    write(database_url, rows, seed)
    with PostgresSnapshots(database_url, 0) as store, PostgresJournal(database_url, 0) as journal:
        store.write(kept)
        recovered = recover(journal, store)
    assert (recovered.report.from_seq, recovered.report.passed_over) == (kept.seq, ())
    assert recovered.report.rows_folded == len(golden_journal(kept.rules)) - kept.seq
    assert recovered.engine.state.encode() == live.state.encode()
