"""The errors that other markets and ledgers are known for, one test each, named after the error.

Goal: none of them can happen here. Method: the shortest script that would show it; for a restart, the same history told
twice and from bytes.
"""

import pytest

from benchmarks.workload import accepted
from callmarket.engine.codec import decode_events, encode
from callmarket.engine.commands import Entry, ExpireDue, Mint, OpenAccount, OpenMarket, PlaceBid, SettleAward
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardGranted, TransferPosted, one_by_one
from callmarket.engine.limits import SWEEP_ITEMS_MAX, TOKENS_MAX
from callmarket.engine.state import State
from tests.support.cost import operations
from tests.support.script import play

AWARDED = """
market m lease=50
account a agent 1000
account b agent 1000
account p provider
slot s1 provider=p
bid a t1 100 -> bid 1
bid b t2 92  -> bid 2
clear -> price 92: 1@s1, lost 2
"""


def test_voiding_an_award_twice_releases_its_hold_once() -> None:
    """LED-6, SET-4: the second void gives nothing back a second time."""
    play(
        AWARDED
        + """
    void s1 -> released 92
    void s1 -> SLOT_VOIDED
    void s1 award=1 -> SLOT_VOIDED
    wallet a -> balance 1000 held 0
    """
    )


def test_a_hold_voided_after_its_capture() -> None:
    """LED-6, SET-4: what was paid stays paid."""
    play(
        AWARDED
        + """
    settle s1 -> paid 92 to p
    void s1 -> SLOT_SETTLED
    wallet a -> balance 908 held 0
    wallet p -> balance 92 held 0
    """
    )


def test_two_captures_racing_for_one_remainder() -> None:
    """LED-6, SET-1: after the first nothing is left to capture, not even the premium."""
    play(
        AWARDED
        + """
    settle s1 by a -> paid 92 to p
    settle s1 by p -> SLOT_SETTLED
    t=50 sweep -> done
    wallet a -> balance 908 held 0
    wallet p -> balance 92 held 0
    """
    )


def test_a_check_of_funds_that_ignores_holds() -> None:
    """LED-5, BID-1: 5,000 tokens never carry six open holds of 1,000, nor a transfer beside five."""
    bids = "\n".join(f"bid a t{number} 1000 -> bid {number}" for number in range(1, 6))
    play(f"""
    market m
    account a agent 5000
    account b agent
    {bids}
    bid a t6 1000 -> FUNDS_INSUFFICIENT
    transfer a b 1 -> FUNDS_INSUFFICIENT
    burn a 1 -> FUNDS_INSUFFICIENT
    wallet a -> balance 5000 held 5000
    """)


def test_settled_at_the_escrow_instead_of_the_price() -> None:
    """SET-1, CLR-6: bid 100, price 92: 92 is held from the call on and 92 is paid."""
    play(
        AWARDED
        + """
    wallet a -> balance 1000 held 92
    settle s1 -> paid 92 to p
    wallet a -> balance 908 held 0
    """
    )


def test_a_cancel_in_the_middle_of_a_level_loses_its_siblings() -> None:
    """BID-2, BID-7: the others of its price keep their places."""
    play("""
    market m
    account a agent 1000
    bid a t1 5 -> bid 1
    bid a t2 5 -> bid 2
    bid a t3 5 -> bid 3
    bid a t4 4 -> bid 4
    cancel 2 -> released 5
    book -> 5:1,3 4:4
    slot s1
    slot s2
    clear -> price 4: 1@s1 3@s2, lost 4
    """)


def test_a_phantom_best_price_after_the_last_cancel() -> None:
    """BID-2, CLR-4: a price with no bids left is not quoted and sets no price."""
    play("""
    market m
    account a agent 1000
    bid a t1 9 -> bid 1
    bid a t2 5 -> bid 2
    bid a t3 4 -> bid 3
    cancel 1 -> released 9
    cancel 2 -> released 5
    book -> 4:3
    slot s1
    clear -> price 0: 3@s1
    """)


def test_a_stale_cancel_after_a_win() -> None:
    """BID-7, BID-8: the winner cannot take the hold of its award back."""
    play(
        AWARDED
        + """
    cancel 1 -> BID_WON
    amend 1 price=1 -> BID_WON
    hold? 1 -> 92
    settle s1 -> paid 92 to p
    cancel 1 -> BID_CLOSED
    """
    )


@pytest.mark.parametrize("bids", [2_000, 40_000])
def test_a_mass_expiry_stalls_the_engine(bids: int) -> None:
    """SET-6: a step costs the same however many wait, so no command waits for all of them."""
    engine = Engine()
    accepted(engine, Entry(1, 0, "admin", OpenMarket("m")))
    for number in range(10):
        accepted(engine, Entry(2 + 2 * number, 0, "admin", OpenAccount(f"a{number}", "agent")))
        accepted(engine, Entry(3 + 2 * number, 0, "admin", Mint(f"a{number}", TOKENS_MAX // 10, "grant:initial")))
    for number in range(bids):
        bid = PlaceBid("m", f"a{number % 10}", f"t{number}", 1 + number, ttl_at_us=1_000, time_in_force="gtd")
        accepted(engine, Entry(22 + number, 0, "admin", bid))
    sweep = Entry(engine.state.seq + 1, 1_000, "operator", ExpireDue())
    assert operations(engine, sweep) < 60 * SWEEP_ITEMS_MAX
    assert len(engine.state.bids) == bids - SWEEP_ITEMS_MAX
    # And between two steps the market goes on.
    mint = Entry(engine.state.seq + 1, 1_000, "admin", Mint("a0", 1, "grant:more"))
    assert operations(engine, mint) < 100


def test_null_or_zero_amounts_in_a_sweep() -> None:
    """SET-5, SET-6: an award for 0 tokens lapses, moves nothing and posts no transfer of 0."""
    script = play("""
    market m lease=50
    account a agent 1000
    account p provider
    slot s1 provider=p
    slot s2 provider=p
    bid a t1 9 -> bid 1
    bid a t2 8 gtd ttl=50 -> bid 2
    clear -> price 0: 1@s1 2@s2
    t=50 sweep -> lapsed 1@s1=0 2@s2=0, done
    wallet a -> balance 1000 held 0
    """)
    assert all(one.amount_tokens > 0 for one in script.all(TransferPosted))


def test_the_same_award_settled_by_two_workers() -> None:
    """SLT-3, LED-6: one of them is refused, and where the slot was given away again, as stale."""
    play(
        AWARDED
        + """
    settle s1 award=1 by p -> paid 92 to p
    settle s1 award=1 by p -> SLOT_SETTLED
    slot s1 provider=p
    bid b t2 50 -> bid 3
    clear -> price 0: 3@s1
    settle s1 award=1 by p -> AWARD_STALE award_id=1 bound=2
    settle s1 award=2 by p -> moved nothing
    """
    )


def test_affordable_bids_starved_behind_unaffordable_ones() -> None:
    """BID-1, LED-7: a bid that its bidder cannot pay never enters the book, so it cannot stand before others."""
    play("""
    market m
    account poor agent 10
    account rich agent 1000
    slot s1
    bid poor t1 500 -> FUNDS_INSUFFICIENT
    bid rich t2 20 -> bid 1
    bid poor t3 10 -> bid 2
    transfer poor rich 1 -> FUNDS_INSUFFICIENT
    clear -> price 10: 1@s1, lost 2
    """)


def test_a_restart_that_replays_an_award_twice() -> None:
    """IDM-1, LED-6: the same entry cannot be applied twice, and a retry after the restart is a retry."""
    script = play(AWARDED.replace("clear ->", "clear id=call ->"))
    call = script.entries[-1]
    restored = Engine(State.decode(script.engine.state.encode()))
    with pytest.raises(AssertionError):
        restored.apply(call)
    with pytest.raises(AssertionError):
        restored.fold(call, tuple(script.events))
    again = Entry(call.seq + 1, call.at_us, call.actor, call.command, call.command_id)
    assert [type(event).__name__ for event in restored.apply(again)] == ["Repeated"]
    assert len(restored.state.awards) == 1
    settle = SettleAward("s1", 0, 0, award_id=1, provider_id="p")
    restored.apply(Entry(call.seq + 2, 0, "p", settle))
    assert restored.state.ledger.accounts["p"].balance_tokens == 92
    restored.state.check()


def test_a_restart_from_the_journal_is_the_same_state() -> None:
    """IDM-1: by deciding again and by folding what was decided, through the journal's own bytes, with one award."""
    script = play(AWARDED + "settle s1 award=1 id=done -> paid 92 to p\nbid a t1 7 gtd ttl=99 -> bid 3")
    decided, folded = Engine(), Engine()
    granted = 0
    for entry in script.entries:
        events = decided.apply(entry)
        granted += sum(isinstance(event, AwardGranted) for event in one_by_one(events))
        folded.fold(entry, decode_events(encode(events)))
    assert decided.state.encode() == folded.state.encode() == script.engine.state.encode()
    assert granted == 1
