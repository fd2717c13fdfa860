"""Every peer of the table, what it needs, and what it does not do.

Rule of this file: names only, so that nothing of a peer is imported in another one's process. `lacks` is what ours does
and this one does not; it stands beside its figures.
"""

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.table import redis_server
from benchmarks.table.peer import Peer

Needs = Literal["nothing", "postgres", "redis"]


@dataclass(frozen=True)
class Entry:
    """A peer: how the table names it, and the class of this folder that is it."""

    name: str
    module: str
    adapter: str
    lacks: str = ""
    needs: Needs = "nothing"
    package: str = ""

    def absent(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        if self.needs == "redis":
            return redis_server.absent()
        if self.package and importlib.util.find_spec(self.package) is None:
            return f"the package {self.package} is not installed"
        return ""

    def open(self, where: str) -> Peer:
        """The peer, at a URL if it needs one. Imports it."""
        adapter = getattr(importlib.import_module(f"benchmarks.table.{self.module}"), self.adapter)
        peer: Peer = adapter() if self.needs == "nothing" else adapter(where)
        return peer


_ORDER: Final = "wallets, ledger, journal, expiry, rules, retries"
_BOOK: Final = f"durability, {_ORDER}"

ENGINE: Final = Entry("ours, the engine alone", "engine_alone", "EngineAlone", "durability, journal")
PEERS: Final = (
    Entry("ours, durable", "durable", "Durable", needs="postgres"),
    ENGINE,
    Entry("the auction in SQL", "sql", "Auction", "ledger, journal, rules, retries", needs="postgres"),
    Entry("SKIP LOCKED job queue", "sql", "JobQueue", f"price, {_ORDER}", needs="postgres"),
    Entry("Redis sorted set, fsync always", "redis_sets", "SortedSet", _ORDER, needs="redis"),
    Entry("heapq", "lists", "Heap", _BOOK),
    Entry("list and bisect", "lists", "Bisected", _BOOK),
    Entry("SortedList", "lists", "Sorted", _BOOK),
    Entry("orderly-chaos (C++)", "books.orderly", "Orderly", _BOOK, package="orderly_chaos"),
    Entry("litebook (Rust)", "books.lite", "Lite", _BOOK, package="litebook"),
    Entry("pyorderbook (Python)", "books.pure", "Pure", f"price, {_BOOK}", package="pyorderbook"),
)


def present() -> Iterator[Entry]:
    """Those that can be measured here."""
    return (entry for entry in PEERS if not entry.absent())
