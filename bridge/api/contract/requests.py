"""Requests to the engine: construction and checks.

Rule of this file: pure. Every kind of market makes its requests here, so that their checks cannot differ; commands are
built beside their operations.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from callmarket.bridge.api import units
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.names import OWN, check_new, expected_in_words
from callmarket.engine import commands
from callmarket.engine.codec import ShapeError, check_names, check_shape
from callmarket.engine.commands import ADMIN, OPERATOR, TREASURY, Command
from callmarket.engine.fields import CommandBase
from callmarket.engine.reasons import RESERVED


def request(actor: str, command: Command, command_id: str = "", now: datetime | None = None) -> Request:
    """A checked request. Raises `Invalid` with the field, its value and what was expected."""
    asked = Request(actor, command, command_id, None if now is None else units.at_us("now", now))
    check(asked)
    return asked


def check(asked: Request) -> None:
    """Check a request that was built by hand. Raises `Invalid`. About 5 us."""
    if not isinstance(asked, Request):
        raise Invalid("request", asked, "a Request, as `request` of an operation makes it")
    command = asked.command
    if not isinstance(command, CommandBase):
        raise Invalid("command", command, "one of the commands")
    try:
        check_shape(command)
    except ShapeError as error:
        raise Invalid(error.field, error.value, expected_in_words(error.bound)) from None
    check_new(command)
    _check_reason(command)
    check_actor(asked.actor, asked.command_id)
    if asked.now_us is not None and type(asked.now_us) is not int:
        raise Invalid("now_us", asked.now_us, "whole microseconds, as a plain int")


def check_all(requests: object) -> None:
    """Check requests that were built by hand. Raises `Invalid`."""
    if not isinstance(requests, Sequence):
        raise Invalid("requests", requests, "a list of Requests, as `request` of an operation makes them")
    for asked in requests:
        check(asked)


def check_bids(requests: object) -> None:
    """Check that these are requests to place bids. Raises `Invalid`."""
    if not isinstance(requests, Sequence):
        raise Invalid("requests", requests, "a list of bids, made by place_bid.request")
    for asked in requests:
        found = asked.command if isinstance(asked, Request) else asked
        if not isinstance(asked, Request) or not isinstance(found, commands.PlaceBid):
            raise Invalid("requests", found, "bids, made by place_bid.request")


def check_actor(actor: str, command_id: str = "") -> None:
    """Check an actor and a command id. Raises `Invalid`."""
    try:
        check_names(actor, command_id)
    except ShapeError as error:
        raise Invalid(error.field, error.value, expected_in_words(error.bound)) from None


def as_actor(request: Request, actor: str | None) -> Request:
    """The request with this actor, or with its own if `actor` is None; a missing provider is filled in.

    The provider of a slot defaults to the actor, and to the treasury for the operator and the admin.
    """
    acting = request if actor is None else msgspec.structs.replace(request, actor=actor)
    if not means_its_own(acting):
        return acting
    return of_provider(acting, TREASURY if acting.actor in (ADMIN, OPERATOR) else acting.actor)


def means_its_own(request: Request) -> bool:
    """Whether it is about a slot without a provider. Called for every bid, so it tests the field and not the type."""
    return getattr(request.command, "provider_id", "") == OWN


def of_provider(request: Request, provider_id: str) -> Request:
    """The request with this provider of the slot."""
    return msgspec.structs.replace(request, command=msgspec.structs.replace(request.command, provider_id=provider_id))


def _check_reason(command: Command) -> None:
    """Refuse the reasons that only the market itself writes (LED-8). Raises `Invalid`."""
    reason = getattr(command, "reason", "")
    if reason in RESERVED:
        raise Invalid("reason", reason, f"another reason than {', '.join(sorted(RESERVED))}, which the market writes")
