"""A leader that is there to be ended: `python -m benchmarks.leader_process URL RESTING`.

It opens the market, lets so many bids rest, says `ready` with how many do by then, and goes on placing one after the
other. Rule of this file: nothing of it is measured; it is what the standby in `bench_takeover` takes over from.
"""

import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from itertools import count

from callmarket import Exchange, Request, open_exchange
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.bridge.market.sequencer import REQUESTS_PER_BATCH_MAX

# As many as a market of this size has: open bids are bounded for each bidder.
BIDDERS = 1_000
# Long after the last of it is over.
TTL_AT = datetime.now(UTC) + timedelta(days=1)


def bid(number: int) -> Request:
    """A bid that rests, of one of the bidders."""
    return place_bid.request(
        "bench", f"agent-{number % BIDDERS}", f"task-{number}", 1 + number % 1_000, time_in_force="gtd", ttl_at=TTL_AT
    )


def furnish(market: Exchange, resting: int) -> None:
    """A market, rich bidders, and their bids."""
    market.open_market("bench")
    quick = market.acknowledging("applied")
    for number in range(BIDDERS):
        quick.open_account(f"agent-{number}")
        quick.mint(f"agent-{number}", 10**10, "grant:initial")
    for first in range(0, resting, REQUESTS_PER_BATCH_MAX):
        last = min(first + REQUESTS_PER_BATCH_MAX, resting)
        accepted(market.submit([bid(number) for number in range(first, last)], ack="applied"))


def main() -> None:
    """Serve until ended."""
    url, resting = sys.argv[1], int(sys.argv[2])
    with open_exchange(url) as market:
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        furnish(market, resting)
        for number in count(resting):
            accepted(market.submit([bid(number)]))
            if number == resting:
                # Counted, not believed: a bid may be taken and end at once, and the book is then not what it is called.
                sys.stdout.write(f"ready {market.read(lambda state: len(state.bids))}\n")
                sys.stdout.flush()
            if ended.is_set():
                return


if __name__ == "__main__":
    main()
