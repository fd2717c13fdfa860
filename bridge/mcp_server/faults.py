"""Error messages for a model: what is wrong, and what to do about it.

Rule of this file: pure. The sentences are those of the service (`api.http.meanings`); where one mentions HTTP headers,
models get a sentence about their tools instead. Details of unexpected errors are not shown.
"""

from typing import Final

from callmarket.bridge.api.errors import (
    AccessDenied,
    Conflict,
    ExchangeError,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    NotLeader,
    Refused,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from callmarket.bridge.api.http.meanings import MEANINGS, slug_of

# Replaces the sentences of the service that are about requests, or where a tool helps.
_FOR_TOOLS: Final = {
    "command-id-reused": "This idempotency_key was used for another call. Leave it out of a new one.",
    "market-unknown": "There is no market of this name. The tool markets lists the existing ones.",
    "task-bid-open": "You have an open bid for this task, which is named here. Amend or cancel it.",
    "task-awarded": "This task has an award already. Find it with my_awards and settle it.",
    "bid-won": "The bid has won. Find its award with my_awards and settle it.",
    "bid-lost": "The bid lost in the last call, and its hold is being released. Place a new one.",
    "slot-settled": "The award was settled already, and its price is paid. There is nothing left to do.",
    "lease-expired": "The award's lease has run out. It can no longer be settled or voided. Settle sooner next time.",
    "retries-full": "The limit of calls that the market remembers for retries is reached. Try again hours later.",
    "artifact-market-unknown": "This artifact has no market. The tool artifact_markets lists those that have one.",
    "position-unknown": "There is no such position. The tool my_portfolio lists yours.",
    "position-closed": "The position has ended, or its order still rests. See my_portfolio and my_orders.",
    "order-unknown": "There is no such order. The tool my_orders lists those of yours that rest.",
    "order-closed": "The order does not rest any more: it was filled, cancelled or has expired. See my_portfolio.",
    "shares-insufficient": "Resting orders have reserved shares of this position. Sell fewer, or cancel one of them.",
    "unfillable": "Nothing, or not all of it, trades within your limit_price now. See artifact_book, and ask again.",
    "unauthorized": "The API key is missing or not valid. You cannot repair this: tell your operator.",
    "forbidden": "Your API key may not do this, and trying again does not help. Tell your operator what you need.",
    "too-many-requests": "Your API key exceeds its rate limit. Wait, then call less often.",
    "not-leader": "Another process is taking over the market. Nothing happened: try again in a few seconds.",
    "unavailable": "The market cannot be reached or takes no commands now. Nothing happened: try again later.",
    "not-found": "There is nothing of this name. Look it up, then try again.",
    "invalid": "Correct that field, then try again. Nothing happened.",
}


def render_error(error: Exception, command_id: str = "") -> str:
    """The message for a model about an error. `command_id` makes the call safe to repeat; empty if it has none."""
    if not isinstance(error, ExchangeError):
        return "INTERNAL: an error of the tools, which is in their log. Try again once; then tell your operator."
    slug = _slug(error)
    words = [
        f"{error}." if isinstance(error, Refused) else f"{slug.replace('-', '_').upper()}: {error}.",
        _advice(slug),
    ]
    if isinstance(error, UnknownOutcome):
        words[-1] = _repeat(command_id)
    elif isinstance(error, Unavailable) and error.retry_after_s:
        words.append(f"Wait {error.retry_after_s:g} s first.")
    return " ".join(words)


def _repeat(command_id: str) -> str:
    again = f", with idempotency_key={command_id!r}" if command_id else ""
    return f"It may have been done. Call this tool again with the same arguments{again}: it is done only once."


def _advice(slug: str) -> str:
    return _FOR_TOOLS.get(slug) or MEANINGS[slug]


def _slug(error: ExchangeError) -> str:
    """The name of the problem type of an error, as in the service."""
    match error:
        case Refused():
            return slug_of(error.reason)
        case NotFound():
            return "not-found"
        case Conflict():
            return "conflict"
        case Gone():
            return "gone"
        case Invalid():
            return "invalid"
        case Unauthorized():
            return "unauthorized"
        case Forbidden():
            return "forbidden"
        case AccessDenied():
            return "database-access-denied"
        case TooManyRequests():
            return "too-many-requests"
        case NotLeader():
            return "not-leader"
        case Unavailable():
            return "unavailable"
        case UnknownOutcome():
            return "unknown-outcome"
        case _:
            return "internal"
