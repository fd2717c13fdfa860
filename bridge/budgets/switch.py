"""Whether the auction can be used, or the daily budget pays.

Rule of this file: it looks and decides; it pays for nothing. Each process has a switch of its own and two may differ
for a while: that is harmless, because a task's claim names who pays for it, and there is one.
"""

import logging
import threading
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from bridge.clock import Clock, system_clock
from bridge.config import DEFAULTS, Config
from bridge.errors import ExchangeError
from bridge.market_api import MarketApi
from bridge.units import datetime_of

logger: Final = logging.getLogger(__name__)


class Sight(Struct, frozen=True):
    """What one look has seen: the latest award, and whether a call now would have both slots and bids for them."""

    latest_award_id: int
    has_both: bool


class SwitchStatus(Struct, frozen=True):
    """Which one pays, since when, and why the auction cannot be used (empty while it can)."""

    paying: str
    since: datetime
    why: str
    looked_at: datetime | None


class Health:
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
        self._latest_award_id: int | None = None
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
        """A look had no answer."""
        self._failures += 1
        self._answers = 0
        self._failure = why
        if self._failures >= self._config.auction_failures_max:
            self.is_away = True

    def saw(self, sight: Sight, now_us: int) -> None:
        """A look had this answer."""
        self._failures = 0
        self._answers += 1
        if self._answers >= self._config.auction_answers_min:
            self.is_away = False
        sold = self._latest_award_id is not None and sight.latest_award_id > self._latest_award_id
        self._latest_award_id = sight.latest_award_id
        if sold:
            self.is_fruitless = False
        if sold or not sight.has_both:
            self._both_since_us = None
        elif self._both_since_us is None:
            self._both_since_us = now_us
        elif now_us - self._both_since_us >= self._config.auction_fruitless_s * 1_000_000:
            self.is_fruitless = True


class AuctionSwitch:
    """Looks at a market every `auction_look_s` while somebody asks. For many threads.

    A look takes as long as the market takes to answer: give it a client with a short `timeout_s`.
    """

    def __init__(
        self, market: MarketApi, market_id: str, clock: Clock = system_clock, config: Config = DEFAULTS
    ) -> None:
        """Nothing is asked yet, and the auction is trusted."""
        self._market: Final = market
        self._market_id: Final = market_id
        self._clock: Final = clock
        self._look_us: Final = int(config.auction_look_s * 1_000_000)
        self._health: Final = Health(config)
        self._looking: Final = threading.Lock()
        self._looked_at_us: int | None = None
        self._since_us: int = clock()
        self._why = ""

    def usable(self) -> bool:
        """Whether the auction pays now. One of those who ask looks, when it is time; the others are told what was."""
        if self._looking.acquire(blocking=False):
            try:
                if self._is_time():
                    self._look()
            finally:
                self._looking.release()
        return not self._why

    def status(self) -> SwitchStatus:
        """What is in force, as of the last look."""
        looked_at = None if self._looked_at_us is None else datetime_of(self._looked_at_us)
        why = self._why
        return SwitchStatus("budget" if why else "auction", datetime_of(self._since_us), why, looked_at)

    def _is_time(self) -> bool:
        # Also where the clock has gone back.
        return self._looked_at_us is None or not 0 <= self._clock() - self._looked_at_us < self._look_us

    def _look(self) -> None:
        try:
            sight = self._sight()
        except ExchangeError as error:
            # Whatever it says: an auction that may not be asked cannot be used either.
            self._health.failed(f"{type(error).__name__}: {error}")
        else:
            self._health.saw(sight, self._clock())
        self._looked_at_us = self._clock()
        why = self._health.why
        if bool(why) != bool(self._why):
            self._since_us = self._looked_at_us
            before_us, self._since_us = self._since_us, self._looked_at_us
            if why:
                logger.warning("the daily budget pays now, the auction in %s cannot be used: %s", self._market_id, why)
            else:
                paused = timedelta(microseconds=self._since_us - before_us)
                logger.warning("the auction in %s pays again, after %s", self._market_id, paused)
        self._why = why

    def _sight(self) -> Sight:
        """Raises what the market's reads raise."""
        # The lowest bid that there can be comes last of all that could win, and sees what a call now would.
        asked = self._market.quote(self._market_id, 1)
        latest = self._market.awards(self._market_id, limit=1).items
        has_both = asked.slots_available > 0 and asked.bids_ahead > 0
        return Sight(latest[0].award_id if latest else 0, has_both)
