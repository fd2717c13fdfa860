"""Movements as logs: exact numbers, and what a tool for chains reads from them."""

import csv
import io

import msgspec
import pytest

from callmarket.bridge.ledger_export import etherscan
from callmarket.bridge.ledger_export.addresses import ZERO
from callmarket.bridge.ledger_export.logs import UNIT, AddressBook, ChainLog, is_log, log_of
from callmarket.engine.events import TransferPosted
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX
from callmarket.persistence.postings import Posting
from tests.support.chain_logs import TOKEN

BOOK = AddressBook(0, "base", {"issuance": TOKEN})


def posting(debit: str, credit: str, tokens: int = 1, seq: int = 7, place: int = 0) -> Posting:
    event = TransferPosted(1, debit, credit, tokens, "x", "", "", "=1+1", 0, tokens)
    return Posting(seq, 1_700_000_000_999_999, bytes([seq % 256]) * 32, bytes(32), b"row", place, event)


@pytest.mark.parametrize("tokens", [1, 2, 1_000, 2**53 - 2, TOKENS_MAX])
def test_values_are_exact(tokens: int) -> None:
    """EXP-1: in floating point the largest is 9007199254740990847078495393153024."""
    log = log_of(posting("a", "b", tokens), BOOK)
    assert log.value == f"{tokens}{'0' * 18}"
    assert int(log.data, 16) == tokens * UNIT and len(log.data) == 66
    assert etherscan.line_of(log).split(",")[6] == f'"{tokens}"'


def test_a_log_has_the_shape_that_nodes_give() -> None:
    log = log_of(posting("a", "issuance", seq=SEQ_MAX, place=3), BOOK)
    told = msgspec.to_builtins(log)
    assert list(told)[:10] == [
        "address",
        "topics",
        "data",
        "blockNumber",
        "blockHash",
        "blockTimestamp",
        "transactionHash",
        "transactionIndex",
        "logIndex",
        "removed",
    ]
    assert (told["address"], told["blockNumber"], told["logIndex"]) == (TOKEN, hex(SEQ_MAX), "0x3")
    assert told["blockTimestamp"] == hex(1_700_000_000)
    assert all(len(told[name]) == 66 for name in ("data", "blockHash", "transactionHash", "parentHash"))
    assert [len(topic) for topic in told["topics"]] == [66, 66, 66]
    assert int(told["topics"][2], 16) == 0 and (log.from_is_derived, log.to_is_derived) == (True, False)
    assert msgspec.convert(told, ChainLog) == log


@pytest.mark.parametrize(
    ("debit", "credit", "seen"),
    [
        ("issuance", "a", True),
        ("a", "bridge-base", True),
        ("bridge-base", "issuance", False),
        ("issuance", "bridge-arbitrum", False),
        ("treasury", "a", True),
    ],
)
def test_what_nobody_outside_sees_is_no_log(debit: str, credit: str, seen: bool) -> None:
    """EXP-4, Precisely: issuance and the bridges are the zero address."""
    row = posting(debit, credit)
    assert is_log(row) is seen
    if "bridge" in credit and seen:
        assert log_of(row, BOOK).topics[2][-40:] == ZERO[2:]


def test_a_csv_has_the_columns_of_etherscan() -> None:
    text = etherscan.HEAD + etherscan.line_of(log_of(posting("issuance", "a", 12), BOOK))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["Blockno"] == "7" and row["TokenValue"] == "12" and row["USDValueDayOfTx"] == ""
    assert row["UnixTimestamp"] == "1700000000" and row["DateTime (UTC)"] == "2023-11-14 22:13:20"
    assert (row["From"], row["ContractAddress"], row["TokenSymbol"]) == (ZERO, TOKEN, "TOKEN")
    # A memo that would be a formula is not there.
    assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
