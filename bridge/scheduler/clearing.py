"""Clears the markets when they are due, and sweeps when that is due, while this process leads.

Rule of this file: one loop looks and decides, each call and each sweep is a task of its own, and no market has two
calls under way. What the market's time is, the node's clock says, read in `_instant` alone; waiting is by the loop's
own clock, never for longer than `LOOK_S`, so that a clock that is set, a changed setting and a new leader are noticed.
"""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct, field

from callmarket.bridge.api.errors import ExchangeError, Invalid, NotFound, NotLeader, Refused, Unavailable
from callmarket.bridge.api.operations.rounds import Round
from callmarket.bridge.api.units import at_us, datetime_of, duration_of
from callmarket.bridge.market.async_exchange import AsyncExchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.scheduler import queries
from callmarket.bridge.scheduler.schedule import PAUSE_US, PAUSE_US_MAX, Cadence, Instant, Probe, Watermark
from callmarket.bridge.scheduler.settings import Settings, passed_or_set
from callmarket.engine.reject import Reject
from callmarket.persistence.stores.market_cycles import CycleRow, Mode

logger: Final = logging.getLogger(__name__)

# The longest wait between two looks at the state: a look costs microseconds.
LOOK_S: Final = 0.25
# While a market is called when a slot is offered.
LOOK_FOR_OFFERS_S: Final = 0.02
# A wait that was a little too short is followed by another, not by a loop.
WAIT_S_MIN: Final = 0.001
# Markets that are due together are looked at some at a time, with others in between: each costs the loop some 0.1 ms.
CALLS_PER_STEP_MAX: Final = 50
# Between two sweeps: what falls due meanwhile is swept together.
SWEEP_GAP_US: Final = 200_000
# At the close, calls under way get this long to end. They are applied already; only their answers are waited for.
GRACE_S: Final = 1.0


class CycleStatus(Struct, frozen=True):
    """When a market is called, and how that went since this process leads. `next_at` is None where it is not known.

    `skipped`: cycles in which a round would have changed and told nothing. `missed`: cycles that passed without a call.
    `late_s_max`: how long after its time a call was made, at most.
    """

    market_id: str
    mode: Mode
    period: timedelta | None
    last_called_at: datetime | None
    next_at: datetime | None
    calls: int
    skipped: int
    missed: int
    failures: int
    late_s_max: float
    last_error: str


class MarketSchedule(Struct):
    """A market that is called from here: its cadence, its call under way, and its status."""

    cadence: Cadence
    under_way: bool = False
    last_called_at: datetime | None = None
    last_error: str = ""
    # The kinds of failures that were logged, until a call succeeds.
    logged: set[str] = field(default_factory=set)


class ClearingScheduler:
    """For one event loop: `start` it once the exchange is open, `close` it before the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        """It clears as the operator, whichever account the exchange acts for."""
        self._node = exchange.node
        self._exchange = AsyncExchange(Exchange(exchange.node))
        self._settings = Settings(exchange.node.url, exchange.node.shard_id)
        self._schedules: dict[str, MarketSchedule] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None
        self._follow: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._sweeping = False
        self._sweep_not_before_us = 0
        self._sweep_failures = 0
        self.sweeps = 0
        self.sweep_error = ""

    async def __aenter__(self) -> Self:
        """Start it, in the running loop."""
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    def start(self) -> None:
        """Begin, in the running loop."""
        assert self._main is None, "started twice"
        self._follow = asyncio.create_task(self._settings.follow(), name="cycle settings")
        self._main = asyncio.create_task(self._run(), name="cycle")
        self._main.add_done_callback(_tell_if_broken)

    async def read_settings(self) -> None:
        """A setting was changed by this process: read it now, not within a second."""
        await self._settings.read_now()

    async def close(self) -> None:
        """Stop; calls under way get a second to be answered. Raises the error that has broken the loop, if any."""
        if self._main is None or self._follow is None:
            return
        self._closing = True
        self._wake.set()
        self._settings.close()
        try:
            await self._main
        finally:
            await self._follow
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GRACE_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def status(self, market_id: str) -> CycleStatus:
        """How it stands with one market. Raises `NotFound` if there is none. It may take a second to know a new one."""
        row = self._settings.rows.get(market_id)
        if row is None:
            raise NotFound("market_id", market_id, "an open market")
        return self._status(row, self._instant())

    def statuses(self) -> list[CycleStatus]:
        """How it stands with all markets. O(markets)."""
        instant = self._instant()
        return [self._status(row, instant) for row in self._settings.rows.values()]

    def _instant(self) -> Instant:
        steady_us = int(asyncio.get_running_loop().time() * 1_000_000)
        return Instant(at_us("now", self._node.now()), steady_us)

    async def _run(self) -> None:
        while not self._closing and self._node.role != "ended":
            self._wake.clear()
            wait_s = LOOK_S
            # Where nobody can say what time it is, nothing is due.
            if self._node.role == "leader" and not self._node.time.fault:
                try:
                    wait_s = self._step()
                except Unavailable as error:
                    # It has just ended, or its journal has: the next look knows.
                    logger.info("the markets could not be looked at: %s", error)
            await passed_or_set(self._wake, max(wait_s, WAIT_S_MIN))

    def _step(self) -> float:
        """Look, and begin what is due; the seconds until there is more to do."""
        instant = self._instant()
        self._keep_up(instant)
        on_offer = [name for name, schedule in self._schedules.items() if schedule.cadence.cycle.mode == "on_offer"]
        overview = self._node.read(queries.overview(on_offer))
        for market_id in set(on_offer).difference(overview.stirring):
            self._schedules[market_id].cadence.calm()
        waits_us = [self._sweep_if_due(instant, overview)]
        due: list[MarketSchedule] = []
        for market_id, schedule in self._schedules.items():
            wait_us = None if schedule.under_way else schedule.cadence.wait_us(instant)
            if schedule.cadence.cycle.mode == "every":
                waits_us.append(wait_us)
            if wait_us == 0 and (schedule.cadence.cycle.mode == "every" or market_id in overview.stirring):
                due.append(schedule)
        # The grid waits for nobody; and what was looked at goes to the end, so that each has its turn.
        due.sort(key=lambda schedule: schedule.cadence.cycle.mode != "every")
        for schedule in due[:CALLS_PER_STEP_MAX]:
            self._look_at(schedule, instant)
            self._schedules[schedule.cadence.market_id] = self._schedules.pop(schedule.cadence.market_id)
        wait_us = min([one for one in waits_us if one is not None], default=int(LOOK_S * 1_000_000))
        return min(LOOK_FOR_OFFERS_S if on_offer else LOOK_S, wait_us / 1_000_000)

    def _keep_up(self, instant: Instant) -> None:
        """Have a schedule for each market that is not only called when asked, by its present setting."""
        rows = self._settings.rows
        for market_id in [name for name in self._schedules if name not in rows]:
            del self._schedules[market_id]
        for market_id, row in rows.items():
            schedule = self._schedules.get(market_id)
            if schedule is None:
                if row.mode != "asked":
                    watermark = self._node.read(lambda state: Watermark(state.seq, max(state.at_us, instant.now_us)))
                    self._schedules[market_id] = MarketSchedule(Cadence(market_id, row.cycle, instant, watermark))
            elif schedule.cadence.cycle != row.cycle:
                schedule.cadence.change(row.cycle, instant)

    def _look_at(self, schedule: MarketSchedule, instant: Instant) -> None:
        cadence = schedule.cadence
        command_id = cadence.command_id(instant)
        probe = self._node.read(queries.probe(cadence.market_id, instant.now_us, cadence.watermark, command_id))
        if probe is None:
            # The tables have it, so the engine has: only a history that was changed from outside leads here.
            cadence.failed(instant, instant, happened=False)
            self._note(schedule, Invalid("market_id", cadence.market_id, "a market of the engine"))
            return
        match cadence.decide(instant, probe):
            case "call":
                schedule.under_way = True
                # A clock that was set back comes to a cycle for the second time: that call needs another id, or none.
                self._spawn(self._call(schedule, instant, probe, "" if probe.called else command_id))
            case "skip":
                cadence.skip(instant)
            case "wait":
                pass

    async def _call(self, schedule: MarketSchedule, instant: Instant, probe: Probe, command_id: str) -> None:
        market_id = schedule.cadence.market_id
        try:
            cleared = await self._clear(market_id, command_id)
        except ExchangeError as error:
            # Unavailable says that nothing happened. Any other may have happened or is recorded; if it is lost all the
            # same, this process has ended, and the next to lead finds no receipt of this cycle.
            schedule.cadence.failed(instant, self._instant(), happened=not isinstance(error, Unavailable))
            self._note(schedule, error)
        else:
            schedule.cadence.called(instant, probe)
            schedule.last_called_at = cleared.stamp.at
            if schedule.logged:
                logger.warning("market %s is called again", market_id)
                schedule.logged.clear()
            schedule.last_error = ""
        finally:
            schedule.under_way = False
            self._wake.set()

    async def _clear(self, market_id: str, command_id: str) -> Round:
        try:
            return await self._exchange.clear_round(market_id, command_id=command_id)
        except Refused as refused:
            if refused.reason is not Reject.RETRIES_FULL:
                raise
            # Without an id a takeover in this very cycle may call it twice, which is better than that nobody does.
            return await self._exchange.clear_round(market_id)

    def _note(self, schedule: MarketSchedule, error: ExchangeError) -> None:
        """Each kind of failure is logged once, until a call succeeds; a change of the leader is none."""
        kind = type(error).__name__
        schedule.last_error = f"{kind}: {error}"
        if kind not in schedule.logged and not isinstance(error, NotLeader):
            schedule.logged.add(kind)
            logger.warning("market %s could not be called: %s", schedule.cadence.market_id, schedule.last_error)

    def _sweep_if_due(self, instant: Instant, overview: queries.Overview) -> int | None:
        """Begin a sweep if one is due. In how many microseconds the next one can be; None if nothing has a deadline."""
        if overview.sweep_us is None:
            return None
        # A call sweeps its own losers.
        losers_only = overview.sweep_us == 0 and any(schedule.under_way for schedule in self._schedules.values())
        wait_us = max(
            self._sweep_not_before_us - instant.steady_us, overview.sweep_us - max(overview.at_us, instant.now_us), 0
        )
        if self._sweeping or losers_only:
            return SWEEP_GAP_US
        if wait_us == 0:
            self._sweeping = True
            self._spawn(self._sweep())
            return SWEEP_GAP_US
        return wait_us

    async def _sweep(self) -> None:
        pause_us = SWEEP_GAP_US
        try:
            await self._exchange.refund_unfilled()
        except ExchangeError as error:
            if not self._sweep_failures:
                logger.warning("what is due could not be swept: %s", error)
            pause_us = min(PAUSE_US_MAX, PAUSE_US << min(self._sweep_failures, 10))
            self._sweep_failures += 1
            self.sweep_error = f"{type(error).__name__}: {error}"
        else:
            self.sweeps += 1
            self._sweep_failures = 0
            self.sweep_error = ""
        finally:
            self._sweep_not_before_us = self._instant().steady_us + pause_us
            self._sweeping = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_tell_if_broken)

    def _status(self, row: CycleRow, instant: Instant) -> CycleStatus:
        schedule = self._schedules.get(row.market_id)
        cadence = None if schedule is None else schedule.cadence
        leads = self._node.role == "leader"
        next_us = cadence.announced_us(instant) if cadence is not None and leads else None
        return CycleStatus(
            market_id=row.market_id,
            mode=row.mode,
            period=None if row.period_us is None else duration_of(row.period_us),
            last_called_at=None if schedule is None else schedule.last_called_at,
            next_at=None if next_us is None else datetime_of(next_us),
            calls=0 if cadence is None else cadence.calls,
            skipped=0 if cadence is None else cadence.skipped,
            missed=0 if cadence is None else cadence.missed,
            failures=0 if cadence is None else cadence.failures,
            late_s_max=0.0 if cadence is None else cadence.late_us_max / 1_000_000,
            last_error="" if schedule is None else schedule.last_error,
        )


def _tell_if_broken(task: asyncio.Task[None]) -> None:
    """A failure that nobody expected is told at once, not when somebody closes."""
    if not task.cancelled() and task.exception() is not None:
        logger.critical("%s has broken: markets may not be called", task.get_name(), exc_info=task.exception())
