"""How whole numbers are written in texts: paths, parameters, headers, cursors.

Rule of this file: one number has one spelling, the digits 0 to 9 without a sign, a zero before them or anything else.
What two readers could take for two numbers, or a proxy for none, is refused. (In JSON a number is a number.)
"""

import re
from typing import Final

_WHOLE: Final = re.compile("0|[1-9][0-9]{0,18}")


def whole(text: str, most: int) -> int | None:
    """The number from 0 to `most`, which has 19 digits at most, that is written so; None for anything else."""
    if _WHOLE.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= most else None
