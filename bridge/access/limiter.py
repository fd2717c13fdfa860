"""How often somebody may ask: token buckets, one for each name.

Rule of this file: pure. The time is given, in nanoseconds of a clock that never goes back; whole numbers; each question
is O(1), and no more names are remembered than were agreed.
"""

import threading
from collections import OrderedDict
from typing import Final

_SECOND_NS: Final = 1_000_000_000


class Buckets:
    """For each name the moment at which its bucket will be full again; a full bucket is nothing to remember.

    Beyond `names_max` the name that has asked least recently is forgotten, which gives it a full bucket. Safe to use
    from any thread.
    """

    def __init__(self, names_max: int) -> None:
        """Begin with full buckets."""
        assert names_max > 0, names_max
        self._names_max: Final = names_max
        self._full_at_ns: Final[OrderedDict[str, int]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def __len__(self) -> int:
        """The number of names that are remembered."""
        return len(self._full_at_ns)

    def take(self, name: str, rate_per_s: int, burst: int, cost: int, now_ns: int) -> int:
        """Take `cost` tokens of a bucket that holds `burst` and gains `rate_per_s`. 0 if they were there.

        Else nothing is taken, and it says in how many nanoseconds they will be there. More than the bucket holds are
        never there: that is the caller's mistake, and an assertion.
        """
        assert 0 < cost <= burst, (cost, burst)
        # Rounded up, so that no rate is exceeded.
        token_ns = -(-_SECOND_NS // rate_per_s)
        with self._lock:
            before_ns = self._full_at_ns.get(name, 0)
            full_at_ns = (max(now_ns, before_ns)) + cost * token_ns
            wait_ns = full_at_ns - burst * token_ns - now_ns
            if wait_ns > 0:
                return wait_ns
            self._full_at_ns[name] = full_at_ns
            self._full_at_ns.move_to_end(name)
            if len(self._full_at_ns) > self._names_max:
                self._full_at_ns.popitem(last=False)
            return 0
