"""One round of the platform: unblock, score, bid, call; then pay for what was done since.

Rule of this file: a round may end anywhere, with the market gone, and the next one does what is left. So everything
that pays or records may be done again, and what was handled is remembered after it was done.
"""

import logging
from collections import defaultdict
from typing import Final

from callmarket import Client
from callmarket.bridge.api.checks import ROWS_MAX
from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import Conflict, Unavailable, UnknownOutcome
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.agent import Gap, get_top_gap
from callmarket.bridge.fleet.earning import Context, reward_action
from callmarket.bridge.fleet.ev_scorer import score_all, submit_bids_for_tasks
from callmarket.bridge.fleet.fallback.switch import FallbackSwitch
from callmarket.bridge.fleet.research import pay_bounty, record_resource_spending, resource_budgets_by_artifact
from callmarket.bridge.fleet.tasks.model import Completion, Task, TaskStatus
from callmarket.bridge.fleet.tasks.source import Backlog
from examples.platform.backlog import ARTIFACT_TYPE, POOR, QUESTS, mean, quality_of, waits_for
from examples.platform.opening import BOUNTY, BOUNTY_TASK, MARKET, PATRON
from examples.platform.report import RoundLine

logger: Final = logging.getLogger(__name__)

# How much of others' work the poor quest's agent reads in a round.
REVIEWS_PER_ROUND: Final = 2


class Rounds:
    """Plays rounds, one after the other, in one thread."""

    def __init__(self, market: Client, work: Backlog, switch: FallbackSwitch, config: Config, seed: int) -> None:
        """Nothing is done yet. What others did, or this process before it was killed, is found in the tables."""
        self._market: Final = market
        self._work: Final = work
        self._switch: Final = switch
        self._config: Final = config
        self._seed: Final = seed
        self._round_no = 0
        self._wallets: dict[str, int] = {}
        self._accounted: set[str] = set()
        self._reviews: dict[str, list[float]] = defaultdict(list)
        self._to_review: dict[str, Task] = {}
        # How each task that is done was done, and who paid for it.
        self.completions: dict[str, Completion] = {}
        self.is_over = False
        # What cut the last round short.
        self.ended_by: Unavailable | UnknownOutcome | None = None

    def play(self) -> RoundLine:
        """Play a round. A market that does not answer makes it a short one."""
        self._round_no += 1
        self.ended_by = None
        price_tokens, awards, why = None, 0, self._switch.status().why
        self._unblock()
        ranked = score_all(self._work, self._config).ranked()
        best = next((scored.task.task_id for scored in ranked if not scored.task.blocked), "")
        try:
            self._bid()
            called = self._market.clear_round(MARKET)
            price_tokens, awards = called.clearing_price_tokens, len(called.awards)
            # Looked at first: what is done after this look has not been accounted for, nor reviewed.
            is_settled = self._is_all_settled()
            self._account()
            self._review()
            self._wallets = {quest.quest_id: self._available_tokens(quest.account_id) for quest in QUESTS}
            self.is_over = is_settled and not self._to_review
        except (Unavailable, UnknownOutcome) as error:
            # What may have happened and what has not is all the same here: the next round looks.
            self.ended_by, why = error, why or str(error)
        return RoundLine(
            round_no=self._round_no,
            payer=self._switch.status().paying,
            price_tokens=price_tokens,
            awards=awards,
            tasks=self._counts(),
            blocked=sum(task.blocked for task in self._work.open_tasks()),
            best=best,
            wallets=self._wallets,
            why=why,
        )

    def close(self) -> None:
        """When no worker works any more: take back bids for what is done, and account for the last of it."""
        self._bid()
        self._account()

    def _unblock(self) -> None:
        """Let what waited for work that is done wait no longer."""
        done = {task.task_id for task in self._done()}
        ready = [task.task_id for task in self._work.open_tasks() if task.blocked and waits_for(task) in done]
        if ready:
            self._work.unblock(ready)

    def _bid(self) -> None:
        """Bids for each quest's backlog; in a platform by a process whose key bids for the quests' accounts."""
        submit_bids_for_tasks(self._market, self._work, MARKET, datetime_of(system_clock()), self._config)

    def _account(self) -> None:
        """For each task that is done: what its artifact has cost, the bounty, and that it can be reviewed."""
        fresh = [task for task in self._done() if task.task_id not in self._accounted]
        if not fresh:
            return
        for task in fresh:
            completion = self._work.done(task.task_id)
            assert completion is not None, "a task that is done has an attempt that succeeded"
            # First, while the bounty is still there to fund it.
            self._spend(task, completion)
            if task.task_id == BOUNTY_TASK:
                pay_bounty(self._market, BOUNTY, PATRON)
            self.completions[task.task_id] = completion
            if task.quest_id != POOR:
                self._to_review[task.task_id] = task
            self._accounted.add(task.task_id)

    def _spend(self, task: Task, completion: Completion) -> None:
        """Deduct the work from the budget of what it was about."""
        try:
            record_resource_spending(
                self._market,
                task.artifact_id,
                completion.cost_tokens,
                "task",
                task.task_id,
                completion.impact,
            )
        except Conflict as conflict:
            # Done is done; a platform that wants to stop before asks for `left_tokens` when it chooses work.
            logger.info("work on %s is beyond the artifact's budget: %s", task.artifact_id, conflict)

    def _review(self) -> None:
        """The poor quest earns: its agent reviews the work of others, most promising and best funded artifacts first.

        In a platform people, or agents of other quests, judge that work; the payer has the admin key.
        """
        if not self._to_review:
            # The ranking weighs as much as a hundred other questions.
            return
        budgets = resource_budgets_by_artifact(self._market, ARTIFACT_TYPE)
        paid = 0
        while paid < REVIEWS_PER_ROUND:
            waiting = {task.artifact_id for task in self._to_review.values()}
            read = self._reviews
            gap = get_top_gap([Gap(one, len(read[one]), mean(read[one]), one) for one in waiting], budgets)
            if gap is None:
                return
            task = next(task for task in self._to_review.values() if task.artifact_id == gap.artifact_id)
            quality = quality_of(task, self._seed)
            rewarded = reward_action(self._market, POOR, "review", Context("task", task.task_id, quality=quality))
            # After a restart all of it comes by again, and what is paid already costs no time.
            paid += rewarded.outcome == "paid"
            self._reviews[task.artifact_id].append(quality)
            del self._to_review[task.task_id]

    def _is_all_settled(self) -> bool:
        counts = self._counts()
        return not counts["open"] and not counts["awarded"] and not self._market.awards(MARKET, status="awarded").items

    def _available_tokens(self, account_id: str) -> int:
        return self._market.wallet(account_id).available_tokens

    def _counts(self) -> dict[TaskStatus, int]:
        return dict(self._work.counts())

    def _done(self) -> list[Task]:
        found: list[Task] = []
        after: str | None = None
        while True:
            page = self._work.list_tasks(status="done", limit=ROWS_MAX, after=after)
            found += page.items
            if page.next is None:
                return found
            after = page.next
