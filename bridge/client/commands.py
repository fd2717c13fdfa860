"""From a verb's request to a call: its path, its body, and the account it is made for.

Rule of this file: pure, one exhaustive match over the commands, and the bodies are the service's own structs, so that
the two ends cannot drift apart.
"""

from typing import Final, TypeVar, assert_never

import msgspec
from msgspec import Struct

from callmarket.bridge.api import bodies
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Ack, Request
from callmarket.bridge.api.names import OWN
from callmarket.bridge.api.units import datetime_of, duration_of, number_of
from callmarket.bridge.client.call import Call, QueryValue, check_command_id, path, reader, target
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    AmendBid,
    BeginHistory,
    BindHolds,
    Burn,
    CancelBid,
    CaptureHold,
    ClearRound,
    Command,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PlaceHold,
    ReleaseHold,
    SettleAward,
    Transfer,
    VoidAward,
    WithdrawSlot,
)

T = TypeVar("T")

_STAFF: Final = (ADMIN, OPERATOR)


def call_of(request: Request, kind: type[T], account: str, command_id: str, ack: Ack) -> Call[T]:
    """The call that a request is. `command_id` is its own, or the client's. Raises `Invalid`."""
    check_command_id(command_id)
    method, where, body = _route(request.command)
    query: dict[str, QueryValue] = {}
    if request.now_us is not None:
        query["now"] = datetime_of(request.now_us)
    if ack != "durable":
        query["ack"] = ack
    return Call(
        method,
        target(where, query),
        reader(kind),
        None if body is None else msgspec.json.encode(body),
        account_of(request, account),
        command_id,
    )


def account_of(request: Request, account: str) -> str:
    """The account to name: the one that the verb names, else the verb's actor, else the client's."""
    match request.command:
        case PlaceBid(bidder_id=bidder_id):
            return bidder_id
        case Transfer(from_account_id=payer_id):
            return payer_id
        case PlaceHold(account_id=account_id):
            return account_id
        case OfferSlot(provider_id=provider_id) if provider_id != OWN:
            return provider_id
    return account if request.actor in _STAFF else request.actor


def new_bid(command: PlaceBid) -> bodies.NewBid:
    """The body of a bid."""
    return bodies.NewBid(
        task_id=command.task_id,
        max_price_tokens=command.max_price_tokens,
        expected_value_usd=number_of(command.expected_value_microusd),
        ttl_at=None if command.ttl_at_us is None else datetime_of(command.ttl_at_us),
        time_in_force=command.time_in_force,
    )


def _route(command: Command) -> tuple[str, str, Struct | None]:
    """Method, path and body."""
    match command:
        case PlaceBid(market_id=market_id):
            return "POST", path("markets", ("market_id", market_id), "bids"), new_bid(command)
        case AmendBid(bid_id=bid_id, max_price_tokens=price, ttl_at_us=ttl_at_us):
            ttl_at = None if ttl_at_us is None else datetime_of(ttl_at_us)
            return "PATCH", path("bids", ("bid_id", bid_id)), bodies.Amendment(max_price_tokens=price, ttl_at=ttl_at)
        case CancelBid(bid_id=bid_id):
            return "DELETE", path("bids", ("bid_id", bid_id)), None
        case ClearRound(market_id=market_id):
            return "POST", path("markets", ("market_id", market_id), "clear"), None
        case ExpireDue():
            return "POST", path("sweep"), None
        case OfferSlot() | WithdrawSlot() | SettleAward() | VoidAward():
            return _slot_route(command)
        case PlaceHold() | CaptureHold() | ReleaseHold():
            return _hold_route(command)
        case OpenAccount(account_id=account_id, kind=kind):
            return "POST", path("wallets"), bodies.NewAccount(account_id=account_id, kind=kind)
        case OpenMarket():
            return "POST", path("markets"), _new_market(command)
        case Mint():
            return "POST", path("wallets", ("account_id", command.account_id), "mint"), _minting(command)
        case Burn():
            return "POST", path("wallets", ("account_id", command.account_id), "burn"), _minting(command)
        case Transfer():
            where = path("wallets", ("from_account_id", command.from_account_id), "transfers")
            return "POST", where, _new_transfer(command)
        case BindHolds() | BeginHistory():
            what = "one with a route (spending binds holds, and `callmarket accept-loss` begins a history)"
            raise Invalid("command", type(command).__name__, what)
        case _ as never:
            assert_never(never)


def _slot_route(command: OfferSlot | WithdrawSlot | SettleAward | VoidAward) -> tuple[str, str, Struct | None]:
    match command:
        case OfferSlot():
            return "POST", path("markets", ("market_id", command.market_id), "slots"), _new_slot(command)
        case WithdrawSlot():
            return "DELETE", _slot_path(command), None
        case SettleAward():
            body = bodies.Settlement(
                actual_cost_tokens=command.actual_cost_tokens,
                actual_impact=number_of(command.actual_impact_micros),
                award_id=command.award_id,
            )
            return "POST", f"{_slot_path(command)}/settle", body
        case VoidAward(award_id=award_id):
            return "POST", f"{_slot_path(command)}/void", bodies.Voiding(award_id=award_id)
        case _ as never:
            assert_never(never)


def _hold_route(command: PlaceHold | CaptureHold | ReleaseHold) -> tuple[str, str, Struct | None]:
    match command:
        case PlaceHold():
            return "POST", path("holds"), _new_hold(command)
        case CaptureHold():
            body = bodies.Capture(to_account_id=command.to_account_id, amount_tokens=command.amount_tokens)
            return "POST", f"{_hold_path(command)}/capture", body
        case ReleaseHold():
            return "POST", f"{_hold_path(command)}/release", None
        case _ as never:
            assert_never(never)


def _slot_path(command: WithdrawSlot | SettleAward | VoidAward) -> str:
    return path("slots", ("provider_id", command.provider_id), ("slot_id", command.slot_id))


def _hold_path(command: CaptureHold | ReleaseHold) -> str:
    return path("holds", ("account_id", command.account_id), ("hold_id", command.hold_id))


def _minting(command: Mint | Burn) -> bodies.Minting:
    return bodies.Minting(
        amount_tokens=command.amount_tokens,
        reason=command.reason,
        reference_type=command.reference_type,
        reference_id=command.reference_id,
        memo=command.memo,
    )


def _new_transfer(command: Transfer) -> bodies.NewTransfer:
    return bodies.NewTransfer(
        to_account_id=command.to_account_id,
        amount_tokens=command.amount_tokens,
        reason=command.reason,
        reference_type=command.reference_type,
        reference_id=command.reference_id,
        memo=command.memo,
    )


def _new_hold(command: PlaceHold) -> bodies.NewHold:
    return bodies.NewHold(
        hold_id=command.hold_id,
        amount_tokens=command.amount_tokens,
        reason=command.reason,
        reference_type=command.reference_type,
        reference_id=command.reference_id,
        expires_at=None if command.expires_at_us is None else datetime_of(command.expires_at_us),
        memo=command.memo,
    )


def _new_market(command: OpenMarket) -> bodies.NewMarket:
    return bodies.NewMarket(
        market_id=command.market_id,
        pricing_rule=command.pricing_rule,
        reserve_price_tokens=command.reserve_price_tokens,
        awards_per_bidder_max=command.awards_per_bidder_max,
        lease=duration_of(command.lease_us),
        lapse_policy=command.lapse_policy,
        reward_tokens_per_impact=command.reward_tokens_per_impact,
        reward_cap_tokens=command.reward_cap_tokens,
        task_scope=command.task_scope,
        reward_account_id=command.reward_account_id,
        reward_day_cap_tokens=command.reward_day_cap_tokens,
    )


def _new_slot(command: OfferSlot) -> bodies.NewSlot:
    return bodies.NewSlot(
        slot_id=command.slot_id,
        available_at=datetime_of(command.available_at_us) if command.available_at_us else None,
        reserve_price_tokens=command.reserve_price_tokens,
        lease=None if command.lease_us is None else duration_of(command.lease_us),
    )
