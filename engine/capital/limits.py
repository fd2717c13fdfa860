"""Every bound of artifact markets, each with its reason.

Rule of this file: only numbers live here; what `engine/limits.py` says of `RULES` holds for these too.
"""

from typing import Final

# What one token or one share is divided into.
MICRO: Final = 1_000_000
# At prices within these one more millionth of a share costs no millionth of a token more than one, so no share is free
# in quantity (LMSR-8); beyond them a price says little that is not said by these.
PRICE_MICROS_MIN: Final = 1_000
PRICE_MICROS_MAX: Final = MICRO - PRICE_MICROS_MIN
# Shares of a side that may be outstanding, in millionths, so that the pool stays an exact integer in every JSON reader.
SIDE_MICROSHARES_MAX: Final = 2**52
# The fixed point of the maker is exact enough for this (LMSR-8).
SUBSIDY_TOKENS_MAX: Final = 10**9

# Fills of one order (ORD-2): it bounds a command to about a millisecond.
ORDER_FILLS_MAX: Final = 64
# What is left of an order below this, in millionths, is not filled any more (ORD-7).
ORDER_REST_MIN: Final = 1_000
# Resting orders of one account, and of a shard: each is 300 bytes of memory.
ORDERS_PER_ACCOUNT_MAX: Final = 10_000
ORDERS_MAX: Final = 500_000
# Positions with orders that may become one (POS-6).
POSITIONS_PER_ACCOUNT_MAX: Final = 10_000
POSITIONS_PER_ARTIFACT_MAX: Final = 100_000
POSITIONS_MAX: Final = 1_000_000
# Markets that a shard has or had: what has ended stays, as its name is taken.
ARTIFACT_MARKETS_MAX: Final = 100_000

# Fees, exposures and decays are parts per million.
PPM: Final = 1_000_000
DECAY_PPM_MAX: Final = 10 * PPM
# Prices that say how calm a market is, and the time between two decays (LMSR-9).
DECAY_PRICES: Final = 50
DECAY_INTERVAL_US: Final = 3600 * 1_000_000
# A challenge ends by itself, and so does a dispute (STL-7, STL-9).
FREEZE_US_MAX: Final = 30 * 24 * 3600 * 1_000_000
# After this time half of a new price counts (PRC-1): one that is pushed for an hour moves the average by 11 %.
AVERAGE_HALF_LIFE_US: Final = 6 * 3600 * 1_000_000
