"""Logs as the file that Etherscan gives of ERC-20 transfers, which tax tools read.

Rule of this file: its columns in its order, and nothing in a cell that somebody has chosen, so no cell is a formula.
"""

from datetime import UTC, datetime
from typing import Final

from callmarket.bridge.ledger_export.addresses import checksummed
from callmarket.bridge.ledger_export.logs import UNIT, ChainLog

TOKEN_NAME: Final = "callmarket token"  # noqa: S105 -- a name, no secret
TOKEN_SYMBOL: Final = "TOKEN"  # noqa: S105

HEAD: Final = (
    '"Transaction Hash","Blockno","UnixTimestamp","DateTime (UTC)","From","To","TokenValue","USDValueDayOfTx",'
    '"ContractAddress","TokenName","TokenSymbol"\n'
)


def line_of(log: ChainLog) -> str:
    """The line of a log. The value is in tokens, as everywhere in such files; there is no price in dollars."""
    at_s = int(log.block_timestamp, 16)
    debit, credit = (checksummed(bytes.fromhex(topic[-40:])) for topic in log.topics[1:])
    cells = (
        log.transaction_hash,
        int(log.block_number, 16),
        at_s,
        f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}",
        debit,
        credit,
        int(log.value) // UNIT,
        "",
        log.address,
        TOKEN_NAME,
        TOKEN_SYMBOL,
    )
    return ",".join(f'"{cell}"' for cell in cells) + "\n"
