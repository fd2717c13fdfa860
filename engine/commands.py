"""What may be asked of the market: a closed union of commands, all imperative.

Rule of this file: shape only. Types, ranges and patterns stand here and are checked where a command is decoded
(`codec.decode_command`, `codec.check_shape`); whether it may be done is for `decide`. Tags are journaled: never rename,
never reuse; a new field stands last, with a default for the rows that lack it. Slots and holds are named by whose they
are and their id. Tokens are whole tokens, times whole microseconds since 1970 UTC, values and impact whole millionths.
"""

from typing import Annotated, Final, Literal, final

from msgspec import Meta, Struct

from callmarket.engine import limits
from callmarket.engine.capital.commands import ESCROW, SUBSIDY_POOL, CapitalCommand
from callmarket.engine.fields import (
    AtUs,
    CommandBase,
    LeaseUs,
    Memo,
    Micros,
    Name,
    Owner,
    Reason,
    Reference,
    Seq,
    Tokens,
    TokensPositive,
)
from callmarket.engine.ids import AwardId, BidId

AccountKind = Literal["agent", "quest", "provider"]
PricingRule = Literal["first_rejected", "last_accepted", "pay_as_bid", "vickrey"]
TaskScope = Literal["market", "bidder"]
TimeInForce = Literal["round", "gtd"]
LapsePolicy = Literal["charge", "refund"]

# Actors that are not accounts. `admin` may do everything; `operator` runs the market but cannot touch wallets or bid.
ADMIN: Final = "admin"
OPERATOR: Final = "operator"
# The accounts that every ledger begins with (LED-3).
ISSUANCE: Final = "issuance"
TREASURY: Final = "treasury"
SYSTEM_ACCOUNTS: Final = (ISSUANCE, TREASURY, ESCROW, SUBSIDY_POOL)
RESERVED_NAMES: Final = (ADMIN, OPERATOR, *SYSTEM_ACCOUNTS)
# What these two have moves by the rules alone: nobody pays them or from them, holds or sells in their name.
NO_PARTIES: Final = (ISSUANCE, ESCROW)


class OpenAccount(CommandBase, frozen=True, gc=False, tag="open_account"):
    """Open a wallet with nothing in it. By the admin."""

    account_id: Name
    kind: AccountKind


class Mint(CommandBase, frozen=True, gc=False, tag="mint"):
    """Make tokens: issuance pays the account. A reason `earn:*` needs a reference and is paid once per reference."""

    account_id: Name
    amount_tokens: TokensPositive
    reason: Reason
    reference_type: Reference = ""
    reference_id: Reference = ""
    memo: Memo = ""


class Burn(CommandBase, frozen=True, gc=False, tag="burn"):
    """Destroy available tokens: the account pays issuance."""

    account_id: Name
    amount_tokens: TokensPositive
    reason: Reason
    reference_type: Reference = ""
    reference_id: Reference = ""
    memo: Memo = ""


class Transfer(CommandBase, frozen=True, gc=False, tag="transfer"):
    """Move available tokens between two accounts. By the payer or the admin."""

    from_account_id: Name
    to_account_id: Name
    amount_tokens: TokensPositive
    reason: Reason
    reference_type: Reference = ""
    reference_id: Reference = ""
    memo: Memo = ""


class OpenMarket(CommandBase, frozen=True, gc=False, tag="open_market"):
    """Open a market with its rules, which stay as they are. By the admin or, if it pays no rewards, the operator.

    `reserve_price_tokens` and `lease_us` are what a slot gets that names none. `awards_per_bidder_max` 0 is no cap.
    `task_scope` says whose a task id is: one task for all bidders, or one for each of them (BID-6).
    Impact is rewarded from the tokens of `reward_account_id`, an award with `reward_cap_tokens` at most and an account
    with `reward_day_cap_tokens` a day; it is off while any of the three numbers is 0 (SET-3).
    """

    market_id: Name
    pricing_rule: PricingRule = "first_rejected"
    reserve_price_tokens: Tokens = 0
    awards_per_bidder_max: Tokens = 0
    lease_us: LeaseUs = 3_600_000_000
    lapse_policy: LapsePolicy = "charge"
    reward_tokens_per_impact: Annotated[int, Meta(ge=0, le=limits.REWARD_TOKENS_PER_IMPACT_MAX)] = 0
    reward_cap_tokens: Tokens = 0
    task_scope: TaskScope = "market"
    reward_account_id: Name = TREASURY
    reward_day_cap_tokens: Tokens = 0

    @property
    def pays_for_impact(self) -> bool:
        """Whether the market would reward good work, and so spend an account's tokens (SET-3)."""
        return min(self.reward_tokens_per_impact, self.reward_cap_tokens, self.reward_day_cap_tokens) > 0


class OfferSlot(CommandBase, frozen=True, gc=False, tag="offer_slot"):
    """Offer one use of one slot. By its provider, the operator or the admin. None takes the market's default."""

    market_id: Name
    slot_id: Name
    available_at_us: AtUs
    reserve_price_tokens: Tokens | None = None
    provider_id: Name = TREASURY
    lease_us: LeaseUs | None = None


class WithdrawSlot(CommandBase, frozen=True, gc=False, tag="withdraw_slot"):
    """Take back a slot that is offered and not awarded. By its provider, the operator or the admin."""

    slot_id: Name
    provider_id: Name = TREASURY


@final
class PlaceBid(CommandBase, frozen=True, gc=False, tag="place_bid"):
    """Bid for one slot for one task; `max_price_tokens` is held (BID-1). By the bidder or the admin.

    `ttl_at_us` may be missing only for `time_in_force="round"`, where the next round ends the bid anyway (BID-4).
    """

    market_id: Name
    bidder_id: Name
    task_id: Name
    max_price_tokens: TokensPositive
    expected_value_microusd: Micros = 0
    ttl_at_us: AtUs | None = None
    time_in_force: TimeInForce = "round"


class AmendBid(CommandBase, frozen=True, gc=False, tag="amend_bid"):
    """Change an open bid. A new price takes a new place in time, even the same price; a deadline alone keeps it."""

    bid_id: Annotated[BidId, Meta(ge=1, le=limits.SEQ_MAX)]
    max_price_tokens: TokensPositive | None = None
    ttl_at_us: AtUs | None = None


@final
class CancelBid(CommandBase, frozen=True, gc=False, tag="cancel_bid"):
    """Take back an open bid and get its hold. By its bidder or the admin."""

    bid_id: Annotated[BidId, Meta(ge=1, le=limits.SEQ_MAX)]


class ClearRound(CommandBase, frozen=True, gc=False, tag="clear_round"):
    """Call the market: match, price, award. By the operator or the admin."""

    market_id: Name


class SettleAward(CommandBase, frozen=True, gc=False, tag="settle_award"):
    """End the use of an awarded slot: capture the price, record cost and impact, pay the reward.

    By the bidder, the provider, the operator or the admin. `award_id`, where named, is the fencing token (SLT-3).
    """

    slot_id: Name
    actual_cost_tokens: Tokens
    actual_impact_micros: Micros
    award_id: Annotated[AwardId, Meta(ge=1, le=limits.SEQ_MAX)] | None = None
    provider_id: Name = TREASURY


class VoidAward(CommandBase, frozen=True, gc=False, tag="void_award"):
    """The provider failed: release the whole hold (SET-4). By the provider, the operator or the admin."""

    slot_id: Name
    award_id: Annotated[AwardId, Meta(ge=1, le=limits.SEQ_MAX)] | None = None
    provider_id: Name = TREASURY


class ExpireDue(CommandBase, frozen=True, gc=False, tag="expire_due"):
    """Sweep what is due: losers of past rounds, awards past their lease, bids and holds past their deadline (SET-6)."""


class PlaceHold(CommandBase, frozen=True, gc=False, tag="place_hold"):
    """Set available tokens aside under a name, outside the auction (HLD-1). By the account or the admin.

    `reason`, the reference and `memo` are those of the movement that a capture makes. From `expires_at_us` on, where
    it is named, the hold cannot be captured.
    """

    hold_id: Name
    account_id: Name
    amount_tokens: TokensPositive
    reason: Reason
    reference_type: Reference = ""
    reference_id: Reference = ""
    expires_at_us: AtUs | None = None
    memo: Memo = ""


class CaptureHold(CommandBase, frozen=True, gc=False, tag="capture_hold"):
    """Pay from a named hold and end it; None pays all of it, the rest goes back. By its owner or the admin.

    `account_id` is whose tokens they are.
    """

    hold_id: Name
    to_account_id: Name
    amount_tokens: TokensPositive | None = None
    account_id: Owner = ""


class ReleaseHold(CommandBase, frozen=True, gc=False, tag="release_hold"):
    """End a named hold of `account_id` and give all of it back. By its owner or the admin."""

    hold_id: Name
    account_id: Owner = ""


class BeginHistory(CommandBase, frozen=True, gc=False, tag="begin_history"):
    """Go on after `after_seq`, the last row that is left, though later ones were acknowledged (HST-1). By the admin.

    Only a row at a multiple of `limits.HISTORY_ROWS` can say so; nobody sends it to a running market. `lost_seq` is the
    last row that is known to be lost, 0 where none is known.
    """

    after_seq: Seq
    lost_seq: Seq = 0


class BindHolds(CommandBase, frozen=True, gc=False, tag="bind_holds"):
    """Something was spent because of these holds: their owners may not end them for a while (HLD-8). By staff."""

    reason: Reason
    reference_type: Reference
    reference_id: Name


Command = (
    PlaceBid
    | CancelBid
    | AmendBid
    | ClearRound
    | SettleAward
    | VoidAward
    | ExpireDue
    | OfferSlot
    | WithdrawSlot
    | OpenAccount
    | Mint
    | Burn
    | Transfer
    | OpenMarket
    | PlaceHold
    | CaptureHold
    | ReleaseHold
    | BeginHistory
    | BindHolds
    | CapitalCommand
)


class Entry(Struct, frozen=True, gc=False):
    """A stamped command: its place in the one order, its time, and its actor.

    `seq` is gapless from 1, but for where rows were lost (`after_seq`); `at_us` never goes back. `command_id`, where
    not empty, makes a retry safe: the same id of the same actor with the same command is answered with the first reply
    and changes nothing.
    """

    seq: int
    at_us: int
    actor: str
    command: Command
    command_id: str = ""

    @property
    def after_seq(self) -> int:
        """The seq of the row before: one less, but for the row with which history goes on after a loss (HST-1)."""
        if type(self.command) is BeginHistory and self.seq % limits.HISTORY_ROWS == 0:
            return self.command.after_seq
        return self.seq - 1
