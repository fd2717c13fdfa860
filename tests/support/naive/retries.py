"""Retries (IDM), naively: what was said is looked up in lists, and what is too old is left out when it is asked for."""

from collections.abc import Iterator

from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, OPERATOR, Command, Entry, SettleAward, VoidAward
from callmarket.engine.reject import Reject
from tests.support.naive.shard import Shard, drop_oldest

STAFF = (ADMIN, OPERATOR)
MOVES_TOKENS = (
    *("Mint", "Burn", "Transfer", "PlaceHold", "CaptureHold", "ReleaseHold", "ClearRound"),
    *("OpenPosition", "ClosePosition", "DecaySubsidy"),
)


def first_use(shard: Shard, entry: Entry) -> tuple[int, Command] | None:
    """IDM-1: the row and the command under this actor's id, if that is remembered."""
    key = (entry.actor, entry.command_id)
    if found := shard.receipts.get(key) or shard.refusals.get(key):
        return found
    if is_remembered_for_a_day(entry.command):
        for _, actor, command_id, seq, command in reversed(within_a_day(shard)):
            if (actor, command_id) == key:
                return seq, command
    return None


def refuse_to_remember(shard: Shard, entry: Entry) -> Iterator[Reject]:
    """IDM-1: a bound for each of the staff, for each account, and for all accounts together."""
    if not entry.command_id or not is_remembered_for_a_day(entry.command):
        return
    whose = [actor for _, actor, *_ in within_a_day(shard)]
    if entry.actor in STAFF:
        if whose.count(entry.actor) >= limits.RETRIES_PER_STAFF_MAX:
            yield Reject.RETRIES_FULL
    elif (
        whose.count(entry.actor) >= limits.RETRIES_PER_ACCOUNT_MAX
        or sum(actor not in STAFF for actor in whose) >= limits.RETRIES_OF_ACCOUNTS_MAX
    ):
        yield Reject.RETRIES_FULL


def remember(shard: Shard, entry: Entry, refused: bool) -> None:
    """IDM-1: refusals have a window of their own, and nothing of them is remembered for a day."""
    window = shard.refusals if refused else shard.receipts
    window[entry.actor, entry.command_id] = (entry.seq, entry.command)
    drop_oldest(window, limits.RECEIPTS_MAX)
    if not refused and is_remembered_for_a_day(entry.command):
        shard.moved.append((entry.at_us, entry.actor, entry.command_id, entry.seq, entry.command))


def within_a_day(shard: Shard) -> list[tuple[int, str, str, int, Command]]:
    """IDM-1: the present period, and so many before it."""
    period = limits.RETRIES_PERIOD_US
    return [one for one in shard.moved if shard.now // period - one[0] // period <= limits.RETRIES_PERIODS_KEPT]


def is_remembered_for_a_day(command: Command) -> bool:
    """IDM-1: what moves tokens, unless it names an award."""
    if isinstance(command, SettleAward | VoidAward):
        return command.award_id is None
    return type(command).__name__ in MOVES_TOKENS
