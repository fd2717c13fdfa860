"""The SQL of the journal's one write: rows behind their fence.

Rule of this file: pure; nothing here knows a connection. Rows go as arrays, one for each column, in one statement.
"""

from collections.abc import Sequence
from typing import Final, LiteralString

from psycopg.types.numeric import Int4, Int8

from callmarket.persistence.database.arrays import JsonBytes, array
from callmarket.persistence.journal.protocol import StoredRow

_JOURNAL_TYPES: Final = {
    "seq": "int8",
    "epoch": "int8",
    "at_us": "int8",
    "actor": "text",
    "command_id": "text",
    "rules": "int4",
    "command": "json",
    "events": "json",
    "digest": "bytea",
}
# What may change a row on its way into the journal: a trigger before each row (bits 1, 2, 4: row, before, insert), or a
# rule. None is ours. What the table would have then is not what was acknowledged, and the next recovery would fail.
CHANGES_ROWS: Final[LiteralString] = """
    SELECT 'trigger ' || tgname FROM pg_trigger
    WHERE tgrelid = 'journal'::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 7 = 7
    UNION ALL
    SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = 'journal'::regclass AND ev_type = '3'
"""
# The fence and the rows are one statement, so nothing is there that could be executed after a fence that held. That the
# first row continues the chain its digest says, with that of the row before it: to compute it again, which `verify`
# does, took longer than to write a large row. `%b`: in binary, as everything here.
_FENCED_INSERT: Final[LiteralString] = f"""
    WITH fence AS (
        UPDATE engine_writer SET last_seq = %(last_seq)b, last_digest = %(last_digest)b
        WHERE shard_id = %(shard_id)b AND epoch = %(writer_epoch)b
          AND last_seq = %(after_seq)b AND last_digest = %(digest_before)b
          AND NOT EXISTS ({CHANGES_ROWS})
        RETURNING shard_id
    )
    INSERT INTO journal (shard_id, seq, epoch, at_us, actor, command_id, rules, command, events, digest)
"""  # noqa: S608 -- constants
# One row as plain values: to make, send and unfold arrays of one takes as long as its INSERT.
_APPEND_ONE: Final[LiteralString] = f"""{_FENCED_INSERT}
    SELECT shard_id, %(last_seq)b, %(writer_epoch)b, %(at_us)b, %(actor)b, %(command_id)b, %(rules)b, %(command)b,
        %(events)b, %(last_digest)b
    FROM fence
"""  # noqa: S608 -- constants
_APPEND_MANY: Final[LiteralString] = f"""{_FENCED_INSERT}
    SELECT fence.shard_id, new.* FROM fence,
        unnest(%(seq)b, %(epoch)b, %(at_us)b, %(actor)b, %(command_id)b, %(rules)b, %(command)b, %(events)b, %(digest)b)
        AS new
"""  # noqa: S608 -- constants


def append_of(
    rows: Sequence[StoredRow], after_seq: int, digest_before: bytes, shard_id: int
) -> tuple[LiteralString, dict[str, object]]:
    """What appends rows of one epoch behind their fence, and its values. About 2 us a row."""
    last = rows[-1]
    fence = {
        "last_seq": Int8(last.seq),
        "last_digest": last.digest,
        "shard_id": Int4(shard_id),
        "writer_epoch": Int8(last.epoch),
        "after_seq": Int8(after_seq),
        "digest_before": digest_before,
    }
    if len(rows) == 1:
        return _APPEND_ONE, fence | {
            "at_us": Int8(last.at_us),
            "actor": last.actor,
            "command_id": last.command_id,
            "rules": Int4(last.rules),
            "command": JsonBytes(last.command_json),
            "events": JsonBytes(last.events_json),
        }
    columns = zip(*rows, strict=True)
    packed = {name: array(type_, column) for (name, type_), column in zip(_JOURNAL_TYPES.items(), columns, strict=True)}
    return _APPEND_MANY, packed | fence
