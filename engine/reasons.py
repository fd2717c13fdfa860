"""The reasons of movements, and the actors that alone may give them.

Rule of this file: names only. Any other reason is anybody's word; by these, sums can be believed (LED-8).
"""

from typing import Final

# What the market writes when an award ends (SET-1, SET-3, SET-5).
SETTLE: Final = "settle:slot"
LAPSE: Final = "lapse:slot"
REWARD: Final = "reward:impact"
# What moves between wallets and the escrow of artifact markets (CAP-3).
CAPITAL_TRADE: Final = "capital:trade"
CAPITAL_SETTLE: Final = "capital:settle"
CAPITAL_SUBSIDY: Final = "capital:subsidy"
# What a provider was paid for its slots.
SALES: Final = frozenset((SETTLE, LAPSE))
# Nobody gives these, the admin neither.
RESERVED: Final = SALES | {REWARD, CAPITAL_TRADE, CAPITAL_SETTLE, CAPITAL_SUBSIDY}

# What idle tokens are charged with, which the admin does. Paid work begins with `earn:` and is the admin's too (LED-4).
DEMURRAGE: Final = "demurrage"
EARNING_PREFIX: Final = "earn:"


def is_earning(reason: str) -> bool:
    """Whether a credit for this reason is paid once per reference (LED-4)."""
    return reason.startswith(EARNING_PREFIX)


def is_of_the_admin(reason: str) -> bool:
    """Whether the admin alone gives this reason to a transfer or a hold."""
    return reason == DEMURRAGE or is_earning(reason)
