"""Named holds: tokens set aside for a stake, a bounty or whatever the reason says, and how that ended.

Rule of this file: the operations about holds, with what they return. A hold is named by its account and its id, as
accounts choose ids of their own.
"""

from datetime import datetime
from typing import Annotated, get_args

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import check_name, check_names_given, check_one_of
from callmarket.bridge.api.contract.fields import (
    ActingAccount,
    After,
    Limit,
    Named,
    Note,
    Order,
    PathName,
    ReferenceKind,
    ReferenceName,
    Sum,
    Why,
)
from callmarket.bridge.api.contract.operation import Command, operation
from callmarket.bridge.api.contract.pages import numbered, page_of
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Stamp, only, stamp
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.messages import Reply, Request
from callmarket.engine import commands
from callmarket.engine.commands import ADMIN, OPERATOR, TokensPositive
from callmarket.engine.events import HoldCaptured, HoldPlaced, HoldReleased, HoldStatus, TransferPosted
from callmarket.persistence import queries
from callmarket.persistence.queries import HoldFilter, HoldRow

__all__ = ["CapturedHold", "HoldDetail", "HoldRow", "PlacedHold", "ReleasedHold"]


class PlacedHold(Struct, frozen=True):
    """Tokens are set aside under a name."""

    account_id: str
    hold_id: str
    held_tokens: int
    stamp: Stamp


class CapturedHold(Struct, frozen=True):
    """A named hold has ended: some of it is paid, by the transfer `transfer_id`, and the rest is back."""

    account_id: str
    hold_id: str
    captured_tokens: int
    released_tokens: int
    transfer_id: int
    stamp: Stamp


class ReleasedHold(Struct, frozen=True):
    """A named hold has ended and all of it is back."""

    account_id: str
    hold_id: str
    released_tokens: int
    stamp: Stamp


class HoldDetail(HoldRow, frozen=True):
    """A named hold, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


@operation("POST", "/holds", "Holds", "Set tokens aside", status=201, problems=(402,))
def place_hold(
    hold_id: PathName,
    account_id: ActingAccount,
    amount_tokens: Sum,
    reason: Why,
    *,
    reference_type: ReferenceKind = "",
    reference_id: ReferenceName = "",
    expires_at: Annotated[datetime, Meta(tz=True, description="When it goes back, if it is open then. ISO 8601.")]
    | None = None,
    memo: Note = "",
    command_id: str = "",
) -> Command[PlacedHold]:
    """Set tokens of an account aside under a name, until they are captured, released or past `expires_at`.

    Needs the scope `bid`. Whose they are is the key's account, or the one of its accounts that `Callmarket-Account`
    names; with the scope `admin`, any. Whoever places a hold may end it: what an admin placed, the account cannot end.
    """
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
    return Command(request(account_id, command, command_id), _placed)


@operation("POST", "/holds/{account_id}/{hold_id}/capture", "Holds", "Pay from a hold")
def capture_hold(
    hold_id: PathName,
    account_id: PathName,
    to_account_id: Annotated[Named, Meta(description="Who is paid.")],
    amount_tokens: Annotated[TokensPositive, Meta(description="Whole tokens; left out, all of it.")] | None = None,
    *,
    command_id: str = "",
) -> Command[CapturedHold]:
    """Pay an account from a hold, all of it or a part; the rest goes back, and the hold ends.

    By whoever placed it, or with the scope `admin`. The payment has the reason and the reference of the hold.
    """
    _check_holder(account_id)
    command = commands.CaptureHold(hold_id, to_account_id, amount_tokens, account_id)
    return Command(request(ADMIN, command, command_id), _captured)


@operation("POST", "/holds/{account_id}/{hold_id}/release", "Holds", "Give a hold back")
def release_hold(hold_id: PathName, account_id: PathName, *, command_id: str = "") -> Command[ReleasedHold]:
    """End a hold and give all of it back. By whoever placed it, or with the scope `admin`."""
    _check_holder(account_id)
    return Command(request(ADMIN, commands.ReleaseHold(hold_id, account_id), command_id), _released)


@operation("GET", "/holds", "Holds", "List holds")
def holds(
    account_id: Named | None = None,
    reference_type: Named | None = None,
    reference_id: Named | None = None,
    reason: Named | None = None,
    status: HoldStatus | None = None,
    *,
    limit: Limit = 100,
    after: After | None = None,
    order: Order = "newest",
) -> TableQuery[Page[HoldRow]]:
    """Holds in the order in which they were placed, page after page: those that all of the filters say, or all.

    A reference is named whole; a `status` or a `reference_type` alone needs an account or a reason with it. Costs one
    walk of an index, which passes over what the others leave out: of the account's holds, else of the reference's, else
    of those for a reason.
    """
    wanted = HoldFilter(account_id, reference_type, reference_id, reason, status)
    _check_filter(wanted)
    kind, page = numbered("holds", limit, after, order)

    def answer(at: Tables) -> Page[HoldRow]:
        rows = queries.holds_page(at.connection, at.shard_id, wanted, page)
        return page_of(rows, limit, kind, lambda row: row.placed_seq, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/holds/{account_id}/{hold_id}", "Holds", "Look at a hold")
def hold(hold_id: PathName, account_id: PathName) -> TableQuery[HoldDetail]:
    """An account's latest hold of this name, and how it ended. Raises `NotFound` if there is none."""
    check_name("hold_id", hold_id)
    check_name("account_id", account_id)

    def answer(at: Tables) -> HoldDetail:
        found = queries.hold(at.connection, at.shard_id, hold_id, account_id)
        if found is None:
            raise NotFound("hold_id", hold_id, f"a hold of {account_id!r} that was placed")
        return HoldDetail(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return TableQuery(answer)


def binding_of(reason: str, reference_type: str, reference_id: str) -> Request:
    """Let nobody but the admin end the holds for a reason and reference for a while (HLD-8). A step of spending."""
    return request(OPERATOR, commands.BindHolds(reason, reference_type, reference_id))


def _check_holder(account_id: str) -> None:
    """Refuse what the journal takes only in older rows. Raises `Invalid`."""
    if account_id == "":
        raise Invalid("account_id", account_id, "the account whose hold it is")


def _check_filter(wanted: HoldFilter) -> None:
    check_names_given(
        account_id=wanted.account_id,
        reference_type=wanted.reference_type,
        reference_id=wanted.reference_id,
        reason=wanted.reason,
    )
    whole = wanted.account_id or wanted.reference_id or wanted.reason
    if wanted.reference_id is not None and wanted.reference_type is None:
        raise Invalid("reference_id", wanted.reference_id, "a reference_type with it")
    if wanted.reference_type is not None and not whole:
        raise Invalid("reference_type", wanted.reference_type, "a reference_id, an account_id or a reason with it")
    if wanted.status is not None:
        check_one_of("status", wanted.status, get_args(HoldStatus))
        if not whole:
            raise Invalid("status", wanted.status, "an account_id, a reference or a reason with it")


def _placed(reply: Reply) -> PlacedHold:
    made, event = stamp(reply), only(reply.events, HoldPlaced)
    return PlacedHold(event.account_id, event.hold_id, event.amount_tokens, made)


def _captured(reply: Reply) -> CapturedHold:
    made, event = stamp(reply), only(reply.events, HoldCaptured)
    transfer = only(reply.events, TransferPosted)
    return CapturedHold(
        account_id=event.account_id,
        hold_id=event.hold_id,
        captured_tokens=event.captured_tokens,
        released_tokens=event.released_tokens,
        transfer_id=transfer.transfer_id,
        stamp=made,
    )


def _released(reply: Reply) -> ReleasedHold:
    made, event = stamp(reply), only(reply.events, HoldReleased)
    return ReleasedHold(event.account_id, event.hold_id, event.released_tokens, made)


class Holds:
    """The operations about holds, as methods of a market."""

    place_hold = place_hold
    capture_hold = capture_hold
    release_hold = release_hold
    holds = holds
    hold = hold
