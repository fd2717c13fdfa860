"""What is remembered of commands for a day, by itself: its check finds each kind of damage, and too much of anything.

Goal: an engine that comes back with a wrong memory stops, instead of doing something twice. IDM-1.
"""

from collections.abc import Callable

import pytest

from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, OPERATOR, ExpireDue
from callmarket.engine.retries import Retries


@pytest.fixture
def kept() -> Retries:
    """Of each of the staff and of two accounts two commands, in two periods."""
    retries = Retries()
    for seq, at_us in ((1, 0), (2, limits.RETRIES_PERIOD_US)):
        for actor in (ADMIN, OPERATOR, "a", "b"):
            retries.add(actor, f"k{seq}", seq, at_us, ExpireDue())
    retries.check()
    return retries


def periods_out_of_order(kept: Retries) -> None:
    kept.generations.reverse()


def a_period_twice(kept: Retries) -> None:
    kept.generations.append(kept.generations[-1])


def longer_than_a_day(kept: Retries) -> None:
    last = kept.generations[-1]
    last.period = kept.generations[0].period + limits.RETRIES_PERIODS_KEPT + 1


def one_more_than_is_counted(kept: Retries) -> None:
    kept.generations[0].by_actor["a"] -= 1
    kept.generations[0].by_accounts -= 1


def accounts_miscounted(kept: Retries) -> None:
    kept.generations[0].by_accounts += 1


def an_actor_with_nothing(kept: Retries) -> None:
    kept.generations[0].by_actor["c"] = 0


DAMAGES = [
    periods_out_of_order,
    a_period_twice,
    longer_than_a_day,
    one_more_than_is_counted,
    accounts_miscounted,
    an_actor_with_nothing,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_check_of_retries_finds_each_damage(kept: Retries, damage: Callable[[Retries], None]) -> None:
    damage(kept)
    with pytest.raises(AssertionError):
        kept.check()


@pytest.mark.parametrize(
    ("bound", "most"), [("RETRIES_PER_STAFF_MAX", 2), ("RETRIES_PER_ACCOUNT_MAX", 2), ("RETRIES_OF_ACCOUNTS_MAX", 4)]
)
def test_the_check_finds_more_than_there_is_room_for(
    kept: Retries, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """Over all periods of the day, for each of the staff and each account, and for all accounts together."""
    monkeypatch.setattr(limits, bound, most)
    kept.check()
    monkeypatch.setattr(limits, bound, most - 1)
    with pytest.raises(AssertionError):
        kept.check()


@pytest.mark.parametrize(
    ("bound", "most", "full"),
    [
        ("RETRIES_PER_STAFF_MAX", 2, [ADMIN, OPERATOR]),
        ("RETRIES_PER_ACCOUNT_MAX", 2, ["a", "b"]),
        ("RETRIES_OF_ACCOUNTS_MAX", 4, ["a", "b", "c"]),
    ],
)
def test_a_full_table_of_retries_names_its_bound(
    kept: Retries, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, full: list[str]
) -> None:
    """And has room again once the day is over; nobody else is kept from anything."""
    now_us = limits.RETRIES_PERIOD_US
    everybody = [ADMIN, OPERATOR, "a", "b", "c"]
    assert [actor for actor in everybody if kept.bound_met(actor, now_us)] == []
    monkeypatch.setattr(limits, bound, most)
    assert {actor: kept.bound_met(actor, now_us) for actor in everybody} == {
        actor: most if actor in full else 0 for actor in everybody
    }
    later_us = (limits.RETRIES_PERIODS_KEPT + 1) * limits.RETRIES_PERIOD_US
    assert [actor for actor in everybody if kept.bound_met(actor, later_us)] == []
    assert kept.of(ADMIN, now_us) == 2
    assert kept.of("a", now_us) == kept.of("nobody", now_us) == 4, "of all accounts"
    assert kept.of(ADMIN, later_us) == 1
