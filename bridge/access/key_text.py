"""The text of a key: `cmk_`, the key's id, `_`, the secret.

Rule of this file: how a key looks, and nothing about what it allows. Its shape is fixed, so that scanners find a key in
a repository or a log by `cmk_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}`; it needs no escaping in URLs, shells and headers, and a
double click selects all of it.
"""

import re
import secrets
import string
from hashlib import sha256
from typing import Final

from bridge.errors import Unauthorized

_ALPHABET: Final = string.digits + string.ascii_letters
_ID_CHARS: Final = 12
# 62**43 > 2**256: nobody tries them all, with whatever hash, so one round of SHA-256 keeps the secret.
_SECRET_CHARS: Final = 43
_ID: Final = re.compile(rf"[0-9A-Za-z]{{{_ID_CHARS}}}")
_KEY: Final = re.compile(rb"cmk_([0-9A-Za-z]{%d})_([0-9A-Za-z]{%d})" % (_ID_CHARS, _SECRET_CHARS))
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]+)")
# A key is 60 bytes; who sends more than this sends no key.
_HEADER_BYTES_MAX: Final = 256

MISSING: Final = "an API key is needed: Authorization: Bearer cmk_..."
NOT_VALID: Final = "the API key is not known here, was revoked, or has expired"


def make() -> tuple[str, str, bytes]:
    """A new key: its text, its id, and the digest of its secret. Some 30 us of the system's randomness."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))
    return f"cmk_{key_id}_{secret}", key_id, digest(secret.encode())


def digest(secret: bytes) -> bytes:
    """What is stored of a secret."""
    return sha256(secret).digest()


def split(key: bytes) -> tuple[bytes, bytes]:
    """The id and the secret of a key. Raises `Unauthorized` for what has not the shape of one, which is no secret."""
    found = _KEY.fullmatch(key)
    if found is None:
        raise Unauthorized(NOT_VALID)
    key_id, secret = found.groups()
    return key_id, secret


def is_id(text: str) -> bool:
    """Whether this looks like the id of a key."""
    return _ID.fullmatch(text) is not None


def bearer(authorization: bytes | None) -> bytes:
    """The key in the value of an `Authorization` header. Raises `Unauthorized`."""
    if not authorization:
        raise Unauthorized(MISSING)
    found = _BEARER.fullmatch(authorization) if len(authorization) <= _HEADER_BYTES_MAX else None
    if found is None:
        raise Unauthorized(MISSING)
    return found[1]
