"""A stage for workers: an exchange and tables of work that the tests of a file share, a market for each test.

Rule of this file: `stage` comes twice, in the market's own process with tasks in memory, and over HTTP with tasks in
tables, so that both ways to a market and both sources are worked by.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from callmarket import Client, Exchange, ManualClock, open_exchange
from callmarket.bridge.fleet.tasks.memory import MemoryWork
from callmarket.bridge.fleet.tasks.tables import WorkTables
from tests.bridge.conftest import START_US
from tests.support.served_market import served
from tests.support.work_stage import Stage

_names = count(1)


@pytest.fixture(scope="module")
def module_clock() -> ManualClock:
    """A clock that stands still until a test sets it forward."""
    return ManualClock(START_US)


@pytest.fixture(scope="module")
def owner(module_database_url: str, module_clock: ManualClock) -> Iterator[Exchange]:
    """The exchange of this file's tests."""
    with open_exchange(module_database_url, clock=module_clock) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def over_http(owner: Exchange, module_database_url: str) -> Iterator[tuple[Client, WorkTables]]:
    """A client of that exchange, and tables of work."""
    with ExitStack() as stack:
        market = stack.enter_context(served(owner))
        client = stack.enter_context(Client(market.url, market.key(admin=True)))
        yield client, stack.enter_context(WorkTables(module_database_url))


@pytest.fixture(params=["exchange", "client"])
def stage(request: pytest.FixtureRequest, owner: Exchange, module_clock: ManualClock) -> Stage:
    """A market of this test's own, by one way after the other."""
    name = str(next(_names))
    if request.param == "exchange":
        return Stage(owner, owner, MemoryWork(), name, module_clock)
    client, tables = request.getfixturevalue("over_http")
    return Stage(owner, client, tables, name, module_clock)
