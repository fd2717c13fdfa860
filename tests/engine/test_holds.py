"""The named holds by themselves: what is due, bound and remembered, and a check that finds what does not belong there.

Goal: any history leaves what a plain list would say. Method: random operations beside dictionaries, and one change that
only a bug could make at a time. HLD-5, HLD-6, HLD-7, HLD-8.
"""

import random
from collections.abc import Callable

import pytest

from callmarket.engine import limits
from callmarket.engine.holds import Binding, HoldKey, NamedHold, NamedHolds


def hold(number: int, account_id: str = "a", expires_at_us: int | None = None, reason: str = "stake") -> NamedHold:
    return NamedHold(f"h{number}", number, account_id, "admin", 1, reason, "artifact", "x", expires_at_us, "", "open")


def binding(reason: str, bound_seq: int, until_us: int) -> Binding:
    return Binding(reason, "artifact", "x", bound_seq, until_us)


def test_any_history_leaves_what_a_plain_list_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """HLD-5, HLD-6: the soonest first, equal ones by key; of those that ended the latest are remembered."""
    monkeypatch.setattr(limits, "HOLDS_ENDED_KEPT", 5)
    rng, kept = random.Random(seed), NamedHolds()
    there: dict[HoldKey, NamedHold] = {}
    ended: list[HoldKey] = []
    for number in range(300):
        if rng.random() < 0.55 or not there:
            one = hold(rng.randrange(40), rng.choice("ab"), rng.choice([None, *range(1, 9)]))
            if one.key in there:
                continue
            one.placed_seq = number
            kept.add(one)
            there[one.key] = one
            ended = [key for key in ended if key != one.key]
        else:
            key = rng.choice(list(there))
            status = rng.choice(["captured", "released", "expired"])
            gone = there.pop(key)
            assert kept.end(key, status) is gone
            assert gone.status == status
            ended = [*ended, key][-5:]
        kept.check()
        now_us = rng.randrange(10)
        deadlines = sorted((one.expires_at_us, key) for key, one in there.items() if one.expires_at_us is not None)
        assert [one.key for one in kept.due(now_us)] == [key for at_us, key in deadlines if at_us <= now_us]
        assert kept.soonest() == (deadlines[0][0] if deadlines else None)
        assert list(kept.ended) == ended
        assert {key for key in there if kept.get(*key) is there[key]} == set(there)
        assert all(kept.get(*key) is kept.ended[key] for key in ended)
    assert kept.get("a", "none") is None


def test_a_binding_binds_what_was_placed_before_it_until_its_end() -> None:
    """HLD-8: for its reason and reference; to bind again begins the time anew."""
    kept = NamedHolds()
    kept.bind(binding("stake", 5, 100), 0)
    assert [kept.bound_until(hold(number), 99) for number in (4, 5, 6)] == [100, 0, 0]
    assert kept.bound_until(hold(4), 100) == 0, "it is over"
    assert kept.bound_until(hold(4, reason="bounty"), 99) == 0
    kept.bind(binding("bounty", 7, 110), 10)
    kept.bind(binding("stake", 9, 120), 20)
    assert [one.until_us for one in kept.bindings.values()] == [110, 120]
    assert kept.bound_until(hold(8), 100) == 120
    kept.check()
    assert kept.past_bindings(109) == []
    assert kept.past_bindings(110) == [("bounty", "artifact", "x")]
    kept.bind(binding("else", 10, 210), 110)
    assert [one.reason for one in kept.bindings.values()] == ["stake", "else"], "what is past is forgotten"
    kept.check()


def bindings_out_of_order(kept: NamedHolds, _: pytest.MonkeyPatch) -> None:
    kept.bindings.move_to_end(next(iter(kept.bindings)))


def binding_under_another_key(kept: NamedHolds, _: pytest.MonkeyPatch) -> None:
    first = next(iter(kept.bindings))
    kept.bindings["else", "", ""] = kept.bindings.pop(first)
    kept.bindings.move_to_end(("else", "", ""), last=False)


def too_many_bindings(_: NamedHolds, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "HOLD_BINDINGS_MAX", 1)


def too_many_of_an_account(_: NamedHolds, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "HOLDS_PER_ACCOUNT_MAX", 1)


def too_many_in_all(_: NamedHolds, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "HOLDS_MAX", 2)


def too_many_that_ended(_: NamedHolds, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "HOLDS_ENDED_KEPT", 1)


def another_hold_of_an_ended_name(kept: NamedHolds, _: pytest.MonkeyPatch) -> None:
    kept.open["a", "h9"] = hold(9)
    kept.open_by_account["a"] += 1


DAMAGES = [
    bindings_out_of_order,
    binding_under_another_key,
    too_many_bindings,
    too_many_of_an_account,
    too_many_in_all,
    too_many_that_ended,
    another_hold_of_an_ended_name,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_check_of_named_holds_finds_each_damage(
    damage: Callable[[NamedHolds, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = NamedHolds()
    for one in (hold(1), hold(2, expires_at_us=5), hold(3, "b"), hold(8), hold(9)):
        kept.add(one)
    for key in (("a", "h8"), ("a", "h9")):
        kept.end(key, "released")
    kept.bind(binding("stake", 5, 100), 0)
    kept.bind(binding("bounty", 5, 110), 0)
    kept.check()
    damage(kept, monkeypatch)
    with pytest.raises(AssertionError):
        kept.check()
