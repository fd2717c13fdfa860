"""The arguments of each tool: those of its operation, described for a model that has read nothing else.

Rule of this file: names, descriptions, and differences for models. Types and bounds come from the declarations. Unknown
fields are refused, so that an invented one is not ignored.
"""

from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from msgspec import Meta, Struct, defstruct

from callmarket.bridge.api.contract.declaration import REQUIRED
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.operations import accounts, artifact_books, awards, bids, markets, positions, slots
from callmarket.bridge.api.operations.portfolios import holdings
from callmarket.engine.fields import Name

# A model reads every row: a page of twenty rows is some three thousand words of JSON.
ROWS_MAX: Final = 20
# MCP clients often time out after a minute, so a wait ends before that.
WAIT_S_MAX: Final = 50

_MARKET: Final = "The market's name, as the tool `markets` lists it."
_TASK: Final = "Your own name for the task. A task has one open bid, and one award, at a time."
_SLOT: Final = "The slot's name, as in the award."
_PROVIDER: Final = "The slot's provider, as in the award. Each provider chooses the names of its slots."
_BID: Final = "The bid's id, as returned by place_bid or my_bids."
_AWARD: Final = "The award's id, as returned by my_awards. It makes a late report harmless."
_PRICE: Final = (
    "The highest price that you would pay, in whole tokens. It is held at once; a winner gets the rest back."
)
_DEADLINE: Final = "When the bid expires. ISO 8601 with a time zone: 2030-01-31T12:00:00Z."
_AFTER: Final = "`next` of the previous page, to get the page after it."
_ARTIFACT: Final = "The artifact's name, as the tool `artifact_markets` lists it."
_SIDE: Final = (
    "`long` (or `yes`): a share pays one token if the artifact holds. `short` (or `no`): a share pays one if not."
)
_SPENT: Final = "The most to spend, in whole tokens. What is not used stays with you."
_LIFE: Final = (
    "What cannot trade within the limit now: `ioc` leaves it, `fok` refuses the whole order, `gtd` lets it rest as an "
    "order until expires_at."
)
_ORDER_UNTIL: Final = "Only with `gtd`: when the order ends. ISO 8601 with a time zone: 2030-01-31T12:00:00Z."
_BUY_LIMIT: Final = (
    "The highest price of a share that you accept, 0.001 to 0.999: at most how likely you think it is that your side "
    "proves right."
)


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all arguments. Unknown fields are refused."""


class Needed(NamedTuple):
    """An argument that is optional for programs and required for models."""

    words: str


class Argument(NamedTuple):
    """An argument whose type or default for models differs from that for programs."""

    kind: Any
    default: Any = REQUIRED


LIMIT: Final = Argument(
    Annotated[int, Meta(ge=1, le=ROWS_MAX, description="The largest number of rows, newest first.")], 10
)
IDEMPOTENCY_KEY: Final = Argument(
    Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            pattern="^[!-~]+$",
            description="Only to repeat a call whose outcome is unknown: the key that its error names.",
        ),
    ]
    | None,
    None,
)


def asked(name: str, operation: Operation[..., Any], **arguments: str | Needed | Argument) -> type[Ask]:
    """The struct of a tool's arguments, in this order: those of the operation, described for a model or replaced."""
    known = {one.name: one for one in operation.parameters}
    fields: list[Any] = []
    for argument, said in arguments.items():
        if isinstance(said, Argument):
            kind, default = said
        elif isinstance(said, Needed):
            kind, default = _described(known[argument].kind_if_given, said.words), REQUIRED
        else:
            kind, default = _described(known[argument].kind, said), known[argument].default
        fields.append((argument, kind) if default is REQUIRED else (argument, kind, default))
    made = defstruct(name, fields, bases=(Ask,), frozen=True, kw_only=True)
    assert issubclass(made, Ask)
    return made


def _described(kind: Any, words: str) -> Any:
    """The type with this description."""
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
        Annotated[
            int, Meta(ge=1, le=ROWS_MAX, description="The largest number of bids, prices and slots, best first.")
        ],
        10,
    ),
)
PlaceBid: Final = asked(
    "PlaceBid",
    bids.place_bid,
    market_id=_MARKET,
    task_id=_TASK,
    max_price_tokens=_PRICE,
    expected_value_usd="The value of the work to you. Recorded; it has no effect.",
    time_in_force="`round`: the bid is for the next call only. `gtd`: it stays open until ttl_at.",
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
    status="Only bids with this status. Leave it out for all.",
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
            Meta(description="`awarded`: still to be settled. `any`: also ended awards."),
        ],
        "awarded",
    ),
    wait_s=Argument(
        Annotated[
            float, Meta(ge=0, le=WAIT_S_MAX, description="If there is none yet, wait up to this many seconds for one.")
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
    actual_cost_tokens="The actual cost of the work. Recorded; you pay the award's price.",
    actual_impact="The impact of the work, in the unit of your market.",
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
ArtifactMarkets: Final = asked(
    "ArtifactMarkets",
    artifact_books.artifact_markets,
    status="Only markets with this status. Leave it out for all.",
    limit=Argument(
        Annotated[int, Meta(ge=1, le=ROWS_MAX, description="The largest number of markets, in order of their names.")],
        10,
    ),
    after=_AFTER,
)
ArtifactBook: Final = asked(
    "ArtifactBook",
    artifact_books.artifact_market,
    artifact_id=_ARTIFACT,
    depth=Argument(
        Annotated[int, Meta(ge=1, le=ROWS_MAX, description="The largest number of price levels of each side.")], 5
    ),
)
ArtifactQuote: Final = asked(
    "ArtifactQuote",
    positions.quote_open,
    artifact_id=_ARTIFACT,
    side=_SIDE,
    amount_tokens=_SPENT,
    limit_price=_BUY_LIMIT,
    time_in_force=_LIFE,
    expires_at=_ORDER_UNTIL,
)
ArtifactTrade: Final = asked(
    "ArtifactTrade",
    positions.open_position,
    artifact_id=_ARTIFACT,
    side=_SIDE,
    amount_tokens=_SPENT,
    limit_price=Needed(_BUY_LIMIT),
    time_in_force=_LIFE,
    expires_at=_ORDER_UNTIL,
    idempotency_key=IDEMPOTENCY_KEY,
)
ArtifactClose: Final = asked(
    "ArtifactClose",
    positions.close_position,
    position_id="The position's id, as returned by artifact_trade or my_portfolio.",
    shares="How many shares to sell, to six decimal places. Leave it out for all that no order has reserved.",
    limit_price=Needed("The lowest price of a share that you accept, before the exit fee, 0.001 to 0.999."),
    time_in_force=_LIFE,
    expires_at=_ORDER_UNTIL,
    idempotency_key=IDEMPOTENCY_KEY,
)
ArtifactCancel: Final = asked(
    "ArtifactCancel", positions.cancel_order, order_id="The order's id, as returned by artifact_trade or my_orders."
)
MyPortfolio: Final = asked(
    "MyPortfolio",
    holdings.get_portfolio,
    limit=Argument(
        Annotated[int, Meta(ge=1, le=ROWS_MAX, description="The largest number of positions, oldest first.")], 10
    ),
    after=_AFTER,
)
MyOrders: Final = asked(
    "MyOrders",
    positions.orders,
    artifact_id="Only orders in this artifact. Leave it out for all.",
    limit=Argument(
        Annotated[int, Meta(ge=1, le=ROWS_MAX, description="The largest number of orders, oldest first.")], 10
    ),
    after=_AFTER,
)
