"""Every bound of the engine, in one place, each with its reason.

Rule of this file: only numbers live here. A bound that is part of what a command decides changes history when it
changes, so raise `RULES` with it: rows written under older rules are then folded from their events instead of being
decided again.
"""

from typing import Final

# The version of the rules that `decide` implements. Journaled with every row; see `Engine.apply` and `Engine.fold`.
RULES: Final = 4

# 2**53 - 1 is the largest integer that JSON readers, JavaScript and float64 columns all keep exactly. It bounds the
# whole supply, therefore every balance, hold and sum of balances, so no intermediate sum needs a check of its own.
TOKENS_MAX: Final = 2**53 - 1
# The same bound for times: microseconds since 1970 reach it in the year 2255.
AT_US_MAX: Final = 2**53 - 1
# Expected value and impact are money-like reports in millionths: the same exact range.
MICROS_MAX: Final = 2**53 - 1
# Sequence numbers and ids counted by the engine: at 10**6 commands a second, 285 years.
SEQ_MAX: Final = 2**53 - 1
# Where acknowledged rows were lost, history goes on at the next multiple of this (HST-1): no row, bid or award after it
# has a number that a lost one had. A year of 35,000 commands a second; there is room for eight thousand losses.
HISTORY_ROWS: Final = 2**40

# A name fits a UUID with a long prefix and still keeps a b-tree index entry small.
NAME_CHARS_MAX: Final = 128
# Reasons are a vocabulary (`earn:debate`), not prose.
REASON_CHARS_MAX: Final = 64
# A memo is one sentence for a human reader of the statement.
MEMO_CHARS_MAX: Final = 512

# Accounts are never closed, so this bounds the snapshot: about 200 MB at the bound.
ACCOUNTS_MAX: Final = 1_000_000
# One shard is one sequencer: beyond some hundreds of markets, shard.
MARKETS_MAX: Final = 1_000
# Slots offered or awarded at one time in a market. A call walks the offered ones, so this bounds its length too.
SLOTS_LIVE_PER_MARKET_MAX: Final = 10_000
# Of these, those of one provider (SLT-4), so that no one fills a market. The treasury's slots are staff's to offer, and
# are bounded by the market alone.
SLOTS_PER_PROVIDER_MAX: Final = 1_000
# Ended slots that a shard remembers, so that a second settlement gets its own refusal instead of "unknown".
SLOTS_ENDED_KEPT: Final = 10_000
# Open bids of one bidder in one market (BID-9). It also bounds the bids that a call passes over for one capped bidder.
BIDS_PER_BIDDER_MAX: Final = 10_000
# Open bids in one market (BID-9): about 1 GB of memory at the bound.
BIDS_PER_MARKET_MAX: Final = 2_000_000
# Open named holds of one account (HLD-7): as many as its bids in a market.
HOLDS_PER_ACCOUNT_MAX: Final = 10_000
# Open named holds of a shard (HLD-7): they rest for long, so this bounds the snapshot: 500 MB if each has a full memo,
# 100 MB without.
HOLDS_MAX: Final = 500_000
# Ended named holds that a shard remembers, so that a second end gets its own refusal instead of "unknown" (HLD-6).
HOLDS_ENDED_KEPT: Final = 10_000
# How long holds are bound by what was spent because of them (HLD-8): long enough that the same tokens do not pay for a
# research budget again and again, and no longer than people wait for tokens that they have staked.
HOLDS_BOUND_US: Final = 7 * 24 * 3600 * 1_000_000
# Reasons and references with bound holds at a time: one artifact has two. About 50 MB, if each has long names.
HOLD_BINDINGS_MAX: Final = 100_000
# Earnings remembered for ever, because one paid twice is money made from nothing (LED-4). Full means refuse: at one a
# second after two years. Each takes 16 bytes of memory and 14 of the image: 1 GB and 0.9 GB at the bound.
EARNINGS_MAX: Final = 64_000_000
# Whole replies remembered for retries (IDM-1): up to this many accepted commands, and as many refused ones. At 40,000
# commands a second that is 1.6 s of everybody's commands, and minutes at the usual rates. About 50 MB each.
RECEIPTS_MAX: Final = 65_536
# What moved tokens is remembered for a day, in periods that are forgotten whole: the present one and this many before
# it, so 24 hours at least and 28 at most. More periods would forget more evenly, and each is one more place to look.
RETRIES_PERIOD_US: Final = 4 * 3600 * 1_000_000
RETRIES_PERIODS_KEPT: Final = 6
# How much of it at a time; full means refuse (IDM-1). Each takes 34 bytes of memory and 30 of the image: 0.7 GB and
# 0.6 GB if all three are full. The operator and the admin have room of their own, so no account can stop the market:
# eighty commands a second, a thousand markets called every 12 s.
RETRIES_PER_STAFF_MAX: Final = 8_000_000
# One account: one command every two seconds, day and night.
RETRIES_PER_ACCOUNT_MAX: Final = 50_000
# All accounts together: eighty of them would have to be full.
RETRIES_OF_ACCOUNTS_MAX: Final = 4_000_000

# A lease is the use of one slot by one task; a month is longer than any task and short enough to unstick a market.
LEASE_US_MAX: Final = 31 * 24 * 3600 * 1_000_000
# More than any unit of impact is worth; what is paid is bounded by the caps and by what its account has (SET-3).
REWARD_TOKENS_PER_IMPACT_MAX: Final = 1_000_000_000
# The bound of rewards by account is for a day of market time, in UTC, as people count their budgets.
REWARD_DAY_US: Final = 24 * 3600 * 1_000_000

# Bids, awards, losers and named holds that one sweep may end: about a millisecond of the single writer's time (SET-6).
SWEEP_ITEMS_MAX: Final = 500
# Losers released by the call itself (BID-4). More are released by the sweeps that follow at once; they are out of the
# book from the call on, so they can neither win nor set a price (CLR-9 stays independent of what rests).
LOSERS_PER_CALL_MAX: Final = 100
