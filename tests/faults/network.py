"""Faults of the network between engine and server.

Rule of this file: all of them in `tests.support.proxy`, through which every connection of the engine leads.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support.proxy import JSON_ARRAY, Moment, Proxy

CUTS_MAX = 6
# What the writer sends in its batches, also when statements are prepared: before the fence, with the rows, at the end.
PATTERNS = (b"BEGIN", JSON_ARRAY, b"COMMIT")
MOMENTS: tuple[Moment, ...] = ("before", "sent", "answered", "torn")
CUT_S_MAX = 20.0


def proxy_of(stage: Stage) -> Proxy:
    assert stage.proxy is not None, "this fault needs a market behind a proxy"
    return stage.proxy


@contextmanager
def cut_at_random(stage: Stage, rng: random.Random) -> Iterator[None]:
    for _ in range(rng.randint(1, CUTS_MAX)):
        proxy_of(stage).cut_all()
        time.sleep(rng.uniform(0, 0.2))
    yield


@contextmanager
def cut_inside_batches(stage: Stage, rng: random.Random) -> Iterator[None]:
    """Each cut is awaited, so that it has been made."""
    proxy = proxy_of(stage)
    for _ in range(rng.randint(1, CUTS_MAX)):
        made = proxy.cuts_made
        proxy.cut(rng.choice(PATTERNS), rng.choice(MOMENTS), skip=rng.randrange(4))
        deadline_s = time.monotonic() + CUT_S_MAX
        while proxy.cuts_made == made:
            assert time.monotonic() < deadline_s, "the writer sends nothing"
            time.sleep(0.002)
    yield


@contextmanager
def swallow(stage: Stage, rng: random.Random) -> Iterator[None]:
    proxy = proxy_of(stage)
    proxy.flowing.clear()
    try:
        yield
    finally:
        proxy.flowing.set()


@contextmanager
def refuse(stage: Stage, rng: random.Random) -> Iterator[None]:
    proxy = proxy_of(stage)
    proxy.refusing = True
    proxy.cut_all()
    try:
        yield
    finally:
        proxy.refusing = False


FAULTS = (
    Fault("connection cut", "all connections cut, up to 6 times", cut_at_random, place="proxied"),
    Fault(
        "cut inside a batch",
        "cut or reset before, in, after the BEGIN, the rows or the COMMIT, or with only the answer lost; up to 6 times",
        cut_inside_batches,
        place="proxied",
    ),
    Fault("black hole", "packets are swallowed and come late", swallow, (0.5, 4.0), place="proxied"),
    Fault("connections refused", "all connections cut, new ones refused", refuse, (0.5, 2.0), place="proxied"),
)
