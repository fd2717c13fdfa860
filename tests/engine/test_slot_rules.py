"""The rules SLT-1 to SLT-3, told in the table language.

Goal: one use of one slot is sold once, and whoever holds an old award cannot end the new one. Method: one script a
sentence of a rule.
"""

import pytest

from callmarket.engine.commands import Entry, WithdrawSlot
from callmarket.engine.events import AwardGranted, AwardSettled, MarketOpened, SlotOffered, SlotWithdrawn
from callmarket.engine.limits import SLOTS_ENDED_KEPT
from tests.support.script import play

WORLD = """
market m
account a agent 1000
account p provider
"""

AWARDED = (
    WORLD
    + """
slot s1 provider=p lease=50 reserve=4
bid a t1 9 -> bid 1
clear -> price 4: 1@s1
"""
)


def test_fields_that_an_offer_omits_come_from_the_market() -> None:
    """SLT-1: reserve and lease from the market, the provider is `treasury`."""
    script = play("""
    market m reserve=7 lease=1000
    account p provider
    slot s1 at=5
    slot s2 at=6 reserve=0 lease=9 provider=p
    """)
    offered = [
        (one.slot_id, one.offer_seq, one.available_at_us, one.reserve_price_tokens, one.provider_id, one.lease_us)
        for one in script.all(SlotOffered)
    ]
    assert offered == [("s1", 3, 5, 7, "treasury", 1000), ("s2", 4, 6, 0, "p", 9)]


def test_the_provider_of_a_slot_may_be_anybody_with_a_wallet() -> None:
    """SLT-1: agents and quests may sell too; who has no account may not."""
    play(
        WORLD
        + """
    account q quest
    slot s1 provider=a
    slot s2 provider=q
    slot s3 provider=treasury
    slot s4 provider=nobody -> ACCOUNT_UNKNOWN provider_id=nobody bound=
    slot s5 market=none -> MARKET_UNKNOWN market_id=none bound=
    """
    )


def test_a_slot_id_is_its_providers_own_whatever_the_market() -> None:
    """SLT-1, Precisely: unique among the slots of one provider."""
    play(
        WORLD
        + """
    market m2
    slot s1
    slot s1 market=m2 -> SLOT_EXISTS slot_id=s1 bound=offered
    slot s1 market=m2 provider=p
    withdraw s1 provider=treasury
    slot s1 market=m2
    slot s1 -> SLOT_EXISTS
    slot s1 provider=p -> SLOT_EXISTS
    """
    )


def test_a_strangers_slot_of_the_same_id_is_another_slot() -> None:
    """SLT-1: it takes nobody's id, and nobody ends by it what another provides or has won."""
    script = play(
        WORLD
        + """
    account stranger provider
    slot gpu-1 provider=stranger reserve=9 by stranger
    slot gpu-1 provider=p reserve=1 lease=50 by p
    bid a t1 10 -> bid 1
    clear -> price 1: 1@gpu-1
    slot? gpu-1 p -> awarded award 1
    slot? gpu-1 stranger -> offered
    withdraw gpu-1 provider=p by stranger -> NOT_PERMITTED actor=stranger bound=p
    settle gpu-1 provider=p by stranger -> NOT_PERMITTED
    void gpu-1 provider=p by stranger -> NOT_PERMITTED
    settle gpu-1 provider=stranger award=1 by stranger -> AWARD_STALE award_id=1 bound=0
    settle gpu-1 provider=stranger award=1 by a -> NOT_PERMITTED actor=a bound=stranger
    void gpu-1 provider=stranger by stranger -> SLOT_NOT_AWARDED
    withdraw gpu-1 provider=stranger by stranger
    void gpu-1 provider=stranger award=1 by stranger -> AWARD_STALE
    settle gpu-1 provider=p award=1 by p -> paid 1 to p
    slot? gpu-1 p -> settled award 1
    slot? gpu-1 stranger -> withdrawn
    slot? gpu-1 treasury -> unknown
    """
    )
    assert [(one.provider_id, one.slot_id) for one in script.all(AwardGranted)] == [("p", "gpu-1")]
    assert [(one.provider_id, one.slot_id) for one in script.all(AwardSettled)] == [("p", "gpu-1")]
    assert [(one.provider_id, one.slot_id) for one in script.all(SlotWithdrawn)] == [("stranger", "gpu-1")]


def test_slots_of_one_id_are_sold_in_one_call() -> None:
    """SLT-1, CLR-1: each to a bid of its own, in the order of sale."""
    script = play(
        WORLD
        + """
    account q provider
    slot s provider=p
    slot s provider=q
    slot s
    bid a t1 9 -> bid 1
    bid a t2 8 -> bid 2
    bid a t3 7 -> bid 3
    clear -> price 0: 1@s 2@s 3@s
    settle s provider=q -> moved nothing
    void s provider=treasury -> released 0
    t=3600000000 sweep -> lapsed 1@s=0, done
    """
    )
    assert [one.provider_id for one in script.all(AwardGranted)] == ["p", "q", "treasury"]


def test_rows_of_older_rules_name_no_provider() -> None:
    """SLT-1: one live slot of a shard had an id then, and the row means that, not one of the id that has ended."""
    script = play(
        WORLD
        + """
    account q provider
    slot s1 provider=q
    withdraw s1
    slot s0 provider=p
    slot s1 provider=p
    """
    )
    engine = script.engine
    entry = Entry(engine.state.seq + 1, 0, "p", WithdrawSlot("s1"))
    engine.fold(entry, (SlotWithdrawn("s1", "m"),))
    engine.state.check()
    assert [key for key, slot in engine.state.slots.items() if slot.status == "offered"] == [("p", "s0")]
    assert list(engine.state.slots_ended) == [("q", "s1"), ("p", "s1")]


def test_a_market_is_opened_once_and_keeps_its_rules() -> None:
    """SLT-1: what a slot gets from its market is what the market was opened with; a second opening is refused."""
    script = play("""
    market m reserve=7
    market m reserve=8 -> MARKET_EXISTS market_id=m bound=
    slot s1
    """)
    assert [one.reserve_price_tokens for one in script.all(MarketOpened)] == [7]
    assert [one.reserve_price_tokens for one in script.all(SlotOffered)] == [7]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("t=1 settle s1 -> paid 4 to p", "settled"),
        ("t=1 void s1 -> released 4", "voided"),
        ("t=50 sweep -> lapsed 1@s1=4, done", "lapsed"),
    ],
)
def test_an_awarded_slot_goes_to_one_of_three_ends(end: str, status: str) -> None:
    """SLT-2: `offered` -> `awarded` -> `settled | voided | lapsed`; while it is live its id is taken."""
    play(
        AWARDED
        + f"""
    slot? s1 -> awarded award 1
    slot s1 provider=p -> SLOT_EXISTS slot_id=s1 bound=awarded
    withdraw s1 -> SLOT_AWARDED slot_id=s1 bound=awarded
    {end}
    slot? s1 -> {status} award 1
    withdraw s1 -> SLOT_{status.upper()} slot_id=s1 bound={status}
    """
    )


def test_an_offered_slot_can_be_withdrawn() -> None:
    """SLT-2: `offered` -> `withdrawn`; it is not sold any more, and not taken back twice."""
    play(
        WORLD
        + """
    slot s1 provider=p
    slot? s1 -> offered
    withdraw s1 by p
    slot? s1 -> withdrawn
    withdraw s1 -> SLOT_WITHDRAWN slot_id=s1 bound=withdrawn
    bid a t1 9 -> bid 1
    clear -> no sale, lost 1
    """
    )


@pytest.mark.parametrize(
    "end", ["settle s1 -> paid 4 to p", "void s1 -> released 4", "t=50 sweep -> lapsed 1@s1=4, done"]
)
def test_an_ended_slot_may_be_offered_again_as_a_new_offer(end: str) -> None:
    """SLT-2: under its id, with no award yet; award ids never repeat."""
    script = play(
        AWARDED
        + f"""
    {end}
    slot s1 reserve=2
    slot? s1 -> offered
    settle s1 award=1 -> AWARD_STALE award_id=1 bound=0
    settle s1 -> SLOT_NOT_AWARDED slot_id=s1 bound=offered
    bid a t2 9 -> bid 2
    clear -> price 2: 2@s1
    slot? s1 -> awarded award 2
    settle s1 award=2 -> paid 2 to treasury
    """
    )
    assert [one.award_id for one in script.all(AwardGranted)] == [1, 2]


def test_the_winner_of_the_offer_before_has_no_say_in_the_new_one() -> None:
    """SLT-2: a new offer has no award yet, so nobody is its winner."""
    play(
        AWARDED
        + """
    settle s1 by a -> paid 4 to p
    settle s1 by a -> SLOT_SETTLED
    slot s1
    settle s1 by a -> NOT_PERMITTED actor=a bound=treasury
    """
    )


@pytest.mark.parametrize("verb", ["settle", "void"])
def test_a_settlement_of_an_award_that_is_not_the_latest_is_stale(verb: str) -> None:
    """SLT-3: `AWARD_STALE` names the latest; the right one, or none, passes."""
    play(
        AWARDED
        + f"""
    {verb} s1 award=2 -> AWARD_STALE award_id=2 bound=1
    {verb} s1 award=1 -> {"paid 4 to p" if verb == "settle" else "released 4"}
    {verb} s1 award=1 -> SLOT_{"SETTLED" if verb == "settle" else "VOIDED"}
    {verb} s1 award=2 -> AWARD_STALE award_id=2 bound=1
    """
    )


@pytest.mark.parametrize("verb", ["settle", "void"])
def test_a_stale_worker_cannot_end_the_award_of_another(verb: str) -> None:
    """SLT-3: the award id fences off the worker whose slot was given to somebody else meanwhile."""
    play(
        AWARDED
        + f"""
    t=50 sweep -> lapsed 1@s1=4, done
    slot s1 provider=p
    bid a t2 9 -> bid 2
    clear -> price 0: 2@s1
    {verb} s1 award=1 by p -> AWARD_STALE award_id=1 bound=2
    slot? s1 -> awarded award 2
    """
    )


def test_the_last_ended_slots_are_remembered_and_older_ones_are_not() -> None:
    """SLT-3, Precisely: the last `SLOTS_ENDED_KEPT` say how they went, older ones are `SLOT_UNKNOWN`."""
    assert SLOTS_ENDED_KEPT == 10_000
    play(
        WORLD
        + """
    bound SLOTS_ENDED_KEPT 3
    slot s1 lease=5
    slot s2
    slot s3
    slot s4
    bid a t1 9 -> bid 1
    bid a t2 9 -> bid 2
    bid a t3 9 -> bid 3
    clear -> price 0: 1@s1 2@s2 3@s3
    t=1 settle s2 -> moved nothing
    void s3 -> released 0
    t=5 sweep -> lapsed 1@s1=0, done
    settle s2 -> SLOT_SETTLED slot_id=s2 bound=settled
    settle s3 -> SLOT_VOIDED slot_id=s3 bound=voided
    settle s1 -> SLOT_LAPSED slot_id=s1 bound=lapsed
    withdraw s4
    settle s4 -> SLOT_WITHDRAWN slot_id=s4 bound=withdrawn
    settle s2 -> SLOT_UNKNOWN slot_id=s2 bound=
    void s2 -> SLOT_UNKNOWN
    withdraw s2 -> SLOT_UNKNOWN
    settle s3 -> SLOT_VOIDED
    slot s2
    """
    )


def test_a_slot_that_is_offered_again_is_not_forgotten_with_the_ended_ones() -> None:
    """SLT-3, Precisely: only ended slots are forgotten, the one that ended longest ago first."""
    play(
        WORLD
        + """
    bound SLOTS_ENDED_KEPT 1
    slot s1
    slot s2
    slot s3
    withdraw s1
    slot s1
    withdraw s2
    withdraw s3
    slot? s1 -> offered
    slot? s2 -> unknown
    slot? s3 -> withdrawn
    """
    )


def test_live_slots_per_market_are_bounded() -> None:
    """SLT-1: offered and awarded ones count (`SLOTS_FULL`), ended ones do not."""
    play(
        WORLD
        + """
    bound SLOTS_LIVE_PER_MARKET_MAX 2
    market m2
    slot s1
    slot s2
    slot s3 -> SLOTS_FULL slot_id=s3 bound=2
    slot s3 market=m2
    bid a t1 9 -> bid 1
    clear -> price 0: 1@s1
    slot s4 -> SLOTS_FULL
    settle s1 -> moved nothing
    slot s4
    """
    )


def test_live_slots_of_a_provider_are_bounded() -> None:
    """SLT-4, A12: in each market; others may still offer, and the treasury has no bound but the market's."""
    play(
        WORLD
        + """
    bound SLOTS_LIVE_PER_MARKET_MAX 6
    bound SLOTS_PER_PROVIDER_MAX 2
    account p2 provider
    market m2
    slot s1 provider=p by p
    slot s2 provider=p
    slot s3 provider=p by p -> SLOTS_PER_PROVIDER_FULL provider_id=p bound=2
    slot s3 provider=p -> SLOTS_PER_PROVIDER_FULL
    slot s3 provider=p market=m2
    slot s4 provider=p2
    slot s5
    slot s6
    slot s7
    bid a t1 9 -> bid 1
    clear -> price 0: 1@s1
    slot s8 provider=p -> SLOTS_PER_PROVIDER_FULL
    settle s1 -> moved nothing
    slot s8 provider=p
    withdraw s2
    slot s9 provider=p
    """
    )


def test_accounts_and_markets_are_bounded() -> None:
    """SLT-1, LED-3: `ACCOUNTS_FULL` counts the four system accounts too; `MARKETS_FULL`."""
    play("""
    bound ACCOUNTS_MAX 5
    bound MARKETS_MAX 1
    account a agent
    account b agent -> ACCOUNTS_FULL account_id=b bound=5
    market m
    market n -> MARKETS_FULL market_id=n bound=1
    """)
