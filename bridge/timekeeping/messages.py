"""Messages about faults of the time: what was seen, and what to do.

Rule of this file: text from numbers. Each message says what was seen, what it means, and the way on.
"""

from datetime import timedelta
from typing import Final

from callmarket.bridge.api.units import datetime_of

WAY_ON: Final = "Set the clock right, or see `callmarket clock`"


def shown(at_us: int) -> str:
    """A time, to the second; also one that no calendar has."""
    try:
        return f"{datetime_of(at_us):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return f"{at_us} us since 1970"


def long(us: int) -> str:
    """A duration, whatever its sign."""
    us = abs(us)
    if us < 120_000_000:
        return f"{us / 1_000_000:.1f} s"
    try:
        return str(timedelta(seconds=(us + 500_000) // 1_000_000))
    except OverflowError:
        return f"{us // 1_000_000} s"


def _against(wall_us: int, other_us: int) -> str:
    """What this machine's clock says, and how far that is from what it should."""
    towards = "ahead of" if wall_us > other_us else "behind"
    return f"this machine's clock says {shown(wall_us)}, {long(wall_us - other_us)} {towards}"


def leapt(wall_us: int, believed_us: int) -> str:
    """A leader whose machine's clock differs from what the steady clock makes of the time before."""
    if wall_us == believed_us:
        return f"this machine's clock had leapt, and is back at {shown(wall_us)}: it is watched for a moment"
    return (
        f"{_against(wall_us, believed_us)} the time that has passed, by which it is {shown(believed_us)}: the clock "
        f"has leapt, so nothing is taken, and nothing expires. {WAY_ON}"
    )


def database_off(ahead_us: int) -> str:
    """The database's clock alone is wrong. `ahead_us`: of this machine's."""
    towards = "ahead of" if ahead_us > 0 else "behind"
    return (
        f"the database's clock is {long(ahead_us)} {towards} this machine's, which agrees with the time that has "
        "passed, so this process goes on; one that starts would not lead. Set the database's clock right"
    )


def apart(wall_us: int, database_ahead_us: int) -> str:
    """The clock of a process that would lead is not the database's."""
    return (
        f"{_against(wall_us, wall_us + database_ahead_us)} the database's: one of the two is wrong, so this process "
        f"does not lead. {WAY_ON}"
    )


def leapt_before(wall_us: int, believed_us: int) -> str:
    """The clock has leapt since the last leader of this machine renewed its lease."""
    return (
        f"{_against(wall_us, believed_us)} the time that has passed here since the last leader renewed its lease, by "
        f"which it is {shown(believed_us)}: the clock has leapt, so this process does not lead. {WAY_ON}"
    )


def led_later(wall_us: int, led_us: int) -> str:
    """The last leader held a later time for right."""
    return (
        f"{_against(wall_us, led_us)} the last leader's time: one of the two clocks was wrong, so this process does "
        f"not lead. {WAY_ON}"
    )


def market_ahead(market_us: int, now_us: int) -> str:
    """The market's time stands in the future."""
    return (
        f"the market's time stands at {shown(market_us)}, {long(market_us - now_us)} ahead of {shown(now_us)}, because "
        "a clock was wrong when its last rows were stamped: until then nothing would expire, no lease would end, and "
        "each deadline of the right time would be past. Wait, if that is soon, or let the market go on from the time "
        "at which it stands: `callmarket clock`"
    )


def absent(last_us: int, wall_us: int) -> str:
    """Nobody has led for very long, or this machine started with a wrong clock: they look the same."""
    return (
        f"the clocks say {shown(wall_us)}, and this market was last led {long(wall_us - last_us)} before, at "
        f"{shown(last_us)}, with tokens on hold that might be released or captured at once. If so much time has "
        "passed, an operator has to say so: `callmarket clock`. Else set the clocks right"
    )
