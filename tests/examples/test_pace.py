"""How the example waits from round to round: as fast as wanted, slower where its key's rate does not go round."""

from callmarket.bridge.api.errors import TooManyRequests, Unavailable
from examples.platform.pace import PAUSE_S_MAX, Pace

OFTEN = TooManyRequests("too often", 0.1)


def test_rounds_are_as_fast_as_wanted() -> None:
    pace = Pace(0.2)
    assert [pace.next_s(ended_by) for ended_by in (None, Unavailable("away", 1.0), None)] == [0.2, 0.2, 0.2]


def test_each_round_in_vain_is_followed_by_a_longer_pause_up_to_a_bound() -> None:
    pace = Pace(0.2)
    pauses_s = [pace.next_s(OFTEN) for _ in range(10)]
    assert pauses_s == sorted(pauses_s)
    assert (pauses_s[0], pauses_s[-1]) == (0.4, PAUSE_S_MAX)
    back_s = [pace.next_s(None) for _ in range(30)]
    assert back_s == sorted(back_s, reverse=True)
    assert (back_s[0] < PAUSE_S_MAX, back_s[-1]) == (True, 0.2)


def test_what_it_is_told_to_wait_is_waited() -> None:
    assert Pace(0.2).next_s(TooManyRequests("too often", 30.0)) == 30.0
    slow = Pace(60.0)
    assert [slow.next_s(ended_by) for ended_by in (OFTEN, None)] == [60.0, 60.0]
