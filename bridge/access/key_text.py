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

from callmarket.bridge.api.errors import Unauthorized

_ALPHABET: Final = string.digits + string.ascii_letters
_ID_CHARS: Final = 12
# 62**43 > 2**256: nobody tries them all, with whatever hash, so one round of SHA-256 keeps the secret.
_SECRET_CHARS: Final = 43
_ID: Final = re.compile(rf"[0-9A-Za-z]{{{_ID_CHARS}}}")
_PREFIX: Final = b"cmk_"
_ID_END: Final = len(_PREFIX) + _ID_CHARS
_KEY_BYTES: Final = _ID_END + 1 + _SECRET_CHARS
# With a scheme and some blanks; anything longer is no key.
_HEADER_BYTES_MAX: Final = 256

MISSING: Final = "an API key is needed: Authorization: Bearer cmk_..."
NOT_VALID: Final = "the API key is not known here, was revoked, or has expired"


def make() -> tuple[str, str, bytes]:
    """A new key: its text, its id, and the digest of its secret. Some 30 us of the system's randomness."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))
    return f"cmk_{key_id}_{secret}", key_id, digest(secret.encode())


def digest(secret: bytes) -> bytes:
    """The digest of a secret, which is all that is stored of it."""
    return sha256(secret).digest()


def split(key: bytes) -> tuple[bytes, bytes]:
    """The id and the secret of a key. Raises `Unauthorized` for what has not the shape of one, which is no secret.

    What signs they are made of is not looked at: only the right ones are found, and have the right digest.
    """
    if len(key) != _KEY_BYTES or not key.startswith(_PREFIX) or key[_ID_END : _ID_END + 1] != b"_":
        raise Unauthorized(NOT_VALID)
    return key[len(_PREFIX) : _ID_END], key[_ID_END + 1 :]


def is_id(text: str) -> bool:
    """Whether this looks like the id of a key."""
    return _ID.fullmatch(text) is not None


def bearer(authorization: bytes | None) -> bytes:
    """The key in the value of an `Authorization` header. Raises `Unauthorized`."""
    if authorization is None or len(authorization) > _HEADER_BYTES_MAX:
        raise Unauthorized(MISSING)
    scheme, _, key = authorization.partition(b" ")
    key = key.strip(b" ")
    if scheme.lower() != b"bearer" or not key:
        raise Unauthorized(MISSING)
    return key
