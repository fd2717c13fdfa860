"""The exchange in this process: the operations of the market as calls that return when their effect is durable.

Rule of this file: it only connects the parts. Operations are in `bridge.api`, the order of commands is in `sequencer`,
durability in `persistence`.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, assert_never

from callmarket.bridge.api.contract.change import Change
from callmarket.bridge.api.contract.operation import Command, IsRetry, MayDo, Operation, Plan, Step, Submit, Workflow
from callmarket.bridge.api.contract.queries import StateQuery, TableQuery
from callmarket.bridge.api.contract.requests import as_actor, check, check_actor, check_all
from callmarket.bridge.api.contract.workflows import run
from callmarket.bridge.api.errors import Refused, Unavailable
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.messages import Ack, Reply, Request, check_ack
from callmarket.bridge.api.operations.bids import PlacedBid, placed_together
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.api.status import Role
from callmarket.bridge.market import recall
from callmarket.bridge.market.history import Past
from callmarket.bridge.market.node import Node
from callmarket.engine.state import State
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.recovery import Report
from callmarket.persistence.verify import VerifyReport, verify

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

# The poll interval of a question that waits for a change of the tables.
LOOK_S: Final = 0.1


class Exchange(Market):
    """A running market, for threads. Open one with `open_exchange`; use it as a context manager.

    Each command has its usual actor (the bidder for a bid, the operator for a call); `acting_as` fixes the actor.
    Commands raise `Refused`, `Invalid`, `Unavailable` or `UnknownOutcome`.
    """

    def __init__(self, node: Node, *, actor: str | None = None, ack: Ack = "durable", seen: Seen | None = None) -> None:
        self.node = node
        self.actor = actor
        self.ack: Ack = ack
        # Shared by all exchanges derived from one, so that each reads the writes of all of them.
        self.seen: Final = seen or Seen()

    def __enter__(self) -> Self:
        """Return the exchange itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close durably. An error of closing does not replace the error in progress, which may be `UnknownOutcome`."""
        try:
            self.close()
        except Unavailable:
            if error is None:
                raise
            logger.exception("closing the exchange failed too")

    def acting_as(self, actor: str) -> "Exchange":
        """The same exchange, with this actor for every command."""
        check_actor(actor)
        return Exchange(self.node, actor=actor, ack=self.ack, seen=self.seen)

    def acknowledging(self, ack: Ack) -> "Exchange":
        """The same exchange with another `ack`: replies when `durable` (the default), `applied` or `projected`."""
        check_ack(ack)
        return Exchange(self.node, actor=self.actor, ack=ack, seen=self.seen)

    def as_of(self, seq: int, archive: Path | None = None) -> Past:
        """The market as it was after row `seq` of the journal, for questions. Each answer costs a recovery up to there.

        `archive` is the folder of archived rows; without it, a row that has left the journal raises `Archived`.
        """
        return Past(self.node, seq, archive)

    def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Perform one operation with these arguments and return its result."""
        return self.carry_out(operation.plan(*args, **kwargs))

    def carry_out(self, plan: Plan[T]) -> T:
        """Carry out a plan and return its result."""
        result: T = run(plan.steps, self._step) if isinstance(plan, Workflow) else self._step(plan)
        return result

    def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place up to 1,000 bids with one wait (`place_bid.request` makes each); one outcome for each.

        They are applied together, with no other command between them. So a longer list is refused, not split: call this
        several times.
        """
        return self.carry_out(placed_together(requests))

    def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """Submit up to 1,000 raw requests, in the units of the engine. Refusals are `Rejected` events, not raised.

        The provider `~` of a slot, which operations use as a default, stands for the actor.
        """
        check_all(requests)
        named = [as_actor(request, None) for request in requests]
        return self._noted(self.node.submit(named, ack or self.ack))

    def submit_one(self, request: Request) -> Reply:
        """Submit one raw request as this exchange's actor."""
        check(request)
        return self._submit_as_actor([request])[0]

    def ask(self, question: StateQuery[T] | TableQuery[T]) -> T:
        """Answer a question that an operation has made."""
        if not isinstance(question, TableQuery) or not question.wait_s:
            return self.node.ask(question, self.seen)
        until_s = time.monotonic() + question.wait_s
        while True:
            answer = self.node.ask(question, self.seen)
            left_s = until_s - time.monotonic()
            if question.is_there(answer) or left_s <= 0:
                return answer
            time.sleep(min(LOOK_S, left_s))

    def change(self, change: Change[T]) -> T:
        """Make one change of plain tables, in the name of the actor or of this process."""
        return self.node.change(change, self.actor or this_process())

    def ensure_schema(self) -> None:
        """Migrate the schema of the database. Opening an exchange has done so already. Idempotent."""
        with self.node.connect() as connection:
            ensure_schema(connection)

    def verify(self, archive: Path | None = None) -> VerifyReport:
        """Verify the durable history at one moment: hash chain, gaps, re-execution, tables. O(history).

        Raises `Archived` if rows have left the journal and `archive` is not given.
        """
        return verify(self.node.url, self.node.shard_id, archive)

    @property
    def role(self) -> Role:
        """Whether this process leads the market, stands by, or has `ended`: then close it and open another."""
        return self.node.role

    def wait_until_leading(self, timeout_s: float | None = None) -> bool:
        """Wait until this process leads, up to `timeout_s` or forever, and return whether it does.

        Raises `Unavailable` if it never will, because it cannot follow the journal, or `AccessDenied`.
        """
        return self.node.wait_until_leading(timeout_s)

    def wait_until_over(self, timeout_s: float | None = None) -> str:
        """Wait until this process stops leading, up to `timeout_s` or forever: the reason; empty if it still leads."""
        return self.node.wait_until_over(timeout_s)

    @property
    def recovery(self) -> Report:
        """The report of the recovery with which this process began to lead."""
        return self.node.recovery

    @property
    def durable_seq(self) -> int:
        """The last durable row: everything up to it is in the journal."""
        return self.node.durable_seq

    def read(self, query: Callable[[State], T]) -> T:
        """Run a read-only query on the live state, at one moment. It must be short, and copy what it returns."""
        return self.node.read(query)

    def _step(self, step: Step) -> Any:
        match step:
            case Command(request, read):
                return read(self._submit_as_actor([request])[0])
            case StateQuery() | TableQuery():
                return self.ask(step)
            case Change():
                return self.change(step)
            case Submit(requests, as_written):
                return self.node.submit(requests, "durable") if as_written else self._submit_as_actor(requests)
            case IsRetry(request):
                return self.read(recall.is_retry(as_actor(request, self.actor)))
            case MayDo():
                # No keys and no permissions inside the process of the market.
                return None
            case _ as never:
                assert_never(never)

    def _submit_as_actor(self, requests: Sequence[Request]) -> list[Reply]:
        return self._noted(self.node.submit([as_actor(request, self.actor) for request in requests], self.ack))

    def _noted(self, replies: list[Reply]) -> list[Reply]:
        self.seen.note_all(replies)
        return replies

    def image(self) -> bytes:
        """The whole live state as canonical bytes, for comparisons and tests. O(state), under the sequencer's lock."""
        return self.node.read(State.encode)

    def close(self) -> None:
        """Write the queued rows and stop. Idempotent."""
        self.node.close()
