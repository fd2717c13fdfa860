"""HST: a history that goes on although rows were lost."""

from collections.abc import Iterator

from callmarket.engine.commands import BeginHistory
from callmarket.engine.events import HistoryBegun
from callmarket.engine.reject import Reject
from tests.support.naive.shard import Shard, permit


def refuse_begin_history(shard: Shard, command: BeginHistory, actor: str) -> Iterator[Reject]:
    """By the admin, and where rows were lost."""
    yield from permit(actor)
    if shard.seq == shard.before + 1:
        yield Reject.HISTORY_CONTINUES


def begin_history(shard: Shard, command: BeginHistory) -> None:
    """HST-1."""
    assert command.after_seq == shard.before, command
    shard.bids_ever = shard.awards_ever = shard.capital.orders_ever = shard.seq
    shard.say(HistoryBegun(command.after_seq, command.lost_seq))
