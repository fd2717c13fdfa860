"""Damage of the server's own files: what lies below SQL, where only PostgreSQL's checksums and our digests look.

Rule of this file: the server is stopped while its files are changed, and started as if nothing had happened.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from callmarket.engine.commands import ADMIN, OPERATOR, ClearRound, Mint, OfferSlot, OpenAccount, OpenMarket, PlaceBid
from callmarket.persistence.errors import Corrupt, Diverged
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import rehearse
from tests.faults.stored_bytes import Verdict, flip
from tests.support.following import level
from tests.support.own_server import OwnServer
from tests.support.sealed import Sealer

BIDDERS = 10
CALLS = 16
SLOTS = 60
PAGE_BYTES = 8192
# Values of more than a quarter of a page, compressed, lie in the table's side table (TOAST).
_FILES = """
    SELECT 'heap', pg_relation_filepath('journal')
    UNION ALL SELECT 'side table', pg_relation_filepath(reltoastrelid) FROM pg_class WHERE oid = 'journal'::regclass
    UNION ALL SELECT 'index', pg_relation_filepath('journal_pkey')
    UNION ALL SELECT 'side index', pg_relation_filepath(indexrelid) FROM pg_index
        WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'journal'::regclass)
"""

Change = Callable[[bytes, random.Random], bytes]


def pages_used(data: bytes) -> int:
    """How many pages hold something: PostgreSQL makes a file longer by more pages than it fills at once."""
    return -(-len(data.rstrip(b"\0")) // PAGE_BYTES)


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    used = pages_used(data) * PAGE_BYTES
    return flip(data[:used], rng) + data[used:]


def zero_page(data: bytes, rng: random.Random) -> bytes:
    """A page of zeros is a page that was never written, and passes every checksum."""
    start = rng.randrange(pages_used(data)) * PAGE_BYTES
    return data[:start] + bytes(PAGE_BYTES) + data[start + PAGE_BYTES :]


def cut_pages(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(pages_used(data)) * PAGE_BYTES]


CHANGES: dict[str, Change] = {"bit flipped": flip_bit, "page zeroed": zero_page, "pages cut": cut_pages}


@dataclass(frozen=True)
class Files:
    """A market's history on a server of its own, and the files of its journal."""

    server: OwnServer
    url: str
    image: bytes
    paths: dict[str, Path]


def history(rng: random.Random) -> Sealer:
    """Calls of many slots, whose rows are too large for a page of the heap, among many small rows."""
    sealer = Sealer()
    sealer.do(ADMIN, OpenMarket("gpu"))
    for bidder in range(BIDDERS):
        sealer.do(ADMIN, OpenAccount(f"agent{bidder}", "agent"))
        sealer.do(ADMIN, Mint(f"agent{bidder}", 10**9, "grant:first"))
    for call in range(CALLS):
        for number in range(SLOTS):
            sealer.do(OPERATOR, OfferSlot("gpu", f"slot{call}-{number}", 0))
            bidder = f"agent{rng.randrange(BIDDERS)}"
            sealer.do(bidder, PlaceBid("gpu", bidder, f"task{rng.getrandbits(60)}", rng.randint(1, 10**6)))
        sealer.do(OPERATOR, ClearRound("gpu"))
    return sealer


def write_files(server: OwnServer, url: str, seed: int) -> Files:
    """A history that fills some pages of each file."""
    sealer = history(random.Random(seed))
    with PostgresJournal(url, 0) as journal:
        journal.claim()
        journal.append(sealer.rows)
    with psycopg.connect(level(url)) as connection:
        found = connection.execute(_FILES).fetchall()
    paths = {kind: server.home / "data" / path for kind, path in found}
    with server.away():
        assert all(path.stat().st_size >= 2 * PAGE_BYTES for path in paths.values()), "no file to damage"
    return Files(server, url, sealer.engine.state.encode(), paths)


@contextmanager
def damaged(files: Files, kind: str, change: Change, rng: random.Random) -> Iterator[None]:
    """The server runs on the damaged file within the block; afterwards it runs on the whole one."""
    path = files.paths[kind]
    with files.server.away():
        whole = {one: one.read_bytes() for one in files.paths.values()}
        path.write_bytes(change(whole[path], rng))
    try:
        yield
    finally:
        with files.server.away():
            # All of them: on its way a search marks entries of an index as dead whose rows it did not find.
            for one, content in whole.items():
                one.write_bytes(content)


def judge(files: Files) -> tuple[Verdict, str]:
    """Recover from what is there. Raises `AssertionError` if the state is a wrong one."""
    try:
        with PostgresJournal(files.url, 0, reader=True) as journal:
            recovered, _ = rehearse(journal)
    except (Corrupt, Diverged) as error:
        return "found", str(error)
    assert recovered.engine.state.encode() == files.image, "a wrong state was recovered"
    return "without effect", ""
