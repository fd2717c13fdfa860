"""Addresses: the hash that makes them, their one spelling, and those that are derived."""

import hashlib

import pytest

from callmarket.bridge.ledger_export import keccak
from callmarket.bridge.ledger_export.addresses import (
    CHAINS,
    OUTSIDE,
    ZERO,
    bridge_account,
    checksummed,
    derived_address,
    is_address,
    read_address,
)
from callmarket.bridge.ledger_export.logs import TRANSFER

# EIP-55's own, and two of one case.
SPELLED = (
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
)


def test_the_hash_is_keccak_and_not_sha3() -> None:
    """EXP-3: and the topic of every Transfer."""
    assert keccak.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert "0x" + keccak.keccak256(b"Transfer(address,address,uint256)").hex() == TRANSFER
    keccak.check()
    with pytest.raises(RuntimeError, match="this function says a7ffc6f8"):
        keccak.check(lambda data: hashlib.sha3_256(data).digest())


@pytest.mark.parametrize("spelled", SPELLED)
def test_an_address_has_one_spelling(spelled: str) -> None:
    """EXP-2: unchanged by encoding. Small letters alone are no checksum; any other spelling is a slip."""
    assert checksummed(bytes.fromhex(spelled[2:])) == spelled
    assert is_address(spelled) and read_address(spelled) == spelled
    assert read_address(spelled.lower()) == spelled
    wrong = spelled[:-1] + spelled[-1].swapcase() if spelled[-1].isalpha() else spelled.swapcase().replace("0X", "0x")
    if wrong != spelled.lower():
        assert read_address(wrong) is None and not is_address(wrong)


@pytest.mark.parametrize("wrong", [None, 1, "", "0x", SPELLED[0][2:], SPELLED[0] + "\n", SPELLED[0] + "0", "0xg" * 21])
def test_what_is_no_address_is_none(wrong: object) -> None:
    assert read_address(wrong) is None and not is_address(wrong)


def test_the_zero_address_is_nobodys() -> None:
    assert read_address(ZERO) == ZERO and not is_address(ZERO)


def test_a_derived_address_is_of_shard_and_name() -> None:
    """EXP-2: the last twenty bytes of a keccak; the same for ever, so this one stands here."""
    assert derived_address(0, "alpha") == "0x7Fe5A1958F7D71726fee9Da35D8b5d5134674672"
    digest = keccak.keccak256(b"callmarket:0:alpha")
    assert derived_address(0, "alpha") == checksummed(digest[-20:])
    several = {derived_address(shard, name) for shard in (0, 1, 11) for name in ("alpha", "beta", "1:alpha")}
    assert len(several) == 9
    assert all(is_address(one) for one in several)


def test_what_is_outside() -> None:
    assert {"issuance", *map(bridge_account, CHAINS)} == OUTSIDE and "treasury" not in OUTSIDE
