"""When markets are to be called, as people say it; and the settings of all markets, followed as they change.

Rule of this file: settings only. They are the tables' and belong to everybody: this process, another, or a person with
`callmarket cycle` may change them, so they are read again every second, and an old reading holds while the database is
away.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, get_args

import psycopg

from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.units import duration_us
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import PersistenceError
from callmarket.persistence.stores.market_cycles import (
    PERIOD_US_MAX,
    PERIOD_US_MIN,
    Cycle,
    CycleRow,
    Mode,
    read_cycles,
    write_cycle,
)

logger: Final = logging.getLogger(__name__)

# How soon a change by another process is noticed.
POLL_S: Final = 1.0
# A server that does not answer such a small question by then is unavailable.
_ANSWER_S_MAX: Final = 5.0

_PERIOD: Final = re.compile(r"([0-9]{1,9})(\.[0-9]{1,6})?(ms|s|m|h|d|)")
_UNIT_US: Final = {"ms": 1_000, "": 1_000_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def cycle_of(mode: str, period: timedelta | None = None) -> Cycle:
    """A setting from what people give. Raises `Invalid`."""
    if mode not in get_args(Mode):
        raise Invalid("mode", mode, f"one of {', '.join(get_args(Mode))}")
    if mode != "every":
        if period is not None:
            raise Invalid("period", period, f"none for the mode {mode}")
        return Cycle("on_offer" if mode == "on_offer" else "asked")
    if period is None:
        raise Invalid("period", period, "a timedelta for the mode every")
    period_us = duration_us("period", period)
    if not PERIOD_US_MIN <= period_us <= PERIOD_US_MAX:
        raise Invalid("period", period, f"{_seconds(PERIOD_US_MIN)} s to {_seconds(PERIOD_US_MAX)} s (a week)")
    return Cycle("every", period_us)


def period_of(text: str) -> timedelta:
    """A period as people write it: `500ms`, `60s` or `60`, `1.5m`, `1h`, `7d`. Raises `Invalid`."""
    found = _PERIOD.fullmatch(text.strip())
    if found is None:
        raise Invalid("period", text, "a number and a unit: 500ms, 60s, 5m, 1h, 7d")
    whole, part, unit = found.groups()
    us = int(whole) * _UNIT_US[unit] + int((part or ".0")[1:].ljust(6, "0")) * _UNIT_US[unit] // 1_000_000
    if us > PERIOD_US_MAX:
        raise Invalid("period", text, "a week at most")
    return timedelta(microseconds=us)


def set_cycle(connection: psycopg.Connection, shard_id: int, market_id: str, cycle: Cycle, updated_by: str) -> CycleRow:
    """Set when a market is called. Raises `NotFound` if there is no such market."""
    row = write_cycle(connection, shard_id, market_id, cycle, updated_by)
    if row is None:
        raise NotFound("market_id", market_id, "an open market")
    return row


class Settings:
    """The settings of all markets of a shard, as of the last time that the database answered. For one event loop."""

    def __init__(self, url: str, shard_id: int) -> None:
        """Nothing is read yet: `follow` does."""
        self.rows: Mapping[str, CycleRow] = {}
        self._shard_id = shard_id
        self._connection = SingleUseConnection(
            partial(connect, url, "callmarket cycles", read_only=True, answer_s_max=_ANSWER_S_MAX)
        )
        self._asked = asyncio.Event()
        # Readings that have begun, and the latest that has ended; a waiter waits for one that begins after its own
        # change.
        self._begun = 0
        self._ended = 0
        self._ending = asyncio.Condition()
        self._failing = False
        self._closed = False

    async def read_now(self) -> None:
        """Read them again at once: something was set. Returns when it is known, or when the database is unavailable."""
        mine = self._begun + 1
        self._asked.set()
        try:
            async with asyncio.timeout(_ANSWER_S_MAX), self._ending:
                await self._ending.wait_for(lambda: self._ended >= mine or self._closed)
        except TimeoutError:
            return

    async def follow(self) -> None:
        """Read them every second, and when asked to, until `close`."""
        try:
            while not self._closed:
                self._asked.clear()
                self._begun += 1
                await self._refresh()
                async with self._ending:
                    self._ended = self._begun
                    self._ending.notify_all()
                if not self._closed:
                    await passed_or_set(self._asked, POLL_S)
        finally:
            self._closed = True
            async with self._ending:
                self._ending.notify_all()
            self._connection.close()

    def close(self) -> None:
        """Let `follow` come to its end soon, also where the database does not answer."""
        self._closed = True
        self._asked.set()
        self._connection.interrupt()

    async def _refresh(self) -> None:
        try:
            rows = await asyncio.to_thread(self._read)
        except PersistenceError as error:
            self._notify(error)
        else:
            self.rows = {row.market_id: row for row in rows}
            self._notify(None)

    def _read(self) -> Sequence[CycleRow]:
        with self._connection.use() as connection:
            return read_cycles(connection, self._shard_id)

    def _notify(self, error: PersistenceError | None) -> None:
        """Once when it begins, once when it ends."""
        if error is not None and not self._failing and not self._closed:
            logger.warning("when to call markets cannot be read; what was set before holds: %s", error)
        if error is None and self._failing:
            logger.warning("when to call markets can be read again")
        self._failing = error is not None


async def passed_or_set(event: asyncio.Event, seconds: float) -> None:
    """Wait until the time has passed or the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _seconds(us: int) -> str:
    return f"{us / 1_000_000:g}"
