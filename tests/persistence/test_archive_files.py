"""Damaged files of archived rows: whatever byte is wrong, `Corrupt` says so.

Method: the record is made to match the damaged bytes, so that the checksum is not what finds it. Every byte is flipped
once: gzip has several ways to fail, each with an exception of its own.
"""

from collections import deque
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from engine.codec import GENESIS_DIGEST
from persistence.archive.files import read_archive, write_archive
from persistence.errors import Corrupt
from persistence.journal import Archive, Stored
from tests.support.sealed import bids


def test_every_byte_that_is_flipped_is_noticed_or_harmless(tmp_path: Path) -> None:
    rows = [
        Stored(
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
        for row in bids(20)
    ]
    empty = Archive(1, rows[-1].seq, 1, rows[-1].at_us, GENESIS_DIGEST, rows[-1].digest, "", 0, b"")
    good = write_archive(tmp_path, 0, [rows], empty)
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
