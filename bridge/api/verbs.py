"""The verbs of the market: from people's words to requests.

Rule of this file: pure, one function per verb, the defaults of who acts. Every interface (in-process, asyncio, and
later HTTP) builds its requests here, so that they cannot drift apart.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bridge.api import units
from bridge.api.errors import Invalid
from bridge.api.messages import Request
from bridge.api.names import OWN, check_new, expected_in_words
from bridge.api.units import Number
from engine import commands
from engine.codec import ShapeError, check_names, check_shape
from engine.commands import (
    ADMIN,
    OPERATOR,
    TREASURY,
    AccountKind,
    Command,
    LapsePolicy,
    PricingRule,
    TaskScope,
    TimeInForce,
)
from engine.reasons import RESERVED

_REWARD_NUMBERS: Final = ("reward_tokens_per_impact", "reward_cap_tokens", "reward_day_cap_tokens")


def request(actor: str, command: Command, command_id: str = "", now: datetime | None = None) -> Request:
    """A checked request. Raises `Invalid` with the field, its value and what was expected."""
    asked = Request(actor, command, command_id, None if now is None else units.at_us("now", now))
    check(asked)
    return asked


def check(asked: Request) -> None:
    """Check a request that was built by hand. Raises as `request`. About 5 us."""
    if not isinstance(asked, Request):
        raise Invalid("request", asked, "a Request, as the functions of bridge.api.verbs make it")
    command = asked.command
    if not isinstance(command, commands.CommandBase):
        raise Invalid("command", command, "one of the commands")
    try:
        check_shape(command)
    except ShapeError as error:
        raise Invalid(error.field, error.value, expected_in_words(error.bound)) from None
    check_new(command)
    check_reason(command)
    check_actor(asked.actor, asked.command_id)
    if asked.now_us is not None and type(asked.now_us) is not int:
        raise Invalid("now_us", asked.now_us, "whole microseconds, as a plain int")


def check_all(requests: object) -> None:
    """Check some requests that were built by hand. Raises as `check`."""
    if not isinstance(requests, Sequence):
        raise Invalid("requests", requests, "a list of Requests, as the functions of bridge.api.verbs make them")
    for asked in requests:
        check(asked)


def check_reason(command: Command) -> None:
    """Refuse the reasons that the market writes itself (LED-8). Raises `Invalid`."""
    reason = getattr(command, "reason", "")
    if reason in RESERVED:
        raise Invalid("reason", reason, f"another reason than {', '.join(sorted(RESERVED))}, which the market writes")


def check_bids(requests: object) -> None:
    """Check that these are requests, and all of them bids. Raises `Invalid`."""
    if not isinstance(requests, Sequence):
        raise Invalid("requests", requests, "a list of bids, made by verbs.place_bid")
    for asked in requests:
        found = asked.command if isinstance(asked, Request) else asked
        if not isinstance(asked, Request) or not isinstance(found, commands.PlaceBid):
            raise Invalid("requests", found, "bids, made by verbs.place_bid")


def check_actor(actor: str, command_id: str = "") -> None:
    """Check who asks, and the id of what is asked. Raises `Invalid`."""
    try:
        check_names(actor, command_id)
    except ShapeError as error:
        raise Invalid(error.field, error.value, expected_in_words(error.bound)) from None


def open_account(
    account_id: str, kind: AccountKind = "agent", *, actor: str | None = None, command_id: str = ""
) -> Request:
    """Open a wallet."""
    return request(actor or ADMIN, commands.OpenAccount(account_id, kind), command_id)


def mint(
    account_id: str,
    amount_tokens: int,
    reason: str,
    reference_type: str = "",
    reference_id: str = "",
    memo: str = "",
    *,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Make tokens for an account."""
    command = commands.Mint(account_id, amount_tokens, reason, reference_type, reference_id, memo)
    return request(actor or ADMIN, command, command_id)


def burn(
    account_id: str,
    amount_tokens: int,
    reason: str,
    reference_type: str = "",
    reference_id: str = "",
    memo: str = "",
    *,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Destroy tokens of an account."""
    command = commands.Burn(account_id, amount_tokens, reason, reference_type, reference_id, memo)
    return request(actor or ADMIN, command, command_id)


def transfer(
    from_account_id: str,
    to_account_id: str,
    amount_tokens: int,
    reason: str,
    reference_type: str = "",
    reference_id: str = "",
    memo: str = "",
    *,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Pay from one account to another."""
    command = commands.Transfer(
        from_account_id, to_account_id, amount_tokens, reason, reference_type, reference_id, memo
    )
    return request(actor or from_account_id, command, command_id)


def open_market(
    market_id: str,
    *,
    pricing_rule: PricingRule = "first_rejected",
    reserve_price_tokens: int = 0,
    awards_per_bidder_max: int = 0,
    lease: timedelta = timedelta(hours=1),
    lapse_policy: LapsePolicy = "charge",
    reward_tokens_per_impact: int = 0,
    reward_cap_tokens: int = 0,
    task_scope: TaskScope = "market",
    reward_account_id: str = TREASURY,
    reward_day_cap_tokens: int = 0,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Open a market with its rules: as the admin if it pays rewards, which are another account's tokens."""
    command = commands.OpenMarket(
        market_id=market_id,
        pricing_rule=pricing_rule,
        reserve_price_tokens=reserve_price_tokens,
        awards_per_bidder_max=awards_per_bidder_max,
        lease_us=units.lease_us("lease", lease),
        lapse_policy=lapse_policy,
        reward_tokens_per_impact=reward_tokens_per_impact,
        reward_cap_tokens=reward_cap_tokens,
        task_scope=task_scope,
        reward_account_id=reward_account_id,
        reward_day_cap_tokens=reward_day_cap_tokens,
    )
    # Bounds first: what is no number at all is told as that.
    request(OPERATOR, command, command_id)
    _check_rewards(command)
    # Rewards spend another account's tokens, to which the operator has no right.
    return request(actor or (ADMIN if command.pays_for_impact else OPERATOR), command, command_id)


def _check_rewards(command: commands.OpenMarket) -> None:
    """Refuse some of the numbers without the others: nobody means that. Raises `Invalid`."""
    missing = [name for name in _REWARD_NUMBERS if not getattr(command, name)]
    if missing and len(missing) < len(_REWARD_NUMBERS):
        raise Invalid(missing[0], 0, f"1 or more, as rewards need all of {', '.join(_REWARD_NUMBERS)}; or 0 for all")


def offer_slot(
    market_id: str,
    slot_id: str,
    available_at: datetime | None = None,
    *,
    reserve_price_tokens: int | None = None,
    provider_id: str = OWN,
    lease: timedelta | None = None,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Offer one use of a slot; without `available_at` it is available now.

    Here and wherever a slot is meant, the provider is the actor unless another is named, the treasury for staff.
    """
    command = commands.OfferSlot(
        market_id=market_id,
        slot_id=slot_id,
        available_at_us=0 if available_at is None else units.at_us("available_at", available_at),
        reserve_price_tokens=reserve_price_tokens,
        provider_id=provider_id,
        lease_us=None if lease is None else units.lease_us("lease", lease),
    )
    return request(actor or OPERATOR, command, command_id)


def withdraw_slot(slot_id: str, *, provider_id: str = OWN, actor: str | None = None, command_id: str = "") -> Request:
    """Take an offered slot off sale."""
    return request(actor or OPERATOR, commands.WithdrawSlot(slot_id, provider_id), command_id)


def place_bid(
    market_id: str,
    bidder_id: str,
    task_id: str,
    max_price_tokens: int,
    *,
    expected_value_usd: Number = 0,
    ttl_at: datetime | None = None,
    time_in_force: TimeInForce = "round",
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Bid for one slot for one task."""
    command = commands.PlaceBid(
        market_id=market_id,
        bidder_id=bidder_id,
        task_id=task_id,
        max_price_tokens=max_price_tokens,
        expected_value_microusd=units.micros("expected_value_usd", expected_value_usd),
        ttl_at_us=None if ttl_at is None else units.at_us("ttl_at", ttl_at),
        time_in_force=time_in_force,
    )
    return request(actor or bidder_id, command, command_id)


def amend_bid(
    bid_id: int,
    *,
    max_price_tokens: int | None = None,
    ttl_at: datetime | None = None,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Change price or deadline of an open bid."""
    ttl_at_us = None if ttl_at is None else units.at_us("ttl_at", ttl_at)
    return request(actor or ADMIN, commands.AmendBid(bid_id, max_price_tokens, ttl_at_us), command_id)


def cancel_bid(bid_id: int, *, actor: str | None = None, command_id: str = "") -> Request:
    """Take back an open bid."""
    return request(actor or ADMIN, commands.CancelBid(bid_id), command_id)


def clear_round(
    market_id: str, now: datetime | None = None, *, actor: str | None = None, command_id: str = ""
) -> Request:
    """Call a market."""
    return request(actor or OPERATOR, commands.ClearRound(market_id), command_id, now)


def settle(
    slot_id: str,
    actual_cost_tokens: int,
    actual_impact: Number,
    *,
    provider_id: str = OWN,
    award_id: int | None = None,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Report the work of an award done."""
    impact_micros = units.micros("actual_impact", actual_impact)
    command = commands.SettleAward(slot_id, actual_cost_tokens, impact_micros, award_id, provider_id)
    return request(actor or OPERATOR, command, command_id)


def void(
    slot_id: str,
    *,
    provider_id: str = OWN,
    award_id: int | None = None,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Report that the provider of an award failed."""
    return request(actor or OPERATOR, commands.VoidAward(slot_id, award_id, provider_id), command_id)


def place_hold(
    hold_id: str,
    account_id: str,
    amount_tokens: int,
    reason: str,
    *,
    reference_type: str = "",
    reference_id: str = "",
    expires_at: datetime | None = None,
    memo: str = "",
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Set tokens of an account aside under a name; whoever places the hold may end it, besides the admin."""
    command = commands.PlaceHold(
        hold_id=hold_id,
        account_id=account_id,
        amount_tokens=amount_tokens,
        reason=reason,
        reference_type=reference_type,
        reference_id=reference_id,
        expires_at_us=None if expires_at is None else units.at_us("expires_at", expires_at),
        memo=memo,
    )
    return request(actor or account_id, command, command_id)


def capture_hold(
    hold_id: str,
    account_id: str,
    to_account_id: str,
    amount_tokens: int | None = None,
    *,
    actor: str | None = None,
    command_id: str = "",
) -> Request:
    """Pay from an account's named hold, all of it or so many tokens; the rest goes back, and the hold ends."""
    _check_owner(account_id)
    command = commands.CaptureHold(hold_id, to_account_id, amount_tokens, account_id)
    return request(actor or ADMIN, command, command_id)


def release_hold(hold_id: str, account_id: str, *, actor: str | None = None, command_id: str = "") -> Request:
    """End an account's named hold and give all of it back."""
    _check_owner(account_id)
    return request(actor or ADMIN, commands.ReleaseHold(hold_id, account_id), command_id)


def _check_owner(account_id: str) -> None:
    """Refuse what the journal takes only in older rows. Raises `Invalid`."""
    if account_id == "":
        raise Invalid("account_id", account_id, "the account whose hold it is")


def bind_holds(
    reason: str, reference_type: str, reference_id: str, *, actor: str | None = None, command_id: str = ""
) -> Request:
    """Let nobody but the admin end the holds for a reason and reference for a while (HLD-8)."""
    return request(actor or OPERATOR, commands.BindHolds(reason, reference_type, reference_id), command_id)


def refund_unfilled(now: datetime | None = None, *, actor: str | None = None, command_id: str = "") -> Request:
    """Sweep what is due, once."""
    return request(actor or OPERATOR, commands.ExpireDue(), command_id, now)
