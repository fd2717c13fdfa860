"""Addresses of accounts on chains, movements as logs of a token, and text for accounting tools.

Rule of this file: the operations that export, and their result types. They come in pages, so that no ledger is ever in
memory as a whole. What is written is said in `bridge/ledger_export`.
"""

import re
from typing import Annotated, Final, get_args

from msgspec import Meta, Struct

from callmarket.bridge.api.checks import check_limit, check_name, check_one_of, check_since
from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.contract.fields import After, Limit, PathName, Since
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.pages import cursor, number_after
from callmarket.bridge.api.contract.queries import ASKING, TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Conflict, Invalid, NotFound
from callmarket.bridge.api.operations.ledger.parts import MONTH_PATTERN, TextFormat, part_of_month
from callmarket.bridge.api.operations.ledger.reading import book_of, logs_of, postings
from callmarket.bridge.ledger_export.accounting import months_between
from callmarket.bridge.ledger_export.addresses import (
    AN_ADDRESS,
    CHAINS,
    ZERO,
    Chain,
    bridge_account,
    derived_address,
    is_address,
)
from callmarket.bridge.ledger_export.logs import ChainLog
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.queries import first_movement_since
from callmarket.persistence.queries.months import ledger_span
from callmarket.persistence.stores import account_addresses as addresses

__all__ = ["AccountAddress", "ChainLog", "LedgerMonths"]

WhichChain = Annotated[Chain, Meta(description="The chain: `ethereum`, `base` or `arbitrum`.")]
Month = Annotated[str, Meta(max_length=7, pattern=MONTH_PATTERN, description="A month of UTC, as `2026-11`.")]
Address = Annotated[str, Meta(max_length=42, description="0x and 40 hexadecimal digits, spelled as EIP-55 says.")]
Format = Annotated[
    TextFormat, Meta(description="`beancount`, `hledger`, or `csv` with the columns of Etherscan's token transfers.")
]

_OF_LOGS: Final = "ledger-logs"
_BRIDGES: Final = frozenset(map(bridge_account, CHAINS))


class AccountAddress(Struct, frozen=True):
    """The address of an account on a chain. A derived one has no key: what is sent to it is lost."""

    account_id: str
    chain: Chain
    address: str
    derived: bool
    seq: int
    durable_seq: int


class LedgerMonths(Struct, frozen=True):
    """The months of UTC from the first account to the last movement."""

    months: tuple[str, ...]
    seq: int
    durable_seq: int


@operation("GET", "/addresses/{agent_id}", "Ledger", "Get the address of an account")
def agent_id_to_address(agent_id: PathName, chain: WhichChain = "ethereum") -> TableQuery[AccountAddress]:
    """The address of an account on a chain: the one registered last, else one that is derived from its name.

    A derived address is for reading alone: nobody has its key. That of `issuance` is the address of the token.
    Raises `NotFound` if there is no such account.
    """
    check_name("agent_id", agent_id)
    check_one_of("chain", chain, CHAINS)

    def answer(at: Tables) -> AccountAddress:
        if not addresses.account_exists(at.connection, at.shard_id, agent_id):
            raise NotFound("agent_id", agent_id, "an open account")
        address, derived = book_of(at, chain, [agent_id]).address(agent_id)
        return AccountAddress(agent_id, chain, address, derived, at.seq, at.durable_seq)

    return TableQuery(answer)


@operation(
    "PUT",
    "/addresses/{agent_id}",
    "Ledger",
    "Register the address of an account",
    needs="admin",
    example={"address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
)
def register_address(agent_id: PathName, address: Address, chain: WhichChain = "ethereum") -> Change[AccountAddress]:
    """Register the address that an account has on a chain; that of `issuance` is the token's. Needs the scope `admin`.

    An address stays its account's for ever; an account may register another one, which is then shown. Idempotent.
    Raises `NotFound` if there is no such account, and `Conflict` if the address is another account's.
    """
    check_name("agent_id", agent_id)
    check_one_of("chain", chain, CHAINS)
    if not is_address(address):
        raise Invalid("address", address, f"{AN_ADDRESS}, and not the zero address")
    if agent_id in _BRIDGES:
        raise Invalid("agent_id", agent_id, f"an account that holds tokens: this one is {ZERO} on chains")

    def make(at: WriteContext) -> AccountAddress:
        # Before anything is written: an account's derived address is its own, if anybody's.
        if address == derived_address(at.shard_id, agent_id):
            raise Conflict("address", address, f"an address that has a key: this one is derived from {agent_id!r}")
        owner = addresses.register(at.connection, at.shard_id, chain, address, agent_id, at.by)
        if owner is None:
            raise NotFound("agent_id", agent_id, "an open account")
        if owner != agent_id:
            raise Conflict("address", address, f"an address of no other account: {owner!r} has it")
        return AccountAddress(agent_id, chain, address, False, *at.positions())

    return Change(make, decides_by_tables=True)


@operation("GET", "/ledger/logs", "Ledger", "Movements as logs of a token")
def export_ledger_for_chain(
    since: Since | None = None, chain: WhichChain = "ethereum", *, limit: Limit = 100, after: After | None = None
) -> TableQuery[Page[ChainLog]]:
    """Movements, oldest first, in the shape of `eth_getLogs`: Transfer events of an ERC-20 token with 18 decimals.

    The block is the row of the journal, and its hash the row's digest; each follows from `parentHash` and the row. Mint
    and burn are from and to the zero address. A page may have fewer logs than `limit` and still a `next`: what moves
    between accounts that stand for the outside is no log. Raises `Conflict` for rows that have left the journal.
    """
    check_since(since)
    check_one_of("chain", chain, CHAINS)
    check_limit(limit)
    after_id = number_after(_OF_LOGS, after)

    def answer(at: Tables) -> Page[ChainLog]:
        first = 1 if since is None else first_movement_since(at.connection, at.shard_id, since)
        rows = postings(at, max(first - 1, after_id or 0), SEQ_MAX, limit + 1)
        following = cursor(_OF_LOGS, rows[limit - 1].event.transfer_id) if len(rows) > limit else None
        return Page(tuple(logs_of(at, chain, rows[:limit])), following, at.seq, at.durable_seq)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/ledger/months", "Ledger", "Months of the ledger")
def ledger_months() -> TableQuery[LedgerMonths]:
    """The months of UTC that have a file: from the first account to the last movement; none before the first one."""

    def answer(at: Tables) -> LedgerMonths:
        span = ledger_span(at.connection, at.shard_id)
        months = () if span is None else tuple(months_between(span.first_at, span.last_at))
        return LedgerMonths(months, at.seq, at.durable_seq)

    return TableQuery(answer)


@operation("GET", "/ledger/months/{month}", "Ledger", "A month of the ledger as text")
def export_ledger_month(
    month: Month,
    format: Format = "beancount",  # noqa: A002 -- the usual name of this parameter
    chain: WhichChain = "ethereum",
    *,
    limit: Limit = 100,
    after: After | None = None,
) -> TableQuery[Page[str]]:
    """A month of the ledger as a file for Beancount or hledger, or as Etherscan's CSV; the items joined are its text.

    A month that is over is the same bytes each time. All pages of one file end at the movement that was the last one
    when the first page was asked for. `chain` matters to `csv` alone, as do rows that have left the journal, for which
    it raises `Conflict`. A page may be empty and still have a `next`.
    """
    if re.match(MONTH_PATTERN, str(month)) is None:
        raise Invalid("month", month, "a month of UTC from 1970 to 2255, as 2026-11")
    check_one_of("format", format, get_args(TextFormat))
    check_one_of("chain", chain, CHAINS)
    check_limit(limit)
    return TableQuery(part_of_month(month, format, chain, limit, after), 2 * ASKING + limit // 5)
