"""The rows that questions are answered with: one class a kind, one field a column.

Rule of this file: shapes only. Who reads them over HTTP, or writes them in a test, needs no database for it.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from callmarket.engine.events import HoldStatus, SlotStatus
from callmarket.engine.ids import AwardId, BidId

BidStatus = Literal["open", "won", "lost", "expired", "cancelled", "settled", "voided", "lapsed"]


AwardStatus = Literal["awarded", "settled", "voided", "lapsed"]


class BookBid(Struct, frozen=True):
    """A bid in the book."""

    bid_id: BidId
    bidder_id: str
    task_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    time_in_force: str


class BookAsk(Struct, frozen=True):
    """A slot on offer."""

    slot_id: str
    available_at: datetime
    reserve_price_tokens: int
    provider_id: str


class RoundRow(Struct, frozen=True):
    """One call of a market."""

    market_id: str
    round_no: int
    called_at: datetime
    slots_available: int
    bids_open: int
    awards_granted: int
    clearing_price_tokens: int | None
    seq: int


class TopWinRow(Struct, frozen=True):
    """A winning bid beside what came of it."""

    award_id: AwardId
    bidder_id: str
    winning_task_id: str
    bid_tokens: int
    clearing_price_tokens: int
    status: str
    actual_cost_tokens: int | None
    actual_impact: float | None


class Totals(Struct, frozen=True):
    """Sums over the rounds of a period. Prices are those that the winners paid, each award counting once."""

    rounds: int
    slots_available: int
    awards_granted: int
    price_min_tokens: int | None
    price_median_tokens: float | None
    price_max_tokens: int | None


class Stats(Struct, frozen=True):
    """What a market did in a period."""

    since: datetime
    totals: Totals
    rounds: tuple[RoundRow, ...]
    top_wins: tuple[TopWinRow, ...]

    @property
    def fill_rate(self) -> float | None:
        """Awards per slot on offer at a call, over all calls of the period; None if nothing was offered."""
        totals = self.totals
        return totals.awards_granted / totals.slots_available if totals.slots_available else None


class OutcomeRow(Struct, frozen=True):
    """Where a bid stands, and why, in words."""

    bid_id: BidId
    bidder_id: str
    market_id: str
    task_id: str
    max_price_tokens: int
    status: str
    round_no: int | None
    clearing_price_tokens: int | None
    reason: str


class BidRow(Struct, frozen=True):
    """A bid and where it stands. One that has lost stays `open` here until a sweep has released its tokens."""

    bid_id: BidId
    market_id: str
    bidder_id: str
    task_id: str
    max_price_tokens: int
    expected_value_usd: float
    ttl_at: datetime | None
    time_in_force: str
    status: BidStatus
    placed_at: datetime
    closed_at: datetime | None
    round_no: int | None
    award_id: AwardId | None


class AwardRow(Struct, frozen=True):
    """An award and how it ended."""

    award_id: AwardId
    market_id: str
    round_no: int
    slot_id: str
    bid_id: BidId
    bidder_id: str
    provider_id: str
    task_id: str
    runner_up_task_id: str | None
    price_tokens: int
    premium_tokens: int
    slot_started_at: datetime
    slot_finished_at: datetime | None
    lease_until: datetime
    status: AwardStatus
    charged_tokens: int | None
    actual_cost_tokens: int | None
    actual_impact: float | None
    reward_tokens: int | None


class SlotRow(Struct, frozen=True):
    """The latest offer of a slot. `award_id` is None until it is awarded."""

    slot_id: str
    provider_id: str
    market_id: str
    status: SlotStatus
    available_at: datetime
    reserve_price_tokens: int
    lease: timedelta
    award_id: AwardId | None


class WalletRow(Struct, frozen=True):
    """A wallet with all that it ever earned and spent."""

    account_id: str
    kind: str
    balance_tokens: int
    held_tokens: int
    available_tokens: int
    total_earned_tokens: int
    total_spent_tokens: int
    updated_at: datetime


class MovementRow(Struct, frozen=True):
    """One movement of tokens, with the balances after it."""

    transfer_id: int
    at: datetime
    from_account_id: str
    to_account_id: str
    amount_tokens: int
    reason: str
    reference_type: str
    reference_id: str
    memo: str
    from_balance_tokens: int
    to_balance_tokens: int


class HoldRow(Struct, frozen=True):
    """A named hold and how it ended. One past `expires_at` stays `open` here until a sweep has given it back."""

    hold_id: str
    placed_seq: int
    account_id: str
    placed_by: str
    amount_tokens: int
    captured_tokens: int | None
    captured_to: str | None
    reason: str
    reference_type: str
    reference_id: str
    memo: str
    status: HoldStatus
    placed_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None


class HoldFilter(Struct, frozen=True):
    """Which holds: None is any. An account, a whole reference or a reason is needed for the rest."""

    account_id: str | None = None
    reference_type: str | None = None
    reference_id: str | None = None
    reason: str | None = None
    status: HoldStatus | None = None


class Paging(Struct, frozen=True):
    """Up to `limit` rows after a key (None: from the beginning), newest or oldest first; names always rise."""

    limit: int
    after: int | str | None = None
    newest: bool = True
