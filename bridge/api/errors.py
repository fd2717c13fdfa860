"""The errors that the exchange raises.

Rule of this file: six kinds, distinguished by what the caller knows afterwards: the market refused the command, the
request was invalid, the caller has no permission, the market has no permission in its database, nothing happened, or
the outcome is unknown.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

# Usually a standby has taken over by then.
RETRY_AFTER_S: Final = 0.2


class ExchangeError(Exception):
    """The base class of all errors that the exchange raises on purpose."""


class Refused(ExchangeError):
    """The market refused the command, and recorded that. `reason` says why. A later attempt may be accepted."""

    def __init__(self, rejected: Rejected, seq: int) -> None:
        self.reason: Reject = rejected.reason
        self.field, read = _as_told(rejected)
        self.value: int | float | str = read(rejected.value)
        self.bound: int | float | str = read(rejected.bound)
        if (self.reason, self.field) == (Reject.UNFILLABLE, "time_in_force") and isinstance(self.bound, int):
            # What would be left of the order, in millionths of a token or of a share.
            self.bound = _number(self.bound)
        self.seq = seq
        super().__init__(str(self))

    def __str__(self) -> str:
        """Reason, field, value and bound."""
        bound = f" (against {self.bound})" if self.bound != "" else ""
        return f"{self.reason.value}: {self.field} {self.value!r}{bound}"


class Invalid(ExchangeError, ValueError):
    """The request has a field of the wrong type, range or pattern. Nothing was recorded."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        super().__init__(str(self))

    def __str__(self) -> str:
        """Field, bound and value."""
        return f"{self.field}: expected {self.expected}, got {shown(self.value)}"


class NotFound(Invalid):
    """The request names a market, account, bid, slot or other thing that does not exist. Nothing was recorded.

    Raised by questions. A command about a thing that does not exist is `Refused`, which is recorded.
    """


class Conflict(Invalid):
    """A valid request that the current state does not allow, such as claiming a bounty that is claimed already.

    Nothing was changed. Raised for plain tables and for rows that have left the journal; what the market itself does
    not allow is `Refused`, which is recorded.
    """


class Gone(Invalid):
    """The request continues after a row that was acknowledged but is lost (HST-1). What was read since is invalid.

    Nothing was done. The message says where to continue: from a new read, such as the order book with its `seq`.
    """


class Unavailable(ExchangeError):
    """The exchange cannot take requests now. Nothing happened; retry after `retry_after_s`, if that is set."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequests(Unavailable):
    """The caller exceeds its rate limit. Nothing happened; retry after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s)


class NotLeader(Unavailable):
    """Another process leads this market, or will soon. Nothing happened; ask the leader, or retry here.

    `leader` is the leader's address, empty while none is known.
    """

    def __init__(self, message: str, leader: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s)
        self.leader = leader


class UnknownOutcome(ExchangeError):
    """The command was applied but is not known to be durable. Send it again with its `command_id` to learn the outcome.

    Commands that move tokens are done once within a day, however often they are sent. Of bids, and of commands that
    move no tokens, the market remembers the last 65,536 that were done.
    """

    def __init__(self, message: str, seqs: range) -> None:
        super().__init__(message)
        self.seqs = seqs


class Unauthorized(ExchangeError):
    """No API key, or one that is not valid. Nothing happened. The message never contains a key."""


class Forbidden(ExchangeError):
    """The API key is valid but does not allow the request. Nothing was recorded."""


class AccessDenied(ExchangeError):
    """The database does not permit the operation: the role lacks a privilege, or the database is read-only.

    Nothing happened, and a retry does not help. The message says which privilege to grant, or which database to use.
    """


@contextmanager
def told_as(**names: str) -> Iterator[None]:
    """Rename the fields of errors that are raised inside: from the market's name of a field to the caller's."""
    try:
        yield
    except (Invalid, Refused) as error:
        error.field = names.get(error.field, error.field)
        raise


# Fields of the engine that count in millionths, and what they are called where numbers are whole ones.
_IN_MILLIONTHS: Final = {
    "microshares": "shares",
    "price_micros": "price",
    "limit_price_micros": "limit_price",
    "subsidy_microtokens": "subsidy_tokens",
}


def _as_told(rejected: Rejected) -> tuple[str, Callable[[int | str], int | float | str]]:
    """The field under its name in the API, and how its value and bound are read: times become ISO 8601."""
    field = rejected.field
    if field in _IN_MILLIONTHS:
        return _IN_MILLIONTHS[field], _number
    plain = field.removesuffix("_us")
    return plain, _at if plain != field else _as_it_is


def _as_it_is(value: int | str) -> int | str:
    return value


def _number(value: int | str) -> float | str:
    """A number from its millionths; strings are returned unchanged."""
    return value if isinstance(value, str) else value / 1_000_000


def _at(value: int | str) -> int | str:
    """Microseconds since 1970 as ISO 8601; strings are returned unchanged."""
    if isinstance(value, str):
        return value
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")


def shown(value: object) -> str:
    """A value for an error message: its repr, cut to 80 characters."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        # Python does not convert integers of thousands of digits to text.
        return f"a {type(value).__name__} too long to print"
