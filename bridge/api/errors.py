"""What the exchange raises.

Rule of this file: six kinds, told apart by what the caller knows afterwards: the market refused it, it made no sense,
who asked may not ask that, the market itself may not do it, it did not happen, or it may have happened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

# After this a standby has taken over, as a rule.
RETRY_AFTER_S: Final = 0.2


class ExchangeError(Exception):
    """The root: catch this to catch everything the exchange raises on purpose."""


class Refused(ExchangeError):
    """The market says no, and that is recorded. `reason` says why; the same request later may be accepted."""

    def __init__(self, rejected: Rejected, seq: int) -> None:
        self.reason: Reject = rejected.reason
        # The engine's times are people's here, under the name that they gave them.
        self.field = rejected.field.removesuffix("_us")
        is_time = self.field != rejected.field
        self.value = _at(rejected.value) if is_time else rejected.value
        self.bound = _at(rejected.bound) if is_time else rejected.bound
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
    """The request names a market, an account, a bid or a slot that there is not, and nothing was recorded.

    Only what is read raises it. Commands about what is not there are refused, with a reason, and that is recorded.
    """


class Conflict(Invalid):
    """What is asked makes sense, but not as things are: a bounty that another has claimed, a budget that is used up.

    Nothing was changed. It is about plain tables, or about a row that has left the journal; what the market itself does
    not allow is `Refused`, and recorded.
    """


class Gone(Invalid):
    """The request goes on after a row that was acknowledged and is lost (HST-1): what it knows since is not so.

    Nothing was done. Its words say from where it can go on: from a fresh look, as the order book with its seq.
    """


class Unavailable(ExchangeError):
    """The exchange cannot take requests now. Nothing happened; try again after `retry_after_s`, if that is set."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequests(Unavailable):
    """This caller asks more often than it may. Nothing happened; try again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s)


class NotLeader(Unavailable):
    """Another process leads this market, or will in a moment. Nothing happened; ask there, or here again.

    `leader` is the address that it gives, empty while nobody is known to lead.
    """

    def __init__(self, message: str, leader: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s)
        self.leader = leader


class UnknownOutcome(ExchangeError):
    """It was applied but is not known to be durable. Send it again with its `command_id` to learn how it ended.

    Within a day what moves tokens is done once, however often it is sent. Of bids, and of what moves no tokens, the
    market remembers the last 65,536 that were done.
    """

    def __init__(self, message: str, seqs: range) -> None:
        super().__init__(message)
        self.seqs = seqs


class Unauthorized(ExchangeError):
    """Nobody knows who asks: no API key, or none that works. Nothing happened, and its words show no key."""


class Forbidden(ExchangeError):
    """It is known who asks, and the API key does not allow it. Nothing was recorded."""


class AccessDenied(ExchangeError):
    """The database does not let the market do that: its role lacks a right, or it was opened where nobody may write.

    Nothing happened, and nothing will by asking again: its words say what is to be granted, or what to name instead.
    """


@contextmanager
def told_as(**names: str) -> Iterator[None]:
    """Tell what goes wrong inside by the names that the caller knows: of one field of the market, his name for it."""
    try:
        yield
    except (Invalid, Refused) as error:
        error.field = names.get(error.field, error.field)
        raise


def _at(value: int | str) -> int | str:
    """ISO 8601 of microseconds since 1970; words as they are."""
    if isinstance(value, str):
        return value
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")


def shown(value: object) -> str:
    """A value of somebody's in the words of an error: what Python prints, cut where it is long."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        # Python does not print integers of thousands of digits.
        return f"a {type(value).__name__} too long to print"
