"""The ledger by month of UTC: which movements are in it, which accounts were opened, and where they stood at its end.

Rule of this file: an answer about a month that is over never changes, and each costs what it returns or walks.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from callmarket.persistence.database.row_factories import row_of
from callmarket.persistence.queries.earnings import first_movement_since
from callmarket.persistence.queries.pages import MOVEMENT
from callmarket.persistence.queries.rows import MovementRow

if TYPE_CHECKING:
    import psycopg


class LedgerSpan(Struct, frozen=True):
    """When the first account was opened, and when the last movement was."""

    first_at: datetime
    last_at: datetime


class MonthAccount(Struct, frozen=True):
    """An account of a month: when it was opened, and its balance at the end; None if nothing moved in this month."""

    account_id: str
    opened_at: datetime
    balance_tokens: int | None


class SequencedMovement(MovementRow, frozen=True):
    """A movement, with the row of the journal that it is in."""

    seq: int


def ledger_span(connection: "psycopg.Connection", shard_id: int) -> LedgerSpan | None:
    """From the first account to the last movement; None before the first movement."""
    row = connection.execute(
        """SELECT account.created_at, last."timestamp" FROM token_accounts AS account CROSS JOIN LATERAL (
            SELECT "timestamp" FROM token_ledger WHERE shard_id = account.shard_id ORDER BY id DESC LIMIT 1) AS last
        WHERE account.shard_id = %s AND account.account_id = 'issuance'""",
        (shard_id,),
    ).fetchone()
    return None if row is None else LedgerSpan(*row)


def movements_between(
    connection: "psycopg.Connection", shard_id: int, first: datetime, end: datetime
) -> tuple[int, int]:
    """The ids of the movements from one time to another, as the first one and the last. Some forty look-ups."""
    return first_movement_since(connection, shard_id, first), first_movement_since(connection, shard_id, end) - 1


def movements_page(
    connection: "psycopg.Connection", shard_id: int, after_id: int, last_id: int, limit: int
) -> list[SequencedMovement]:
    """Movements by id, after one and up to another."""
    query = f"""SELECT {MOVEMENT}, seq FROM token_ledger WHERE shard_id = %s AND id > %s AND id <= %s
        ORDER BY id LIMIT %s"""  # noqa: S608 -- only the constant above is put in
    with connection.cursor(row_factory=row_of(SequencedMovement)) as cursor:
        return cursor.execute(query, (shard_id, after_id, last_id, limit)).fetchall()


def month_accounts(
    connection: "psycopg.Connection", shard_id: int, after: str, first_id: int, last_id: int, limit: int
) -> list[MonthAccount]:
    """Accounts by name, each with its balance after its last movement between two ids. Two looks for each."""
    query = """SELECT account.account_id, account.created_at AS opened_at, (
            SELECT balance FROM (
                (SELECT id, balance_after_from AS balance FROM token_ledger AS paid
                    WHERE paid.shard_id = account.shard_id AND paid.from_account = account.account_id
                        AND paid.id BETWEEN %(first)s AND %(last)s ORDER BY id DESC LIMIT 1)
                UNION ALL
                (SELECT id, balance_after_to AS balance FROM token_ledger AS got
                    WHERE got.shard_id = account.shard_id AND got.to_account = account.account_id
                        AND got.id BETWEEN %(first)s AND %(last)s ORDER BY id DESC LIMIT 1)
            ) AS latest ORDER BY id DESC LIMIT 1) AS balance_tokens
        FROM token_accounts AS account
        WHERE account.shard_id = %(shard)s AND account.account_id > %(after)s
        ORDER BY account.account_id LIMIT %(limit)s"""
    bound = {"shard": shard_id, "after": after, "first": first_id, "last": last_id, "limit": limit}
    with connection.cursor(row_factory=row_of(MonthAccount)) as cursor:
        return cursor.execute(query, bound).fetchall()
