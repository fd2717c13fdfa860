"""Who is connected: how many, from where, and which of them goes when there is no room.

A connection is proven once a request on it has shown a key that works. Where there is no room, the oldest goes that is
not and that nobody waits for an answer on; then the oldest idle one of a key that has more than its share. So whoever
only holds connections holds them against nobody who has a key. The latest to come have a hall beside, where each has
the time to show its key, however many come after it in that moment.
Rule of this file: it counts and says who goes; sockets are not known here. All of it is for one event loop.
"""

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from callmarket.bridge.access.principal import Principal
from callmarket.bridge.access.sites import site_of

# Connections at a time: each costs some 50 kB. Agents share connections, or a proxy does it for them.
CONNECTIONS_MAX: Final = 4_096
# So many more, for the head of one request, where hardly anybody else could go. Who then shows a key stays in the place
# of one that has to go; if there is none, only the staff stays.
HALL_MAX: Final = 64
# Of an address, or of a key where there is no room.
SHARE_MAX: Final = CONNECTIONS_MAX // 4
# How many are looked at to find one that is idle: those that are not wait for an answer, which takes milliseconds.
_LOOKS_MAX: Final = 64


class Connected(Protocol):
    """A connection as the table sees it."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer on it."""

    def evict(self) -> None:
        """End it at once."""


class ConnectionTable:
    """All connections of a server."""

    def __init__(
        self,
        connections_max: int = CONNECTIONS_MAX,
        per_site_max: int = SHARE_MAX,
        is_proxy: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """So many in all, and from one address but for those of proxies, behind which others are."""
        self._connections_max: Final = connections_max
        self._per_site_max: Final = per_site_max
        self._per_key_max: Final = max(1, connections_max // 4)
        self._is_proxy: Final = is_proxy
        self._site_of: Final[dict[Connected, str]] = {}
        self._of_site: Final[Counter[str]] = Counter()
        # Each in the order in which they came.
        self._unproven: Final[dict[Connected, None]] = {}
        self._key_of: Final[dict[Connected, str]] = {}
        self._of_key: Final[dict[str, dict[Connected, None]]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._site_of)

    def has_room_for(self, peer: str) -> bool:
        """Whether one more may come from this address; another one may have been ended for it."""
        if self._is_full_of(peer):
            return False
        has_hall = len(self) < self._connections_max + HALL_MAX
        if len(self) < self._connections_max or (has_hall and len(self._unproven) < HALL_MAX):
            return True
        return self._makes_room() or has_hall

    def add(self, connection: Connected, peer: str) -> None:
        """It is there."""
        site = "" if self._is_proxy(peer) else site_of(peer)
        self._site_of[connection] = site
        self._of_site[site] += 1
        self._unproven[connection] = None

    def prove(self, connection: Connected, principal: Principal) -> bool:
        """A request on it has shown this key. Returns whether it may stay."""
        key_id = principal.key_id
        if self._key_of.get(connection) == key_id or connection not in self._site_of:
            return True
        if len(self) > self._connections_max and not self._makes_room() and not principal.is_staff:
            return False
        self._forget_key(connection)
        self._unproven.pop(connection, None)
        self._key_of[connection] = key_id
        self._of_key.setdefault(key_id, {})[connection] = None
        return True

    def remove(self, connection: Connected) -> None:
        """It is gone. Again: nothing."""
        site = self._site_of.pop(connection, None)
        if site is None:
            return
        self._of_site[site] -= 1
        if not self._of_site[site]:
            del self._of_site[site]
        self._unproven.pop(connection, None)
        self._forget_key(connection)

    def _is_full_of(self, peer: str) -> bool:
        return not self._is_proxy(peer) and self._of_site[site_of(peer)] >= self._per_site_max

    def _makes_room(self) -> bool:
        victim = self._one_to_go()
        if victim is not None:
            self.remove(victim)
            victim.evict()
        return victim is not None

    def _one_to_go(self) -> Connected | None:
        """O(keys) where all are proven; no more than three of them have more than their share."""
        groups = [self._unproven, *(own for own in self._of_key.values() if len(own) > self._per_key_max)]
        for group in groups:
            for connection in islice(group, _LOOKS_MAX):
                if connection.is_idle:
                    return connection
        return None

    def _forget_key(self, connection: Connected) -> None:
        key_id = self._key_of.pop(connection, None)
        if key_id is not None:
            own = self._of_key[key_id]
            del own[connection]
            if not own:
                del self._of_key[key_id]
