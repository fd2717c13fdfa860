"""The ledger as text for hledger.

Rule of this file: as `beancount`, but that the balance is asserted after each posting. What people have written is
percent-encoded, so that no word of it is a date, a tag or an account to the tool.
"""

from collections.abc import Sequence
from datetime import UTC, date
from typing import Final

from callmarket.bridge.ledger_export.accounting import TOKEN, Tool, day_of, encoded
from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.persistence.queries.months import SequencedMovement

_SUFFIX: Final = "journal"

_PERCENT: Final = "%{:02X}"


def account_of(account_id: str) -> str:
    """The account of a wallet: a byte that is no letter, digit or one of `-._` is `%` and two hexadecimal digits."""
    if account_id in (ISSUANCE, TREASURY):
        return f"equity:{account_id}"
    return f"liabilities:accounts:{encoded(account_id, _PERCENT, besides='-._')}"


def included(months: Sequence[str]) -> str:
    """The file that has those of all months, for `hledger check`."""
    return "\n".join([f"commodity 1. {TOKEN}", *(f"include {month}.{_SUFFIX}" for month in months)]) + "\n"


def opening(account_id: str, _on: date) -> str:
    """The line that declares an account."""
    return f"account {account_of(account_id)}\n"


def transaction(row: SequencedMovement) -> str:
    """A movement, with its id as the code, and the row of the journal and what it is for as tags."""
    tags = [f"seq:{row.seq}", f"at:{row.at.astimezone(UTC):%H.%M.%S.%f}"]
    for key, text in (("reference-type", row.reference_type), ("reference", row.reference_id), ("memo", row.memo)):
        if text:
            tags.append(f"{key}:{encoded(text, _PERCENT, besides=' -._')}")
    lines = [
        f"{day_of(row.at)} * ({row.transfer_id}) {row.reason}",
        *(f"    ; {tag}" for tag in tags),
        _posting(row.from_account_id, row.amount_tokens, row.from_balance_tokens),
        _posting(row.to_account_id, -row.amount_tokens, row.to_balance_tokens),
    ]
    return "\n" + "\n".join(lines) + "\n"


def assertion(_account_id: str, _balance_tokens: int, _on: date) -> str:
    """Nothing: each posting has its own."""
    return ""


def _posting(account_id: str, tokens: int, balance_tokens: int) -> str:
    return f"    {account_of(account_id)}  {tokens} {TOKEN} = {-balance_tokens} {TOKEN}"


HLEDGER: Final = Tool(_SUFFIX, included, opening, transaction, assertion)
