"""One operation of the market: declared once, and from that a method of every way to a market.

    @operation("PATCH", "/bids/{bid_id}", "Bids", "Amend a bid")
    def amend_bid(bid_id: BidId, *, max_price_tokens: Price | None = None, command_id: str = "") -> Command[AmendedBid]:
        ...

The function says what to do with its arguments: it returns a plan, which has been checked, and does nothing. From its
signature follow the method of `Exchange`, `AsyncExchange`, `Client` and `AsyncClient`, the route, the entry in the
OpenAPI document, and the arguments of a tool.
Rule of this file: no operation is known here, and nothing waits.
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
    """A request to the engine, checked, and how its reply is read. `read` raises `Refused`."""

    request: Request
    read: Callable[[Reply], T]


class Submit(Struct, frozen=True):
    """A step of a workflow: some requests at once, of which each is answered by a `Reply`, refused ones too.

    `as_written`: in the names that they have, not in the name of whoever performs the workflow; and always durable.
    """

    requests: Sequence[Request]
    as_written: bool = False


class MayDo(Struct, frozen=True):
    """A step of a workflow: raise `Forbidden` here if whoever performs it may not make this request."""

    request: Request


class IsRetry(Struct, frozen=True):
    """A step of a workflow: whether this request was made before, by its command id."""

    request: Request


class Workflow(Struct, Generic[T], frozen=True):
    """Several steps, each of which is sent what came of the one before. An error is thrown in where it belongs."""

    steps: "Generator[Step, Any, T]"


Plan = Command[T] | StateQuery[T] | TableQuery[T] | Change[T] | Workflow[T]
Step = Command[Any] | StateQuery[Any] | TableQuery[Any] | Change[Any] | Submit | MayDo | IsRetry
_KINDS: Final = (Command, StateQuery, TableQuery, Change, Workflow)


class Performing(Protocol):
    """A way to a market, for threads."""

    def perform(self, operation: "Operation[..., T]", args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """The result of one operation with these arguments."""


class PerformingAsync(Protocol):
    """A way to a market, for asyncio."""

    async def perform(self, operation: "Operation[..., T]", args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """The result of one operation with these arguments."""


class Operation(Declaration, Generic[P, T]):
    """A declared operation; as an attribute of a market its method, blocking or awaited as the market is."""

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
    ) -> None:
        """See `operation`."""
        super().__init__(plan, method, path, tag, summary, status=status, problems=problems)
        self.plan: Final = plan
        self.needs: Final = needs
        kinds = get_args(self.returns) if get_origin(self.returns) not in _KINDS else (self.returns,)
        self.kinds: Final = tuple(get_origin(kind) for kind in kinds)
        """Which plans it makes."""
        self.result: Final[Any] = get_args(kinds[0])[0]
        self.is_change: Final = self.has_command_id or Change in self.kinds or bool(needs)
        """Whether it changes the market or its tables, and so may be named by an id and sent again."""
        # What `help` and editors show of a method of an instance.
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
        """The method of this market; of its class the operation itself."""
        return self if market is None else MethodType(self, market)

    def __call__(self, market: Any, *args: Any, **kwargs: Any) -> Any:
        """Perform it in this market."""
        return market.perform(self, args, kwargs)

    def request(self, *args: P.args, **kwargs: P.kwargs) -> Request:
        """The request of a command, for those that are sent together (`place_bids`, `submit`). Raises `Invalid`."""
        made = self.plan(*args, **kwargs)
        assert isinstance(made, Command), f"{self.name} is more, or less, than one request"
        return made.request

    def state_query(self, *args: P.args, **kwargs: P.kwargs) -> StateQuery[T]:
        """The question of an operation that the live state answers, for whoever has a state. Raises `Invalid`."""
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
) -> Callable[[Callable[P, Plan[T]]], Operation[P, T]]:
    """Declare the function below as an operation of the market.

    `path` is below /api/v1; `problems` are the statuses of HTTP beside those that all of its kind may have; `needs` is
    the scope without which a key may not perform it, for what no command of the engine decides.
    """

    def declare(plan: Callable[P, Plan[T]]) -> Operation[P, T]:
        return Operation(plan, method, path, tag, summary, status=status, problems=problems, needs=needs)

    return declare
