"""What everything in the table can do.

Rule of this file: a peer prepares a step outside of the clock and hands over what is timed; a step asserts that what it
says it did has happened. A bid is for one slot, the best price first, then the earlier one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

Step = Callable[[], object]


class Bid(NamedTuple):
    """A bid that rests. Numbers count from 0, in order of time, and no peer is given one twice or out of order."""

    number: int
    bidder: int
    price_tokens: int


class Called(NamedTuple):
    """What a call sold: the winners, best first, and the price; None where the peer does not say.

    The price is that of the best bid that did not win, 0 if there was none.
    """

    numbers: tuple[int, ...]
    price_tokens: int | None


class Call(NamedTuple):
    """A call that is prepared: what is timed, and what reads its answer afterwards."""

    run: Callable[[], Any]
    told: Callable[[Any], Called]


class Sizes(NamedTuple):
    """What the bids take up in a server's memory and on its disk, None where that is not known or there is none.

    `here` says that they are kept in this process too, whose growth counts then.
    """

    here: bool
    server_bytes: int | None = None
    disk_bytes: int | None = None


class Peer(Protocol):
    """One way to keep bids and call them."""

    def fill(self, bids: Iterable[Bid]) -> None:
        """Let the first bids rest, in whatever way is fastest."""

    def place(self, bid: Bid) -> Step:
        """What places one bid."""

    def place_all(self, bids: Sequence[Bid]) -> Step:
        """What places many, in one transaction where there are any."""

    def cancel(self, number: int) -> Step:
        """What takes one resting bid out."""

    def call(self, k: int) -> Call:
        """What sells so many slots, of which there are no more."""

    def tidy(self) -> None:
        """Outside of the clock: what has to be done before the next step, and what still follows the last one."""

    def resting(self) -> int:
        """How many bids rest."""

    def sizes(self) -> Sizes:
        """What all of it takes up elsewhere than in this process."""

    def close(self) -> None:
        """End what was begun."""


class InProcess:
    """What peers without a server have in common: they are nowhere else, and nothing follows a step."""

    def tidy(self) -> None:
        """Nothing follows."""

    def sizes(self) -> Sizes:
        """All of it is in this process."""
        return Sizes(here=True)

    def close(self) -> None:
        """Nothing was begun."""


class OneByOne(InProcess):
    """What takes one bid at a time: many are so many times one."""

    def fill(self, bids: Iterable[Bid]) -> None:
        """One after the other, where there is no faster way."""
        for bid in bids:
            self._add(bid)

    def place(self, bid: Bid) -> Step:
        """What adds it."""
        return lambda: self._add(bid)

    def place_all(self, bids: Sequence[Bid]) -> Step:
        """One after the other."""
        return lambda: [self._add(bid) for bid in bids]

    def _add(self, bid: Bid) -> None:
        raise NotImplementedError
