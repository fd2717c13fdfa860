"""Artifacts, and the claimants of bounties: read and written.

Rule of this file: statements only, each one transaction of its own. Nothing here moves a token: stakes and bounties are
holds, which the journal has, and are only read.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from msgspec import Struct

from callmarket.persistence.database.row_factories import row_of

if TYPE_CHECKING:
    import psycopg


R = TypeVar("R")

BountyStatus = Literal["open", "claimed", "paid", "withdrawn", "expired"]

# What nobody has priced is as uncertain as can be.
PRICE_MICROS_FIRST: Final = 500_000
# As the view `artifacts` says it. No account is called so: it has a space.
PRICED_BY_MARKET: Final = "its market"

_ARTIFACT: Final = """artifact_id, artifact_type, title, market_price::float8 AS market_price, priced_at, priced_by,
    created_at, updated_at"""
_BOUNTY: Final = """id AS bounty_id, posted_seq, artifact_id, bounty_source, posted_by, tokens_offered,
    coalesce(tokens_paid, 0) AS tokens_paid, status, claimant_id, description, expires_at, created_at, updated_at"""
# The status of a bounty's hold: what an index can walk.
_HOLD_STATUS: Final = {
    "open": "open",
    "claimed": "open",
    "paid": "captured",
    "withdrawn": "released",
    "expired": "expired",
}


class ArtifactRow(Struct, frozen=True):
    """An artifact, with its price between 0 and 1, and who set that: `its market`, where it has one."""

    artifact_id: str
    artifact_type: str
    title: str
    market_price: float
    priced_at: datetime
    priced_by: str
    created_at: datetime
    updated_at: datetime


class BountyRow(Struct, frozen=True):
    """Tokens offered for work on an artifact, and where that stands.

    `posted_seq` is the journal row that posted it, `bounty_source` the account whose tokens they are. `claimant_id`
    works for it or, of one that was paid, was paid.
    """

    bounty_id: str
    posted_seq: int
    artifact_id: str
    bounty_source: str
    posted_by: str
    tokens_offered: int
    tokens_paid: int
    status: BountyStatus
    claimant_id: str | None
    description: str
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


def put_artifact(
    connection: "psycopg.Connection", shard_id: int, artifact_id: str, artifact_type: str, title: str, by: str
) -> ArtifactRow:
    """Add an artifact, or change what it is called. Its price stays; that of a new one is 0.5."""
    query = """INSERT INTO artifact_records AS known (shard_id, artifact_id, artifact_type, title, market_price_micros,
            priced_at, priced_by, created_at, updated_at)
        VALUES (%(shard)s, %(id)s, %(type)s, %(title)s, %(micros)s, clock_timestamp(), %(by)s, clock_timestamp(),
            clock_timestamp())
        ON CONFLICT (shard_id, artifact_id) DO UPDATE SET artifact_type = excluded.artifact_type,
            title = excluded.title, updated_at = excluded.updated_at"""
    values = {"shard": shard_id, "id": artifact_id, "type": artifact_type, "title": title, "by": by}
    with connection.transaction():
        connection.execute(query, values | {"micros": PRICE_MICROS_FIRST})
        row = artifact(connection, shard_id, artifact_id)
    assert row is not None, "an artifact is never removed"
    return row


def set_market_price(
    connection: "psycopg.Connection", shard_id: int, artifact_id: str, price_micros: int, by: str
) -> ArtifactRow | None:
    """Set the price of an artifact; None if there is none of this id.

    One that its market prices stays as it is, and the row says so: it was priced by `PRICED_BY_MARKET`.
    """
    query = """UPDATE artifact_records AS record SET market_price_micros = %(micros)s, priced_by = %(by)s,
            priced_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE shard_id = %(shard)s AND artifact_id = %(id)s AND NOT EXISTS (SELECT FROM artifact_markets AS market
            WHERE market.shard_id = record.shard_id AND market.artifact_id = record.artifact_id)"""
    values = {"shard": shard_id, "id": artifact_id, "micros": price_micros, "by": by}
    with connection.transaction():
        connection.execute(query, values)
        return artifact(connection, shard_id, artifact_id)


def artifact(connection: "psycopg.Connection", shard_id: int, artifact_id: str) -> ArtifactRow | None:
    """One artifact; None if there is none of this id."""
    query = f"SELECT {_ARTIFACT} FROM artifacts WHERE shard_id = %(shard)s AND artifact_id = %(id)s"  # noqa: S608
    return _first(fetch(connection, ArtifactRow, query, {"shard": shard_id, "id": artifact_id}))


def artifacts_page(
    connection: "psycopg.Connection", shard_id: int, artifact_type: str | None, limit: int, after: str | None
) -> list[ArtifactRow]:
    """Artifacts of a type, or all, by id: one walk of an index."""
    of_type = "" if artifact_type is None else "AND artifact_type = %(type)s"
    query = f"""SELECT {_ARTIFACT} FROM artifacts WHERE shard_id = %(shard)s {of_type}
        AND artifact_id > %(after)s ORDER BY artifact_id LIMIT %(limit)s"""  # noqa: S608
    values = {"shard": shard_id, "type": artifact_type, "after": after or "", "limit": limit}
    return fetch(connection, ArtifactRow, query, values)


def bounty(connection: "psycopg.Connection", shard_id: int, bounty_id: str, account_id: str) -> BountyRow | None:
    """An account's bounty; None if it has none of this id. Its latest hold of the name may be for something else."""
    query = f"""SELECT {_BOUNTY} FROM token_bounties WHERE shard_id = %(shard)s
        AND posted_seq = (SELECT max(placed_seq) FROM token_holds
            WHERE shard_id = %(shard)s AND account_id = %(account)s AND hold_id = %(id)s)"""  # noqa: S608
    values = {"shard": shard_id, "account": account_id, "id": bounty_id}
    return _first(fetch(connection, BountyRow, query, values))


def bounties_page(
    connection: "psycopg.Connection",
    shard_id: int,
    artifact_id: str | None,
    status: BountyStatus | None,
    limit: int,
    before: int,
) -> list[BountyRow]:
    """Bounties for an artifact, or all, the newest first, posted before a row: one walk for each status of their holds.

    Asked for open ones it passes over the claimed, and the other way round.
    """
    wanted = [status] if status else list(get_args(BountyStatus))
    of_artifact = "" if artifact_id is None else "AND artifact_id = %(artifact)s"
    # The others follow from the status of the hold; asked for all the same, they would be taken for rare and sorted.
    of_status = "AND status = %(status)s" if status in ("open", "claimed") else ""
    query = f"""SELECT found.* FROM unnest(%(hold_statuses)s::text[]) AS wanted CROSS JOIN LATERAL (
            SELECT {_BOUNTY} FROM token_bounties WHERE shard_id = %(shard)s {of_artifact} {of_status}
                AND hold_status = wanted AND posted_seq < %(before)s
            ORDER BY posted_seq DESC LIMIT %(limit)s) AS found
        ORDER BY found.posted_seq DESC LIMIT %(limit)s"""  # noqa: S608
    values = {
        "shard": shard_id,
        "artifact": artifact_id,
        "hold_statuses": sorted({_HOLD_STATUS[one] for one in wanted}),
        "status": status,
        "before": before,
        "limit": limit,
    }
    return fetch(connection, BountyRow, query, values)


def claim_bounty(connection: "psycopg.Connection", shard_id: int, posted_seq: int, claimant_id: str) -> None:
    """Let an account work for a bounty, if that is open, is not its own, and nobody does. Of any number one gets it."""
    query = """INSERT INTO bounty_claims (shard_id, posted_seq, claimant_id, claimed_at)
        SELECT bounty.shard_id, bounty.posted_seq, account.account_id, clock_timestamp()
        FROM token_bounties AS bounty JOIN token_accounts AS account ON account.shard_id = bounty.shard_id
        WHERE bounty.shard_id = %s AND bounty.posted_seq = %s AND bounty.status = 'open' AND account.account_id = %s
            AND account.account_id <> bounty.bounty_source
        ON CONFLICT (shard_id, posted_seq) DO NOTHING"""
    connection.execute(query, (shard_id, posted_seq, claimant_id))


def _first(rows: list[R]) -> R | None:
    return rows[0] if rows else None


def fetch(connection: "psycopg.Connection", kind: type[R], query: str, values: dict[str, Any]) -> list[R]:
    """The rows of a query of this package, which is made of constants: what varies goes in as `values`."""
    with connection.cursor(row_factory=row_of(kind)) as cursor:
        return cursor.execute(query.encode(), values).fetchall()
