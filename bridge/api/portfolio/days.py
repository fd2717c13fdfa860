"""The days of an account in artifact markets: what it had, what came and went, and what it earned (PRT-3).

Rule of this file: it begins with what is there now and takes back what each day did, so it costs the days and not the
past; and what is given to an account, or taken, is no gain and no loss.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.portfolio.figures import return_ppm
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.maker import price_of_side

# An artifact, and a side of it.
Holding = tuple[str, Side]
Price = Callable[[str, int], int]
"""The average price of long of an artifact at the end of a day, in millionths."""

DAY_S: Final = 86_400


class Traded(Struct, frozen=True):
    """What the trades and settlements of a day did: shares more or less of a side, and microtokens."""

    day: int
    holding: Holding
    microshares: int
    microtokens: int


class Moved(Struct, frozen=True):
    """Whole tokens that came to an account in a day, and that went, for anything but artifact markets."""

    day: int
    in_tokens: int
    out_tokens: int


class Account(Struct, frozen=True):
    """An account as it is now, and all that happened to it since the beginning of `first_day`."""

    cash_microtokens: int
    microshares: Mapping[Holding, int]
    traded: Iterable[Traded]
    moved: Iterable[Moved]


class Day(Struct, frozen=True):
    """A UTC day, counted from 1970. `return_ppm` is None where the day began with nothing."""

    day: int
    start_microtokens: int
    in_tokens: int
    out_tokens: int
    earned_microtokens: int
    end_microtokens: int
    return_ppm: int | None


class _End(Struct):
    """What an account has at the end of a day."""

    cash_microtokens: int
    microshares: dict[Holding, int]

    def before(self, traded: Iterable[Traded], moved: Moved) -> "_End":
        """What it had a day earlier."""
        cash = self.cash_microtokens - (moved.in_tokens - moved.out_tokens) * MICRO
        shares = dict(self.microshares)
        for one in traded:
            cash -= one.microtokens
            shares[one.holding] = shares.get(one.holding, 0) - one.microshares
        assert cash >= 0, cash
        assert min(shares.values(), default=0) >= 0, shares
        return _End(cash, {holding: count for holding, count in shares.items() if count})

    def equity(self, day: int, price: Price) -> int:
        """Cash and positions at the average price."""
        return self.cash_microtokens + sum(
            value(side, count, price(artifact_id, day)) for (artifact_id, side), count in self.microshares.items()
        )


def value(side: Side, microshares: int, long_price_micros: int) -> int:
    """What shares are worth at a price of long, rounded down, in microtokens."""
    return microshares * price_of_side(side, long_price_micros) // MICRO


def held_at(account: Account, first_day: int, today: int) -> set[tuple[str, int]]:
    """The artifacts of which there were shares at the end of a day, with the day: of these a price is needed."""
    ends = _ends(account, first_day, today)
    return {(artifact_id, day) for day, end in ends.items() for artifact_id, _ in end.microshares}


def days_of(account: Account, first_day: int, today: int, price: Price) -> list[Day]:
    """The days from the first one to yesterday, the oldest first. O(days * positions + trades)."""
    ends = _ends(account, first_day, today)
    moved = _moved(account)
    days: list[Day] = []
    start = ends[first_day - 1].equity(first_day - 1, price)
    for day in range(first_day, today):
        flow, end = moved.get(day, Moved(day, 0, 0)), ends[day].equity(day, price)
        earned = end - start - (flow.in_tokens - flow.out_tokens) * MICRO
        # What came in is at risk on the same day: else a loss of it could be more than all there was.
        capital = start + flow.in_tokens * MICRO
        part = return_ppm(earned, capital) if start else None
        days.append(Day(day, start, flow.in_tokens, flow.out_tokens, earned, end, part))
        start = end
    return days


def _ends(account: Account, first_day: int, today: int) -> dict[int, _End]:
    traded: defaultdict[int, list[Traded]] = defaultdict(list)
    for one in account.traded:
        traded[one.day].append(one)
    moved = _moved(account)
    end = _End(account.cash_microtokens, dict(account.microshares))
    ends: dict[int, _End] = {}
    # Rows may be a moment ahead of the clock that says which day it is.
    for day in range(max(today, *traded, *moved, first_day), first_day - 1, -1):
        ends[day] = end
        end = end.before(traded[day], moved.get(day, Moved(day, 0, 0)))
    ends[first_day - 1] = end
    return {day: one for day, one in ends.items() if day < today}


def _moved(account: Account) -> dict[int, Moved]:
    return {one.day: one for one in account.moved}
