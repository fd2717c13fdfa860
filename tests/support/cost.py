"""What a command costs, counted and not timed, so that a busy machine changes nothing.

Rule of this file: one number per command, the same on every run of one Python.
"""

import sys

from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine


def operations(engine: Engine, entry: Entry) -> int:
    """Apply an entry and return how many calls, of Python and of C, the engine made for it."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        engine.apply(entry)
    finally:
        sys.setprofile(before)
    return calls
