"""One operation of the market: declared once, and available through every kind of market.

    @operation("PATCH", "/bids/{bid_id}", "Bids", "Amend a bid")
    def amend_bid(bid_id: BidId, *, max_price_tokens: Price | None = None, command_id: str = "") -> Command[AmendedBid]:
        ...

The function checks its arguments and returns a plan; it does not carry it out. From its signature are derived the
methods of `Exchange`, `AsyncExchange`, `Client` and `AsyncClient`, the route, the entry in the OpenAPI document, and
the arguments of a tool.
Rule of this file: nothing depends on a particular operation, and nothing waits.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from inspect import Parameter as Argument
from types import MethodType
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, get_args, get_origin, overload

from msgspec import Struct

from callmarket.bridge.api.contract.change import Change
from callmarket.bridge.api.contract.declaration import Declaration, Method
from callmarket.bridge.api.contract.queries import StateQuery, TableQuery
from callmarket.bridge.api.messages import Reply, Request

P = ParamSpec("P")
T = TypeVar("T")


class Command(Struct, Generic[T], frozen=True):
    """A checked request to the engine, and the function that reads its reply. `read` raises `Refused`."""

    request: Request
    read: Callable[[Reply], T]


class Submit(Struct, frozen=True):
    """A step of a workflow: submit requests together. Its result is one `Reply` for each, refusals included.

    `as_written`: keep the actors of the requests instead of the actor that runs the workflow, and wait until the
    replies are durable.
    """

    requests: Sequence[Request]
    as_written: bool = False


class MayDo(Struct, frozen=True):
    """A step of a workflow: raise `Forbidden` if the caller may not make this request."""

    request: Request


class IsRetry(Struct, frozen=True):
    """A step of a workflow: whether a request with this actor and command id was made before."""

    request: Request


class Workflow(Struct, Generic[T], frozen=True):
    """A generator of steps. It is sent the result of each; an error of a step is thrown in where it was yielded."""

    steps: "Generator[Step, Any, T]"


Plan = Command[T] | StateQuery[T] | TableQuery[T] | Change[T] | Workflow[T]
Step = Command[Any] | StateQuery[Any] | TableQuery[Any] | Change[Any] | Submit | MayDo | IsRetry
_KINDS: Final = (Command, StateQuery, TableQuery, Change, Workflow)


class Performing(Protocol):
    """A market that performs operations, for threads."""

    def perform(self, operation: "Operation[..., T]", args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """The result of one operation with these arguments."""


class PerformingAsync(Protocol):
    """A market that performs operations, for asyncio."""

    async def perform(self, operation: "Operation[..., T]", args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """The result of one operation with these arguments."""


class Operation(Declaration, Generic[P, T]):
    """A declared operation. As an attribute of a market it is a method, blocking or awaitable as the market is."""

    def __init__(
        self,
        plan: Callable[P, Plan[T]],
        method: Method,
        path: str,
        tag: str,
        summary: str,
        *,
        status: int = 200,
        problems: tuple[int, ...] = (),
        needs: str = "",
        example: Mapping[str, Any] | None = None,
    ) -> None:
        """See `operation`."""
        super().__init__(plan, method, path, tag, summary, status=status, problems=problems, example=example)
        self.plan: Final = plan
        self.needs: Final = needs
        kinds = get_args(self.returns) if get_origin(self.returns) not in _KINDS else (self.returns,)
        self.kinds: Final = tuple(get_origin(kind) for kind in kinds)
        """The kinds of plans that it may return."""
        self.result: Final[Any] = get_args(kinds[0])[0]
        self.is_change: Final = self.has_command_id or Change in self.kinds or bool(needs)
        """Whether it changes the market or its tables, so that a retry needs an id."""
        # For `help` and editors.
        self.__name__ = self.name
        self.__qualname__ = self.name
        self.__doc__ = plan.__doc__
        self.__module__ = plan.__module__
        myself = Argument("self", Argument.POSITIONAL_OR_KEYWORD)
        returns = self.signature.replace(return_annotation=self.result)
        self.__signature__ = returns.replace(parameters=[myself, *returns.parameters.values()])

    @overload
    def __get__(self, market: None, owner: type) -> "Operation[P, T]": ...
    @overload
    def __get__(self, market: Performing, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, market: PerformingAsync, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, market: Any, owner: type) -> Any:
        """The bound method of a market; for the class, the operation itself."""
        return self if market is None else MethodType(self, market)

    def __call__(self, market: Any, *args: Any, **kwargs: Any) -> Any:
        """Perform it in this market."""
        return market.perform(self, args, kwargs)

    def request(self, *args: P.args, **kwargs: P.kwargs) -> Request:
        """The request of a command, to be sent together with others (`place_bids`, `submit`). Raises `Invalid`."""
        made = self.plan(*args, **kwargs)
        assert isinstance(made, Command), f"{self.name} is not a single request"
        return made.request

    def state_query(self, *args: P.args, **kwargs: P.kwargs) -> StateQuery[T]:
        """The question of an operation that a live state can answer alone. Raises `Invalid`."""
        made = self.plan(*args, **kwargs)
        assert isinstance(made, StateQuery), f"{self.name} is not answered by the state alone"
        return made


def operation(
    method: Method,
    path: str,
    tag: str,
    summary: str,
    *,
    status: int = 200,
    problems: tuple[int, ...] = (),
    needs: str = "",
    example: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, Plan[T]]], Operation[P, T]]:
    """Declare the function below as an operation of the market.

    `path` is relative to /api/v1. `problems` are the HTTP statuses that it may have besides those of all operations of
    its kind. `needs` is the scope that a key must have, for operations that no command of the engine authorizes.
    `example` is a body that is right, for those that have one.
    """

    def declare(plan: Callable[P, Plan[T]]) -> Operation[P, T]:
        return Operation(
            plan, method, path, tag, summary, status=status, problems=problems, needs=needs, example=example
        )

    return declare
