"""From headers to values: who makes a request, for which account, and what makes a retry safe.

Goal: what is taken is exactly what is promised, and what is refused is named by its header and shows no secret.
"""

from collections.abc import Callable

import pytest

from callmarket import Invalid
from callmarket.bridge.server.requests.caller import (
    Headers,
    account_name,
    idempotency_key,
    min_seq_of,
    read_headers,
    request_id_of,
)
from callmarket.engine.limits import SEQ_MAX

VISIBLE = bytes(range(0x21, 0x7F))


def test_headers_are_read_as_they_came() -> None:
    """Others may stand there as often as they like."""
    raw = [
        (b"authorization", b"Bearer x"),
        (b"callmarket-account", b"a"),
        (b"idempotency-key", b"k"),
        (b"request-id", b"r"),
        (b"last-event-id", b"5"),
        (b"callmarket-min-seq", b"7"),
        (b"content-length", b"9"),
        (b"accept", b"one"),
        (b"accept", b"two"),
    ]
    assert read_headers(raw) == Headers(b"Bearer x", b"a", b"k", b"r", b"5", b"7", b"9")
    assert read_headers([]) == Headers()
    for name, value in raw[:7]:
        with pytest.raises(Invalid, match="one header of this name") as caught:
            read_headers([*raw, (name, value)])
        assert caught.value.field == name.decode()
        assert "Bearer" not in str(caught.value)


@pytest.mark.parametrize(("read", "chars_max"), [(idempotency_key, 123), (account_name, 128)])
def test_a_name_in_a_header_is_visible_and_no_longer_than_it_may_be(
    read: Callable[[bytes], str], chars_max: int
) -> None:
    for value in (b"k", VISIBLE, b"k" * chars_max):
        assert read(value) == value.decode()
    for value in (b"", b"k" * (chars_max + 1)):
        with pytest.raises(Invalid, match=f"1 to {chars_max}, got '{len(value)} characters'"):
            read(value)
    for value in (b"a b", b" a", b"a\n", b"a\x7f", b"a\x00", "\u00e9".encode(), b"\xe9"):
        with pytest.raises(Invalid, match="visible ASCII characters without spaces"):
            read(value)


def test_an_id_of_a_request_is_one_that_a_log_can_hold() -> None:
    """Else there is none, and the service gives one: a wrong one is nobody's mistake to be told of."""
    for value in (b"r", b"0aZ._:/+=-", b"r" * 128):
        assert request_id_of(value) == value.decode()
    for value in (b"", b"r" * 129, b"a b", b"a\n", b'a"', b"a%", b"\xe9", b"a,b"):
        assert request_id_of(value) == ""


def test_min_seq_is_a_row_number() -> None:
    assert [min_seq_of(str(seq).encode()) for seq in (0, 1, SEQ_MAX)] == [0, 1, SEQ_MAX]
    for value in (b"", b"-1", b"+1", b" 1", b"1 ", b"1.0", b"1e3", b"0x1", b"\xb2", str(SEQ_MAX + 1).encode()):
        with pytest.raises(Invalid, match=f"Callmarket-Min-Seq: expected a whole number up to {SEQ_MAX}"):
            min_seq_of(value)
