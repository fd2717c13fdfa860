"""Why a command is refused: one closed list, in order of precedence.

Rule of this file: where several refusals apply, the one declared first is given. Names are journaled: never rename,
never reuse; add at the right place of precedence and raise `limits.RULES`.
"""

from enum import Enum, unique


@unique
class Reject(Enum):
    """A refusal. The value is what the journal, SQL and clients see; the order is the precedence."""

    # The retry window comes before everything: a reused id must never reach a decision.
    COMMAND_ID_REUSED = "COMMAND_ID_REUSED"

    # What the command names does not exist.
    MARKET_UNKNOWN = "MARKET_UNKNOWN"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    SLOT_UNKNOWN = "SLOT_UNKNOWN"
    BID_UNKNOWN = "BID_UNKNOWN"
    HOLD_UNKNOWN = "HOLD_UNKNOWN"
    ARTIFACT_MARKET_UNKNOWN = "ARTIFACT_MARKET_UNKNOWN"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    POSITION_UNKNOWN = "POSITION_UNKNOWN"
    # It existed and nothing of it is kept in memory: the tables have its end.
    BID_CLOSED = "BID_CLOSED"
    ORDER_CLOSED = "ORDER_CLOSED"
    POSITION_CLOSED = "POSITION_CLOSED"

    # The actor may not do this to that.
    NOT_PERMITTED = "NOT_PERMITTED"

    # The name is taken, or is one of the market's own.
    NAME_RESERVED = "NAME_RESERVED"
    REASON_RESERVED = "REASON_RESERVED"
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    MARKET_EXISTS = "MARKET_EXISTS"
    SLOT_EXISTS = "SLOT_EXISTS"
    HOLD_EXISTS = "HOLD_EXISTS"
    ARTIFACT_MARKET_EXISTS = "ARTIFACT_MARKET_EXISTS"

    # The row before is there: nothing was lost.
    HISTORY_CONTINUES = "HISTORY_CONTINUES"

    # The kind of account cannot take this part.
    ACCOUNT_KIND = "ACCOUNT_KIND"
    SAME_ACCOUNT = "SAME_ACCOUNT"
    # Who judges an artifact holds no part of it.
    CONFLICT_OF_INTEREST = "CONFLICT_OF_INTEREST"

    # The fields contradict each other or the time.
    REFERENCE_MISSING = "REFERENCE_MISSING"
    TTL_MISSING = "TTL_MISSING"
    TTL_PAST = "TTL_PAST"
    UNTIL_TOO_FAR = "UNTIL_TOO_FAR"
    SETTLE_PRICE_RANGE = "SETTLE_PRICE_RANGE"
    AMENDMENT_EMPTY = "AMENDMENT_EMPTY"

    # The thing is not in the state that the command needs. Each end of a hold has its own reason (LED-6).
    AWARD_STALE = "AWARD_STALE"
    BID_WON = "BID_WON"
    BID_LOST = "BID_LOST"
    BID_EXPIRED = "BID_EXPIRED"
    SLOT_NOT_AWARDED = "SLOT_NOT_AWARDED"
    SLOT_AWARDED = "SLOT_AWARDED"
    SLOT_WITHDRAWN = "SLOT_WITHDRAWN"
    SLOT_SETTLED = "SLOT_SETTLED"
    SLOT_VOIDED = "SLOT_VOIDED"
    SLOT_LAPSED = "SLOT_LAPSED"
    LEASE_EXPIRED = "LEASE_EXPIRED"
    HOLD_CAPTURED = "HOLD_CAPTURED"
    HOLD_RELEASED = "HOLD_RELEASED"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    HOLD_BOUND = "HOLD_BOUND"
    TASK_AWARDED = "TASK_AWARDED"
    TASK_BID_OPEN = "TASK_BID_OPEN"
    EARNING_DUPLICATE = "EARNING_DUPLICATE"
    ARTIFACT_SETTLED = "ARTIFACT_SETTLED"
    ARTIFACT_FROZEN = "ARTIFACT_FROZEN"
    ARTIFACT_CLOSED = "ARTIFACT_CLOSED"
    ARTIFACT_NOT_FROZEN = "ARTIFACT_NOT_FROZEN"
    DECAY_NOT_DUE = "DECAY_NOT_DUE"
    SHARES_INSUFFICIENT = "SHARES_INSUFFICIENT"
    UNFILLABLE = "UNFILLABLE"

    # A bound is reached; the event carries the bound.
    ACCOUNTS_FULL = "ACCOUNTS_FULL"
    MARKETS_FULL = "MARKETS_FULL"
    SLOTS_PER_PROVIDER_FULL = "SLOTS_PER_PROVIDER_FULL"
    SLOTS_FULL = "SLOTS_FULL"
    BIDS_PER_BIDDER_FULL = "BIDS_PER_BIDDER_FULL"
    BIDS_PER_MARKET_FULL = "BIDS_PER_MARKET_FULL"
    HOLDS_PER_ACCOUNT_FULL = "HOLDS_PER_ACCOUNT_FULL"
    HOLDS_FULL = "HOLDS_FULL"
    HOLD_BINDINGS_FULL = "HOLD_BINDINGS_FULL"
    EARNINGS_FULL = "EARNINGS_FULL"
    ARTIFACT_MARKETS_FULL = "ARTIFACT_MARKETS_FULL"
    ORDERS_PER_ACCOUNT_FULL = "ORDERS_PER_ACCOUNT_FULL"
    ORDERS_FULL = "ORDERS_FULL"
    POSITIONS_PER_ACCOUNT_FULL = "POSITIONS_PER_ACCOUNT_FULL"
    POSITIONS_PER_ARTIFACT_FULL = "POSITIONS_PER_ARTIFACT_FULL"
    POSITIONS_FULL = "POSITIONS_FULL"
    EXPOSURE_EXCEEDED = "EXPOSURE_EXCEEDED"

    # Money comes last: with more tokens the command would have been accepted (LED-7).
    SUPPLY_EXCEEDED = "SUPPLY_EXCEEDED"
    HOLD_EXCEEDED = "HOLD_EXCEEDED"
    FUNDS_INSUFFICIENT = "FUNDS_INSUFFICIENT"
    SUBSIDY_EXHAUSTED = "SUBSIDY_EXHAUSTED"

    # It could be done, but a retry of it could not be recognised (IDM-1). A command without an id never meets this.
    RETRIES_FULL = "RETRIES_FULL"
