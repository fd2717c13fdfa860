"""The errors that callers get for failures of the database.

Rule of this file: pure. A failure that may pass by itself is `Unavailable`; a missing privilege is `AccessDenied`.
"""

from callmarket.bridge.api.errors import AccessDenied, ExchangeError, Unavailable, UnknownOutcome
from callmarket.persistence import errors


def failure_of(error: errors.PersistenceError, words: str = "", retry_after_s: float | None = None) -> ExchangeError:
    """The error to raise instead, with a message that begins with `words`. It implies that nothing happened."""
    told = f"{words}: {error}" if words else str(error)
    return AccessDenied(told) if isinstance(error, errors.AccessDenied) else Unavailable(told, retry_after_s)


def not_projected(seqs: range, error: Exception) -> UnknownOutcome:
    """The error for rows that are done and durable, but that the SQL tables did not have in time."""
    return UnknownOutcome(f"done and durable as seq {seqs[0]} to {seqs[-1]}, and not in the SQL tables: {error}", seqs)
