"""The sources of tasks that the contract is tried on.

Rule of this file: one fixture, `work`, which gives an empty source of each kind. Those in one database are kept apart
by their shard, which they have to be anyway.
"""

from collections.abc import Iterator
from itertools import count

import pytest

from callmarket.bridge.fleet.tasks.memory import MemoryWork
from callmarket.bridge.fleet.tasks.source import Backlog
from callmarket.bridge.fleet.tasks.tables import WorkTables

_shards = count(1)


@pytest.fixture
def tables(module_database_url: str) -> Iterator[WorkTables]:
    """An empty shard of the tables."""
    with WorkTables(module_database_url, next(_shards)) as source:
        yield source


@pytest.fixture(params=["tables", "memory"])
def work(request: pytest.FixtureRequest) -> Backlog:
    """An empty source, of one kind after the other."""
    if request.param == "memory":
        return MemoryWork()
    source: WorkTables = request.getfixturevalue("tables")
    return source
