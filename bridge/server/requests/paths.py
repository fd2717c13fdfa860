"""Paths that everybody reads alike.

Names over HTTP have no `/`, so a path has one for each step and no more. What a proxy in front could take for another
path than this service, and let pass or not, is refused before anything is looked up.
Rule of this file: pure, and cheap for the usual path.
"""

import re
from typing import Final

from callmarket.bridge.api.errors import Invalid

_ODD: Final = re.compile(rb"//|.+/\Z|/\.{1,2}(?:/|\Z)|%(?![0-9A-Fa-f]{2})")
# A slash, and the dots of a step that goes up or stays.
_HIDDEN: Final = re.compile(rb"%2[Ff]|/(?:\.|%2[Ee]){1,2}(?:/|\Z)")


def check_path(raw_path: bytes) -> None:
    """Raise `Invalid` for steps that are empty, `.` or `..`, a `/` in a name, or a `%` that stands for nothing.

    A path with a `/` at its end is another for a proxy's rule, so it is another here.
    """
    if not (b"%" in raw_path or b"//" in raw_path or b"/." in raw_path or raw_path.endswith(b"/")):
        return
    if _ODD.search(raw_path) or _HIDDEN.search(raw_path):
        raise Invalid("path", raw_path.decode("latin-1"), "no empty steps, no `.` or `..`, and no `/` inside of a name")
