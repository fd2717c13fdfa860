"""The names of the market's own HTTP headers, for those who send them and those who read them.

Rule of this file: names and their bounds only.
"""

from typing import Final

from callmarket.engine.limits import NAME_CHARS_MAX

ACCOUNT_HEADER: Final = "Callmarket-Account"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
LEADER_HEADER: Final = "Callmarket-Leader"
REQUEST_ID_HEADER: Final = "Request-Id"
# What an answer tells of, and what the next one has to have: the caller sees what he has done and read.
SEQ_HEADER: Final = "Callmarket-Seq"
MIN_SEQ_HEADER: Final = "Callmarket-Min-Seq"

# Ids of the bids of a batch end in their number: there has to be room for it.
IDEMPOTENCY_KEY_CHARS_MAX: Final = NAME_CHARS_MAX - len("/9999")
