"""Fixtures of the bridge: an exchange on a fresh database, a clock that the test sets, a server that it may stop."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from callmarket import Exchange, ManualClock, open_exchange
from tests.support.gone_back import Backups, backups_of
from tests.support.own_server import OwnServer, open_own_server

START_US = 1_800_000_000_000_000


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, marks_folder: Path) -> None:
    """Settings of whoever runs the tests are none of theirs."""
    for name in os.environ:
        if name.startswith("CALLMARKET_") and not name.startswith("CALLMARKET_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CALLMARKET_MARKS_FOLDER", str(marks_folder))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at a fixed time."""
    return ManualClock(START_US)


@pytest.fixture
def market(database_url: str, clock: ManualClock) -> Iterator[Exchange]:
    """An open exchange with nothing in it."""
    with open_exchange(database_url, clock=clock) as exchange:
        yield exchange


@pytest.fixture
def backups(database_url: str) -> Iterator[Backups]:
    """Earlier states of the fresh database, to which it may go back."""
    with backups_of(database_url) as found:
        yield found


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnServer]:
    """A server that tests may stop, freeze and kill; each leaves it running."""
    with open_own_server() as server:
        yield server


@pytest.fixture
def own_url(own_server: OwnServer) -> Iterator[str]:
    """A fresh database with the schema on that server."""
    with own_server.market_database() as url:
        yield url
