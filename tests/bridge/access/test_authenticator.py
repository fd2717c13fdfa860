"""The door: keys are held to their rate, failures to theirs, and nobody is shut out by others."""

import asyncio
from collections.abc import Iterator

import pytest

from callmarket import ManualClock
from callmarket.bridge.access import authenticator, key_text
from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.principal import Principal
from callmarket.bridge.api.errors import Invalid, TooManyRequests, Unauthorized, Unavailable

SECOND_NS = 1_000_000_000


class Watch:
    """A monotonic clock that the test moves."""

    now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def keys(database_url: str, clock: ManualClock) -> Iterator[Keyring]:
    with Keyring(database_url, 0, clock) as found:
        yield found


def header(key: str) -> bytes:
    return f"Bearer {key}".encode()


def enter(entrance: Authenticator, authorization: bytes | None, peer: str) -> Principal:
    return asyncio.run(entrance.enter(authorization, peer))


def unknown() -> bytes:
    return header(key_text.make()[0])


def test_a_key_is_held_to_its_rate_and_no_other_key_is(keys: Keyring) -> None:
    watch = Watch()
    entrance = Authenticator(keys, watch)
    mine, others = (keys.issue(NewKey(name=name, rate_per_s=10, burst=3), "x").key for name in "ab")
    for _ in range(3):
        principal = enter(entrance, header(mine), "10.0.0.1")
    with pytest.raises(TooManyRequests, match="10 times a second, 3 at once") as raised:
        enter(entrance, header(mine), "10.0.0.2")
    assert raised.value.retry_after_s == pytest.approx(0.1)
    assert isinstance(raised.value, Unavailable)
    enter(entrance, header(others), "10.0.0.1")
    watch.now_ns += SECOND_NS // 10
    assert enter(entrance, header(mine), "10.0.0.1") == principal


def test_each_bid_of_a_batch_counts(keys: Keyring) -> None:
    watch = Watch()
    entrance = Authenticator(keys, watch)
    key = keys.issue(NewKey(name="a", rate_per_s=10, burst=10), "x").key
    principal = enter(entrance, header(key), "peer")
    entrance.charge(principal, 9)
    entrance.charge(principal, 0)
    with pytest.raises(TooManyRequests):
        entrance.charge(principal, 1)
    with pytest.raises(Invalid, match="at most 10, the burst"):
        entrance.charge(principal, 11)
    watch.now_ns += SECOND_NS
    entrance.charge(principal, 10)


def test_a_peer_that_fails_too_often_is_slowed_down(keys: Keyring, caplog: pytest.LogCaptureFixture) -> None:
    """With keys that are unknown, malformed or missing; one line in the log for each failure below the limit."""
    watch = Watch()
    entrance = Authenticator(keys, watch)
    tries = [unknown(), b"Bearer x", None, b"\xff" * 10_000]
    for number in range(authenticator.FAILURES_BURST):
        with pytest.raises(Unauthorized):
            enter(entrance, tries[number % len(tries)], "10.0.0.1")
    for _ in range(100):
        with pytest.raises(TooManyRequests) as raised:
            enter(entrance, unknown(), "10.0.0.1")
    assert raised.value.retry_after_s == pytest.approx(1 / authenticator.FAILURES_PER_S)
    assert len(caplog.records) == authenticator.FAILURES_BURST
    with pytest.raises(Unauthorized):
        enter(entrance, unknown(), "10.0.0.2")
    watch.now_ns += SECOND_NS // authenticator.FAILURES_PER_S
    with pytest.raises(Unauthorized):
        enter(entrance, unknown(), "10.0.0.1")


def test_a_request_heavier_than_the_burst_takes_the_whole_burst(keys: Keyring) -> None:
    """It could never be asked otherwise."""
    entrance = Authenticator(keys, Watch())
    principal = enter(entrance, header(keys.issue(NewKey(name="a", rate_per_s=1, burst=3), "x").key), "10.0.0.1")
    entrance.weigh(principal, 1_000)
    with pytest.raises(TooManyRequests):
        entrance.charge(principal, 1)


def test_a_valid_key_is_let_in_while_others_from_its_address_fail(keys: Keyring) -> None:
    """Behind one proxy all have one address."""
    entrance = Authenticator(keys, Watch())
    key = keys.issue(NewKey(name="a"), "x").key
    for _ in range(authenticator.FAILURES_BURST + 5):
        with pytest.raises((Unauthorized, TooManyRequests)):
            enter(entrance, unknown(), "10.0.0.1")
    assert enter(entrance, header(key), "10.0.0.1").name == "a"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "unix", False),
        ("x" * 1_000, "x" * 2_000, True),
    ],
)
def test_addresses_of_one_network_count_as_one_peer(keys: Keyring, one: str, other: str, same: bool) -> None:
    entrance = Authenticator(keys, Watch())
    for _ in range(authenticator.FAILURES_BURST):
        with pytest.raises(Unauthorized):
            enter(entrance, None, one)
    with pytest.raises(TooManyRequests if same else Unauthorized):
        enter(entrance, None, other)


def test_no_more_peers_are_remembered_than_agreed(keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "PEERS_MAX", 5)
    entrance = Authenticator(keys, Watch())
    for number in range(100):
        with pytest.raises(Unauthorized):
            enter(entrance, None, f"10.0.0.{number}")
    assert len(entrance._failures) == 5


def test_a_peer_cannot_write_lines_of_its_own_into_the_log(keys: Keyring, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unauthorized):
        enter(Authenticator(keys, Watch()), None, "1.2.3.4\nroot logged in \x1b[31m" + "x" * 1_000)
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 200
