"""The outcome that a client does not know.

Rule of this file: an error that can be resolved, and nothing that resolves it.
"""

from collections.abc import Callable
from typing import Any

from callmarket.bridge.api.errors import UnknownOutcome
from callmarket.bridge.client.call import Plan


class InDoubt(UnknownOutcome):
    """It may have been done. `client.resolve(error)` asks again, as does the same verb with this `command_id`.

    Asking again does it once and returns the result, if that was not known. What moves tokens the market remembers for
    24 hours, whatever others do meanwhile; an end of an award that names it is refused after its end, and nothing moves
    twice. Bids, and what moves no tokens, it remembers among the last 65,536 that were done: minutes as a rule, seconds
    under full load. After that, look (`bids`, `statement`) before anything is sent again. `seqs` are the rows in doubt,
    as far as the market has named them.
    """

    def __init__(self, message: str, seqs: range, command_id: str, again: Callable[[], Plan[Any]]) -> None:
        super().__init__(message, seqs)
        self.command_id = command_id
        self.again = again
