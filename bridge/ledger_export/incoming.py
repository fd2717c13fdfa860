"""Logs of a chain, read: what a log says was moved, or why it is not believed.

Rule of this file: a log is anybody's text until each of its fields is what it has to be. One log has one name, however
it is spelled: its transaction in small letters and its index as a decimal number, for by this name it is paid once.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from callmarket.bridge.ledger_export.addresses import CHAIN_IDS, ZERO, Chain, checksummed, read_address
from callmarket.bridge.ledger_export.logs import TRANSFER, UNIT
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX

_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}\Z")
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}\Z")
_TOPICS: Final = 3
_A_WORD: Final = "0x and 64 hexadecimal digits"
_AN_ADDRESS_TOPIC: Final = "an address in 32 bytes, of which the first twelve are zero"
# Names that a log gives beside its addresses; longer ones are no accounts.
_HINT_CHARS_MAX: Final = 128
# What is told of a value that is at fault.
_SHOWN_CHARS_MAX: Final = 80


class Fault(Struct, frozen=True):
    """Why a log is refused: the field, what it has, and what it would have to be."""

    field: str
    value: str
    bound: str


class Arrival(Struct, frozen=True):
    """A Transfer as its log tells it. An address is None on the side that is the zero address: mint or burn.

    The hints are the account names that our own logs have beside the addresses: empty, or to be checked.
    """

    reference_id: str
    debit: str | None
    credit: str | None
    tokens: int
    block_number: int
    block_hash: bytes
    log_index: int
    debit_hint: str
    credit_hint: str


class NotBelieved(Exception):
    """A field is not what it has to be."""

    def __init__(self, field: str, value: object, bound: str) -> None:
        self.fault: Final = Fault(field, shown(value), bound)
        super().__init__(field)


def read_log(log: object, chain: Chain, token: str) -> Arrival | Fault:
    """What a log says, if it is a Transfer of this token on this chain. About 30 us."""
    if not isinstance(log, Mapping):
        return Fault("log", shown(log), "an object, as eth_getLogs gives it")
    try:
        return _arrival(log, chain, token)
    except NotBelieved as error:
        return error.fault


def shown(value: object) -> str:
    """A value for a report, cut to 80 characters."""
    return f"{value if isinstance(value, str) else repr(value)!s:.{_SHOWN_CHARS_MAX}}"


def _arrival(log: Mapping[str, Any], chain: Chain, token: str) -> Arrival:
    _check_chain(log, chain)
    if log.get("removed", False) is not False:
        raise NotBelieved("removed", log["removed"], "false: the chain has taken this log back")
    address = log.get("address")
    if read_address(address) != token:
        raise NotBelieved("address", address, f"{token}, the token's, in small letters or as EIP-55 spells it")
    topics = log.get("topics")
    if not isinstance(topics, list | tuple) or len(topics) != _TOPICS:
        raise NotBelieved("topics", topics, "three: Transfer, from and to")
    if _word("topics[0]", topics[0]) != bytes.fromhex(TRANSFER[2:]):
        raise NotBelieved("topics[0]", topics[0], f"{TRANSFER}, which is Transfer(address,address,uint256)")
    debit, credit = _holder("topics[1]", topics[1]), _holder("topics[2]", topics[2])
    if debit is None and credit is None:
        raise NotBelieved("topics[2]", topics[2], "another address than the zero address, where topics[1] is that")
    transaction, index = (
        _word("transactionHash", log.get("transactionHash")),
        _quantity("logIndex", log.get("logIndex")),
    )
    return Arrival(
        reference_id=f"0x{transaction.hex()}:{index}",
        debit=debit,
        credit=credit,
        tokens=_tokens(log.get("data")),
        block_number=_quantity("blockNumber", log.get("blockNumber")),
        block_hash=_word("blockHash", log.get("blockHash")),
        log_index=index,
        debit_hint=_hint(log.get("fromAccountId")),
        credit_hint=_hint(log.get("toAccountId")),
    )


def _check_chain(log: Mapping[str, Any], chain: Chain) -> None:
    """A log that names its chain is of this one: under the name of another it would be paid once more."""
    if log.get("chain", chain) != chain:
        raise NotBelieved("chain", log["chain"], chain)
    if "chainId" in log and _quantity("chainId", log["chainId"]) != CHAIN_IDS[chain]:
        raise NotBelieved("chainId", log["chainId"], f"{CHAIN_IDS[chain]:#x}, which is {chain}")


def _tokens(data: object) -> int:
    value = int.from_bytes(_word("data", data))
    tokens, rest = divmod(value, UNIT)
    if rest or not 0 < tokens <= TOKENS_MAX:
        raise NotBelieved("data", data, f"1 to {TOKENS_MAX} whole tokens, each of 10^18")
    return tokens


def _holder(field: str, topic: object) -> str | None:
    """The address in a topic; None for the zero address."""
    word = _word(field, topic)
    if any(word[:12]):
        raise NotBelieved(field, topic, _AN_ADDRESS_TOPIC)
    address = checksummed(word[12:])
    return None if address == ZERO else address


def _word(field: str, text: object) -> bytes:
    if not isinstance(text, str) or _WORD.match(text) is None:
        raise NotBelieved(field, text, _A_WORD)
    return bytes.fromhex(text[2:])


def _quantity(field: str, text: object) -> int:
    number = int(text, 16) if isinstance(text, str) and _QUANTITY.match(text) else SEQ_MAX + 1
    if number > SEQ_MAX:
        raise NotBelieved(field, text, f"a number from 0x0 to {SEQ_MAX:#x}")
    return number


def _hint(name: object) -> str:
    return name if isinstance(name, str) and 0 < len(name) <= _HINT_CHARS_MAX and name.isascii() else ""
