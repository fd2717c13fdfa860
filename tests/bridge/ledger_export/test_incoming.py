"""Logs as they come: what each field has to be, and the one name of a log."""

import random
from typing import Any

import pytest

from callmarket.bridge.ledger_export.incoming import Arrival, Fault, read_log
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX
from tests.support.chain_logs import TOKEN, TRANSFER, account_of, transfer_log

A, B = account_of(1), account_of(2)
GOOD = transfer_log(5, A, B, 3, index=2)


def read(**changes: Any) -> Arrival | Fault:
    return read_log(GOOD | changes, "base", TOKEN)


def test_a_log_is_read() -> None:
    found = read()
    assert isinstance(found, Arrival)
    assert (found.debit, found.credit, found.tokens, found.block_number, found.log_index) == (A, B, 3, 5, 2)
    assert found.reference_id == f"{GOOD['transactionHash']}:2"
    minted = read_log(transfer_log(1, None, B, TOKENS_MAX), "base", TOKEN)
    assert isinstance(minted, Arrival) and (minted.debit, minted.tokens) == (None, TOKENS_MAX)


@pytest.mark.parametrize(
    "spelled",
    [
        {"transactionHash": f"0x{2**200 + 5:064X}"},
        {"logIndex": "0x02"},
        {"logIndex": f"0x{2:064x}"},
        {"address": TOKEN},
        {"chainId": "0x2105", "chain": "base"},
        {"topics": (TRANSFER.replace("a", "A"), *GOOD["topics"][1:])},
        {"blockTimestamp": "whatever", "surplus": {}},
    ],
)
def test_a_log_has_one_name_however_it_is_spelled(spelled: dict[str, Any]) -> None:
    """LED-4 pays once for a name, so a second spelling would be paid again."""
    assert read(**spelled) == read()


WORD = "0x and 64 hexadecimal digits"
ZEROS = f"0x{0:064x}"


@pytest.mark.parametrize(
    ("changes", "field", "bound"),
    [
        ({"chain": "ethereum"}, "chain", "base"),
        ({"chainId": "0x1"}, "chainId", "0x2105"),
        ({"chainId": 8453}, "chainId", "0x0 to"),
        ({"removed": True}, "removed", "false"),
        ({"removed": "false"}, "removed", "false"),
        ({"removed": 0}, "removed", "false"),
        ({"address": A}, "address", TOKEN),
        ({"address": TOKEN.upper().replace("0X", "0x")}, "address", TOKEN),
        ({"address": None}, "address", TOKEN),
        ({"topics": GOOD["topics"][:2]}, "topics", "three"),
        ({"topics": [*GOOD["topics"], ZEROS]}, "topics", "three"),
        ({"topics": "abc"}, "topics", "three"),
        ({"topics": [ZEROS, *GOOD["topics"][1:]]}, "topics[0]", "Transfer(address,address,uint256)"),
        ({"topics": [TRANSFER, A, GOOD["topics"][2]]}, "topics[1]", WORD),
        ({"topics": [TRANSFER, GOOD["topics"][1], f"0x1{0:063x}"]}, "topics[2]", "first twelve are zero"),
        ({"topics": [TRANSFER, ZEROS, ZEROS]}, "topics[2]", "zero address"),
        ({"data": f"0x{10**18 + 1:064x}"}, "data", "whole tokens"),
        ({"data": f"0x{10**17:064x}"}, "data", "whole tokens"),
        ({"data": ZEROS}, "data", "1 to"),
        ({"data": f"0x{(TOKENS_MAX + 1) * 10**18:064x}"}, "data", str(TOKENS_MAX)),
        ({"data": "0x1"}, "data", WORD),
        ({"data": 10**18}, "data", WORD),
        ({"data": f"0x{'0' * 63}\u0661"}, "data", WORD),
        ({"transactionHash": "0x12"}, "transactionHash", WORD),
        ({"transactionHash": None}, "transactionHash", WORD),
        ({"logIndex": "2"}, "logIndex", "0x0 to"),
        ({"logIndex": "0x"}, "logIndex", "0x0 to"),
        ({"logIndex": "-0x2"}, "logIndex", "0x0 to"),
        ({"logIndex": hex(SEQ_MAX + 1)}, "logIndex", hex(SEQ_MAX)),
        ({"blockNumber": None}, "blockNumber", "0x0 to"),
        ({"blockHash": None}, "blockHash", WORD),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(changes: dict[str, Any], field: str, bound: str) -> None:
    found = read(**changes)
    assert isinstance(found, Fault) and found.field == field, found
    assert bound in found.bound and len(found.value) <= 80


@pytest.mark.parametrize("wrong", [None, 1, "x" * 10_000, [], [GOOD]])
def test_what_is_no_object_is_no_log(wrong: object) -> None:
    found = read_log(wrong, "base", TOKEN)
    assert isinstance(found, Fault) and found.field == "log" and len(found.value) <= 80


def test_a_field_that_is_missing_or_odd_is_refused_and_never_raises(seed: int) -> None:
    """Any field, replaced by anything: a log that is not believed, or the same log."""
    rng = random.Random(seed)
    odd: list[Any] = [
        None,
        True,
        0,
        -1,
        2**300,
        1.5,
        "",
        "0x",
        "\x00",
        "0x" + "f" * 64,
        [],
        {},
        [[]],
        "é" * 99,
        "\ud800",
    ]
    for _ in range(500):
        log = dict(GOOD)
        for name in rng.sample(list(GOOD), rng.randint(1, 3)):
            if rng.random() < 0.3:
                del log[name]
            else:
                log[name] = rng.choice(odd)
        found = read_log(log, "base", TOKEN)
        assert isinstance(found, Fault | Arrival)
        if isinstance(found, Fault):
            assert len(found.value) <= 80 and found.bound
