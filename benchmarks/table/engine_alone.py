"""The engine, with nothing around it.

Rule of this file: every rule, wallet and ledger, and no I/O; as `bench_engine` does it.
"""

from typing import Final

from benchmarks import workload
from benchmarks.table.commands import Slots, placing
from benchmarks.table.peer import Bid, Call, Called, OneByOne, Step
from callmarket.engine.commands import ADMIN, OPERATOR, CancelBid, ClearRound, Entry
from callmarket.engine.events import AwardsGranted, Events, RoundCleared


class EngineAlone(OneByOne):
    """`Engine.apply`, one command at a time."""

    def __init__(self) -> None:
        self._engine: Final = workload.open_engine()
        self._slots = Slots()

    def cancel(self, number: int) -> Step:
        """One command."""
        command = CancelBid(number + 1)
        return lambda: workload.apply(self._engine, ADMIN, command)

    def call(self, k: int) -> Call:
        """One command."""
        for command in self._slots.offers(k):
            workload.apply(self._engine, OPERATOR, command)
        state = self._engine.state
        entry = Entry(state.seq + 1, state.at_us, OPERATOR, ClearRound(workload.MARKET))
        return Call(lambda: self._engine.apply(entry), told_by_events)

    def tidy(self) -> None:
        """Settle what was awarded."""
        for command in self._slots.settlements():
            workload.apply(self._engine, OPERATOR, command)

    def resting(self) -> int:
        """Open bids."""
        return len(self._engine.state.bids)

    def _add(self, bid: Bid) -> None:
        state = self._engine.state
        command = placing(bid, state.at_us + workload.TTL_US)
        workload.accepted(self._engine, Entry(state.seq + 1, state.at_us, command.bidder_id, command))


def told_by_events(events: Events) -> Called:
    """Bids count from 1, and none was refused."""
    awards, cleared = events
    assert isinstance(awards, AwardsGranted), events
    assert isinstance(cleared, RoundCleared), events
    assert cleared.clearing_price_tokens is not None
    return Called(tuple(bid_id - 1 for bid_id in awards.bid_ids), cleared.clearing_price_tokens)
