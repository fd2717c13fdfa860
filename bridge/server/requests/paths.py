"""Only paths that every proxy and server reads alike.

Names over HTTP have no `/`, so a path has one for each step and no more. A path that a proxy in front could read
differently, and so let pass or block wrongly, is refused before it is looked up.
Rule of this file: pure, and cheap for the usual path.
"""

import re
from typing import Final

from callmarket.bridge.api.errors import Invalid

_ODD: Final = re.compile(rb"//|.+/\Z|/\.{1,2}(?:/|\Z)|%(?![0-9A-Fa-f]{2})")
# An escaped slash, and steps of one or two dots, escaped or not.
_HIDDEN: Final = re.compile(rb"%2[Ff]|/(?:\.|%2[Ee]){1,2}(?:/|\Z)")


def check_path(raw_path: bytes) -> None:
    """Raise `Invalid` for steps that are empty, `.` or `..`, an escaped `/` in a name, or a `%` that is no escape.

    A path with a `/` at its end has an empty step too: the rules of a proxy take it for another path.
    """
    if not (b"%" in raw_path or b"//" in raw_path or b"/." in raw_path or raw_path.endswith(b"/")):
        return
    if _ODD.search(raw_path) or _HIDDEN.search(raw_path):
        raise Invalid("path", raw_path.decode("latin-1"), "no empty steps, no `.` or `..`, and no `/` within a name")
