"""The rows that a standby keeps in case the journal loses them: which they are, and how far the journal has them.

Goal: it has the latest, up to the bounds, also after a replay that began again; and no row of another history is taken
for one that is still there.
"""

import pytest
from msgspec.structs import replace

from engine.codec import seal
from persistence import lost_rows
from persistence.journal import Stored
from persistence.lost_rows import Recent
from persistence.memory import MemoryDatabase, MemoryJournal
from tests.support.sealed import bids

ROWS = bids(60)
STORED = [Stored.of(row, 1) for row in ROWS]


def kept(recent: Recent) -> list[int]:
    return [row.seq for row in recent.after(0)]


def test_a_replay_that_begins_again_keeps_as_much_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(len(row.command_json) + len(row.events_json) for row in STORED[-20:])
    monkeypatch.setattr(lost_rows, "BYTES_MAX", size)
    recent = Recent()
    for row in STORED:
        recent.add(row)
    first = kept(recent)
    assert first[-1] == len(ROWS)
    assert 10 < len(first) < 30
    for _ in range(3):
        for row in STORED[20:]:
            recent.add(row)
        assert kept(recent) == first


@pytest.mark.parametrize("common", [0, 1, 29, 59, 60])
def test_the_last_common_row_is_the_last_with_its_digest(common: int) -> None:
    """The journal went back to there, and has gone on otherwise."""
    recent, journal = Recent(), MemoryJournal(MemoryDatabase())
    for row in STORED:
        recent.add(row)
    journal.claim()
    digest = ROWS[common - 1].digest if common else journal.position().last_digest
    others = []
    for row in ROWS[common:]:
        others.append(seal(digest, replace(row.entry, at_us=row.entry.at_us + 1), row.events))
        digest = others[-1].digest
    journal.append([*ROWS[:common], *others])
    assert recent.last_common(journal) == common
