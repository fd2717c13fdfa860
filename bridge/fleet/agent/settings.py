"""How a worker is set up.

Rule of this file: values and their bounds, checked once, before the worker does anything.
"""

from datetime import timedelta
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.checks import check_name
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.names import OWN
from callmarket.bridge.api.operations.awards import WAIT_S_MAX
from callmarket.bridge.api.units import duration_us
from callmarket.bridge.fleet.tasks.checks import check_tokens

# Each slot is a thread here. For more slots, run more workers, which then fail one by one.
SLOTS_MAX: Final = 64
POLL_S_MIN: Final = 0.01
POLL_S_MAX: Final = 3_600.0
ATTEMPTS_MAX: Final = 1_000


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """The settings of a worker: its name, and what it sells.

    `worker_id` is this worker's alone, and the same after a restart: by it, it finds what it had in hand. Two workers
    may share a slot, never a `worker_id`. `provider_id` is the account that sells the slots and is paid for them.
    `reserve_price_tokens` and `lease` of the slots are the market's own where they are None; a lease has to be longer
    than the work.

    Every `poll_s` seconds it looks for an award. Where it works for one bidder as a rule, `bidder_id` lets a client be
    told at once of that bidder's, waiting `wait_s` at a time; awards of others are seen then, too, but up to so much
    later.

    `attempts_max` is how often a task may fail before it has failed for good. A budget claim older than
    `budget_claim_max` belongs to a worker that is gone, and its task is set free.
    """

    worker_id: str
    market_id: str
    slot_ids: tuple[str, ...]
    provider_id: str
    bidder_id: str | None = None
    reserve_price_tokens: int | None = None
    lease: timedelta | None = None
    attempts_max: int = 3
    poll_s: float = 1.0
    wait_s: float = 5.0
    budget_claim_max: timedelta = timedelta(hours=24)

    def check(self) -> None:
        """Check all values. Raises `Invalid`."""
        names = [("worker_id", self.worker_id), ("market_id", self.market_id), ("provider_id", self.provider_id)]
        names += [(f"slot_ids[{number}]", slot_id) for number, slot_id in enumerate(self.slot_ids)]
        names += [("bidder_id", self.bidder_id)] if self.bidder_id is not None else []
        for field, name in names:
            check_name(field, name)
        if self.provider_id == OWN:
            raise Invalid("provider_id", OWN, "the account itself, by which a worker knows its awards from others'")
        if not 0 < len(self.slot_ids) <= SLOTS_MAX or len(set(self.slot_ids)) < len(self.slot_ids):
            raise Invalid("slot_ids", self.slot_ids, f"1 to {SLOTS_MAX} slots, each once")
        if self.reserve_price_tokens is not None:
            check_tokens("reserve_price_tokens", self.reserve_price_tokens)
        for field, duration in (("lease", self.lease), ("budget_claim_max", self.budget_claim_max)):
            if duration is not None and duration_us(field, duration) <= 0:
                raise Invalid(field, duration, "longer than nothing")
        if not 1 <= self.attempts_max <= ATTEMPTS_MAX:
            raise Invalid("attempts_max", self.attempts_max, f"1 to {ATTEMPTS_MAX}")
        if not POLL_S_MIN <= self.poll_s <= POLL_S_MAX:
            raise Invalid("poll_s", self.poll_s, f"{POLL_S_MIN:g} to {POLL_S_MAX:g} seconds")
        if not 0 <= self.wait_s <= WAIT_S_MAX:
            raise Invalid("wait_s", self.wait_s, f"0 to {WAIT_S_MAX:g} seconds")
