"""The places of the requests that change something: how many are under way, and of which keys.

A request has a place from when it is complete and its key has been checked until it is answered. Keys share the places
by dynamic thresholds (Choudhury and Hahne 1998): a key may take another place while it has fewer than are still free.
One key alone gets half of the places, and each of n keys one part in n + 1, so a key that has none finds one. Staff
have some places of their own beside these, and so have the operations on keys: a flood from one key cannot prevent that
key from being revoked.
Rule of this file: pure, O(1); it counts, and refuses at once where there is no room.
"""

from collections import Counter
from typing import Final, NamedTuple

from callmarket.bridge.access.principal import Principal, Scope
from callmarket.bridge.api.errors import Unavailable

# Enough for the calls, settlements, grants and cycles of a whole platform, none of which takes longer than a commit.
STAFF_MAX: Final = 64
# For creating, listing and revoking keys, which people do one at a time.
KEYS_MAX: Final = 8
KEYS_PATH: Final = "/api/v1/keys"
# Requests that are under way are answered in milliseconds, unless the database is unavailable.
RETRY_AFTER_S: Final = 1.0


class Place(NamedTuple):
    """A place that is taken: its kind, and its key, which is empty for the places of staff and of key operations."""

    kind: str
    key_id: str


class Places:
    """The places of a server, for use in one event loop."""

    def __init__(self, places_max: int) -> None:
        """Up to `places_max` for all keys; those of staff and of key operations come on top."""
        assert places_max > 0, places_max
        self._max: Final = {"keys": KEYS_MAX, "staff": STAFF_MAX, "all": places_max}
        self._taken: Final[Counter[str]] = Counter()
        self._of_key: Final[Counter[str]] = Counter()

    def __len__(self) -> int:
        """How many are taken, of all kinds."""
        return self._taken.total()

    def take(self, principal: Principal, path: str) -> Place:
        """Take a place for a request of this key. Raises `Unavailable` if there is none for it."""
        for kind in _kinds(principal, path):
            if self._taken[kind] < self._max[kind]:
                self._taken[kind] += 1
                return Place(kind, "")
        key_id = principal.key_id
        if not self.has_room_for(key_id):
            own = self._of_key[key_id]
            words = f"{own} requests of key {key_id}" if own else f"{self._max['all']} requests"
            raise Unavailable(f"{words} wait already, and more are not accepted", RETRY_AFTER_S)
        self._taken["all"] += 1
        self._of_key[key_id] += 1
        return Place("all", key_id)

    def has_room_for(self, key_id: str) -> bool:
        """Whether a key that is not of staff may have another place."""
        return self._of_key[key_id] < self._max["all"] - self._taken["all"]

    @property
    def is_crowded(self) -> bool:
        """Whether some key may be refused another place: if half of the places are taken, one key may have them all."""
        return 2 * self._taken["all"] >= self._max["all"]

    def give_back(self, place: Place) -> None:
        """Give a place back: its request was answered, or the client has gone."""
        assert self._taken[place.kind] > 0, place
        self._taken[place.kind] -= 1
        if place.key_id:
            self._of_key[place.key_id] -= 1
            if not self._of_key[place.key_id]:
                # Only keys that have a place are kept, so that memory is bounded.
                del self._of_key[place.key_id]


def _kinds(principal: Principal, path: str) -> tuple[str, ...]:
    """The kinds of reserved places that a request may have, the scarcest first."""
    if Scope.ADMIN in principal.scopes:
        return ("keys", "staff") if path.startswith(KEYS_PATH) else ("staff",)
    return ("staff",) if principal.is_staff else ()
