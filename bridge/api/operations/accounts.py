"""Accounts and their tokens: open, mint, burn and transfer; balances, statements and earnings.

Rule of this file: the operations on accounts and their result types.
"""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api.checks import check_limit, check_name
from callmarket.bridge.api.contract.fields import (
    ActingPath,
    After,
    Limit,
    Named,
    NewAccountName,
    Note,
    Order,
    PathName,
    ReferenceKind,
    ReferenceName,
    Sum,
    Why,
)
from callmarket.bridge.api.contract.operation import Command, operation
from callmarket.bridge.api.contract.pages import name_after, numbered, page_of
from callmarket.bridge.api.contract.queries import SUMMING_UP, Moment, StateQuery, TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Stamp, only, stamp
from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.api.messages import Reply
from callmarket.engine import commands
from callmarket.engine.commands import ADMIN, AccountKind
from callmarket.engine.events import TransferPosted
from callmarket.persistence import queries
from callmarket.persistence.queries import Earned, MovementRow, Paging, WalletRow

__all__ = ["Earnings", "MovementRow", "Posted", "Wallet", "WalletRow"]

T = TypeVar("T")


class Posted(Struct, frozen=True):
    """The result of a mint, burn or transfer. The balances are those after it."""

    transfer_id: int
    amount_tokens: int
    from_balance_tokens: int
    to_balance_tokens: int
    stamp: Stamp


class Wallet(Struct, frozen=True):
    """An account in the live state at `seq`."""

    account_id: str
    kind: str
    balance_tokens: int
    held_tokens: int
    available_tokens: int
    seq: int
    durable_seq: int


class Earnings(Earned, frozen=True):
    """What an account was credited with, read from the tables at `seq`: sums by reason, and a page of the credits."""

    credits: tuple[MovementRow, ...]
    next: str | None
    seq: int
    durable_seq: int


@operation("POST", "/wallets", "Wallets", "Open a wallet", status=201, example={"account_id": "alpha"})
def open_account(
    account_id: NewAccountName,
    kind: Annotated[AccountKind, Meta(description="Agents and quests bid; providers offer.")] = "agent",
    *,
    command_id: str = "",
) -> Command[Stamp]:
    """Open a wallet with a balance of 0. Needs the scope `admin`."""
    return Command(request(ADMIN, commands.OpenAccount(account_id, kind), command_id), stamp)


@operation(
    "POST",
    "/wallets/{account_id}/mint",
    "Wallets",
    "Mint tokens",
    example={"amount_tokens": 1_000, "reason": "grant:initial", "memo": "to begin with"},
)
def mint(
    account_id: PathName,
    amount_tokens: Sum,
    reason: Why,
    reference_type: ReferenceKind = "",
    reference_id: ReferenceName = "",
    memo: Note = "",
    *,
    command_id: str = "",
) -> Command[Posted]:
    """Create tokens in an account. Needs the scope `admin`.

    A mint whose reason begins with `earn:` needs a `reference_id`, and is done once for each account, reason and
    reference (LED-4).
    """
    command = commands.Mint(account_id, amount_tokens, reason, reference_type, reference_id, memo)
    return Command(request(ADMIN, command, command_id), _posted)


@operation(
    "POST",
    "/wallets/{account_id}/burn",
    "Wallets",
    "Burn tokens",
    problems=(402,),
    example={"amount_tokens": 1_000, "reason": "grant:initial", "memo": "to begin with"},
)
def burn(
    account_id: PathName,
    amount_tokens: Sum,
    reason: Why,
    reference_type: ReferenceKind = "",
    reference_id: ReferenceName = "",
    memo: Note = "",
    *,
    command_id: str = "",
) -> Command[Posted]:
    """Destroy available tokens of an account; held tokens are not available. Needs the scope `admin`."""
    command = commands.Burn(account_id, amount_tokens, reason, reference_type, reference_id, memo)
    return Command(request(ADMIN, command, command_id), _posted)


@operation(
    "POST",
    "/wallets/{from_account_id}/transfers",
    "Wallets",
    "Pay another account",
    problems=(402,),
    example={"to_account_id": "beta", "amount_tokens": 50, "reason": "payment:review"},
)
def transfer(
    from_account_id: ActingPath,
    to_account_id: Annotated[Named, Meta(description="The account that is paid.")],
    amount_tokens: Sum,
    reason: Why,
    reference_type: ReferenceKind = "",
    reference_id: ReferenceName = "",
    memo: Note = "",
    *,
    command_id: str = "",
) -> Command[Posted]:
    """Pay from one account to another. The payer must be an account of the key; with the scope `admin`, any account."""
    command = commands.Transfer(
        from_account_id, to_account_id, amount_tokens, reason, reference_type, reference_id, memo
    )
    return Command(request(from_account_id, command, command_id), _posted)


@operation("GET", "/wallets", "Wallets", "List wallets")
def wallets(*, limit: Limit = 100, after: After | None = None) -> TableQuery[Page[WalletRow]]:
    """All wallets in order of their names, with lifetime totals earned and spent, in pages."""
    check_limit(limit)
    page = Paging(limit + 1, name_after("wallets", after), newest=False)

    def answer(at: Tables) -> Page[WalletRow]:
        rows = queries.wallets_page(at.connection, at.shard_id, page)
        return page_of(rows, limit, "wallets", lambda row: row.account_id, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/wallets/{account_id}", "Wallets", "Get a wallet")
def wallet(account_id: PathName) -> StateQuery[Wallet]:
    """The current balance of an account: total, held and available tokens.

    Raises `NotFound` if there is no such account.
    """

    def answer(moment: Moment) -> Wallet:
        account = found(moment.state.ledger.accounts, account_id)
        if account is None:
            raise NotFound("account_id", account_id, "an open account")
        return Wallet(
            account_id=account_id,
            kind=account.kind,
            balance_tokens=account.balance_tokens,
            held_tokens=account.held_tokens,
            available_tokens=account.available_tokens,
            seq=moment.state.seq,
            durable_seq=moment.durable_seq,
        )

    return StateQuery(answer)


@operation("GET", "/wallets/{account_id}/statement", "Wallets", "Account statement")
def statement(
    account_id: PathName, *, limit: Limit = 100, after: After | None = None, order: Order = "newest"
) -> TableQuery[Page[MovementRow]]:
    """The movements of an account, each with the balances after it, in pages.

    Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)
    kind, page = numbered("statement", limit, after, order)

    def answer(at: Tables) -> Page[MovementRow]:
        rows = queries.statement_page(at.connection, at.shard_id, account_id, page)
        if rows is None:
            raise NotFound("account_id", account_id, "an open account")
        return page_of(rows, limit, kind, lambda row: row.transfer_id, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/wallets/{account_id}/earnings", "Wallets", "Account earnings")
def earnings(
    account_id: PathName, *, limit: Limit = 100, after: After | None = None, order: Order = "newest"
) -> TableQuery[Earnings]:
    """What an account was credited with: sums by reason over a day, a week and thirty days, and the credits in pages.

    Raises `NotFound` if there is no such account. Cost: reads the credits of the last thirty days.
    """
    check_name("account_id", account_id)
    kind, page = numbered("earnings", limit, after, order)

    def answer(at: Tables) -> Earnings:
        sums = queries.earned(at.connection, at.shard_id, account_id, at.now)
        if sums is None:
            raise NotFound("account_id", account_id, "an open account")
        rows = queries.credits_page(at.connection, at.shard_id, account_id, page)
        listed = page_of(rows, limit, kind, lambda row: row.transfer_id, at)
        return Earnings(
            **msgspec.structs.asdict(sums),
            credits=listed.items,
            next=listed.next,
            seq=at.seq,
            durable_seq=at.durable_seq,
        )

    return TableQuery(answer, SUMMING_UP)


def found(named: Mapping[str, T], name: object) -> T | None:
    """The entry of this name, if any. A value that is not a string is not looked up: it may be unhashable."""
    return named.get(name) if isinstance(name, str) else None


def _posted(reply: Reply) -> Posted:
    made, event = stamp(reply), only(reply.events, TransferPosted)
    return Posted(
        transfer_id=event.transfer_id,
        amount_tokens=event.amount_tokens,
        from_balance_tokens=event.debit_balance_tokens,
        to_balance_tokens=event.credit_balance_tokens,
        stamp=made,
    )


class Accounts:
    """The operations on accounts, as methods of a market."""

    open_account = open_account
    mint = mint
    burn = burn
    transfer = transfer
    wallets = wallets
    wallet = wallet
    statement = statement
    earnings = earnings
