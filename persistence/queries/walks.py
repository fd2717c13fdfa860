"""How a list goes on: one walk of an index from a key on, and one for each status, merged.

Rule of this file: it names no table. What is put into a query is constants of those who ask; what varies goes in as
parameters.
"""

from typing import TYPE_CHECKING, Any, TypeVar

from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.database.row_factories import row_of
from callmarket.persistence.queries.rows import Paging

if TYPE_CHECKING:
    import psycopg

R = TypeVar("R")


def walk(columns: str, table: str, owner: str, key: str, page: Paging) -> str:
    """One walk of an index that ends with the key. `floor` and `ceiling` are its ends, both left out."""
    ceiling = f" AND {key} < %(ceiling)s" if page.newest else ""
    return f"""SELECT {columns} FROM {table} WHERE shard_id = %(shard)s AND {owner}
        AND {key} > %(floor)s{ceiling} ORDER BY {table}.{key} {direction(page)} LIMIT %(limit)s"""  # noqa: S608


def walks(columns: str, table: str, owner: str, key: tuple[str, str], page: Paging) -> str:
    """One walk for each of the statuses, merged. `key` is its name in the table and in the result."""
    one = walk(columns, table, f"{owner} AND status = wanted", key[0], page)
    return f"""SELECT found.* FROM unnest(%(statuses)s::text[]) AS wanted CROSS JOIN LATERAL ({one}) AS found
        ORDER BY found.{key[1]} {direction(page)} LIMIT %(limit)s"""  # noqa: S608 -- made of this file's constants


def direction(page: Paging) -> str:
    """The order in which the key goes."""
    return "DESC" if page.newest else "ASC"


def bound_of(shard_id: int, page: Paging) -> dict[str, Any]:
    """The values of a walk: the key goes from `floor` to `ceiling`."""
    if page.newest:
        ceiling = SEQ_MAX + 1 if page.after is None else page.after
        return {"shard": shard_id, "limit": page.limit, "floor": 0, "ceiling": ceiling}
    return {"shard": shard_id, "limit": page.limit, "floor": 0 if page.after is None else page.after}


def raise_floor(
    connection: "psycopg.Connection", query: str, values: tuple[object, ...], bound: dict[str, Any]
) -> bool:
    """Let a walk begin no earlier than the row that a query finds. Returns whether there is one."""
    found = connection.execute(query.encode(), values).fetchone()
    if found is not None:
        bound["floor"] = max(bound["floor"], found[0] - 1)
    return found is not None


def fetched(
    connection: "psycopg.Connection", kind: type[R], query: str, values: tuple[Any, ...] | dict[str, Any]
) -> list[R]:
    """The rows that a query finds. Its text is made of its author's constants; what varies goes in as parameters."""
    with connection.cursor(row_factory=row_of(kind)) as cursor:
        return cursor.execute(query, values).fetchall()
