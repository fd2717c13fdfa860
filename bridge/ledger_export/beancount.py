"""The ledger as text for Beancount.

Rule of this file: every amount is written, and none is left for the tool to work out; a balance is asserted at the end
of each month; and two accounts never have one name. Equal movements are equal bytes.

Wallets are what the market owes, so a balance of 5 is -5 in `Liabilities:Accounts`. Treasury and issuance are equity.
"""

from collections.abc import Sequence
from datetime import UTC, date
from typing import Final

from callmarket.bridge.ledger_export.accounting import TOKEN, Tool, day_of, encoded
from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.persistence.queries.months import SequencedMovement

_SUFFIX: Final = "beancount"

# What a string cannot hold as it is. Other control characters would end a line in some editor, or are refused.
_ESCAPES: Final = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\t"): "\\t"}


def account_of(account_id: str) -> str:
    """The account of a wallet.

    A part of a name begins with a capital or a digit, has letters, digits and `-`: so `Id-` is put before it, and any
    other byte is written as its two hexadecimal digits between hyphens.
    """
    if account_id == ISSUANCE:
        return "Equity:Issuance"
    if account_id == TREASURY:
        return "Equity:Treasury"
    return f"Liabilities:Accounts:Id-{encoded(account_id, '-{:02x}-')}"


def included(months: Sequence[str]) -> str:
    """The file that has those of all months, for `bean-check`."""
    lines = ['option "title" "callmarket"', f'option "operating_currency" "{TOKEN}"']
    return "\n".join([*lines, *(f'include "{month}.{_SUFFIX}"' for month in months)]) + "\n"


def opening(account_id: str, on: date) -> str:
    """The line that opens an account, for tokens alone."""
    return f"{on} open {account_of(account_id)}  {TOKEN}\n"


def transaction(row: SequencedMovement) -> str:
    """A movement, with its id as a link, and the row of the journal and what it is for as metadata."""
    meta = [f"  seq: {row.seq}", f'  at: "{day_of(row.at)}T{row.at.astimezone(UTC):%H:%M:%S.%f}Z"']
    for key, text in (("reference-type", row.reference_type), ("reference", row.reference_id), ("memo", row.memo)):
        if text:
            meta.append(f"  {key}: {_string(text)}")
    lines = [
        f'{day_of(row.at)} * "{row.reason}" ^t{row.transfer_id}',
        *meta,
        f"  {account_of(row.from_account_id)}  {row.amount_tokens} {TOKEN}",
        f"  {account_of(row.to_account_id)}  {-row.amount_tokens} {TOKEN}",
    ]
    return "\n" + "\n".join(lines) + "\n"


def assertion(account_id: str, balance_tokens: int, on: date) -> str:
    """What an account has when a day begins."""
    return f"{on} balance {account_of(account_id)}  {-balance_tokens} {TOKEN}\n"


def _string(text: str) -> str:
    escaped = text.translate(_ESCAPES)
    return '"' + "".join(one if one.isprintable() else f"\\\\u{ord(one):04x}" for one in escaped) + '"'


BEANCOUNT: Final = Tool(_SUFFIX, included, opening, transaction, assertion)
