"""A small market in a few words, for tests of the bridge.

Rule of this file: only what many tests need, through the public verbs.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from callmarket import Exchange
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.market.waiting import Waiting

WAIT_S_MAX = 60.0
"""A wait that takes longer than this has failed; a busy machine is slow, not wrong."""


def furnish(market: Exchange, *bidder_ids: str, tokens: int = 1_000, market_id: str = "m") -> None:
    """Open a market and some accounts with tokens."""
    market.open_market(market_id)
    for bidder_id in bidder_ids:
        market.open_account(bidder_id)
        market.mint(bidder_id, tokens, "grant:initial")


def award_one(market: Exchange, bidder_id: str = "a", *, slot_id: str = "s", price_tokens: int = 10) -> int:
    """Let a bidder win a slot, for nothing, and return the award's id."""
    market.offer_slot("m", slot_id)
    market.place_bid("m", bidder_id, f"task-of-{slot_id}", price_tokens)
    (award,) = market.clear_round("m").awards
    return award.award_id


def at(us: int) -> datetime:
    """The date of these microseconds."""
    return datetime_of(us)


def last_seq(market: Exchange) -> int:
    """The seq of the last command that the engine has applied."""
    return market.read(lambda state: state.seq)


@contextmanager
def impatient(market: Exchange, wait_s: float) -> Iterator[None]:
    """Within the block nobody waits longer than this for a row: a database that is well may take longer for it."""
    node, reign = market.node, market.node._session
    assert reign is not None
    before = node._ack_timeout_s, reign._drain_s_max, reign.waiting
    node._ack_timeout_s = reign._drain_s_max = wait_s
    reign.waiting = Waiting(reign.write_behind, wait_s)
    try:
        yield
    finally:
        node._ack_timeout_s, reign._drain_s_max, reign.waiting = before


def in_threads(works: Iterable[Callable[[], object]]) -> list[BaseException]:
    """Run all at once, each in a thread of its own; return what they raised when all have ended."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- for the test to judge
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S_MAX)
        assert not thread.is_alive(), "a caller hangs"
    return raised


def until(true: Callable[[], bool], within_s: float = WAIT_S_MAX) -> None:
    """Wait until something is so that nobody announces: looked at every few milliseconds, for a bounded time."""
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "it does not come to that"
        time.sleep(0.005)
