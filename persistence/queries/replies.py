"""The effects of commands done long ago, for retries of them.

Rule of this file: the journal's own rows, by their key.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import Struct

from callmarket.engine.codec import decode_events
from callmarket.engine.events import Events

if TYPE_CHECKING:
    import psycopg


class ReplyRow(Struct, frozen=True):
    """What row `seq` of the journal said."""

    seq: int
    at_us: int
    events: Events


def replies(connection: "psycopg.Connection", shard_id: int, seqs: Collection[int]) -> dict[int, ReplyRow]:
    """The replies of some rows, by seq, without those that have left the journal. Each costs a look at the key."""
    query = "SELECT seq, at_us, events::text FROM journal WHERE shard_id = %s AND seq = ANY(%s)"
    rows = connection.execute(query, (shard_id, list(seqs))).fetchall()
    return {seq: ReplyRow(seq, at_us, decode_events(events)) for seq, at_us, events in rows}
