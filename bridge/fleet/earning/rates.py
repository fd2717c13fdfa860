"""What each kind of work pays: a base, factors, a cap. The shipped table is `rates.toml`, one's own replaces it.

Rule of this file: whole numbers. Multipliers and judgements are exact millionths, their product is rounded down once. A
table is checked as a whole when it is read: a fault is refused by its name and bound, and no half of it is used.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.names import expected_in_words
from callmarket.bridge.api.units import Number, micros
from callmarket.bridge.config import Config, in_home

# The scale of a multiplier at a judgement: millionths of millionths.
_ONE: Final = 10**12
# Pays a whole wallet at once, and is far from the supply bound however often.
RATE_TOKENS_MAX: Final = 1_000_000
# More than tenfold is another action.
TIMES_MAX: Final = 10
ACTIONS_MAX: Final = 100
# With `earn:` before it, a reason of the ledger, which has 64 characters at most.
_ACTION: Final = re.compile(r"[a-z][a-z0-9_-]{0,58}\Z")
# The first tokens of an account have this reason (`grants`), and nothing else may.
GRANT: Final = "grant"
# What has come from a chain is no work either, and no action (`api.operations.ledger`).
BRIDGE: Final = "bridge"
NO_ACTIONS: Final = (GRANT, BRIDGE)
_FILE_BYTES_MAX: Final = 65_536

T = TypeVar("T", bound=Struct)
Tokens = Annotated[int, Meta(ge=1, le=RATE_TOKENS_MAX)]
Times = Annotated[float, Meta(ge=0, le=TIMES_MAX)]


class Factors(Struct, frozen=True, forbid_unknown_fields=True):
    """By what work is judged, each from 0 to 1, and what it multiplies by at 0 and at 1.

    `quality` is how good it is, `novelty` how new, `impact` how much came of it.
    """

    quality: tuple[Times, Times] | None = None
    novelty: tuple[Times, Times] | None = None
    impact: tuple[Times, Times] | None = None


FACTORS: Final = Factors.__struct_fields__


class Rate(Struct, frozen=True, forbid_unknown_fields=True):
    """What one kind of work pays."""

    base_tokens: Tokens
    cap_tokens: Tokens
    factors: Factors = Factors()

    def tokens(self, judged: Mapping[str, Number | None]) -> tuple[int, bool]:
        """What work pays that was judged so, and whether the cap has cut it. Raises `Invalid`.

        floor(base * product of (at 0 + (at 1 - at 0) * judgement)), at most the cap.
        """
        earned, scale = self.base_tokens, 1
        for name, judgement in judged.items():
            if judgement is None:
                continue
            times = getattr(self.factors, name, None)
            if times is None:
                known = [one for one in FACTORS if getattr(self.factors, one) is not None]
                raise Invalid(name, judgement, f"nothing: this action is judged by {' and '.join(known) or 'nothing'}")
            at_zero, at_one = (micros(name, one) for one in times)
            judged_micros = _judgement(name, judgement)
            earned *= at_zero * 1_000_000 + (at_one - at_zero) * judged_micros
            scale *= _ONE
        earned //= scale
        return min(earned, self.cap_tokens), earned > self.cap_tokens


class Rates(Struct, frozen=True):
    """A whole table. `daily_cap_tokens`: what one account may earn in 24 hours; 0 for no bound."""

    actions: Mapping[str, Rate]
    daily_cap_tokens: int = 0

    def rate(self, action_type: str) -> Rate:
        """What an action pays. Raises `Invalid` for one that is not in the table."""
        found = self.actions.get(action_type)
        if found is None:
            raise Invalid("action_type", action_type, f"one of {', '.join(sorted(self.actions))}")
        return found


@cache
def shipped_rates() -> Rates:
    """The table that comes with the program."""
    return _read(
        "rates.toml", files("callmarket.bridge.fleet.earning").joinpath("rates.toml").read_text(encoding="utf-8")
    )


def load_rates(path: Path) -> Rates:
    """The table of a file in TOML. Raises `Invalid`, which names the file, the action, the field and its bound."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Invalid("earnings_file", str(path), f"a file that can be read ({error.strerror})") from None
    if len(data) > _FILE_BYTES_MAX:
        raise Invalid("earnings_file", str(path), f"a file of at most {_FILE_BYTES_MAX} bytes")
    try:
        return _read(str(path), data.decode())
    except UnicodeDecodeError as error:
        raise Invalid("earnings_file", str(path), f"a file in UTF-8 ({error.reason})") from None


def configured_rates(config: Config) -> Rates:
    """The table of the settings: that of `earnings_file`, or the shipped one. Raises as `load_rates`."""
    return load_rates(in_home("earnings_file", config.earnings_file)) if config.earnings_file else shipped_rates()


class _Table(Struct, forbid_unknown_fields=True):
    actions: dict[str, dict[str, Any]]
    daily_cap_tokens: Annotated[int, Meta(ge=0, le=RATE_TOKENS_MAX)] = 0


def _read(name: str, text: str) -> Rates:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid("earnings_file", name, f"a file in TOML ({error})") from None
    table = _converted(f"{name}: ", values, _Table)
    if not 0 < len(table.actions) <= ACTIONS_MAX:
        raise Invalid(f"{name}: actions", len(table.actions), f"1 to {ACTIONS_MAX} actions")
    actions = {action: _rate(f"{name}: actions.{action}", action, given) for action, given in table.actions.items()}
    return Rates(actions, table.daily_cap_tokens)


def _rate(where: str, action: str, given: dict[str, Any]) -> Rate:
    if _ACTION.match(action) is None or action in NO_ACTIONS:
        other = " or ".join(map(repr, NO_ACTIONS))
        raise Invalid(where, action, f"at most 59 of a-z, 0-9, _ and -, a letter first, and not {other}")
    rate = _converted(f"{where}.", given, Rate)
    if rate.cap_tokens < rate.base_tokens:
        raise Invalid(f"{where}.cap_tokens", rate.cap_tokens, f"base_tokens or more, which is {rate.base_tokens}")
    return rate


def _converted(where: str, values: dict[str, Any], kind: type[T]) -> T:
    """The values as such a struct. Raises `Invalid` with the place (after `where`), the value and what was expected."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        value: Any = values
        for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
            value = value[key] if key else value[int(index)]
        place = (where + path.lstrip(".")).rstrip("`.: ")
        raise Invalid(place, value, expected_in_words(words)) from None


def _judgement(name: str, judgement: Number) -> int:
    if isinstance(judgement, bool) or not 0 <= (judged := micros(name, judgement)) <= 1_000_000:
        raise Invalid(name, judgement, "a number from 0 to 1")
    return judged
