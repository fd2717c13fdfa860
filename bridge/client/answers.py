"""The meaning of an HTTP answer: a result, or one of the market's errors.

Rule of this file: pure. Only problems of the market's own types are trusted; after any other error, of a proxy for
example, the outcome is unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

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
from callmarket.bridge.api.http.problem import TYPE_PREFIX, Problem
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

# For answers that ask the client to wait without saying how long.
RETRY_AFTER_S: Final = 1.0


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    body: bytes
    seq: int = 0
    """The durable row that the answer reflects; 0 if the answer does not say."""

    @property
    def good(self) -> bool:
        """Whether it carries a result."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class TransportFailure:
    """There was no answer. `sent`: the request may have reached the service."""

    words: str
    sent: bool


class UnrecognizedResponse(ExchangeError):
    """An answer that is not the market's, so the outcome of the request is unknown."""


_decode: Final = msgspec.json.Decoder(Problem).decode


def error_of(answer: Answer) -> ExchangeError:
    """The error that an answer stands for."""
    try:
        problem = _decode(answer.body)
    except msgspec.MsgspecError:
        return UnrecognizedResponse(f"an answer {answer.status} that is not the market's")
    return error_of_problem(problem)


def error_of_problem(problem: Problem) -> ExchangeError:
    """The error that a problem stands for."""
    if problem.reason and problem.seq is not None:
        return refusal_of(problem)
    make = _ERRORS.get(problem.type.removeprefix(TYPE_PREFIX))
    return make(problem) if make else UnrecognizedResponse(f"an answer {problem.status}: {problem.detail}")


def refusal_of(problem: Problem) -> Refused | UnrecognizedResponse:
    """The refusal that a problem stands for, with the reason, field, value and bound that the market gave."""
    try:
        reason = Reject(problem.reason)
    except ValueError:
        return UnrecognizedResponse(f"an unknown refusal, perhaps of a newer market: {problem.detail}")
    refused = Refused(Rejected(reason, problem.field, "", ""), problem.seq or 0)
    # As the service has told them, which reads times and millionths already.
    refused.value = problem.value if isinstance(problem.value, int | float | str) else ""
    refused.bound = "" if problem.bound is None else problem.bound
    return refused


def _wrong_field(kind: type[Invalid], problem: Problem) -> Invalid:
    if not problem.field or problem.bound is None:
        # A problem without a field, such as a body that is not JSON.
        return kind(problem.field or "request", problem.value, problem.detail.removeprefix(f"{problem.field}: "))
    return kind(problem.field, problem.value, str(problem.bound))


def _unknown(problem: Problem) -> UnknownOutcome:
    first, last = problem.first_seq, problem.last_seq
    return UnknownOutcome(problem.detail, range(0) if first is None or last is None else range(first, last + 1))


_ERRORS: Final[dict[str, Callable[[Problem], ExchangeError]]] = {
    "invalid": lambda problem: _wrong_field(Invalid, problem),
    "not-found": lambda problem: _wrong_field(NotFound, problem),
    "conflict": lambda problem: _wrong_field(Conflict, problem),
    "gone": lambda problem: _wrong_field(Gone, problem),
    "unauthorized": lambda problem: Unauthorized(problem.detail),
    "forbidden": lambda problem: Forbidden(problem.detail),
    "database-access-denied": lambda problem: AccessDenied(problem.detail),
    "too-many-requests": lambda problem: TooManyRequests(problem.detail, problem.retry_after_s or RETRY_AFTER_S),
    "not-leader": lambda problem: NotLeader(problem.detail, problem.leader, problem.retry_after_s or RETRY_AFTER_S),
    "unavailable": lambda problem: Unavailable(problem.detail, problem.retry_after_s),
    "unknown-outcome": _unknown,
}
