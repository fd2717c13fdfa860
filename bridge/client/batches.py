"""Sends many bids in few calls.

Rule of this file: no waiting. The bids enter the journal in their given order, so only adjacent bids share a call:
those of one market and one bidder that have no command id of their own.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from callmarket.bridge.api.contract.requests import check, check_bids
from callmarket.bridge.api.errors import ExchangeError, Refused
from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.api.messages import Ack, Request
from callmarket.bridge.api.operations.batch import BIDS_PER_BATCH_MAX
from callmarket.bridge.api.operations.bids import PlacedBid, place_bid
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.bridge.client.answers import UnrecognizedResponse, refusal_of
from callmarket.bridge.client.call import Call, Plan, body_of, call_of, check_command_id, path, target
from callmarket.bridge.client.doubt import InDoubt
from callmarket.engine.commands import PlaceBid

Placed = list[PlacedBid | Refused]


def calls_of(requests: Sequence[Request], new_id: str, ack: Ack) -> list[Call[Any]]:
    """The calls that place these bids, in their order. Raises `Invalid` if one is not a bid; then none is placed."""
    check_bids(requests)
    for request in requests:
        check(request)
    calls: list[Call[Any]] = []
    for (_, _, own_id), group in groupby(requests, key=_together):
        members = list(group)
        if own_id:
            calls += [call_of(place_bid, _given(one), "", ack) for one in members]
            continue
        for start in range(0, len(members), BIDS_PER_BATCH_MAX):
            part = members[start : start + BIDS_PER_BATCH_MAX]
            calls.append(_batch(part, f"{new_id}-{len(calls)}", ack))
    return calls


def place_bids(calls: Sequence[Call[Any]]) -> Plan[Placed]:
    """Make these calls, one after the other; one outcome for each bid.

    Raises the error of the first call as it is. An error of a later call raises `InDoubt`: earlier bids were sent.
    """
    placed: Placed = []
    for number, call in enumerate(calls):
        try:
            made = yield call
        except Refused as refused:
            # Only a bid that was sent alone raises its refusal; a batch returns refusals.
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
    bid = _bid_of(request)
    return bid.market_id, bid.bidder_id, bool(request.command_id)


def _bid_of(request: Request) -> PlaceBid:
    bid = request.command
    assert isinstance(bid, PlaceBid), bid
    return bid


def _given(request: Request) -> Mapping[str, Any]:
    """The arguments of `place_bid` for this request."""
    bid = _bid_of(request)
    return {
        "market_id": bid.market_id,
        "bidder_id": bid.bidder_id,
        "task_id": bid.task_id,
        "max_price_tokens": bid.max_price_tokens,
        "expected_value_usd": number_of(bid.expected_value_microusd),
        "ttl_at": None if bid.ttl_at_us is None else datetime_of(bid.ttl_at_us),
        "time_in_force": bid.time_in_force,
        "command_id": request.command_id,
    }


def _batch(requests: Sequence[Request], command_id: str, ack: Ack) -> Call[Placed]:
    check_command_id(command_id)
    first = _bid_of(requests[0])
    where = path("/markets/{market_id}/bids/batch", {"market_id": first.market_id})
    bids = [msgspec.Raw(body_of(place_bid, _given(request)) or b"") for request in requests]
    body = msgspec.json.encode({"bids": bids})
    query = {} if ack == "durable" else {"ack": ack}
    return Call("POST", target(where, query), _read, body, first.bidder_id, command_id)


def _read(body: bytes) -> Placed:
    return [_outcome(one) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]


def _outcome(raw: msgspec.Raw) -> PlacedBid | Refused:
    try:
        return msgspec.json.decode(raw, type=PlacedBid)
    except msgspec.ValidationError:
        refused = refusal_of(msgspec.json.decode(raw, type=Problem))
    if isinstance(refused, UnrecognizedResponse):
        raise msgspec.ValidationError(str(refused))
    return refused
