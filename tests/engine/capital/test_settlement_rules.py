"""The rules STL and PRC, told in the table language.

Goal: the pool pays what was promised, once, to everybody, and nobody can hold it up for ever. Method: one script a
sentence of a rule.
"""

from tests.support.script import Script, play

WORLD = """
account a agent 1000
account b agent 1000
account j agent 1000
mint lmsr_subsidy_pool 100
artifact x 10 closes=900 exposure=1000000 fee=0 arbiter=j
open x a long 10 -> order 1: 15849623 for 9999999
open x b short 4 limit=300000 gtd until=800 -> order 2: 3625698 for 995356, rests 3004644
"""


def told(text: str) -> Script:
    return play(WORLD + text)


def test_a_market_is_settled_once() -> None:
    """STL-1: by staff or the arbiter, and for ever."""
    told("""
    judge x validated by a                  -> NOT_PERMITTED
    judge y validated                       -> ARTIFACT_MARKET_UNKNOWN
    t=5 judge x validated by j              -> settled validated 1000000, settled 2, paid 1=15849623 2=0, closed 5145732
    judge x deprecated                      -> ARTIFACT_SETTLED artifact_id=x bound=
    freeze x until=9                        -> ARTIFACT_SETTLED
    open x a long 1                         -> ARTIFACT_SETTLED
    artifact x 1 closes=900                 -> ARTIFACT_MARKET_EXISTS
    """)


def test_each_state_has_its_price_or_one_that_is_named() -> None:
    """STL-2: within its range."""
    told("""
    judge x validated price=699999          -> SETTLE_PRICE_RANGE price_micros=699999 bound=700000
    judge x flagged price=300000            -> SETTLE_PRICE_RANGE
    judge x deprecated price=100000         -> SETTLE_PRICE_RANGE
    judge x void price=0                    -> SETTLE_PRICE_RANGE price_micros=0 bound=none
    judge x flagged                 -> settled flagged 250000, settled 2, paid 1=3962405 2=2719273, closed 14313677
    artifact y 1 closes=900
    judge y deprecated                      -> settled deprecated 0, closed 1000000
    artifact z 1 closes=900
    judge z validated price=700000          -> settled validated 700000, closed 1000000
    """)


def test_a_position_is_paid_by_its_shares() -> None:
    """STL-3: a long one at the price, a short one at the rest; what remains goes to the subsidy pool."""
    told("""
    judge x flagged price=123456    -> settled flagged 123456, settled 2, paid 1=1956731 2=3178083, closed 15860541
    wallet a                                -> balance 991 held 0
    wallet b                                -> balance 1002 held 0
    wallet lmsr_subsidy_pool                -> balance 105 held 0
    """)


def test_a_settlement_ends_orders_and_pays_positions_in_bounded_steps() -> None:
    """STL-4: first the orders, by number, then the positions; the rest by sweeps."""
    told("""
    bound SWEEP_ITEMS_MAX 1
    open x b short 3 limit=200000 gtd until=800 -> order 3: rests 3000000
    t=5 judge x validated                   -> settled validated 1000000, settled 2
    pull 3                                  -> ARTIFACT_SETTLED
    close 1                                 -> ARTIFACT_SETTLED
    sweep                                   -> settled 3, more
    sweep                                   -> paid 1=15849623, more
    sweep                                   -> paid 2=0, closed 5145732, done
    sweep                                   -> done
    """)


def test_at_the_closing_date_nothing_trades_and_the_sweep_settles() -> None:
    """STL-5: at the average price, as `listed`."""
    told("""
    bound AVERAGE_HALF_LIFE_US 100
    t=900 open x a long 1                   -> ARTIFACT_CLOSED artifact_id=x bound=900
    price x                                 -> 700000 average 699609
    sweep                                   -> expired 2, more
    sweep                                   -> settled x listed 699609, paid 1=11088538 2=1089127, closed 8817690, done
    """)


def test_a_void_market_pays_back_what_positions_have_cost() -> None:
    """STL-6: where there is enough for all of it."""
    told("""
    judge x void                            -> settled void none, settled 2, paid 1=9999999 2=995356, closed 10000000
    wallet a                                -> balance 1000 held 0
    wallet b                                -> balance 1000 held 0
    wallet lmsr_subsidy_pool                -> balance 100 held 0
    """)


def test_void_with_less_than_the_costs_is_shared_by_cost() -> None:
    """STL-6: the same part of it to each; what others have realised before stays theirs."""
    told("""
    artifact y 10 closes=900 exposure=1000000 fee=0
    open y a long 10                        -> order 3: 15849623 for 9999999
    open y b long 50                        -> order 4: 54037221 for 49999999
    close 3                                 -> order 5: 15849623 for 15625945
    open y a short 10                       -> order 6: 54703197 for 9999999
    open y b short 50                       -> order 7: 59448936 for 49999999
    close 6                                 -> order 8: 54703197 for 47378696
    pool y                                  -> 66995355 fees 0
    judge y void                            -> settled void none, paid 4=33497677 7=33497677, closed 1
    """)


def test_a_frozen_market_opens_again_by_itself() -> None:
    """STL-7: until a time that is not too far; orders may be cancelled and expire meanwhile, and the average stands."""
    told("""
    bound FREEZE_US_MAX 100
    bound AVERAGE_HALF_LIFE_US 100
    unfreeze x                              -> ARTIFACT_NOT_FROZEN artifact_id=x bound=open
    freeze x until=0                        -> TTL_PAST until_us=0 bound=0
    freeze x until=101                      -> UNTIL_TOO_FAR until_us=101 bound=100
    freeze x until=50 by a                  -> NOT_PERMITTED
    freeze x until=50 by j
    price x                                 -> 700000 average 500000
    t=40 open x a long 1                    -> ARTIFACT_FROZEN artifact_id=x bound=50
    close 1                                 -> ARTIFACT_FROZEN
    price x                                 -> 700000 average 500000
    pull 2                                  -> back 3004644
    t=50 close 1                            -> ARTIFACT_FROZEN
    sweep                                   -> opened x, done
    close 1 shares=1000000                  -> order 3: 1000000 for 692655
    freeze x until=60
    unfreeze x by j
    close 1 shares=1000000                  -> order 4: 1000000 for 677708
    """)


def test_who_judges_an_artifact_holds_no_part_of_it() -> None:
    """STL-8: the arbiter may settle and freeze, and never trade."""
    told("""
    open x j long 1                         -> CONFLICT_OF_INTEREST account_id=j bound=not the arbiter
    open x j long 1 by admin                -> CONFLICT_OF_INTEREST
    """)


def test_the_arbiter_is_an_account() -> None:
    """STL-8, Precisely: that there is."""
    told("""
    artifact y 1 closes=900 arbiter=ghost   -> ACCOUNT_UNKNOWN arbiter_id=ghost bound=
    artifact y 1 closes=900 arbiter=b
    judge y void by b                       -> settled void none, closed 1000000
    """)


def test_a_settlement_with_a_dispute_window_is_announced_first() -> None:
    """STL-9: announced anew it waits anew; freezing takes it back, and the sweep carries it out."""
    told("""
    artifact y 10 closes=900 exposure=1000000 fee=0 window=20
    open y a long 10                        -> order 3: 15849623 for 9999999
    judge y validated                       -> announced until 20
    open y a long 10                        -> ARTIFACT_FROZEN artifact_id=y bound=20
    unfreeze y                              -> ARTIFACT_NOT_FROZEN artifact_id=y bound=announced
    t=10 judge y deprecated                 -> announced until 30
    t=20 sweep                              -> done
    freeze y until=25
    t=30 sweep                              -> opened y, done
    judge y flagged                         -> announced until 50
    t=50 sweep                              -> settled y flagged 250000, paid 3=3962405, closed 16037594, done
    """)


def test_the_average_price_counts_each_price_for_its_time() -> None:
    """PRC-1: half of what a price has moved counts after so long; it begins at one half."""
    told("""
    bound AVERAGE_HALF_LIFE_US 100
    price x                                 -> 700000 average 500000
    t=100 open x a long 1                   -> order 3: 1428571 for 1000000, met 2
    price x                                 -> 700000 average 600000
    t=200 freeze x until=300
    price x                                 -> 700000 average 650000
    """)
