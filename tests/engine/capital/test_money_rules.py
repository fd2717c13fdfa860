"""The rules CAP and LMSR, told in the table language.

Goal: whole tokens move, no fraction is lost, and what the maker can lose is paid before it trades. Method: one script a
sentence of a rule; every line is followed by CAP-2, exactly.
"""

from callmarket.engine.capital.events import SharesTraded
from callmarket.engine.events import TransferPosted
from tests.support.script import Script, play

WORLD = """
account a agent 1000
account b agent 1000
account q quest 1000
account p provider 1000
mint lmsr_subsidy_pool 100
"""


def told(text: str) -> Script:
    return play(WORLD + text)


def test_two_more_accounts_exist_always() -> None:
    """CAP-1: the escrow is no party to anything but artifact markets; into the subsidy pool anybody pays."""
    told("""
    account capital_escrow agent            -> NAME_RESERVED
    account lmsr_subsidy_pool agent         -> NAME_RESERVED
    wallet capital_escrow                   -> balance 0 held 0
    mint capital_escrow 5                   -> ACCOUNT_KIND
    burn capital_escrow 5                   -> ACCOUNT_KIND
    transfer a capital_escrow 5             -> ACCOUNT_KIND
    transfer capital_escrow a 5 by admin    -> ACCOUNT_KIND
    hold h capital_escrow 5 by admin        -> ACCOUNT_KIND
    hold h a 5
    capture h capital_escrow                -> ACCOUNT_KIND
    market m
    slot s provider=capital_escrow          -> ACCOUNT_KIND
    transfer a lmsr_subsidy_pool 5
    wallet lmsr_subsidy_pool                -> balance 105 held 0
    """)


def test_agents_and_quests_trade_and_nobody_else() -> None:
    """CAP-1: of accounts that own tokens."""
    told("""
    artifact x 10 closes=900 exposure=1000000
    open x q long 1                         -> order 1: 1935153 for 999999
    open x p long 1                         -> ACCOUNT_KIND account_id=p bound=agent or quest
    open x treasury long 1 by admin         -> ACCOUNT_KIND account_id=treasury bound=agent or quest
    open x ghost long 1                     -> ACCOUNT_UNKNOWN account_id=ghost bound=
    """)


def test_every_microtoken_in_escrow_is_somebodys() -> None:
    """CAP-2: pool and fees, purses, and what resting orders have of a started token; each line is checked for it."""
    told("""
    artifact x 10 closes=900 exposure=1000000 fee=50000
    open x a long 10                        -> order 1: 15849623 for 9999999
    open x b short 3 limit=250003 gtd until=50  -> order 2: 228 for 57, rests 2999943
    open x q long 2                         -> order 3: 2666677 for 2000000, met 2
    close 1 shares=1234567                  -> order 4: 1234567 for 915877 fee 45794
    pool x                                  -> 21750856 fees 45794
    purse a                                 -> 870084
    purse b                                 -> 0
    purse q                                 -> 0
    order? 2                                -> 2333266
    wallet capital_escrow                   -> balance 23 held 0
    """)


def test_a_started_token_is_in_the_purse() -> None:
    """CAP-3: what is left of a token stays the account's, and pays for the next trade."""
    told("""
    artifact x 10 closes=900 exposure=1000000 fee=0
    open x a long 3 limit=500001            -> order 1: 57 for 29
    purse a                                 -> 999971
    wallet a                                -> balance 999 held 0
    close 1                                 -> order 2: 57 for 29
    purse a                                 -> 0
    wallet a                                -> balance 1000 held 0
    """)


def test_flows_of_a_command_are_summed_by_account_and_artifact() -> None:
    """CAP-3, Precisely: who pays, before who is paid; a transfer has the artifact as its reference, and a reason."""
    script = told("""
    artifact x 10 closes=900 exposure=1000000
    open x b long 10                        -> order 1: 15849623 for 9999999
    close 1 limit=800000 gtd until=99       -> order 2: rests 15849623
    open x a long 60                        -> order 3: 67183940 for 59999999, met 2
    t=10 judge x void                       -> settled void none, paid 3=59999999, closed 7954285
    mint a 5 reason=capital:trade           -> REASON_RESERVED
    transfer a b 5 reason=capital:settle    -> REASON_RESERVED
    hold h a 5 reason=capital:subsidy       -> REASON_RESERVED
    """)
    moved = [one for one in script.all(TransferPosted) if one.reference_type == "artifact"]
    assert {one.reference_id for one in moved} == {"x"}
    assert [(one.debit_account_id, one.credit_account_id, one.reason) for one in moved] == [
        ("lmsr_subsidy_pool", "capital_escrow", "capital:subsidy"),
        ("b", "capital_escrow", "capital:trade"),
        ("a", "capital_escrow", "capital:trade"),
        ("capital_escrow", "b", "capital:trade"),
        ("capital_escrow", "a", "capital:settle"),
        ("capital_escrow", "lmsr_subsidy_pool", "capital:settle"),
    ]


def test_a_market_is_opened_with_its_subsidy() -> None:
    """LMSR-1: paid from the subsidy pool, once, with a closing date, by staff; the price is one half."""
    told("""
    artifact x 101 closes=900               -> SUBSIDY_EXHAUSTED subsidy_tokens=101 bound=100
    t=5 artifact x 10 closes=5              -> TTL_PAST closes_at_us=5 bound=5
    artifact x 10 closes=6 by a             -> NOT_PERMITTED
    artifact x 10 closes=900 arbiter=ghost  -> ACCOUNT_UNKNOWN arbiter_id=ghost bound=
    artifact x 10 closes=900
    artifact x 10 closes=900                -> ARTIFACT_MARKET_EXISTS artifact_id=x bound=
    wallet lmsr_subsidy_pool                -> balance 90 held 0
    price x                                 -> 500000 average 500000
    pool x                                  -> 10000000 fees 0
    decay y                                 -> ARTIFACT_MARKET_UNKNOWN artifact_id=y bound=
    hold h lmsr_subsidy_pool 85 by admin
    artifact y 6 closes=900                 -> SUBSIDY_EXHAUSTED subsidy_tokens=6 bound=5
    bound ARTIFACT_MARKETS_MAX 1
    artifact y 5 closes=900                 -> ARTIFACT_MARKETS_FULL artifact_id=y bound=1
    """)


def test_a_trade_costs_what_the_pool_has_more() -> None:
    """LMSR-2, LMSR-3: spending the subsidy from one half brings the price to three quarters."""
    told("""
    artifact x 10 closes=900 exposure=1000000 fee=0
    open x a long 10                        -> order 1: 15849623 for 9999999
    pool x                                  -> 19999999 fees 0
    price x                                 -> 750000 average 500000
    close 1                                 -> order 2: 15849623 for 9999999
    pool x                                  -> 10000000 fees 0
    """)


def test_no_trade_moves_the_price_beyond_its_bounds() -> None:
    """LMSR-4: to 0.999 of a side and not beyond, however many tokens are offered."""
    told("""
    artifact x 10 closes=900 exposure=1000000 fee=0
    open x a long 1000                      -> order 1: 99643408 for 89657843
    price x                                 -> 999000 average 500000
    open x b long 1                         -> UNFILLABLE time_in_force=ioc bound=1000000
    open x b short 1000                     -> order 2: 199286816 for 99643408
    price x                                 -> 1000 average 500000
    """)


def test_a_side_has_no_more_than_so_many_shares() -> None:
    """LMSR-5: a fill stops there, and the order with it; what is left does not rest."""
    told("""
    bound SIDE_MICROSHARES_MAX 5000000
    artifact x 10 closes=900 exposure=1000000 fee=0
    open x a long 10 gtd until=50           -> order 1: 5000000 for 2715534
    open x b long 1                         -> UNFILLABLE
    open x b short 10 limit=400000 gtd until=50  -> order 2: rests 10000000
    open x a long 10 limit=600000           -> UNFILLABLE
    """)


def test_the_loss_of_the_maker_is_bounded() -> None:
    """LMSR-6: each receipt says what the pool pays either way, and what of the subsidy can be lost."""
    script = told("""
    artifact x 10 closes=900 exposure=1000000
    open x a long 100                       -> order 1: 99643408 for 89657843
    t=5 judge x validated                   -> settled validated 1000000, paid 1=99643408, closed 14435
    wallet lmsr_subsidy_pool                -> balance 90 held 0
    """)
    (receipt,) = script.all(SharesTraded)
    assert receipt.loss_bound_microtokens == 10_000_000
    assert receipt.pool_microtokens > receipt.long_microshares > receipt.pool_microtokens - 20_000


def test_a_round_trip_earns_nothing_and_a_microshare_costs_a_microtoken_at_most() -> None:
    """LMSR-7, LMSR-8: `tests/properties` tries them for every subsidy and price."""
    told("""
    artifact x 1 closes=900 exposure=1000000 fee=0
    open x a long 1 limit=500001            -> order 1: 5 for 3
    open x a short 1 limit=500000           -> order 2: 5 for 2
    close 1                                 -> order 3: 5 for 2
    close 2                                 -> order 4: 5 for 3
    pool x                                  -> 1000000 fees 0
    """)


CALM = """
bound DECAY_PRICES 2
bound DECAY_INTERVAL_US 10
artifact x 10 closes=900 exposure=1000000 fee=0 decay=1000000 floor=250000
"""


def test_staff_decay_the_liquidity_of_a_calm_market() -> None:
    """LMSR-9: at the same price; what the pool needs no more goes to the subsidy pool."""
    told(
        CALM
        + """
    open x a long 10                        -> order 1: 15849623 for 9999999
    open x a long 1                         -> order 2: 1318500 for 999999
    price x                                 -> 766742 average 500000
    t=10 decay x                            -> subsidy 3709718, back 2410357
    price x                                 -> 766742 average 500000
    purse lmsr_subsidy_pool                 -> 410357
    wallet lmsr_subsidy_pool                -> balance 92 held 0
    open x a long 1                         -> order 3: 1270534 for 999999
    """
    )


def test_a_decay_is_due_after_so_many_trades_and_so_long() -> None:
    """LMSR-9, Precisely: and only where S falls, to no less than a token, and the market trades."""
    told(
        CALM
        + """
    decay x by a                            -> NOT_PERMITTED
    decay x                                 -> DECAY_NOT_DUE trades=0 bound=2
    open x a long 1                         -> order 1: 1935153 for 999999
    open x a short 1                        -> order 2: 2064552 for 999999
    t=9 decay x                             -> DECAY_NOT_DUE at_us=9 bound=10
    t=10 decay x                            -> subsidy 3745095, back 6214527
    t=19 decay x                            -> DECAY_NOT_DUE at_us=19 bound=20
    t=20 decay x                            -> DECAY_NOT_DUE subsidy_microtokens=3745095 bound=less
    freeze x until=50
    decay x                                 -> ARTIFACT_FROZEN
    unfreeze x
    artifact y 1 closes=900 exposure=1000000 decay=10000000 floor=0
    open y a long 1 limit=500001            -> order 3: 5 for 3
    open y a long 1 limit=500002            -> order 4: 6 for 3
    t=40 decay y                            -> DECAY_NOT_DUE subsidy_microtokens=1000000 bound=less
    t=900 decay x                           -> ARTIFACT_CLOSED artifact_id=x bound=900
    judge x void                            -> settled void none, paid 1=999999 2=999999, closed 3785473
    decay x                                 -> ARTIFACT_SETTLED
    """
    )


def test_nobody_adds_liquidity_or_takes_it_out() -> None:
    """LMSR-10: a second subsidy is refused, and paying the escrow is too."""
    told("""
    artifact x 10 closes=900
    artifact x 20 closes=900                -> ARTIFACT_MARKET_EXISTS
    transfer a capital_escrow 5             -> ACCOUNT_KIND
    pool x                                  -> 10000000 fees 0
    """)
