"""The rule IDM-1 over a day: what moves tokens is done once, whatever strangers do meanwhile.

Goal: a retry hours later moves nothing again; memory for it is bounded, full is a refusal, and no actor uses up the
room of another. Method: the window of whole replies holds one, and another command pushes out what it holds; then the
same line comes again.
"""

from typing import get_args

import pytest

from callmarket.engine import limits
from callmarket.engine.commands import Command, Entry, OpenAccount
from callmarket.engine.core import Engine
from callmarket.engine.events import Repeated
from callmarket.engine.retries import is_kept
from callmarket.engine.state import State
from tests.support.samples import COMMANDS
from tests.support.script import play

HOUR_US = 3_600_000_000
WORLD = """
bound RECEIPTS_MAX 1
market m
account a agent 100
account b agent 100
"""
ARTIFACT = """
mint lmsr_subsidy_pool 5
artifact x 2 closes=9000000000000 exposure=1000000 fee=0 decay=1000000
"""
CALM = f"bound DECAY_PRICES 1\nbound DECAY_INTERVAL_US 0{ARTIFACT}open x a long 1 limit=500001 -> order 1: 11 for 6"
# What each is set up with, and the row that it is.
MOVES = {
    "mint a 5 id=k": "",
    "burn a 5 id=k": "",
    "transfer a b 5 id=k": "",
    "hold h a 5 id=k": "",
    "capture h b id=k -> paid 5 to b": "hold h a 5",
    "release h id=k -> released 5": "hold h a 5",
    "clear id=k -> no sale, lost 1": "bid a t 5 -> bid 1",
    "settle s id=k -> moved nothing": "slot s\nbid a t 5 -> bid 1\nclear -> price 0: 1@s",
    "open x a long 1 id=k -> order 1: 1741204 for 999999": ARTIFACT,
    "close 1 id=k -> order 2: 1741204 for 999999": f"{ARTIFACT}\nopen x a long 1 -> order 1: 1741204 for 999999",
    "decay x id=k -> subsidy 1000000, back 999997": CALM,
    "void s id=k -> released 0": "slot s\nbid a t 5 -> bid 1\nclear -> price 0: 1@s",
}


@pytest.mark.parametrize("line", MOVES)
@pytest.mark.parametrize("after_us", [1, 24 * HOUR_US])
def test_a_command_that_moves_tokens_is_done_once_within_a_day(line: str, after_us: int) -> None:
    """IDM-1: a stranger's command with an id has pushed the whole reply out; the retry moves nothing all the same."""
    script = play(f"{WORLD}\n{MOVES[line]}\n{line}\nslot stranger id=stranger")
    state = script.engine.state
    seq = state.seq - 1
    before = state.encode()
    script.run(f"t={after_us} {line.partition(' -> ')[0]} -> repeated {seq}")
    state.seq, state.at_us = seq + 1, 0
    assert state.encode() == before


def test_every_command_that_moves_tokens_is_among_them() -> None:
    """IDM-1: the others are bids, whose ids never come again, what moves no tokens, and ends of a named award."""
    kept = {type(command).__name__ for command in COMMANDS if is_kept(command)}
    moving = {"Mint", "Burn", "Transfer", "PlaceHold", "CaptureHold", "ReleaseHold", "ClearRound"}
    moving |= {"OpenPosition", "ClosePosition", "DecaySubsidy"}
    assert moving <= kept <= moving | {"SettleAward", "VoidAward"}
    others = {kind.__name__ for kind in get_args(Command)} - moving - {"SettleAward", "VoidAward"}
    assert others == {
        "OpenAccount",
        "OpenMarket",
        "OfferSlot",
        "WithdrawSlot",
        "PlaceBid",
        "AmendBid",
        "CancelBid",
        "ExpireDue",
        "BeginHistory",
        "BindHolds",
        # A market is opened and settled once, an order ends once, and the last two move nothing.
        "OpenArtifactMarket",
        "SettleArtifact",
        "CancelOrder",
        "FreezeArtifact",
        "UnfreezeArtifact",
    }


def test_another_command_under_the_id_is_refused_within_a_day() -> None:
    """IDM-1: `COMMAND_ID_REUSED` names the row, also where only a digest of the first command is left."""
    play(
        WORLD
        + """
    transfer a b 5 id=k
    sweep id=stranger           -> done
    transfer a b 6 id=k         -> COMMAND_ID_REUSED command_id=k bound=6
    transfer a b 5 id=k         -> repeated 6
    transfer b a 5 id=k
    wallet a                    -> balance 100 held 0
    """
    )


def test_an_end_of_an_award_that_is_named_needs_no_memory() -> None:
    """IDM-1, SLT-3: late or soon it ends that award or none; one that names none would end the next one."""
    play(
        WORLD
        + """
    slot s
    bid a t 5             -> bid 1
    clear                 -> price 0: 1@s
    settle s award=1 id=k -> moved nothing
    sweep id=stranger     -> done
    settle s award=1 id=k -> SLOT_SETTLED
    slot s
    bid b t 5             -> bid 2
    clear                 -> price 0: 2@s
    settle s award=1 id=k2 -> AWARD_STALE
    settle s id=k3        -> moved nothing
    slot s
    bid b t 5             -> bid 3
    clear                 -> price 0: 3@s
    sweep id=stranger     -> done
    settle s id=k3        -> repeated 16
    """
    )


def test_a_refused_command_is_asked_anew_when_its_reply_is_forgotten() -> None:
    """IDM-1: it moved nothing, so nothing of it is remembered for a day; once it is done, it is."""
    play(
        WORLD
        + """
    transfer a b 101 id=k -> FUNDS_INSUFFICIENT
    transfer a b 101 id=k -> repeated 6
    mint a 1
    transfer b a 900 id=x -> FUNDS_INSUFFICIENT
    transfer a b 101 id=k
    sweep id=stranger     -> done
    transfer a b 101 id=k -> repeated 10
    """
    )


def test_after_a_day_it_is_forgotten() -> None:
    """IDM-1: whole periods of four hours are; the present one and the six before it are remembered."""
    assert limits.RETRIES_PERIOD_US * limits.RETRIES_PERIODS_KEPT == 24 * HOUR_US
    play(
        WORLD
        + f"""
    t={4 * HOUR_US - 1} transfer a b 1 id=k
    sweep id=x -> done
    t={28 * HOUR_US - 1} transfer a b 1 id=k -> repeated 6
    t={28 * HOUR_US} transfer a b 1 id=k
    wallet b -> balance 102 held 0
    """
    )


def test_no_account_uses_up_the_room_of_another() -> None:
    """IDM-1: a bound for each account; full is a refusal that names it, of a new command with an id and of no other."""
    play(
        WORLD
        + f"""
    bound RETRIES_PER_ACCOUNT_MAX 2
    transfer a b 1 id=k1
    hold h a 1 id=k2
    transfer a b 1 id=k3       -> RETRIES_FULL command_id=k3 bound=2
    transfer a b 1 id=k1       -> repeated 6
    transfer a b 2 id=k1       -> COMMAND_ID_REUSED
    transfer a b 900 id=k4     -> FUNDS_INSUFFICIENT
    transfer a b 1
    bid a t 1 id=k5            -> bid 1
    transfer b a 1 id=k1
    mint a 1 id=k1
    clear id=k1                -> no sale, lost 1
    t={28 * HOUR_US} transfer a b 1 id=k6
    """
    )


def test_all_accounts_together_leave_the_staff_its_room() -> None:
    """IDM-1: whoever opens many accounts stops neither the mint nor the calls; and the staff stops no account."""
    play(
        WORLD
        + """
    bound RETRIES_OF_ACCOUNTS_MAX 2
    bound RETRIES_PER_STAFF_MAX 1
    transfer a b 1 id=k1
    transfer b a 1 id=k1
    transfer b a 1 id=k2 -> RETRIES_FULL command_id=k2 bound=2
    mint a 1 id=k1
    mint a 1 id=k2       -> RETRIES_FULL command_id=k2 bound=1
    clear id=k1          -> no sale
    clear id=k2          -> RETRIES_FULL command_id=k2 bound=1
    clear                -> no sale
    """
    )


def test_a_retry_is_recognised_after_a_snapshot() -> None:
    """IDM-1: whoever goes on from a snapshot knows a retry as whoever stayed."""
    script = play(WORLD + "transfer a b 5 id=k\nsweep id=stranger -> done")
    first = script.entries[-2]
    stayed, came_back = script.engine, Engine(State.decode(script.engine.state.encode()))
    came_back.state.check()
    again = Entry(stayed.state.seq + 1, 23 * HOUR_US, first.actor, first.command, first.command_id)
    assert stayed.apply(again) == came_back.apply(again) == (Repeated(first.seq),)
    assert stayed.state.encode() == came_back.state.encode()


def test_of_what_older_rules_did_twice_the_later_row_is_known() -> None:
    """IDM-1: to them the id was new again, so they moved the tokens again; that is folded, and told from then on."""
    script = play(WORLD + "transfer a b 5 id=k\nsweep id=stranger -> done")
    engine, first = script.engine, script.entries[-2]
    ahead = play(WORLD + "transfer a b 5\nsweep -> done\ntransfer a b 5")
    again = Entry(engine.state.seq + 1, 0, first.actor, first.command, first.command_id)
    engine.fold(again, ahead.events[-1:])
    engine.state.check()
    assert engine.state.ledger.accounts["b"].balance_tokens == 110
    engine.state.receipts = type(engine.state.receipts)()
    assert engine.apply(Entry(again.seq + 1, 0, again.actor, again.command, "k")) == (Repeated(again.seq),)


def test_rows_of_older_rules_are_folded_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: nobody was refused for that then, so there may be more of them; what has no room is not remembered."""
    monkeypatch.setattr(limits, "RETRIES_PER_ACCOUNT_MAX", 1)
    engine = play(WORLD + "transfer a b 5 id=k1").engine
    ahead = play(WORLD + "transfer a b 5\ntransfer a b 5")
    engine.fold(Entry(engine.state.seq + 1, 0, "a", ahead.entries[-1].command, "k2"), ahead.events[-1:])
    engine.state.check()
    assert len(engine.state.retries) == 1


def test_an_id_means_what_it_meant_to_its_actor_alone() -> None:
    """IDM-1: a digest covers who and which id, and no other pair gives the same text."""
    state = State()
    state.retries.add("ab", "c", 7, 0, OpenAccount("x", "agent"))
    assert state.retries.find("ab", "c", 0) is not None
    assert state.retries.find("a", "bc", 0) is None
    assert state.retries.find("ab", "c", limits.RETRIES_PERIOD_US * (limits.RETRIES_PERIODS_KEPT + 1)) is None
