"""Cursors of lists: what one list has given goes on there, and nothing else goes on anywhere."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from callmarket import Invalid
from callmarket.bridge.api.contract.pages import cursor, name_after, names_after, number_after, two_names
from callmarket.engine.limits import SEQ_MAX

READ: dict[str, Callable[[str, Any], Any]] = {"number": number_after, "name": name_after, "names": names_after}


def made(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_cursor_is_read_back() -> None:
    for number in (0, 1, 12_345, SEQ_MAX):
        assert number_after("bids", cursor("bids", number)) == number
    # Lengths of all remainders, and signs that base64 has two ways for.
    for name in ("a", "ab", "abc", "a:b", "~?>", "x" * 128):
        assert name_after("wallets", cursor("wallets", name)) == name
        assert names_after("holds", cursor("holds", two_names(name, "b"))) == (name, "b")
        assert names_after("holds", cursor("holds", two_names("b", name))) == ("b", name)
    assert [read("bids", None) for read in READ.values()] == [None] * 3


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize(
    "wrong",
    ["", "=", "?", "x", "é", "a b", 5, b"YmlkczoxMg", made("bids"), made("bids:"), made(":5"), made("awards:5")],
)
def test_a_made_up_cursor_is_refused(kind: str, wrong: Any) -> None:
    with pytest.raises(Invalid, match="after: expected a cursor that the same list gave") as caught:
        READ[kind]("bids", wrong)
    assert (caught.value.field, caught.value.value) == ("after", wrong)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("number", str(SEQ_MAX + 1)),
        ("number", "-1"),
        ("number", "1.0"),
        ("number", " 1"),
        ("number", "\u0661"),
        ("name", "a b"),
        ("name", "x" * 129),
        ("name", "\u00e9"),
        ("names", "a"),
        ("names", "a "),
        ("names", " b"),
        ("names", "a b c"),
        ("names", f"a {'x' * 129}"),
    ],
)
def test_a_cursor_whose_key_has_another_type_is_refused(kind: str, key: str) -> None:
    with pytest.raises(Invalid, match="after: expected a cursor"):
        READ[kind]("bids", made(f"bids:{key}"))
