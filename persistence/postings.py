"""Movements with the rows of the journal that they are in: what an export of the ledger is made of.

Rule of this file: the tables say where to look, and the journal what is there. Each row is checked against its digest;
so what is exported follows from the chain of digests, whatever was done to a table.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from callmarket.engine.codec import GENESIS_DIGEST, chain
from callmarket.engine.events import TransferPosted
from callmarket.persistence.errors import Archived, Corrupt
from callmarket.persistence.journal.protocol import StoredRow

if TYPE_CHECKING:
    import psycopg

# The digest before a row: that of its neighbour, or of the last one that has left the journal.
_ROWS: Final = """
    SELECT seq, epoch, at_us, actor, command_id, rules,
        convert_to(command::text, 'UTF8'), convert_to(events::text, 'UTF8'), digest,
        coalesce(
            (SELECT digest FROM journal AS earlier
                WHERE earlier.shard_id = row.shard_id AND earlier.seq < row.seq ORDER BY earlier.seq DESC LIMIT 1),
            (SELECT digest_after FROM journal_archives AS gone
                WHERE gone.shard_id = row.shard_id AND gone.last_seq < row.seq ORDER BY gone.first_seq DESC LIMIT 1)
        ) AS digest_before
    FROM journal AS row WHERE shard_id = %s AND seq = ANY(%s) ORDER BY seq
"""


class Posting(Struct, frozen=True):
    """One movement, in the row of the journal that has it. `place` counts the movements before it in this row.

    `content` are the bytes that the row's digest proves, with `digest_before`.
    """

    seq: int
    at_us: int
    digest: bytes
    digest_before: bytes
    content: bytes
    place: int
    event: TransferPosted


def postings_page(
    connection: "psycopg.Connection", shard_id: int, after_id: int, last_id: int, limit: int
) -> list[Posting]:
    """Movements by id, after one and up to another: one walk of the ledger's key, and a look for each row.

    Raises `Archived` where a row has left the journal, `Corrupt` where one is not what its digest says.
    """
    query = """SELECT id, seq FROM token_ledger WHERE shard_id = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s"""
    places = connection.execute(query, (shard_id, after_id, last_id, limit)).fetchall()
    found = {
        one.event.transfer_id: one
        for row, before in _rows(connection, shard_id, sorted({seq for _, seq in places}))
        for one in postings_of(row, before)
    }
    for transfer_id, seq in places:
        if transfer_id not in found:
            raise _is_not_there(connection, shard_id, transfer_id, seq)
    return [found[transfer_id] for transfer_id, _ in places]


def postings_of(row: StoredRow, digest_before: bytes) -> Iterable[Posting]:
    """The movements in a row of the journal. Raises `Corrupt` if it is not what its digest says. About 5 us."""
    if chain(digest_before, row, row.rules, row.command_json, row.events_json) != row.digest:
        raise Corrupt(f"Row {row.seq} does not have the digest of its bytes and of the row before it", row.seq)
    header = f"{row.seq}|{row.at_us}|{row.rules}|{row.actor}|{row.command_id}|".encode()
    content = header + row.command_json + row.events_json
    events = (event for event in row.events() if isinstance(event, TransferPosted))
    for place, event in enumerate(events):
        yield Posting(row.seq, row.at_us, row.digest, digest_before, content, place, event)


def rows_of_the_journal(
    connection: "psycopg.Connection", shard_id: int, rows: Sequence[tuple[int, bytes]]
) -> set[tuple[int, bytes]]:
    """Those of these rows, by seq and digest, that the journal has. One look for each."""
    found = connection.execute(
        "SELECT seq, digest FROM journal WHERE shard_id = %s AND seq = ANY(%s)", (shard_id, [seq for seq, _ in rows])
    ).fetchall()
    return {(seq, bytes(digest)) for seq, digest in found} & set(rows)


def last_archived_seq(connection: "psycopg.Connection", shard_id: int) -> int:
    """The last row that has left the journal; 0 if none has."""
    row = connection.execute(
        "SELECT last_seq FROM journal_archives WHERE shard_id = %s ORDER BY first_seq DESC LIMIT 1", (shard_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def movements_of_row(connection: "psycopg.Connection", shard_id: int, seq: int) -> list[tuple[str, str, int]]:
    """Who paid whom how much in a row, as the tables have it."""
    first_id, end_id = (_first_movement_from(connection, shard_id, one) for one in (seq, seq + 1))
    return connection.execute(
        """SELECT from_account, to_account, amount FROM token_ledger
        WHERE shard_id = %s AND id >= %s AND id < %s ORDER BY id""",
        (shard_id, first_id, end_id),
    ).fetchall()


def _first_movement_from(connection: "psycopg.Connection", shard_id: int, seq: int) -> int:
    """The id of the first movement in a row or after it; the next id to come where there is none.

    Seqs rise with ids, so it is halved to in some twenty looks: an index by seq would cost every movement something.
    """
    query = """WITH RECURSIVE search (low, high) AS (
            SELECT 1::bigint, coalesce((SELECT max(id) FROM token_ledger WHERE shard_id = %(shard)s), 0) + 1
            UNION ALL
            SELECT CASE WHEN late THEN low ELSE middle + 1 END, CASE WHEN late THEN middle ELSE high END
            FROM (SELECT low, high, (low + high) / 2 AS middle FROM search WHERE low < high) AS half
            CROSS JOIN LATERAL (SELECT seq >= %(seq)s AS late FROM token_ledger
                WHERE shard_id = %(shard)s AND id >= middle ORDER BY id LIMIT 1) AS found
        ) SELECT low FROM search WHERE low = high"""
    row = connection.execute(query, {"shard": shard_id, "seq": seq}).fetchone()
    assert row is not None, "the halves meet"
    return int(row[0])


def _rows(connection: "psycopg.Connection", shard_id: int, seqs: Sequence[int]) -> Iterable[tuple[StoredRow, bytes]]:
    if not seqs:
        return
    with connection.cursor(binary=True) as cursor:
        for row in cursor.execute(_ROWS, (shard_id, list(seqs))).fetchall():
            yield StoredRow._make(row[:-1]), GENESIS_DIGEST if row[-1] is None else row[-1]


def _is_not_there(connection: "psycopg.Connection", shard_id: int, transfer_id: int, seq: int) -> Archived | Corrupt:
    last = last_archived_seq(connection, shard_id)
    if seq <= last:
        return Archived(f"Row {seq} of shard {shard_id} is in the archive, with all rows up to {last}")
    return Corrupt(
        f"The journal has no movement {transfer_id} in row {seq}, as token_ledger says: verify tells more", seq
    )
