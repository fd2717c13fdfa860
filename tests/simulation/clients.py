"""Those who ask: they note a command before they send it, and send it again until they know how it ended.

Rule of this file: what a client may do is what README promises it: the same command with the same id as often as it
likes, to whichever node, after whatever error. It is not told who leads.
"""

from collections.abc import Callable, Sequence

from callmarket.bridge.api.messages import Request
from callmarket.bridge.market.sequencer import Applied
from callmarket.engine.commands import Command
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject
from tests.simulation.auditor import may_be_forgotten
from tests.simulation.node import Node
from tests.simulation.options import Options
from tests.simulation.world import World

Work = Callable[[], list[tuple[str, Command]]]
"""The next commands with who asks; none when there is nothing more to do."""

DONE_KEPT = 20
THINK_US = (100, 4_000)
TIMEOUT_US_MAX = 1_000_000


class Client:
    """One client with at most one batch of requests under way. `done` counts those that are answered."""

    def __init__(
        self, name: str, world: World, options: Options, nodes: Sequence[Node], work: Work, again_chance: float
    ) -> None:
        self.name = name
        self.world = world
        self.options = options
        self.nodes = nodes
        self.work = work
        self.again_chance = again_chance
        # What it has noted: survives its restarts.
        self.pending: list[Request] = []
        self.finished: list[tuple[Request, tuple[object, ...]]] = []
        self.done = 0
        self.idle = False
        self._batches = 0
        self._attempts = 0
        self._ids = 0
        self._timeout_us = options.client_timeout_us
        self._node = world.rng.randrange(len(nodes))

    def begin(self) -> None:
        """Start, or go on after having had nothing to do."""
        self.idle = False
        self._think()

    def restart(self) -> None:
        """Forget everything but the notes, and send what was under way again."""
        self._attempts += 1
        if self.pending:
            self._send()

    def _think(self) -> None:
        def act() -> None:
            self.pending = self._compose()
            self.idle = not self.pending
            if self.pending:
                self._batches += 1
                self._send()

        self.world.after(self.world.between(THINK_US), "", act)

    def _compose(self) -> list[Request]:
        if self.finished and self.world.chance(self.again_chance):
            return [self._again()]
        requests = []
        for actor, command in self.work():
            self._ids += 1
            requests.append(Request(actor, command, f"{self.name}-{self._ids}"))
        return requests

    def _again(self) -> Request:
        """An old command once more; or, by a mistake of the client, its id with another command."""
        request, _ = self.world.rng.choice(self.finished)
        if self.world.chance(0.5):
            self.world.note(f"{self.name} repeats {request.command_id}")
            return request
        for _actor, command in self.work():
            if command != request.command:
                self.world.note(f"{self.name} uses {request.command_id} for another command")
                return Request(request.actor, command, request.command_id)
        return request

    def _send(self) -> None:
        """Send what is under way, and see after a while whether it was answered."""
        self._attempts += 1
        world, batch, attempt, requests = self.world, self._batches, self._attempts, list(self.pending)
        node = self.nodes[self._node]

        def arrive() -> None:
            node.receive(requests, lambda outcome: self._travel_back(batch, attempt, requests, outcome))

        copies = 1
        if world.chance(self.options.losses.get("request lost", 0)):
            world.occurred("request lost")
            copies = 0
        elif world.chance(self.options.losses.get("request doubled", 0)):
            world.occurred("request doubled")
            copies = 2
        for _ in range(copies):
            what = f"{self.name} asks node {node.number}: {requests[0].command_id}"
            world.after(world.between(self.options.net_us), what, arrive)
        world.after(self._timeout_us, "", lambda: self._give_up(attempt))

    def _travel_back(self, batch: int, attempt: int, requests: list[Request], outcome: list[Applied] | str) -> None:
        if self.world.chance(self.options.losses.get("reply lost", 0)):
            self.world.occurred("reply lost")
            return
        what = f"{self.name} hears {outcome if isinstance(outcome, str) else [one.seq for one in outcome]}"
        delay_us = self.world.between(self.options.net_us)
        self.world.after(delay_us, what, lambda: self._hear(batch, attempt, requests, outcome))

    def _give_up(self, attempt: int) -> None:
        if attempt == self._attempts and self.pending:
            self.world.occurred("client timeout")
            # Each retry is one more row for a queue that is slow already: who does not back off keeps it full for ever.
            self._timeout_us = min(2 * self._timeout_us, TIMEOUT_US_MAX)
            self._try_another()

    def _try_another(self) -> None:
        self._node = (self._node + 1) % len(self.nodes)
        self._send()

    def _hear(self, batch: int, attempt: int, requests: list[Request], outcome: list[Applied] | str) -> None:
        """Any answer to what is under way will do, also a late one; what is not known is asked again, later."""
        if isinstance(outcome, str):
            if attempt == self._attempts and self.pending:
                self._attempts += 1
                again = self._attempts

                def try_again() -> None:
                    if again == self._attempts and self.pending:
                        self._try_another()

                self.world.after(self.world.between((500, 3_000)), "", try_again)
            return
        if batch != self._batches or not self.pending:
            return
        for request, one in zip(requests, outcome, strict=True):
            self._verify(request, one)
        self.done += len(requests)
        self.pending = []
        self._attempts += 1
        self._timeout_us = self.options.client_timeout_us
        self._think()

    def _verify(self, request: Request, one: Applied) -> None:
        """The same question has the same answer; another one under the same id is refused."""
        answer = (one.seq, one.at_us, one.events)
        for place, (before, heard) in enumerate(self.finished):
            if before.command_id == request.command_id and before.actor == request.actor:
                if answer != heard and may_be_forgotten(before.command, heard[2], request.command):
                    self.finished[place] = request, answer
                elif before.command == request.command:
                    assert answer == heard, f"{self.name} heard {heard} and now {answer}"
                else:
                    first = one.events[0]
                    assert isinstance(first, Rejected), first
                    assert first.reason is Reject.COMMAND_ID_REUSED, first
                return
        self.finished.append((request, answer))
        del self.finished[:-DONE_KEPT]
