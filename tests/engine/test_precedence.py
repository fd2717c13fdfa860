"""Where several refusals apply, the one declared first is given.

Goal: the order of `engine/reject.py` is the order of precedence. Method: a chain a command: its first line has all
faults, each next line mends the one that was named. So each line but the last proves an order among what is still
wrong, and the test holds the reasons against their declared order. LED-6, IDM-1.
"""

from itertools import pairwise
from typing import get_args

import pytest

from callmarket.engine.commands import Command
from callmarket.engine.reject import Reject
from tests.engine.capital import chains
from tests.support.script import VERBS, play

ORDER = [reason.value for reason in Reject]

WORLD = """
market m lease=100
account a agent 100
account b agent 100
account p provider 100
t=10 sweep -> done
"""

CHAINS = {
    "bid: a new task": """
        bid ghost t 900 gtd market=none id=k by b -> MARKET_UNKNOWN
        bid ghost t 900 gtd market=none id=k by b -> repeated 9
        bid ghost t 901 gtd market=none id=k by b -> COMMAND_ID_REUSED
        bid ghost t 900 gtd market=none by b -> MARKET_UNKNOWN
        bid ghost t 900 gtd by b -> ACCOUNT_UNKNOWN
        bid p t 900 gtd by b     -> NOT_PERMITTED
        bid p t 900 gtd          -> ACCOUNT_KIND
        bid a t 900 gtd          -> TTL_MISSING
        bid a t 900 gtd ttl=99   -> FUNDS_INSUFFICIENT
        """,
    "bid: a task that has an award and a bid, and every bound reached": """
        bound BIDS_PER_BIDDER_MAX 1
        bound BIDS_PER_MARKET_MAX 2
        slot s1
        bid b t 9 -> bid 1
        bid a t 8 gtd ttl=99 -> bid 2
        clear -> prices: 1@s1=8
        bid b u 8 gtd ttl=99 -> bid 3
        bid p t 900 ttl=10 -> ACCOUNT_KIND
        bid a t 900 ttl=10 -> TTL_PAST
        bid a t 900 -> TASK_AWARDED
        void s1 -> released 8
        bid a t 900 -> TASK_BID_OPEN
        bid a v 900 -> BIDS_PER_BIDDER_FULL
        cancel 2 -> released 8
        account c agent
        bid c w 7 -> FUNDS_INSUFFICIENT
        mint c 7
        bid c w 7 -> bid 4
        bid a v 900 -> BIDS_PER_MARKET_FULL
        cancel 4 -> released 7
        bid a v 900 -> FUNDS_INSUFFICIENT
        """,
    "bid: its deadline counts before the task's award": """
        slot s1
        bid b t 9 -> bid 1
        clear -> price 0: 1@s1
        bid a t 900 gtd -> TTL_MISSING
        bid a t 900 gtd ttl=99 -> TASK_AWARDED
        void s1 -> released 0
        bid a t 900 gtd ttl=99 -> FUNDS_INSUFFICIENT
        """,
    "amend: of an open bid": """
        bid b t 9 ttl=50 -> bid 1
        cancel 1 -> released 9
        bid a t 9 ttl=50 -> bid 2
        amend 3 by b -> BID_UNKNOWN
        amend 1 by b -> BID_CLOSED
        amend 2 price=900 ttl=10 by b -> NOT_PERMITTED
        amend 2 price=900 ttl=10 -> TTL_PAST
        amend 2 price=900 -> FUNDS_INSUFFICIENT
        """,
    "amend: with nothing": """
        slot s1
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        amend 1 by b -> NOT_PERMITTED
        amend 1 -> AMENDMENT_EMPTY
        amend 1 price=900 -> BID_WON
        """,
    "amend: of a won bid": """
        slot s1
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        amend 1 ttl=10 by b -> NOT_PERMITTED
        amend 1 ttl=10 -> TTL_PAST
        amend 1 price=900 -> BID_WON
        """,
    "amend: of an expired bid": """
        bid a t 9 ttl=20 -> bid 1
        t=20 amend 1 by b -> NOT_PERMITTED
        amend 1 -> AMENDMENT_EMPTY
        amend 1 price=900 -> BID_EXPIRED
        """,
    "amend: of a lost bid": """
        bound LOSERS_PER_CALL_MAX 0
        bid a t 9 ttl=20 -> bid 1
        clear -> no sale, later 1
        t=20 amend 1 ttl=20 price=900 -> TTL_PAST
        amend 1 price=900 -> BID_LOST
        """,
    "cancel": """
        slot s1
        bid a t 9 -> bid 1
        bid a u 7 gtd ttl=50 -> bid 2
        bid a v 5 gtd ttl=50 -> bid 3
        cancel 3 -> released 5
        clear -> price 7: 1@s1
        cancel 4 by b -> BID_UNKNOWN
        cancel 3 by b -> BID_CLOSED
        cancel 1 by b -> NOT_PERMITTED
        cancel 1      -> BID_WON
        t=50 sweep    -> expired 2, done
        cancel 2 by b -> BID_CLOSED
        """,
    "cancel: of an expired bid": """
        bid a t 9 ttl=20 -> bid 1
        t=20 cancel 1 by b -> NOT_PERMITTED
        cancel 1 -> BID_EXPIRED
        """,
    "cancel: of a lost bid": """
        bound LOSERS_PER_CALL_MAX 0
        bid a t 9 -> bid 1
        clear -> no sale, later 1
        cancel 1 by b -> NOT_PERMITTED
        cancel 1 -> BID_LOST
        """,
    "clear": """
        clear none by a -> MARKET_UNKNOWN
        clear m by a    -> NOT_PERMITTED
        """,
    "sweep": """
        sweep id=k by a -> NOT_PERMITTED
        sweep id=k by a -> repeated 9
        clear id=k by a -> COMMAND_ID_REUSED
        sweep by a -> NOT_PERMITTED
        """,
    "settle: an awarded slot": """
        slot s1 provider=p
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        t=110 settle none award=7 by b -> SLOT_UNKNOWN
        settle s1 award=7 by b -> NOT_PERMITTED
        settle s1 award=7 by a -> AWARD_STALE
        settle s1 award=1 by a -> LEASE_EXPIRED
        """,
    "settle: a settled slot": """
        slot s1 provider=p
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        settle s1 -> moved nothing
        t=110 settle s1 award=7 by b -> NOT_PERMITTED
        settle s1 award=7 -> AWARD_STALE
        settle s1 award=1 -> SLOT_SETTLED
        """,
    "settle: a slot that nobody has": """
        slot s1 provider=p
        settle s1 award=7 by b -> NOT_PERMITTED
        settle s1 award=7 -> AWARD_STALE
        settle s1 -> SLOT_NOT_AWARDED
        """,
    "void: an awarded slot": """
        slot s1 provider=p
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        t=110 void none award=7 by a -> SLOT_UNKNOWN
        void s1 award=7 by a -> NOT_PERMITTED
        void s1 award=7 by p -> AWARD_STALE
        void s1 award=1 by p -> LEASE_EXPIRED
        """,
    "void: a voided slot": """
        slot s1 provider=p
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        void s1 -> released 0
        t=110 void s1 award=7 by a -> NOT_PERMITTED
        void s1 award=7 -> AWARD_STALE
        void s1 -> SLOT_VOIDED
        """,
    "void: a lapsed slot": """
        slot s1 provider=p
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        t=110 sweep -> lapsed 1@s1=0, done
        void s1 award=7 by a -> NOT_PERMITTED
        void s1 award=7 -> AWARD_STALE
        void s1 award=1 -> SLOT_LAPSED
        """,
    "withdraw": """
        slot s1 provider=p
        bid a t 9 -> bid 1
        clear -> price 0: 1@s1
        withdraw none by a -> SLOT_UNKNOWN
        withdraw s1 by a   -> NOT_PERMITTED
        withdraw s1 by p   -> SLOT_AWARDED
        """,
    "withdraw: twice": """
        slot s1 provider=p
        withdraw s1 by p
        withdraw s1 by a -> NOT_PERMITTED
        withdraw s1 by p -> SLOT_WITHDRAWN
        """,
    "slot": """
        bound SLOTS_LIVE_PER_MARKET_MAX 2
        bound SLOTS_PER_PROVIDER_MAX 1
        slot s0 provider=p
        slot s1
        slot s1 provider=ghost market=none by b -> MARKET_UNKNOWN
        slot s1 provider=ghost by b -> ACCOUNT_UNKNOWN
        slot s1 provider=issuance by b -> NOT_PERMITTED
        slot s0 provider=p -> SLOT_EXISTS
        slot s1 provider=issuance -> ACCOUNT_KIND
        slot s1 provider=p -> SLOTS_PER_PROVIDER_FULL
        slot s2 -> SLOTS_FULL
        """,
    "account": """
        bound ACCOUNTS_MAX 7
        account treasury agent by b -> NOT_PERMITTED
        account treasury agent -> NAME_RESERVED
        account a agent -> ACCOUNT_EXISTS
        account c agent -> ACCOUNTS_FULL
        """,
    "market": """
        bound MARKETS_MAX 1
        market m by b -> NOT_PERMITTED
        market m -> MARKET_EXISTS
        market n -> MARKETS_FULL
        """,
    "mint": """
        bound EARNINGS_MAX 1
        mint a 1 reason=earn:x ref=1
        mint ghost 9007199254740991 reason=earn:x by b -> ACCOUNT_UNKNOWN
        mint issuance 9007199254740991 reason=earn:x by b -> NOT_PERMITTED
        mint issuance 9007199254740991 reason=settle:slot by b -> NOT_PERMITTED
        mint issuance 9007199254740991 reason=settle:slot -> REASON_RESERVED
        mint issuance 9007199254740991 reason=earn:x -> ACCOUNT_KIND
        mint a 9007199254740991 reason=earn:x -> REFERENCE_MISSING
        mint a 9007199254740991 reason=earn:x ref=1 -> EARNING_DUPLICATE
        mint a 9007199254740991 reason=earn:x ref=2 -> EARNINGS_FULL
        mint a 9007199254740991 reason=x ref=2 -> SUPPLY_EXCEEDED
        """,
    "burn": """
        burn ghost 900 by b -> ACCOUNT_UNKNOWN
        burn issuance 900 by b -> NOT_PERMITTED
        burn issuance 900 reason=settle:slot by b -> NOT_PERMITTED
        burn issuance 900 reason=settle:slot -> REASON_RESERVED
        burn issuance 900 -> ACCOUNT_KIND
        burn a 900 -> FUNDS_INSUFFICIENT
        """,
    "transfer": """
        bound EARNINGS_MAX 1
        mint a 1 reason=earn:x ref=1
        transfer ghost issuance 900 reason=earn:x by b -> ACCOUNT_UNKNOWN
        transfer issuance ghost 900 reason=earn:x by b -> ACCOUNT_UNKNOWN
        transfer issuance issuance 900 reason=earn:x by b -> NOT_PERMITTED
        transfer a a 900 reason=earn:x by a -> NOT_PERMITTED
        transfer issuance issuance 900 reason=settle:slot by b -> NOT_PERMITTED
        transfer issuance issuance 900 reason=settle:slot by admin -> REASON_RESERVED
        transfer issuance issuance 900 reason=earn:x by admin -> ACCOUNT_KIND
        transfer a a 900 reason=earn:x by admin -> SAME_ACCOUNT
        transfer b a 900 reason=earn:x by admin -> REFERENCE_MISSING
        transfer b a 900 reason=earn:x ref=1 by admin -> EARNING_DUPLICATE
        transfer b a 900 reason=earn:x ref=2 by admin -> EARNINGS_FULL
        transfer b a 900 reason=x -> FUNDS_INSUFFICIENT
        """,
    "hold": """
        bound HOLDS_PER_ACCOUNT_MAX 1
        bound HOLDS_MAX 2
        hold h a 10
        hold h ghost 900 reason=earn:x until=10 by b -> ACCOUNT_UNKNOWN
        hold h issuance 900 reason=earn:x until=10 by b -> NOT_PERMITTED
        hold h a 900 reason=earn:x until=10 by a -> NOT_PERMITTED
        hold h issuance 900 reason=settle:slot until=10 by b -> NOT_PERMITTED
        hold h issuance 900 reason=settle:slot until=10 by admin -> REASON_RESERVED
        hold h a 900 reason=earn:x until=10 by admin -> HOLD_EXISTS
        hold k issuance 900 reason=earn:x until=10 by admin -> ACCOUNT_KIND
        hold k a 900 reason=earn:x until=10 by admin -> REFERENCE_MISSING
        hold k a 900 until=10 -> TTL_PAST
        hold k b 10
        hold l a 900 -> HOLDS_PER_ACCOUNT_FULL
        hold l p 900 -> HOLDS_FULL
        release h -> released 10
        hold l p 900 -> FUNDS_INSUFFICIENT
        """,
    "capture: of an open hold": """
        bound EARNINGS_MAX 1
        mint b 1 reason=earn:x ref=1
        hold h a 10 reason=earn:x ref=1 by admin
        hold k a 10 reason=earn:x ref=2 by admin
        capture none ghost amount=11 by b -> ACCOUNT_UNKNOWN
        capture none issuance amount=11 by b -> HOLD_UNKNOWN
        capture h issuance amount=11 by b -> NOT_PERMITTED
        capture h issuance amount=11 -> ACCOUNT_KIND
        capture h a amount=11 -> SAME_ACCOUNT
        capture h b amount=11 -> EARNING_DUPLICATE
        capture k b amount=11 -> EARNINGS_FULL
        release h -> released 10
        hold l a 10
        capture h ghost -> ACCOUNT_UNKNOWN
        capture l b amount=11 -> HOLD_EXCEEDED
        """,
    "capture: of a bound hold": """
        hold h a 10 reason=stake type=artifact ref=x
        bind stake artifact x
        capture h b by b -> NOT_PERMITTED
        capture h a -> SAME_ACCOUNT
        capture h b amount=11 -> HOLD_BOUND
        """,
    "release: of a bound hold": """
        hold h a 10 reason=stake type=artifact ref=x until=30
        bind stake artifact x
        release h by b -> NOT_PERMITTED
        release h -> HOLD_BOUND
        """,
    "bind": """
        bound HOLD_BINDINGS_MAX 1
        bind stake artifact x
        bind bounty artifact x by b -> NOT_PERMITTED
        bind bounty artifact x -> HOLD_BINDINGS_FULL
        """,
    "capture: of a captured hold": """
        hold h a 10 reason=earn:x ref=1 by admin
        capture h b -> paid 10 to b
        capture h a by b -> NOT_PERMITTED
        capture h a -> SAME_ACCOUNT
        capture h b -> HOLD_CAPTURED
        """,
    "capture: of an expired hold": """
        hold h a 10 until=20
        t=20 capture h a amount=11 -> SAME_ACCOUNT
        capture h b amount=11 -> HOLD_EXPIRED
        """,
    "transfer: without room for what it would be known by": """
        bound RETRIES_PER_ACCOUNT_MAX 1
        transfer a b 1 id=k1
        transfer a b 100 id=k2 -> FUNDS_INSUFFICIENT
        transfer a b 99 id=k3 -> RETRIES_FULL
        """,
    "release": """
        hold h a 10
        release none by b -> HOLD_UNKNOWN
        release h by b -> NOT_PERMITTED
        release h -> released 10
        release h by b -> NOT_PERMITTED
        release h -> HOLD_RELEASED
        """,
    "history": """
        history after=5 by operator -> NOT_PERMITTED
        history by operator -> NOT_PERMITTED
        history after=5 -> HISTORY_CONTINUES
        """,
} | chains.CHAINS


def runs_of_reasons(chain: str) -> list[list[str]]:
    """The refusals of a chain, cut where something else happens between them."""
    runs: list[list[str]] = [[]]
    for line in chain.strip().splitlines():
        result = line.partition(" -> ")[2].strip()
        if result in ORDER:
            runs[-1].append(result)
        else:
            runs.append([])
    return [run for run in runs if len(run) > 1]


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_the_refusal_declared_first_is_given(chain: str) -> None:
    """LED-6, IDM-1 and every rule that refuses: mending one fault brings out the next one in the declared order."""
    play(WORLD + chain)


def test_the_chains_follow_the_declared_order() -> None:
    """LED-6: a chain that went against `Reject` would prove the wrong order."""
    for name, chain in CHAINS.items():
        for reasons in runs_of_reasons(chain):
            places = [ORDER.index(reason) for reason in reasons]
            assert all(one <= two for one, two in pairwise(places)), (name, reasons)


def test_a_chain_stands_for_every_command() -> None:
    assert {VERBS[name.partition(":")[0]].command for name in CHAINS} == set(get_args(Command))


def test_a_reused_id_comes_before_everything() -> None:
    """IDM-1: it never reaches a decision, whatever else is wrong with it."""
    assert ORDER[0] == "COMMAND_ID_REUSED"
    play("""
    sweep id=k -> done
    clear none id=k by operator -> COMMAND_ID_REUSED
    clear none by operator -> MARKET_UNKNOWN
    """)


def test_funds_come_last() -> None:
    """LED-7, LMSR-1, IDM-1: whoever is told of money could have done it with more tokens, or without an id."""
    assert ORDER[-3:] == ["FUNDS_INSUFFICIENT", "SUBSIDY_EXHAUSTED", "RETRIES_FULL"]


def test_every_refusal_stands_in_a_chain() -> None:
    """LED-6: each is given at least once, by a line that holds."""
    given = {line.partition(" -> ")[2].strip() for chain in CHAINS.values() for line in chain.splitlines()}
    assert set(ORDER) <= given
