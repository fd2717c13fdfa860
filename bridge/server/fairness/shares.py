"""How many of something one key may have at a time: streams, waits, incomplete bodies.

Rule of this file: pure, O(1); a key at its limit is refused at once, and keys that have none are not remembered.
"""

from collections import Counter
from types import TracebackType
from typing import Final, Self

from callmarket.bridge.api.errors import TooManyRequests


class Shares:
    """The shares of all keys in one limit, for use in one event loop."""

    def __init__(self, what: str, each_max: int, retry_after_s: float) -> None:
        """Up to `each_max` for each key; `what` names them in the refusal of another one."""
        assert each_max > 0, each_max
        self._what: Final = what
        self._each_max: Final = each_max
        self._retry_after_s: Final = retry_after_s
        self._of_key: Final[Counter[str]] = Counter()

    def __len__(self) -> int:
        """How many all keys have together."""
        return self._of_key.total()

    def one(self, key_id: str) -> "Share":
        """Take one more for a key. Raises `TooManyRequests`."""
        if self._of_key[key_id] >= self._each_max:
            raise TooManyRequests(
                f"key {key_id} has {self._each_max} {self._what}, the most that it may have", self._retry_after_s
            )
        self._of_key[key_id] += 1
        return Share(self._of_key, key_id)


class Share:
    """One that a key has. Close it, or use it in `with`."""

    def __init__(self, of_key: Counter[str], key_id: str) -> None:
        self._of_key: Counter[str] | None = of_key
        self._key_id = key_id

    def close(self) -> None:
        """Give it back. Idempotent."""
        if self._of_key is None:
            return
        self._of_key[self._key_id] -= 1
        if not self._of_key[self._key_id]:
            del self._of_key[self._key_id]
        self._of_key = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
