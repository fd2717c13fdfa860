"""Files of archived rows: what was written comes back, and of damage, whatever byte is wrong, `Corrupt` says so.

Method: chunks are made small, for one that is never full is never tested. For damage the record is made to match the
damaged bytes, so that the checksum is not what finds it. Every byte is flipped once: gzip has several ways to fail,
each with an exception of its own.
"""

from collections import deque
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.persistence import durable_file
from callmarket.persistence.archive import files
from callmarket.persistence.archive.files import read_archive, write_archive
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.journal.protocol import Archive, StoredRow
from tests.support.sealed import bids


def stored(count: int) -> list[StoredRow]:
    return [
        StoredRow(
            row.entry.seq,
            1,
            row.entry.at_us,
            row.entry.actor,
            row.entry.command_id,
            row.rules,
            row.command_json,
            row.events_json,
            row.digest,
        )
        for row in bids(count)
    ]


def written(folder: Path, rows: list[StoredRow]) -> Archive:
    empty = Archive(1, rows[-1].seq, 1, rows[-1].at_us, GENESIS_DIGEST, rows[-1].digest, "", 0, b"")
    return write_archive(folder, 0, [rows[:10], rows[10:]], empty)


@pytest.mark.parametrize("chunk_rows", [1, 7, 20, 40, 41, 42])
def test_each_row_comes_back_once_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    monkeypatch.setattr(files, "_CHUNK_ROWS", chunk_rows)
    rows = stored(20)
    assert len(rows) == 41
    chunks = list(read_archive(tmp_path, 0, written(tmp_path, rows)))
    assert [row for chunk in chunks for row in chunk] == rows
    assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_rows}
    assert 0 < len(chunks[-1]) <= chunk_rows


def test_every_byte_that_is_flipped_is_noticed_or_harmless(tmp_path: Path) -> None:
    good = written(tmp_path, stored(20))
    path = tmp_path / good.file_name
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        path.write_bytes(damaged)
        with suppress(Corrupt):
            # The header's time and system are nobody's data; all else is Corrupt, and nothing else is raised.
            deque(read_archive(tmp_path, 0, good._replace(sha256=sha256(damaged).digest())), maxlen=0)
            continue
        refused += 1
    assert refused > 0.95 * len(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file_bytes": 7}, "7 were written"),
        ({"sha256": bytes(32)}, "its checksum is not the one that was recorded"),
        ({"first_seq": 2}, "its first line is not what was recorded"),
        ({"last_seq": 40}, "its first line is not what was recorded"),
        ({"digest_before": b"x" * 32}, "its first line is not what was recorded"),
        ({"digest_after": b"x" * 32}, "its first line is not what was recorded"),
        ({"file_name": "another"}, "it is not there"),
    ],
)
def test_a_file_is_held_against_each_word_of_its_record(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    good = written(tmp_path, stored(20))
    asked = good._replace(**change)
    with pytest.raises(Corrupt, match=words) as caught:
        list(read_archive(tmp_path, 0, asked))
    assert caught.value.seq == asked.first_seq
    with pytest.raises(Corrupt, match="its first line is not what was recorded"):
        list(read_archive(tmp_path, 1, good))


def test_a_file_that_is_there_stays_if_it_is_whole_and_is_written_anew_if_not(tmp_path: Path) -> None:
    """Another database may have recorded it; the folder is made where there is none."""
    folder, rows = tmp_path / "deep" / "archive", stored(20)
    good = written(folder, rows)
    path = folder / good.file_name
    whole, there = path.read_bytes(), path.stat().st_ino
    assert written(folder, rows) == good
    assert path.stat().st_ino == there
    path.write_bytes(whole[:-9])
    assert written(folder, rows) == good
    assert path.read_bytes() == whole
    assert [one.name for one in folder.iterdir()] == [good.file_name]


def test_its_name_is_on_the_disk_whoever_gave_it_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are deleted next, and who wrote the file may have been killed right after the renaming."""
    flushed: list[Path] = []
    flush = durable_file.flush_folder

    def noted(folder: Path) -> None:
        flush(folder)
        flushed.append(folder)

    monkeypatch.setattr(durable_file, "flush_folder", noted)
    folder, rows = tmp_path / "archive", stored(20)
    for _ in range(2):
        flushed.clear()
        written(folder, rows)
        assert set(flushed) == {folder, tmp_path}


def test_all_rows_are_read_though_the_file_is_there(tmp_path: Path) -> None:
    """Whoever gives them checks on the way that they continue each other."""
    rows = stored(20)
    good = written(tmp_path, rows)
    given: list[int] = []
    chunks = (given.append(row.seq) or [row] for row in rows)
    assert write_archive(tmp_path, 0, chunks, good._replace(file_name="", file_bytes=0, sha256=b"")) == good
    assert given == [row.seq for row in rows]
