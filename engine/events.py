"""What happened: a closed union of events, all past tense.

Rule of this file: an event says everything that `evolve` and the SQL tables need, so that neither asks anything else.
Tags are journaled: never rename, never reuse; a new field gets a default. Units as in `commands`. A `market_id` that is
empty is that of a row of rules 1, where these events named none, and a `provider_id` that of a row of rules 1 or 2,
where the id of a slot was enough.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Literal, cast, final

from callmarket.engine.capital.events import CapitalEvent
from callmarket.engine.columns import spread
from callmarket.engine.commands import TREASURY, AccountKind, LapsePolicy, PricingRule, TaskScope, TimeInForce
from callmarket.engine.fields import EventBase
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.reject import Reject


class Rejected(EventBase, frozen=True, gc=False, tag="rejected"):
    """The command was refused and nothing changed. `field` was at fault with `value`; `bound` is what it met."""

    reason: Reject
    field: str
    value: int | str
    bound: int | str


class Repeated(EventBase, frozen=True, gc=False, tag="repeated"):
    """A retry of the command journaled at `first_seq`, whose reply stands; nothing changed."""

    first_seq: int


class AccountOpened(EventBase, frozen=True, gc=False, tag="account_opened"):
    """A wallet exists, empty."""

    account_id: str
    kind: AccountKind


class TransferPosted(EventBase, frozen=True, gc=False, tag="transfer_posted"):
    """Tokens moved from the debited to the credited account (LED-1). The balances are those after this transfer."""

    transfer_id: int
    debit_account_id: str
    credit_account_id: str
    amount_tokens: int
    reason: str
    reference_type: str
    reference_id: str
    memo: str
    debit_balance_tokens: int
    credit_balance_tokens: int


class MarketOpened(EventBase, frozen=True, gc=False, tag="market_opened"):
    """A market exists, with these rules.

    A row of rules 1 or 2 names no account that rewards are paid from and no bound of a day: they are off there.
    """

    market_id: str
    pricing_rule: PricingRule
    reserve_price_tokens: int
    awards_per_bidder_max: int
    lease_us: int
    lapse_policy: LapsePolicy
    reward_tokens_per_impact: int
    reward_cap_tokens: int
    task_scope: TaskScope = "market"
    reward_account_id: str = TREASURY
    reward_day_cap_tokens: int = 0

    @property
    def pays_for_impact(self) -> bool:
        """Whether good work is rewarded here (SET-3)."""
        return min(self.reward_tokens_per_impact, self.reward_cap_tokens, self.reward_day_cap_tokens) > 0


class SlotOffered(EventBase, frozen=True, gc=False, tag="slot_offered"):
    """A slot is for sale. `offer_seq` is its place in order of offer."""

    market_id: str
    slot_id: str
    offer_seq: int
    available_at_us: int
    reserve_price_tokens: int
    provider_id: str
    lease_us: int


class SlotWithdrawn(EventBase, frozen=True, gc=False, tag="slot_withdrawn"):
    """An offered slot is off sale."""

    slot_id: str
    market_id: str = ""
    provider_id: str = ""


@final
class BidPlaced(EventBase, frozen=True, gc=False, tag="bid_placed"):
    """A bid is open and its `max_price_tokens` are held. `priority_seq` is its place in time."""

    bid_id: BidId
    market_id: str
    bidder_id: str
    task_id: str
    max_price_tokens: int
    expected_value_microusd: int
    ttl_at_us: int | None
    time_in_force: TimeInForce
    priority_seq: int


class BidAmended(EventBase, frozen=True, gc=False, tag="bid_amended"):
    """An open bid has these values now; its hold is the new `max_price_tokens`."""

    bid_id: BidId
    bidder_id: str
    max_price_tokens_before: int
    max_price_tokens: int
    ttl_at_us: int | None
    priority_seq: int
    market_id: str = ""


@final
class BidCancelled(EventBase, frozen=True, gc=False, tag="bid_cancelled"):
    """An open bid was taken back and its hold released."""

    bid_id: BidId
    bidder_id: str
    released_tokens: int
    market_id: str = ""


class BidsLost(EventBase, frozen=True, gc=False, tag="bids_lost"):
    """These bids for one round did not win it; their holds are released. The three tuples run in parallel."""

    market_id: str
    round_no: int
    bid_ids: tuple[BidId, ...]
    bidder_ids: tuple[str, ...]
    released_tokens: tuple[int, ...]


class BidsExpired(EventBase, frozen=True, gc=False, tag="bids_expired"):
    """These bids are past their deadline; their holds are released. The three tuples run in parallel."""

    bid_ids: tuple[BidId, ...]
    bidder_ids: tuple[str, ...]
    released_tokens: tuple[int, ...]


class AwardGranted(EventBase, frozen=True, gc=False, tag="award_granted"):
    """A bid won a slot. Its hold shrank to `price_tokens`; the premium is available again (CLR-6, CLR-8).

    A row of its own only under rules 1 and 2; from rules 3 on it is one of those that `AwardsGranted` says together.
    """

    award_id: AwardId
    market_id: str
    round_no: int
    slot_id: str
    bid_id: BidId
    bidder_id: str
    task_id: str
    runner_up_task_id: str | None
    price_tokens: int
    premium_tokens: int
    provider_id: str
    slot_started_at_us: int
    lease_until_us: int


@final
class AwardsGranted(EventBase, frozen=True, gc=False, tag="awards_granted"):
    """All awards of one call, as columns: a quarter of the bytes, and all that follows takes them in one pass.

    The first award has `first_award_id`, each other the next id. The tuples run in parallel, in the order of sale; one
    that would have the same value for all has it once where it is `spread`.
    """

    market_id: str
    round_no: int
    first_award_id: AwardId
    runner_up_task_id: str | None
    slot_started_at_us: int
    slot_ids: tuple[str, ...]
    bid_ids: tuple[BidId, ...]
    bidder_ids: tuple[str, ...]
    task_ids: tuple[str, ...]
    premiums_tokens: tuple[int, ...]
    # These three are alike for most calls.
    prices_tokens: tuple[int, ...]
    provider_ids: tuple[str, ...]
    leases_until_us: tuple[int, ...]

    @property
    def award_ids(self) -> Sequence[AwardId]:
        """The ids of the awards."""
        return cast(Sequence[AwardId], range(self.first_award_id, self.first_award_id + len(self.bid_ids)))

    def each(self) -> Iterator[AwardGranted]:
        """The awards one by one."""
        count = len(self.bid_ids)
        return map(
            AwardGranted, self.award_ids, repeat(self.market_id), repeat(self.round_no), self.slot_ids, self.bid_ids,
            self.bidder_ids, self.task_ids, repeat(self.runner_up_task_id), spread(self.prices_tokens, count),
            self.premiums_tokens, spread(self.provider_ids, count), repeat(self.slot_started_at_us),
            spread(self.leases_until_us, count),
        )  # fmt: skip


class RoundCleared(EventBase, frozen=True, gc=False, tag="round_cleared"):
    """A market was called, after its awards (CLR-7).

    `slots_available` and `bids_open` are supply and demand at the call. `clearing_price_tokens` is the one price of
    the round, None where nobody won or each pays a price of its own; a winner with rivals for its task may pay more,
    as its award says (CLR-4). `bids_visited` is what the call cost (CLR-9). `losers_remaining` bids have lost but
    are still to be released by sweeps. `next_reserve_tokens` is the reserve of the cheapest slot that was not sold,
    None where all were or, in a row of rules 1 or 2, where it is not known.
    """

    market_id: str
    round_no: int
    slots_available: int
    bids_open: int
    awards_granted: int
    clearing_price_tokens: int | None
    best_rejected_bid_id: BidId | None
    bids_visited: int
    losers_remaining: int
    next_reserve_tokens: int | None = None


class AwardSettled(EventBase, frozen=True, gc=False, tag="award_settled"):
    """The work is done and the hold ended; the price moves by the `TransferPosted` that follows, if it is not 0."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    price_tokens: int
    actual_cost_tokens: int
    actual_impact_micros: int
    reward_tokens: int
    market_id: str = ""
    provider_id: str = ""


class AwardVoided(EventBase, frozen=True, gc=False, tag="award_voided"):
    """The provider failed; the whole hold is released and the task may bid again (SET-4)."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    released_tokens: int
    market_id: str = ""
    provider_id: str = ""


class AwardLapsed(EventBase, frozen=True, gc=False, tag="award_lapsed"):
    """Nobody settled in time. `charged_tokens` move by the `TransferPosted` that follows, if not 0 (SET-5)."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    price_tokens: int
    charged_tokens: int
    market_id: str = ""
    provider_id: str = ""


class SweepFinished(EventBase, frozen=True, gc=False, tag="sweep_finished"):
    """One bounded sweep is over; `more_due` says that another would find work at the same time (SET-6)."""

    bids_lost: int
    bids_expired: int
    awards_lapsed: int
    more_due: bool
    holds_expired: int = 0
    orders_ended: int = 0
    positions_paid: int = 0


class HoldPlaced(EventBase, frozen=True, gc=False, tag="hold_placed"):
    """Tokens are set aside under a name (HLD-1). The seq of the command tells an account's holds of one name apart."""

    hold_id: str
    placed_seq: int
    account_id: str
    placed_by: str
    amount_tokens: int
    reason: str
    reference_type: str
    reference_id: str
    expires_at_us: int | None
    memo: str


class HoldCaptured(EventBase, frozen=True, gc=False, tag="hold_captured"):
    """A named hold ended; `captured_tokens` move by the `TransferPosted` that follows, the rest is available again."""

    hold_id: str
    placed_seq: int
    account_id: str
    to_account_id: str
    captured_tokens: int
    released_tokens: int


class HoldReleased(EventBase, frozen=True, gc=False, tag="hold_released"):
    """A named hold ended and all of it is available again."""

    hold_id: str
    placed_seq: int
    account_id: str
    released_tokens: int


class HoldsExpired(EventBase, frozen=True, gc=False, tag="holds_expired"):
    """These named holds are past their deadline; all of them is available again. The four tuples run in parallel."""

    hold_ids: tuple[str, ...]
    placed_seqs: tuple[int, ...]
    account_ids: tuple[str, ...]
    released_tokens: tuple[int, ...]


class HistoryBegun(EventBase, frozen=True, gc=False, tag="history_begun"):
    """Rows after `after_seq` were lost, up to `lost_seq` at the least; from here on all numbers are new (HST-1)."""

    after_seq: int
    lost_seq: int


class HoldsBound(EventBase, frozen=True, gc=False, tag="holds_bound"):
    """Holds for this reason and reference that were placed before `bound_seq` are bound until then (HLD-8)."""

    reason: str
    reference_type: str
    reference_id: str
    bound_seq: int
    until_us: int


SingleEvent = (
    BidPlaced
    | BidsLost
    | BidCancelled
    | BidAmended
    | BidsExpired
    | AwardGranted
    | RoundCleared
    | AwardSettled
    | TransferPosted
    | AwardVoided
    | AwardLapsed
    | SweepFinished
    | Rejected
    | Repeated
    | SlotOffered
    | SlotWithdrawn
    | AccountOpened
    | MarketOpened
    | HoldPlaced
    | HoldCaptured
    | HoldReleased
    | HoldsExpired
    | HistoryBegun
    | HoldsBound
    | CapitalEvent
)
Event = SingleEvent | AwardsGranted
Events = tuple[Event, ...]


def one_by_one(events: Iterable[Event]) -> Iterator[SingleEvent]:
    """The same events, with each award of a call as an event of its own, as rows of older rules have it."""
    for event in events:
        if type(event) is AwardsGranted:
            yield from event.each()
        else:
            yield event


SlotStatus = Literal["offered", "awarded", "settled", "voided", "lapsed", "withdrawn"]
HoldStatus = Literal["open", "captured", "released", "expired"]
