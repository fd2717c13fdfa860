"""Errors as RFC 9457 problem details, in one shape for every route.

Rule of this file: pure; from an exception to a status, a body and headers. A client decides by `type` and by the
fields, never by the message. Nothing internal is disclosed: no traces, no database URLs.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
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
from callmarket.bridge.api.http.headers import LEADER_HEADER
from callmarket.bridge.api.http.meanings import slug_of
from callmarket.bridge.api.http.problem import TYPE_PREFIX, Problem
from callmarket.bridge.server.http.http_error import HttpError
from callmarket.engine.reject import Reject

# A value that the caller sent is repeated up to this length.
_VALUE_CHARS_MAX: Final = 200
# The largest whole number that every JSON parser reads exactly.
_INT_MAX: Final = 2**53 - 1

DATABASE_DENIED: Final = "the database refuses this to the service: its log says which privilege is missing"

_NOT_FOUND: Final = {
    Reject.MARKET_UNKNOWN,
    Reject.ACCOUNT_UNKNOWN,
    Reject.SLOT_UNKNOWN,
    Reject.BID_UNKNOWN,
    Reject.HOLD_UNKNOWN,
    Reject.ARTIFACT_MARKET_UNKNOWN,
    Reject.ORDER_UNKNOWN,
    Reject.POSITION_UNKNOWN,
}
# The request contradicts itself, whatever the state of the market: sending it again is useless.
_UNPROCESSABLE: Final = {
    Reject.COMMAND_ID_REUSED,
    Reject.NAME_RESERVED,
    Reject.ACCOUNT_KIND,
    Reject.SAME_ACCOUNT,
    Reject.REFERENCE_MISSING,
    Reject.TTL_MISSING,
    Reject.AMENDMENT_EMPTY,
    Reject.SETTLE_PRICE_RANGE,
}


def status_of(reason: Reject) -> HTTPStatus:
    """The HTTP status of a refusal."""
    if reason in _NOT_FOUND:
        return HTTPStatus.NOT_FOUND
    if reason in (Reject.NOT_PERMITTED, Reject.CONFLICT_OF_INTEREST):
        return HTTPStatus.FORBIDDEN
    if reason is Reject.FUNDS_INSUFFICIENT:
        return HTTPStatus.PAYMENT_REQUIRED
    if reason in _UNPROCESSABLE:
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.CONFLICT


def problem_of(error: Exception, request_id: str = "", durable_seq: int | None = None) -> Problem:
    """The problem of an exception. An unexpected exception becomes an internal error that does not show its message."""
    problem = _problem(error)
    return msgspec.structs.replace(problem, request_id=request_id, durable_seq=durable_seq)


def headers_of(problem: Problem) -> dict[str, str]:
    """The headers that go with a problem."""
    headers = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(problem.retry_after_s))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="callmarket"'
    if problem.leader:
        headers[LEADER_HEADER] = problem.leader
    return headers


def body_of(problem: Problem) -> bytes:
    """The problem as JSON."""
    return msgspec.json.encode(problem)


def every_type() -> Mapping[str, HTTPStatus]:
    """Every problem type of the market's own, with its status."""
    types = {slug_of(reason): status_of(reason) for reason in Reject}
    return types | {
        "invalid": HTTPStatus.BAD_REQUEST,
        "not-found": HTTPStatus.NOT_FOUND,
        "conflict": HTTPStatus.CONFLICT,
        "gone": HTTPStatus.GONE,
        "unauthorized": HTTPStatus.UNAUTHORIZED,
        "forbidden": HTTPStatus.FORBIDDEN,
        "too-many-requests": HTTPStatus.TOO_MANY_REQUESTS,
        "not-leader": HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
        "unknown-outcome": HTTPStatus.GATEWAY_TIMEOUT,
        "database-access-denied": HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    }


def _problem(error: Exception) -> Problem:
    match error:
        case Refused():
            return _refusal(error)
        case Invalid():
            return _wrong_field(error)
        case Unauthorized():
            return _own("unauthorized", HTTPStatus.UNAUTHORIZED, str(error))
        case Forbidden():
            return _own("forbidden", HTTPStatus.FORBIDDEN, str(error))
        case AccessDenied():
            # Its message names the database's role, tables and schema: that is for the log, not for callers.
            return _own("database-access-denied", HTTPStatus.INTERNAL_SERVER_ERROR, DATABASE_DENIED)
        case TooManyRequests():
            return _own("too-many-requests", HTTPStatus.TOO_MANY_REQUESTS, str(error), error.retry_after_s)
        case NotLeader():
            problem = _own("not-leader", HTTPStatus.SERVICE_UNAVAILABLE, str(error), error.retry_after_s)
            return msgspec.structs.replace(problem, leader=error.leader)
        case Unavailable():
            return _own("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, str(error), error.retry_after_s or 1.0)
        case UnknownOutcome():
            problem = _own("unknown-outcome", HTTPStatus.GATEWAY_TIMEOUT, str(error), 1.0)
            if not error.seqs:
                return problem
            return msgspec.structs.replace(problem, first_seq=error.seqs[0], last_seq=error.seqs[-1])
        case msgspec.MsgspecError():
            return _of_body(error)
        case UnicodeDecodeError():
            return _malformed("", "the body is not UTF-8")
        case HttpError():
            return Problem("about:blank", error.status.phrase, int(error.status), error.detail)
        case _:
            assert not isinstance(error, ExchangeError), error
            return _own("internal", HTTPStatus.INTERNAL_SERVER_ERROR, "an internal error: see the log of the service")


def _refusal(error: Refused) -> Problem:
    problem = _own(slug_of(error.reason), status_of(error.reason), str(error))
    return msgspec.structs.replace(
        problem,
        reason=error.reason.value,
        field=error.field,
        value=_shown(error.value),
        bound=error.bound if error.bound != "" else None,
        seq=error.seq,
    )


def _wrong_field(error: Invalid) -> Problem:
    match error:
        case NotFound():
            problem = _own("not-found", HTTPStatus.NOT_FOUND, str(error))
        case Gone():
            problem = _own("gone", HTTPStatus.GONE, str(error))
        case Conflict():
            problem = _own("conflict", HTTPStatus.CONFLICT, str(error))
        case _:
            problem = _own("invalid", HTTPStatus.BAD_REQUEST, str(error))
    return msgspec.structs.replace(problem, field=error.field, value=_shown(error.value), bound=error.expected)


def _of_body(error: msgspec.MsgspecError) -> Problem:
    """A body that is not JSON, or has a field of the wrong type."""
    words, _, path = str(error).partition(" - at `$")
    field = path.strip("`.")
    return _malformed(field, words)


def _malformed(field: str, words: str) -> Problem:
    problem = _own("invalid", HTTPStatus.BAD_REQUEST, f"{field}: {words}" if field else words)
    return msgspec.structs.replace(problem, field=field)


def _own(slug: str, status: HTTPStatus, detail: str, retry_after_s: float | None = None) -> Problem:
    title = slug.replace("-", " ").capitalize()
    return Problem(TYPE_PREFIX + slug, title, int(status), detail, retry_after_s=retry_after_s)


def _shown(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= _INT_MAX):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _VALUE_CHARS_MAX else text[: _VALUE_CHARS_MAX - 3] + "..."
