"""From events to the rows of the SQL tables, folded: for each row of a batch what it is after the batch.

Rule of this file: pure. It asks no database and no engine, because events are sufficient by themselves, so the same
function that feeds the tables also says what they must hold (`verify`).

A row that is made and changed in one batch is made with its last values: a thousand bids that come and go between two
commits cost a thousand rows and no update.
"""

from typing import assert_never

import msgspec

from callmarket.engine.capital.events import CapitalEventBase
from callmarket.engine.commands import SYSTEM_ACCOUNTS
from callmarket.engine.events import (
    AccountOpened,
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardVoided,
    BidAmended,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Events,
    HistoryBegun,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsBound,
    HoldsExpired,
    HoldStatus,
    MarketOpened,
    Rejected,
    Repeated,
    RoundCleared,
    SingleEvent,
    SlotOffered,
    SlotStatus,
    SlotWithdrawn,
    SweepFinished,
    TransferPosted,
    one_by_one,
)
from callmarket.engine.ids import BidId
from callmarket.engine.ledger import LedgerKind
from callmarket.engine.reasons import SALES
from callmarket.persistence.tables.capital_rows import CapitalRows
from callmarket.persistence.tables.hold_rows import HoldRows
from callmarket.persistence.tables.rows import (
    AccountChange,
    AccountRow,
    AwardChange,
    AwardRow,
    BidChange,
    BidRow,
    LedgerRow,
    MarketRow,
    NamedHoldChange,
    RoundRow,
)
from callmarket.persistence.tables.slot_rows import SlotRows
from callmarket.persistence.tables.table import POSTGRES_EPOCH_US


class Changes:
    """What some journal rows do to the tables: new rows, and changes of rows that were there before."""

    __slots__ = (
        "_at",
        "_seq",
        "accounts",
        "accounts_changed",
        "bids",
        "bids_changed",
        "capital",
        "clears",
        "clears_changed",
        "history_seq",
        "holds",
        "ledger",
        "markets",
        "rounds",
        "slots",
    )

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self.markets: list[MarketRow] = []
        self.rounds: list[RoundRow] = []
        self.ledger: list[LedgerRow] = []
        self.slots = SlotRows()
        self.bids: dict[int, BidRow] = {}
        self.bids_changed: dict[int, BidChange] = {}
        self.clears: dict[int, AwardRow] = {}
        self.clears_changed: dict[int, AwardChange] = {}
        self.accounts: dict[str, AccountRow] = {}
        self.accounts_changed: dict[str, AccountChange] = {}
        # Ids of bids and awards go on from the row with which history did after a loss; 0 if nothing was lost.
        self.history_seq = 0
        self.holds = HoldRows()
        self.capital = CapitalRows(self._hold)
        # Of the row being added: when, as PostgreSQL counts, and its place.
        self._at = self._seq = 0

    def add(self, seq: int, at_us: int, events: Events) -> None:
        """Fold in what the next journal row caused. About 1 us for a placed bid."""
        self._at = at_us - POSTGRES_EPOCH_US
        self._seq = seq
        if seq == 1:
            self._open_system_accounts()
        for event in one_by_one(events):
            self._add_event(event)

    @property
    def last_seq(self) -> int:
        """The last row that was added; 0 before the first."""
        return self._seq

    def _add_event(self, event: SingleEvent) -> None:  # noqa: C901 -- one flat, exhaustive dispatch
        match event:
            case BidPlaced():
                self._place_bid(event)
            case BidsLost():
                self._close_bids(event, "lost", event.round_no)
            case BidsExpired():
                self._close_bids(event, "expired", None)
            case BidCancelled():
                self._close_bid(event.bid_id, "cancelled")
                self._hold(event.bidder_id, -event.released_tokens)
            case BidAmended():
                self._amend_bid(event)
            case AwardGranted():
                self._grant_award(event)
            case AwardSettled():
                self._settle_award(event)
            case AwardVoided():
                self._end_award(event, "voided", 0)
                self._hold(event.bidder_id, -event.released_tokens)
            case AwardLapsed():
                self._end_award(event, "lapsed", event.charged_tokens)
                self._hold(event.bidder_id, -event.price_tokens)
            case TransferPosted():
                self._post_transfer(event)
            case RoundCleared():
                self._clear_round(event)
            case SlotOffered():
                self.slots.offer(event, self._seq)
            case SlotWithdrawn():
                self.slots.end(event.provider_id, event.slot_id, "withdrawn", self._seq)
            case AccountOpened():
                self._open_account(event.account_id, event.kind)
            case MarketOpened():
                self._open_market(event)
            case HoldPlaced():
                self._place_hold(event)
            case HoldCaptured():
                self._capture_hold(event)
            case HoldReleased():
                self._free_hold(event.placed_seq, event.account_id, event.released_tokens, "released")
            case HoldsExpired():
                self._expire_holds(event)
            case HistoryBegun():
                self.history_seq = self._seq
                if event.after_seq == 0:
                    self._open_system_accounts()
            case HoldsBound() | Rejected() | Repeated() | SweepFinished():
                pass  # The journal has it; no table changes.
            case CapitalEventBase():
                self.capital.add(event, self._at, self._seq)
            case _ as never:
                assert_never(never)

    # --- accounts ----------------------------------------------------------------------------------------------

    def _open_system_accounts(self) -> None:
        """Those that are there before the first row of all."""
        for account_id in SYSTEM_ACCOUNTS:
            self._open_account(account_id, "system")

    def _open_account(self, account_id: str, kind: LedgerKind) -> None:
        at = self._at
        self.accounts[account_id] = AccountRow(account_id, kind, 0, 0, 0, 0, 0, at, at, self._seq)

    def _account(self, account_id: str) -> AccountRow | AccountChange:
        account = self.accounts.get(account_id) or self.accounts_changed.get(account_id)
        if account is None:
            account = AccountChange(account_id, None, 0, 0, 0, 0, self._at, self._seq)
            self.accounts_changed[account_id] = account
        else:
            account.updated_at = self._at
            account.seq = self._seq
        return account

    def _hold(self, account_id: str, tokens: int) -> None:
        self._account(account_id).held += tokens

    def _post_transfer(self, event: TransferPosted) -> None:
        payer = self._account(event.debit_account_id)
        payer.balance = event.debit_balance_tokens
        payer.total_spent += event.amount_tokens
        payee = self._account(event.credit_account_id)
        payee.balance = event.credit_balance_tokens
        payee.total_earned += event.amount_tokens
        payee.total_sold += event.amount_tokens if event.reason in SALES else 0
        self.ledger.append(
            LedgerRow(
                id=event.transfer_id,
                timestamp=self._at,
                from_account=event.debit_account_id,
                to_account=event.credit_account_id,
                amount=event.amount_tokens,
                reason=event.reason,
                reference_type=event.reference_type,
                reference_id=event.reference_id,
                memo=event.memo,
                balance_after_from=event.debit_balance_tokens,
                balance_after_to=event.credit_balance_tokens,
                seq=self._seq,
            )
        )

    # --- named holds -------------------------------------------------------------------------------------------

    def _place_hold(self, event: HoldPlaced) -> None:
        self.holds.place(event, self._at, self._seq)
        self._hold(event.account_id, event.amount_tokens)

    def _capture_hold(self, event: HoldCaptured) -> None:
        captured, payee_id = event.captured_tokens, event.to_account_id
        self.holds.end(NamedHoldChange(event.placed_seq, captured, payee_id, "captured", self._at, self._seq))
        self._hold(event.account_id, -captured - event.released_tokens)

    def _free_hold(self, placed_seq: int, account_id: str, tokens: int, status: HoldStatus) -> None:
        self.holds.end(NamedHoldChange(placed_seq, None, None, status, self._at, self._seq))
        self._hold(account_id, -tokens)

    def _expire_holds(self, event: HoldsExpired) -> None:
        freed = zip(event.placed_seqs, event.account_ids, event.released_tokens, strict=True)
        for placed_seq, account_id, tokens in freed:
            self._free_hold(placed_seq, account_id, tokens, "expired")

    # --- bids --------------------------------------------------------------------------------------------------

    def _place_bid(self, event: BidPlaced) -> None:
        seq = self._seq
        ttl_at_us = event.ttl_at_us
        # By position: this is the hot path.
        self.bids[event.bid_id] = BidRow(
            event.bid_id,
            event.market_id,
            event.bidder_id,
            event.task_id,
            event.max_price_tokens,
            event.expected_value_microusd,
            self._at,
            seq,
            event.priority_seq,
            None if ttl_at_us is None else ttl_at_us - POSTGRES_EPOCH_US,
            event.time_in_force,
            "open",
            None,
            None,
            None,
            None,
            seq,
        )
        self._account(event.bidder_id).held += event.max_price_tokens

    def _bid(self, bid_id: BidId) -> BidRow | BidChange:
        bid = self.bids.get(bid_id) or self.bids_changed.get(bid_id)
        if bid is None:
            bid = self.bids_changed[bid_id] = BidChange(bid_id)
        bid.seq = self._seq
        return bid

    def _amend_bid(self, event: BidAmended) -> None:
        bid = self._bid(event.bid_id)
        bid.max_price_tokens = event.max_price_tokens
        bid.priority_seq = event.priority_seq
        # An amendment cannot take a deadline away (BID-5), so None is "as before" in a row and in a change.
        if event.ttl_at_us is not None:
            bid.ttl_at = event.ttl_at_us - POSTGRES_EPOCH_US
        self._hold(event.bidder_id, event.max_price_tokens - event.max_price_tokens_before)

    def _close_bid(self, bid_id: BidId, status: str) -> BidRow | BidChange:
        bid = self._bid(bid_id)
        bid.status = status
        bid.closed_at = self._at
        bid.closed_seq = self._seq
        return bid

    def _close_bids(self, event: BidsLost | BidsExpired, status: str, round_no: int | None) -> None:
        released = zip(event.bid_ids, event.bidder_ids, event.released_tokens, strict=True)
        for bid_id, bidder_id, tokens in released:
            self._close_bid(bid_id, status).round_no = round_no
            self._hold(bidder_id, -tokens)

    # --- rounds, awards and slots ------------------------------------------------------------------------------

    def _clear_round(self, event: RoundCleared) -> None:
        self.rounds.append(
            RoundRow(
                market_id=event.market_id,
                round_no=event.round_no,
                called_at=self._at,
                slots_available=event.slots_available,
                bids_open=event.bids_open,
                awards_granted=event.awards_granted,
                clearing_price_tokens=event.clearing_price_tokens,
                best_rejected_bid_id=event.best_rejected_bid_id,
                bids_visited=event.bids_visited,
                losers_remaining=event.losers_remaining,
                next_reserve_tokens=event.next_reserve_tokens,
                seq=self._seq,
            )
        )

    def _grant_award(self, event: AwardGranted) -> None:
        self.clears[event.award_id] = AwardRow(
            award_id=event.award_id,
            market_id=event.market_id,
            round_no=event.round_no,
            slot_id=event.slot_id,
            bid_id=event.bid_id,
            bidder_id=event.bidder_id,
            provider_id=event.provider_id,
            clearing_price_tokens=event.price_tokens,
            premium_tokens=event.premium_tokens,
            winning_task_id=event.task_id,
            runner_up_task_id=event.runner_up_task_id,
            slot_started_at=event.slot_started_at_us - POSTGRES_EPOCH_US,
            slot_finished_at=None,
            lease_until=event.lease_until_us - POSTGRES_EPOCH_US,
            status="awarded",
            charged_tokens=None,
            actual_cost_tokens=None,
            actual_impact_micros=None,
            reward_tokens=None,
            seq=self._seq,
        )
        bid = self._close_bid(event.bid_id, "won")
        bid.round_no = event.round_no
        bid.award_id = event.award_id
        self.slots.award(event, self._seq)
        self._hold(event.bidder_id, -event.premium_tokens)

    def _settle_award(self, event: AwardSettled) -> None:
        clear = self._end_award(event, "settled", event.price_tokens)
        clear.actual_cost_tokens = event.actual_cost_tokens
        clear.actual_impact_micros = event.actual_impact_micros
        clear.reward_tokens = event.reward_tokens
        self._hold(event.bidder_id, -event.price_tokens)

    def _end_award(
        self, event: AwardSettled | AwardVoided | AwardLapsed, status: SlotStatus, charged_tokens: int
    ) -> AwardRow | AwardChange:
        clear = self.clears.get(event.award_id) or self.clears_changed.get(event.award_id)
        if clear is None:
            clear = self.clears_changed[event.award_id] = AwardChange(event.award_id)
        clear.slot_finished_at = self._at
        clear.status = status
        clear.charged_tokens = charged_tokens
        clear.seq = self._seq
        self._bid(event.bid_id).status = status
        self.slots.end(event.provider_id, event.slot_id, status, self._seq)
        return clear

    def _open_market(self, event: MarketOpened) -> None:
        # The market's columns are the event's fields; a rare event, so what it costs to go by their names is nothing.
        self.markets.append(MarketRow(**msgspec.structs.asdict(event), created_at=self._at, seq=self._seq))
