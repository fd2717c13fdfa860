"""What a simulated economy leaves, for users and programs.

Rule of this file: shape only; it encodes to JSON.
"""

from collections.abc import Mapping

from msgspec import Struct

from callmarket.bridge.studies.demo.audit import Proof
from callmarket.bridge.studies.economy.bidders import Habit
from callmarket.bridge.studies.economy.ledger import Day, Return


class AccountFacts(Struct, frozen=True):
    """One bidder's month: what it got and paid, and how often it was priced out and came back."""

    account_id: str
    habit: Habit
    granted_tokens: int
    rewarded_tokens: int
    earned_tokens: int
    paid_tokens: int
    demurrage_tokens: int
    balance_tokens: int
    priced_out: int
    came_back: int


class EconomyResult(Struct, frozen=True):
    """Everything that came out. `ok` says that every proof holds.

    `wallets` are the balances at the end of each day, by account.
    """

    ok: bool
    seed: int
    slots: int
    demurrage_ppm: int
    days: tuple[Day, ...]
    accounts: tuple[AccountFacts, ...]
    returns: tuple[Return, ...]
    wallets: Mapping[str, tuple[int, ...]]
    proofs: tuple[Proof, ...]
    seconds: Mapping[str, float]
    report: str | None
