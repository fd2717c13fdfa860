"""The spelling of whole numbers in paths, query parameters, headers and cursors; JSON has its own.

Rule of this file: each number has exactly one spelling: decimal digits without a sign, leading zeros or spaces.
Anything else is refused, because two readers could parse it differently.
"""

import re
from typing import Final

_WHOLE: Final = re.compile("0|[1-9][0-9]{0,18}")


def whole(text: str, most: int) -> int | None:
    """The number from 0 to `most` that the text spells; None for anything else. Up to 19 digits are read."""
    if _WHOLE.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= most else None
