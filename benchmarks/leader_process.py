"""A leader that is there to be ended: `python -m benchmarks.leader_process URL RESTING`.

It opens the market, lets so many bids rest, says `ready`, and goes on placing one after the other.
Rule of this file: nothing of it is measured; it is what the standby in `bench_takeover` takes over from.
"""

import signal
import sys
import threading
from itertools import count

from bridge import Exchange, Request, open_exchange, verbs
from bridge.sequencer import REQUESTS_PER_BATCH_MAX


def bid(number: int) -> Request:
    """A bid that rests."""
    return verbs.place_bid("bench", "agent", f"task-{number}", 1 + number % 1_000, time_in_force="gtd")


def furnish(market: Exchange, resting: int) -> None:
    """A market, a rich bidder, and its bids."""
    market.open_market("bench")
    market.open_account("agent")
    market.mint("agent", 10**12, "grant:initial")
    for first in range(0, resting, REQUESTS_PER_BATCH_MAX):
        last = min(first + REQUESTS_PER_BATCH_MAX, resting)
        market.submit([bid(number) for number in range(first, last)], ack="applied")


def main() -> None:
    """Serve until ended."""
    url, resting = sys.argv[1], int(sys.argv[2])
    with open_exchange(url) as market:
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        furnish(market, resting)
        for number in count(resting):
            market.submit([bid(number)])
            if number == resting:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
            if ended.is_set():
                return


if __name__ == "__main__":
    main()
