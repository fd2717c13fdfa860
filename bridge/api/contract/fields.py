"""The arguments that operations share: each with its bound, its words, and how it is written over HTTP.

Rule of this file: a bound stands here once. What a type says is true for Python, HTTP, tools and the document alike.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

from callmarket.bridge.api.contract.declaration import Acting, InQuery, Wire
from callmarket.bridge.api.contract.pages import Order as _Order
from callmarket.bridge.api.names import ACCOUNT_PATTERN, PATH_NAME_PATTERN
from callmarket.bridge.api.units import Number
from callmarket.engine import limits
from callmarket.engine.commands import Memo, Name, Reason, Reference, Tokens, TokensPositive
from callmarket.engine.ids import AwardId, BidId

# How times are written, for who has written one in another way.
AN_INSTANT: Final = "ISO 8601 with a time zone, as 2026-01-31T12:00:00Z"
# Expected value and impact are kept in millionths, of which the engine takes a few more than these.
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
        description="Visible ASCII without spaces and without `/`. Not `*` or `~`: all, and oneself.",
    ),
]
WhichBid = Annotated[BidId, Meta(ge=1, le=limits.SEQ_MAX)]

ActingAccount = Annotated[str, Acting]
"""Whose request it is. Over HTTP the key says so, or the header `Callmarket-Account` where it has several accounts."""
ActingPath = Annotated[PathName, Acting]
"""The same, where it stands in the path."""

Instant = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone.")]
Now = Annotated[
    datetime, InQuery, Meta(tz=True, description="For who drives the market's time. ISO 8601 with a time zone.")
]
Lease = Annotated[timedelta, Meta(description="ISO 8601, as PT1H or PT90S; at most 31 days.")]
_YEAR_S: Final = 31_622_400
Period = Annotated[
    timedelta,
    Wire(
        Annotated[float, Meta(gt=0, le=_YEAR_S, description="Seconds, at most a year.")],
        encode=timedelta.total_seconds,
        decode=lambda seconds: timedelta(seconds=seconds),
        suffix="_s",
    ),
]


def _amount(description: str) -> Wire:
    return Wire(Annotated[float, Meta(ge=0, le=AMOUNT_MAX, description=description)], encode=float)


Impact = Annotated[Number, _amount("What the work was good for; kept to six decimal places.")]
Value = Annotated[Number, _amount("What it is worth; recorded, and decides nothing.")]
Price = Annotated[TokensPositive, Meta(description="The most that is paid, and what is held until then. Whole tokens.")]
Deadline = Annotated[datetime, Meta(tz=True, description="Until when the bid stands, ISO 8601 with a time zone.")]
Sum = Annotated[TokensPositive, Meta(description="Whole tokens.")]
Cost = Annotated[Tokens, Meta(description="What the work cost, for the record: the price is paid.")]
WhichAward = Annotated[AwardId, Meta(ge=1, le=limits.SEQ_MAX, description="Which award; else the slot's present one.")]
Why = Annotated[Reason, Meta(description="What for, in parts: `grant:initial`, `earn:review`.")]
ReferenceKind = Annotated[Reference, Meta(description="What kind of thing it is for, as `artifact`.")]
ReferenceName = Annotated[Reference, Meta(description="Which one; an `earn:*` is paid once for each.")]
Note = Annotated[Memo, Meta(description="For people.")]
Named = Name

Limit = Annotated[int, Meta(ge=1, le=1_000, description="How many at most.")]
Depth = Annotated[int, Meta(ge=1, le=1_000, description="How many prices at most.")]
After = Annotated[str, Meta(max_length=400, description="`next` of the page before.")]
Order = Annotated[_Order, Meta(description="Which end of the list comes first.")]
Since = Annotated[datetime, Meta(tz=True, description="Those then or later. ISO 8601 with a time zone.")]
