"""An error as a model is told it: what is wrong, and what to do about it.

Rule of this file: pure, words only. The sentences are those of the service (`server.meanings`); where one speaks of
headers, a model gets the words of its own tools. What nobody foresaw has no words of its own.
"""

from typing import Final

from callmarket.bridge.api.errors import (
    AccessDenied,
    ExchangeError,
    Forbidden,
    Invalid,
    NotFound,
    NotLeader,
    Refused,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from callmarket.bridge.api.http.meanings import MEANINGS

# Where the words of the service are about requests, or a tool is what helps.
_FOR_TOOLS: Final = {
    "command-id-reused": "This idempotency_key was used for another call. Leave it out of a new one.",
    "market-unknown": "There is no market of this name: the tool markets lists those that there are.",
    "task-bid-open": "You have an open bid for this task, the one named here: amend or cancel that one.",
    "task-awarded": "This task holds an award already: find it with my_awards and settle it.",
    "bid-won": "The bid has won: find its award with my_awards and settle it.",
    "bid-lost": "The bid lost in the last call and its hold is coming back. Place a new one.",
    "slot-settled": "The award was settled already: its price is paid. There is nothing left to do.",
    "lease-expired": "The award's lease has run out: it can no longer be settled. Settle sooner next time.",
    "retries-full": "The market can remember no more of this account's calls for a repetition. Try again hours later.",
    "unauthorized": "The API key is missing or works no longer. You cannot repair this: tell whoever runs you.",
    "forbidden": "Your API key may not do this, and trying again does not help. Tell whoever runs you what you need.",
    "too-many-requests": "You ask more often than your API key may. Wait, then go on more slowly.",
    "not-leader": "The market is changing over to another process. Nothing happened: try again in a few seconds.",
    "unavailable": "The market cannot be reached, or takes nothing now. Nothing happened: try again later.",
    "not-found": "There is nothing of this name. Look it up, then try again.",
    "invalid": "Correct that field, then try again. Nothing happened.",
}


def render_error(error: Exception, command_id: str = "") -> str:
    """What a model is told of an error. `command_id` is what makes the call safe to repeat, if it has one."""
    if not isinstance(error, ExchangeError):
        return "INTERNAL: an error of the tools, which their log has. Try again once; then tell whoever runs you."
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
    return f"It may have been done. Call this tool again with the same arguments{again}: it is done once, and told."


def _advice(slug: str) -> str:
    return _FOR_TOOLS.get(slug) or MEANINGS[slug]


def _slug(error: ExchangeError) -> str:
    """The name of a problem, as the service spells it."""
    match error:
        case Refused():
            return error.reason.value.lower().replace("_", "-")
        case NotFound():
            return "not-found"
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
