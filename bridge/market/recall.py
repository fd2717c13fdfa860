"""Retries as the engine knows them, and their replies where only the journal knows what they caused.

Rule of this file: no waiting. It says which rows to read, and makes replies of them; nothing is done anew (IDM-1).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from callmarket.bridge.api.contract.queries import TableQuery
from callmarket.bridge.api.errors import Conflict, Unavailable, UnknownOutcome
from callmarket.bridge.api.messages import Request
from callmarket.bridge.market.sequencer import Applied
from callmarket.engine.core import first_use
from callmarket.engine.state import State
from callmarket.persistence.queries import ReplyRow, replies


def is_retry(request: Request) -> Callable[[State], bool]:
    """The query for whether this request's id was used before by its actor. The engine decides what is done then."""

    def query(state: State) -> bool:
        actor, command_id, command = request.actor, request.command_id, request.command
        return bool(command_id) and first_use(state, actor, command_id, command, state.at_us) is not None

    return query


def known_by_row(applied: Sequence[Applied]) -> list[int]:
    """The rows in which it stands what some requests caused; none as a rule, for recent replies are in memory."""
    return [one.seq for one in applied if not one.events]


def first_replies(seqs: Sequence[int]) -> TableQuery[Mapping[int, ReplyRow]]:
    """The question for what these rows said."""
    return TableQuery(lambda at: replies(at.connection, at.shard_id, seqs))


@contextmanager
def in_doubt(seqs: Sequence[int]) -> Iterator[None]:
    """Let a database that does not answer mean what it does: it was done, and to ask again is safe."""
    try:
        yield
    except Unavailable as error:
        words = f"done before, as row {seqs[0]}; what it caused cannot be read now: {error}"
        raise UnknownOutcome(words, range(min(seqs), max(seqs) + 1)) from error


def told_again(requests: Sequence[Request], applied: Sequence[Applied], rows: Mapping[int, ReplyRow]) -> list[Applied]:
    """What was applied, with what was said the first time. Raises `Conflict` if that has left the journal."""
    return [
        one if one.events else _told_again(request, one, rows) for request, one in zip(requests, applied, strict=True)
    ]


def _told_again(request: Request, one: Applied, rows: Mapping[int, ReplyRow]) -> Applied:
    row = rows.get(one.seq)
    if row is None:
        # Not "a new id": a payment sent again under one would be paid twice.
        where = f"no second try: this was done as row {one.seq}, which has left the journal for a file of `prune`"
        raise Conflict("command_id", request.command_id, where)
    return msgspec.structs.replace(one, at_us=row.at_us, events=row.events)
