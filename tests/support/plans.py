"""What a question really reads: the plan of each statement, explained as it runs.

Rule of this file: it looks at plans and knows no question.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import psycopg

plans: list[tuple[str, dict[str, Any]]] = []


class Explaining(psycopg.Cursor[Any]):
    """Explains each statement as it really runs, before it is executed."""

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else query
        with psycopg.Cursor(self.connection) as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", params)
            ((plan,),) = cursor.fetchall()
        plans.append((text, (json.loads(plan) if isinstance(plan, (bytes, str)) else plan)[0]["Plan"]))
        return super().execute(query, params, **kwargs)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_read(text: str, plan: dict[str, Any], big: Collection[str]) -> int:
    """The rows that a statement reads, those it passes over included; it may not scan a table that grows."""
    read = 0
    for node in nodes(plan):
        assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in big, text
        if "Relation Name" in node:
            passed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            read += (node["Actual Rows"] + passed) * node["Actual Loops"]
    return read


def assert_little_is_read(
    connection: psycopg.Connection,
    questions: Iterable[Callable[[psycopg.Connection], object]],
    big: Collection[str],
    rows_max: int,
) -> None:
    """No question scans a table that grows, or reads more than so many rows, those it passes over included."""
    connection.cursor_factory = Explaining
    try:
        for ask in questions:
            plans.clear()
            ask(connection)
            assert plans, ask
            for text, plan in plans:
                read = rows_read(text, plan, big)
                assert read <= rows_max, (ask, read, json.dumps(plan, indent=1))
    finally:
        connection.cursor_factory = psycopg.Cursor
