"""Chains of refusals by commands to artifact markets, for `tests.engine.test_precedence`.

Rule of this file: that of the test: the first line has all faults, and each next one mends the one that was named.
"""

MARKET = """
        mint lmsr_subsidy_pool 5
        artifact x 1 closes=99 exposure=500000 fee=0 arbiter=a
"""
CHAINS = {
    "artifact": """
        bound ARTIFACT_MARKETS_MAX 1
        mint lmsr_subsidy_pool 5
        artifact x 1 closes=99
        artifact x 9 closes=10 arbiter=ghost by b -> ACCOUNT_UNKNOWN
        artifact x 9 closes=10 by b -> NOT_PERMITTED
        artifact x 9 closes=10 -> ARTIFACT_MARKET_EXISTS
        artifact y 9 closes=10 -> TTL_PAST
        artifact y 9 closes=99 -> ARTIFACT_MARKETS_FULL
        """,
    "artifact: without tokens for its subsidy": """
        mint lmsr_subsidy_pool 5
        artifact x 9 closes=10 -> TTL_PAST
        artifact x 9 closes=99 -> SUBSIDY_EXHAUSTED
        """,
    "open": MARKET
    + """
        open y ghost long 900 gtd by b -> ACCOUNT_UNKNOWN
        open y p long 900 gtd by b -> ARTIFACT_MARKET_UNKNOWN
        open x p long 900 gtd by b -> NOT_PERMITTED
        open x p long 900 gtd -> ACCOUNT_KIND
        open x a long 900 gtd -> CONFLICT_OF_INTEREST
        open x b long 900 gtd -> TTL_MISSING
        freeze x until=20
        open x b long 900 gtd until=10 -> TTL_PAST
        open x b long 900 limit=400000 -> ARTIFACT_FROZEN
        unfreeze x
        open x b long 900 limit=400000 -> UNFILLABLE
        open x b long 900 -> EXPOSURE_EXCEEDED
        hold h b 90
        open x b long 20 -> FUNDS_INSUFFICIENT
        """,
    "open: every bound reached": MARKET
    + """
        open x b long 1 limit=400000 gtd until=90 -> order 1: rests 1000000
        bound ORDERS_PER_ACCOUNT_MAX 1
        bound ORDERS_MAX 1
        bound POSITIONS_PER_ACCOUNT_MAX 1
        bound POSITIONS_PER_ARTIFACT_MAX 1
        bound POSITIONS_MAX 1
        open x b long 900 gtd until=90 fok -> UNFILLABLE
        open x b long 900 gtd until=90 -> ORDERS_PER_ACCOUNT_FULL
        bound ORDERS_PER_ACCOUNT_MAX 9
        open x b long 900 gtd until=90 -> ORDERS_FULL
        open x b long 900 -> POSITIONS_PER_ACCOUNT_FULL
        bound POSITIONS_PER_ACCOUNT_MAX 9
        open x b long 900 -> POSITIONS_PER_ARTIFACT_FULL
        bound POSITIONS_PER_ARTIFACT_MAX 9
        open x b long 900 -> POSITIONS_FULL
        bound POSITIONS_MAX 9
        open x b long 900 -> EXPOSURE_EXCEEDED
        """,
    "open: where nothing trades": MARKET
    + """
        freeze x until=200
        t=99 open x b long 900 limit=400000 -> ARTIFACT_FROZEN
        unfreeze x
        open x b long 900 limit=400000 -> ARTIFACT_CLOSED
        judge x void -> settled void none, closed 1000000
        open x b long 900 limit=400000 -> ARTIFACT_SETTLED
        """,
    "close": MARKET
    + """
        open x b long 2 -> order 1: 2807353 for 1999999
        open x b long 2 -> order 2: 2146841 for 1999999
        close 2 -> order 3: 2146841 for 1999999
        close 9 gtd by a -> POSITION_UNKNOWN
        close 2 gtd by a -> POSITION_CLOSED
        close 1 shares=9999999 gtd by a -> NOT_PERMITTED
        close 1 shares=9999999 gtd -> TTL_MISSING
        freeze x until=20
        close 1 shares=9999999 gtd until=10 -> TTL_PAST
        close 1 shares=9999999 limit=999000 -> ARTIFACT_FROZEN
        unfreeze x
        close 1 shares=9999999 limit=999000 -> SHARES_INSUFFICIENT
        close 1 limit=999000 -> UNFILLABLE
        bound ORDERS_PER_ACCOUNT_MAX 0
        bound ORDERS_MAX 0
        close 1 limit=999000 gtd until=90 -> ORDERS_PER_ACCOUNT_FULL
        bound ORDERS_PER_ACCOUNT_MAX 9
        close 1 limit=999000 gtd until=90 -> ORDERS_FULL
        """,
    "pull": MARKET
    + """
        open x b long 1 limit=400000 gtd until=90 -> order 1: rests 1000000
        open x b long 1 limit=400000 gtd until=90 -> order 2: rests 1000000
        bound SWEEP_ITEMS_MAX 1
        judge x void -> settled void none, settled 1
        pull 3 by a -> ORDER_UNKNOWN
        pull 1 by a -> ORDER_CLOSED
        pull 2 by a -> NOT_PERMITTED
        pull 2 -> ARTIFACT_SETTLED
        """,
    "freeze": MARKET
    + """
        bound FREEZE_US_MAX 5
        judge x void -> settled void none, closed 1000000
        freeze y until=10 by b -> ARTIFACT_MARKET_UNKNOWN
        freeze x until=10 by b -> NOT_PERMITTED
        freeze x until=10 -> TTL_PAST
        freeze x until=16 -> UNTIL_TOO_FAR
        freeze x until=15 -> ARTIFACT_SETTLED
        """,
    "unfreeze": MARKET
    + """
        unfreeze y by b -> ARTIFACT_MARKET_UNKNOWN
        unfreeze x by b -> NOT_PERMITTED
        unfreeze x -> ARTIFACT_NOT_FROZEN
        """,
    "unfreeze: of a settled market": MARKET
    + """
        judge x void -> settled void none, closed 1000000
        unfreeze x by b -> NOT_PERMITTED
        unfreeze x -> ARTIFACT_SETTLED
        """,
    "judge": MARKET
    + """
        judge x void -> settled void none, closed 1000000
        judge y void price=0 by b -> ARTIFACT_MARKET_UNKNOWN
        judge x void price=0 by b -> NOT_PERMITTED
        judge x void price=0 -> SETTLE_PRICE_RANGE
        judge x void -> ARTIFACT_SETTLED
        """,
    "decay": MARKET
    + """
        freeze x until=200
        decay y by b -> ARTIFACT_MARKET_UNKNOWN
        t=99 decay x by b -> NOT_PERMITTED
        decay x -> ARTIFACT_FROZEN
        unfreeze x
        decay x -> ARTIFACT_CLOSED
        judge x void -> settled void none, closed 1000000
        decay x -> ARTIFACT_SETTLED
        """,
    "decay: too early": MARKET
    + """
        decay x by b -> NOT_PERMITTED
        decay x -> DECAY_NOT_DUE
        """,
}
