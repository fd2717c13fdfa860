"""Movements as logs of an ERC-20 token, in the shape of `eth_getLogs`.

Rule of this file: whole numbers alone. A token has 18 decimals, and its value is its number times 10^18, multiplied as
integers: in floating point the largest supply would be off by its last seventeen digits.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from callmarket.bridge.ledger_export.addresses import OUTSIDE, ZERO, Chain, derived_address
from callmarket.bridge.ledger_export.keccak import keccak256
from callmarket.engine.commands import ISSUANCE
from callmarket.persistence.postings import Posting

DECIMALS: Final = 18
UNIT: Final = 10**DECIMALS
"""The value of one token."""
# keccak256("Transfer(address,address,uint256)").
TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


class ChainLog(Struct, frozen=True, kw_only=True, rename="camel"):
    """A movement as a log. The fields up to `removed` are those of `eth_getLogs`; the rest stands beside them.

    The block is the row of the journal: `blockNumber` its seq, `blockHash` its digest, which follows from `parentHash`
    and the row. `logIndex` is the place of the movement in its row. `value` is `data` as a decimal number.
    """

    address: str
    topics: tuple[str, str, str]
    data: str
    block_number: str
    block_hash: str
    block_timestamp: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool
    parent_hash: str
    chain: Chain
    value: str
    from_account_id: str
    to_account_id: str
    from_is_derived: bool
    to_is_derived: bool


class AddressBook:
    """The addresses of some accounts on a chain: registered ones, and derived ones for the others.

    As a holder an account that is no holder is the zero address. The token itself has the address of `issuance`.
    """

    def __init__(self, shard_id: int, chain: Chain, registered: Mapping[str, str]) -> None:
        """Know these registered addresses, by account."""
        self.chain: Final = chain
        self._shard_id: Final = shard_id
        self._registered: Final = registered
        self._derived: Final[dict[str, str]] = {}

    @property
    def token(self) -> str:
        """The address of the token's contract."""
        return self.address(ISSUANCE)[0]

    def address(self, account_id: str) -> tuple[str, bool]:
        """The address of an account, and whether it is derived."""
        registered = self._registered.get(account_id)
        if registered is not None:
            return registered, False
        if account_id not in self._derived:
            self._derived[account_id] = derived_address(self._shard_id, account_id)
        return self._derived[account_id], True

    def holder(self, account_id: str) -> tuple[str, bool]:
        """The address from or to which an account's tokens move, and whether it is derived."""
        return (ZERO, False) if account_id in OUTSIDE else self.address(account_id)


def is_log(posting: Posting) -> bool:
    """Whether a movement is seen from outside: one between accounts that are no holders is not."""
    return not {posting.event.debit_account_id, posting.event.credit_account_id} <= OUTSIDE


def log_of(posting: Posting, book: AddressBook) -> ChainLog:
    """The log of a movement. About 10 us, and 10 for each address that is derived."""
    event = posting.event
    debit, debit_is_derived = book.holder(event.debit_account_id)
    credit, credit_is_derived = book.holder(event.credit_account_id)
    value = event.amount_tokens * UNIT
    return ChainLog(
        address=book.token,
        topics=(TRANSFER, _word(int(debit, 16)), _word(int(credit, 16))),
        data=_word(value),
        block_number=hex(posting.seq),
        block_hash="0x" + posting.digest.hex(),
        block_timestamp=hex(posting.at_us // 1_000_000),
        transaction_hash="0x" + keccak256(posting.content).hex(),
        transaction_index="0x0",
        log_index=hex(posting.place),
        removed=False,
        parent_hash="0x" + posting.digest_before.hex(),
        chain=book.chain,
        value=str(value),
        from_account_id=event.debit_account_id,
        to_account_id=event.credit_account_id,
        from_is_derived=debit_is_derived,
        to_is_derived=credit_is_derived,
    )


def _word(number: int) -> str:
    """A number as 32 bytes."""
    return f"0x{number:064x}"
