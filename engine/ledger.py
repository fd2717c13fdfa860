"""Accounts and transfers: double entry with integers.

Rule of this file: tokens move here and nowhere else, always from one account to another, and every method leaves
`check()` true. Callers have decided already: a call that would break an invariant is a bug and stops the process.
What an account has held is one sum; each part of it is a bid's, an award's or a named hold's, and is known by that
alone, so a million bids need no holds beside them.
"""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from callmarket.engine.commands import ISSUANCE, SYSTEM_ACCOUNTS, AccountKind
from callmarket.engine.digests import Digests, digest_of
from callmarket.engine.limits import TOKENS_MAX

LedgerKind = AccountKind | Literal["system"]


def earning_of(account_id: str, reason: str, reference_type: str, reference_id: str) -> bytes:
    """What makes an earning unique: the digest of the credited account, the reason and the reference (LED-4)."""
    return digest_of(account_id, reason, reference_type, reference_id)


class Account(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """One wallet. `available_tokens` is what may be spent or held (LED-2).

    Its fields in order are its row of the image.
    """

    account_id: str
    kind: LedgerKind
    balance_tokens: int
    held_tokens: int

    @property
    def available_tokens(self) -> int:
        """Balance less holds."""
        return self.balance_tokens - self.held_tokens


class Ledger:
    """All accounts of a shard, and what has been earned.

    Every method is O(1), except `check` and what takes several. `earnings` has the digests of `earning_of`.
    """

    def __init__(self) -> None:
        """Begin with the system's accounts, all at zero (LED-3, CAP-1)."""
        self.accounts: Final[dict[str, Account]] = {}
        self.earnings: Final = Digests()
        self.transfers_posted: int = 0
        for account_id in SYSTEM_ACCOUNTS:
            self.accounts[account_id] = Account(account_id, "system", 0, 0)

    @property
    def supply_tokens(self) -> int:
        """All tokens there are: what issuance owes."""
        return -self.accounts[ISSUANCE].balance_tokens

    def open(self, account_id: str, kind: AccountKind) -> None:
        """Open an empty account."""
        assert account_id not in self.accounts, account_id
        self.accounts[account_id] = Account(account_id, kind, 0, 0)

    def post(self, debit_id: str, credit_id: str, tokens: int) -> None:
        """Move available tokens from the debited to the credited account (LED-1)."""
        debit, credit = self.accounts[debit_id], self.accounts[credit_id]
        assert tokens > 0, tokens
        debit.balance_tokens -= tokens
        credit.balance_tokens += tokens
        assert debit.balance_tokens >= debit.held_tokens or debit_id == ISSUANCE, debit
        assert credit.balance_tokens <= TOKENS_MAX, credit
        self.transfers_posted += 1

    def hold(self, account_id: str, tokens: int) -> None:
        """Set available tokens aside. The caller remembers how many, and releases them once (LED-6)."""
        account = self.accounts[account_id]
        assert 0 <= tokens <= account.balance_tokens - account.held_tokens, (tokens, account)
        account.held_tokens += tokens

    def release(self, account_id: str, tokens: int) -> None:
        """Make held tokens available again. A capture posts the price right after (LED-6)."""
        account = self.accounts[account_id]
        assert 0 <= tokens <= account.held_tokens, (tokens, account)
        account.held_tokens -= tokens

    def release_all(self, account_ids: Sequence[str], tokens: Sequence[int]) -> None:
        """Make held tokens available again, as `release` does one after the other."""
        accounts = list(map(self.accounts.__getitem__, account_ids))
        for account, some in zip(accounts, tokens, strict=True):
            assert 0 <= some <= account.held_tokens, (some, account)
            account.held_tokens -= some

    def check(self) -> None:
        """Assert every property of the ledger. O(accounts + earnings)."""
        # All balances, issuance negative, sum to zero (LED-1).
        assert sum(account.balance_tokens for account in self.accounts.values()) == 0, "balances do not sum to zero"
        # Every account is within its bounds (LED-2), and listed under its own name.
        for account_id, account in self.accounts.items():
            assert account.account_id == account_id, account
            assert account.balance_tokens <= TOKENS_MAX, account
            if account_id != ISSUANCE:
                assert 0 <= account.held_tokens <= account.balance_tokens, account
        # Issuance owes what exists and never holds.
        issuance = self.accounts[ISSUANCE]
        assert issuance.kind == "system" and -TOKENS_MAX <= issuance.balance_tokens <= 0 == issuance.held_tokens
        # What was earned is in order. Its bound is not asked: rows of other rules may have had another.
        self.earnings.check()
