"""What a failure of the database is to whoever asked.

Rule of this file: pure. Everything that may be mended by itself is `Unavailable`; a right that is missing is not.
"""

from bridge.errors import AccessDenied, ExchangeError, Unavailable
from persistence import errors


def failure_of(error: errors.PersistenceError, words: str = "", retry_after_s: float | None = None) -> ExchangeError:
    """The error to raise in its place, told after `words`. Nothing happened, as far as the caller is concerned."""
    told = f"{words}: {error}" if words else str(error)
    return AccessDenied(told) if isinstance(error, errors.AccessDenied) else Unavailable(told, retry_after_s)
