"""What moved tokens within the last day, so that a retry of it moves none again (IDM-1).

Rule of this file: nothing is forgotten before its time. What would not fit is refused before it is done, and no actor
uses up the room of another. The whole command is kept by `receipts`, for a shorter time; here is only what it takes to
know it again: a digest of actor and id, one of the command, and the row that has the rest.
"""

from hashlib import sha256
from typing import Final

from msgspec import Struct

from callmarket.engine import limits
from callmarket.engine.capital.commands import ClosePosition, DecaySubsidy, OpenPosition
from callmarket.engine.codec import encode
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    Burn,
    CaptureHold,
    ClearRound,
    Command,
    Mint,
    PlaceBid,
    PlaceHold,
    ReleaseHold,
    SettleAward,
    Transfer,
    VoidAward,
)
from callmarket.engine.digests import Digests, digest_of

_SEQ_BYTES: Final = 8
_COMMAND_BYTES: Final = 8
VALUE_BYTES: Final = _SEQ_BYTES + _COMMAND_BYTES
STAFF: Final = (ADMIN, OPERATOR)
# What moves tokens, sets them aside or gives them back, and would do so again. Bids are not among them: they are most
# of all commands, their ids never come again, and BID-5 and BID-6 keep a task from having two.
# An order that is sent again is another order.
_MOVING: Final = frozenset(
    (Mint, Burn, Transfer, PlaceHold, CaptureHold, ReleaseHold, ClearRound, OpenPosition, ClosePosition, DecaySubsidy)
)


def is_kept(command: Command) -> bool:
    """Whether an accepted command with an id is remembered for a day. O(1)."""
    kind = type(command)
    if kind is PlaceBid:
        # The hot path.
        return False
    if kind in _MOVING:
        return True
    # One that names its award ends that award or none, for ever (SLT-3); one that does not might end the next.
    return isinstance(command, SettleAward | VoidAward) and command.award_id is None


class Generation(Struct, gc=False):
    """What was done in one period of market time. `by_actor` counts whose it is."""

    period: int
    by_actor: dict[str, int]
    by_accounts: int
    done: Digests


class Retries:
    """What is remembered, by period: a new one is begun when its time comes, and old ones are dropped whole."""

    __slots__ = ("generations",)

    def __init__(self) -> None:
        """Begin empty."""
        # Newest last.
        self.generations: list[Generation] = []

    def __len__(self) -> int:
        """How many commands are remembered, with those that are too old and not yet dropped."""
        return sum(len(one.done) for one in self.generations)

    def find(self, actor: str, command_id: str, at_us: int) -> tuple[int, bytes] | None:
        """The row that did what this actor asked under this id, and a digest of what that was. A few microseconds."""
        digest = digest_of(actor, command_id)
        for one in reversed(self._within_reach(at_us)):
            value = one.done.get(digest)
            if value is not None:
                return int.from_bytes(value[:_SEQ_BYTES], "big"), value[_SEQ_BYTES:]
        return None

    def bound_met(self, actor: str, at_us: int) -> int:
        """The bound that keeps this actor from doing anything more that is to be remembered; 0 if there is room."""
        of_actor = of_accounts = 0
        for one in self._within_reach(at_us):
            of_actor += one.by_actor.get(actor, 0)
            of_accounts += one.by_accounts
        if actor in STAFF:
            return limits.RETRIES_PER_STAFF_MAX if of_actor >= limits.RETRIES_PER_STAFF_MAX else 0
        if of_actor >= limits.RETRIES_PER_ACCOUNT_MAX:
            return limits.RETRIES_PER_ACCOUNT_MAX
        return limits.RETRIES_OF_ACCOUNTS_MAX if of_accounts >= limits.RETRIES_OF_ACCOUNTS_MAX else 0

    def add(self, actor: str, command_id: str, seq: int, at_us: int, command: Command) -> None:
        """Remember what was done, and drop what is too old.

        Without room for it, it is not: that is a row of rules under which nobody was refused for that.
        """
        if self.bound_met(actor, at_us):
            return
        self.generations = self._within_reach(at_us)
        period = at_us // limits.RETRIES_PERIOD_US
        if not self.generations or self.generations[-1].period != period:
            self.generations.append(Generation(period, {}, 0, Digests(VALUE_BYTES)))
        newest = self.generations[-1]
        known = len(newest.done)
        newest.done.put(digest_of(actor, command_id), seq.to_bytes(_SEQ_BYTES, "big") + fingerprint(command))
        # Rows of rules that forgot sooner may have done the same id twice: the later counts.
        if len(newest.done) > known:
            newest.by_actor[actor] = newest.by_actor.get(actor, 0) + 1
            newest.by_accounts += actor not in STAFF

    def of(self, actor: str, at_us: int) -> int:
        """How many commands of the admin or the operator are remembered; of any other name, of all accounts."""
        within = self._within_reach(at_us)
        if actor in STAFF:
            return sum(one.by_actor.get(actor, 0) for one in within)
        return sum(one.by_accounts for one in within)

    def _within_reach(self, at_us: int) -> list[Generation]:
        """The periods that are remembered at this time: the present one, and those of the day before it began."""
        first, kept = at_us // limits.RETRIES_PERIOD_US - limits.RETRIES_PERIODS_KEPT, self.generations
        if not kept or kept[0].period >= first:
            return kept
        return [one for one in kept if one.period >= first]

    def check(self) -> None:
        """Assert that all is in order and within bounds. O(commands remembered)."""
        periods = [one.period for one in self.generations]
        assert periods == sorted(set(periods)), "periods out of order"
        assert not periods or periods[-1] - periods[0] <= limits.RETRIES_PERIODS_KEPT, periods
        of_actors: dict[str, int] = {}
        for one in self.generations:
            one.done.check()
            assert len(one.done) == sum(one.by_actor.values()) > 0, one.period
            assert one.by_accounts == len(one.done) - sum(one.by_actor.get(staff, 0) for staff in STAFF), one.period
            for actor, count in one.by_actor.items():
                assert count > 0, (one.period, actor)
                of_actors[actor] = of_actors.get(actor, 0) + count
        of_staff = [of_actors.pop(actor, 0) for actor in STAFF]
        assert max(of_staff) <= limits.RETRIES_PER_STAFF_MAX, of_staff
        assert max(of_actors.values(), default=0) <= limits.RETRIES_PER_ACCOUNT_MAX
        assert sum(of_actors.values()) <= limits.RETRIES_OF_ACCOUNTS_MAX


def fingerprint(command: Command) -> bytes:
    """What tells a command from another under the same id. Only the owner of that id could make two that are alike."""
    return sha256(encode(command)).digest()[:_COMMAND_BYTES]
