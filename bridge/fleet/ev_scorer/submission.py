"""Bids on behalf of the backlog: each quest's open tasks against what it has in the book.

Rule of this file: it reads, has `plan` decide, and carries that out, wallet after wallet; so memory holds one
wallet's backlog. What the market refuses is an entry of the report.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final, TypeVar

from callmarket.bridge.api.contract.paging import all_rows
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Forbidden, NotFound, Refused
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.batch import BIDS_PER_BATCH_MAX
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.bridge.api.units import at_us, float_of
from callmarket.bridge.config import DEFAULTS, Config
from callmarket.bridge.fleet.ev_scorer.plan import UNSOUND, Change, Plan, Resting, Wallet, plan
from callmarket.bridge.fleet.ev_scorer.report import BidReport, Case, ReportBuilder
from callmarket.bridge.fleet.ev_scorer.scoring import score_tasks
from callmarket.bridge.fleet.tasks.checks import BID_FRACTION_MAX
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.bridge.fleet.tasks.source import TaskSource
from callmarket.engine.ids import NO_BID, BidId

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

# There is no batch of amendments: up to this many wait for the disk together, which costs little more than one.
CHANGES_AT_ONCE: Final = 8


def submit_bids_for_tasks(
    market: Market, source: TaskSource, market_id: str, now: datetime, config: Config = DEFAULTS
) -> BidReport:
    """Let each quest have a bid in the book for each of its best tasks that are open and not blocked (BRG-1).

    What rests already is kept, or amended if its price changes enough or its deadline is near, and cancelled where the
    task is not to be bid for any more: every open bid of a quest's wallet in this market is taken for one of these.
    Quests that share a wallet share its cap. Deadlines count from `now`.

    Submitting again at once changes nothing. Raises `Unavailable` or `UnknownOutcome` if the market does not answer.
    To submit again, if possible with the same `now`, is safe then: a task never has two bids of one wallet (BID-5), and
    amendments and cancellations carry ids that are made of `now`. Raises `NotFound` if there is no such market. Costs
    three reads for each wallet, one call for a thousand new bids, and one for each bid that changes.
    """
    now_us = at_us("now", now)
    market.market(market_id)
    means = source.mean_cost_tokens()
    builder = ReportBuilder()
    by_wallet = sorted(source.quests(), key=lambda quest: quest.account_id)
    with ThreadPoolExecutor(CHANGES_AT_ONCE, "bids") as pool:
        for account_id, quests in groupby(by_wallet, key=lambda quest: quest.account_id):
            wallet = _WalletBids(market, market_id, account_id, f"ev:{now_us}", pool, builder)
            tasks, fractions = _backlog(source, quests, wallet)
            scores = score_tasks(tasks, means, config)
            try:
                wallet.carry_out(plan(scores, fractions, wallet.read(), now, config))
            except (NotFound, Forbidden) as error:
                # A wallet that there is not, or that is not ours to bid from, is no reason not to bid from the others.
                wallet.skip("", type(error).__name__)
    report = builder.report(market_id, now)
    logger.info(
        "bids for tasks in %s: %d placed, %d amended, %d cancelled, %d kept; skipped: %s",
        market_id,
        report.placed,
        report.amended,
        report.cancelled,
        report.kept,
        report.skipped or "none",
    )
    return report


@dataclass(frozen=True)
class _WalletBids:
    """The bids of one wallet in one market: read, and changed."""

    market: Market
    market_id: str
    account_id: str
    run_id: str
    pool: ThreadPoolExecutor
    builder: ReportBuilder

    def read(self) -> Wallet:
        """What the wallet has for its bids. Raises `NotFound` if there is no such account."""
        # First: what comes free between the reads is then not counted yet, rather than twice.
        available_tokens = self.market.wallet(self.account_id).available_tokens
        resting = [
            Resting(row.bid_id, row.task_id, row.max_price_tokens, row.ttl_at)
            for row in _rows(self.market.bids, self.market_id, self.account_id, "open")
        ]
        awarded = frozenset(
            row.task_id for row in _rows(self.market.awards, self.market_id, self.account_id, "awarded")
        )
        return Wallet(available_tokens, resting, awarded)

    def carry_out(self, planned: Plan) -> None:
        """Carry out the stages in order: each has the tokens that the one before freed."""
        for stage in (planned.cancels, planned.lowers, planned.raises):
            for change, outcome in zip(stage, self.pool.map(self._change, stage), strict=True):
                self._count(change, change.bid_id, outcome)
        for start in range(0, len(planned.places), BIDS_PER_BATCH_MAX):
            self._place(planned.places[start : start + BIDS_PER_BATCH_MAX])
        for bid in planned.kept:
            self.builder.count(Case(self.account_id, bid.task_id, "kept", "", bid.bid_id, bid.price_tokens))
        for task_id, reason in planned.skipped:
            self.skip(task_id, reason)

    def skip(self, task_id: str, reason: str) -> None:
        """Count a task, or the wallet, that is not bid for."""
        self.builder.count(Case(self.account_id, task_id, "skipped", reason))

    def _change(self, change: Change) -> Refused | None:
        """Amend or cancel; the refusal, if it is refused: a bid may have won since it was read."""
        ttl_us = "" if change.ttl_at is None else at_us("ttl_at", change.ttl_at)
        price = change.price_tokens
        command_id = f"{self.run_id}:{change.bid_id}:{'' if price is None else price}:{ttl_us}"
        try:
            if change.action == "cancel":
                self.market.cancel_bid(change.bid_id, command_id=command_id)
            else:
                self.market.amend_bid(
                    change.bid_id, max_price_tokens=price, ttl_at=change.ttl_at, command_id=command_id
                )
        except Refused as refused:
            return refused
        return None

    def _place(self, changes: Sequence[Change]) -> None:
        """Place bids together. They have no ids of their own, which would make each a call: BID-5 is enough."""
        requests = [
            place_bid.request(
                self.market_id,
                self.account_id,
                change.task_id,
                change.price_tokens or 0,
                ttl_at=change.ttl_at,
                time_in_force="gtd",
            )
            for change in changes
        ]
        for change, outcome in zip(changes, self.market.place_bids(requests), strict=True):
            if isinstance(outcome, Refused):
                self._count(change, NO_BID, outcome)
            else:
                self._count(change, outcome.bid_id, None)

    def _count(self, change: Change, bid_id: BidId, refused: Refused | None) -> None:
        if refused is None:
            self.builder.done(self.account_id, change, bid_id)
        else:
            self.builder.refused(self.account_id, change, refused.reason.value)


def _backlog(
    source: TaskSource, quests: Iterator[Quest], wallet: _WalletBids
) -> tuple[Sequence[Task], Mapping[str, float]]:
    """The open tasks of these quests, and what part of their worth each bids: nothing, where that is no number."""
    tasks: list[Task] = []
    fractions: dict[str, float] = {}
    for quest in quests:
        fraction = float_of(quest.bid_fraction)
        is_sound = 0 <= fraction <= BID_FRACTION_MAX
        if not is_sound:
            wallet.skip("", UNSOUND)
        fractions[quest.quest_id] = fraction if is_sound else 0.0
        tasks += source.open_tasks(quest.quest_id)
    return tasks, fractions


def _rows(read: Callable[..., Page[T]], *of: str) -> Iterator[T]:
    """All rows of a list, the oldest first."""
    return all_rows(lambda after, limit: read(*of, limit=limit, after=after, order="oldest"))
