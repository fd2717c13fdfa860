"""When a market is to be called: the cadence of one market, given the time and what a probe of it found.

Rule of this file: pure, and no clock. It is told two times: that of the exchange's clock, which says where the grid is
but may jump, and that of a clock that only goes forward, which says how long ago the last call was. The calls of
`every` are at multiples of the period by the first, and by the second never nearer than half a period and never further
apart than two, so a clock that jumps, or stands still, makes no burst and no stall.
"""

from hashlib import sha256
from typing import Final, Literal, NamedTuple

from callmarket.persistence.stores.market_cycles import Cycle

# Slots that are offered together are sold together: else the first is called alone, and the bids for one round that did
# not get it are lost before the second is there.
COALESCE_US: Final = 50_000
# Between two calls because of offers, however many there are: the journal has room for ten rounds a second of a market.
OFFER_GAP_US: Final = 100_000
# After a failure; doubled after each further one.
PAUSE_US: Final = 250_000
PAUSE_US_MAX: Final = 30_000_000

Decision = Literal["wait", "call", "skip"]
"""Not yet; now; it is time, but there is nothing to clear."""


class Instant(NamedTuple):
    """One moment by two clocks. `now_us` is the exchange's and may jump, `steady_us` has no meaning but only grows."""

    now_us: int
    steady_us: int


class Watermark(NamedTuple):
    """Up to where slots have been called: offers after this row, or for a time after this, are new."""

    seq: int
    at_us: int


class Probe(NamedTuple):
    """What a look at a market found.

    `sells`: a call would sell something. `changes`: it would change more than the number of rounds. `offered`: a slot
    can be sold that could not at the last call. `called`: the call of this very cycle is in the journal already.
    """

    slots_available: int
    bids_open: int
    sells: bool
    changes: bool
    offered: bool
    called: bool
    watermark: Watermark

    @property
    def counts(self) -> tuple[int, int]:
        """Supply and demand, as a round would record them."""
        return self.slots_available, self.bids_open


class Cadence:
    """When one market is called, and how that went since this process leads."""

    def __init__(self, market_id: str, cycle: Cycle, instant: Instant, watermark: Watermark) -> None:
        """Begin: cycles on the grid from now on are called; earlier ones were for the previous leader."""
        self.market_id: Final = market_id
        self.cycle = cycle
        self.calls = 0
        self.skipped = 0
        self.missed = 0
        self.late_us_max = 0
        self.failures = 0
        self.failures_in_row = 0
        self._watermark = watermark
        self._begin(instant)

    def change(self, cycle: Cycle, instant: Instant) -> None:
        """Go on by another setting from now on. The counts stay."""
        self.cycle = cycle
        self._begin(instant)

    def _begin(self, instant: Instant) -> None:
        self._not_before_us = instant.steady_us
        self._retry_us: int | None = None
        # The last cycle that was called or skipped; None at the beginning.
        self._cycle_no: int | None = None
        # The first cycle whose time has not come yet; one that begins right now has.
        self._next_no = -(-instant.now_us // self._period_us) if self.cycle.mode == "every" else 0
        self._counts: tuple[int, int] | None = None
        self._wanted_since_us: int | None = None

    @property
    def watermark(self) -> Watermark:
        """Up to where slots have been called."""
        return self._watermark

    def cycle_no(self, instant: Instant) -> int:
        """Which cycle this moment lies in, counted from 1970. Only for `every`."""
        return instant.now_us // self._period_us

    def command_id(self, instant: Instant) -> str:
        """The id of the call of this cycle: the same in every process, so that it is known to have been made."""
        if self.cycle.mode != "every":
            return ""
        # A name may be as long as an id.
        name = sha256(self.market_id.encode()).hexdigest()[:16]
        return f"cycle-{name}-{self._period_us}-{self.cycle_no(instant)}"

    def is_due(self, instant: Instant) -> bool:
        """Whether it is time for a look at the market, on which `decide` then says what to do."""
        return self.wait_us(instant) == 0

    def wait_us(self, instant: Instant) -> int | None:
        """How long it is to the next look, if the clock does not jump; None for a market that is called when asked."""
        if self.cycle.mode == "asked":
            return None
        if self._retry_us is not None:
            return max(0, self._retry_us - instant.steady_us)
        if self.cycle.mode == "every":
            return max(0, self.next_us(instant) - instant.now_us)
        return max(0, self._not_before_us - instant.steady_us)

    def next_us(self, instant: Instant) -> int:
        """The time of the next call by the exchange's clock; it has passed where the call is due. Only for `every`."""
        period_us = self._period_us
        earliest_us = self._not_before_us + instant.now_us - instant.steady_us
        grid_us = -(-earliest_us // period_us) * period_us
        next_us = self._next_no * period_us
        # A clock that was set back a little comes to the last cycle again, and waits for the next. One that was set
        # back far, or stands still, would wait for too long: it begins anew where it is.
        set_back_far = next_us - earliest_us > period_us + period_us // 2
        return grid_us if set_back_far else max(grid_us, next_us)

    def announced_us(self, instant: Instant) -> int | None:
        """The time of the next call, for people; None where an offer, or somebody, decides when that is."""
        if self.cycle.mode != "every":
            return None
        return self.next_us(instant) if self._retry_us is None else instant.now_us + self._retry_us - instant.steady_us

    def decide(self, instant: Instant, probe: Probe) -> Decision:
        """What to do about a market that is due."""
        assert self.is_due(instant), (self.market_id, instant)
        return self._decide_cycle(probe) if self.cycle.mode == "every" else self._decide_offer(instant, probe)

    def _decide_cycle(self, probe: Probe) -> Decision:
        """A round that would change nothing is recorded only if supply or demand are not what the last one recorded."""
        if probe.called and self._cycle_no is None:
            return "skip"
        if probe.changes or probe.counts not in ((0, 0), self._counts):
            return "call"
        return "skip"

    def _decide_offer(self, instant: Instant, probe: Probe) -> Decision:
        """Each offer is called once if there are bids; what it leaves, as soon as a bid would buy it."""
        if not (probe.slots_available and probe.bids_open and (probe.offered or probe.sells)):
            self._wanted_since_us = None
            return "wait"
        if self._wanted_since_us is None:
            self._wanted_since_us = instant.steady_us
        return "call" if instant.steady_us - self._wanted_since_us >= COALESCE_US else "wait"

    def calm(self) -> None:
        """The market has no slots or no bids: what it waited for is gone."""
        self._wanted_since_us = None

    def skip(self, instant: Instant) -> None:
        """This cycle needs no call."""
        self.skipped += 1
        self._take(instant)

    def called(self, instant: Instant, probe: Probe) -> None:
        """The call that was begun at this moment, on this look, is made."""
        self.calls += 1
        self.failures_in_row = 0
        self._take(instant)
        self._counts = probe.counts
        self._watermark = probe.watermark

    def failed(self, begun: Instant, ended: Instant, *, happened: bool) -> None:
        """A call failed. If it may have happened it is not made again in this cycle, otherwise after a pause."""
        self.failures += 1
        self.failures_in_row += 1
        pause_us = min(PAUSE_US_MAX, PAUSE_US << min(self.failures_in_row - 1, 10))
        if happened:
            self._take(begun)
            self._not_before_us = max(self._not_before_us, ended.steady_us + pause_us)
        else:
            self._retry_us = ended.steady_us + pause_us

    def _take(self, instant: Instant) -> None:
        """The cycle of this moment is over."""
        self._retry_us = None
        self._wanted_since_us = None
        if self.cycle.mode != "every":
            self._not_before_us = instant.steady_us + OFFER_GAP_US
            return
        cycle_no = self.cycle_no(instant)
        self.missed += max(0, cycle_no - self._next_no)
        self._cycle_no = cycle_no
        self._next_no = cycle_no + 1
        self.late_us_max = max(self.late_us_max, instant.now_us - cycle_no * self._period_us)
        self._not_before_us = instant.steady_us + self._period_us // 2

    @property
    def _period_us(self) -> int:
        assert self.cycle.period_us is not None, self.cycle
        return self.cycle.period_us
