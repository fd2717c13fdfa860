"""What idle tokens cost: one walk over all accounts when a period has ended, and the debts that it leaves.

Rule of this file: pure decisions; `collector` waits and asks. What an account owes for a period follows
from the ledger up to the period's end, so it is the same whenever it is asked, and by whom. Every charge is a command
as any other, and happens once for an account and period: the ledger says whether it has, for ever, and the id of the
command says so for two that charge at the same moment. An account without it then, because it is held or has
been moved in those very seconds, owes it, and pays as soon as it has.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal

from msgspec import Struct

from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.contract.queries import TableQuery, Tables
from callmarket.bridge.api.contract.requests import as_actor
from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.operations.accounts import burn, transfer
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import Config
from callmarket.engine.commands import ADMIN, TREASURY
from callmarket.engine.events import TransferPosted
from callmarket.engine.reasons import DEMURRAGE
from callmarket.persistence import queries
from callmarket.persistence.queries import IdleRow
from callmarket.persistence.stores import demurrage_debts
from callmarket.persistence.stores.demurrage_debts import Debt, DebtRow

PPM: Final = 1_000_000
# A page is some milliseconds of the database, and its charges two or three of the engine, so nobody waits for it.
ACCOUNTS_PER_PAGE: Final = 200
# Older debts are forgiven, so that an account has at most this many rows.
DEBTS_PER_ACCOUNT_MAX: Final = 400
# Until the rows of a period are durable, which they are within milliseconds of its end.
NOT_YET_S: Final = 0.1


class Demurrage(Struct, frozen=True):
    """The terms: `ppm` millionths of idle tokens beyond `exempt_tokens`, once in a period; 0 is none."""

    ppm: int
    period_us: int
    exempt_tokens: int
    to: Literal["treasury", "burn"]

    def tokens(self, idle_tokens: int) -> int:
        """The charge on idle tokens, rounded down."""
        return max(0, idle_tokens - self.exempt_tokens) * self.ppm // PPM

    def period(self, now_us: int) -> int:
        """The last period that has ended, counted from 1970."""
        return now_us // self.period_us - 1

    def since(self, period: int) -> datetime:
        """When a period began."""
        return datetime_of(period * self.period_us)

    def reference_id(self, period: int) -> str:
        """A period as ISO 8601 writes it: its beginning and its length."""
        begun = self.since(period).isoformat().replace("+00:00", "Z")
        return f"{begun}/PT{self.period_us // 1_000_000}S"


def demurrage_of(config: Config) -> Demurrage:
    """The terms of the settings."""
    return Demurrage(
        ppm=config.demurrage_ppm,
        period_us=config.demurrage_period_s * 1_000_000,
        exempt_tokens=config.demurrage_exempt_tokens,
        to=config.demurrage_to,
    )


class Outcome(Struct):
    """The outcome of some charges: how many were made, of how many tokens, the debts still owed, and those ended."""

    charges: int = 0
    tokens: int = 0
    owed: list[Debt] = []
    ended: list[Debt] = []

    def note(self, asked: Sequence[Debt], replies: Sequence[Reply]) -> None:
        """Sort the debts whose charges were asked by what was said to them."""
        for debt, reply in zip(asked, replies, strict=True):
            posted = [event for event in reply.events if isinstance(event, TransferPosted)]
            if not posted:
                # A refusal is remembered under its id, so the next try needs another.
                self.owed.append(Debt(debt.account_id, debt.period, debt.reference_id, debt.tokens, debt.attempts + 1))
                continue
            self.ended.append(debt)
            if not reply.repeated:
                self.charges += 1
                self.tokens += posted[0].amount_tokens

    def change(self) -> Change[None]:
        """Write it down, beside the journal."""

        def make(at: WriteContext) -> None:
            demurrage_debts.write_debts(at.connection, at.shard_id, self.owed, self.ended, DEBTS_PER_ACCOUNT_MAX)

        return Change(make)


def charge(debt: Debt, terms: Demurrage) -> Request:
    """The request that pays a debt."""
    # A name may be as long as an id may be.
    name = blake2b(debt.account_id.encode(), digest_size=16).hexdigest()
    tried = f":{debt.attempts}" if debt.attempts else ""
    command_id = f"{DEMURRAGE}:{debt.reference_id}:{name}{tried}"
    what = (debt.tokens, DEMURRAGE, "period", debt.reference_id)
    if terms.to == "burn":
        return burn.request(debt.account_id, *what, command_id=command_id)
    # Not as the account itself, which would have to agree.
    return as_actor(transfer.request(debt.account_id, TREASURY, *what, command_id=command_id), ADMIN)


class Walk:
    """All accounts for one period, page after page: ask the `question`, charge the `payable`, `note` the replies.

    A page of which something failed is asked again as it is; what has paid is not asked twice.
    """

    def __init__(self, terms: Demurrage, period: int, seq: int) -> None:
        """At the first account. `seq` is the last row of the journal when the period had ended."""
        self._terms: Final = terms
        self.period: Final = period
        self.seq: Final = seq
        self._reference_id: Final = terms.reference_id(period)
        self._after = ""
        self._ids: tuple[int, int] | None = None
        self.done = False

    def question(self) -> TableQuery[list[IdleRow]]:
        """The next accounts. Its answer raises `Unavailable` until the tables have all rows of the period."""

        def answer(at: Tables) -> list[IdleRow]:
            if at.seq < self.seq:
                raise Unavailable(f"row {self.seq} of the period is not in the SQL tables yet", retry_after_s=NOT_YET_S)
            if self._ids is None:
                began, ended = self._terms.since(self.period), self._terms.since(self.period + 1)
                first_id = queries.first_movement_since(at.connection, at.shard_id, began)
                self._ids = first_id, queries.first_movement_since(at.connection, at.shard_id, ended)
            return queries.idle_page(
                at.connection,
                at.shard_id,
                self._after,
                ACCOUNTS_PER_PAGE,
                first_id=self._ids[0],
                end_id=self._ids[1],
                reference_id=self._reference_id,
            )

        return TableQuery(answer)

    def payable(self, rows: Sequence[IdleRow]) -> tuple[list[Debt], list[Debt]]:
        """What these accounts owe: what can be charged now, and what has to wait."""
        payable: list[Debt] = []
        waiting: list[Debt] = []
        for row in rows:
            tokens = self._terms.tokens(row.idle_tokens)
            if tokens:
                debt = Debt(row.account_id, self.period, self._reference_id, tokens, 0)
                (payable if tokens <= row.available_tokens else waiting).append(debt)
        return payable, waiting

    def note(self, rows: Sequence[IdleRow]) -> None:
        """The page is charged, and what it owes is noted: go on after it."""
        if rows:
            self._after = rows[-1].account_id
        self.done = len(rows) < ACCOUNTS_PER_PAGE


class Debts:
    """Once over all debts, page after page, in the same way."""

    def __init__(self) -> None:
        """At the first one."""
        self._after = ("", 0)
        self.done = False

    def question(self) -> TableQuery[list[DebtRow]]:
        """The question for the next page of debts."""
        return TableQuery(
            lambda at: demurrage_debts.debts_page(at.connection, at.shard_id, self._after, ACCOUNTS_PER_PAGE)
        )

    def payable(self, rows: Sequence[DebtRow]) -> tuple[list[Debt], list[Debt]]:
        """What can be charged now, and what the ledger has already: a process died before it noted that."""
        left: dict[str, int] = {}
        payable: list[Debt] = []
        for row in rows:
            available_tokens = left.setdefault(row.account_id, row.available_tokens)
            if not row.paid and row.tokens <= available_tokens:
                left[row.account_id] = available_tokens - row.tokens
                payable.append(row)
        return payable, [row for row in rows if row.paid]

    def note(self, rows: Sequence[DebtRow]) -> None:
        """The page is charged: go on after it."""
        if rows:
            self._after = rows[-1].account_id, rows[-1].period
        self.done = len(rows) < ACCOUNTS_PER_PAGE
