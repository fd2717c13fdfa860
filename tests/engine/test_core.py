"""`Engine.apply` and `Engine.fold`: the order of things.

Goal: entries follow each other without gap, refusals change nothing, and folding is deciding without deciding.
Method: wrong entries, and one history told in three ways.
"""

import random

import pytest

from callmarket.engine.commands import Entry, ExpireDue, Mint, OpenAccount
from callmarket.engine.core import Engine
from callmarket.engine.events import AccountOpened, Rejected, Repeated, SweepFinished
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from tests.support.samples import FULL_WORLD
from tests.support.script import play

NOTHING_DUE = (SweepFinished(0, 0, 0, False),)


def sweep(seq: int, at_us: int = 0, command_id: str = "") -> Entry:
    return Entry(seq, at_us, "operator", ExpireDue(), command_id)


def test_an_engine_begins_before_the_first_command() -> None:
    engine = Engine()
    assert (engine.state.seq, engine.state.at_us) == (0, 0)
    assert engine.apply(sweep(1, 5)) == NOTHING_DUE
    assert (engine.state.seq, engine.state.at_us) == (1, 5)


@pytest.mark.parametrize("seq", [0, 1, 3, -1])
def test_a_gap_or_a_repeated_sequence_number_stops_the_process(seq: int) -> None:
    """IDM-1: an entry is applied once; a retry is another entry with the same command id."""
    engine = Engine()
    engine.apply(sweep(1))
    with pytest.raises(AssertionError):
        engine.apply(sweep(seq))
    with pytest.raises(AssertionError):
        engine.fold(sweep(seq), NOTHING_DUE)
    assert engine.state.seq == 1


def test_time_that_goes_back_stops_the_process() -> None:
    engine = Engine()
    engine.apply(sweep(1, 50))
    with pytest.raises(AssertionError):
        engine.apply(sweep(2, 49))
    engine.apply(sweep(2, 50))


def test_an_engine_continues_from_a_state() -> None:
    script = play(FULL_WORLD)
    engine = Engine(State.decode(script.engine.state.encode()))
    assert engine.state.seq == script.engine.state.seq
    engine.apply(sweep(engine.state.seq + 1, 1_000))


def test_folding_what_was_decided_makes_the_same_state() -> None:
    """LED-1 and all others: events say everything, so that `fold` needs no rules, and keeps receipts too (IDM-1)."""
    script = play(FULL_WORLD)
    decided, folded = Engine(), Engine()
    kinds = set()
    for entry in script.entries:
        events = decided.apply(entry)
        folded.fold(entry, events)
        kinds |= {type(event) for event in events}
        assert folded.state.encode() == decided.state.encode()
    assert len(kinds) > 8


def test_folding_rows_does_not_decide_them_again() -> None:
    """Rows of older rules are folded from their events, also where the present rules would refuse."""
    engine = Engine()
    mint = Entry(1, 0, "a", OpenAccount("a", "agent"), "k")
    engine.fold(mint, (AccountOpened("a", "agent"),))
    assert "a" in engine.state.ledger.accounts
    assert engine.apply(Entry(2, 0, "a", OpenAccount("a", "agent"), "k")) == (Repeated(1),)


def test_apply_answers_a_refusal_as_one_event() -> None:
    engine = Engine()
    before = engine.state.encode()
    assert engine.apply(Entry(1, 0, "a", OpenAccount("a", "agent"))) == (
        Rejected(Reject.NOT_PERMITTED, "actor", "a", "admin"),
    )
    engine.state.seq = 0
    assert engine.state.encode() == before


def test_a_broken_invariant_stops_the_process_instead_of_answering() -> None:
    """LED-1: a state that lost tokens is not a refusal."""
    engine = Engine()
    engine.apply(Entry(1, 0, "admin", OpenAccount("a", "agent")))
    engine.state.ledger.transfers_posted += 1
    events = (engine.apply(Entry(2, 0, "admin", Mint("a", 5, "x"))))[0]
    engine.state.ledger.transfers_posted -= 1
    with pytest.raises(AssertionError):
        engine.fold(Entry(3, 0, "admin", Mint("a", 5, "x")), (events,))


def test_two_engines_given_the_same_commands_are_equal(seed: int) -> None:
    """LED-1 and all others: no clock, no chance, no order of a set gets in (other processes: tests/properties)."""
    lines = [line for line in FULL_WORLD.splitlines() if line.startswith("account")]
    random.Random(seed).shuffle(lines)
    one, two = play("\n".join(lines)), play("\n".join(lines))
    assert one.engine.state.encode() == two.engine.state.encode()
    assert one.events == two.events
