"""Logs of a chain, resolved: which command each of them means, or why none.

Rule of this file: whose an address is follows from what was registered, or from a name that a log gives and from which
its address is derived; never from a name alone. A row of this very ledger is no news to it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.contract.queries import Tables
from callmarket.bridge.api.operations.ledger.reading import book_of
from callmarket.bridge.ledger_export.addresses import OUTSIDE, Chain, bridge_account, derived_address
from callmarket.bridge.ledger_export.incoming import Arrival, Fault, read_log
from callmarket.engine import commands
from callmarket.persistence.postings import last_archived_seq, movements_of_row, rows_of_the_journal
from callmarket.persistence.stores.account_addresses import owners

# By this reason and the log's name LED-4 knows what has arrived.
EARNED: Final = "earn:bridge"


class Movement(Struct, frozen=True):
    """A log that means a command: `credit_id` is paid once for it."""

    arrival: Arrival
    command: commands.Mint | commands.Transfer
    credit_id: str


class Known(Struct, frozen=True):
    """A log of a row of this ledger."""


Resolved = Movement | Known | Fault


def resolve(at: Tables, chain: Chain, logs: Sequence[object]) -> list[Resolved]:
    """What each log means. A few looks for each, of which none walks the ledger, and about 50 us in this process."""
    token = book_of(at, chain, ()).token
    read = [read_log(log, chain, token) for log in logs]
    arrivals = [one for one in read if isinstance(one, Arrival)]
    registered = owners(at.connection, at.shard_id, chain, sorted(_addresses(arrivals)))
    own = _own_rows(at, arrivals)
    archived_seq = last_archived_seq(at.connection, at.shard_id)

    def meant(one: Arrival | Fault) -> Resolved:
        if isinstance(one, Fault):
            return one
        if (one.block_number, one.block_hash) in own:
            return Known()
        debit = _account(at.shard_id, registered, one.debit, one.debit_hint)
        credit = _account(at.shard_id, registered, one.credit, one.credit_hint)
        for field, address, account_id in (("topics[1]", one.debit, debit), ("topics[2]", one.credit, credit)):
            if address is not None and account_id is None:
                return Fault(field, address, "an address that an account has registered")
        if one.block_number <= archived_seq and _may_be_own(at, one, debit, credit):
            return Fault(
                "blockNumber", str(one.block_number), f"a row after {archived_seq}: it may be one of this ledger"
            )
        return _movement(one, chain, debit, credit)

    return [meant(one) for one in read]


def _movement(one: Arrival, chain: Chain, debit: str | None, credit: str | None) -> Movement:
    # What leaves is a transfer, because a burn is not remembered by the ledger.
    credit_id = credit or bridge_account(chain)
    reference = (EARNED, f"chain:{chain}", one.reference_id)
    if debit is None:
        return Movement(one, commands.Mint(credit_id, one.tokens, *reference), credit_id)
    return Movement(one, commands.Transfer(debit, credit_id, one.tokens, *reference), credit_id)


def _addresses(arrivals: Iterable[Arrival]) -> set[str]:
    return {address for one in arrivals for address in (one.debit, one.credit) if address is not None}


def _account(shard_id: int, registered: dict[str, str], address: str | None, hint: str) -> str | None:
    if address is None or address in registered:
        return None if address is None else registered[address]
    return hint if hint and hint not in OUTSIDE and derived_address(shard_id, hint) == address else None


def _own_rows(at: Tables, arrivals: Sequence[Arrival]) -> set[tuple[int, bytes]]:
    """The rows of the journal, by seq and digest, that some of these are of."""
    wanted = {(one.block_number, one.block_hash) for one in arrivals}
    found = rows_of_the_journal(at.connection, at.shard_id, sorted(wanted))
    return wanted & found


def _may_be_own(at: Tables, one: Arrival, debit: str | None, credit: str | None) -> bool:
    """Whether a row that has left the journal with its digest moved the same between the same."""

    def side(account_id: str) -> str | None:
        return None if account_id in OUTSIDE else account_id

    moved = movements_of_row(at.connection, at.shard_id, one.block_number)
    return any((side(paid), side(got), tokens) == (debit, credit, one.tokens) for paid, got, tokens in moved)
