"""A market as its users have it: `callmarket serve` as a process of its own, asked over HTTP, and its tables by SQL.

Rule of this file: one service for all tests of this folder; each opens a market and accounts under names of its own.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from callmarket import Client
from callmarket.bridge.fleet.tasks.tables import WorkTables
from tests.support.databases import TestServer
from tests.support.service_process import ServiceProcess, served


@pytest.fixture(scope="session")
def service_url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    """The database of the service."""
    with postgres_server.fresh_database(template_database) as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="session")
def service(service_url: str) -> Iterator[ServiceProcess]:
    """The service."""
    with served(service_url, environment={"CALLMARKET_LLM_TOKENS_PER_TOKEN": "250"}) as running:
        yield running


@pytest.fixture(scope="session")
def client(service: ServiceProcess) -> Iterator[Client]:
    """The market over HTTP, by the admin's key, for who then reads the tables by SQL of their own."""
    with Client(service.url, service.key, ack="projected") as market:
        yield market


@pytest.fixture(scope="session")
def work(service: ServiceProcess, service_url: str) -> Iterator[WorkTables]:
    """The tables of work beside it."""
    with WorkTables(service_url) as tables:
        yield tables


@pytest.fixture
def sql(service_url: str) -> Iterator[psycopg.Connection[dict[str, object]]]:
    """A connection of whoever reads the tables."""
    with psycopg.connect(service_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection
