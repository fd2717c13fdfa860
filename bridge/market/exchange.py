"""The exchange in this process: the operations of the market as calls that return when their effect is durable.

Rule of this file: it only joins. What an operation asks and returns is in `bridge.api`, the order of things in
`sequencer`, durability in `persistence`.
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

# Between two looks at tables in which something is waited for.
LOOK_S: Final = 0.1


class Exchange(Market):
    """A running market, for threads. Open one with `open_exchange`; use it as a context manager.

    Every command is given as whoever would usually give it (the bidder bids, the operator clears); `acting_as` fixes
    the actor. Commands raise `Refused`, `Invalid`, `Unavailable` or `UnknownOutcome`.
    """

    def __init__(self, node: Node, *, actor: str | None = None, ack: Ack = "durable", seen: Seen | None = None) -> None:
        self.node = node
        self.actor = actor
        self.ack: Ack = ack
        # Shared by all that are made from one: what one of them was told, none of them asks in vain.
        self.seen: Final = seen or Seen()

    def __enter__(self) -> Self:
        """The exchange itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, durably. An error that is under way is not replaced by one of closing: it may say `UnknownOutcome`."""
        try:
            self.close()
        except Unavailable:
            if error is None:
                raise
            logger.exception("closing the exchange failed too")

    def acting_as(self, actor: str) -> "Exchange":
        """The same exchange, with every command given by this actor."""
        check_actor(actor)
        return Exchange(self.node, actor=actor, ack=self.ack, seen=self.seen)

    def acknowledging(self, ack: Ack) -> "Exchange":
        """The same exchange, replying when `durable` (the default), as soon as `applied`, or when `projected`."""
        check_ack(ack)
        return Exchange(self.node, actor=self.actor, ack=ack, seen=self.seen)

    def as_of(self, seq: int, archive: Path | None = None) -> Past:
        """The market as it was after row `seq` of the journal, to be asked; each answer costs a recovery up to there.

        `archive` is the folder of rows that have left the journal; without it a row among them raises `Archived`.
        """
        return Past(self.node, seq, archive)

    def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """The result of one operation with these arguments."""
        return self.carry_out(operation.plan(*args, **kwargs))

    def carry_out(self, plan: Plan[T]) -> T:
        """The result of a plan."""
        result: T = run(plan.steps, self._step) if isinstance(plan, Workflow) else self._step(plan)
        return result

    def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`place_bid.request` makes each), 1,000 at most; one outcome for each, one wait.

        They are applied together, with nothing of others between them, so more are several calls and never split here.
        """
        return self.carry_out(placed_together(requests))

    def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """The raw way: 1,000 requests at most in the engine's own terms. Refusals are `Rejected` events, not raised.

        Of a slot whose provider is `~`, as operations write it where none is named, the actor's own is meant.
        """
        check_all(requests)
        named = [as_actor(request, None) for request in requests]
        return self._noted(self.node.submit(named, ack or self.ack))

    def submit_one(self, request: Request) -> Reply:
        """One request, as this exchange's actor: the raw way too."""
        check(request)
        return self._submit_as_actor([request])[0]

    def ask(self, question: StateQuery[T] | TableQuery[T]) -> T:
        """The answer of one question, as the operations make them."""
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
        """The result of one change of plain tables, in the name of the actor or of this process."""
        return self.node.change(change, self.actor or this_process())

    def ensure_schema(self) -> None:
        """Bring the tables up to date. Opening an exchange has done so already; to call it again changes nothing."""
        with self.node.connect() as connection:
            ensure_schema(connection)

    def verify(self, archive: Path | None = None) -> VerifyReport:
        """Prove the durable history: chain, gaps, re-execution, tables. O(history), as of one moment.

        Raises `Archived` if rows have left the journal and their folder is not named.
        """
        return verify(self.node.url, self.node.shard_id, archive)

    @property
    def role(self) -> Role:
        """Whether this process leads the market, stands by, or has `ended`: then it is to be closed and opened anew."""
        return self.node.role

    def wait_until_leading(self, timeout_s: float | None = None) -> bool:
        """Wait, for `timeout_s` or for ever, until this process leads, and return whether it does.

        Raises `Unavailable` if it never will, because what it follows cannot be followed.
        """
        return self.node.wait_until_leading(timeout_s)

    def wait_until_over(self, timeout_s: float | None = None) -> str:
        """Wait, for `timeout_s` or for ever, until this process leads no longer: why not, or empty if it still does."""
        return self.node.wait_until_over(timeout_s)

    @property
    def recovery(self) -> Report:
        """What it took to lead."""
        return self.node.recovery

    @property
    def durable_seq(self) -> int:
        """Everything up to here is in the journal."""
        return self.node.durable_seq

    def read(self, query: Callable[[State], T]) -> T:
        """The answer of a read-only query on the live state, at one moment. It must be short and copy what it gives."""
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
                # In its own process a market asks nobody for a key.
                return None
            case _ as never:
                assert_never(never)

    def _submit_as_actor(self, requests: Sequence[Request]) -> list[Reply]:
        return self._noted(self.node.submit([as_actor(request, self.actor) for request in requests], self.ack))

    def _noted(self, replies: list[Reply]) -> list[Reply]:
        self.seen.note_all(replies)
        return replies

    def image(self) -> bytes:
        """The whole live state as canonical bytes, for comparing and for tests. O(state), under the lock."""
        return self.node.read(State.encode)

    def close(self) -> None:
        """Write what is queued and stop. Idempotent."""
        self.node.close()
