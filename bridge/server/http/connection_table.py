"""The table of connections: how many there are, from where, and which one is evicted when there is no room.

A connection is proven once a request on it has shown a valid key. If there is no room, the oldest idle connection that
is not proven is evicted; if there is none, the oldest idle one of a key that has more than its share. So a client that
only holds connections cannot keep out a client with a key. Beyond the limit there is a hall of extra connections for
the newest, so that each has the time to show its key, however many connect after it.
Rule of this file: it counts and chooses which connection to evict; it knows no sockets. It is for one event loop.
"""

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from callmarket.bridge.access.principal import Principal
from callmarket.bridge.access.sites import site_of

# Connections at a time: each costs about 50 kB. Agents share connections, or a proxy does that for them.
CONNECTIONS_MAX: Final = 4_096
# This many more, for the head of one request, while few others could be evicted. One that then shows a key stays, in
# place of another that is evicted; if none can be, only staff stays.
HALL_MAX: Final = 64
# Connections of one address; and of one key, once there is no room.
SHARE_MAX: Final = CONNECTIONS_MAX // 4
# How many are checked to find an idle one. The others wait for a response, which takes milliseconds.
_LOOKS_MAX: Final = 64


class Connected(Protocol):
    """A connection as the table sees it."""

    @property
    def is_idle(self) -> bool:
        """Whether no request on it waits for a response."""

    def evict(self) -> None:
        """Close it at once."""


class ConnectionTable:
    """All connections of a server."""

    def __init__(
        self,
        connections_max: int = CONNECTIONS_MAX,
        per_site_max: int = SHARE_MAX,
        is_proxy: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Up to `connections_max` in all and `per_site_max` from one address, except from the addresses of proxies."""
        self._connections_max: Final = connections_max
        self._per_site_max: Final = per_site_max
        self._per_key_max: Final = max(1, connections_max // 4)
        self._is_proxy: Final = is_proxy
        self._site_of: Final[dict[Connected, str]] = {}
        self._of_site: Final[Counter[str]] = Counter()
        # Each in the order in which they connected.
        self._unproven: Final[dict[Connected, None]] = {}
        self._key_of: Final[dict[Connected, str]] = {}
        self._of_key: Final[dict[str, dict[Connected, None]]] = {}

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._site_of)

    def has_room_for(self, peer: str) -> bool:
        """Whether this address may have one more connection. Another one may be evicted for it."""
        if self._is_full_of(peer):
            return False
        has_hall = len(self) < self._connections_max + HALL_MAX
        if len(self) < self._connections_max or (has_hall and len(self._unproven) < HALL_MAX):
            return True
        return self._makes_room() or has_hall

    def add(self, connection: Connected, peer: str) -> None:
        """Add a connection from this address, not proven yet."""
        site = "" if self._is_proxy(peer) else site_of(peer)
        self._site_of[connection] = site
        self._of_site[site] += 1
        self._unproven[connection] = None

    def prove(self, connection: Connected, principal: Principal) -> bool:
        """Note that a request on it has shown this key. Returns whether the connection may stay."""
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
        """Remove a connection. Idempotent."""
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
        """The connection to evict, if there is one. O(keys): up to three of them can have more than their share."""
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
