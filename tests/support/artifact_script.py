"""The part of the table language that is about artifact markets: their words, and their results in words.

Rule of this file: that of `tests.support.script`, which knows these words by this file alone. Money and shares are in
millionths, as the engine has them.

    command = artifact A TOKENS closes=AT_US [fee= exposure= decay= floor= window= arbiter=]         by operator
            | open A ACCOUNT long|short TOKENS [limit= until=] [ioc|gtd|fok]                         by ACCOUNT
            | close POSITION [shares= limit= until=] [ioc|gtd|fok]                                   by its account
            | pull ORDER                                                                             by its account
            | freeze A until= | unfreeze A | judge A STATE [price=] | decay A                        by operator
    result  = order N: PART, ...              open and close; the parts in the order of the events
            | back LEFT                       pull
            | subsidy S, back MICROTOKENS     decay
            | announced until AT_US | settled STATE PRICE, ENDS                                      judge
    part    = SHARES for MICROTOKENS [fee MICROTOKENS] | met ORDER | self_trade ORDER | expired ORDER | rests LEFT
    ends    = settled ORDER ... | paid POSITION=MICROTOKENS ... | closed REMAINDER, also of a sweep, and of it
              [settled A STATE PRICE | opened A | expired ORDER ...]
    question = purse A -> MICROTOKENS | price A -> PRICE average PRICE | pool A -> POOL fees FEES
             | position N -> SHARES cost COST reserved SHARES | none
             | order? N -> LEFT | none
"""

from collections.abc import Iterator
from typing import Any

from callmarket.engine.capital.commands import (
    CancelOrder,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketClosed,
    ArtifactMarketOpened,
    ArtifactSettled,
    ArtifactUnfrozen,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    SettlementAnnounced,
    SharesTraded,
    SubsidyDecayed,
)
from callmarket.engine.events import Event, Events
from callmarket.engine.state import State

_FORCE = {word: ("time_in_force", word) for word in ("ioc", "gtd", "fok")}
_ORDER = {"limit": "limit_price_micros", "until": "expires_at_us"}
_RULES = {
    "closes": "closes_at_us",
    "fee": "exit_fee_ppm",
    "exposure": "exposure_limit_ppm",
    "decay": "decay_ppm",
    "floor": "decay_floor_ppm",
    "window": "dispute_window_us",
    "arbiter": "arbiter_id",
}
# Each word with its command, positional fields, options, flags and actor; an actor that begins with `@` is a field.
WORDS: dict[str, tuple[Any, ...]] = {
    "artifact": (OpenArtifactMarket, ("artifact_id", "subsidy_tokens"), _RULES, {}, "operator"),
    "open": (OpenPosition, ("artifact_id", "account_id", "side", "amount_tokens"), _ORDER, _FORCE, "@account_id"),
    "close": (ClosePosition, ("position_id",), _ORDER | {"shares": "microshares"}, _FORCE, "@position_id"),
    "pull": (CancelOrder, ("order_id",), {}, {}, "@order_id"),
    "freeze": (FreezeArtifact, ("artifact_id",), {"until": "until_us"}, {}, "operator"),
    "unfreeze": (UnfreezeArtifact, ("artifact_id",), {}, {}, "operator"),
    "judge": (SettleArtifact, ("artifact_id", "settled_as"), {"price": "price_micros"}, {}, "operator"),
    "decay": (DecaySubsidy, ("artifact_id",), {}, {}, "operator"),
}
# What no result names: it is seen in wallets and purses.
_MONEY = ("PursesSet", "TransferPosted")


def owners(event: Event) -> Iterator[tuple[int, str]]:
    """Yield orders and positions of an event, and whose they are."""
    if isinstance(event, SharesTraded | OrderRested):
        yield event.order_id, event.account_id
        yield event.position_id, event.account_id


def shown_of_artifacts(events: Events) -> str | None:
    """Return the result of a command to an artifact market in words; None if it was no such command."""
    told = [event for event in events if type(event).__name__ not in _MONEY]
    first = told[0] if told else None
    match first:
        case ArtifactMarketOpened() | ArtifactFrozen() | ArtifactUnfrozen():
            return "ok"
        case SettlementAnnounced():
            return f"announced until {first.due_us}"
        case SubsidyDecayed():
            return f"subsidy {first.subsidy_microtokens}, back {first.returned_microtokens}"
        case ArtifactSettled():
            return ", ".join([f"settled {first.settled_as} {_price(first.price_micros)}", *shown_ends(told[1:])])
        case OrdersEnded(reason="cancelled"):
            return f"back {first.left[0]}"
        case SharesTraded() | OrdersEnded() | OrderRested():
            return _shown_order(told)
        case _:
            return None


def shown_ends(events: list[Event]) -> Iterator[str]:
    """Yield what a settlement or a sweep ended of artifact markets."""
    for event in events:
        match event:
            case OrdersEnded():
                yield f"{event.reason} {' '.join(map(str, event.order_ids))}"
            case PositionsPaid():
                pairs = zip(event.position_ids, event.microtokens, strict=True)
                yield "paid " + " ".join(f"{position_id}={paid}" for position_id, paid in pairs)
            case ArtifactMarketClosed():
                yield f"closed {event.remainder_microtokens}"
            case ArtifactSettled():
                yield f"settled {event.artifact_id} {event.settled_as} {_price(event.price_micros)}"
            case ArtifactUnfrozen():
                yield f"opened {event.artifact_id}"
            case _:
                pass


def answers(state: State, question: str, name: str) -> str:
    """Answer a question about artifact markets."""
    capital = state.capital
    if question == "purse":
        return str(capital.purses.get(name, 0))
    if question == "position":
        position = capital.positions.get(int(name))  # type: ignore[call-overload]  # a plain number
        if position is None:
            return "none"
        return f"{position.microshares} cost {position.cost_microtokens} reserved {position.reserved_microshares}"
    if question == "order?":
        order = capital.orders.get(int(name))  # type: ignore[call-overload]  # a plain number
        return str(order.left) if order else "none"
    market = capital.markets[name]
    if question == "price":
        return f"{market.maker.price_micros} average {market.average_at(state.at_us).micros}"
    return f"{market.maker.pool_microtokens} fees {market.fees_microtokens}"


def _shown_order(events: list[Event]) -> str:
    order_id = max(event.order_id for event in events if isinstance(event, SharesTraded | OrderRested))
    return f"order {order_id}: {', '.join(_shown_part(event) for event in events)}"


def _shown_part(event: Event) -> str:
    match event:
        case SharesTraded():
            fee = f" fee {event.fee_microtokens}" if event.fee_microtokens else ""
            return f"{sum(event.microshares)} for {sum(event.microtokens)}{fee}"
        case OrderMatched():
            return f"met {event.order_id}"
        case OrdersEnded():
            return f"{event.reason} {event.order_ids[0]}"
        case OrderRested():
            return f"rests {event.left}"
        case _:
            raise AssertionError(event)


def _price(price_micros: int | None) -> str:
    return "none" if price_micros is None else str(price_micros)
