"""Who may do what: each command tried by each actor.

Goal: the table of RULES.md, cell by cell, for the holder of every part an actor can have in a command.
Method: a world in which every line of the table can be done by the admin; each actor tries it in a world of its own.
BID-7, SET-4.
"""

from typing import get_args

import pytest

from callmarket.engine.commands import Command
from tests.support.script import VERBS, Script, play

ACTORS = ("admin", "operator", "bidder", "provider", "payer", "other", "unknown", "treasury", "issuance", "judge")

WORLD = """
market m lease=1000
account bidder agent 100
account payer  agent 100
account other  quest 100
account provider provider 100
slot won provider=provider
bid bidder t1 50 -> bid 1
clear -> price 0: 1@won
bid bidder t2 5 -> bid 2
slot free provider=provider
slot own
hold its payer 5
hold kept payer 5 by admin
account judge agent 100
mint lmsr_subsidy_pool 20
bound DECAY_PRICES 1
bound DECAY_INTERVAL_US 0
artifact x 2 closes=900 exposure=1000000 fee=0 decay=1000000 arbiter=judge
artifact frozen 2 closes=900 arbiter=judge
freeze frozen until=900
open x bidder long 2 limit=700000 gtd until=900 -> order 1: 2444784 for 1473931, rests 526069
"""

# The line, and who may do it besides the admin.
TABLE = [
    ("account new agent", set()),
    ("mint bidder 5", set()),
    ("burn bidder 5", set()),
    ("bind stake artifact x", {"operator"}),
    ("transfer payer other 5", {"payer"}),
    ("market n", {"operator"}),
    ("clear m", {"operator"}),
    ("sweep", {"operator"}),
    ("slot new provider=provider", {"provider", "operator"}),
    ("slot new", {"treasury", "operator"}),
    ("withdraw free", {"provider", "operator"}),
    ("withdraw own", {"treasury", "operator"}),
    ("void won", {"provider", "operator"}),
    ("settle won", {"bidder", "provider", "operator"}),
    ("bid bidder t3 5", {"bidder"}),
    ("amend 2 price=4", {"bidder"}),
    ("cancel 2", {"bidder"}),
    ("hold h payer 5", {"payer"}),
    ("capture its other", {"payer"}),
    ("capture kept other", set()),
    ("release its", {"payer"}),
    ("release kept", set()),
    ("artifact new 2 closes=900", {"operator"}),
    ("open x payer short 2", {"payer"}),
    ("close 1", {"bidder"}),
    ("pull 1", {"bidder"}),
    ("freeze x until=900", {"operator", "judge"}),
    ("unfreeze frozen", {"operator", "judge"}),
    ("judge x void", {"operator", "judge"}),
    ("decay x", {"operator"}),
    ("history", set()),
]


def refusal(script: Script, line: str) -> str:
    """The reason for which a line is refused, "" if it is not."""
    with pytest.raises(AssertionError) as failure:
        script.run(f"{line} -> ?")
    result = str(failure.value).splitlines()[-1].partition(" -> ")[2].partition(" ")[0]
    return result if result.isupper() else ""


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize(("line", "allowed"), TABLE, ids=[line for line, _ in TABLE])
def test_only_those_in_the_table_may(line: str, allowed: set[str], actor: str) -> None:
    """BID-7, SET-4 and the table: everybody else is `NOT_PERMITTED`, and nobody allowed is refused."""
    expected = "" if actor == "admin" or actor in allowed else "NOT_PERMITTED"
    assert refusal(play(WORLD), f"{line} by {actor}") == expected


def test_the_table_of_permissions_has_every_command() -> None:
    assert {VERBS[line.split()[0]].command for line, _ in TABLE} == set(get_args(Command))


def test_a_transfer_is_the_payers_and_not_the_payees() -> None:
    """LED-4: nobody takes."""
    play(WORLD + "transfer payer other 5 by other -> NOT_PERMITTED actor=other bound=payer")


def test_the_bidder_of_an_award_that_has_ended_is_told_how_it_ended() -> None:
    """SLT-3: permission is by the slot's latest award, also after its end."""
    play(
        WORLD
        + """
    settle won by bidder -> moved nothing
    settle won by bidder -> SLOT_SETTLED
    settle won by other  -> NOT_PERMITTED
    """
    )
