"""The table language itself: it must be able to fail, and say what would hold.

Goal: a script that is wrong is never taken for one that holds. Method: small scripts with one fault each.
"""

from typing import get_args

import pytest

from callmarket.engine import limits
from callmarket.engine.commands import Command
from tests.support.script import VERBS, ScriptError, play

WORLD = """
market m
account a agent 1000
slot s1
bid a x 100 -> bid 1
"""


def test_the_example_of_the_language_holds() -> None:
    """The script of the module's docstring, word for word."""
    play("""
    market m rule=vickrey reserve=5
    account a agent 1000
    t=10 bid a task1 500 gtd ttl=99      -> bid 1
    t=12 slot s1 reserve=100
    t=20 clear m                         -> prices: 1@s1=100
    t=21 cancel 1 by b                   -> NOT_PERMITTED
    wallet a                             -> balance 1000 held 100
    """)


def test_a_result_that_differs_is_shown_as_the_line_that_would_hold() -> None:
    with pytest.raises(AssertionError) as failure:
        play(WORLD + "t=7 cancel 1 -> released 99  # not so")
    assert str(failure.value) == (
        "line 6 does not hold:\n    t=7 cancel 1 -> released 99\nIt reads:\n    t=7 cancel 1 -> released 100"
    )


def test_the_line_that_is_shown_holds_when_it_is_pasted() -> None:
    with pytest.raises(AssertionError) as failure:
        play(WORLD + "bid a y 5000 -> bid 2")
    pasted = str(failure.value).splitlines()[-1]
    assert pasted.strip() == "bid a y 5000 -> FUNDS_INSUFFICIENT max_price_tokens=5000 bound=900"
    play(WORLD + pasted)


@pytest.mark.parametrize(
    "line",
    [
        "bid a y 5000 -> TTL_PAST",
        "bid a y 5000 -> FUNDS_INSUFFICIENT max_price_tokens=5000 bound=901",
        "bid a y 5000 -> FUNDS",
        "bid a y 5000 -> bid 2",
        "bid a y 5000",
        "bid a y 50",
        "wallet a -> balance 1000 held 101",
        "wallet nobody -> balance 0 held 0",
        "book -> 100:2",
        "slot? s1 -> awarded award 1",
        "hold? 1 -> none",
        "clear -> price 0: 1@s2",
        "clear -> price 1: 1@s1",
        "clear -> prices: 1@s1=0",
        "clear -> no sale",
        "sweep -> more",
    ],
)
def test_a_false_expectation_fails(line: str) -> None:
    with pytest.raises(AssertionError, match="line 6 does not hold"):
        play(WORLD + line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("buy a x 100 -> ok", "unknown word 'buy'"),
        ("bid a x 100 now -> ok", "unknown word 'now'"),
        ("bid a x 100 price=7 -> ok", "unknown word 'price=7'"),
        ("bid a x -> ok", "missing max_price_tokens"),
        ("bid a x many -> ok", "Expected `int`"),
        ("bid a x 0 -> ok", "Expected `int` >= 1"),
        ("market n rule=first_come -> ok", "Invalid enum value 'first_come'"),
        ("t=5 sweep -> done\nt=4 sweep -> done", "time goes back from 5"),
        ("t=soon clear -> ok", "'soon' is not a number"),
        ("t=5 -> ok", "no command"),
        ("wallet -> 5", "expected one name, not 0"),
        ("wallet a b -> 5", "expected one name, not 2"),
        ("round -> supply 5", "expected: round, after a call"),
        ("bound SWEEP_ITEMS 3", "expected: bound NAME NUMBER"),
    ],
)
def test_an_unknown_line_of_a_script_is_an_error_with_its_number(line: str, message: str) -> None:
    number = 5 + len(line.splitlines())
    with pytest.raises(ScriptError, match=rf"^line {number}: .*{message}"):
        play(WORLD + line)


def test_a_bound_holds_for_the_script_alone() -> None:
    before = limits.BIDS_PER_MARKET_MAX
    script = play(WORLD + "bound BIDS_PER_MARKET_MAX 1")
    assert before == limits.BIDS_PER_MARKET_MAX
    script.run("bid a y 5 -> BIDS_PER_MARKET_FULL market_id=m bound=1")


def test_every_command_has_a_word() -> None:
    assert {verb.command for verb in VERBS.values()} == set(get_args(Command))
