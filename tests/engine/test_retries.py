"""The rule IDM-1: a command with an id may be sent again, and happens once.

Goal: a client that did not hear the reply can always ask again. Method: the same line twice.
"""

import pytest

from callmarket.engine.events import Repeated
from callmarket.engine.limits import RECEIPTS_MAX
from tests.support.script import play

WORLD = """
market m
account a agent 100
account b agent 100
"""


def test_the_same_id_and_command_answers_repeated_with_the_first_sequence_number() -> None:
    """IDM-1: and changes nothing, however often."""
    script = play(
        WORLD
        + """
    bid a t1 9 id=k -> bid 1
    bid a t1 9 id=k -> repeated 6
    t=50 bid a t1 9 id=k -> repeated 6
    wallet a -> balance 100 held 9
    book -> 9:1
    """
    )
    assert script.all(Repeated) == [Repeated(6), Repeated(6)]
    assert script.engine.state.seq == 8


@pytest.mark.parametrize(
    "line",
    [
        "market n id=k",
        "account c agent id=k",
        "mint a 5 id=k",
        "burn a 5 id=k",
        "transfer a b 5 id=k",
        "slot s9 id=k",
        "withdraw s1 id=k",
        "bid a t9 5 id=k -> bid 3",
        "amend 2 price=4 id=k",
        "cancel 2 id=k -> released 5",
        "clear id=k -> price 5: 1@s1, lost 2",
        "settle s2 id=k -> moved nothing",
        "void s2 id=k -> released 0",
        "sweep id=k -> done",
    ],
)
def test_every_command_may_be_repeated(line: str) -> None:
    """IDM-1: all fourteen; the second time the state stays as it is."""
    settled = line.startswith(("settle", "void"))
    bids = (
        "slot s2\nbid a t0 7 -> bid 1\nclear -> price 0: 1@s2\nbid a t2 5 -> bid 2"
        if settled
        else "slot s1\nbid a t1 9 -> bid 1\nbid b t2 5 -> bid 2"
    )
    script = play(f"{WORLD}\n{bids}\n{line}")
    seq, before = script.engine.state.seq, script.engine.state.encode()
    script.run(f"{line.partition(' -> ')[0]} -> repeated {seq}")
    assert script.engine.state.seq == seq + 1
    script.engine.state.seq = seq
    assert script.engine.state.encode() == before


def test_another_command_under_that_id_is_refused() -> None:
    """IDM-1: `COMMAND_ID_REUSED` names where the id was used; the first receipt stands."""
    play(
        WORLD
        + """
    bid a t1 9 id=k  -> bid 1
    bid a t1 10 id=k -> COMMAND_ID_REUSED command_id=k bound=6
    sweep id=k by a  -> COMMAND_ID_REUSED
    bid a t1 9 id=k  -> repeated 6
    """
    )


def test_an_id_is_scoped_to_its_actor() -> None:
    """IDM-1: two actors may use the same id."""
    play(
        WORLD
        + """
    bid a t1 9 id=k -> bid 1
    bid b t1 9 id=k -> bid 2
    bid a t1 9 id=k by admin -> TASK_BID_OPEN
    """
    )


def test_refusals_are_replies_too() -> None:
    """IDM-1: a refused command with an id stays refused, although it could be done by now."""
    play(
        WORLD
        + """
    bid a t1 101 id=k -> FUNDS_INSUFFICIENT
    mint a 50
    bid a t1 101 id=k -> repeated 6
    wallet a -> balance 150 held 0
    bid a t1 101 id=k2 -> bid 1
    """
    )


def test_commands_without_an_id_happen_each_time() -> None:
    """IDM-1: no id, no memory."""
    play(WORLD + "mint a 5\nmint a 5\nwallet a -> balance 110 held 0")


def test_the_window_is_the_last_commands_with_an_id() -> None:
    """IDM-1: those without an id do not use it up; beyond the bound the oldest is forgotten and asked anew."""
    assert RECEIPTS_MAX == 65_536
    play(
        WORLD
        + """
    bound RECEIPTS_MAX 2
    bid a t1 1 id=k1 -> bid 1
    bid a t2 1 id=k2 -> bid 2
    bid a t3 1       -> bid 3
    bid a t4 1       -> bid 4
    bid a t1 1 id=k1 -> repeated 6
    bid a t5 1 id=k3 -> bid 5
    bid a t2 1 id=k2 -> repeated 7
    bid a t1 1 id=k1 -> TASK_BID_OPEN
    clear            -> no sale, lost 1 2 3 4 5
    bid a t1 1 id=k1 -> repeated 13
    bid a t2 1 id=k2 -> repeated 7
    """
    )


def test_refusals_never_push_out_what_was_done() -> None:
    """IDM-1: they cost nothing, so any stranger could send as many as it takes; their window is their own."""
    play(
        WORLD
        + """
    bound RECEIPTS_MAX 2
    bid a t1 1 id=k          -> bid 1
    bid b t1 900 id=x1       -> FUNDS_INSUFFICIENT
    bid b t1 1 market=z id=x2 -> MARKET_UNKNOWN
    bid b t1 1 market=z id=x3 -> MARKET_UNKNOWN
    bid a t1 1 id=k          -> repeated 6
    bid b t1 1 market=z id=x3 -> repeated 9
    bid b t1 900 id=x1       -> FUNDS_INSUFFICIENT
    """
    )


def test_neither_a_repeat_nor_a_misuse_renews_the_place_of_the_first() -> None:
    """IDM-1, Precisely: k1 stays the oldest, however often it is heard of, and goes first."""
    play(
        WORLD
        + """
    bound RECEIPTS_MAX 2
    slot s1 id=k1
    slot s2 id=k2
    slot s1 id=k1 -> repeated 6
    slot s9 id=k1 -> COMMAND_ID_REUSED
    slot s3 id=k3
    slot s2 id=k2 -> repeated 7
    slot s1 id=k1 -> SLOT_EXISTS
    """
    )


def test_an_id_that_was_refused_as_reused_does_not_forget_the_first() -> None:
    """IDM-1: neither a repeat nor a misuse is a new receipt."""
    script = play(
        WORLD
        + """
    bound RECEIPTS_MAX 2
    mint a 1 id=k1
    mint a 1 id=k2
    mint a 2 id=k1 -> COMMAND_ID_REUSED
    mint a 2 id=k2 -> COMMAND_ID_REUSED
    mint a 1 id=k1 -> repeated 6
    mint a 1 id=k2 -> repeated 7
    """
    )
    assert len(script.engine.state.receipts) == 2


def test_a_retry_renews_no_place_in_the_window() -> None:
    """IDM-1, Precisely: of two ids kept, a third drives out the one first used, though it was asked for last."""
    play(
        WORLD
        + """
    bound RECEIPTS_MAX 2
    bid a t1 9 id=one -> bid 1
    bid a t2 9 id=two -> bid 2
    bid a t1 9 id=one -> repeated 6
    bid a t9 9 id=one -> COMMAND_ID_REUSED
    bid a t3 9 id=three -> bid 3
    bid a t2 9 id=two -> repeated 7
    bid a t4 9 id=one -> bid 4
    """
    )
