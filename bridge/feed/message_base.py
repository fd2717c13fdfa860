"""What all messages of a row have in common.

Rule of this file: that of `messages`, whose union all of them join.
"""

from datetime import datetime

from msgspec import Struct


class MessageBase(Struct, frozen=True, tag_field="type"):
    """Common encoding: an object with its tag under `type`; the row of the journal that it is of, and its time."""

    seq: int
    at: datetime
