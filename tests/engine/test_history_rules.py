"""HST: a history that goes on although acknowledged rows were lost.

Goal: no number that a lost row had is ever given again, and nothing else changes. Method: scripts of the rule; and
random histories that are cut, as a database that has gone back cuts them, and go on.
"""

import random

import pytest

from callmarket.engine.codec import GENESIS_DIGEST, seal
from callmarket.engine.commands import ADMIN, BeginHistory, Entry, PlaceBid
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardGranted, BidPlaced, HistoryBegun, Rejected, one_by_one
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.journal.protocol import Chain, StoredRow
from callmarket.persistence.recovery import replay
from tests.support.script import play
from tests.support.sealed import story
from tests.support.streams import Stream
from tests.support.swarms import small_swarm

FIRST = HISTORY_ROWS + 1
WORLD = """
market m lease=100
account a agent 100
account p provider
"""


def test_rows_bids_and_awards_go_on_where_none_was() -> None:
    """HST-1: what was placed before goes on; what comes has numbers that nothing had."""
    script = play(
        WORLD
        + f"""
    bid a t1 5 gtd ttl=99 -> bid 1
    history lost=66
    bid a t2 6 -> bid {FIRST}
    slot s
    clear -> price 5: {FIRST}@s
    """
    )
    assert script.all(HistoryBegun) == [HistoryBegun(5, 66)]
    assert script.engine.state.seq == HISTORY_ROWS + 3
    assert script.all(AwardGranted)[0].award_id == FIRST
    script.run(f"history\nbid a t3 6 -> bid {2 * HISTORY_ROWS + 1}")


def test_an_award_of_the_lost_rows_is_stale_for_ever() -> None:
    """HST-1, SLT-3: a worker that was given a slot in a row that was lost cannot end what is given now."""
    play(
        WORLD
        + f"""
    history lost=66
    slot s
    bid a t1 5 -> bid {FIRST}
    clear -> price 0: {FIRST}@s
    settle s award=1 -> AWARD_STALE
    void s award=1 -> AWARD_STALE
    """
    )


def test_a_bid_of_the_lost_rows_has_ended() -> None:
    """HST-1, Precisely: it counts as ended, for nothing of it is known."""
    play(WORLD + "history lost=66\ncancel 7 -> BID_CLOSED")


def test_a_history_that_goes_on_cannot_begin_anew() -> None:
    """HST-1: only a row out of its place can say that rows were lost, so nobody's request does."""
    play(
        WORLD
        + """
    history after=4 -> HISTORY_CONTINUES after_seq=4 bound=4
    history by operator -> NOT_PERMITTED
    """
    )


@pytest.mark.parametrize("seq", [HISTORY_ROWS - 1, HISTORY_ROWS + 1, HISTORY_ROWS])
def test_a_row_out_of_its_place_is_a_gap(seq: int) -> None:
    """HST-1: but for the one that says after which row history goes on, at the place for it."""
    rows = story(1, 20).rows
    after_seq = 19 if seq == HISTORY_ROWS else 20
    row = seal(rows[-1].digest, Entry(seq, rows[-1].entry.at_us, ADMIN, BeginHistory(after_seq)), ())
    chain = Chain()
    for one in rows:
        chain.follow(StoredRow.of(one, 1))
    with pytest.raises(Corrupt, match=f"Row 21 is missing: row 20 is followed by row {seq}"):
        chain.follow(StoredRow.of(row, 1))


def test_no_number_comes_twice(seed: int) -> None:
    """HST-1: random histories, cut at random rows; what was lost and what came instead have no number in common."""
    rng = random.Random(seed)
    for number in range(20):
        whole = story(seed + number, 150).rows
        kept = rng.randrange(1, len(whole))
        engine, chain = Engine(), Chain()
        for row in whole[:kept]:
            replay(engine, chain, StoredRow.of(row, 1))
        entry = Entry(HISTORY_ROWS, engine.state.at_us, ADMIN, BeginHistory(kept, len(whole)))
        begun = seal(chain.digest or GENESIS_DIGEST, entry, (HistoryBegun(kept, len(whole)),))
        replay(engine, chain, StoredRow.of(begun, 2))
        engine.state.check()
        assert State.decode(engine.state.encode()).encode() == engine.state.encode()
        stream = Stream(seed - number, choose_swarm=small_swarm)
        after = []
        for _ in range(150):
            # Another stream, which knows nothing of the first.
            asked = stream.next_entry()
            at_us = max(engine.state.at_us, asked.at_us)
            entry = Entry(engine.state.seq + 1, at_us, asked.actor, asked.command, asked.command_id)
            after.append((entry, engine.apply(entry)))
        engine.state.check()
        lost = whole[kept:]
        for kind, id_of in ((BidPlaced, "bid_id"), (AwardGranted, "award_id")):
            gone = {
                getattr(event, id_of) for row in lost for event in one_by_one(row.events) if isinstance(event, kind)
            }
            new = {
                getattr(event, id_of) for _, events in after for event in one_by_one(events) if isinstance(event, kind)
            }
            assert not gone & new
            assert all(one > HISTORY_ROWS for one in new)
        assert not {row.entry.seq for row in lost} & {entry.seq for entry, _ in after}


def test_a_command_acknowledged_and_lost_is_done_again_once() -> None:
    """HST-1, IDM-1: an id that only lost rows knew is new; one from before is known."""
    script = play(WORLD)
    state = script.engine.state
    for seq, again in ((HISTORY_ROWS + 1, False), (HISTORY_ROWS + 2, True)):
        if seq == HISTORY_ROWS + 1:
            script.engine.apply(Entry(HISTORY_ROWS, state.at_us, ADMIN, BeginHistory(state.seq, 66)))
        (event,) = script.engine.apply(Entry(seq, state.at_us, "a", PlaceBid("m", "a", "t", 5), "once"))
        assert isinstance(event, BidPlaced) is not again


def test_a_refusal_names_no_loss() -> None:
    events = Engine().apply(Entry(1, 0, ADMIN, BeginHistory(0)))
    assert isinstance(events[0], Rejected)
    assert events[0].reason is Reject.HISTORY_CONTINUES
