"""Whether the auction can be used, or the daily budget pays.

Rule of this file: it looks and decides; it pays for nothing. Each process has a switch of its own and two may differ
for a while: that is harmless, because a task's claim names its payer, and there is one.
"""

import logging
import threading
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from callmarket.bridge.api.clock import Clock, EvenClock
from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import DEFAULTS, Config
from callmarket.bridge.fleet.tasks.model import Payer
from callmarket.engine.ids import NO_AWARD, AwardId

logger: Final = logging.getLogger(__name__)


class Probe(Struct, frozen=True):
    """What one look has seen: the latest award, and whether a call now would have both slots and bids for them."""

    latest_award_id: AwardId
    has_both: bool


class SwitchStatus(Struct, frozen=True):
    """Which one pays, since when, and why the auction cannot be used (empty while it can)."""

    paying: Payer
    since: datetime
    why: str
    looked_at: datetime | None


class HealthTracker:
    """What a row of looks says of the auction. Pure: it is told what was seen, and when.

    *Away*: `auction_failures_max` looks in a row had no answer; until `auction_answers_min` in a row have one.
    *Fruitless*: at every look for `auction_fruitless_s` there were bids and slots, and nothing was sold; until
    something is. A look that sees no bids or no slots begins that time anew: with nothing to sell, an auction that
    sells nothing works. Looks without an answer neither begin nor end it.
    """

    def __init__(self, config: Config = DEFAULTS) -> None:
        """Nothing was seen yet: the auction is trusted."""
        self._config: Final = config
        self._failures = 0
        self._answers = 0
        self._latest_award_id: AwardId | None = None
        self._both_since_us: int | None = None
        self._failure = ""
        self.is_away = False
        self.is_fruitless = False

    @property
    def why(self) -> str:
        """Why the auction cannot be used; empty while it can."""
        if self.is_away:
            return f"the market does not answer: {self._failure}"
        if self.is_fruitless:
            return f"bids and slots for {self._config.auction_fruitless_s:g} s and nothing sold"
        return ""

    def failed(self, why: str) -> None:
        """Take in a probe without an answer."""
        self._failures += 1
        self._answers = 0
        self._failure = why
        if self._failures >= self._config.auction_failures_max:
            self.is_away = True

    def on_probe(self, probe: Probe, now_us: int) -> None:
        """Take in a probe's answer."""
        self._failures = 0
        self._answers += 1
        if self._answers >= self._config.auction_answers_min:
            self.is_away = False
        sold = self._latest_award_id is not None and probe.latest_award_id > self._latest_award_id
        self._latest_award_id = probe.latest_award_id
        if sold:
            self.is_fruitless = False
        if sold or not probe.has_both:
            self._both_since_us = None
        elif self._both_since_us is None:
            self._both_since_us = now_us
        elif now_us - self._both_since_us >= self._config.auction_fruitless_s * 1_000_000:
            self.is_fruitless = True


class FallbackSwitch:
    """Looks at a market every `auction_look_s`, in a thread of its own, and says whether it can be used.

    For many threads. `start` it, or use it as a context manager; `look` is one look by hand. A market that does not
    answer is waited for as long as `market` waits: give it a client with a `timeout_s` of a few seconds.
    """

    def __init__(self, market: Market, market_id: str, clock: Clock | None = None, config: Config = DEFAULTS) -> None:
        """Nothing is asked yet, and the auction is trusted."""
        self._market: Final = market
        self._market_id: Final = market_id
        # By a clock that leaps, an auction would have sold nothing for years.
        self._clock: Final = clock or EvenClock()
        self._look_s: Final = config.auction_look_s
        self._health: Final = HealthTracker(config)
        self._status = SwitchStatus("auction", datetime_of(self._clock()), "", None)
        self._closed: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name=f"auction {market_id}", daemon=True)

    def start(self) -> Self:
        """Begin to probe."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Look no more. Does not wait for a look that is under way."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def usable(self) -> bool:
        """Whether the auction pays, as of the last look. O(1); raises nothing."""
        return self._status.paying == "auction"

    def status(self) -> SwitchStatus:
        """The state of the switch, as of the last look."""
        return self._status

    def look(self) -> SwitchStatus:
        """Look once, now, and return the state after it. For one thread at a time."""
        try:
            probe = self._probe()
        except ExchangeError as error:
            # Whatever it says: an auction that may not be asked cannot be used either.
            self._health.failed(f"{type(error).__name__}: {error}")
        else:
            self._health.on_probe(probe, self._clock())
        self._take_over(self._health.why, datetime_of(self._clock()))
        return self._status

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("the auction in %s cannot be looked at", self._market_id)
            self._closed.wait(self._look_s)

    def _take_over(self, why: str, now: datetime) -> None:
        before = self._status
        paying: Payer = "budget" if why else "auction"
        since = before.since if paying == before.paying else now
        self._status = SwitchStatus(paying, since, why, now)
        if paying == before.paying:
            return
        if why:
            logger.warning("the daily budget pays now, the auction in %s cannot be used: %s", self._market_id, why)
        else:
            logger.warning("the auction in %s pays again, after %s", self._market_id, now - before.since)

    def _probe(self) -> Probe:
        """Raises what the market's reads raise."""
        # The lowest bid that there can be comes last of all that could win, and sees what a call now would.
        asked = self._market.quote(self._market_id, 1)
        latest = self._market.awards(self._market_id, limit=1).items
        has_both = asked.slots_available > 0 and asked.bids_ahead > 0
        return Probe(latest[0].award_id if latest else NO_AWARD, has_both)


if TYPE_CHECKING:
    from callmarket.bridge.fleet.agent.services import AuctionHealth

    def _is_one(switch: FallbackSwitch) -> AuctionHealth:
        """It is what a worker asks."""
        return switch
