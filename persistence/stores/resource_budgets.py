"""What may be spent on research on each artifact, and what was (BRG-3).

Rule of this file: the formula is the function `resource_budget_tokens` of the database, and what counts as demand its
`demand_weight_ppm`; neither is anywhere else. What is spent is checked against them under a lock on the artifact's row,
so two at once never overspend together.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.stores.artifacts import fetch

if TYPE_CHECKING:
    import psycopg


class BudgetRow(Struct, frozen=True):
    """What may be spent on an artifact, in tokens, with all parts of the formula.

    `committed_tokens` are stakes, open positions and resting orders as they are; `demand_tokens` is what of them counts
    by the time that it has been there. `research_price` is the price that counts, 0.5 where too few have positions.
    `base_budget_tokens` is a tenth of the demand. `budget_tokens` is rounded down, and `left_tokens` is what is left of
    it after `spent_tokens`, at least 0.
    """

    artifact_id: str
    artifact_type: str
    title: str
    market_price: float
    research_price: float
    committed_tokens: int
    demand_tokens: int
    bounty_tokens: int
    base_budget_tokens: float
    uncertainty_multiplier: float
    budget_tokens: int
    spent_tokens: int
    left_tokens: int


class AllocationRow(Struct, frozen=True):
    """Tokens that work on an artifact has cost. `efficiency_score` is impact per token, None if that is not known."""

    allocation_id: int
    artifact_id: str
    tokens: int
    reference_type: str
    reference_id: str
    impact: float | None
    efficiency_score: float | None
    allocated_at: datetime
    recorded_by: str


class Spending(Struct, frozen=True):
    """Tokens that are spent on an artifact, for work that its reference names. `impact_micros` None: not known."""

    artifact_id: str
    tokens: int
    reference_type: str
    reference_id: str
    impact_micros: int | None


_BUDGET: Final = """artifact_id, artifact_type, title, market_price::float8 AS market_price,
    research_price::float8 AS research_price, committed_tokens, demand_tokens, bounty_tokens,
    base_budget_tokens::float8 AS base_budget_tokens, uncertainty_multiplier::float8 AS uncertainty_multiplier,
    budget_tokens, spent_tokens, left_tokens"""
_ALLOCATION: Final = """id AS allocation_id, artifact_id, tokens, reference_type, reference_id,
    (impact_micros * 0.000001)::float8 AS impact, efficiency_score::float8 AS efficiency_score, allocated_at,
    recorded_by"""

_KNOWN: Final = f"""SELECT {_ALLOCATION} FROM resource_allocations WHERE shard_id = %(shard)s AND artifact_id = %(id)s
    AND reference_type = %(type)s AND reference_id = %(reference)s"""  # noqa: S608


def budget(connection: "psycopg.Connection", shard_id: int, artifact_id: str) -> BudgetRow | None:
    """The budget of one artifact; None if there is none of this id. Costs what is committed to it."""
    query = f"SELECT {_BUDGET} FROM resource_budgets WHERE shard_id = %(shard)s AND artifact_id = %(id)s"  # noqa: S608
    rows = fetch(connection, BudgetRow, query, {"shard": shard_id, "id": artifact_id})
    return rows[0] if rows else None


def rankings(connection: "psycopg.Connection", shard_id: int, artifact_type: str | None, limit: int) -> list[BudgetRow]:
    """The artifacts with most left to spend, of a type or of all; equals by id. Costs all that is committed to any.

    An artifact that nothing is committed to has no budget, and is not among them.
    """
    of_type = "" if artifact_type is None else "AND artifact_type = %(type)s"
    # That something is committed lets the database begin there, and not with all artifacts.
    query = f"""SELECT {_BUDGET} FROM resource_budgets WHERE shard_id = %(shard)s AND open_commitments > 0 {of_type}
        ORDER BY left_tokens DESC, artifact_id LIMIT %(limit)s"""  # noqa: S608
    return fetch(connection, BudgetRow, query, {"shard": shard_id, "type": artifact_type, "limit": limit})


def recorded(connection: "psycopg.Connection", shard_id: int, spending: Spending) -> AllocationRow | int | None:
    """What was recorded for the reference of a spending; the tokens that are left to spend, where there is nothing.

    None if there is no such artifact. Costs as `budget`.
    """
    rows = fetch(connection, AllocationRow, _KNOWN, _values(shard_id, spending))
    return rows[0] if rows else _left_tokens(connection, shard_id, spending.artifact_id, SEQ_MAX)


def record(
    connection: "psycopg.Connection", shard_id: int, spending: Spending, by: str, bound_seq: int
) -> AllocationRow | int | None:
    """Record what was spent: its row, which for a reference that is recorded already is the row of then.

    What is left to spend, where that is less; None if there is no such artifact. One transaction, for which other
    spending on the same artifact waits. Row `bound_seq` has bound what was there to give a budget, and the tables have
    it (HLD-8): what was placed after it is free to go, and is not counted.
    """
    values = _values(shard_id, spending) | {"by": by}
    lock = "SELECT FROM artifact_records WHERE shard_id = %(shard)s AND artifact_id = %(id)s FOR NO KEY UPDATE"
    added = f"""INSERT INTO resource_allocations (shard_id, artifact_id, tokens, reference_type, reference_id,
            impact_micros, allocated_at, recorded_by)
        VALUES (%(shard)s, %(id)s, %(tokens)s, %(type)s, %(reference)s, %(impact)s, clock_timestamp(), %(by)s)
        RETURNING {_ALLOCATION}"""  # noqa: S608
    spent = """UPDATE artifact_records SET spent_tokens = spent_tokens + %(tokens)s
        WHERE shard_id = %(shard)s AND artifact_id = %(id)s"""
    with connection.transaction():
        if connection.execute(lock, values).fetchone() is None:
            return None
        rows = fetch(connection, AllocationRow, _KNOWN, values)
        if rows:
            return rows[0]
        left_tokens = _left_tokens(connection, shard_id, spending.artifact_id, bound_seq)
        if left_tokens is None or left_tokens < spending.tokens:
            return left_tokens
        connection.execute(spent, values)
        return fetch(connection, AllocationRow, added, values)[0]


def _left_tokens(connection: "psycopg.Connection", shard_id: int, artifact_id: str, placed_seq_max: int) -> int | None:
    """What may still be spent of what holds give that were placed up to a row, and positions and orders.

    Costs what is committed to the artifact.
    """
    query = """SELECT greatest(resource_budget_tokens(
            coalesce(div(sum(commitment.amount * commitment.weight_ppm)
                FILTER (WHERE commitment.reason <> 'bounty'), 1000000), 0),
            coalesce(sum(commitment.amount) FILTER (WHERE commitment.reason = 'bounty'), 0),
            artifact.research_price_micros) - artifact.spent_tokens, 0)
        FROM artifacts AS artifact LEFT JOIN artifact_commitments AS commitment
            ON commitment.shard_id = artifact.shard_id AND commitment.artifact_id = artifact.artifact_id
                AND commitment.placed_seq <= %(placed)s
        WHERE artifact.shard_id = %(shard)s AND artifact.artifact_id = %(id)s
        GROUP BY artifact.research_price_micros, artifact.spent_tokens"""
    values = {"shard": shard_id, "id": artifact_id, "placed": placed_seq_max}
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]


def _values(shard_id: int, spending: Spending) -> dict[str, object]:
    return {
        "shard": shard_id,
        "id": spending.artifact_id,
        "tokens": spending.tokens,
        "type": spending.reference_type,
        "reference": spending.reference_id,
        "impact": spending.impact_micros,
    }


def allocations_page(
    connection: "psycopg.Connection", shard_id: int, artifact_id: str, limit: int, before: int
) -> list[AllocationRow]:
    """What was spent on an artifact, the newest first, with ids below `before`: one walk of an index."""
    query = f"""SELECT {_ALLOCATION} FROM resource_allocations
        WHERE shard_id = %(shard)s AND artifact_id = %(id)s AND id < %(before)s
        ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608
    values = {"shard": shard_id, "id": artifact_id, "before": before, "limit": limit}
    return fetch(connection, AllocationRow, query, values)
