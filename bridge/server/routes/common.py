"""What the signatures of routes share: parameters, and the problems that any route may answer with.

Rule of this file: only what more than one resource uses.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from callmarket.bridge.api.bodies import AN_INSTANT, Instant
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.api.names import PATH_NAME_PATTERN
from callmarket.bridge.api.pages import Order
from callmarket.bridge.api.problem import MEDIA_TYPE, Problem
from callmarket.bridge.server.caller import Caller
from callmarket.bridge.server.service import Service
from callmarket.engine.limits import NAME_CHARS_MAX, SEQ_MAX, TOKENS_MAX

GivenCaller = NamedDependency[Caller]
GivenService = NamedDependency[Service]
PathId = Annotated[str, PathParameter(min_length=1, max_length=NAME_CHARS_MAX, pattern=PATH_NAME_PATTERN)]
BidId = Annotated[int, PathParameter(ge=1, le=SEQ_MAX)]
Limit = Annotated[int, QueryParameter(ge=1, le=1_000, description="How many at most.")]
Depth = Annotated[int, QueryParameter(ge=1, le=1_000, description="How many prices at most.")]
Price = Annotated[int, QueryParameter(ge=1, le=TOKENS_MAX, description="Whole tokens.")]
Name = Annotated[str, QueryParameter(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[!-~]+\Z")]
NameQuery = Annotated[str | None, QueryParameter(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[!-~]+\Z")]
PeriodS = Annotated[float, QueryParameter(gt=0, le=31_622_400, description="Seconds, at most a year.")]
After = Annotated[str | None, QueryParameter(max_length=400, description="`next` of the page before.")]
Newest = Annotated[Order, QueryParameter(description="Which end of the list comes first.")]
Time = Annotated[
    str | None,
    QueryParameter(max_length=40, description="ISO 8601 with a time zone.", schema_extra={"format": "date-time"}),
]
AckQuery = Annotated[
    Ack,
    QueryParameter(description="Reply when it is `durable`, or as soon as it is `applied`: then it may still be lost."),
]


def problems(*statuses: int) -> Mapping[int, ResponseSpec]:
    """What a route may answer with besides its result: what all may, and these."""
    return only_problems(*sorted({*_ALWAYS, *statuses}))


def only_problems(*statuses: int) -> Mapping[int, ResponseSpec]:
    """What a route may answer with that needs no key."""
    return {status: _SPECS[status] for status in statuses}


_ALWAYS: Final = (400, 401, 403, 429, 500, 503)

_SPECS: Final = {
    status: ResponseSpec(Problem, description=description, media_type=MEDIA_TYPE, generate_examples=False)
    for status, description in {
        400: "A field has the wrong type, range or pattern. Nothing happened.",
        401: "No API key, or none that is good.",
        402: "The available balance does not cover the bid or the payment.",
        403: "The key may not do this.",
        404: "There is nothing of this name.",
        408: "The body came too slowly.",
        409: "The market's state does not allow it; `reason` says why.",
        410: "The row after which it goes on was acknowledged and is lost: begin anew.",
        413: "The body is too large.",
        422: "The request contradicts itself, or its Idempotency-Key was used for another one.",
        429: "More requests than this key may make; see Retry-After.",
        500: "An error of the service.",
        503: "Nothing happened: the database is away, the queue is full, or another process leads; see Retry-After.",
        504: "It was applied but is not known to be durable. Send it again with the same Idempotency-Key.",
    }.items()
}


def instant(field: str, text: str | None) -> datetime | None:
    """The time that a parameter gives. Raises `Invalid`.

    Not the framework's own reading, which takes 2026 for half an hour after 1970.
    """
    if text is None:
        return None
    try:
        return msgspec.convert(text, Instant)
    except msgspec.ValidationError:
        raise Invalid(field, text, AN_INSTANT) from None


# What a command may be answered with.
COMMAND: Final = problems(404, 408, 409, 413, 422, 504)
PAYMENT: Final = problems(402, 404, 408, 409, 413, 422, 504)
# What a question may be answered with.
QUESTION: Final = problems(404)
