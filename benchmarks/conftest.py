"""A real PostgreSQL for the benchmarks: one private server, one database per benchmark, fsync on.

Rule of this file: fixtures only.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from callmarket.persistence.embedded import EmbeddedServer, ensure_database, ensure_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """Yield one server for all benchmarks; its files are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="callmarket-bench-"))
    # PostgreSQL may run as another account than this one.
    home.chmod(0o711)
    try:
        with ensure_server(home) as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def database_url(server: EmbeddedServer) -> str:
    """A database that nobody has used."""
    name = f"bench_{next(_numbers)}"
    ensure_database(server.url("postgres"), name)
    return server.url(name)
