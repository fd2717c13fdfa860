"""The error for an outcome that a client does not know.

Rule of this file: the error only; `Client.resolve` and `AsyncClient.resolve` settle it.
"""

from collections.abc import Callable
from typing import Any

from callmarket.bridge.api.errors import UnknownOutcome
from callmarket.bridge.client.call import Plan


class InDoubt(UnknownOutcome):
    """The command may have been done. `client.resolve(error)` retries it, and so does the same call with `command_id`.

    A retry does the command if it was not done yet, and returns its result in both cases. The market remembers commands
    that move tokens for 24 hours, whatever its load. Settling or voiding an award by its id is refused once the award
    has ended, so nothing moves twice. Bids, and commands that move no tokens, are remembered among the last 65,536 that
    were done: usually minutes, under full load seconds. After that, check (`bids`, `statement`) before a retry. `seqs`:
    the rows in doubt, if the market has named them.
    """

    def __init__(self, message: str, seqs: range, command_id: str, again: Callable[[], Plan[Any]]) -> None:
        super().__init__(message, seqs)
        self.command_id = command_id
        self.again = again
