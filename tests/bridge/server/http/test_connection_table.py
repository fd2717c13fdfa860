"""Who is connected, counted without sockets: who finds room, who goes for it, and what is remembered of those who went.

Method: random comings and goings beside a plain list of who is there.
"""

import random
from typing import Final

import pytest

from callmarket.bridge.access.principal import Principal, Scope
from callmarket.bridge.server.http import connection_table
from callmarket.bridge.server.http.connection_table import ConnectionTable

MAX: Final = 8
PER_SITE: Final = 3


class Fake:
    """A connection."""

    def __init__(self) -> None:
        self.is_idle = True
        self.evicted = False

    def evict(self) -> None:
        assert not self.evicted
        self.evicted = True


def key(key_id: str, *scopes: Scope) -> Principal:
    return Principal(key_id, "", frozenset({Scope.READ, *scopes}), frozenset(), frozenset(), 1, 1)


def table_of(monkeypatch: pytest.MonkeyPatch, *, per_site: int = 100) -> ConnectionTable:
    monkeypatch.setattr(connection_table, "HALL_MAX", 2)
    return ConnectionTable(MAX, per_site, lambda peer: peer == "proxy")


def come(table: ConnectionTable, peer: str, principal: Principal | None = None) -> Fake:
    assert table.has_room_for(peer)
    one = Fake()
    table.add(one, peer)
    if principal is not None:
        assert table.prove(one, principal)
    return one


def test_closed_connections_make_room_for_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(monkeypatch, per_site=2)
    for _ in range(3):
        first, second = (come(table, "10.0.0.1") for _ in range(2))
        assert not table.has_room_for("10.0.0.1")
        assert table.has_room_for("10.0.0.2")
        table.remove(first)
        third = come(table, "10.0.0.1")
        assert not table.has_room_for("10.0.0.1")
        for one in (second, third):
            table.remove(one)


def test_a_connection_without_a_key_is_evicted_before_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(monkeypatch)
    many = [come(table, "10.0.0.1", key("a")) for _ in range(MAX - 1)]
    stranger = come(table, "10.0.0.2")
    for _ in range(connection_table.HALL_MAX):
        come(table, "10.0.0.3")
    assert table.has_room_for("10.0.0.4")
    assert (stranger.evicted, [one.evicted for one in many]) == (True, [False] * len(many))


def full_of_busy(table: ConnectionTable) -> list[Fake]:
    """All places are taken by keys that have no more than their share, and each waits for an answer."""
    busy = [come(table, "proxy", key(f"k{number // 2}")) for number in range(MAX)]
    for one in busy:
        one.is_idle = False
    return busy


def test_the_hall_is_bounded_when_none_can_be_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(monkeypatch)
    busy = full_of_busy(table)
    hall = [come(table, "10.0.0.1") for _ in range(connection_table.HALL_MAX)]
    for one in hall:
        one.is_idle = False
    assert not table.has_room_for("10.0.0.2")
    hall[0].is_idle = True
    assert table.has_room_for("10.0.0.2"), "who shows none goes"
    assert [one.evicted for one in hall] == [True, False]
    assert not any(one.evicted for one in busy)
    assert len(table) == MAX + connection_table.HALL_MAX - 1


def test_from_the_hall_only_staff_stays_when_none_can_be_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(monkeypatch)
    busy = full_of_busy(table)
    for _ in range(connection_table.HALL_MAX):
        one = come(table, "10.0.0.1")
        one.is_idle = False
        assert not table.prove(one, key("new"))
        assert table.prove(one, key("new", Scope.OPERATE))
    assert not table.has_room_for("10.0.0.1"), "all are there to stay"
    assert table.prove(busy[0], key("k0")), "who has stayed before stays"


def test_a_connection_that_shows_a_key_in_the_hall_evicts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where there are too many; and what is gone may do as it likes."""
    table = table_of(monkeypatch)
    busy = full_of_busy(table)
    table.remove(busy.pop())
    idle, last = come(table, "10.0.0.1"), come(table, "10.0.0.2")
    last.is_idle = False
    table.remove(busy.pop())
    assert table.prove(last, key("new"))
    assert not idle.evicted, "there is room for both"
    table.add(more := Fake(), "10.0.0.3")
    more.is_idle = False
    assert table.prove(more, key("more"))
    assert idle.evicted
    assert table.prove(idle, key("gone"))
    assert len(table) == MAX


def test_a_connection_of_a_key_over_its_share_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter each; the first to go is the one that came first and waits for nothing."""
    table = table_of(monkeypatch)
    many = [come(table, "proxy", key("many")) for _ in range(MAX // 4 + 1)]
    others = [come(table, "proxy", key(f"k{number // 2}")) for number in range(MAX - len(many))]
    many[0].is_idle = False
    for _ in range(connection_table.HALL_MAX):
        come(table, "10.0.0.1").is_idle = False
    assert table.has_room_for("10.0.0.2")
    assert [one.evicted for one in many] == [False, True, False]
    assert not any(one.evicted for one in others)


def test_a_connection_that_shows_another_key_counts_for_that_key(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(monkeypatch)
    one = come(table, "proxy", key("a"))
    assert table.prove(one, key("b"))
    assert {name: list(own) for name, own in table._of_key.items()} == {"b": [one]}


def test_proxies_have_no_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(monkeypatch, per_site=2)
    there = [come(table, "proxy") for _ in range(MAX)]
    assert not any(one.evicted for one in there), "there is room for all of them"
    assert table.has_room_for("proxy")
    assert table.has_room_for("10.0.0.1")


def test_counts_match_the_connections_after_any_changes(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Never more than there is room for, nor of one address; nobody goes who waits for an answer."""
    rng = random.Random(seed)
    table = table_of(monkeypatch, per_site=PER_SITE)
    there: dict[Fake, str] = {}
    for _ in range(2_000):
        for one in list(there):
            if one.evicted:
                assert one.is_idle, "somebody waited for an answer on it"
                del there[one]
        assert len(table) == len(there) <= MAX + connection_table.HALL_MAX
        what, some = rng.random(), list(there)
        if what < 0.5:
            peer = rng.choice(("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "proxy"))
            is_full = peer != "proxy" and list(there.values()).count(peer) >= PER_SITE
            has_room = table.has_room_for(peer)
            assert not (has_room and is_full)
            assert has_room or is_full or len(there) >= MAX
            if has_room:
                there[one := Fake()] = peer
                table.add(one, peer)
        elif some and what < 0.7:
            one = rng.choice(some)
            table.remove(one)
            del there[one]
        elif some and what < 0.9:
            one = rng.choice(some)
            # Its request is under way.
            one.is_idle = False
            table.prove(one, key(rng.choice("abc")))
            one.is_idle = rng.random() < 0.7
        elif some:
            rng.choice(some).is_idle = rng.random() < 0.7
    for one in there:
        table.remove(one)
        table.remove(one)
    left = (table._site_of, table._of_site, table._unproven, table._key_of, table._of_key)
    assert not any(left), left
