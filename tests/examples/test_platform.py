"""The example platform as a user runs it: its loop goes on over a kill of itself and over one of the market.

Goal: what the example shows is so. Method: one run of the script as a process against a served market (both are killed,
the market stays away until the daily budget has paid), then one question to each table about what came of it; the
answers of SQL, not those of the script, are what counts.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from examples.platform.backlog import POOR, QUESTS, tasks_of, waits_for
from examples.platform.labour import CLUMSY, CLUMSY_REASON
from examples.platform.opening import BOUNTY, BOUNTY_TOKENS, FUND_TOKENS, POOR_TOKENS, RESERVE_TOKENS, STAKE_TOKENS
from tests.support.databases import TestServer
from tests.support.following import level
from tests.support.service_process import ROOT, ServiceProcess, clean, served

WAIT_S_MAX = 100
TASKS = 8
BLOCKED = {
    task.task_id: wanted for quest in QUESTS for task in tasks_of(quest, TASKS, 1) if (wanted := waits_for(task))
}


@dataclass
class Run:
    """What a run has left: the service, which still serves, the database, and what the script said."""

    service: ServiceProcess
    url: str
    rounds: str
    summary: dict[str, Any]

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """What the tables say."""
        return asked(self.url, question, *values)


class Script:
    """The example as a process."""

    def __init__(self, service: ServiceProcess, database_url: str, log: Path, *options: str) -> None:
        self._log = log
        with log.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.platform", "--json", *options],
                cwd=ROOT,
                env=environment(service, database_url),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def until(self, met: Callable[[], bool]) -> None:
        """Wait until it is so, while the script runs."""
        end_s = time.monotonic() + WAIT_S_MAX
        while not met():
            assert self.process.poll() is None, f"it has ended with {self.process.returncode}: {self._log.read_text()}"
            assert time.monotonic() < end_s, self._log.read_text()
            time.sleep(0.05)

    def end(self) -> dict[str, Any]:
        """Its summary, once it has ended well."""
        told, _ = self.process.communicate(timeout=WAIT_S_MAX)
        assert self.process.returncode == 0, self._log.read_text()
        summary: dict[str, Any] = json.loads(told)
        return summary

    def kill(self) -> None:
        """SIGKILL. Again, or after its end: nothing."""
        self.process.kill()
        self.process.communicate()


def environment(service: ServiceProcess, database_url: str) -> dict[str, str]:
    """What a user exports."""
    return clean() | {
        "CALLMARKET_URL": service.url,
        "CALLMARKET_KEY": service.key,
        "CALLMARKET_DATABASE_URL": database_url,
    }


def asked(url: str, question: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(level(url)) as connection:
        return connection.execute(question.encode(), values).fetchall()


@pytest.fixture(scope="module")
def run(postgres_server: TestServer, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The whole story, once."""
    folder = tmp_path_factory.mktemp("platform")
    log = folder / "log"
    options = (f"--tasks={TASKS}", "--work-s=0.2", "--round-s=0.2", "--budget-day-tokens=600", "--timeout-s=90")
    with postgres_server.fresh_database(template_database) as name:
        url = postgres_server.url(name)

        def count(question: str) -> int:
            return int(asked(url, f"SELECT count(*) FROM {question}")[0][0])

        with served(url, folder / "home") as service:
            script = Script(service, url, log, *options)
            try:
                script.until(lambda: count("compute_auction_clears WHERE status = 'settled'") >= 2)
            finally:
                script.kill()
            script = Script(service, url, log, *options)
            try:
                script.until(lambda: count("compute_auction_clears WHERE status = 'settled'") >= 5)
                service.kill()
                script.until(lambda: count("quest_budget_spendings WHERE status = 'spent'") >= 2)
                with served(url, folder / "home", port=service.port) as again:
                    summary = script.end()
                    yield Run(again, url, log.read_text(), summary)
            finally:
                script.kill()


def test_each_task_is_done_once_or_has_failed_for_good(run: Run) -> None:
    """The whole loop runs to its end: each task has one completion that succeeded, or is hopeless."""
    rows = run.ask(
        "SELECT task_id, status, count(*) FILTER (WHERE succeeded) FROM work_tasks JOIN work_completions "
        "USING (shard_id, task_id) GROUP BY task_id, status ORDER BY task_id"
    )
    assert [(task_id, *found) for task_id, *found in rows] == [
        (task.task_id, *(("failed", 0) if task.task_id.endswith("-001") else ("done", 1)))
        for quest in QUESTS
        for task in tasks_of(quest, TASKS, 1)
    ]
    assert run.ask("SELECT * FROM work_claims") == []


def test_no_work_has_two_payers(run: Run) -> None:
    """BRG-5: each completion is paid by its award, if it succeeded, or by one spending of the budget; never by both."""
    by_award = run.ask(
        "SELECT c.succeeded, a.status, a.winning_task_id = c.task_id FROM work_completions c LEFT JOIN "
        "compute_auction_clears a USING (shard_id, award_id) WHERE c.payer = 'auction'"
    )
    assert {(True, "settled", True), (False, "voided", True)} == set(by_award)
    settled = run.ask("SELECT winning_task_id FROM compute_auction_clears WHERE status = 'settled'")
    assert sorted(settled) == sorted(
        run.ask("SELECT task_id FROM work_completions WHERE payer = 'auction' AND succeeded")
    )
    # Who found a task taken has spent nothing.
    spent = "SELECT task_id, worker_id, cost_tokens FROM {} AND cost_tokens > 0 ORDER BY 1, 2"
    spendings = run.ask(spent.format("quest_budget_spendings WHERE status = 'spent'"))
    assert spendings == run.ask(spent.format("work_completions WHERE payer = 'budget'"))
    assert len(spendings) >= 2
    assert run.ask("SELECT * FROM quest_budget_spendings WHERE status = 'reserved'") == []


def test_quests_have_paid_the_sum_of_the_prices(run: Run) -> None:
    """SET-1: what quests spent is what their awards cost and what providers earned."""
    prices = dict(run.ask("SELECT bidder_id, sum(charged_tokens) FROM compute_auction_clears GROUP BY 1"))
    spent = dict(run.ask("SELECT account_id, total_spent FROM token_accounts WHERE kind = 'quest'"))
    assert prices == spent == {quest["quest_id"]: quest["spent_tokens"] for quest in run.summary["quests"]}
    ((providers,),) = run.ask("SELECT sum(total_earned) FROM token_accounts WHERE kind = 'provider'")
    assert providers == sum(prices.values()) > 0


def test_nobody_bids_for_what_is_blocked(run: Run) -> None:
    """BRG-1: a task that waits is bid for, and worked, only after that which it waits for was done."""
    done_at = dict(run.ask("SELECT task_id, finished_at FROM work_completions WHERE succeeded"))
    bids = run.ask("SELECT task_id, min(placed_at) FROM compute_auction_bids GROUP BY 1")
    bid_for = {task_id: at for task_id, at in bids if task_id in BLOCKED}
    assert len(bid_for) >= len(QUESTS)
    assert all(at > done_at[BLOCKED[task_id]] for task_id, at in bid_for.items())
    begun = run.ask("SELECT task_id, claimed_at FROM work_completions")
    assert all(at > done_at[BLOCKED[task_id]] for task_id, at in begun if task_id in BLOCKED)


def test_the_poor_quest_wins_after_it_has_earned(run: Run) -> None:
    """LED-7: bids without tokens behind them are passed over; with those from reviews its quest wins."""
    ((first_pay,),) = run.ask(
        "SELECT min(seq) FROM token_ledger WHERE to_account = %s AND reason <> 'earn:grant'", POOR
    )
    # As they were placed: later they were raised.
    before = run.ask(
        "SELECT (event->>'max_price_tokens')::bigint FROM journal, json_array_elements(events) AS event WHERE seq < %s "
        "AND event->>'type' = 'bid_placed' AND event->>'bidder_id' = %s",
        first_pay,
        POOR,
    )
    assert before and all(price <= POOR_TOKENS < RESERVE_TOKENS for (price,) in before)
    rounds = "FROM compute_auction_clears JOIN compute_auction_rounds r USING (shard_id, market_id, round_no) WHERE"
    ((first_win,),) = run.ask(f"SELECT min(r.seq) {rounds} bidder_id = %s", POOR)
    ((first_win_of_others,),) = run.ask(f"SELECT min(r.seq) {rounds} bidder_id <> %s", POOR)
    assert first_win_of_others < first_pay < first_win


def test_awards_of_the_clumsy_worker_are_voided_and_their_holds_returned(run: Run) -> None:
    """SET-4: failed work costs its quest nothing, and is tried again."""
    failed = run.ask(
        "SELECT b.status, a.charged_tokens FROM work_completions c JOIN compute_auction_clears a USING (shard_id, "
        "award_id) JOIN compute_auction_bids b ON b.id = a.bid_id WHERE c.worker_id = %s AND c.reason = %s",
        f"worker-{CLUMSY}",
        CLUMSY_REASON,
    )
    assert failed and set(failed) == {("voided", 0)}
    held = dict(run.ask("SELECT account_id, held FROM token_accounts WHERE held > 0"))
    # Of all that was ever held only the stakes and open bounties are, which nobody has taken back.
    assert held == {"patron": 3 * (STAKE_TOKENS + FUND_TOKENS)}


def test_the_auction_pays_again_when_the_market_is_back(run: Run) -> None:
    """BRG-5: the budget takes over while the market is away, and gives way when it is back."""
    payers = re.findall(r"^ *\d+ (auction|budget) ", run.rounds, re.MULTILINE)
    assert payers[0] == payers[-1] == "auction" and "budget" in payers
    ((last_spent, last_won),) = run.ask(
        "SELECT max(s.ended_at), max(a.slot_started_at) FROM quest_budget_spendings s, compute_auction_clears a "
    )
    assert last_won > last_spent


def test_what_artifacts_are_worth_is_spent_and_the_bounty_paid(run: Run) -> None:
    """BRG-3: each finished task is deducted once from its artifact's budget, as far as that goes."""
    assert run.ask("SELECT status, claimant_id, tokens_paid FROM token_bounties WHERE id = %s", BOUNTY) == [
        ("paid", POOR, BOUNTY_TOKENS)
    ]
    done = run.ask(
        "SELECT r.tokens, c.cost_tokens, b.left_tokens FROM work_completions c "
        "JOIN work_tasks t USING (shard_id, task_id) JOIN resource_budgets b USING (shard_id, artifact_id) "
        "LEFT JOIN resource_allocations r ON "
        "(r.artifact_id, r.reference_type, r.reference_id) = (t.artifact_id, 'task', t.task_id) WHERE c.succeeded"
    )
    assert len(done) == len(QUESTS) * (TASKS - 1)
    # What is left only shrinks here, so what did not fit then does not fit now.
    assert all(recorded == cost or (recorded is None and cost > left) for recorded, cost, left in done)
    assert any(recorded is not None for recorded, _, _ in done)
    assert run.ask("SELECT sum(tokens) FROM resource_allocations") == run.ask("SELECT sum(spent_tokens) FROM artifacts")


def test_the_supply_adds_up_and_the_journal_verifies(run: Run) -> None:
    """LED-1: all balances, issuance negative, sum to zero; the script says the same of the supply; `verify` agrees."""
    ((sum_tokens, minted_tokens),) = run.ask(
        "SELECT sum(balance), sum(balance) FILTER (WHERE account_id <> 'issuance') FROM token_accounts"
    )
    assert sum_tokens == 0
    assert run.summary["supply_tokens"] == run.summary["balances_tokens"] == minted_tokens
    verified = subprocess.run(
        [sys.executable, "-m", "callmarket", "verify", "--url", run.url],
        cwd=ROOT,
        env=clean(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_summary_says_who_paid(run: Run) -> None:
    """What the script counts from the tables is what SQL counts."""
    assert run.summary["is_over"]
    for quest in run.summary["quests"]:
        paid = "SELECT count(*) FROM work_completions WHERE succeeded AND payer = %s AND task_id LIKE %s"
        for payer in ("auction", "budget"):
            assert run.ask(paid, payer, f"{quest['quest_id']}-%") == [(quest[f"done_by_{payer}"],)]
        assert (quest["done"], quest["failed"], quest["open"]) == (TASKS - 1, 1, 0)


def test_it_may_be_started_again_when_all_is_done(run: Run) -> None:
    """Whoever starts it again pays nobody twice, and gets a summary for a person."""
    ((before,),) = run.ask("SELECT count(*) FROM token_ledger")
    again = subprocess.run(
        [sys.executable, "-m", "examples.platform", f"--tasks={TASKS}", "--round-s=0.1"],
        cwd=ROOT,
        env=environment(run.service, run.url) | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert run.ask("SELECT count(*) FROM token_ledger") == [(before,)]
    assert "by auction" in again.stdout and POOR in again.stdout


def test_rounds_that_ask_more_than_their_key_may_come_to_an_end(
    postgres_server: TestServer, template_database: str, tmp_path: Path
) -> None:
    """More workers and rounds than a key has rate for are slower; they do not ask the same in vain for ever."""
    options = ("--tasks=3", "--workers=12", "--work-s=0", "--round-s=0.05", "--timeout-s=60")
    with postgres_server.fresh_database(template_database) as name:
        url = postgres_server.url(name)
        with served(url, tmp_path / "home") as service:
            script = Script(service, url, tmp_path / "log", *options)
            try:
                summary = script.end()
            finally:
                script.kill()
    assert summary["is_over"]
    assert [(quest["done"], quest["failed"], quest["open"]) for quest in summary["quests"]] == [(2, 1, 0)] * len(QUESTS)


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--tasks", "2"), "--tasks"), (("--workers", "17"), "--workers"), (("--round-s", "0"), "--round-s")],
)
def test_a_size_out_of_bounds_is_named(options: tuple[str, ...], told: str) -> None:
    """A wrong option is an error of use that names it, before anything is opened."""
    wrong = subprocess.run(
        [sys.executable, "-m", "examples.platform", *options],
        cwd=ROOT,
        env=clean() | {"CALLMARKET_HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert told in wrong.stderr
