"""The principal of a request, once its key is checked: scopes, accounts and limits.

Rule of this file: plain facts about one key, without its secret or its digest, so that it can be printed and logged.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.errors import Forbidden
from callmarket.bridge.api.names import EVERY_ACCOUNT
from callmarket.engine.commands import RESERVED_NAMES, TREASURY


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    """Look at everything. Every key may."""
    BID = "bid"
    """Bid for the key's accounts and spend their tokens."""
    OFFER = "offer"
    """Offer slots for the key's providers, and report what became of them."""
    OPERATE = "operate"
    """Run the market as `operator`: open markets, call them, sweep, offer, withdraw, settle and void any slot."""
    ADMIN = "admin"
    """Everything, as `admin`: open accounts, mint, burn, transfer for others, and make and revoke keys."""


ANY: Final = EVERY_ACCOUNT
"""Instead of accounts: every one, also those opened later. No account can be opened under this very name."""

# The engine's own names. As an actor the first two are staff, and what the others hold is the market's.
NEVER_BIDS: Final = frozenset(RESERVED_NAMES)
# Slots that name no provider are the treasury's, and a key may offer for it, if it says so: "*" is not it.
NEVER_OFFERS: Final = NEVER_BIDS - {TREASURY}


# After this no key of ours expires: the year 2255.
NEVER_US: Final = 2**53
READ_ALONE: Final = frozenset((Scope.READ,))
STAFF: Final = frozenset((Scope.OPERATE, Scope.ADMIN))


class Principal(Struct, frozen=True):
    """One key that was checked. A name of the engine among its accounts would make it staff: there is none."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    accounts: frozenset[str]
    providers: frozenset[str]
    rate_per_s: int
    burst: int
    expires_at_us: int = NEVER_US

    def __post_init__(self) -> None:
        """Check what `may_bid_for` and uses of the only account rely on."""
        assert not self.accounts & NEVER_BIDS, self
        assert not self.providers & NEVER_OFFERS, self

    @property
    def may_change(self) -> bool:
        """Whether there is anything that it may change: what, and whose, is decided where the command is known."""
        return self.scopes != READ_ALONE

    @property
    def is_staff(self) -> bool:
        """Whether it runs the market."""
        return not self.scopes.isdisjoint(STAFF)

    def may_bid_for(self, account_id: str) -> bool:
        """Whether it may act as this account. O(1)."""
        accounts = self.accounts
        return account_id in accounts or (ANY in accounts and account_id not in NEVER_BIDS)

    def may_offer_for(self, account_id: str) -> bool:
        """Whether it may act as this provider. O(1)."""
        providers = self.providers
        return account_id in providers or (ANY in providers and account_id not in NEVER_BIDS)


def require(principal: Principal, scope: Scope) -> None:
    """Insist on a scope where no command is given: the routes of keys, of figures, of the past. Raises `Forbidden`.

    The admin may do what an operator may, here as with commands.
    """
    if scope not in principal.scopes and not (scope is Scope.OPERATE and Scope.ADMIN in principal.scopes):
        raise Forbidden(f"this needs the scope {scope}, which key {principal.key_id} does not have")
