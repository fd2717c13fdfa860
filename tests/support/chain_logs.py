"""Transfer logs as a node gives them, for tests.

Rule of this file: nothing of the product makes them, so that what reads them is tried on the form of others.
"""

from typing import Any

# Of the specification of EIP-55.
TOKEN = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def account_of(number: int) -> str:
    """An address without letters, whose checksum is therefore itself."""
    return f"0x{number:040d}"


def transfer_log(number: int, debit: str | None, credit: str | None, tokens: int, index: int = 0) -> dict[str, Any]:
    """The log of a Transfer in block `number`, from and to these addresses; None is the zero address."""
    return {
        "address": TOKEN.lower(),
        "topics": [TRANSFER, *(f"0x{(side or '0x0')[2:].lower().rjust(64, '0')}" for side in (debit, credit))],
        "data": f"0x{tokens * 10**18:064x}",
        "blockNumber": hex(number),
        "blockHash": f"0x{number:064x}",
        "transactionHash": f"0x{number + 2**200:064x}",
        "transactionIndex": "0x0",
        "logIndex": hex(index),
        "removed": False,
    }
