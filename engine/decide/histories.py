"""A history that goes on although acknowledged rows were lost.

Rule of this file: it decides about the place of a row and nothing of the market. HST rules.
"""

from callmarket.engine.commands import ADMIN, BeginHistory, Entry
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import Events, HistoryBegun
from callmarket.engine.reject import Reject


def begin(entry: Entry, command: BeginHistory) -> Events:
    """Let the numbers of rows, bids and awards leap (HST-1)."""
    if entry.actor != ADMIN:
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, ADMIN)
    if entry.after_seq == entry.seq - 1:
        return refused(Reject.HISTORY_CONTINUES, "after_seq", command.after_seq, entry.seq - 1)
    return (HistoryBegun(command.after_seq, command.lost_seq),)
