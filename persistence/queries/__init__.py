"""Questions that the SQL tables answer.

Rule of this folder: read-only, bounded, from committed rows, and by an index; so it works beside a running engine and
without one. `tables` has the short lists and statistics, `pages` the lists that go on, page after page, `candles` the
figures of a chart, `earnings` what accounts were credited with, `idle` what lay unused, `replies` what rows of the
journal said.
"""

from callmarket.persistence.queries.candles import Candle, candles
from callmarket.persistence.queries.earnings import Earned, EarnedRow, earned, first_movement_since
from callmarket.persistence.queries.idle import IdleRow, idle_page
from callmarket.persistence.queries.pages import (
    awards_page,
    bid,
    bids_page,
    credits_page,
    hold,
    holds_page,
    market_exists,
    rounds_page,
    slots_page,
    statement_page,
    wallets_page,
)
from callmarket.persistence.queries.replies import ReplyRow, replies
from callmarket.persistence.queries.rows import (
    AwardRow,
    AwardStatus,
    BidRow,
    BidStatus,
    BookAsk,
    BookBid,
    HoldFilter,
    HoldRow,
    MovementRow,
    OutcomeRow,
    Paging,
    RoundRow,
    SlotRow,
    Stats,
    TopWinRow,
    Totals,
    WalletRow,
)
from callmarket.persistence.queries.tables import (
    market_ids,
    offers,
    open_bids,
    outcome,
    richest,
    rounds,
    statement,
    stats,
    wallet,
)

__all__ = [
    "AwardRow",
    "AwardStatus",
    "BidRow",
    "BidStatus",
    "BookAsk",
    "BookBid",
    "Candle",
    "Earned",
    "EarnedRow",
    "HoldFilter",
    "HoldRow",
    "IdleRow",
    "MovementRow",
    "OutcomeRow",
    "Paging",
    "ReplyRow",
    "RoundRow",
    "SlotRow",
    "Stats",
    "TopWinRow",
    "Totals",
    "WalletRow",
    "awards_page",
    "bid",
    "bids_page",
    "candles",
    "credits_page",
    "earned",
    "first_movement_since",
    "hold",
    "holds_page",
    "idle_page",
    "market_exists",
    "market_ids",
    "offers",
    "open_bids",
    "outcome",
    "replies",
    "richest",
    "rounds",
    "rounds_page",
    "slots_page",
    "statement",
    "statement_page",
    "stats",
    "wallet",
    "wallets_page",
]
