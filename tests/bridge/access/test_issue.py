"""The text of a key, what may be asked of a new one, and that nothing but its owner's copy shows the secret."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from callmarket.bridge.access import key_text
from callmarket.bridge.access.issue import NewKey, issue, new_key, principal_of, view_of
from callmarket.bridge.access.principal import Scope
from callmarket.bridge.api.errors import Invalid, Unauthorized
from callmarket.bridge.api.units import at_us
from callmarket.engine import commands

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_US = at_us("now", NOW)


def test_a_key_is_what_scanners_look_for_and_no_two_are_alike() -> None:
    found = [key_text.make() for _ in range(200)]
    for text, key_id, digest in found:
        assert re.fullmatch(r"cmk_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}", text)
        assert key_text.split(text.encode()) == (key_id.encode(), text[-43:].encode())
        assert key_text.digest(text[-43:].encode()) == digest
        assert key_text.is_id(key_id)
    assert len({text for text, _, _ in found}) == len({key_id for _, key_id, _ in found}) == len(found)
    # A secret has 256 random bits: each of 62 signs at each of 43 places.
    assert 62**43 > 2**256
    assert len(set("".join(text[-43:] for text, _, _ in found))) == 62


GOOD, _, _ = key_text.make()
# What has the shape of a key but other signs is unknown as any other (test_keyring).
NO_KEYS = {
    "empty": b"",
    "short": GOOD[:-1].encode(),
    "long": f"{GOOD}a".encode(),
    "oversized": b"cmk_" + b"a" * 10_000_000,
    "newline": f"{GOOD}\n".encode(),
    "bytes": bytes(range(256)),
    "unicode digits": b"cmk_" + "\u0661".encode() * 28,
    "other separator": GOOD.replace("_", "-").encode(),
    "other prefix": GOOD.replace("cmk_", "sk-_").encode(),
    "other case": GOOD.replace("cmk_", "CMK_").encode(),
}


@pytest.mark.parametrize("key", NO_KEYS.values(), ids=NO_KEYS)
def test_a_malformed_key_is_refused_and_not_shown(key: bytes) -> None:
    for refused in (lambda: key_text.split(key), lambda: key_text.split(key_text.bearer(b"Bearer " + key))):
        with pytest.raises(Unauthorized) as raised:
            refused()
        assert str(raised.value) in (key_text.NOT_VALID, key_text.MISSING)


@pytest.mark.parametrize("header", [b"Bearer " + GOOD.encode(), b"bearer   " + GOOD.encode()], ids=["usual", "spaced"])
def test_the_key_is_read_from_an_authorization_header(header: bytes) -> None:
    assert key_text.bearer(header) == GOOD.encode()


def test_a_header_of_so_many_bytes_is_read_and_a_longer_one_is_not() -> None:
    header = b"Bearer " + GOOD.encode().rjust(256 - len(b"Bearer "))
    assert (len(header), key_text.bearer(header)) == (256, GOOD.encode())
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        key_text.bearer(header + b" ")


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", GOOD.encode(), b"Basic YTpi"],
    ids=["none", "empty", "no key", "spaces", "no scheme", "another scheme"],
)
def test_a_header_without_a_key_says_what_is_needed(header: bytes | None) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        key_text.bearer(header)


def test_a_key_is_what_was_asked_for() -> None:
    asked = new_key({"name": "lab", "bid": ("b", "a", "a"), "offer": ("*", "p"), "expires_at": NOW + timedelta(days=1)})
    issued, row = issue(asked, "me", NOW_US)
    assert (row.scopes, row.accounts, row.providers) == (["read", "bid", "offer"], ["a", "b"], ["*"])
    assert issued.view == view_of(row, NOW_US)
    assert issued.view.works
    assert not view_of(row, NOW_US + 86_400_000_000).works, "at the very moment"
    assert not view_of(replace(row, revoked_at=NOW), NOW_US).works
    assert principal_of(row).scopes == {Scope.READ, Scope.BID, Scope.OFFER}
    all_scopes = NewKey(name="x", bid=("a",), offer=("a",), operate=True, admin=True).scopes
    assert all_scopes == list(Scope)
    assert NewKey(name="x").scopes == [Scope.READ]


WRONG: list[tuple[dict[str, object], str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "two\nlines"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "x", "bid": ("with space",)}, "bid"),
    ({"name": "x", "bid": tuple(map(str, range(101)))}, "bid"),
    ({"name": "x", "rate_per_s": 0}, "rate_per_s"),
    ({"name": "x", "burst": 10**7}, "burst"),
    ({"name": "x", "expires_at": datetime(2027, 1, 1)}, "expires_at"),  # noqa: DTZ001 -- the point
    ({"name": "x", "expires_at": NOW}, "expires_at"),
    *(({"name": "x", "bid": (name,)}, "bid") for name in commands.RESERVED_NAMES),
    *(({"name": "x", "offer": (name,)}, "offer") for name in ("admin", "operator", "issuance")),
]


@pytest.mark.parametrize(("fields", "wrong"), WRONG)
def test_a_wrong_wish_is_refused_by_its_field(fields: dict[str, object], wrong: str) -> None:
    with pytest.raises(Invalid) as raised:
        issue(new_key(fields), "me", NOW_US)
    assert wrong in (raised.value.field, "name")
    assert wrong in str(raised.value)


def test_only_the_key_itself_shows_the_secret() -> None:
    issued, row = issue(NewKey(name="lab", admin=True), "me", NOW_US)
    secret = issued.key[-43:]
    principal = principal_of(row)
    for shown in (repr(issued), str(issued), repr(row), repr(issued.view), repr(principal), f"{issued!r}"):
        assert secret not in shown
        assert row.secret_sha256.hex() not in shown
        assert repr(row.secret_sha256) not in shown
    assert secret not in msgspec.json.encode([issued.view, principal]).decode()
    assert secret.encode() not in row.secret_sha256
