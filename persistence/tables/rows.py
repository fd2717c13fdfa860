"""The rows of the SQL tables: one class per table, one field per column, in the order of the columns.

Rule of this file: a field has its column's name and holds what the column takes in binary, so rows are sent as they
are. Times (`*_at`, `timestamp`, `lease_until`) are therefore PostgreSQL's own: microseconds since 2000. `shard_id` is
not here: it is the same for all rows of a batch, and the writer puts it first. Those of artifact markets are in
`capital_shapes`.

A *row* is a whole row. A *change* is what a later batch alters of it: None leaves a column as it is.
"""

from typing import Final

from msgspec import Struct

from callmarket.engine.commands import LapsePolicy, PricingRule, TaskScope, TimeInForce
from callmarket.engine.events import HoldStatus, SlotStatus
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.ledger import LedgerKind
from callmarket.persistence.tables.capital_shapes import CAPITAL_TABLES
from callmarket.persistence.tables.table import Table


class MarketRow(Struct, gc=False):
    """A market and its rules."""

    market_id: str
    pricing_rule: PricingRule
    reserve_price_tokens: int
    awards_per_bidder_max: int
    lease_us: int
    lapse_policy: LapsePolicy
    reward_tokens_per_impact: int
    reward_cap_tokens: int
    task_scope: TaskScope
    reward_account_id: str
    reward_day_cap_tokens: int
    created_at: int
    seq: int


class SlotRow(Struct, gc=False):
    """The latest offer of a slot."""

    slot_id: str
    provider_id: str
    market_id: str
    available_at: int
    reserve_price_tokens: int
    lease_us: int
    offer_seq: int
    status: SlotStatus
    award_id: AwardId | None
    seq: int


class SlotChange(Struct, gc=False):
    """What became of an offer."""

    slot_id: str
    provider_id: str
    status: SlotStatus | None = None
    award_id: AwardId | None = None
    seq: int = 0


class LiveSlotChange(Struct, gc=False):
    """How the one live slot of an id ended: rows of rules 1 and 2 do not say whose it is, and there was no other."""

    slot_id: str
    status: SlotStatus
    seq: int


class BidRow(Struct, gc=False):
    """A bid."""

    id: int
    market_id: str
    bidder_id: str
    task_id: str
    max_price_tokens: int
    expected_value_microusd: int
    placed_at: int
    placed_seq: int
    priority_seq: int
    ttl_at: int | None
    time_in_force: TimeInForce
    status: str
    closed_at: int | None
    closed_seq: int | None
    round_no: int | None
    award_id: AwardId | None
    seq: int


class BidChange(Struct, gc=False):
    """What became of a bid."""

    id: int
    max_price_tokens: int | None = None
    priority_seq: int | None = None
    ttl_at: int | None = None
    status: str | None = None
    closed_at: int | None = None
    closed_seq: int | None = None
    round_no: int | None = None
    award_id: AwardId | None = None
    seq: int = 0


class RoundRow(Struct, gc=False):
    """One call of a market."""

    market_id: str
    round_no: int
    called_at: int
    slots_available: int
    bids_open: int
    awards_granted: int
    clearing_price_tokens: int | None
    best_rejected_bid_id: BidId | None
    bids_visited: int
    losers_remaining: int
    next_reserve_tokens: int | None
    seq: int


class AwardRow(Struct, gc=False):
    """An award."""

    award_id: AwardId
    market_id: str
    round_no: int
    slot_id: str
    bid_id: BidId
    bidder_id: str
    provider_id: str
    clearing_price_tokens: int
    premium_tokens: int
    winning_task_id: str
    runner_up_task_id: str | None
    slot_started_at: int
    slot_finished_at: int | None
    lease_until: int
    status: str
    charged_tokens: int | None
    actual_cost_tokens: int | None
    actual_impact_micros: int | None
    reward_tokens: int | None
    seq: int


class AwardChange(Struct, gc=False):
    """How an award ended."""

    award_id: AwardId
    slot_finished_at: int | None = None
    status: str | None = None
    charged_tokens: int | None = None
    actual_cost_tokens: int | None = None
    actual_impact_micros: int | None = None
    reward_tokens: int | None = None
    seq: int = 0


class AccountRow(Struct, gc=False):
    """An account."""

    account_id: str
    kind: LedgerKind
    balance: int
    held: int
    total_earned: int
    total_spent: int
    total_sold: int
    created_at: int
    updated_at: int
    seq: int


class AccountChange(Struct, gc=False):
    """What a batch did to an account: the balance after it, and how much to add to its held tokens and totals."""

    account_id: str
    balance: int | None
    held: int
    total_earned: int
    total_spent: int
    total_sold: int
    updated_at: int
    seq: int


class HoldChange(Struct, gc=False):
    """What a batch did to an account that neither paid nor was paid: most of them, so they are sent with less."""

    account_id: str
    held: int
    updated_at: int
    seq: int


class LedgerRow(Struct, gc=False):
    """One movement of tokens."""

    id: int
    timestamp: int
    from_account: str
    to_account: str
    amount: int
    reason: str
    reference_type: str
    reference_id: str
    memo: str
    balance_after_from: int
    balance_after_to: int
    seq: int


class NamedHoldRow(Struct, gc=False):
    """A named hold."""

    placed_seq: int
    hold_id: str
    account_id: str
    placed_by: str
    amount: int
    captured: int | None
    captured_to: str | None
    reason: str
    reference_type: str
    reference_id: str
    memo: str
    status: HoldStatus
    placed_at: int
    expires_at: int | None
    ended_at: int | None
    seq: int


class NamedHoldChange(Struct, gc=False):
    """How a named hold ended."""

    placed_seq: int
    captured: int | None
    captured_to: str | None
    status: HoldStatus
    ended_at: int
    seq: int


MARKETS: Final = Table("compute_auction_markets", MarketRow)
SLOTS: Final = Table(
    "compute_auction_slots", SlotRow, key_columns=2, changes=(SlotChange, LiveSlotChange), replaces=True
)
BIDS: Final = Table("compute_auction_bids", BidRow, changes=(BidChange,))
ROUNDS: Final = Table("compute_auction_rounds", RoundRow, key_columns=2)
CLEARS: Final = Table("compute_auction_clears", AwardRow, changes=(AwardChange,))
ACCOUNTS: Final = Table(
    "token_accounts",
    AccountRow,
    changes=(AccountChange, HoldChange),
    numeric=frozenset({"total_earned", "total_spent", "total_sold"}),
    added=frozenset({"held", "total_earned", "total_spent", "total_sold"}),
)
LEDGER: Final = Table("token_ledger", LedgerRow)
HOLDS: Final = Table("token_holds", NamedHoldRow, changes=(NamedHoldChange,))
TABLES: Final = (MARKETS, SLOTS, BIDS, ROUNDS, CLEARS, ACCOUNTS, LEDGER, HOLDS, *CAPITAL_TABLES)
