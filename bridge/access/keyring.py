"""The keys that work, in memory: a check asks no database.

Rule of this file: a key is judged by what was read last, our clock, and what this process itself has revoked.
A database that is unavailable lets nobody new in and shuts nobody out; what other processes change is known within a
second of its being there to read.
"""

import asyncio
import contextlib
import hmac
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from hashlib import sha256
from types import TracebackType
from typing import Final, Self

import psycopg

from callmarket.bridge.access import key_text
from callmarket.bridge.access.issue import Issued, KeyView, NewKey, issue, principal_of, view_of
from callmarket.bridge.access.principal import Principal
from callmarket.bridge.api.clock import Clock, system_clock
from callmarket.bridge.api.errors import Invalid, Unauthorized, Unavailable
from callmarket.bridge.api.failures import failure_of
from callmarket.bridge.api.units import datetime_of
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.stores import api_keys
from callmarket.persistence.stores.api_keys import KeyRow

logger: Final = logging.getLogger(__name__)

# One indexed row twice a second: a key that another process revokes works here for no longer.
POLL_S: Final = 0.5
# A key that is not known may have been made a moment ago, so the row is looked at once more. Requests with keys that
# are none cause up to this many looks, one after the other, and up to this many wait for one; more are refused at once.
_LOOK_PAUSE_S: Final = 0.05
CATCHING_UP_MAX: Final = 64
_CATCH_UP_S_MAX: Final = 2.0
# A server that does not answer this is unavailable; making or revoking a key waits no longer either.
_ANSWER_S_MAX: Final = 5.0
# A page of keys for people: all that can work, and then some.
LIST_ROWS_MAX: Final = 10_000


class _CachedKey:
    """A key in memory. A class that prints nothing of itself."""

    __slots__ = ("digest", "principal")

    def __init__(self, digest: bytes, principal: Principal) -> None:
        self.digest = digest
        self.principal = principal


# Stands in for a key that is not known, so that its check takes the same steps: it has always expired.
_NOBODY: Final = _CachedKey(secrets.token_bytes(32), Principal("", "", frozenset(), frozenset(), frozenset(), 1, 1, 0))


class Keyring:
    """The keys of one shard. For any thread; all but `authenticate` and `present` wait for the database."""

    def __init__(self, url: str, shard_id: int, clock: Clock = system_clock) -> None:
        """Remember where the keys are; nothing is read yet, and nobody gets in."""
        self._shard_id: Final = shard_id
        self._clock: Final = clock
        self._connection: Final = SingleUseConnection(
            lambda: connect(url, f"callmarket keys {shard_id}", answer_s_max=_ANSWER_S_MAX)
        )
        # Held for whatever asks the database, and so for the order in which what was read is taken over.
        self._asking: Final = threading.Lock()
        self._keys: dict[bytes, _CachedKey] = {}
        self._version = -1
        self._read_at_us = 0
        # Revoked here, but perhaps not recorded: not let in again by what is read. At most as many as there are keys.
        self._revoked_here: set[str] = set()
        self._looked_s = time.monotonic()
        self._closed: Final = threading.Event()
        self._wanted: Final = threading.Event()
        # Waiters for the next look, from any thread.
        self._waiting: Final[deque[Future[None]]] = deque()
        self._thread: Final = threading.Thread(target=self._run, name=f"keys {shard_id}", daemon=True)

    def start(self) -> Self:
        """Read the keys and go on looking for changes. Raises `Unavailable`."""
        try:
            with self._asking:
                self._look()
        except persistence_errors.PersistenceError as error:
            raise failure_of(error, "the keys cannot be read") from error
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop looking. Never raises; waits for a question that is under way."""
        self._closed.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._connection.interrupt()
            self._thread.join()
        self._connection.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of keys in memory."""
        return len(self._keys)

    @property
    def seconds_behind(self) -> float:
        """How long ago the database was last asked and answered: what is known of other processes may be that old."""
        return time.monotonic() - self._looked_s

    def authenticate(self, key: bytes) -> Principal:
        """The principal of this key. Raises `Unauthorized`, in the same words whatever is wrong. O(1), about 2 us."""
        key_id, secret = key_text.split(key)
        held = self._keys.get(key_id, _NOBODY)
        same = hmac.compare_digest(sha256(secret).digest(), held.digest)
        principal = held.principal
        if not same or principal.expires_at_us <= self._clock():
            raise Unauthorized(key_text.NOT_VALID)
        return principal

    def present(self, principal: Principal) -> Principal:
        """What a key may do now that was authenticated before. O(1), and below a microsecond.

        Raises `Unauthorized` if it works no longer, and says why: it is not a stranger's.
        """
        held = self._keys.get(principal.key_id.encode())
        now = principal if held is None else held.principal
        if now.expires_at_us <= self._clock():
            raise Unauthorized(f"key {principal.key_id} has expired")
        if held is None:
            raise Unauthorized(f"key {principal.key_id} was taken away")
        return now

    def is_of_staff(self, key: bytes) -> bool:
        """Whether a key that works may run the market. About 1 us for all others, whose secrets are not looked at."""
        try:
            held = self._keys.get(key_text.split(key)[0])
            if held is None or not held.principal.is_staff:
                return False
            return self.authenticate(key).is_staff
        except Unauthorized:
            return False

    async def catch_up(self) -> None:
        """Return when the keys have been looked at after this call; at once where too many wait, or nobody looks.

        Takes 50 ms and a query at most, as a rule; two seconds where the database does not answer.
        """
        if (
            len(self._waiting) >= CATCHING_UP_MAX
            or not self._thread.is_alive()
            or self.seconds_behind > _CATCH_UP_S_MAX
        ):
            return
        looked: Future[None] = Future()
        self._waiting.append(looked)
        self._wanted.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(looked), _CATCH_UP_S_MAX)

    def issue(self, asked: NewKey, created_by: str) -> Issued:
        """Make a key, which works here at once.

        Raises `Invalid`, or `Unavailable`: then nobody knows its text, so that a row of it, if there is one, is
        harmless.
        """
        issued, row = issue(asked, created_by, self._clock())
        with self._asking:
            try:
                with self._connection.use() as connection:
                    insert(connection, self._shard_id, row)
            except persistence_errors.PersistenceError as error:
                raise failure_of(error, "no key was handed out") from error
            # What was read before it cannot be taken over any more: that is done under the same lock.
            self._keys[row.key_id.encode()] = _held(row)
        logger.info("key %s (%r) was made by %s", row.key_id, row.name, created_by)
        return issued

    def revoke(self, key_id: str) -> KeyView:
        """Take a key away: here at once, elsewhere within a second. Idempotent.

        Raises `Invalid` if there is no such key; `Unavailable` if it could not be recorded: then this process alone
        refuses it, as long as it runs.
        """
        check_id(key_id)
        # Before the database is asked, which may take seconds; and noted first, so that of this and a reading of the
        # keys at the same moment, one sees the other.
        if len(self._revoked_here) < api_keys.KEYS_MAX:
            self._revoked_here.add(key_id)
        self._keys.pop(key_id.encode(), None)
        with self._asking:
            try:
                with self._connection.use() as connection:
                    row = api_keys.revoke(connection, self._shard_id, key_id)
            except persistence_errors.PersistenceError as error:
                words = f"key {key_id} is refused by this process alone, because that could not be recorded"
                raise failure_of(error, words) from error
            self._keys.pop(key_id.encode(), None)
            self._revoked_here.discard(key_id)
        if row is None:
            raise Invalid("key_id", key_id, "the id of a key")
        logger.info("key %s (%r) is revoked", row.key_id, row.name)
        return view_of(row, self._clock())

    def views(self, rows_max: int = LIST_ROWS_MAX) -> tuple[KeyView, ...]:
        """All keys, newest first, also those that work no longer. Raises `Unavailable`, or `Invalid`."""
        if not 0 < rows_max <= LIST_ROWS_MAX:
            raise Invalid("rows_max", rows_max, f"1 to {LIST_ROWS_MAX}")
        with self._asking:
            try:
                with self._connection.use() as connection:
                    rows = api_keys.latest(connection, self._shard_id, rows_max)
            except persistence_errors.PersistenceError as error:
                raise failure_of(error) from error
        now_us = self._clock()
        return tuple(view_of(row, now_us) for row in rows)

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        answered = True
        while True:
            self._wanted.wait(POLL_S)
            if self._closed.is_set():
                break
            self._wanted.clear()
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                with self._asking:
                    self._look()
                if not answered:
                    logger.warning("shard %d: the keys are read again", self._shard_id)
                answered = True
            except persistence_errors.PersistenceError as error:
                if answered and not self._closed.is_set():
                    logger.warning("shard %d: the keys known so far stay valid: %s", self._shard_id, error)
                answered = False
            except Exception:
                # Without this thread nobody here would hear of a key that was revoked elsewhere.
                logger.exception("looking for keys met a bug, and goes on")
            finally:
                _release(waiting)
            self._closed.wait(_LOOK_PAUSE_S)
        _release(list(self._waiting))

    def _look(self) -> None:
        """Read the keys if they have changed. Under `_asking`. Raises `PersistenceError`."""
        with self._connection.use() as connection:
            # First the version: what changes between the two is read, and once more at the next look.
            version = api_keys.version(connection, self._shard_id)
            now_us = self._clock()
            # Also where the clock was set back: by the time that it said, keys may have seemed to be expired.
            if version != self._version or now_us < self._read_at_us:
                rows = api_keys.working(connection, self._shard_id, datetime_of(now_us))
                if len(rows) == api_keys.KEYS_MAX:
                    logger.warning("shard %d has %d keys that work: no more are read", self._shard_id, len(rows))
                self._keys = {row.key_id.encode(): _held(row) for row in rows if row.key_id not in self._revoked_here}
                # Once more, for a revocation at this moment: either it finds the new keys, or we find its note.
                for key_id in tuple(self._revoked_here):
                    self._keys.pop(key_id.encode(), None)
                self._version = version
                self._read_at_us = now_us
        self._looked_s = time.monotonic()


def check_id(key_id: str) -> None:
    """Check what should be the id of a key. Raises `Invalid` without showing it: it may be a whole key."""
    if not key_text.is_id(key_id):
        raise Invalid("key_id", "(not shown)", "12 letters and digits, as the list of keys shows them")


def insert(connection: psycopg.Connection, shard_id: int, row: KeyRow) -> None:
    """Store a new key. Raises `psycopg.Error`, or `Unavailable` if there is no room."""
    with api_keys.changing(connection, shard_id):
        if not api_keys.add(connection, shard_id, row):
            raise Unavailable(f"{api_keys.KEYS_MAX} keys work already: revoke some first")


def _release(waiting: Iterable[Future[None]]) -> None:
    """Let them go on, but for those that have given up."""
    for looked in waiting:
        if looked.set_running_or_notify_cancel():
            looked.set_result(None)


def _held(row: KeyRow) -> _CachedKey:
    return _CachedKey(row.secret_sha256, principal_of(row))
