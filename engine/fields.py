"""What the fields of commands and events may hold, and what all of these have in common.

Rule of this file: shape only. Each bound is one of `limits`.
"""

from typing import Annotated

from msgspec import Meta, Struct

from callmarket.engine import limits

# Visible ASCII without spaces: survives URLs, logs, SQL and shells unharmed, and has one spelling.
Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS_MAX, pattern=r"^[!-~]+\Z")]
Reason = Annotated[str, Meta(max_length=limits.REASON_CHARS_MAX, pattern=r"^[a-z][a-z0-9_.-]*(:[a-z0-9_.-]+)*\Z")]
# A NUL cannot be stored in a PostgreSQL text.
Memo = Annotated[str, Meta(max_length=limits.MEMO_CHARS_MAX, pattern=r"^[^\x00]*\Z")]
# Empty where there is no reference; otherwise a name.
Reference = Annotated[str, Meta(max_length=limits.NAME_CHARS_MAX, pattern=r"^[!-~]*\Z")]
# Empty in a row of rules 2, where the id of a hold was enough; otherwise a name.
Owner = Reference

TokensPositive = Annotated[int, Meta(ge=1, le=limits.TOKENS_MAX)]
Tokens = Annotated[int, Meta(ge=0, le=limits.TOKENS_MAX)]
AtUs = Annotated[int, Meta(ge=0, le=limits.AT_US_MAX)]
LeaseUs = Annotated[int, Meta(ge=1, le=limits.LEASE_US_MAX)]
Micros = Annotated[int, Meta(ge=0, le=limits.MICROS_MAX)]
Seq = Annotated[int, Meta(ge=0, le=limits.SEQ_MAX)]


class CommandBase(Struct, frozen=True, gc=False, tag_field="type", forbid_unknown_fields=True):
    """Common encoding of all commands: an object with its tag under `type`, no unknown fields."""


class EventBase(Struct, frozen=True, gc=False, tag_field="type"):
    """Common encoding of all events: an object with its tag under `type`."""
