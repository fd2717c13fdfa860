"""The shape of a problem, RFC 9457, as the service writes it and a client reads it.

Rule of this file: the shape and its names alone, so that a client need not import a server's framework.
"""

from typing import Final

from msgspec import Struct

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/problems/"


class Problem(Struct, frozen=True, omit_defaults=True):
    """A problem of RFC 9457. Only what is known of a problem is in it.

    `field`, `value` and `bound` say what was wrong and against which limit; `reason` is the market's refusal, which has
    a row of its own in the journal, `seq`. Of an unknown outcome, `first_seq` and `last_seq` are the rows in doubt: the
    same request with the same Idempotency-Key says what became of them.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    reason: str = ""
    field: str = ""
    value: str | int | float | bool | None = None
    bound: str | int | None = None
    retry_after_s: float | None = None
    leader: str = ""
    seq: int | None = None
    durable_seq: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None
