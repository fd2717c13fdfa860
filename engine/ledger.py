"""Accounts, holds and transfers: double entry with integers.

Rule of this file: tokens move here and nowhere else, always from one account to another, and every method leaves
`check()` true. Callers have decided already: a call that would break an invariant is a bug and stops the process.
"""

from typing import Final, Literal

from msgspec import Struct

from engine.commands import ISSUANCE, TREASURY, AccountKind
from engine.digests import Digests, digest_of
from engine.limits import TOKENS_MAX

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


HoldKey = tuple[str, str]
"""What names a named hold: whose tokens they are, and its id, which is the account's to choose (HLD-1)."""
HoldId = int | HoldKey
"""Whose hold it is: the id of a bid, also once it is an award, or the key of a named hold."""


class Hold(Struct, gc=False):
    """Tokens set aside for one bid, and then for its award, or under a name (HLD-1)."""

    account_id: str
    tokens: int


class Ledger:
    """All accounts of a shard, their holds, and what has been earned.

    Every method is O(1), except `check`. `earnings` has the digests of `earning_of`.
    """

    def __init__(self) -> None:
        """Begin with issuance and treasury, both at zero (LED-3)."""
        self.accounts: Final[dict[str, Account]] = {}
        self.holds: Final[dict[HoldId, Hold]] = {}
        self.earnings: Final = Digests()
        self.transfers_posted: int = 0
        for account_id in (ISSUANCE, TREASURY):
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

    def hold(self, hold_id: HoldId, account_id: str, tokens: int) -> None:
        """Set available tokens aside under a new hold."""
        assert hold_id not in self.holds, hold_id
        account = self.accounts[account_id]
        account.held_tokens += tokens
        assert tokens >= 0 and account.held_tokens <= account.balance_tokens, account
        self.holds[hold_id] = Hold(account_id, tokens)

    def resize_hold(self, hold_id: int, tokens: int) -> None:
        """Give back from a hold, or set more aside under it."""
        hold = self.holds[hold_id]
        account = self.accounts[hold.account_id]
        account.held_tokens += tokens - hold.tokens
        hold.tokens = tokens
        assert tokens >= 0 and account.held_tokens <= account.balance_tokens, account

    def end_hold(self, hold_id: HoldId) -> None:
        """End a hold: its tokens are available again. A capture posts the price right after (LED-6)."""
        hold = self.holds.pop(hold_id)
        self.accounts[hold.account_id].held_tokens -= hold.tokens

    def check(self) -> None:
        """Assert every property of the ledger. O(accounts + holds + earnings)."""
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
        # What an account has held is the sum of its holds (LED-5).
        held_tokens = dict.fromkeys(self.accounts, 0)
        for hold_id, hold in self.holds.items():
            assert hold.tokens >= 0, (hold_id, hold)
            held_tokens[hold.account_id] += hold.tokens
        for account_id, account in self.accounts.items():
            assert account.held_tokens == held_tokens[account_id], (account, held_tokens[account_id])
        # What was earned is in order. Its bound is not asked: rows of other rules may have had another.
        self.earnings.check()
