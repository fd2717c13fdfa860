"""The rules ORD and POS, told in the table language.

Goal: best price first, nothing worse than a limit, nothing that crosses, and nothing taken that was not there. Method:
one script a sentence of a rule.
"""

from tests.support.script import Script, play

WORLD = """
account a agent 1000
account b agent 1000
account c agent 1000
mint lmsr_subsidy_pool 100
artifact x 10 closes=900 exposure=1000000 fee=0
"""


def told(text: str) -> Script:
    return play(WORLD + text)


def test_what_is_not_traded_is_given_back_or_refused_or_rests() -> None:
    """ORD-1: `ioc`, `fok` and `gtd`, which names its end."""
    told("""
    open x a long 5 limit=600000            -> order 1: 5849625 for 3219281
    open x a long 5 limit=650000 fok        -> UNFILLABLE time_in_force=fok bound=3073549
    open x a long 5 gtd                     -> TTL_MISSING expires_at_us= bound=a time for gtd
    t=9 open x a long 5 gtd until=9         -> TTL_PAST expires_at_us=9 bound=9
    open x a long 5 limit=650000 gtd until=10  -> order 2: 3081222 for 1926451, rests 3073549
    open x a long 5 limit=650000            -> UNFILLABLE time_in_force=ioc bound=5000000
    open y a long 5                         -> ARTIFACT_MARKET_UNKNOWN artifact_id=y bound=
    open x a long 5 by b                    -> NOT_PERMITTED
    hold h a 980
    open x a long 50                        -> FUNDS_INSUFFICIENT amount_tokens=50 bound=11
    """)


def test_a_refused_order_takes_no_number() -> None:
    """ORD-1, Precisely: and a `fok` order is filled if less than what is still filled would be left."""
    told("""
    open x a long 5 limit=400000            -> UNFILLABLE
    open x a long 5 fok                     -> order 1: 8706029 for 4999999
    open x a long 500 fok                   -> UNFILLABLE time_in_force=fok bound=415342156
    close 1 shares=1 fok                    -> order 2: 1 for 1
    """)


def test_an_order_trades_best_price_first() -> None:
    """ORD-2: maker, order, maker; of two orders at a price the older one."""
    told("""
    open x b short 2 limit=400000 gtd until=50  -> order 1: rests 2000000
    open x c short 2 limit=400000 gtd until=50  -> order 2: rests 2000000
    open x a long 10                        -> order 3: 17128293 for 9999999, met 1, met 2
    price x                                 -> 621071 average 500000
    """)


def test_an_order_meets_what_moves_the_price_the_other_way() -> None:
    """ORD-2, Precisely: opening long meets who opens short and who closes long, up to its limit and not beyond."""
    told("""
    open x b long 5                         -> order 1: 8706029 for 4999999
    close 1 limit=700000 gtd until=50       -> order 2: rests 8706029
    open x c short 2 limit=250000 gtd until=50  -> order 3: rests 2000000
    open x a long 20 limit=749999           -> order 4: 15849548 for 11094165, met 2
    order? 2                                -> none
    order? 3                                -> 2000000
    open x a long 2 limit=750000            -> order 5: 2666667 for 2000000, met 3
    """)


def test_no_fill_is_worse_than_the_limit() -> None:
    """ORD-3: nor is the price after it."""
    told("""
    open x a long 1000 limit=700000         -> order 1: 12223924 for 7369656
    price x                                 -> 700000 average 500000
    open x a short 900 limit=400000         -> order 2: 6374298 for 2223924
    price x                                 -> 600000 average 500000
    """)


def test_two_orders_trade_at_the_price_of_the_resting_one() -> None:
    """ORD-4: two that open make sets, two that close end them, and else shares change hands."""
    told("""
    open x a short 3 limit=400000 gtd until=90  -> order 1: rests 3000000
    open x b long 4 limit=600000            -> order 2: 7150823 for 4000000, met 1
    open x a short 30 limit=400000 gtd until=90 -> order 3: rests 30000000
    open x b long 30 limit=600000           -> order 4: 49999999 for 30000000, met 1, met 3
    position 1                              -> 7500002 cost 3000000 reserved 0
    position 4                              -> 49999999 cost 30000000 reserved 0
    pool x                                  -> 64520478 fees 0
    close 4 limit=600000 gtd until=90       -> order 5: rests 49999999
    close 3 limit=400000                    -> order 6: 43801195 for 17520478, self_trade 3, met 5
    pool x                                  -> 20719283 fees 0
    open x c long 2 limit=600000            -> order 7: 3333333 for 2000000, met 5
    position 7                              -> 3333333 cost 2000000 reserved 0
    pool x                                  -> 20719283 fees 0
    """)


def test_nothing_rests_crossed() -> None:
    """ORD-5: what is left rests at the limit, with as much as is still filled; else it is given back."""
    told("""
    open x a long 5 limit=600000 gtd until=90   -> order 1: 5849625 for 3219281, rests 1780719
    open x b short 5 limit=400000 gtd until=90  -> order 2: 2967866 for 1187147, met 1, rests 3812853
    order? 1                                -> none
    order? 2                                -> 3812853
    price x                                 -> 600000 average 500000
    bound ORDER_FILLS_MAX 1
    open x c short 900 limit=450000 gtd until=90  -> order 3: 2954558 for 1255309
    order? 3                                -> none
    """)


def test_what_rests_is_held_and_the_started_token_is_in_escrow() -> None:
    """ORD-6: an order that closes reserves its shares."""
    told("""
    open x a long 5 limit=600000 gtd until=90   -> order 1: 5849625 for 3219281, rests 1780719
    wallet a                                -> balance 996 held 1
    purse a                                 -> 0
    open x b short 2                        -> order 2: 4920084 for 1999999, met 1
    wallet a                                -> balance 995 held 0
    close 1 shares=1000000 limit=900000 gtd until=90  -> order 3: rests 1000000
    position 1                              -> 8817491 cost 5000000 reserved 1000000
    """)


def test_a_rest_that_is_too_small_is_given_back() -> None:
    """ORD-7: and the order is filled; the bound is raised here, so that it can be seen in a wallet."""
    told("""
    bound ORDER_REST_MIN 2000000
    open x a short 5 limit=499900 gtd until=90  -> order 1: rests 5000000
    wallet a                                -> balance 1000 held 5
    open x b long 4 limit=500100            -> order 2: 7998399 for 4000000, met 1
    order? 1                                -> none
    wallet a                                -> balance 996 held 0
    purse a                                 -> 4485
    position 1                              -> 7992629 cost 3995515 reserved 0
    """)


def test_an_order_ends_one_of_its_own_and_one_past_its_deadline() -> None:
    """ORD-8: and goes on; if both are true of one, it has expired."""
    told("""
    open x a short 5 limit=400000 gtd until=20  -> order 1: rests 5000000
    open x b short 5 limit=390000 gtd until=10  -> order 2: rests 5000000
    open x a short 5 limit=380000 gtd until=10  -> order 3: rests 5000000
    t=10 open x a long 50 limit=650000      -> order 4: 8930847 for 5145732, self_trade 1, expired 2, expired 3
    order? 1                                -> none
    wallet b                                -> balance 1000 held 0
    """)


def test_an_order_is_taken_back_by_its_account() -> None:
    """ORD-9: all that is left of it; what has ended is closed, and orders are bounded."""
    told("""
    open x a long 5 limit=400000 gtd until=50   -> order 1: rests 5000000
    pull 1 by b                             -> NOT_PERMITTED
    pull 1                                  -> back 5000000
    pull 1                                  -> ORDER_CLOSED order_id=1 bound=
    pull 2                                  -> ORDER_UNKNOWN order_id=2 bound=
    open x a long 5 limit=400000 gtd until=50   -> order 2: rests 5000000
    bound ORDERS_PER_ACCOUNT_MAX 1
    open x a long 5 limit=400000 gtd until=50   -> ORDERS_PER_ACCOUNT_FULL account_id=a bound=1
    open x a long 5                         -> order 3: 8706029 for 4999999
    bound ORDERS_MAX 1
    open x b long 5 limit=400000 gtd until=50   -> ORDERS_FULL account_id=b bound=1
    t=50 sweep                              -> expired 2, done
    wallet a                                -> balance 995 held 0
    """)


def test_each_order_that_opens_makes_one_position() -> None:
    """POS-1: with its number; nothing is netted, and one without shares has ended."""
    told("""
    open x a long 5                         -> order 1: 8706029 for 4999999
    open x a long 5                         -> order 2: 7143593 for 4999999
    open x a short 5                        -> order 3: 14097187 for 4999999
    position 1                              -> 8706029 cost 4999999 reserved 0
    position 2                              -> 7143593 cost 4999999 reserved 0
    position 3                              -> 14097187 cost 4999999 reserved 0
    close 2                                 -> order 4: 7143593 for 3348015
    close 2                                 -> POSITION_CLOSED position_id=2 bound=
    close 9                                 -> POSITION_UNKNOWN position_id=9 bound=
    open x b long 5 limit=100000 gtd until=90   -> order 5: rests 5000000
    close 5                                 -> POSITION_CLOSED
    """)


def test_a_close_is_a_sale_at_the_market() -> None:
    """POS-2: of shares that no order has reserved; never a refund of what they cost."""
    told("""
    open x a long 10                        -> order 1: 15849623 for 9999999
    open x b short 20                       -> order 2: 37004395 for 19999999
    close 1 by b                            -> NOT_PERMITTED
    close 1 shares=15849624                 -> SHARES_INSUFFICIENT microshares=15849624 bound=15849623
    close 1 shares=10000000 limit=900000 gtd until=90  -> order 3: rests 10000000
    close 1 shares=5849624                  -> SHARES_INSUFFICIENT microshares=5849624 bound=5849623
    close 1                                 -> order 4: 5849623 for 931093
    close 1                                 -> SHARES_INSUFFICIENT microshares=0 bound=0
    """)


def test_every_close_pays_the_exit_fee() -> None:
    """POS-3: rounded up, whichever way the shares are sold; the market keeps it."""
    told("""
    artifact y 10 closes=900 exposure=1000000 fee=50000
    open y a long 10                        -> order 1: 15849623 for 9999999
    close 1 shares=1000001                  -> order 2: 1000001 for 743428 fee 37172
    close 1 shares=1000000 limit=800000 gtd until=90  -> order 3: rests 1000000
    open y b long 30                        -> order 4: 34096266 for 29999999, met 3
    pool y                                  -> 48456570 fees 77172
    """)


def test_a_close_in_part_takes_its_part_of_the_cost() -> None:
    """POS-4: rounded down, so the last share takes what is left of it."""
    told("""
    open x a long 10                        -> order 1: 15849623 for 9999999
    close 1 shares=5283207                  -> order 2: 5283207 for 3770303
    position 1                              -> 10566416 cost 6666667 reserved 0
    close 1 shares=1                        -> order 3: 1 for 0
    position 1                              -> 10566415 cost 6666667 reserved 0
    close 1                                 -> order 4: 10566415 for 6229696
    """)


def test_an_account_commits_no_more_than_a_part_of_its_wealth() -> None:
    """POS-5: by cost, with what rests, so that no price can widen it."""
    told("""
    artifact y 10 closes=900 exposure=100000
    open y a long 101                       -> EXPOSURE_EXCEEDED amount_tokens=101 bound=100
    open y a long 60                        -> order 1: 69886845 for 59999999
    open y a short 30 limit=1000 gtd until=90   -> order 2: rests 30000000
    position 1                              -> 69886845 cost 59999999 reserved 0
    open y a short 60                       -> EXPOSURE_EXCEEDED amount_tokens=60 bound=10
    """)


def test_positions_and_orders_are_bounded_together() -> None:
    """POS-6: for an account, an artifact and the shard, when one opens."""
    told("""
    open x a long 5 limit=600000 gtd until=90   -> order 1: 5849625 for 3219281, rests 1780719
    bound POSITIONS_PER_ACCOUNT_MAX 2
    open x a long 1                         -> POSITIONS_PER_ACCOUNT_FULL account_id=a bound=2
    bound POSITIONS_PER_ACCOUNT_MAX 9
    bound POSITIONS_PER_ARTIFACT_MAX 2
    open x b long 1                         -> POSITIONS_PER_ARTIFACT_FULL artifact_id=x bound=2
    bound POSITIONS_PER_ARTIFACT_MAX 9
    bound POSITIONS_MAX 2
    open x b long 1                         -> POSITIONS_FULL artifact_id=x bound=2
    close 1                                 -> order 2: 5849625 for 3219281, self_trade 1
    """)
