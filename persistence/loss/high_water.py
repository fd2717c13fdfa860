"""The high-water mark: the last row that was acknowledged, kept outside the database.

Rule of this file: a mark is a lower bound and nothing else. It is written before anybody is told, so a journal that has
less has gone back: a failover to a replica that lacked rows, a restored backup, a disk that lied. A mark protects
against that and not against the loss of this machine; one that cannot be written or read is said in the log and stops
nobody, because without it the market is as safe as its database.

A file has two blocks that are written in turn, each with a checksum, so that one of them is whole at any moment. It is
locked by the process that writes it; a leader and a standby that share a folder have a file each, and a process that
begins to lead reads all. A mark that says more than its next writer knows of is left as it is: it may be all that shows
a loss.
"""

import contextlib
import fcntl
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import Archived, RowsLost
from callmarket.persistence.journal.protocol import Position, StoredRow

logger: Final = logging.getLogger(__name__)

_SUFFIX: Final = ".mark"
# Processes on one machine that lead or stand by for one market at a time.
_FILES_MAX: Final = 16
# What the device writes in one piece, as a rule: a torn write hurts one of the two.
_BLOCK_BYTES: Final = 4_096
_BODY: Final = struct.Struct(">8s16sIQ32s")
_CHECK: Final = struct.Struct(">I")
_MAGIC: Final = b"cmmark01"
# The kernel has it at once, so a killed process loses nothing; the disk has it after this.
_FLUSHED_EVERY_S: Final = 1.0


class Mark(NamedTuple):
    """A row that was acknowledged."""

    seq: int
    digest: bytes


class Where(Protocol):
    """The part of `Journal` that is needed here."""

    def position(self) -> Position:
        """Where the journal ends."""

    def row_at(self, seq: int) -> StoredRow | None:
        """One row of the journal."""


class HighWater:
    """The marks of one shard: all of a folder, and the file that this process writes. For one thread at a time.

    `also` are folders that are only read: where snapshots lie, what takes them leaves a mark too.
    """

    def __init__(self, folder: Path | None, shard_id: int, also: Iterable[Path] = ()) -> None:
        """Remember where; nothing is opened yet. Without a folder nothing is kept."""
        self.folder: Final = folder
        self.shard_id: Final = shard_id
        self._folders: Final = (*(() if folder is None else (folder,)), *also)
        self._descriptor: int | None = None
        # Of the marks that it writes; empty before it begins.
        self.market_id = ""
        self._market = b""
        self.begun = False
        self._block = 0
        self._dirty: Final = threading.Event()
        self._closed: Final = threading.Event()
        self._flusher: threading.Thread | None = None

    def highest(self, market_id: str) -> Mark | None:
        """The highest mark of a market, None if there is none that can be read. Some file reads."""
        market = _bytes_of(market_id)
        marks = []
        for folder in self._folders:
            for path in sorted(folder.glob(f"{self._stem(market_id)}*{_SUFFIX}")):
                try:
                    found = _read(path, market, self.shard_id)
                except OSError as error:
                    logger.warning("a mark of what was acknowledged cannot be read: %s", error)
                    continue
                if found is None:
                    logger.warning("%s is no mark of this market, or damaged: it protects nobody", path)
                else:
                    marks.append(found)
        return max(marks, default=None)

    def insist_on(self, journal: Where, market_id: str) -> None:
        """Raise `RowsLost` if the journal lacks what a mark says; `market_id` is empty before there is one.

        Raises `Unavailable`.
        """
        if market_id and (loss := lost_since(journal, self.highest(market_id))):
            raise loss

    def begin(self, market_id: str, seq: int, digest: bytes) -> None:
        """Write marks from now on, beginning with this row. Idempotent. Errors of the folder are logged."""
        if self.begun:
            return
        self.begun = True
        self.market_id = market_id
        folder = self.folder
        try:
            if folder is None:
                raise FileNotFoundError("this account has no home, and CALLMARKET_MARKS_FOLDER names no folder")
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = self._lock_one(folder, market_id, Mark(seq, digest))
        except OSError as error:
            logger.warning("what is acknowledged is not kept outside the database: %s", error)
            return
        if self._descriptor is None:
            logger.warning("%s has no free mark: what this process acknowledges is not kept there", folder)
            return
        self._market = _bytes_of(market_id)
        self._flusher = threading.Thread(target=self._flush, name=f"high water {self.shard_id}", daemon=True)
        self._flusher.start()
        # Both blocks: what stood there says no more than this.
        for _ in range(2):
            self.keep(seq, digest)

    def keep(self, seq: int, digest: bytes) -> None:
        """This row is acknowledged from now on. One write to the kernel, some microseconds; never raises."""
        descriptor = self._descriptor
        if descriptor is None:
            return
        body = _BODY.pack(_MAGIC, self._market, self.shard_id, seq, digest)
        self._block = 1 - self._block
        try:
            os.pwrite(descriptor, body + _CHECK.pack(zlib.crc32(body)), self._block * _BLOCK_BYTES)
        except OSError as error:
            logger.warning("what is acknowledged is no longer kept outside the database: %s", error)
            self.close()
            return
        self._dirty.set()

    def close(self) -> None:
        """Write no more. Idempotent. Never raises."""
        self._closed.set()
        self._dirty.set()
        if self._flusher is not None:
            self._flusher.join()
            self._flusher = None
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
            os.close(descriptor)

    def _stem(self, market_id: str) -> str:
        return f"{market_id}-shard{self.shard_id}-"

    def _lock_one(self, folder: Path, market_id: str, first: Mark) -> int | None:
        """A file that no other process writes, at its full size: so a disk that is full later does not matter.

        One with a mark that is not before `first` belongs to a process that is gone, and was perhaps not compared yet.
        """
        market = _bytes_of(market_id)
        for number in range(_FILES_MAX):
            path = folder / f"{self._stem(market_id)}{number}{_SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there = _mark_in(os.pread(descriptor, 2 * _BLOCK_BYTES, 0), market, self.shard_id)
                if there is not None and there != first and there.seq >= first.seq:
                    os.close(descriptor)
                    continue
                if os.fstat(descriptor).st_size < 2 * _BLOCK_BYTES:
                    os.pwrite(descriptor, bytes(2 * _BLOCK_BYTES), 0)
            except BlockingIOError:
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        return None

    def _flush(self) -> None:
        """Let the disk have it, now and then."""
        while not self._closed.wait(_FLUSHED_EVERY_S):
            self._dirty.wait()
            self._dirty.clear()
            descriptor = self._descriptor
            if descriptor is not None and not self._closed.is_set():
                try:
                    os.fsync(descriptor)
                except OSError as error:
                    logger.warning("a mark of what was acknowledged is not on the disk: %s", error)
                    return


def lost_since(journal: Where, mark: Mark | None) -> RowsLost | None:
    """What the journal lacks of what a mark says; None if it has all of it, or somebody has accepted the loss.

    Raises `Unavailable`.
    """
    if mark is None or mark.seq == 0:
        return None
    position = journal.position()
    if mark.seq > position.last_seq:
        return RowsLost(position.last_seq, mark.seq)
    try:
        row = journal.row_at(mark.seq)
        begun_seq = begun_at(position.last_seq)
        if row is None or row.digest == mark.digest:
            # Not there, and later ones are: the loss was accepted, for the chain has no other gaps.
            return None
        begun = journal.row_at(begun_seq) if begun_seq > mark.seq else None
    except Archived:
        # Rows that have left the journal were proved to lead to those that are there.
        return None
    if begun is not None and begun.entry().after_seq != begun_seq - 1:
        return None
    return RowsLost(position.last_seq, mark.seq, other=True)


def begun_at(seq: int) -> int:
    """The place at which the history of this row may have begun."""
    return seq // HISTORY_ROWS * HISTORY_ROWS


def _bytes_of(market_id: str) -> bytes:
    """The sixteen bytes of a UUID."""
    return bytes.fromhex(market_id.replace("-", ""))


def _read(path: Path, market: bytes, shard_id: int) -> Mark | None:
    with path.open("rb") as file:
        return _mark_in(file.read(2 * _BLOCK_BYTES), market, shard_id)


def _mark_in(data: bytes, market: bytes, shard_id: int) -> Mark | None:
    """The higher one of two blocks, of those that are whole and of this market."""
    marks = []
    for start in (0, _BLOCK_BYTES):
        body = data[start : start + _BODY.size]
        check = data[start + _BODY.size : start + _BODY.size + _CHECK.size]
        if len(body) == _BODY.size and check == _CHECK.pack(zlib.crc32(body)):
            magic, whose, shard, seq, digest = _BODY.unpack(body)
            if (magic, whose, shard) == (_MAGIC, market, shard_id):
                marks.append(Mark(seq, digest))
    return max(marks, default=None)
