"""Retries: whether, when and to which address a call is sent again.

Rule of this file: decisions without waiting. Time and randomness are arguments, so tests exercise the same decisions as
production. A retry carries the same command id; each one is a row of the journal (`Repeated`), so pauses grow. Once an
attempt may have arrived, only a result or a recorded refusal settles the outcome.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Generic, TypeVar

import msgspec

from callmarket.bridge.api.errors import (
    AccessDenied,
    ExchangeError,
    Forbidden,
    Invalid,
    NotLeader,
    Refused,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from callmarket.bridge.client.answers import Answer, TransportFailure, UnrecognizedResponse, error_of
from callmarket.bridge.client.call import Call, alone
from callmarket.bridge.client.doubt import InDoubt
from callmarket.bridge.client.endpoints import Endpoints

T = TypeVar("T")

PAUSE_FIRST_S: Final = 0.05
PAUSE_S_MAX: Final = 5.0
# Enough to reach the longest pause; bounds the exponent.
_DOUBLINGS_MAX: Final = 20
# A longer attempt is given up and retried: by then a leader that hangs has been replaced.
ATTEMPT_S_MAX: Final = 10.0
# A host that does not accept a connection in this time counts as down.
CONNECT_S_MAX: Final = 5.0


@dataclass(frozen=True)
class Done(Generic[T]):
    """The call has succeeded with this result."""

    value: T


@dataclass(frozen=True)
class RetryAfter:
    """Send the call again after this pause."""

    pause_s: float


class Attempts(Generic[T]):
    """The attempts of one call."""

    def __init__(
        self, call: Call[T], endpoints: Endpoints, timeout_s: float, now_s: float, chance: Callable[[], float]
    ) -> None:
        """`chance` returns random numbers from 0 to 1: clients that were cut off together do not retry together."""
        self.call: Final = call
        self._endpoints: Final = endpoints
        self._deadline_s: Final = now_s + timeout_s + call.patience_s
        self._chance: Final = chance
        self._at = endpoints.current
        self._turned_away = 0
        self._pauses = 0
        self._in_doubt = False
        self._seqs = range(0)

    @property
    def url(self) -> str:
        """The address for the next attempt."""
        return self._endpoints.urls[self._at]

    def attempt_s(self, now_s: float) -> float:
        """The time limit of the next attempt, in seconds."""
        return max(0.001, min(ATTEMPT_S_MAX + self.call.patience_s, self._deadline_s - now_s))

    def on_response(self, outcome: Answer | TransportFailure, now_s: float) -> Done[T] | RetryAfter:
        """Decide what follows from the outcome of an attempt. Raises the error that the call ends with."""
        if isinstance(outcome, TransportFailure):
            self._in_doubt |= outcome.sent
            return self._elsewhere(Unavailable(f"{self.url}: {outcome.words}"), now_s, at_once=not outcome.sent)
        if outcome.good:
            try:
                value = self.call.read(outcome.body)
            except msgspec.MsgspecError as error:
                self._in_doubt = True
                raise self._end(UnrecognizedResponse(f"{self.url}: the answer is not understood: {error}")) from None
            self._endpoints.current = self._at
            return Done(value)
        return self._after_error(error_of(outcome), outcome.status, now_s)

    def _after_error(self, error: ExchangeError, status: int, now_s: float) -> RetryAfter:
        match error:
            case Refused():
                self._endpoints.current = self._at
                raise error
            case Invalid() | Forbidden() | Unauthorized() | AccessDenied():
                raise self._end(error)
            case NotLeader():
                return self._elsewhere(error, now_s, at_once=True)
            case UnknownOutcome():
                self._in_doubt, self._seqs = True, error.seqs
                return self._again(error, now_s)
            case Unavailable():
                return self._again(error, now_s)
            case _:
                return self._after_puzzle(Unavailable(f"{self.url}: {error}"), status, now_s)

    def _after_puzzle(self, error: Unavailable, status: int, now_s: float) -> RetryAfter:
        """After an answer that is not the market's. It may be a proxy's, and the market may have got the request."""
        if status == HTTPStatus.REQUEST_TIMEOUT:
            return self._again(error, now_s)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise self._end(error)
        self._in_doubt = True
        return self._elsewhere(error, now_s, at_once=False)

    def _elsewhere(self, error: ExchangeError, now_s: float, at_once: bool) -> RetryAfter:
        """Retry at another address, if there is one; without a pause if the attempt cost the service nothing."""
        count = len(self._endpoints.urls)
        named = self._endpoints.index_of(error.leader) if isinstance(error, NotLeader) and error.leader else None
        self._at = named if named is not None and named != self._at else (self._at + 1) % count
        self._turned_away += at_once
        if at_once and self._turned_away % count:
            return RetryAfter(0.0)
        return self._again(error, now_s)

    def _again(self, error: ExchangeError, now_s: float) -> RetryAfter:
        """Retry after a pause that grows each time. Raises the error that the call ends with if no time is left."""
        pause_s = min(PAUSE_S_MAX, PAUSE_FIRST_S * 2**self._pauses) * (0.5 + 0.5 * self._chance())
        self._pauses = min(self._pauses + 1, _DOUBLINGS_MAX)
        if isinstance(error, Unavailable) and not isinstance(error, NotLeader):
            pause_s = max(pause_s, error.retry_after_s or 0.0)
        if now_s + pause_s >= self._deadline_s:
            raise self._end(error)
        return RetryAfter(pause_s)

    def _end(self, error: ExchangeError) -> ExchangeError:
        """The error for the caller after this last error: `InDoubt` if an earlier attempt may have been done."""
        call = self.call
        if self._in_doubt and call.command_id:
            words = (
                f"it may have been done ({error}): client.resolve(error), or again with command_id={call.command_id!r}"
            )
            return InDoubt(words, self._seqs, call.command_id, lambda: alone(call))
        return error if not isinstance(error, UnrecognizedResponse | UnknownOutcome) else Unavailable(str(error))
