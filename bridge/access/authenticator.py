"""Authentication and rate limits: every request from outside passes here, first with its key, then with its weight.

Rule of this file: a caller without a valid key costs little and learns nothing; one with a key is held to its rate.
A key that works is let in from wherever it comes, so that nobody behind the same address or proxy can shut it out: what
the limit on failures protects is work and the log, for the secrets themselves cannot be guessed at any rate.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from callmarket.bridge.access import key_text
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.limiter import Buckets
from callmarket.bridge.access.principal import Principal
from callmarket.bridge.access.sites import site_of
from callmarket.bridge.api.errors import Invalid, TooManyRequests, Unauthorized
from callmarket.persistence.stores.api_keys import KEYS_MAX

logger: Final = logging.getLogger(__name__)

# A person who mistypes, or an agent with an old key that tries again, stays below; what comes above is not even logged.
FAILURES_PER_S: Final = 1
FAILURES_BURST: Final = 20
# Some megabyte of addresses. A caller with more can begin anew with each, and gains nothing but a line in the log.
PEERS_MAX: Final = 10_000

_SECOND_NS: Final = 1_000_000_000


class Authenticator:
    """Lets requests in, one shard's keys for all. Safe to use from any thread."""

    def __init__(self, keyring: Keyring, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Open for the keys of this keyring."""
        self._keyring: Final = keyring
        self._now_ns: Final = monotonic_ns
        self._keys: Final = Buckets(KEYS_MAX)
        self._failures: Final = Buckets(PEERS_MAX)

    async def enter(self, authorization: bytes | None, peer: str) -> Principal:
        """The principal, by the value of the `Authorization` header; `peer` is the address that the request comes from.

        It takes one request from the key's rate. Raises `Unauthorized`; or `TooManyRequests`, for a key that asks too
        often and for a peer that fails too often. About 5 us, ten times a bare SHA-256, and it waits for nothing where
        the key is known. One that is not may have been made elsewhere a moment ago, so the table is looked at once
        more: only for what has the shape of a key, only for a peer that has not failed too often, and for all waiters
        together.
        """
        try:
            principal = self._keyring.authenticate(key_text.bearer(authorization))
        except Unauthorized:
            self._count_failure(peer)
            try:
                principal = await self._once_more(authorization)
            except Unauthorized:
                logger.warning("a request from %s without a key that works", ascii(peer)[:80])
                raise
        self.charge(principal, 1)
        return principal

    def known(self, authorization: bytes | None) -> Principal:
        """The principal, as memory has it; nothing is taken from the key's rate. Raises `Unauthorized`. About 4 us."""
        return self._keyring.authenticate(key_text.bearer(authorization))

    def shown(self, authorization: bytes) -> tuple[str, bool]:
        """The id of the key that this header shows, which may be anybody's, and whether it is the staff's, which it is.

        Empty if it shows none. Raises nothing; about 1 us.
        """
        try:
            key = key_text.bearer(authorization)
            return key_text.split(key)[0].decode("latin-1"), self._keyring.is_of_staff(key)
        except Unauthorized:
            return "", False

    async def _once_more(self, authorization: bytes | None) -> Principal:
        key = key_text.bearer(authorization)
        key_text.split(key)
        await self._keyring.catch_up()
        return self._keyring.authenticate(key)

    def charge(self, principal: Principal, cost: int) -> None:
        """Take more from the key's rate: the bids of a batch beyond the first.

        Raises `TooManyRequests`, or `Invalid` for more than the key may ever ask at once.
        """
        if cost <= 0:
            return
        if cost > principal.burst:
            raise Invalid("requests", cost, f"at most {principal.burst}, the burst of key {principal.key_id}")
        wait_ns = self._keys.take(principal.key_id, principal.rate_per_s, principal.burst, cost, self._now_ns())
        if wait_ns:
            raise TooManyRequests(
                f"key {principal.key_id} may ask {principal.rate_per_s} times a second, {principal.burst} at once",
                retry_after_s=wait_ns / _SECOND_NS,
            )

    def weigh(self, principal: Principal, weight: int) -> None:
        """Take what a request weighs beyond the one that was counted when it came in; never more than the key's burst.

        Raises `TooManyRequests`.
        """
        self.charge(principal, min(weight, principal.burst) - 1)

    def _count_failure(self, peer: str) -> None:
        """Raises `TooManyRequests` if there were too many."""
        wait_ns = self._failures.take(site_of(peer), FAILURES_PER_S, FAILURES_BURST, 1, self._now_ns())
        if wait_ns:
            raise TooManyRequests("too many requests without a key that works", retry_after_s=wait_ns / _SECOND_NS)
