"""Accounts, minting, burning and paying (LED), naively."""

from collections.abc import Iterator

from callmarket.engine import limits
from callmarket.engine.commands import (
    ISSUANCE,
    NO_PARTIES,
    RESERVED_NAMES,
    Burn,
    Mint,
    OpenAccount,
    PlaceHold,
    Transfer,
)
from callmarket.engine.events import AccountOpened
from callmarket.engine.reject import Reject
from tests.support.naive.shard import Account, Shard, permit

WRITTEN_BY_THE_MARKET = (
    *("settle:slot", "lapse:slot", "reward:impact"),
    *("capital:trade", "capital:settle", "capital:subsidy"),
)


def refuse_reason(reason: str) -> Iterator[Reject]:
    """LED-8: what the market writes, nobody else does."""
    if reason in WRITTEN_BY_THE_MARKET:
        yield Reject.REASON_RESERVED


def refuse_open_account(shard: Shard, command: OpenAccount, actor: str) -> Iterator[Reject]:
    """LED-3."""
    yield from permit(actor)
    if command.account_id in RESERVED_NAMES:
        yield Reject.NAME_RESERVED
    if command.account_id in shard.accounts:
        yield Reject.ACCOUNT_EXISTS
    if len(shard.accounts) >= limits.ACCOUNTS_MAX:
        yield Reject.ACCOUNTS_FULL


def open_account(shard: Shard, command: OpenAccount) -> None:
    """LED-3."""
    shard.accounts[command.account_id] = Account(command.kind)
    shard.say(AccountOpened(command.account_id, command.kind))


def refuse_mint(shard: Shard, command: Mint, actor: str) -> Iterator[Reject]:
    """LED-3, LED-4."""
    if command.account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    yield from permit(actor)
    yield from refuse_reason(command.reason)
    if command.account_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    yield from refuse_earning(shard, command, command.account_id)
    if shard.supply() + command.amount_tokens > limits.TOKENS_MAX:
        yield Reject.SUPPLY_EXCEEDED


def mint(shard: Shard, command: Mint) -> None:
    """LED-4."""
    remember_earning(shard, command, command.account_id)
    post_for(shard, command, ISSUANCE, command.account_id)


def refuse_burn(shard: Shard, command: Burn, actor: str) -> Iterator[Reject]:
    """LED-3, LED-5."""
    yield from permit(actor)
    yield from refuse_reason(command.reason)
    if command.account_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    if command.account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    elif shard.available(command.account_id) < command.amount_tokens:
        yield Reject.FUNDS_INSUFFICIENT


def burn(shard: Shard, command: Burn) -> None:
    """LED-4: the account pays issuance."""
    post_for(shard, command, command.account_id, ISSUANCE)


def refuse_transfer(shard: Shard, command: Transfer, actor: str) -> Iterator[Reject]:
    """LED-3, LED-4, LED-5."""
    yield from permit(actor, *payers(command.reason, command.from_account_id))
    yield from refuse_reason(command.reason)
    if command.to_account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    if command.from_account_id in NO_PARTIES or command.to_account_id in NO_PARTIES:
        yield Reject.ACCOUNT_KIND
    if command.from_account_id == command.to_account_id:
        yield Reject.SAME_ACCOUNT
    yield from refuse_earning(shard, command, command.to_account_id)
    if command.from_account_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    elif shard.available(command.from_account_id) < command.amount_tokens:
        yield Reject.FUNDS_INSUFFICIENT


def transfer(shard: Shard, command: Transfer) -> None:
    """LED-4."""
    remember_earning(shard, command, command.to_account_id)
    post_for(shard, command, command.from_account_id, command.to_account_id)


def payers(reason: str, account_id: str) -> tuple[str, ...]:
    """LED-4, LED-8: who besides the admin may give this reason for tokens of this account."""
    return () if reason == "demurrage" or reason.startswith("earn:") else (account_id,)


def refuse_earning(shard: Shard, command: Mint | Transfer | PlaceHold, credited: str) -> Iterator[Reject]:
    """LED-4: an earning has a reference and is paid once."""
    if not command.reason.startswith("earn:"):
        return
    if not command.reference_id:
        yield Reject.REFERENCE_MISSING
    if earning_key(command, credited) in shard.earnings:
        yield Reject.EARNING_DUPLICATE
    if len(shard.earnings) >= limits.EARNINGS_MAX:
        yield Reject.EARNINGS_FULL


def remember_earning(shard: Shard, command: Mint | Transfer | PlaceHold, credited: str) -> None:
    """LED-4: for ever."""
    if command.reason.startswith("earn:"):
        shard.earnings.add(earning_key(command, credited))


def post_for(shard: Shard, command: Mint | Burn | Transfer, debit: str, credit: str) -> None:
    """Post the transfer that a command asks for."""
    reference = (command.reference_type, command.reference_id)
    shard.post(debit, credit, command.amount_tokens, command.reason, reference, command.memo)


def earning_key(command: Mint | Transfer | PlaceHold, credited: str) -> tuple[str, str, str, str]:
    """LED-4: what is paid once."""
    return credited, command.reason, command.reference_type, command.reference_id
