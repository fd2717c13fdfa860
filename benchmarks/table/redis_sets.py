"""Bids in a sorted set of Redis, which writes each command to its disk before it answers.

Rule of this file: one set and nothing beside it, the least that can be called; one client, over a Unix socket. Equal
scores stand in the order of their members, so a member is its number with leading zeros.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import redis

from benchmarks.table.peer import Bid, Call, Called, Sizes, Step
from benchmarks.table.redis_server import append_only_bytes

KEY: Final = "bids"
CHUNK: Final = 10_000


class SortedSet:
    """ZADD, ZREM, and a call as one transaction: ZPOPMIN of the best k, and a look at the next."""

    def __init__(self, where: str) -> None:
        self._redis: Final = redis.Redis.from_url(where)
        assert self._redis.config_get("appendfsync")["appendfsync"] == "always"
        self._server_bytes_before: Final = self._server_bytes()
        self._disk_bytes_before: Final = append_only_bytes(where)
        self._url: Final = where

    def fill(self, bids: Iterable[Bid]) -> None:
        """In large commands."""
        waiting = iter(bids)
        while some := dict(member(bid) for bid in islice(waiting, CHUNK)):
            self._redis.zadd(KEY, some)

    def place(self, bid: Bid) -> Step:
        """One command."""
        pair = dict([member(bid)])

        def run() -> None:
            added = self._redis.zadd(KEY, pair)
            assert added == 1, bid

        return run

    def place_all(self, bids: Sequence[Bid]) -> Step:
        """One command."""
        pairs = dict(member(bid) for bid in bids)

        def run() -> None:
            added = self._redis.zadd(KEY, pairs)
            assert added == len(bids), added

        return run

    def cancel(self, number: int) -> Step:
        """One command."""
        name = named(number)

        def run() -> None:
            removed = self._redis.zrem(KEY, name)
            assert removed == 1, number

        return run

    def call(self, k: int) -> Call:
        """One transaction."""

        def run() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.zpopmin(KEY, k)
            pipeline.zrange(KEY, 0, 0, withscores=True)
            return list(pipeline.execute())

        return Call(run, told)

    def tidy(self) -> None:
        """Nothing follows."""

    def resting(self) -> int:
        """The size of the set."""
        return int(self._redis.zcard(KEY))

    def sizes(self) -> Sizes:
        """What the server has grown by, and its append-only file."""
        server_bytes = self._server_bytes() - self._server_bytes_before
        disk_bytes = append_only_bytes(self._url) - self._disk_bytes_before
        return Sizes(here=False, server_bytes=server_bytes, disk_bytes=disk_bytes)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _server_bytes(self) -> int:
        return int(self._redis.info("memory")["used_memory"])


def named(number: int) -> str:
    """A name whose order is that of numbers."""
    return f"{number:012d}"


def member(bid: Bid) -> tuple[str, int]:
    """A bid in the set."""
    return named(bid.number), -bid.price_tokens


def told(answer: list[Any]) -> Called:
    """Winners with their scores, and the best that is left."""
    won, left = answer
    return Called(tuple(int(name) for name, _ in won), -int(left[0][1]) if left else 0)
