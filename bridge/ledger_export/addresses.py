"""Addresses of accounts on a chain: written, read, and derived from a name.

Rule of this file: an address has one spelling, that of EIP-55, whose capitals are its checksum. An address that is
derived belongs to nobody: it has no key, and what is sent to it is lost.
"""

import re
from functools import lru_cache
from typing import Final, Literal, get_args

from callmarket.bridge.ledger_export.keccak import keccak256
from callmarket.engine.commands import ISSUANCE

Chain = Literal["ethereum", "base", "arbitrum"]
CHAINS: Final[tuple[Chain, ...]] = get_args(Chain)
# The numbers that the chains go by among themselves (EIP-155).
CHAIN_IDS: Final[dict[Chain, int]] = {"ethereum": 1, "base": 8453, "arbitrum": 42161}

ZERO: Final = "0x" + "0" * 40
"""Where minted tokens come from, and burned ones go, in the logs of an ERC-20 token."""
AN_ADDRESS: Final = "0x and 40 hexadecimal digits, with the checksum of EIP-55 in their capitals"

# The same few accounts move most of the tokens. Some 200 bytes each.
_SPELLED_KEPT: Final = 10_000
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}\Z")


def bridge_account(chain: Chain) -> str:
    """The account through which tokens leave for a chain."""
    return f"bridge-{chain}"


OUTSIDE: Final = frozenset((ISSUANCE, *map(bridge_account, CHAINS)))
"""The accounts that hold nothing: a movement from one of them is a mint, one to them a burn, one between them none."""


def derived_address(shard_id: int, account_id: str) -> str:
    """The address of an account that has registered none: the same for ever, on every chain. About 10 us."""
    return checksummed(keccak256(f"callmarket:{shard_id}:{account_id}".encode())[-20:])


@lru_cache(_SPELLED_KEPT)
def checksummed(address: bytes) -> str:
    """The 20 bytes of an address as EIP-55 spells them. About 15 us; those spelled last are remembered."""
    digits = address.hex()
    assert len(digits) == 40, digits
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, digest, strict=False)
    )


def is_address(text: object) -> bool:
    """Whether this is an address with its checksum, and not the zero address."""
    return isinstance(text, str) and bool(_ADDRESS.match(text)) and text == _respelled(text) and text != ZERO


def read_address(text: object) -> str | None:
    """An address in its one spelling; None if it is none. Nodes write small letters alone, which are no checksum."""
    if not isinstance(text, str) or _ADDRESS.match(text) is None:
        return None
    spelled = _respelled(text)
    return spelled if text in (spelled, spelled.lower()) else None


def _respelled(text: str) -> str:
    return checksummed(bytes.fromhex(text[2:]))
