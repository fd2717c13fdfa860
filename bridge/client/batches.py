"""Many bids as few calls.

Rule of this file: no waiting, as in `bridge.api.conversations`. The order of the bids is the order of history, so only
neighbours share a call: those of one market and one bidder that bring no id of their own.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from callmarket.bridge.api import verbs
from callmarket.bridge.api.bodies import BIDS_PER_BATCH_MAX, NewBids
from callmarket.bridge.api.errors import ExchangeError, Refused
from callmarket.bridge.api.messages import Ack, Request
from callmarket.bridge.api.problem import Problem
from callmarket.bridge.api.results import PlacedBid
from callmarket.bridge.client.answers import Puzzling, refusal_of
from callmarket.bridge.client.call import Call, Plan, check_command_id, path, target
from callmarket.bridge.client.commands import call_of, new_bid
from callmarket.bridge.client.doubt import InDoubt
from callmarket.engine.commands import PlaceBid

T = TypeVar("T")

Placed = list[PlacedBid | Refused]


def calls_of(requests: Sequence[Request], new_id: str, ack: Ack) -> list[Call[Any]]:
    """The calls that place these bids, in their order. Raises `Invalid` if one is no bid; then none is placed."""
    verbs.check_bids(requests)
    for request in requests:
        verbs.check(request)
    calls: list[Call[Any]] = []
    for (_, _, own_id), group in groupby(requests, key=_together):
        members = list(group)
        if own_id:
            calls += [call_of(one, PlacedBid, "", one.command_id, ack) for one in members]
            continue
        for start in range(0, len(members), BIDS_PER_BATCH_MAX):
            part = members[start : start + BIDS_PER_BATCH_MAX]
            calls.append(_batch(part, f"{new_id}-{len(calls)}", ack))
    return calls


def place_bids(calls: Sequence[Call[Any]]) -> Plan[Placed]:
    """Make these calls, one after the other; one outcome for each bid.

    Raises what a call raises; where others were made before it, that the outcome is unknown.
    """
    placed: Placed = []
    for number, call in enumerate(calls):
        try:
            made = yield call
        except Refused as refused:
            # Only a bid that goes alone is refused as a whole.
            placed.append(refused)
        except ExchangeError as error:
            if not number and not isinstance(error, InDoubt):
                raise
            words = f"{len(placed)} bids were answered, then: {error}"
            raise InDoubt(words, getattr(error, "seqs", range(0)), "", lambda: place_bids(calls)) from error
        else:
            placed += made if isinstance(made, list) else [made]
    return placed


def _together(request: Request) -> tuple[str, str, bool]:
    bid = request.command
    assert isinstance(bid, PlaceBid), bid
    return bid.market_id, bid.bidder_id, bool(request.command_id)


def _batch(requests: Sequence[Request], command_id: str, ack: Ack) -> Call[Placed]:
    check_command_id(command_id)
    bids = [request.command for request in requests if isinstance(request.command, PlaceBid)]
    where = path("markets", ("market_id", bids[0].market_id), "bids", "batch")
    body = msgspec.json.encode(NewBids(bids=tuple(map(new_bid, bids))))
    query = {} if ack == "durable" else {"ack": ack}
    return Call("POST", target(where, {**query}), _read, body, bids[0].bidder_id, command_id)


def _read(body: bytes) -> Placed:
    return [_outcome(one) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]


def _outcome(raw: msgspec.Raw) -> PlacedBid | Refused:
    try:
        return msgspec.json.decode(raw, type=PlacedBid)
    except msgspec.ValidationError:
        refused = refusal_of(msgspec.json.decode(raw, type=Problem))
    if isinstance(refused, Puzzling):
        raise msgspec.ValidationError(str(refused))
    return refused
