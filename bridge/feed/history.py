"""Rows of the journal for streams that resume from before the ring buffer.

Rule of this file: it reads, one bounded page a time, each on a connection that ends with it; and what is gone, or
cannot be had now, is said in words.
"""

from collections.abc import Callable
from contextlib import closing

from callmarket.bridge.api.errors import Gone, Invalid
from callmarket.bridge.api.failures import failure_of
from callmarket.bridge.feed.encoded import FeedRow
from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.journal.protocol import Chain, Journal, StoredRow, first_seq

OpenJournal = Callable[[], Journal]
"""Makes a journal for reading alone; nothing is opened before it is asked."""


def read_page(open_journal: OpenJournal, after_seq: int) -> list[FeedRow]:
    """The rows after a seq, as many as a journal reads at once. Blocks for some 20 ms: call it in a thread.

    Raises `Invalid` for rows that are in the archive, `Unavailable` while the database does not answer, and what a
    journal that is not whole raises.
    """
    with open_journal() as journal:
        try:
            with closing(journal.scan(after_seq)) as chunks:
                stored = next(chunks, ())
        except persistence_errors.Archived:
            raise _is_cut(after_seq, first_seq(journal)) from None
        except (persistence_errors.Unavailable, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=1.0) from error
    if stored:
        _insist_on_the_row(stored[0], after_seq)
    links = Chain(after_seq, None if after_seq else GENESIS_DIGEST)
    return [FeedRow(links.follow(row), row.events(), len(row.command_json) + len(row.events_json)) for row in stored]


def _insist_on_the_row(following: StoredRow, after_seq: int) -> None:
    """Raises `Gone` where the rows that follow do not follow this one: it was lost, and history went on elsewhere."""
    if following.seq % HISTORY_ROWS:
        return
    last_seq = following.entry().after_seq
    if last_seq < after_seq:
        raise Gone(
            "after_seq",
            after_seq,
            f"a row that is left: rows after {last_seq} were lost, and history goes on at row {following.seq}. Begin "
            f"anew with the order book and its seq, or go on after {last_seq}",
        )


def _is_cut(after_seq: int, first: int) -> Invalid:
    return Invalid(
        "after_seq",
        after_seq,
        f"at least {first - 1}: earlier rows are in the archive, and the order book gives a fresh start with its seq",
    )
