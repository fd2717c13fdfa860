"""Movements and addresses, read for an export.

Rule of this file: it reads, and nothing is written out here.
"""

from collections.abc import Collection, Sequence

from callmarket.bridge.api.contract.queries import Tables
from callmarket.bridge.api.errors import Conflict
from callmarket.bridge.ledger_export.addresses import Chain
from callmarket.bridge.ledger_export.logs import AddressBook, ChainLog, is_log, log_of
from callmarket.engine.commands import ISSUANCE
from callmarket.persistence.errors import Archived
from callmarket.persistence.postings import Posting, postings_page
from callmarket.persistence.stores.account_addresses import latest_addresses


def postings(at: Tables, after_id: int, last_id: int, limit: int) -> list[Posting]:
    """Movements with their rows, by id. Raises `Conflict` for those whose rows have left the journal."""
    try:
        return postings_page(at.connection, at.shard_id, after_id, last_id, limit)
    except Archived as error:
        after = f"the movement {after_id}" if after_id else "the beginning"
        raise Conflict(
            "after", after, f"rows that the journal has. {error}: `callmarket export --archive FOLDER` reads them there"
        ) from None


def logs_of(at: Tables, chain: Chain, rows: Sequence[Posting]) -> list[ChainLog]:
    """The logs of these movements, without those that nobody outside sees."""
    shown = [row for row in rows if is_log(row)]
    sides = {side for row in shown for side in (row.event.debit_account_id, row.event.credit_account_id)}
    book = book_of(at, chain, sides)
    return [log_of(row, book) for row in shown]


def book_of(at: Tables, chain: Chain, account_ids: Collection[str]) -> AddressBook:
    """The addresses of these accounts, and of the token."""
    registered = latest_addresses(at.connection, at.shard_id, chain, sorted({ISSUANCE, *account_ids}))
    return AddressBook(at.shard_id, chain, registered)
