"""What the auction's lead is made of: the other policies, told which tasks not to do.

Bidders place no bid for a task that is expected to burn more compute than it is worth; a policy without prices does it
all the same. Rule of this file: pure; it takes that advantage away, so that what prices do beyond it can be seen. It
supposes a planner that knows every worth, which the market does not need.
"""

from collections.abc import Sequence

from callmarket.bridge.studies.demo.metrics import Metrics, measure
from callmarket.bridge.studies.demo.other_seeds import policies_without_prices
from callmarket.bridge.studies.demo.scenario.bidders import worth_tokens
from callmarket.bridge.studies.demo.scenario.policies import Finished, Policy, Waiting
from callmarket.bridge.studies.demo.scenario.simulation import Simulation
from callmarket.bridge.studies.demo.scenario.workload import Workload


class Selective:
    """A policy that never sees the tasks that nobody would bid for."""

    def __init__(self, policy: Policy) -> None:
        """Stand before another policy."""
        self._policy = policy

    def finished(self, now_us: int, results: Sequence[Finished]) -> None:
        """Pass them on."""
        self._policy.finished(now_us, results)

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> Sequence[int]:
        """Let the policy choose among the tasks that are worth their compute."""
        return self._policy.choose(now_us, [task for task in waiting if worth_tokens(task) > 0], free_slots)


def play_selective(workload: Workload, slots: int) -> tuple[Metrics, ...]:
    """The rows of the other policies if they left out tasks that are not worth their compute."""
    policies = policies_without_prices(workload, slots).items()
    return tuple(
        measure(workload, Simulation(workload, Selective(policy), name, slots).run()) for name, policy in policies
    )
