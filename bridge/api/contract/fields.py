"""The arguments that operations share: each with its bound, its description and its wire format.

Rule of this file: each bound is written once, and holds for Python, HTTP, tools and the OpenAPI document.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta

from callmarket.bridge.api.contract.declaration import Acting, InQuery, Wire
from callmarket.bridge.api.contract.pages import Order as _Order
from callmarket.bridge.api.names import ACCOUNT_PATTERN, PATH_NAME_PATTERN
from callmarket.bridge.api.units import Number, on_the_wire
from callmarket.engine import limits
from callmarket.engine.capital import limits as capital
from callmarket.engine.capital.commands import OrderTimeInForce
from callmarket.engine.fields import Memo, Name, Reason, Reference, Tokens, TokensPositive
from callmarket.engine.ids import AwardId, BidId, OrderId, PositionId

# The format of times, for error messages.
AN_INSTANT: Final = "ISO 8601 with a time zone, as 2026-01-31T12:00:00Z"
# Expected value and impact are stored in millionths. The bound of the engine is slightly higher.
AMOUNT_MAX: Final = 9_000_000_000
assert AMOUNT_MAX * 1_000_000 <= limits.MICROS_MAX, AMOUNT_MAX

PathName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.NAME_CHARS_MAX,
        pattern=PATH_NAME_PATTERN,
        description="Visible ASCII without spaces and without `/`.",
    ),
]
NewAccountName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.NAME_CHARS_MAX,
        pattern=ACCOUNT_PATTERN,
        description="Visible ASCII without spaces and without `/`. `*` and `~` are reserved.",
    ),
]
WhichBid = Annotated[BidId, Meta(ge=1, le=limits.SEQ_MAX)]

ActingAccount = Annotated[str, Acting]
"""The account that acts. Over HTTP it is the key's, or the one that `Callmarket-Account` names if a key has several."""
ActingPath = Annotated[PathName, Acting]
"""The account that acts, as a part of the path."""

Instant = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone.")]
Now = Annotated[
    datetime, InQuery, Meta(tz=True, description="For callers that control the market's time. ISO 8601 with a zone.")
]
Lease = Annotated[timedelta, Meta(description="ISO 8601, for example PT1H or PT90S; up to 31 days.")]
_YEAR_S: Final = 31_622_400
Period = Annotated[
    timedelta,
    Wire(
        Annotated[float, Meta(gt=0, le=_YEAR_S, description="Seconds, up to a year.")],
        encode=timedelta.total_seconds,
        decode=lambda seconds: timedelta(seconds=seconds),
        suffix="_s",
    ),
]


def _amount(description: str) -> Wire:
    return Wire(Annotated[float, Meta(ge=0, le=AMOUNT_MAX, description=description)], encode=float)


def _within(field: str, least: float, most: float, description: str) -> Wire:
    """A number that is exact to six decimal places."""
    kind = Annotated[float, Meta(ge=least, le=most, description=description)]
    return Wire(kind, encode=lambda number: on_the_wire(field, number))


AnyNumber = Number | str
"""A number, or its text."""
_A_MICRO: Final = 1 / capital.MICRO
_SHARES_MAX: Final = capital.SIDE_MICROSHARES_MAX / capital.MICRO
_PRICE_MIN, _PRICE_MAX = capital.PRICE_MICROS_MIN / capital.MICRO, capital.PRICE_MICROS_MAX / capital.MICRO
LimitPrice = Annotated[
    AnyNumber,
    _within(
        "limit_price",
        _PRICE_MIN,
        _PRICE_MAX,
        "The worst price of a share of this side, in tokens, to six decimal places. Without one, any price.",
    ),
]
Shares = Annotated[
    AnyNumber, _within("shares", _A_MICRO, _SHARES_MAX, "Shares, to six decimal places; by default all that are free.")
]
SettlePrice = Annotated[
    AnyNumber, _within("price", 0, 1, "What a long share is worth, in tokens; by default that of `settled_as`.")
]
Liquidity = Annotated[
    AnyNumber, _within("b", _A_MICRO, capital.SUBSIDY_TOKENS_MAX, "Hanson's b: funds b ln 2 tokens, rounded up.")
]
SideWord = Annotated[
    Literal["long", "short", "yes", "no"],
    Meta(
        description="A share of `long` (or `yes`) pays one token if the artifact holds, one of `short` (`no`) if not."
    ),
]
Spent = Annotated[TokensPositive, Meta(description="The most to pay. Whole tokens.")]
OrderLife = Annotated[
    OrderTimeInForce,
    Meta(description="What is not traded now is given back (`ioc`), refuses it all (`fok`), or rests (`gtd`)."),
]
OrderDeadline = Annotated[datetime, Meta(tz=True, description="When a `gtd` order expires. ISO 8601 with a time zone.")]
WhichOrder = Annotated[OrderId, Meta(ge=1, le=limits.SEQ_MAX)]
WhichPosition = Annotated[PositionId, Meta(ge=1, le=limits.SEQ_MAX)]

Impact = Annotated[Number, _amount("The impact of the work; rounded to six decimal places.")]
Value = Annotated[Number, _amount("The value of the task to the bidder. Recorded; it has no effect.")]
Price = Annotated[TokensPositive, Meta(description="The highest price; held until the bid wins or ends. Whole tokens.")]
Deadline = Annotated[datetime, Meta(tz=True, description="When the bid expires. ISO 8601 with a time zone.")]
Sum = Annotated[TokensPositive, Meta(description="Whole tokens.")]
Cost = Annotated[Tokens, Meta(description="What the work cost. Recorded; the price of the award is paid.")]
WhichAward = Annotated[AwardId, Meta(ge=1, le=limits.SEQ_MAX, description="Defaults to the slot's current award.")]
Why = Annotated[Reason, Meta(description="Lower-case words joined by `:`, as in `grant:initial`.")]
ReferenceKind = Annotated[Reference, Meta(description="The kind of thing that it is for, for example `artifact`.")]
ReferenceName = Annotated[Reference, Meta(description="The thing that it is for. An `earn:*` is paid once for each.")]
Note = Annotated[Memo, Meta(description="A free text.")]
Named = Name

Limit = Annotated[int, Meta(ge=1, le=1_000, description="The largest number of items to return.")]
Depth = Annotated[int, Meta(ge=1, le=1_000, description="The largest number of price levels to return.")]
After = Annotated[str, Meta(max_length=400, description="The cursor `next` of the previous page.")]
Order = Annotated[_Order, Meta(description="The order of the list.")]
Since = Annotated[datetime, Meta(tz=True, description="Only what happened then or later. ISO 8601 with a time zone.")]
