"""How long to wait from round to round.

Rule of this file: pure. The client waits for what one question was told to wait (`Retry-After`), and asks it again. For
a round that is not enough: it asks many, and begins anew where it was cut short. So there are fewer of them as long as
the key's rate does not go round.
"""

from typing import Final

from callmarket.bridge.api.errors import ExchangeError, TooManyRequests

# By then a key of the usual rate may ask all at once that it ever may.
PAUSE_S_MAX: Final = 8.0
_SLOWER: Final = 2.0
# More slowly back: else each second round would be cut short.
_FASTER: Final = 0.8


class Pace:
    """Rounds as fast as wanted, and slower after each that was told that its key asks too much."""

    def __init__(self, round_s: float) -> None:
        """Begin as fast as wanted."""
        self._wanted_s: Final = round_s
        self._pause_s = round_s

    def next_s(self, ended_by: ExchangeError | None) -> float:
        """How long to wait after a round, and what cut it short, if anything did."""
        if isinstance(ended_by, TooManyRequests):
            slower_s = min(_SLOWER * self._pause_s, max(PAUSE_S_MAX, self._wanted_s))
            self._pause_s = max(slower_s, ended_by.retry_after_s or 0.0)
        elif ended_by is None:
            self._pause_s = max(self._wanted_s, _FASTER * self._pause_s)
        return self._pause_s
