"""The rows that a standby keeps in case the journal loses them: which they are, how far the journal has them, the file.

Goal: it has the latest, up to the bounds, also after a replay that began again; no row of another history is taken for
one that is still there; and a file of them is whole, or refused with what is wrong.
"""

import logging
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from callmarket.engine.codec import seal
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import StoredRow
from callmarket.persistence.loss import lost_rows
from callmarket.persistence.loss.lost_rows import Head, LostRow, Recent
from tests.support.sealed import bids

ROWS = bids(60)
STORED = [StoredRow.of(row, 1) for row in ROWS]
LOST = [LostRow.of_stored(row) for row in STORED[30:40]]


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


def test_the_latest_rows_are_kept_up_to_each_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_rows, "ROWS_MAX", 7)
    recent = Recent()
    for number, row in enumerate(STORED, 1):
        recent.add(row)
        assert len(kept(recent)) == min(number, 7)
    assert [row.seq for row in recent.after(len(ROWS) - 2)] == [len(ROWS) - 1, len(ROWS)]
    assert Recent().after(0) == []
    assert Recent().last_common(MemoryJournal(MemoryDatabase())) == 0


def test_lost_rows_begin_after_the_last_common_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_rows, "ROWS_MAX", 7)
    recent = Recent()
    for row in STORED:
        recent.add(row)
    assert recent.last_common(MemoryJournal(MemoryDatabase())) == len(ROWS) - 7


def test_a_file_has_the_rows_as_they_were(tmp_path: Path) -> None:
    """For this account only, in a folder that is made, under a name that says which they are."""
    path = lost_rows.write(tmp_path / "deep" / "marks", "market", 3, LOST)
    assert path.name == "lost-market-shard3-31-40.jsonl"
    assert (path.stat().st_mode | path.parent.stat().st_mode) & 0o077 == 0
    head, rows = lost_rows.read(path)
    assert head == Head("market", 3, 31, 40, 10)
    assert rows == LOST
    assert [(row.asked(), row.caused()) for row in rows] == [(row.entry.command, row.events) for row in ROWS[30:40]]
    assert [LostRow.of(row.entry, row.events) for row in ROWS[30:40]] == rows, "a leader writes what a standby writes"
    assert [path.name for path in path.parent.iterdir()] == [path.name], "nothing unfinished is left"


def test_files_are_found_by_market_and_shard_and_none_is_written_over(tmp_path: Path) -> None:
    mine = [lost_rows.write(tmp_path, "market", 1, rows) for rows in (LOST, LOST[:3])]
    lost_rows.write(tmp_path, "market", 12, LOST)
    lost_rows.write(tmp_path, "other", 1, LOST)
    assert lost_rows.files(tmp_path, "market", 1) == sorted(mine)
    before = mine[0].read_bytes()
    others = [replace(row, actor="somebody") for row in LOST]
    assert lost_rows.write(tmp_path, "market", 1, others) == mine[0]
    assert mine[0].read_bytes() == before


def test_saving_lost_rows_reports_where_and_never_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Never an error: whoever says so has something worse to tell. Where on this machine is for the log alone."""
    assert "has none of them in memory" in lost_rows.save(tmp_path, "market", 0, [])
    assert "rows 31 to 40 in memory, and no folder" in lost_rows.save(None, "market", 0, LOST)
    with caplog.at_level(logging.WARNING):
        words = lost_rows.save(tmp_path, "market", 0, LOST)
        assert words.startswith(" Rows 31 to 40 are in lost-market-shard0-31-40.jsonl")
        assert str(tmp_path) not in words
        assert str(tmp_path) in caplog.text
        (tmp_path / "file").touch()
        words = lost_rows.save(tmp_path / "file" / "no folder", "market", 0, LOST)
    assert "rows 31 to 40 in memory, and cannot write them" in words
    assert "lost rows cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: [], "is no file of lost rows"),
        (lambda lines: lines[:1], "does not have the rows that its first line names"),
        (lambda lines: lines[:-1], "does not have the rows that its first line names"),
        (lambda lines: [lines[0], *lines[2:]], "does not have the rows that its first line names"),
        (lambda lines: [*lines[:3], *lines[4:]], "does not have the rows that its first line names"),
        (lambda lines: lines[1:], "is no file of lost rows"),
        (lambda lines: [*lines[:3], b"{\n", *lines[4:]], "is no file of lost rows"),
        (lambda lines: [*lines[:3], b"\xff\n", *lines[4:]], "is no file of lost rows"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, change: object, words: str) -> None:
    path = lost_rows.write(tmp_path, "market", 0, LOST)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))  # type: ignore[operator]
    with pytest.raises(Corrupt, match=words):
        lost_rows.read(path)


def test_a_file_is_read_up_to_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lost_rows.write(tmp_path, "market", 0, LOST)
    monkeypatch.setattr(lost_rows, "ROWS_MAX", 10)
    assert len(lost_rows.read(path)[1]) == 10
    monkeypatch.setattr(lost_rows, "ROWS_MAX", 9)
    with pytest.raises(Corrupt, match="at most 9 rows"):
        lost_rows.read(path)
    monkeypatch.undo()
    longest = max(map(len, path.read_bytes().splitlines(keepends=True)))
    monkeypatch.setattr(lost_rows, "LINE_BYTES_MAX", longest)
    assert len(lost_rows.read(path)[1]) == 10
    monkeypatch.setattr(lost_rows, "LINE_BYTES_MAX", longest - 1)
    with pytest.raises(Corrupt, match=f"of {longest - 1} bytes"):
        lost_rows.read(path)


@pytest.mark.parametrize("field", ["command", "events"])
def test_a_row_that_cannot_be_decoded_is_named(field: str) -> None:
    row = replace(LOST[3], **{field: msgspec.Raw(b'{"no":1}')})
    decode = row.asked if field == "command" else row.caused
    with pytest.raises(Corrupt, match=f"Row 34 of the file: the {field} cannot be decoded") as caught:
        decode()
    assert caught.value.seq == 34


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
