"""Problem details (RFC 9457), as the service writes and a client reads them.

Rule of this file: the struct and its names only, so that a client need not import the server's framework.
"""

from typing import Final

from msgspec import Struct

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/problems/"


class Problem(Struct, frozen=True, omit_defaults=True):
    """Problem details (RFC 9457). Members that do not apply are left out.

    `field`, `value` and `bound`: what was wrong, and the limit. `reason`: why the market refused a command; the refusal
    is the journal row `seq`. `first_seq` and `last_seq`: the rows whose outcome is unknown; send the same request with
    the same Idempotency-Key to learn it.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    reason: str = ""
    field: str = ""
    value: str | int | float | bool | None = None
    bound: str | int | float | None = None
    retry_after_s: float | None = None
    leader: str = ""
    seq: int | None = None
    durable_seq: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None
