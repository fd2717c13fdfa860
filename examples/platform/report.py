"""What a person, or a program, is told: a line a round, and a summary at the end.

Rule of this file: it reads and shows; nothing is decided here.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple
from rich import box
from rich.table import Table

from callmarket import Client, each
from callmarket.bridge.api.checks import ROWS_MAX
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.model import Completion, Payer, TaskStatus
from callmarket.bridge.fleet.tasks.source import Backlog
from examples.platform.backlog import QUESTS

# One for each field of a quest's summary.
_HEADINGS: Final = (
    *("quest", "done", "failed", "open", "by auction", "by budget"),
    *("earned", "spent", "left", "budget spent"),
)


class RoundLine(Struct, frozen=True):
    """What came of a round. `best` is the task that was worth most before it.

    `why` says why the auction could not be used, or why the round was cut short.
    """

    round_no: int
    payer: Payer
    price_tokens: int | None
    awards: int
    tasks: Mapping[TaskStatus, int]
    blocked: int
    best: str
    wallets: Mapping[str, int]
    why: str

    def __str__(self) -> str:
        """One line."""
        wallets = ", ".join(f"{name} {tokens:,}" for name, tokens in self.wallets.items())
        price = "-" if self.price_tokens is None else f"{self.price_tokens:,}"
        tasks = (
            f"done {self.tasks['done']}, in hand {self.tasks['awarded']}, open {self.tasks['open']} "
            f"(blocked {self.blocked}), failed {self.tasks['failed']}"
        )
        best = f"best {self.best}" if self.best else ""
        parts = (f"{self.round_no:4} {self.payer:7} awards {self.awards} at {price:>4}", tasks, best, wallets, self.why)
        return " | ".join(part for part in parts if part)


class QuestSummary(Struct, frozen=True):
    """What became of a quest. The auction's tokens are the ledger's; the budget's are none, but compute of a day."""

    quest_id: str
    done: int
    failed: int
    open: int
    done_by_auction: int
    done_by_budget: int
    earned_tokens: int
    spent_tokens: int
    available_tokens: int
    budget_spent_tokens: int


class Summary(Struct, frozen=True):
    """What became of all. The supply is what was minted and not burned; all balances add up to it."""

    is_over: bool
    rounds: int
    quests: tuple[QuestSummary, ...]
    supply_tokens: int
    balances_tokens: int


def summarize(
    market: Client,
    work: Backlog,
    budgets: DailyBudgets,
    completions: Mapping[str, Completion],
    *,
    rounds: int,
    is_over: bool,
) -> Summary:
    """Read it all from the market and the tables."""
    wallets = {one.account_id: one for one in each(market.wallets, limit=ROWS_MAX)}
    by_budget = {row.quest: row.spent_tokens + row.overrun_tokens for row in budgets.allocations()}
    quests = []
    for quest in QUESTS:
        counts = work.counts(quest.quest_id)
        payers = [one.payer for one in completions.values() if one.task_id.startswith(f"{quest.quest_id}-")]
        wallet = wallets[quest.account_id]
        quests.append(
            QuestSummary(
                quest_id=quest.quest_id,
                done=counts["done"],
                failed=counts["failed"],
                open=counts["open"] + counts["awarded"],
                done_by_auction=payers.count("auction"),
                done_by_budget=payers.count("budget"),
                earned_tokens=wallet.total_earned_tokens,
                spent_tokens=wallet.total_spent_tokens,
                available_tokens=wallet.available_tokens,
                budget_spent_tokens=by_budget.get(quest.quest_id, 0),
            )
        )
    supply_tokens = -wallets["issuance"].balance_tokens
    balances_tokens = sum(one.balance_tokens for one in wallets.values() if one.account_id != "issuance")
    return Summary(is_over, rounds, tuple(quests), supply_tokens, balances_tokens)


def table_of(summary: Summary) -> Table:
    """The summary for a person."""
    table = Table(
        title="The platform", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True
    )
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "quest" else "right", overflow="fold")
    for quest in summary.quests:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in astuple(quest)))
    table.caption = f"{summary.rounds} rounds; a supply of {summary.supply_tokens:,} tokens"
    return table
