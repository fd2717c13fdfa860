"""The places of the requests that change something: how many are under way, and whose they are.

A request has a place once all of it is there and its key is good, and until it is answered. Keys share the places by
dynamic thresholds (Choudhury and Hahne 1998): a key may take another one as long as it has fewer than are still free.
One key alone gets half of them, n of them a part of n + 1 each, and so whoever has none finds one. Whoever runs the
market has some of its own beside these, and so have the keys themselves: nobody who is to be shut out can keep that
from being done.
Rule of this file: pure, O(1); it counts, and refuses at once where there is no room.
"""

from collections import Counter
from typing import Final, NamedTuple

from callmarket.bridge.access.principal import Principal, Scope
from callmarket.bridge.api.errors import Unavailable

# Calls, settlements, grants and cycles of a whole platform, none of which takes longer than a commit.
STAFF_MAX: Final = 64
# To make, to look for and to revoke a key: what people do, one after the other.
KEYS_MAX: Final = 8
KEYS_PATH: Final = "/api/v1/keys"
# What is under way is answered in milliseconds, or the database is away.
RETRY_AFTER_S: Final = 1.0


class Place(NamedTuple):
    """A place that somebody has: of which kind, and by which key."""

    kind: str
    key_id: str


class Places:
    """For one event loop."""

    def __init__(self, places_max: int) -> None:
        """So many for all, and those of the staff and of the keys beside them. Nobody has one yet."""
        assert places_max > 0, places_max
        self._max: Final = {"keys": KEYS_MAX, "staff": STAFF_MAX, "all": places_max}
        self._taken: Final[Counter[str]] = Counter()
        self._of_key: Final[Counter[str]] = Counter()

    def __len__(self) -> int:
        """How many are taken, of all kinds."""
        return self._taken.total()

    def take(self, principal: Principal, path: str) -> Place:
        """A place for a request of this key. Raises `Unavailable` where there is none for it."""
        for kind in _kinds(principal, path):
            if self._taken[kind] < self._max[kind]:
                self._taken[kind] += 1
                return Place(kind, "")
        key_id = principal.key_id
        if not self.has_room_for(key_id):
            own = self._of_key[key_id]
            words = f"{own} requests of key {key_id}" if own else f"{self._max['all']} requests"
            raise Unavailable(f"{words} wait already: more would only wait longer", RETRY_AFTER_S)
        self._taken["all"] += 1
        self._of_key[key_id] += 1
        return Place("all", key_id)

    def has_room_for(self, key_id: str) -> bool:
        """Whether a key, which is no staff's, may have another one."""
        return self._of_key[key_id] < self._max["all"] - self._taken["all"]

    @property
    def is_crowded(self) -> bool:
        """Whether there may be a key that gets no more: one that has half of them."""
        return 2 * self._taken["all"] >= self._max["all"]

    def give_back(self, place: Place) -> None:
        """It was answered, or nobody is there any more."""
        assert self._taken[place.kind] > 0, place
        self._taken[place.kind] -= 1
        if place.key_id:
            self._of_key[place.key_id] -= 1
            if not self._of_key[place.key_id]:
                # Keys come and go: only those with a place are kept.
                del self._of_key[place.key_id]


def _kinds(principal: Principal, path: str) -> tuple[str, ...]:
    """The places of its own that a request may have, the rarest first."""
    if Scope.ADMIN in principal.scopes:
        return ("keys", "staff") if path.startswith(KEYS_PATH) else ("staff",)
    return ("staff",) if principal.is_staff else ()
