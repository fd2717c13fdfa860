"""Doing lost rows again: the request for each, and how its outcome differs from the acknowledged one.

Rule of this file: pure, and the same rows ask for the same, so that doing them twice does them once. Bids and awards of
the lost rows are known under other ids now: a command that names one names the one that came instead.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from callmarket.bridge.api.messages import Reply, Request
from callmarket.engine.commands import AmendBid, BeginHistory, CancelBid, Command, SettleAward, VoidAward
from callmarket.engine.events import AwardGranted, BidPlaced, Event, Events, Rejected, Repeated, one_by_one
from callmarket.engine.slots import SlotKey
from callmarket.persistence.loss.lost_rows import LostRow

Ending = Literal["done", "again", "refused", "differs", "left out"]
"""As it was; done by an earlier run; not done; done with another result; nothing was done then either."""

# What says where and when a thing happened, and not what.
_PLACES: Final = frozenset(
    (
        "bid_id",
        "bid_ids",
        "award_id",
        "best_rejected_bid_id",
        "priority_seq",
        "offer_seq",
        "placed_seq",
        "placed_seqs",
        "transfer_id",
        "debit_balance_tokens",
        "credit_balance_tokens",
        "bids_visited",
        "slot_started_at_us",
        "lease_until_us",
    )
)


class Outcome(Struct, frozen=True):
    """What became of a lost row: the row that did it again, 0 if none did, and what an operator should know of it."""

    lost_seq: int
    actor: str
    command: str
    ending: Ending
    seq: int = 0
    what: str = ""


class Replaying:
    """The rows of one file, one after the other: `request`, then `on_reply` with the reply."""

    def __init__(self, market_id: str) -> None:
        """Begin, for a market of this id."""
        self._name: Final = f"lost-{market_id[:8]}"
        self._bids: Final[dict[int, int]] = {}
        self._awards: Final[dict[int, int]] = {}

    def request(self, row: LostRow) -> Request | None:
        """What to ask; None for what changed nothing then, and for where a history began. Raises `Corrupt`."""
        command, first = row.asked(), row.caused()[0]
        if isinstance(first, Rejected | Repeated) or isinstance(command, BeginHistory):
            return None
        return Request(row.actor, self._named_anew(command), row.command_id or f"{self._name}-{row.seq}")

    def left_out(self, row: LostRow) -> Outcome:
        """Of what `request` asks nothing for."""
        first = row.caused()[0]
        what = first.reason.value if isinstance(first, Rejected) else ""
        return _outcome(row, "left out", 0, f"it was refused then: {what}" if what else "it changed nothing then")

    def on_reply(self, row: LostRow, reply: Reply) -> Outcome:
        """Take in the reply to a row's request; what became of the row."""
        then, now = row.caused(), reply.events
        first = now[0] if now else None
        if isinstance(first, Rejected):
            return _outcome(row, "refused", reply.seq, f"{first.reason.value}: {first.field} {first.value!r}")
        self._learn(then, now)
        if differs := _difference(then, now):
            return _outcome(row, "differs", reply.seq, differs)
        return _outcome(row, "again" if reply.repeated else "done", reply.seq, "")

    def _learn(self, then: Events, now: Events) -> None:
        for one, other in zip(then, now, strict=False):
            if isinstance(one, BidPlaced) and isinstance(other, BidPlaced):
                self._bids[one.bid_id] = other.bid_id
        awards = {_slot_of(event): event.award_id for event in one_by_one(now) if isinstance(event, AwardGranted)}
        for event in one_by_one(then):
            if isinstance(event, AwardGranted) and _slot_of(event) in awards:
                self._awards[event.award_id] = awards[_slot_of(event)]

    def _named_anew(self, command: Command) -> Command:
        match command:
            case AmendBid() | CancelBid():
                return msgspec.structs.replace(command, bid_id=self._bids.get(command.bid_id, command.bid_id))
            case SettleAward() | VoidAward() if command.award_id is not None:
                award_id = self._awards.get(command.award_id, command.award_id)
                return msgspec.structs.replace(command, award_id=award_id)
            case _:
                return command


def _slot_of(event: AwardGranted) -> SlotKey:
    return event.provider_id, event.slot_id


def counted(outcomes: list[Outcome]) -> Mapping[Ending, int]:
    """How many rows ended how."""
    return {ending: sum(one.ending == ending for one in outcomes) for ending in get_args(Ending)}


def _outcome(row: LostRow, ending: Ending, seq: int, what: str) -> Outcome:
    return Outcome(row.seq, row.actor, str(type(row.asked()).__struct_config__.tag), ending, seq, what)


def _difference(then: Events, now: Events) -> str:
    """The first thing that came out otherwise, in words; empty if nothing did."""
    # Rows of older rules have the awards of a call one by one.
    then, now = tuple(one_by_one(then)), tuple(one_by_one(now))
    for one, other in zip(then, now, strict=False):
        before, after = _what(one), _what(other)
        if before != after:
            names = [name for name in before if before[name] != after.get(name)]
            said = ", ".join(f"{name} {before[name]!r} then, {after.get(name)!r} now" for name in names[:3])
            return f"{before['type']}: {said}" if said else f"{before['type']} then, {after['type']} now"
    return "" if len(then) == len(now) else f"{len(then)} events then, {len(now)} now"


def _what(event: Event) -> dict[str, object]:
    built: dict[str, object] = msgspec.to_builtins(event)
    return {name: value for name, value in built.items() if name not in _PLACES}
