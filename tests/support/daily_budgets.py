"""Fixtures of the daily budget: its tables, each test in a shard of its own of one database."""

from collections.abc import Iterator
from itertools import count

import pytest

from callmarket import ManualClock
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from tests.bridge.conftest import START_US

_SHARDS = count(1)


@pytest.fixture
def shard_id() -> int:
    """A shard that nobody else has."""
    return next(_SHARDS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_US)


@pytest.fixture
def budgets(module_database_url: str, shard_id: int, clock: ManualClock) -> Iterator[DailyBudgets]:
    with DailyBudgets(module_database_url, shard_id, clock) as opened:
        yield opened
