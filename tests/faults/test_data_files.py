"""A bit of the server's own files is flipped, a page is gone: the engine does not start on it, and says why.

Goal: damage below SQL is `Corrupt`, not a wrong state and not an outage that would be waited out. Method: a server is
stopped, one file of the journal is changed at a place drawn from the seed, and the server is started again.
"""

import random
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from callmarket import open_exchange
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.verify import verify
from tests.faults.data_files import CHANGES, Files, damaged, judge, write_files
from tests.support.own_server import open_own_server

KINDS = ("heap", "side table", "index", "side index")
TIMES_SLOW = 12


@pytest.fixture(scope="module")
def files(request: pytest.FixtureRequest) -> Iterator[Files]:
    with open_own_server() as server, server.market_database() as url:
        yield write_files(server, url, request.config.option.seed)


def test_checksums_are_on(files: Files) -> None:
    """The private server asks for them by name, whatever the default of its version."""
    with psycopg.connect(files.url) as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)


@pytest.mark.parametrize("times", [0, pytest.param(TIMES_SLOW, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_below_sql(files: Files, seed: int, kind: str, times: int) -> None:
    """Each file with one change that the seed draws, or with each change so many times."""
    rng = random.Random(f"{seed}/{kind}")
    seen: Counter[tuple[str, str]] = Counter()
    for name in sorted(CHANGES) * times or [rng.choice(sorted(CHANGES))]:
        with damaged(files, kind, CHANGES[name], rng):
            verdict, message = judge(files)
        seen[name, f"{verdict}: {message[:120]}"] += 1
        # An index may be damaged where nobody looks: in a page that no search of ours comes by.
        assert verdict == "found" or "index" in kind, name
    assert judge(files) == ("without effect", ""), "what was undone is undone"
    print(*(f"{kind}, {name}: {what} x {count}" for (name, what), count in seen.items()), sep="\n")  # noqa: T201


def test_an_exchange_does_not_open_on_damage(files: Files, seed: int) -> None:
    with damaged(files, "heap", CHANGES["bit flipped"], random.Random(seed)):
        with pytest.raises(Corrupt, match="damaged"):
            open_exchange(files.url, takeover=True)
        with pytest.raises(Corrupt, match="damaged"):
            verify(files.url, 0)
