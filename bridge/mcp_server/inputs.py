"""What each tool is asked with: the arguments of an operation, described for a model that has read nothing else.

Rule of this file: names, words, and what differs for a model. Types and bounds are those of the declaration. A field
that is not here is refused, so that a made-up one is not ignored.
"""

from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from msgspec import Meta, Struct, defstruct

from callmarket.bridge.api.contract.declaration import REQUIRED
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.operations import accounts, awards, bids, markets, slots
from callmarket.engine.commands import Name

# A model has to read what it gets: a page of twenty rows is some three thousand words of JSON.
ROWS_MAX: Final = 20
# Clients of the protocol give up after a minute, often: a wait ends before that.
WAIT_S_MAX: Final = 50

_MARKET: Final = "The market's name, as the tool `markets` lists it."
_TASK: Final = "Your own name for the task. A task has one open bid, and one award, at a time."
_SLOT: Final = "The slot's name, as the award says it."
_PROVIDER: Final = "Whose slot it is, as the award says it: providers choose their slots' names."
_BID: Final = "The bid's id, as place_bid or my_bids gave it."
_AWARD: Final = "The award's id, as my_awards gave it: it keeps a late report harmless."
_PRICE: Final = "The most that you would pay, in whole tokens. It is held at once; a winner gets the rest back."
_DEADLINE: Final = "The bid ends then. ISO 8601 with a time zone: 2030-01-31T12:00:00Z."
_AFTER: Final = "`next` of the page before, for what follows it."


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all tools share: a field that is not known is refused."""


class Needed(NamedTuple):
    """An argument that a program may leave out, and a model may not."""

    words: str


class Argument(NamedTuple):
    """An argument that is another for a model than for a program."""

    kind: Any
    default: Any = REQUIRED


LIMIT: Final = Argument(Annotated[int, Meta(ge=1, le=ROWS_MAX, description="How many at most, newest first.")], 10)
IDEMPOTENCY_KEY: Final = Argument(
    Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            pattern="^[!-~]+$",
            description="Only to repeat a call whose outcome is unknown: the key that its error named.",
        ),
    ]
    | None,
    None,
)


def asked(name: str, operation: Operation[..., Any], **arguments: str | Needed | Argument) -> type[Ask]:
    """The arguments of a tool, in this order: those of an operation in words for a model, or others instead."""
    known = {one.name: one for one in operation.parameters}
    fields: list[Any] = []
    for argument, said in arguments.items():
        if isinstance(said, Argument):
            kind, default = said
        elif isinstance(said, Needed):
            kind, default = _described(_given(known[argument].kind), said.words), REQUIRED
        else:
            kind, default = _described(known[argument].kind, said), known[argument].default
        fields.append((argument, kind) if default is REQUIRED else (argument, kind, default))
    made = defstruct(name, fields, bases=(Ask,), frozen=True, kw_only=True)
    assert issubclass(made, Ask)
    return made


def _given(kind: Any) -> Any:
    """The type of an argument that is there."""
    kinds = [one for one in get_args(kind) if one is not type(None)]
    return kinds[0] if get_origin(kind) in (Union, UnionType) and len(kinds) == 1 else kind


def _described(kind: Any, words: str) -> Any:
    """The type with these words."""
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(one if one is type(None) else _described(one, words) for one in get_args(kind))]  # noqa: UP007
    return Annotated[kind, Meta(description=words)]


Markets: Final = asked("Markets", markets.markets)
Quote: Final = asked("Quote", markets.quote, market_id=_MARKET, max_price_tokens=_PRICE, task_id=_TASK)
ShowOrderBook: Final = asked(
    "ShowOrderBook",
    markets.get_order_book,
    market_id=_MARKET,
    limit=Argument(
        Annotated[int, Meta(ge=1, le=ROWS_MAX, description="How many bids, prices and slots, best first.")], 10
    ),
)
PlaceBid: Final = asked(
    "PlaceBid",
    bids.place_bid,
    market_id=_MARKET,
    task_id=_TASK,
    max_price_tokens=_PRICE,
    expected_value_usd="What the work is worth to you. Recorded; it decides nothing.",
    time_in_force="`round`: it takes part in the next call and ends with it. `gtd`: it rests until ttl_at.",
    ttl_at=_DEADLINE,
    idempotency_key=IDEMPOTENCY_KEY,
)
AmendBid: Final = asked(
    "AmendBid",
    bids.amend_bid,
    bid_id=_BID,
    max_price_tokens=_PRICE,
    ttl_at=_DEADLINE,
    idempotency_key=IDEMPOTENCY_KEY,
)
CancelBid: Final = asked("CancelBid", bids.cancel_bid, bid_id=_BID)
MyBids: Final = asked(
    "MyBids",
    bids.bids,
    market_id=_MARKET,
    status="Only bids that stand so. Leave it out for all.",
    limit=LIMIT,
    after=_AFTER,
)
MyAwards: Final = asked(
    "MyAwards",
    awards.awards,
    market_id=_MARKET,
    status=Argument(
        Annotated[
            Literal["awarded", "settled", "voided", "lapsed", "any"],
            Meta(description="`awarded`: still to be settled. `any`: also those that ended."),
        ],
        "awarded",
    ),
    wait_s=Argument(
        Annotated[
            float, Meta(ge=0, le=WAIT_S_MAX, description="Where there is none, wait so many seconds for one to come.")
        ],
        0.0,
    ),
    limit=LIMIT,
    after=_AFTER,
)
Settle: Final = asked(
    "Settle",
    slots.settle,
    provider_id=Needed(_PROVIDER),
    slot_id=_SLOT,
    award_id=Needed(_AWARD),
    actual_cost_tokens="What the work really cost. Recorded; you pay the award's price.",
    actual_impact="What the work achieved, as your market counts it.",
)
Void: Final = asked("Void", slots.void, provider_id=Needed(_PROVIDER), slot_id=_SLOT, award_id=Needed(_AWARD))
ShowWallet: Final = asked(
    "ShowWallet",
    accounts.wallet,
    account_id=Argument(
        Annotated[Name, Meta(description="Another account's name. Leave it out for your own.")] | None, None
    ),
)
Why: Final = asked("Why", bids.why, bid_id=_BID)
