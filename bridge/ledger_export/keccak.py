"""keccak256, the hash of Ethereum's addresses and transactions.

Rule of this file: no other function takes its place. `hashlib.sha3_256` is the later standard and pads differently, so
its digests look right and are wrong; what is used has shown that it is the right one.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

# Of no bytes at all, as everybody has it who computes it.
OF_NOTHING: Final = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")


def keccak256(data: bytes) -> bytes:
    """The digest of some bytes: 32 bytes. About 5 us."""
    return _function()(data)


def check(function: Callable[[bytes], bytes] | None = None) -> None:
    """Refuse to go on with another function than keccak256. Raises `RuntimeError`."""
    found = (function or keccak256)(b"")
    if found != OF_NOTHING:
        raise RuntimeError(f"keccak256 of nothing is {OF_NOTHING.hex()}; this function says {found.hex()}")


@cache
def _function() -> Callable[[bytes], bytes]:
    # Late, because a client of the service hashes nothing and has no such package.
    from Crypto.Hash import keccak  # noqa: PLC0415

    def function(data: bytes) -> bytes:
        return keccak.new(digest_bits=256, data=data).digest()

    check(function)
    return function
