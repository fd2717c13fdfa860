"""What every way to a market offers, for asyncio: the calls of `market_api`, awaited.

Rule of this file: as `market_api`, line by line; `tests/contract` compares the two.
"""

from collections.abc import Awaitable, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.figures import Candles, RecentStats
from callmarket.bridge.api.hold_questions import HoldDetail
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.names import OWN
from callmarket.bridge.api.pages import Order
from callmarket.bridge.api.quest_budgets import QuestBudgets
from callmarket.bridge.api.questions import BidDetail, Earnings, Outcome
from callmarket.bridge.api.reads import MarketDetail, MarketRow, OrderBook, Quote, Wallet
from callmarket.bridge.api.results import (
    AmendedBid,
    CapturedHold,
    Page,
    PlacedBid,
    PlacedHold,
    Posted,
    ReleasedHold,
    Round,
    Settled,
    Stamp,
    Swept,
    Voided,
)
from callmarket.bridge.api.units import Number
from callmarket.engine.commands import TREASURY, AccountKind, LapsePolicy, PricingRule, TaskScope, TimeInForce
from callmarket.engine.events import HoldStatus, SlotStatus
from callmarket.persistence.queries import (
    AwardRow,
    AwardStatus,
    BidRow,
    BidStatus,
    HoldRow,
    MovementRow,
    RoundRow,
    SlotRow,
    WalletRow,
)


class AsyncMarketApi(Protocol):
    """A market, for asyncio: each call is awaited."""

    def open_account(self, account_id: str, kind: AccountKind = "agent", *, command_id: str = "") -> Awaitable[Stamp]:
        """Open a wallet."""

    def mint(
        self,
        account_id: str,
        amount_tokens: int,
        reason: str,
        reference_type: str = "",
        reference_id: str = "",
        memo: str = "",
        *,
        command_id: str = "",
    ) -> Awaitable[Posted]:
        """Make tokens for an account."""

    def burn(
        self,
        account_id: str,
        amount_tokens: int,
        reason: str,
        reference_type: str = "",
        reference_id: str = "",
        memo: str = "",
        *,
        command_id: str = "",
    ) -> Awaitable[Posted]:
        """Destroy tokens of an account."""

    def transfer(
        self,
        from_account_id: str,
        to_account_id: str,
        amount_tokens: int,
        reason: str,
        reference_type: str = "",
        reference_id: str = "",
        memo: str = "",
        *,
        command_id: str = "",
    ) -> Awaitable[Posted]:
        """Pay from one account to another."""

    def open_market(
        self,
        market_id: str,
        *,
        pricing_rule: PricingRule = "first_rejected",
        reserve_price_tokens: int = 0,
        awards_per_bidder_max: int = 0,
        lease: timedelta = ...,
        lapse_policy: LapsePolicy = "charge",
        reward_tokens_per_impact: int = 0,
        reward_cap_tokens: int = 0,
        task_scope: TaskScope = "market",
        reward_account_id: str = TREASURY,
        reward_day_cap_tokens: int = 0,
        command_id: str = "",
    ) -> Awaitable[Stamp]:
        """Open a market with its rules.

        One that pays for impact names all three numbers: tokens per unit of it, and the bounds of an award and of an
        account and day. It pays from what `reward_account_id` has available, so somebody has to fund that.
        """

    def offer_slot(
        self,
        market_id: str,
        slot_id: str,
        available_at: datetime | None = None,
        *,
        reserve_price_tokens: int | None = None,
        provider_id: str = OWN,
        lease: timedelta | None = None,
        command_id: str = "",
    ) -> Awaitable[Stamp]:
        """Offer one use of a slot; without `available_at` it is available now.

        Here and wherever a slot is meant, the provider is whoever asks unless another is named, the treasury for staff.
        """

    def withdraw_slot(self, slot_id: str, *, provider_id: str = OWN, command_id: str = "") -> Awaitable[Stamp]:
        """Take an offered slot off sale."""

    def place_bid(
        self,
        market_id: str,
        bidder_id: str,
        task_id: str,
        max_price_tokens: int,
        *,
        expected_value_usd: Number = 0,
        ttl_at: datetime | None = None,
        time_in_force: TimeInForce = "round",
        command_id: str = "",
    ) -> Awaitable[PlacedBid]:
        """Bid for one slot for one task."""

    def place_bids(self, requests: Sequence[Request]) -> Awaitable[list[PlacedBid | Refused]]:
        """Place many bids at once (`verbs.place_bid` makes each); one outcome for each.

        An `Exchange` takes 1,000 of them at most, in one piece; a `Client` sends any number, a thousand at a time.
        """

    def amend_bid(
        self, bid_id: int, *, max_price_tokens: int | None = None, ttl_at: datetime | None = None, command_id: str = ""
    ) -> Awaitable[AmendedBid]:
        """Change price or deadline of an open bid."""

    def cancel_bid(self, bid_id: int, *, command_id: str = "") -> Awaitable[Stamp]:
        """Take back an open bid."""

    def clear_round(self, market_id: str, now: datetime | None = None, *, command_id: str = "") -> Awaitable[Round]:
        """Call a market, and release all losers."""

    def settle(
        self,
        slot_id: str,
        actual_cost_tokens: int,
        actual_impact: Number,
        *,
        provider_id: str = OWN,
        award_id: int | None = None,
        command_id: str = "",
    ) -> Awaitable[Settled]:
        """Report the work of an award done."""

    def void(
        self, slot_id: str, *, provider_id: str = OWN, award_id: int | None = None, command_id: str = ""
    ) -> Awaitable[Voided]:
        """Report that the provider of an award failed."""

    def place_hold(
        self,
        hold_id: str,
        account_id: str,
        amount_tokens: int,
        reason: str,
        *,
        reference_type: str = "",
        reference_id: str = "",
        expires_at: datetime | None = None,
        memo: str = "",
        command_id: str = "",
    ) -> Awaitable[PlacedHold]:
        """Set tokens of an account aside under a name."""

    def capture_hold(
        self,
        hold_id: str,
        account_id: str,
        to_account_id: str,
        amount_tokens: int | None = None,
        *,
        command_id: str = "",
    ) -> Awaitable[CapturedHold]:
        """Pay from an account's named hold, all of it or so many tokens; the rest goes back, and the hold ends."""

    def release_hold(self, hold_id: str, account_id: str, *, command_id: str = "") -> Awaitable[ReleasedHold]:
        """End an account's named hold and give all of it back."""

    def refund_unfilled(self, now: datetime | None = None, *, command_id: str = "") -> Awaitable[Swept]:
        """Sweep all that is due."""

    def quote(
        self,
        market_id: str,
        max_price_tokens: int,
        *,
        bidder_id: str | None = None,
        task_id: str | None = None,
        at: datetime | None = None,
    ) -> Awaitable[Quote]:
        """Whether a bid of this price would win now, and at what price; no promise."""

    def get_order_book(self, market_id: str, limit: int = 100, depth: int = 20) -> Awaitable[OrderBook]:
        """The best bids, prices and first asks of a market."""

    def markets(self) -> Awaitable[Page[MarketRow]]:
        """All markets by name."""

    def market(self, market_id: str) -> Awaitable[MarketDetail]:
        """A market with its rules and what is in it."""

    def slots(
        self, market_id: str, status: SlotStatus | None = None, *, limit: int = 100, after: str | None = None
    ) -> Awaitable[Page[SlotRow]]:
        """The slots of a market by name and provider."""

    def bid(self, bid_id: int) -> Awaitable[BidDetail]:
        """A bid and where it stands."""

    def bids(
        self,
        market_id: str | None = None,
        bidder_id: str | None = None,
        status: BidStatus | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
        order: Order = "newest",
    ) -> Awaitable[Page[BidRow]]:
        """Bids of a market, of a bidder, of both, or all."""

    def get_rounds(
        self,
        market_id: str | None = None,
        limit: int = 100,
        *,
        since: datetime | None = None,
        after: str | None = None,
        order: Order = "newest",
    ) -> Awaitable[Page[RoundRow]]:
        """The calls of a market, or of all."""

    def awards(
        self,
        market_id: str | None = None,
        bidder_id: str | None = None,
        status: AwardStatus | None = None,
        *,
        since: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
        order: Order = "newest",
    ) -> Awaitable[Page[AwardRow]]:
        """Awards of a market, of a bidder, of both, or all."""

    def wallet(self, account_id: str) -> Awaitable[Wallet]:
        """A wallet."""

    def wallets(self, *, limit: int = 100, after: str | None = None) -> Awaitable[Page[WalletRow]]:
        """All wallets by name."""

    def statement(
        self, account_id: str, *, limit: int = 100, after: str | None = None, order: Order = "newest"
    ) -> Awaitable[Page[MovementRow]]:
        """The movements of an account."""

    def earnings(
        self, account_id: str, *, limit: int = 100, after: str | None = None, order: Order = "newest"
    ) -> Awaitable[Earnings]:
        """What an account was credited with: sums by reason, and the credits."""

    def hold(self, hold_id: str, account_id: str) -> Awaitable[HoldDetail]:
        """An account's latest named hold of this id, and how it ended."""

    def holds(
        self,
        account_id: str | None = None,
        reference_type: str | None = None,
        reference_id: str | None = None,
        reason: str | None = None,
        status: HoldStatus | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
        order: Order = "newest",
    ) -> Awaitable[Page[HoldRow]]:
        """Named holds: of an account, on a reference, for a reason, all of these, or all."""

    def get_recent_stats(self, market_id: str, period: timedelta = ..., *, limit: int = ...) -> Awaitable[RecentStats]:
        """Prices, fill rate and the best winning bids of a period, by default a day, with its latest rounds."""

    def get_candles(self, market_id: str, period: timedelta = ..., interval: timedelta = ...) -> Awaitable[Candles]:
        """Prices, supply and awards of a period in equal parts, by default of a day in five minutes."""

    def get_quest_budgets(self, day: date | None = None, limit: int = 100) -> Awaitable[QuestBudgets]:
        """What each quest may spend in a day while the auction cannot be used, and which of the two pays."""

    def why(self, bid_id: int) -> Awaitable[Outcome]:
        """Why a bid won or lost, in words."""
