"""Positions in artifacts: open and close them, rest orders for that, and quotes that are the trade itself.

Rule of this file: the operations on positions and orders, and their result types. A position has the id of the order
that opened it. `yes` and `no` are other words for `long` and `short`.
"""

from collections.abc import Mapping
from datetime import datetime
from heapq import nsmallest
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct, structs

from callmarket.bridge.api import units
from callmarket.bridge.api.capital.holdings import OpenOrder, OpenPosition, order_of, position_of
from callmarket.bridge.api.capital.quoting import ArtifactQuote, now_of, quote_of_close, quote_of_open
from callmarket.bridge.api.capital.receipts import Fill, MarketAfter, Resting, Trade, trade_of
from callmarket.bridge.api.checks import check_id, check_limit, check_name, check_names_given, check_one_of
from callmarket.bridge.api.contract.fields import (
    ActingAccount,
    After,
    AnyNumber,
    Limit,
    LimitPrice,
    Named,
    OrderDeadline,
    OrderLife,
    PathName,
    Shares,
    SideWord,
    Spent,
    WhichOrder,
    WhichPosition,
)
from callmarket.bridge.api.contract.operation import Command, operation
from callmarket.bridge.api.contract.pages import cursor, number_after
from callmarket.bridge.api.contract.queries import Moment, StateQuery, weight_of_rows
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Stamp, only, stamp
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.operations.artifact_books import artifact_market_of
from callmarket.bridge.api.units import number_of
from callmarket.engine.capital import commands, limits
from callmarket.engine.capital.commands import OrderTimeInForce, Side
from callmarket.engine.capital.events import Effect, OrdersEnded
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.commands import ADMIN
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.state import State

__all__ = ["ArtifactQuote", "Fill", "MarketAfter", "OpenOrder", "OpenPosition", "Placed", "Resting", "Trade"]

AnId = TypeVar("AnId", OrderId, PositionId)

_SIDES: Final[dict[str, Side]] = {"long": "long", "yes": "long", "short": "short", "no": "short"}
# What a position would bring is found by the walk of an order, so a page of positions is a page of walks.
POSITIONS_PER_PAGE_MAX: Final = 100

PositionsLimit = Annotated[
    int, Meta(ge=1, le=POSITIONS_PER_PAGE_MAX, description="The largest number of positions to return.")
]


class Placed(Trade, frozen=True):
    """What an order did, in the row of the stamp."""

    stamp: Stamp


class CancelledOrder(Struct, frozen=True):
    """The result of cancelling an order: what was left of it is free again, tokens or shares; the other is 0."""

    order_id: OrderId
    artifact_id: str
    effect: Effect
    returned_tokens: float
    returned_shares: float
    stamp: Stamp


@operation(
    "POST",
    "/artifacts/{artifact_id}/positions",
    "Artifact markets",
    "Open a position",
    status=201,
    problems=(402,),
    example={"side": "long", "amount_tokens": 10, "limit_price": 0.6},
)
def open_position(
    artifact_id: PathName,
    account_id: ActingAccount,
    side: SideWord,
    amount_tokens: Spent,
    *,
    limit_price: LimitPrice | None = None,
    time_in_force: OrderLife = "ioc",
    expires_at: OrderDeadline | None = None,
    command_id: str = "",
) -> Command[Placed]:
    """Buy shares of a side for at most `amount_tokens`, from the maker and resting orders, best price first.

    No share costs more than `limit_price`. A share pays one token if its side proves right. What is left of a `gtd`
    order, which needs `expires_at`, rests at its limit. Needs the scope `bid`. The account is the key's; a key with
    several accounts names one in `Callmarket-Account`.
    """
    command = _opening(artifact_id, account_id, side, amount_tokens, limit_price, time_in_force, expires_at)
    made = request(account_id, command, command_id)
    return Command(made, lambda reply: _placed(reply, amount_tokens))


@operation(
    "POST",
    "/positions/{position_id}/close",
    "Artifact markets",
    "Close a position",
    example={"shares": 2.5, "limit_price": 0.4},
)
def close_position(
    position_id: WhichPosition,
    shares: Shares | None = None,
    *,
    limit_price: LimitPrice | None = None,
    time_in_force: OrderLife = "ioc",
    expires_at: OrderDeadline | None = None,
    command_id: str = "",
) -> Command[Placed]:
    """Sell shares of a position, by default all that no order has reserved, for at least `limit_price` each.

    They are sold at the market, and never at what they cost; the market keeps its exit fee of the proceeds. Only the
    account of the position and the admin may close it.
    """
    command = _closing(position_id, shares, limit_price, time_in_force, expires_at)
    return Command(request(ADMIN, command, command_id), _placed)


@operation("DELETE", "/orders/{order_id}", "Artifact markets", "Cancel a resting order")
def cancel_order(order_id: WhichOrder, *, command_id: str = "") -> Command[CancelledOrder]:
    """Cancel a resting order and free all that is left of it. Only its account and the admin may cancel it."""
    return Command(request(ADMIN, commands.CancelOrder(order_id), command_id), _cancelled)


@operation("GET", "/artifacts/{artifact_id}/quote", "Artifact markets", "Get a quote for opening a position")
def quote_open(
    artifact_id: PathName,
    account_id: Annotated[Named, Meta(description="The account that would open it.")],
    side: SideWord,
    amount_tokens: Spent,
    *,
    limit_price: LimitPrice | None = None,
    time_in_force: OrderLife = "ioc",
    expires_at: OrderDeadline | None = None,
) -> StateQuery[ArtifactQuote]:
    """What `open_position` with these arguments would do now, or why it would be refused: decided as the order itself.

    Nothing is done, and until the order comes others may trade. Raises `NotFound` if the artifact has no market, or if
    there is no such account.
    """
    command = _opening(artifact_id, account_id, side, amount_tokens, limit_price, time_in_force, expires_at)
    request(account_id, command)

    def answer(moment: Moment) -> ArtifactQuote:
        market = artifact_market_of(moment.state, artifact_id)
        _check_account(moment.state, account_id)
        return quote_of_open(moment, market, command)

    return StateQuery(answer, _weight_of_a_walk)


@operation("GET", "/positions/{position_id}/quote", "Artifact markets", "Get a quote for closing a position")
def quote_close(
    position_id: WhichPosition,
    shares: Shares | None = None,
    *,
    limit_price: LimitPrice | None = None,
    time_in_force: OrderLife = "ioc",
    expires_at: OrderDeadline | None = None,
) -> StateQuery[ArtifactQuote]:
    """What `close_position` with these arguments would do now, or why it would be refused: decided as the order itself.

    Nothing is done, and until the order comes others may trade. Raises `NotFound` if no open position has this id.
    """
    command = _closing(position_id, shares, limit_price, time_in_force, expires_at)
    request(ADMIN, command)

    def answer(moment: Moment) -> ArtifactQuote:
        capital = moment.state.capital
        position = capital.positions.get(position_id)
        if position is None:
            raise NotFound("position_id", position_id, "an open position")
        return quote_of_close(moment, capital.markets[position.artifact_id], position, command)

    return StateQuery(answer, _weight_of_a_walk)


@operation("GET", "/positions", "Artifact markets", "List the open positions of an account")
def positions(
    account_id: Named, artifact_id: Named | None = None, *, limit: PositionsLimit = 50, after: After | None = None
) -> StateQuery[Page[OpenPosition]]:
    """The open positions of an account, in one artifact or all, with what each would bring now; in order of ids.

    Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)
    check_names_given(artifact_id=artifact_id)
    check_limit(limit)
    if limit > POSITIONS_PER_PAGE_MAX:
        raise Invalid("limit", limit, f"1 to {POSITIONS_PER_PAGE_MAX}")
    last_id = number_after("positions", after) or 0

    def answer(moment: Moment) -> Page[OpenPosition]:
        state, now_us = moment.state, now_of(moment)
        _check_account(state, account_id)
        held = state.capital.positions_by_account.get(account_id, {})
        ids = _first(held, artifact_id, last_id, limit)
        items = tuple(position_of(state, held[one], now_us) for one in ids[:limit])
        more = cursor("positions", items[-1].position_id) if len(ids) > limit else None
        return Page(items, more, state.seq, moment.durable_seq)

    def weight(state: State) -> int:
        held = len(state.capital.positions_by_account.get(account_id, ()))
        # Each of a page is a walk of 30 us, and all of the account are looked at for the first of the page.
        return weight_of_rows(20 * min(limit, held) + held // 5)

    return StateQuery(answer, weight)


@operation("GET", "/orders", "Artifact markets", "List the resting orders of an account")
def orders(
    account_id: Named, artifact_id: Named | None = None, *, limit: Limit = 100, after: After | None = None
) -> StateQuery[Page[OpenOrder]]:
    """The resting orders of an account, in one artifact or all, in order of ids, in pages.

    Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)
    check_names_given(artifact_id=artifact_id)
    check_limit(limit)
    last_id = number_after("orders", after) or 0

    def answer(moment: Moment) -> Page[OpenOrder]:
        state = moment.state
        _check_account(state, account_id)
        resting = state.capital.orders_by_account.get(account_id, {})
        ids = _first(resting, artifact_id, last_id, limit)
        items = tuple(order_of(resting[one]) for one in ids[:limit])
        more = cursor("orders", items[-1].order_id) if len(ids) > limit else None
        return Page(items, more, state.seq, moment.durable_seq)

    return StateQuery(
        answer, lambda state: weight_of_rows(limit + len(state.capital.orders_by_account.get(account_id, ())) // 5)
    )


def _opening(
    artifact_id: str,
    account_id: str,
    side: SideWord,
    amount_tokens: int,
    limit_price: AnyNumber | None,
    time_in_force: OrderTimeInForce,
    expires_at: datetime | None,
) -> commands.OpenPosition:
    check_one_of("side", side, tuple(_SIDES))
    return commands.OpenPosition(
        artifact_id=artifact_id,
        account_id=account_id,
        side=_SIDES[side],
        amount_tokens=amount_tokens,
        limit_price_micros=_limit_micros(limit_price),
        time_in_force=time_in_force,
        expires_at_us=None if expires_at is None else units.at_us("expires_at", expires_at),
    )


def _closing(
    position_id: PositionId,
    shares: AnyNumber | None,
    limit_price: AnyNumber | None,
    time_in_force: OrderTimeInForce,
    expires_at: datetime | None,
) -> commands.ClosePosition:
    check_id("position_id", position_id)
    return commands.ClosePosition(
        position_id=position_id,
        microshares=None if shares is None else units.micros_within("shares", shares, 1, limits.SIDE_MICROSHARES_MAX),
        limit_price_micros=_limit_micros(limit_price),
        time_in_force=time_in_force,
        expires_at_us=None if expires_at is None else units.at_us("expires_at", expires_at),
    )


def _limit_micros(limit_price: AnyNumber | None) -> int | None:
    if limit_price is None:
        return None
    return units.micros_within("limit_price", limit_price, limits.PRICE_MICROS_MIN, limits.PRICE_MICROS_MAX)


def _check_account(state: State, account_id: str) -> None:
    if account_id not in state.ledger.accounts:
        raise NotFound("account_id", account_id, "an open account")


def _weight_of_a_walk(state: State) -> int:
    """An order meets 64 others at the most, and a quote walks twice: a millisecond."""
    return weight_of_rows(2 * min(len(state.capital.orders), 2 * limits.ORDER_FILLS_MAX))


def _first(
    of_account: Mapping[AnId, Order] | Mapping[AnId, Position], artifact_id: str | None, last_id: int, limit: int
) -> list[AnId]:
    """The first ids after the last one, and one more to tell that there is a next page."""
    ids = (one for one, row in of_account.items() if one > last_id and artifact_id in (None, row.artifact_id))
    return nsmallest(limit + 1, ids)


def _placed(reply: Reply, amount_tokens: int = 0) -> Placed:
    made = stamp(reply)
    return Placed(**structs.asdict(trade_of(reply.events, amount_tokens)), stamp=made)


def _cancelled(reply: Reply) -> CancelledOrder:
    made, event = stamp(reply), only(reply.events, OrdersEnded)
    effect, left = event.effects[0], number_of(event.left[0])
    opens = effect == "open"
    return CancelledOrder(
        order_id=event.order_ids[0],
        artifact_id=event.artifact_ids[0],
        effect=effect,
        returned_tokens=left if opens else 0.0,
        returned_shares=0.0 if opens else left,
        stamp=made,
    )


class Positions:
    """The operations on positions, as methods of a market."""

    open_position = open_position
    close_position = close_position
    cancel_order = cancel_order
    quote_open = quote_open
    quote_close = quote_close
    positions = positions
    orders = orders
