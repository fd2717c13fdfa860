"""What accounts owe for idle tokens and could not pay when they were asked: read and written.

Rule of this file: a plain table beside the journal, which moves no token. A debt ends when the ledger has its charge,
the process that made that; so a process that dies between the two leaves nothing that is charged twice or forgotten.
"""

from collections.abc import Sequence

import psycopg
from msgspec import Struct
from psycopg.rows import class_row


class Debt(Struct, frozen=True):
    """What an account owes for a period. `attempts` is how often its charge was refused."""

    account_id: str
    period: int
    reference_id: str
    tokens: int
    attempts: int


class DebtRow(Debt, frozen=True):
    """A debt as it stands: whether the ledger has its charge, and what its account has available."""

    paid: bool
    available_tokens: int


def debts_page(connection: psycopg.Connection, shard_id: int, after: tuple[str, int], limit: int) -> list[DebtRow]:
    """Debts by account and period, `limit` at the most: one walk of the key, and two looks for each."""
    query = """SELECT debt.account_id, debt.period, debt.reference_id, debt.tokens, debt.attempts,
            EXISTS (SELECT FROM token_ledger AS paid WHERE paid.shard_id = debt.shard_id
                AND paid.from_account = debt.account_id AND paid.reason = 'demurrage'
                AND paid.reference_id = debt.reference_id) AS paid,
            greatest(account.balance - account.held, 0)::bigint AS available_tokens
        FROM (SELECT * FROM demurrage_debts WHERE shard_id = %(shard)s AND (account_id, period) > (%(name)s, %(period)s)
            ORDER BY account_id, period LIMIT %(limit)s) AS debt
        JOIN token_accounts AS account ON account.shard_id = debt.shard_id AND account.account_id = debt.account_id
        ORDER BY debt.account_id, debt.period"""
    values = {"shard": shard_id, "name": after[0], "period": after[1], "limit": limit}
    with connection.cursor(row_factory=class_row(DebtRow)) as cursor:
        return cursor.execute(query, values).fetchall()


def write_debts(
    connection: psycopg.Connection, shard_id: int, owed: Sequence[Debt], ended: Sequence[Debt], periods_max: int
) -> None:
    """Note what is owed, and forget what has ended, or is `periods_max` older than what is noted. Idempotent."""
    note = """INSERT INTO demurrage_debts AS known (shard_id, account_id, period, reference_id, tokens, attempts,
            assessed_at)
        VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp())
        ON CONFLICT (shard_id, account_id, period) DO UPDATE
            SET attempts = greatest(known.attempts, excluded.attempts)"""
    forget = "DELETE FROM demurrage_debts WHERE shard_id = %s AND account_id = %s AND period = %s"
    forgive = "DELETE FROM demurrage_debts WHERE shard_id = %s AND account_id = %s AND period <= %s"
    with connection.transaction(), connection.cursor() as cursor:
        if owed:
            rows = [(shard_id, one.account_id, one.period, one.reference_id, one.tokens, one.attempts) for one in owed]
            cursor.executemany(note, rows)
            cursor.executemany(forgive, [(shard_id, one.account_id, one.period - periods_max) for one in owed])
        if ended:
            cursor.executemany(forget, [(shard_id, one.account_id, one.period) for one in ended])
