"""The same comparison with other seeds, so that nobody has to believe that the shown one was not picked.

Rule of this file: pure; the auction runs on the real engine in memory, because these runs are about choices and not
about durability.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo.compare import MEASURES_COMPARED, verdicts
from callmarket.bridge.studies.demo.metrics import Metrics, measure
from callmarket.bridge.studies.demo.scenario.auction import Auction
from callmarket.bridge.studies.demo.scenario.policies import (
    FirstComeFirstServed,
    Policy,
    ProportionalSplit,
    ShortestJobFirst,
)
from callmarket.bridge.studies.demo.scenario.simulation import Simulation, bucket_tokens, slots_for
from callmarket.bridge.studies.demo.scenario.workload import Workload, make_workload
from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine


class OtherSeeds(Struct, frozen=True):
    """In how many of the seeds the auction did better than the best of the others, by measure."""

    seeds: tuple[int, ...]
    better_in: Mapping[str, int]


class MemoryMarket:
    """A market without a journal: it forgets everything with the process."""

    def __init__(self) -> None:
        """Begin with an empty engine."""
        self.engine = Engine()

    def submit(self, now_us: int, requests: Sequence[Request]) -> Sequence[Reply]:
        """Apply the requests at once."""
        return [self._apply(now_us, request) for request in requests]

    def _apply(self, now_us: int, request: Request) -> Reply:
        seq = self.engine.state.seq + 1
        events = self.engine.apply(Entry(seq, now_us, request.actor, request.command, request.command_id))
        return Reply(seq, now_us, events, seq)


def policies_without_prices(workload: Workload, slots: int) -> dict[str, Policy]:
    """The policies that the auction is compared with, by the name that is shown."""
    return {
        "first come": FirstComeFirstServed(),
        "proportional": ProportionalSplit(bucket_tokens(workload, slots)),
        "shortest job": ShortestJobFirst(),
    }


def compare_seeds(seeds: Sequence[int], minutes: int, slots: int | None, on_seed: Callable[[int], None]) -> OtherSeeds:
    """Play every policy with each of the seeds. About a second a seed."""
    better_in = {one.field: 0 for one in MEASURES_COMPARED}
    for seed in seeds:
        auction, *others = _rows(make_workload(seed, minutes), slots)
        for verdict in verdicts(auction, others):
            better_in[verdict.field] += verdict.outcome == "better"
        on_seed(seed)
    return OtherSeeds(tuple(seeds), better_in)


def _rows(workload: Workload, slots: int | None) -> list[Metrics]:
    slots = slots_for(workload) if slots is None else slots
    policies = {
        "auction": Auction(workload, MemoryMarket(), slots),
        **policies_without_prices(workload, slots),
    }
    return [measure(workload, Simulation(workload, policy, name, slots).run()) for name, policy in policies.items()]
