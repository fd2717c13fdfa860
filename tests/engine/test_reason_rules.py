"""The rule LED-8: whose word the reason of a movement is.

Goal: sums by reason are true, whoever would like to seem to have earned. Method: every way to give a reason, by
everybody, in the table language; and a hold of older rules, which is folded.
"""

import pytest

from callmarket.engine.commands import Entry, PlaceHold
from callmarket.engine.core import Engine
from callmarket.engine.events import HoldPlaced, Rejected
from callmarket.engine.reject import Reject
from tests.support.script import play

WORLD = """
account a agent 1000
account b agent
"""
OF_THE_MARKET = ("settle:slot", "lapse:slot", "reward:impact")


@pytest.mark.parametrize("reason", OF_THE_MARKET)
@pytest.mark.parametrize("actor", ["admin", "a"])
def test_reasons_of_the_market_are_refused_from_others(reason: str, actor: str) -> None:
    """LED-8, A13: a friend's tokens are no reward and no sale, by whichever command; the admin neither."""
    play(
        WORLD
        + f"""
    transfer a b 5 reason={reason} by {actor} -> REASON_RESERVED reason={reason} bound=a reason of no award
    hold h a 5 reason={reason} by {actor} -> REASON_RESERVED
    """
        + (
            f"mint b 5 reason={reason} -> REASON_RESERVED\nburn a 5 reason={reason} -> REASON_RESERVED"
            * (actor == "admin")
        )
    )


def test_idling_is_charged_by_the_admin_alone() -> None:
    """LED-8: else a token with that reason to a friend would pay for the period of an account."""
    play(
        WORLD
        + """
    transfer a b 5 reason=demurrage type=period ref=x -> NOT_PERMITTED actor=a bound=admin
    hold h a 5 reason=demurrage -> NOT_PERMITTED
    transfer a treasury 5 reason=demurrage type=period ref=x by admin
    burn a 5 reason=demurrage
    """
    )


def test_every_other_reason_is_anybodys_word() -> None:
    """LED-8: also those that only look like one."""
    play(
        WORLD
        + "\n".join(
            f"transfer a b 1 reason={reason}"
            for reason in (
                "settle",
                "settle:slots",
                "reward",
                "reward:impacts",
                "demurrage:not",
                "lapse:slot:x",
                "earn",
            )
        )
    )


@pytest.mark.parametrize("reason", [*OF_THE_MARKET, "demurrage"])
def test_a_hold_of_older_rules_pays_nobody_under_such_a_reason(reason: str) -> None:
    """LED-8, Precisely: it is not captured, by the admin neither; released it is, and it expires."""
    script = play(WORLD + "bound HOLDS_MAX 10")
    engine = Engine(script.engine.state)
    seq = engine.state.seq + 1
    placed = HoldPlaced("h", seq, "a", "a", 5, reason, "", "", None, "")
    engine.fold(Entry(seq, engine.state.at_us, "a", PlaceHold("h", "a", 5, reason)), (placed,))
    for actor in ("a", "admin"):
        script.run(f"capture h b of=a by {actor} -> {'NOT_PERMITTED' if reason == 'demurrage' else 'REASON_RESERVED'}")
    script.run("release h of=a by a -> released 5")


def test_the_refusal_names_the_reason() -> None:
    """LED-8: field, value, and what may be given instead."""
    script = play(WORLD)
    (refused,) = script.engine.apply(Entry(script.engine.state.seq + 1, 0, "a", PlaceHold("h", "a", 5, "settle:slot")))
    assert refused == Rejected(Reject.REASON_RESERVED, "reason", "settle:slot", "a reason of no award")
