"""Wallets: open, mint, burn, transfer.

Rule of this file: what may move tokens outside the auction. LED rules.
"""

from typing import Final

from callmarket.engine import limits
from callmarket.engine.commands import (
    ADMIN,
    ISSUANCE,
    NO_PARTIES,
    RESERVED_NAMES,
    Burn,
    Entry,
    Mint,
    OpenAccount,
    Transfer,
)
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import AccountOpened, Events, TransferPosted
from callmarket.engine.holds import NamedHold
from callmarket.engine.ledger import Ledger, earning_of
from callmarket.engine.reasons import RESERVED, is_earning, is_of_the_admin
from callmarket.engine.reject import Reject
from callmarket.engine.state import State

ACCOUNT_KINDS: Final = "agent, quest, provider or treasury"
"""The accounts that may own tokens: all but issuance."""


def open_account(state: State, entry: Entry, command: OpenAccount) -> Events:
    """Open an empty wallet."""
    account_id = command.account_id
    if entry.actor != ADMIN:
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, ADMIN)
    if account_id in RESERVED_NAMES:
        return refused(Reject.NAME_RESERVED, "account_id", account_id)
    if account_id in state.ledger.accounts:
        return refused(Reject.ACCOUNT_EXISTS, "account_id", account_id)
    if len(state.ledger.accounts) >= limits.ACCOUNTS_MAX:
        return refused(Reject.ACCOUNTS_FULL, "account_id", account_id, limits.ACCOUNTS_MAX)
    return (AccountOpened(account_id, command.kind),)


def mint(state: State, entry: Entry, command: Mint) -> Events:
    """Issuance pays the account (LED-3), within the supply."""
    ledger, account_id, tokens = state.ledger, command.account_id, command.amount_tokens
    if account_id not in ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "account_id", account_id)
    if entry.actor != ADMIN:
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, ADMIN)
    if refusal := refuse_reason(entry.actor, command.reason):
        return refusal
    if account_id in NO_PARTIES:
        return refused(Reject.ACCOUNT_KIND, "account_id", account_id, ACCOUNT_KINDS)
    if refusal := refuse_earning(ledger, account_id, command):
        return refusal
    if ledger.supply_tokens + tokens > limits.TOKENS_MAX:
        return refused(Reject.SUPPLY_EXCEEDED, "amount_tokens", tokens, limits.TOKENS_MAX - ledger.supply_tokens)
    return (posted(ledger, ISSUANCE, account_id, tokens, command),)


def burn(state: State, entry: Entry, command: Burn) -> Events:
    """The account pays issuance."""
    ledger, account_id, tokens = state.ledger, command.account_id, command.amount_tokens
    account = ledger.accounts.get(account_id)
    if account is None:
        return refused(Reject.ACCOUNT_UNKNOWN, "account_id", account_id)
    if entry.actor != ADMIN:
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, ADMIN)
    if refusal := refuse_reason(entry.actor, command.reason):
        return refusal
    if account_id in NO_PARTIES:
        return refused(Reject.ACCOUNT_KIND, "account_id", account_id, ACCOUNT_KINDS)
    if tokens > account.available_tokens:
        return refused(Reject.FUNDS_INSUFFICIENT, "amount_tokens", tokens, account.available_tokens)
    return (posted(ledger, account_id, ISSUANCE, tokens, command),)


def transfer(state: State, entry: Entry, command: Transfer) -> Events:
    """One account pays another."""
    ledger, payer_id, payee_id = state.ledger, command.from_account_id, command.to_account_id
    payer = ledger.accounts.get(payer_id)
    if payer is None:
        return refused(Reject.ACCOUNT_UNKNOWN, "from_account_id", payer_id)
    if payee_id not in ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "to_account_id", payee_id)
    if entry.actor not in (payer_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, payer_id)
    if refusal := refuse_reason(entry.actor, command.reason):
        return refusal
    for account_id in (payer_id, payee_id):
        if account_id in NO_PARTIES:
            return refused(Reject.ACCOUNT_KIND, "account_id", account_id, ACCOUNT_KINDS)
    if payer_id == payee_id:
        return refused(Reject.SAME_ACCOUNT, "to_account_id", payee_id)
    if refusal := refuse_earning(ledger, payee_id, command):
        return refusal
    if command.amount_tokens > payer.available_tokens:
        return refused(Reject.FUNDS_INSUFFICIENT, "amount_tokens", command.amount_tokens, payer.available_tokens)
    return (posted(ledger, payer_id, payee_id, command.amount_tokens, command),)


def refuse_reason(actor: str, reason: str) -> Events | None:
    """The refusal of a reason that is not this actor's to give: sums by reason shall be true (LED-8)."""
    if is_of_the_admin(reason) and actor != ADMIN:
        return refused(Reject.NOT_PERMITTED, "actor", actor, ADMIN)
    if reason in RESERVED:
        return refused(Reject.REASON_RESERVED, "reason", reason, "a reason of no award")
    return None


def refuse_earning(ledger: Ledger, credit_id: str, asked: Mint | Transfer | NamedHold) -> Events | None:
    """The refusal of a credit that is an earning without a reference, or paid before (LED-4)."""
    if not is_earning(asked.reason):
        return None
    if not asked.reference_id:
        return refused(Reject.REFERENCE_MISSING, "reference_id", "", f"a reference for {asked.reason}")
    if earning_of(credit_id, asked.reason, asked.reference_type, asked.reference_id) in ledger.earnings:
        return refused(Reject.EARNING_DUPLICATE, "reference_id", asked.reference_id, "paid before")
    if len(ledger.earnings) >= limits.EARNINGS_MAX:
        return refused(Reject.EARNINGS_FULL, "reference_id", asked.reference_id, limits.EARNINGS_MAX)
    return None


def posted(
    ledger: Ledger, debit_id: str, credit_id: str, tokens: int, asked: Mint | Burn | Transfer | NamedHold
) -> TransferPosted:
    """The movement of some tokens, with the words of what asks for it."""
    return TransferPosted(
        transfer_id=ledger.transfers_posted + 1,
        debit_account_id=debit_id,
        credit_account_id=credit_id,
        amount_tokens=tokens,
        reason=asked.reason,
        reference_type=asked.reference_type,
        reference_id=asked.reference_id,
        memo=asked.memo,
        debit_balance_tokens=ledger.accounts[debit_id].balance_tokens - tokens,
        credit_balance_tokens=ledger.accounts[credit_id].balance_tokens + tokens,
    )
