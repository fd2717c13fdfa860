"""The addresses of accounts on chains: registered and looked up.

Rule of this file: a plain table beside the journal, which moves no token. An address never changes its owner. Addresses
are told and stored in one spelling, that of EIP-55, which is for the caller to check.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


def register(
    connection: "psycopg.Connection", shard_id: int, chain: str, address: str, account_id: str, by: str
) -> str | None:
    """Register an address for an account, and return its owner: another account, if it is that one's already.

    None if there is no such account, as far as the tables know. Idempotent; again it is the account's latest address.
    """
    values = {"shard": shard_id, "chain": chain, "address": address, "account": account_id, "by": by}
    with connection.transaction():
        # A later time than the account's other addresses have, even where the clock went back.
        connection.execute(
            """INSERT INTO account_addresses (shard_id, chain, address, account_id, registered_at, registered_by)
            SELECT shard_id, %(chain)s, %(address)s, account_id, greatest(clock_timestamp(), (
                SELECT max(registered_at) + interval '1 microsecond' FROM account_addresses AS known
                WHERE known.shard_id = %(shard)s AND known.chain = %(chain)s AND known.account_id = %(account)s
            )), %(by)s
            FROM token_accounts WHERE shard_id = %(shard)s AND account_id = %(account)s
            ON CONFLICT (shard_id, chain, address) DO UPDATE
                SET registered_at = excluded.registered_at, registered_by = excluded.registered_by
                WHERE account_addresses.account_id = excluded.account_id""",
            values,
        )
        row = connection.execute(
            """SELECT address.account_id FROM token_accounts AS account LEFT JOIN account_addresses AS address
                ON address.shard_id = account.shard_id AND chain = %(chain)s AND address = %(address)s
            WHERE account.shard_id = %(shard)s AND account.account_id = %(account)s""",
            values,
        ).fetchone()
    return None if row is None else row[0]


def latest_addresses(
    connection: "psycopg.Connection", shard_id: int, chain: str, account_ids: Sequence[str]
) -> dict[str, str]:
    """The latest registered address of each of these accounts that has one. One look for each."""
    rows = connection.execute(
        """SELECT wanted, address FROM unnest(%s::text[]) AS wanted CROSS JOIN LATERAL (
            SELECT address FROM account_addresses WHERE shard_id = %s AND chain = %s AND account_id = wanted
            ORDER BY registered_at DESC LIMIT 1) AS latest""",
        (list(account_ids), shard_id, chain),
    ).fetchall()
    return dict(rows)


def owners(connection: "psycopg.Connection", shard_id: int, chain: str, addresses: Sequence[str]) -> dict[str, str]:
    """The account that has registered each of these addresses, however long ago. One look for each."""
    rows = connection.execute(
        "SELECT address, account_id FROM account_addresses WHERE shard_id = %s AND chain = %s AND address = ANY(%s)",
        (shard_id, chain, list(addresses)),
    ).fetchall()
    return dict(rows)


def account_exists(connection: "psycopg.Connection", shard_id: int, account_id: str) -> bool:
    """Whether the tables have such an account."""
    query = "SELECT FROM token_accounts WHERE shard_id = %s AND account_id = %s"
    return connection.execute(query, (shard_id, account_id)).fetchone() is not None
