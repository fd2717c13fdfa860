"""Done once means once, by every way to a market: also when strangers have pushed the whole reply out of memory.

Goal: who sends again what moved tokens hears what it heard the first time, and nothing moves. Method: the window of
whole replies holds one, and a stranger's command with an id takes its place. IDM-1.
"""

from collections.abc import Callable

import msgspec
import pytest

from callmarket import Exchange, ManualClock, Refused
from callmarket.bridge.api.market import Market
from callmarket.engine import limits as engine_limits
from callmarket.engine.reject import Reject
from tests.bridge.conftest import START_US
from tests.support.small_market import award_one, furnish

HOUR_US = 3_600_000_000

MOVES: dict[str, Callable[[Market], object]] = {
    "mint": lambda api: api.mint("a", 5, "grant:any", command_id="k"),
    "burn": lambda api: api.burn("a", 5, "fee", command_id="k"),
    "transfer": lambda api: api.transfer("a", "b", 5, "pay", command_id="k"),
    "place_hold": lambda api: api.place_hold("h", "a", 5, "stake", command_id="k"),
    "capture_hold": lambda api: api.capture_hold("open", "a", "b", 4, command_id="k"),
    "release_hold": lambda api: api.release_hold("open", "a", command_id="k"),
    "clear_round": lambda api: api.clear_round("m", command_id="k"),
    "settle": lambda api: api.settle("s", 3, 1.0, command_id="k"),
    "void": lambda api: api.void("s", command_id="k"),
}


def lived(owner: Exchange) -> None:
    """A market in which each of the moves can be made."""
    furnish(owner, "a", "b")
    award_one(owner)
    # By the admin, as whom the clients end it too.
    owner.acting_as("admin").place_hold("open", "a", 7, "stake")
    owner.place_bid("m", "b", "t", 9)
    owner.offer_slot("m", "s2")


def balances(owner: Exchange) -> object:
    return owner.read(lambda state: msgspec.json.encode(sorted(state.ledger.accounts.items())))


@pytest.mark.parametrize("move", MOVES)
def test_a_retry_is_told_the_first_reply_and_moves_nothing(
    api: Market, owner: Exchange, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """IDM-1: the same result, with `repeated`, a moment later and a day later."""
    monkeypatch.setattr(engine_limits, "RECEIPTS_MAX", 1)
    lived(owner)
    first = MOVES[move](api)
    owner.open_account("stranger", command_id="stranger")
    after = balances(owner)
    for later_us in (0, 24 * HOUR_US):
        clock.set_us(START_US + later_us)
        again = MOVES[move](api)
        assert balances(owner) == after
        # Which rows are durable by now differs, and nothing else.
        assert told(again) == told(first)
        assert stamp_of(again).repeated
        assert not stamp_of(first).repeated


def stamp_of(result: object) -> object:
    return getattr(result, "stamp", result)


def told(result: object) -> object:
    """What a result says, but for what is known to be durable, and that it is told again."""
    plain = msgspec.to_builtins(result)
    stamp = plain.get("stamp", plain)
    stamp.pop("durable_seq")
    stamp.pop("repeated")
    return plain


def test_without_room_a_new_command_is_refused_and_a_retry_is_not(
    api: Market, owner: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: `RETRIES_FULL` names the bound; clients give every verb an id, so it has to be told as what it is."""
    monkeypatch.setattr(engine_limits, "RECEIPTS_MAX", 1)
    monkeypatch.setattr(engine_limits, "RETRIES_PER_STAFF_MAX", 1)
    lived(owner)
    first = api.mint("a", 5, "grant:any", command_id="k")
    with pytest.raises(Refused) as caught:
        api.mint("a", 5, "grant:any", command_id="k2")
    assert (caught.value.reason, caught.value.value, caught.value.bound) == (Reject.RETRIES_FULL, "k2", 1)
    assert api.mint("a", 5, "grant:any", command_id="k").stamp.seq == first.stamp.seq
    assert owner.wallet("a").balance_tokens == 1_005
