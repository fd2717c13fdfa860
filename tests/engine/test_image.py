"""The state as bytes, and what damaged bytes do.

Goal: what is decoded goes on exactly as what was encoded, and what is no image raises `ImageError` and nothing else.
Method: a state with something in every row; cuts, flips, and rows that contradict each other.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from callmarket.engine.commands import CancelBid, ClearRound, Command, Entry, ExpireDue, Mint, PlaceBid, SettleAward
from callmarket.engine.core import Engine
from callmarket.engine.image import FORMAT, ImageError
from callmarket.engine.state import State
from tests.support.samples import FULL_WORLD
from tests.support.script import play

# The places of some parts in the list of the image, as `image._Image` declares them.
FORMAT_AT, ACCOUNTS_AT, MARKETS_AT, LOSING_AT, SLOTS_AT, ENDED_AT, AWARDS_AT = 0, 6, 8, 9, 10, 11, 12
HOLDS_AT, HOLDS_ENDED_AT, CAPITAL_AT, RECEIPTS_AT = 13, 14, 16, 17
# Within the part of artifact markets.
ORDERS_AT, POSITIONS_AT = 3, 4
FLIPS = 3_000


@pytest.fixture(scope="module")
def full() -> bytes:
    """The bytes of a state with something in every row."""
    return play(FULL_WORLD).engine.state.encode()


def test_a_state_comes_back_as_the_same_bytes(full: bytes) -> None:
    state = State.decode(full)
    state.check()
    assert state.encode() == full


def test_an_empty_state_comes_back_empty() -> None:
    state = State.decode(State().encode())
    state.check()
    assert state.encode() == State().encode()
    assert (state.seq, state.at_us, state.bids, state.slots) == (0, 0, {}, {})


def test_a_state_that_came_back_goes_on_as_the_one_that_stayed() -> None:
    """IDM-1, BID-3, BID-9, SET-6: indexes, deadlines, losers, leases and receipts are rebuilt, not only the rows."""
    stayed = play(FULL_WORLD).engine
    came_back = Engine(State.decode(stayed.state.encode()))
    onward: list[tuple[Command, str, str]] = [
        (Mint("a", 5, "earn:debate", "debate", "7"), "admin", "k1"),
        (Mint("a", 5, "earn:debate", "debate", "7"), "admin", ""),
        (PlaceBid("m", "q", "t4", 3), "q", ""),
        (PlaceBid("m", "a", "t1", 3), "a", ""),
        (CancelBid(4), "q", ""),
        (CancelBid(3), "a", ""),
        (SettleAward("s1", 1, 2_000_000, 1, "p"), "p", ""),
        (ClearRound("m"), "operator", ""),
        (ExpireDue(), "operator", ""),
        (CancelBid(6), "q", ""),
        (PlaceBid("m", "a", "t9", 3), "a", ""),
        (ClearRound("n"), "operator", ""),
    ]
    for step, (command, actor, command_id) in enumerate(onward):
        entry = Entry(stayed.state.seq + 1, 60 + step, actor, command, command_id)
        assert came_back.apply(entry) == stayed.apply(entry), entry
        assert came_back.state.encode() == stayed.state.encode(), entry
        came_back.state.check()


@pytest.mark.parametrize(
    "newer", ["bid a t 9 gtd ttl=90 -> bid 2", "bid a t 9 gtd ttl=90 -> bid 2\ncancel 2 -> released 9"]
)
def test_a_replaced_bid_stays_replaced(newer: str) -> None:
    """BID-9: also where the newer bid is read first, or is gone already."""
    stayed = play(f"""
    market m
    account a agent 100
    bid a t 5 gtd ttl=10 -> bid 1
    t=10 {newer}
    """).engine.state
    came_back = State.decode(stayed.encode())
    came_back.check()
    indexes = [
        {task: bid.bid_id for task, bid in state.markets["m"].bids_by_bidder.get("a", {}).items()}
        for state in (stayed, came_back)
    ]
    assert indexes[0] == indexes[1]
    assert [state.bids[1].replaced for state in (stayed, came_back)] == [True, True]
    assert came_back.markets["m"].bids_held == stayed.markets["m"].bids_held


def test_equal_states_are_equal_bytes_whatever_path_led_to_them() -> None:
    """Accounts opened, bids cancelled and slots withdrawn in another order."""
    one = play("""
    account a agent
    account b agent
    market m
    market n
    mint a 5 reason=earn:x ref=1
    mint b 5 reason=earn:x ref=2
    """)
    two = play("""
    market n
    account b agent
    market m
    mint b 5 reason=earn:x ref=2
    account a agent
    mint a 5 reason=earn:x ref=1
    """)
    assert one.engine.state.encode() == two.engine.state.encode()


def test_every_cut_is_an_image_error(full: bytes) -> None:
    for length in range(len(full)):
        with pytest.raises(ImageError):
            State.decode(full[:length])
    with pytest.raises(ImageError):
        State.decode(full + b"\x00")


def test_no_flipped_byte_raises_anything_else(full: bytes, seed: int) -> None:
    """A flip in a name or a number is another state, for the checksum to find; never another kind of error."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(FLIPS):
        damaged = bytearray(full)
        for _ in range(rng.choice((1, 1, 1, 4))):
            damaged[rng.randrange(len(full))] = rng.randrange(256)
        try:
            State.decode(bytes(damaged))
        except ImageError:
            refused += 1
    assert FLIPS // 10 < refused < FLIPS


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x90", b"{}", b"[1]", b"\xc1", "§".encode(), bytes(1000)])
def test_bytes_that_are_no_image_raise_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        State.decode(data)


def changed(full: bytes, change: Callable[[list[Any]], None]) -> bytes:
    rows: list[Any] = msgspec.msgpack.decode(full)
    change(rows)
    return msgspec.msgpack.encode(rows)


def test_another_format_is_named() -> None:
    def next_format(rows: list[Any]) -> None:
        rows[FORMAT_AT] = FORMAT + 1

    with pytest.raises(ImageError, match=f"image format {FORMAT + 1}, this program reads {FORMAT}"):
        State.decode(changed(State().encode(), next_format))


DAMAGES: dict[str, Callable[[list[Any]], None]] = {
    "a part too many": lambda rows: rows.append([]),
    "a part too few": lambda rows: rows.pop(),
    "an account of no kind": lambda rows: rows[ACCOUNTS_AT][0].__setitem__(1, "bank"),
    "a balance that is text": lambda rows: rows[ACCOUNTS_AT][0].__setitem__(2, "7"),
    "an account without what is held": lambda rows: rows[ACCOUNTS_AT][0].pop(),
    "a market without rules": lambda rows: rows[MARKETS_AT][0].__setitem__(0, {}),
    "a bid with a column too many": lambda rows: rows[MARKETS_AT][0][2][0].append(1),
    "a bid with a column too few": lambda rows: rows[MARKETS_AT][0][2][0].pop(),
    "a bid of another market": lambda rows: rows[MARKETS_AT][0][2][0].__setitem__(1, "n"),
    "a bid of nobody": lambda rows: rows[MARKETS_AT][0][2][0].__setitem__(2, "nobody"),
    "a slot with a column too few": lambda rows: rows[SLOTS_AT][0].pop(),
    "an award with a column too many": lambda rows: rows[AWARDS_AT][0].append(1),
    "losers of a market that is not there": lambda rows: rows[LOSING_AT][0].__setitem__(0, "none"),
    "a slot of a market that is not there": lambda rows: rows[SLOTS_AT][0].__setitem__(1, "none"),
    "a slot of no status": lambda rows: rows[SLOTS_AT][0].__setitem__(2, "sold"),
    "an award of a market that is not there": lambda rows: rows[AWARDS_AT][0].__setitem__(1, "none"),
    "a named hold with a column too few": lambda rows: rows[HOLDS_AT][0].pop(),
    "a named hold of nobody": lambda rows: rows[HOLDS_AT][0].__setitem__(2, "nobody"),
    "an ended hold of no status": lambda rows: rows[HOLDS_ENDED_AT][0].__setitem__(10, "lost"),
    "an artifact market of no status": lambda rows: rows[CAPITAL_AT][1][0][1].__setitem__(0, "shut"),
    "an artifact market without a maker": lambda rows: rows[CAPITAL_AT][1][0].__setitem__(2, []),
    "an order of a market that is not there": lambda rows: rows[CAPITAL_AT][ORDERS_AT][0].__setitem__(1, "none"),
    "a position of a market that is not there": lambda rows: rows[CAPITAL_AT][POSITIONS_AT][0].__setitem__(1, "none"),
    "a position with a column too few": lambda rows: rows[CAPITAL_AT][POSITIONS_AT][0].pop(),
    "a receipt of a command that is none": lambda rows: rows[RECEIPTS_AT][0].__setitem__(4, b"{}"),
    "a receipt of events that are none": lambda rows: rows[RECEIPTS_AT][0].__setitem__(5, b"[{}]"),
    "a receipt that is not text": lambda rows: rows[RECEIPTS_AT][0].__setitem__(4, b'{"type":"\xff"}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_row_that_cannot_be_is_an_image_error(full: bytes, damage: Callable[[list[Any]], None]) -> None:
    with pytest.raises(ImageError):
        State.decode(changed(full, damage))


CONTRADICTIONS: dict[str, Callable[[list[Any]], None]] = {
    "tokens from nowhere": lambda rows: rows[ACCOUNTS_AT][0].__setitem__(2, 7),
    "a bid that is gone, with its hold": lambda rows: rows[MARKETS_AT][0][2].pop(0),
    "a bid of another price": lambda rows: rows[MARKETS_AT][0][2][0].__setitem__(4, 7),
    "a bid of another bidder": lambda rows: rows[MARKETS_AT][0][2][0].__setitem__(2, "a"),
    "a bid that is there twice": lambda rows: rows[MARKETS_AT][0][2].append(rows[MARKETS_AT][0][2][0]),
    "what is held is another sum": lambda rows: rows[ACCOUNTS_AT][0].__setitem__(3, 7),
    "an award of another price": lambda rows: rows[AWARDS_AT][0].__setitem__(6, 7),
    "an award that is gone": lambda rows: rows[AWARDS_AT].pop(0),
    "an ended slot that is not listed": lambda rows: rows[ENDED_AT].pop(0),
    "an awarded slot that is offered": lambda rows: rows[SLOTS_AT][0].__setitem__(2, "offered"),
    "a named hold that is gone": lambda rows: rows[HOLDS_AT].pop(0),
    "a named hold of another size": lambda rows: rows[HOLDS_AT][0].__setitem__(4, 1),
    "a named hold of another account": lambda rows: rows[HOLDS_AT][0].__setitem__(2, "q"),
    "a named hold that is there twice": lambda rows: rows[HOLDS_AT].append(rows[HOLDS_AT][0]),
    "an open hold that has ended": lambda rows: rows[HOLDS_AT][0].__setitem__(10, "captured"),
    "an ended hold that is open": lambda rows: rows[HOLDS_ENDED_AT][0].__setitem__(10, "open"),
    "losers that are gone": lambda rows: rows[LOSING_AT].pop(0),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_rows_that_contradict_each_other_are_found_by_the_check(
    full: bytes, contradiction: Callable[[list[Any]], None]
) -> None:
    """`restore` says: call `check()` before trusting them."""
    state = State.decode(changed(full, contradiction))
    with pytest.raises(AssertionError):
        state.check()
