"""The engine's own process, a real exchange behind two pipes.

Started with `python -m callmarket.bridge.studies.demo.process.engine_process URL`.

Rule of this file: it answers a batch when the batch is durable and not before, so whatever the demo has read is
acknowledged and must survive a SIGKILL at any instant. It keeps nothing outside the exchange.
"""

import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from typing import IO, Final, assert_never

from callmarket.bridge.api.clock import ManualClock
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.market.app import open_exchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.studies.demo.options import SHARD_ID
from callmarket.bridge.studies.demo.process import frames
from callmarket.engine.state import State

# What the exchange takes in one go is bounded; a longer batch of the demo goes in parts.
REQUESTS_PER_PART: Final = 500


def main(url: str) -> int:
    """Open the exchange, say what was recovered, and serve until the pipe ends."""
    requests, answers = _own_pipes()
    clock = ManualClock()
    try:
        with open_exchange(url, clock=clock, shard_id=SHARD_ID) as exchange:
            report = exchange.recovery
            frames.write(answers, frames.Started(report.rows, report.seconds))
            while (request := frames.read_request(requests)) is not None and not isinstance(request, frames.Stop):
                frames.write(answers, _answer(exchange, clock, request))
    except Exception as error:
        # The demo shows this sentence; the traceback goes to its log by the raise.
        frames.write(answers, frames.Failed(f"{type(error).__name__}: {error}"))
        raise
    return 0


def _answer(exchange: Exchange, clock: ManualClock, request: frames.ToEngine) -> frames.FromEngine:
    match request:
        case frames.Submit():
            clock.set_us(request.now_us)
            return frames.Replies(tuple(_submit(exchange, request.requests)))
        case frames.StateDigest():
            return exchange.read(_digest)
        case frames.Summary():
            return exchange.read(_balances)
        case frames.Stop():
            raise AssertionError("ends the loop")
        case _:
            assert_never(request)


def _submit(exchange: Exchange, requests: tuple[Request, ...]) -> Iterator[Reply]:
    for start in range(0, len(requests), REQUESTS_PER_PART):
        yield from exchange.submit(requests[start : start + REQUESTS_PER_PART])


def _digest(state: State) -> frames.DigestOf:
    return frames.DigestOf(state.seq, sha256(state.encode()).digest())


def _balances(state: State) -> frames.Balances:
    state.check()
    accounts = state.ledger.accounts
    return frames.Balances(
        state.seq, {name: (account.balance_tokens, account.held_tokens) for name, account in accounts.items()}
    )


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take the two pipes away from everyone else, so that a stray print cannot break a frame."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
