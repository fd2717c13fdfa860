"""Fixtures that every test may ask for: a PostgreSQL server, fresh databases on it, and the seed.

Rule: a test that touches PostgreSQL gets a database of its own, and a test that is random takes `seed`, so that
its failure can be repeated with `--seed`.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.databases import TestServer, open_test_server

SEED_LIMIT = 2**32
LONG_FOLDERS = ("faults", "simulation", "properties")

# Times on a shared two-core machine say nothing about correctness, so Hypothesis sets no deadline; it prints the
# blob that repeats a failure.
hypothesis.settings.register_profile("callmarket", deadline=None, print_blob=True)
hypothesis.settings.load_profile("callmarket")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--seed`, which repeats a run."""
    parser.addoption("--seed", type=int, default=None, help="the seed of every random test (default: a new one)")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed once, before the header is printed."""
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(SEED_LIMIT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: the last of a run has the machine for itself, and the others wait."""
    items.sort(key=lambda item: item.path.parent.name not in LONG_FOLDERS)


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed of this run."""
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


@pytest.fixture(scope="session", autouse=True)
def marks_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what markets of the tests acknowledge away from this machine's own."""
    folder = tmp_path_factory.mktemp("marks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALLMARKET_MARKS_FOLDER", str(folder))
        yield folder


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run; it is printed, so a failing test shows it."""
    value: int = request.config.option.seed
    print(f"seed: {value} (repeat with --seed {value})")  # noqa: T201  (pytest shows it with a failure)
    return value


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[TestServer]:
    """Yield one server for the whole session, set as in production."""
    with open_test_server() as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres_server: TestServer) -> Iterator[str]:
    """Yield the name of a database that holds the schema; the others are copies of it."""
    # Imported here, so that the tests of the embedded server run even while the schema is broken.
    from callmarket.persistence.database.migrate import ensure_schema

    with postgres_server.fresh_database() as name:
        with postgres_server.connect(name) as connection:
            ensure_schema(connection)
        yield name


@pytest.fixture
def database_url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    """Yield the URL of a fresh database with the schema, for one test."""
    with postgres_server.fresh_database(template_database) as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="module")
def module_database_url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    """Yield the URL of a fresh database with the schema, shared by the tests of one file."""
    with postgres_server.fresh_database(template_database) as name:
        yield postgres_server.url(name)


@pytest.fixture
def empty_database_url(postgres_server: TestServer) -> Iterator[str]:
    """Yield the URL of a fresh database with nothing in it, for tests of the schema itself."""
    with postgres_server.fresh_database() as name:
        yield postgres_server.url(name)
