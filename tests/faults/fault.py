"""What a fault is to the driver.

Rule of this file: a fault says what it does and what it may cause; it waits for nothing and judges nothing (`stage`
does).
"""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tests.faults.stage import Stage

# Where the market stands: on a server of its own, behind a proxy, with a standby beside its engine, or on a small disk.
Place = Literal["direct", "proxied", "with a standby", "small disk"]
Process = Literal["engine", "server"]
Strike = Callable[["Stage", random.Random], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One way of hurting a market. `strike` does it on entering and heals it on leaving."""

    name: str
    what: str
    strike: Strike
    # How long it lasts; drawn anew for each round.
    hold_s: tuple[float, float] = (0.0, 0.0)
    # What it ends, and what a service manager therefore starts again. Everything else must live on.
    ends: frozenset[Process] = frozenset()
    # What clients and readers may be told meanwhile. Anything else is a bug.
    errors: frozenset[str] = frozenset({"Unavailable", "NotLeader", "UnknownOutcome"})
    place: Place = "direct"
    # Too long for every run of the tests.
    long: bool = False
