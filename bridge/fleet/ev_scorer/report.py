"""What became of a submission of bids.

Rule of this file: counts of everything, and a bounded list of single cases for people. A refusal is an entry here.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from callmarket.bridge.fleet.ev_scorer.plan import Change
from callmarket.engine.ids import NO_BID, BidId

# Cases of one kind that are named; beyond, they are counted. A person reads some, a log line holds them.
NAMED_PER_REASON_MAX: Final = 100

Action = Literal["placed", "amended", "cancelled", "kept", "skipped"]
DONE: Final[Mapping[str, Action]] = {"place": "placed", "amend": "amended", "cancel": "cancelled"}


class Case(Struct, frozen=True):
    """One task, or one wallet as a whole (`task_id` is empty), and what became of it and why.

    `reason` of what was skipped is one of `plan`, or in capitals the market's refusal.
    """

    account_id: str
    task_id: str
    action: Action
    reason: str
    bid_id: BidId = NO_BID
    price_tokens: int | None = None


class BidReport(Struct, frozen=True):
    """What a submission did: how many of each, skipped ones by their reason, and the first cases of each kind."""

    market_id: str
    at: datetime
    placed: int
    amended: int
    cancelled: int
    kept: int
    skipped: Mapping[str, int]
    cases: tuple[Case, ...]

    @property
    def changed(self) -> int:
        """How many bids it changed; 0 when everything was as it should be."""
        return self.placed + self.amended + self.cancelled


class ReportBuilder:
    """Counts cases as they come, and keeps the first of each kind."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._counts: Counter[tuple[Action, str]] = Counter()
        self._cases: list[Case] = []

    def count(self, case: Case) -> None:
        """Count a case, and keep it if it is among the first of its kind."""
        kind = (case.action, case.reason)
        self._counts[kind] += 1
        if self._counts[kind] <= NAMED_PER_REASON_MAX:
            self._cases.append(case)

    def done(self, account_id: str, change: Change, bid_id: BidId) -> None:
        """Count a change that the market has made."""
        action = DONE[change.action]
        self.count(Case(account_id, change.task_id, action, change.reason, bid_id, change.price_tokens))

    def refused(self, account_id: str, change: Change, reason: str) -> None:
        """Count a change that the market has refused."""
        self.count(Case(account_id, change.task_id, "skipped", reason, change.bid_id, change.price_tokens))

    def report(self, market_id: str, at: datetime) -> BidReport:
        """The report of all that was counted."""
        sums: Counter[Action] = Counter()
        for (action, _), count in self._counts.items():
            sums[action] += count
        skipped = {reason: count for (action, reason), count in sorted(self._counts.items()) if action == "skipped"}
        return BidReport(
            market_id=market_id,
            at=at,
            placed=sums["placed"],
            amended=sums["amended"],
            cancelled=sums["cancelled"],
            kept=sums["kept"],
            skipped=skipped,
            cases=tuple(self._cases),
        )
