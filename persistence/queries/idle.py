"""Which tokens have lain idle since a time, account after account.

Rule of this file: a page walks the accounts by name and costs, for each, what it moved since that time and no more.
"""

from typing import Final

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

# The reason of the charges, which are no spending.
DEMURRAGE: Final = "demurrage"


class IdleRow(Struct, frozen=True):
    """An account and how many of its tokens have lain idle; 0 where it has spent, or is none that is looked at."""

    account_id: str
    idle_tokens: int


def idle_page(
    connection: psycopg.Connection,
    shard_id: int,
    after: str,
    limit: int,
    *,
    first_id: int,
    reference_id: str,
) -> list[IdleRow]:
    """Accounts by name, `limit` at the most, those that have nothing idle too: the last name is where to go on.

    `first_id` is the first movement of the time that is looked at (`first_movement_since`). Idle are an agent's or a
    quest's tokens if it has paid nothing from then on but demurrage: those that are available now and were there
    before. Whoever has paid the demurrage of this reference has none.
    """
    query = """SELECT account_id, CASE
            WHEN kind NOT IN ('agent', 'quest') OR balance <= held THEN 0
            WHEN EXISTS (SELECT FROM token_ledger AS paid
                WHERE paid.shard_id = account.shard_id AND paid.from_account = account.account_id
                  AND paid.id >= %(first)s AND (paid.reason <> %(demurrage)s OR paid.reference_id = %(reference)s))
                THEN 0
            ELSE greatest(0, least(balance - held, balance - coalesce((
                SELECT sum(amount) FROM token_ledger AS got WHERE got.shard_id = account.shard_id
                  AND got.to_account = account.account_id AND got.id >= %(first)s), 0)))
            END::bigint AS idle_tokens
        FROM (SELECT * FROM token_accounts WHERE shard_id = %(shard)s AND account_id > %(after)s
            ORDER BY account_id LIMIT %(limit)s) AS account
        ORDER BY account_id"""
    bound = {"shard": shard_id, "after": after, "limit": limit, "first": first_id}
    with connection.cursor(row_factory=class_row(IdleRow)) as cursor:
        return cursor.execute(query, bound | {"demurrage": DEMURRAGE, "reference": reference_id}).fetchall()
