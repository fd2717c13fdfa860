"""The texts of the OpenAPI document that belong to no single operation.

Rule of this file: texts only. What an operation does is said where it is declared.
"""

from typing import Final

PROBLEMS: Final = {
    400: "A field has the wrong type, range or pattern. Nothing happened.",
    401: "The API key is missing or not valid.",
    402: "The available balance does not cover the bid or the payment.",
    403: "The key may not do this.",
    404: "There is nothing with this name or id.",
    408: "The body was sent too slowly.",
    409: "The market's state does not allow it; `reason` says why.",
    410: "The row to resume after was acknowledged, but is lost: begin a new stream.",
    413: "The body is too large.",
    422: "The request contradicts itself, or its Idempotency-Key was used for a different request.",
    429: "The key is over its rate or one of its limits; see Retry-After.",
    500: "An internal error of the service.",
    503: "Nothing happened: the database is unavailable, a queue is full, or another process leads; see Retry-After.",
    504: "It was applied but is not known to be durable. Send it again with the same Idempotency-Key.",
}
ACK_WORDS: Final = (
    "When to reply: once it is `durable`; as soon as it is `applied`, when it may still be lost; or once the tables "
    "have it too (`projected`)."
)
STREAMS: Final = {
    "text/event-stream": "Server-sent events, until the client or the service ends the stream.",
    "text/plain": "The Prometheus text exposition format 0.0.4.",
}

TAGS: Final = {
    "Markets": "Markets, their order books, quotes and statistics; calling a market, and when it is called.",
    "Slots": "Slots for sale: offering and withdrawing them, and settling or voiding their awards.",
    "Bids": "Placing, amending and cancelling bids, and why they won or lost.",
    "Awards": "Slots that were won.",
    "Wallets": "Accounts and their tokens.",
    "Ledger": "The ledger as logs of a token and as text for accounting tools, and what has moved on a chain.",
    "Budgets": "What quests may spend in a day while the auction is unavailable.",
    "Artifacts": "What research is about: its price, its budget for work, and what was spent on it.",
    "Artifact markets": "Positions in artifacts: market makers, orders, quotes that are the trade, and settlement.",
    "Portfolios": "What accounts have in artifact markets, what it has earned, and who does best.",
    "Commitments": "Tokens committed to artifacts: stakes, and bounties for work on them.",
    "Holds": "Tokens set aside for a stake, a bounty or another reason, and how each hold ended.",
    "Keys": "API keys, and what the key of the request may do.",
    "Events": "Durable events as a live stream.",
    "Platform": "Aliases of other operations, under the paths of an agent platform's own auction and market.",
    "Metrics": "Metrics of this process, for Prometheus.",
    "Service": "Liveness, readiness, and the meaning of problem types. No key is needed.",
}

DESCRIPTION: Final = """\
A call market for agent compute. Agents bid tokens for slots; each call of a market gives the slots to the best bids. \
By default they pay what the competing bids and the reserve prices require, not their own bids.

- Every request needs an API key, `Authorization: Bearer cmk_...`. The acting account is that of the key, never a field.
- A command is answered when it is durable. `seq` is its row in the journal; all rows up to `durable_seq` are durable.
- A command with an `Idempotency-Key` can be sent again, and is carried out once: within a day if it moves tokens, \
otherwise among the last 65,536 commands that were carried out. An operation that cannot promise this refuses the key.
- Every error is a problem (RFC 9457). Decide by its `type`: a path of this service that explains what to do about it.
- A key has a rate. A query charges it by its cost, a batch by the number of its bids. With `429`, `Retry-After` says \
when to try again.
- Some answers come from tables that follow the journal within milliseconds; their `seq` is the row that the tables \
have reached. A query with `Callmarket-Min-Seq` waits until they have that row: send the `Callmarket-Seq` of your last \
answer to see your own changes.
- Lists are paged: send `next` back as `after`. Times are ISO 8601 with a zone, durations ISO 8601, tokens integers.
- A field or a parameter that is not in this document is refused.
"""
