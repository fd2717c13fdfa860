"""The names of the market's own HTTP headers, for senders and readers.

Rule of this file: names and their bounds only.
"""

from typing import Final

from callmarket.engine.limits import NAME_CHARS_MAX

ACCOUNT_HEADER: Final = "Callmarket-Account"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
LEADER_HEADER: Final = "Callmarket-Leader"
REQUEST_ID_HEADER: Final = "Request-Id"
# The row that an answer reflects, and the row that the next answer must reflect: so callers read their own writes.
SEQ_HEADER: Final = "Callmarket-Seq"
MIN_SEQ_HEADER: Final = "Callmarket-Min-Seq"

# The ids of the bids of a batch are the key followed by "/" and a number, which must fit into a name.
IDEMPOTENCY_KEY_CHARS_MAX: Final = NAME_CHARS_MAX - len("/9999")
