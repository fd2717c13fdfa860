"""The key of the first start: without it nobody could make another.

Rule of this file: the key goes to a file that only its owner can read, and nowhere else. The file is whole and on the
disk before the key works, so there is never a first key that nobody has; it is made under a lock, so there are not two.
"""

import hmac
import logging
from pathlib import Path
from typing import Final

import psycopg

from callmarket.bridge.access import key_text
from callmarket.bridge.access.issue import NewKey, issue
from callmarket.bridge.access.keyring import insert
from callmarket.bridge.access.principal import Scope
from callmarket.bridge.api.clock import Clock, system_clock
from callmarket.bridge.api.errors import Unauthorized, Unavailable
from callmarket.bridge.api.failures import failure_of
from callmarket.bridge.api.units import datetime_of
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.durable_file import appearing
from callmarket.persistence.embedded import default_home
from callmarket.persistence.embedded.home import Home
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.stores import api_keys
from callmarket.persistence.stores.api_keys import KeyRow

logger: Final = logging.getLogger(__name__)

NAME: Final = "first admin key"
_OWNER_ONLY: Final = 0o600


def ensure_admin_key(url: str, shard_id: int, home: Path | None, clock: Clock = system_clock) -> Path | None:
    """The file of an admin key that works: of an earlier start, or made now if the shard has no admin key that works.

    None if it has one whose file is not in `home` (None: the usual place): then somebody else keeps it, and `callmarket
    keys create --admin` makes another. Raises `Unavailable` if the database or the folder cannot be written.
    """
    try:
        with connect(url, "callmarket first key") as connection, api_keys.changing(connection, shard_id):
            now_us = clock()
            rows = api_keys.working(connection, shard_id, datetime_of(now_us))
            admins = [row for row in rows if Scope.ADMIN in row.scopes]
            folder = (home or default_home()).resolve()
            if admins:
                return next((path for row in admins if _holds(path := _file(folder, row), row)), None)
            issued, row = issue(NewKey(name=NAME, admin=True), f"first start, {this_process()}", now_us)
            path = _file(folder, row)
            _write(path, issued.key)
            insert(connection, shard_id, row)
    except persistence_errors.PersistenceError as error:
        raise failure_of(error, "no admin key") from error
    except psycopg.Error as error:
        raise Unavailable(f"no admin key: {error}") from error
    except OSError as error:
        raise Unavailable(
            f"the first admin key cannot be kept in a file: {error}. Set CALLMARKET_HOME to a folder of yours."
        ) from error
    logger.info("shard %d: the first admin key is in %s", shard_id, path)
    return path


def _file(folder: Path, row: KeyRow) -> Path:
    """Named by the key, so that the file of another shard or database is never replaced."""
    return folder / f"admin-{row.key_id}.key"


def _write(path: Path, key: str) -> None:
    # Refuses a folder of others, or one that everybody can write.
    Home(path.parent).make()
    with appearing(path, mode=_OWNER_ONLY) as file:
        file.write(f"{key}\n".encode())


def _holds(path: Path, row: KeyRow) -> bool:
    """Whether this file has the text of this key."""
    try:
        with path.open("rb") as file:
            _, secret = key_text.split(file.read(256).strip())
    except (OSError, Unauthorized):
        return False
    return hmac.compare_digest(key_text.digest(secret), row.secret_sha256)
