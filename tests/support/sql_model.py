"""The SQL tables written in the plainest way: one row and one event at a time, with the dates and decimals of Python.

Rule of this file: it shares no code with `persistence.tables.projections` and folds nothing; it is slow and obvious.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from callmarket.engine import events as happened
from callmarket.engine.codec import SealedRow
from callmarket.engine.events import one_by_one
from tests.support.capital_sql_model import CapitalModel

Row = dict[str, Any]


def at(us: int | None) -> datetime | None:
    """Return a time as Python has it."""
    return None if us is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


class SqlModel(CapitalModel):
    """What the tables must hold after the rows that were added."""

    def __init__(self) -> None:
        super().__init__()
        self.markets: dict[str, Row] = {}
        self.slots: dict[tuple[str, str], Row] = {}
        self.bids: dict[int, Row] = {}
        self.rounds: dict[tuple[str, int], Row] = {}
        self.clears: dict[int, Row] = {}
        self.accounts: dict[str, Row] = {}
        self.ledger: dict[int, Row] = {}
        self.named: dict[int, Row] = {}
        # What each bid holds, which no event needs to say here.
        self.holds: dict[int, int] = {}

    def tables(self) -> dict[str, dict[Any, Row]]:
        """Return all tables by name."""
        return {
            "compute_auction_markets": self.markets,
            "compute_auction_slots": self.slots,
            "compute_auction_bids": self.bids,
            "compute_auction_rounds": self.rounds,
            "compute_auction_clears": self.clears,
            "token_accounts": self.accounts,
            "token_ledger": self.ledger,
            "token_holds": self.named,
            **self.capital_tables(),
        }

    def add(self, row: SealedRow) -> None:
        """Bring the tables past one journal row."""
        self.seq, self.now = row.entry.seq, at(row.entry.at_us)
        if self.seq == 1:
            for name in ("issuance", "treasury", "capital_escrow", "lmsr_subsidy_pool"):
                self.open_account(name, "system")
        for event in one_by_one(row.events):
            getattr(self, type(event).__name__, lambda _: None)(event)

    def at(self, us: int | None) -> datetime | None:
        return at(us)

    def open_account(self, account_id: str, kind: str) -> None:
        self.accounts[account_id] = {
            "account_id": account_id,
            "kind": kind,
            "balance": 0,
            "held": 0,
            "total_earned": Decimal(0),
            "total_spent": Decimal(0),
            "total_sold": Decimal(0),
            "total_staked": 0,
            "created_at": self.now,
            "updated_at": self.now,
            "seq": self.seq,
        }

    def set_hold(self, bid_id: int, tokens: int) -> None:
        self.add_held(self.bids[bid_id]["bidder_id"], tokens - self.holds.get(bid_id, 0))
        self.holds[bid_id] = tokens

    def add_held(self, account_id: str, tokens: int) -> None:
        account = self.accounts[account_id]
        account["held"] += tokens
        account.update(total_staked=account["held"], updated_at=self.now, seq=self.seq)

    def end_named(self, placed_seq: int, status: str, **more: Any) -> None:
        hold = self.named[placed_seq]
        hold.update(status=status, ended_at=self.now, seq=self.seq, **more)
        self.add_held(hold["account_id"], -hold["amount"])

    def close_bid(self, bid_id: int, status: str, **more: Any) -> None:
        self.bids[bid_id].update(status=status, closed_at=self.now, closed_seq=self.seq, seq=self.seq, **more)

    def end_award(self, event: Any, status: str, charged: int, **more: Any) -> None:
        self.clears[event.award_id].update(
            status=status, slot_finished_at=self.now, charged_tokens=charged, seq=self.seq, **more
        )
        self.bids[event.bid_id].update(status=status, seq=self.seq)
        self.slots[event.slot_id, event.provider_id].update(status=status, seq=self.seq)
        self.set_hold(event.bid_id, 0)

    def AccountOpened(self, event: happened.AccountOpened) -> None:  # noqa: N802 -- named as the event
        self.open_account(event.account_id, event.kind)

    def TransferPosted(self, event: happened.TransferPosted) -> None:  # noqa: N802
        payer, payee = self.accounts[event.debit_account_id], self.accounts[event.credit_account_id]
        payer["balance"] -= event.amount_tokens
        payer["total_spent"] += event.amount_tokens
        payee["balance"] += event.amount_tokens
        payee["total_earned"] += event.amount_tokens
        payee["total_sold"] += event.amount_tokens if event.reason in ("settle:slot", "lapse:slot") else 0
        payer.update(updated_at=self.now, seq=self.seq)
        payee.update(updated_at=self.now, seq=self.seq)
        self.ledger[event.transfer_id] = {
            "id": event.transfer_id,
            "timestamp": self.now,
            "from_account": event.debit_account_id,
            "to_account": event.credit_account_id,
            "amount": event.amount_tokens,
            "reason": event.reason,
            "reference_type": event.reference_type,
            "reference_id": event.reference_id,
            "memo": event.memo,
            "balance_after_from": payer["balance"],
            "balance_after_to": payee["balance"],
            "seq": self.seq,
        }

    def MarketOpened(self, event: happened.MarketOpened) -> None:  # noqa: N802
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        self.markets[event.market_id] = fields | {"created_at": self.now, "seq": self.seq}

    def SlotOffered(self, event: happened.SlotOffered) -> None:  # noqa: N802
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        fields["available_at"] = at(fields.pop("available_at_us"))
        self.slots[event.slot_id, event.provider_id] = fields | {"status": "offered", "award_id": None, "seq": self.seq}

    def SlotWithdrawn(self, event: happened.SlotWithdrawn) -> None:  # noqa: N802
        self.slots[event.slot_id, event.provider_id].update(status="withdrawn", seq=self.seq)

    def BidPlaced(self, event: happened.BidPlaced) -> None:  # noqa: N802
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        bid_id = fields.pop("bid_id")
        fields["ttl_at"] = at(fields.pop("ttl_at_us"))
        fields["expected_value_usd"] = Decimal(event.expected_value_microusd) / 10**6
        self.bids[bid_id] = fields | {
            "id": bid_id,
            "placed_at": self.now,
            "placed_seq": self.seq,
            "status": "open",
            "closed_at": None,
            "closed_seq": None,
            "round_no": None,
            "award_id": None,
            "seq": self.seq,
        }
        self.set_hold(bid_id, event.max_price_tokens)

    def BidAmended(self, event: happened.BidAmended) -> None:  # noqa: N802
        self.bids[event.bid_id].update(
            max_price_tokens=event.max_price_tokens,
            ttl_at=at(event.ttl_at_us),
            priority_seq=event.priority_seq,
            seq=self.seq,
        )
        self.set_hold(event.bid_id, event.max_price_tokens)

    def BidCancelled(self, event: happened.BidCancelled) -> None:  # noqa: N802
        self.close_bid(event.bid_id, "cancelled")
        self.set_hold(event.bid_id, 0)

    def BidsLost(self, event: happened.BidsLost) -> None:  # noqa: N802
        for bid_id in event.bid_ids:
            self.close_bid(bid_id, "lost", round_no=event.round_no)
            self.set_hold(bid_id, 0)

    def BidsExpired(self, event: happened.BidsExpired) -> None:  # noqa: N802
        for bid_id in event.bid_ids:
            self.close_bid(bid_id, "expired")
            self.set_hold(bid_id, 0)

    def AwardGranted(self, event: happened.AwardGranted) -> None:  # noqa: N802
        self.clears[event.award_id] = {
            "award_id": event.award_id,
            "market_id": event.market_id,
            "round_no": event.round_no,
            "slot_id": event.slot_id,
            "bid_id": event.bid_id,
            "bidder_id": event.bidder_id,
            "provider_id": event.provider_id,
            "clearing_price_tokens": event.price_tokens,
            "premium_tokens": event.premium_tokens,
            "winning_task_id": event.task_id,
            "runner_up_task_id": event.runner_up_task_id,
            "slot_started_at": at(event.slot_started_at_us),
            "slot_finished_at": None,
            "lease_until": at(event.lease_until_us),
            "status": "awarded",
            "charged_tokens": None,
            "actual_cost_tokens": None,
            "actual_impact_micros": None,
            "actual_impact": None,
            "reward_tokens": None,
            "seq": self.seq,
        }
        self.close_bid(event.bid_id, "won", round_no=event.round_no, award_id=event.award_id)
        self.slots[event.slot_id, event.provider_id].update(status="awarded", award_id=event.award_id, seq=self.seq)
        self.set_hold(event.bid_id, event.price_tokens)

    def RoundCleared(self, event: happened.RoundCleared) -> None:  # noqa: N802
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        self.rounds[event.market_id, event.round_no] = fields | {"called_at": self.now, "seq": self.seq}

    def AwardSettled(self, event: happened.AwardSettled) -> None:  # noqa: N802
        self.end_award(
            event,
            "settled",
            self.clears[event.award_id]["clearing_price_tokens"],
            actual_cost_tokens=event.actual_cost_tokens,
            actual_impact_micros=event.actual_impact_micros,
            actual_impact=Decimal(event.actual_impact_micros) / 10**6,
            reward_tokens=event.reward_tokens,
        )

    def AwardVoided(self, event: happened.AwardVoided) -> None:  # noqa: N802
        self.end_award(event, "voided", 0)

    def AwardLapsed(self, event: happened.AwardLapsed) -> None:  # noqa: N802
        self.end_award(event, "lapsed", event.charged_tokens)

    def HoldPlaced(self, event: happened.HoldPlaced) -> None:  # noqa: N802
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        fields["expires_at"] = at(fields.pop("expires_at_us"))
        fields["amount"] = fields.pop("amount_tokens")
        ends = {"status": "open", "captured": None, "captured_to": None, "ended_at": None}
        self.named[event.placed_seq] = fields | ends | {"placed_at": self.now, "seq": self.seq}
        self.add_held(event.account_id, event.amount_tokens)

    def HoldCaptured(self, event: happened.HoldCaptured) -> None:  # noqa: N802
        self.end_named(event.placed_seq, "captured", captured=event.captured_tokens, captured_to=event.to_account_id)

    def HoldReleased(self, event: happened.HoldReleased) -> None:  # noqa: N802
        self.end_named(event.placed_seq, "released")

    def HoldsExpired(self, event: happened.HoldsExpired) -> None:  # noqa: N802
        for placed_seq in event.placed_seqs:
            self.end_named(placed_seq, "expired")
