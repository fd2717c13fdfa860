"""Snapshots in PostgreSQL, beside the journal.

Rule of this file: one snapshot is one transaction, so a reader sees all of it or nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg

from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import Damaged, NoRoom, Unavailable
from callmarket.persistence.snapshots.store import Info, Snapshot, SnapshotStore, info_of, pack, unpack

# A row that goes over the wire and through the server's memory at once.
CHUNK_BYTES: Final = 2**20


class PostgresSnapshots(SnapshotStore):
    """The snapshots of one shard in the tables `snapshots` and `snapshot_chunks`."""

    kind = "database"

    def __init__(self, url: str, shard_id: int) -> None:
        """Remember where; nothing is opened yet."""
        self.shard_id = shard_id
        self._connection: Final = SingleUseConnection(lambda: connect(url, f"callmarket snapshots {shard_id}"))

    def write(self, snapshot: Snapshot) -> Info:
        """See `SnapshotStore.write`."""
        data, checksum = pack(snapshot, self.shard_id)
        chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        with self._no_room(len(data)), self._connection.use() as connection, connection.transaction():
            row = connection.execute(
                """
                INSERT INTO snapshots
                    (shard_id, seq, at_us, digest, format, rules, image_bytes, stored_bytes, chunks, sha256)
                VALUES (%s, %s, %s, %b, %s, %s, %s, %s, %s, %b) RETURNING snapshot_id, taken_at
                """,
                (
                    self.shard_id,
                    snapshot.seq,
                    snapshot.at_us,
                    snapshot.digest,
                    snapshot.format,
                    snapshot.rules,
                    len(snapshot.image),
                    len(data),
                    len(chunks),
                    checksum,
                ),
            ).fetchone()
            assert row is not None, "RETURNING returns its row"
            snapshot_id, taken_at = row
            for chunk_no, chunk in enumerate(chunks):
                connection.execute(
                    "INSERT INTO snapshot_chunks (shard_id, snapshot_id, chunk_no, data) VALUES (%s, %s, %s, %b)",
                    (self.shard_id, snapshot_id, chunk_no, chunk),
                )
        return info_of(snapshot, str(snapshot_id), len(data), checksum, taken_at)

    def list(self) -> Sequence[Info]:
        """See `SnapshotStore.list`."""
        with self._connection.use() as connection:
            rows = connection.execute(
                """
                SELECT snapshot_id::text, seq, at_us, digest, format, rules, image_bytes, stored_bytes, sha256, taken_at
                FROM snapshots WHERE shard_id = %s ORDER BY seq DESC, snapshot_id DESC
                """,
                (self.shard_id,),
                binary=True,
            ).fetchall()
        return [Info(*row) for row in rows]

    def read(self, info: Info) -> bytes:
        """See `SnapshotStore.read`. Each chunk is a query of its own, so that no long read holds back vacuum."""
        with self._connection.use() as connection:
            key = (self.shard_id, int(info.name))
            found = connection.execute(
                "SELECT chunks FROM snapshots WHERE shard_id = %s AND snapshot_id = %s", key
            ).fetchone()
            if found is None:
                raise Damaged("it is no longer there")
            data = b"".join(self._chunks(connection, key, found[0]))
        return unpack(info, data, self.shard_id)

    def delete(self, info: Info) -> None:
        """See `SnapshotStore.delete`."""
        with self._connection.use() as connection:
            key = (self.shard_id, int(info.name))
            connection.execute("DELETE FROM snapshots WHERE shard_id = %s AND snapshot_id = %s", key)

    def close(self) -> None:
        """See `SnapshotStore.close`."""
        self._connection.close()

    @contextmanager
    def _no_room(self, needed_bytes: int) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            if isinstance(error.__cause__, psycopg.errors.DiskFull):
                words = f"The database has no room for a snapshot of {needed_bytes:,} bytes: {error.__cause__}"
                raise NoRoom(words, needed_bytes) from error
            raise

    @staticmethod
    def _chunks(connection: psycopg.Connection, key: tuple[int, int], chunks: int) -> Iterator[bytes]:
        query = "SELECT data FROM snapshot_chunks WHERE shard_id = %s AND snapshot_id = %s AND chunk_no = %s"
        for chunk_no in range(chunks):
            row = connection.execute(query, (*key, chunk_no), binary=True).fetchone()
            if row is None:
                raise Damaged(f"chunk {chunk_no} of {chunks} is missing")
            yield row[0]
