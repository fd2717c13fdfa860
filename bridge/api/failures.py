"""What a failure of the database is to whoever asked.

Rule of this file: pure. Everything that may be mended by itself is `Unavailable`; a right that is missing is not.
"""

from callmarket.bridge.api.errors import AccessDenied, ExchangeError, Unavailable, UnknownOutcome
from callmarket.persistence import errors


def failure_of(error: errors.PersistenceError, words: str = "", retry_after_s: float | None = None) -> ExchangeError:
    """The error to raise in its place, told after `words`. Nothing happened, as far as the caller is concerned."""
    told = f"{words}: {error}" if words else str(error)
    return AccessDenied(told) if isinstance(error, errors.AccessDenied) else Unavailable(told, retry_after_s)


def not_projected(seqs: range, error: Exception) -> UnknownOutcome:
    """What to tell who waited for the SQL tables to have these rows, which are done and durable."""
    return UnknownOutcome(f"done and durable as seq {seqs[0]} to {seqs[-1]}, and not in the SQL tables: {error}", seqs)
