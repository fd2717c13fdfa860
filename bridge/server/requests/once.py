"""Check that no JSON object has a duplicate name.

Of two values, parsers take the first, the last or both, so a proxy or a log might see another request than the market.
Rule of this file: it only checks; the JSON is decoded elsewhere.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from callmarket.bridge.api.errors import Invalid


def check_once(body: bytes) -> None:
    """Check that no object of this JSON has a name twice: which value counts would be a guess. Raises `Invalid`.

    Decoding drops duplicates, so the JSON that is encoded again has fewer quotation marks. If the body has escapes,
    this does not hold, and it is parsed by a slower parser that sees each pair.
    """
    if b"\\" in body or body.count(b'"') != msgspec.json.encode(msgspec.json.decode(body)).count(b'"'):
        json.loads(body, object_pairs_hook=_once)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise Invalid(twice, "twice", "one value")
    return found
