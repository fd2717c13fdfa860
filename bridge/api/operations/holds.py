"""Named holds: tokens of an account set aside for a stated reason, such as a stake or a bounty.

Rule of this file: the operations on holds and their result types. A hold is identified by its account and its id,
because each account chooses its own ids.
"""

from datetime import datetime
from typing import Annotated, get_args

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
from callmarket.bridge.api.contract.results import Page, Stamp, detail, only, stamp
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.messages import Reply, Request
from callmarket.engine import commands
from callmarket.engine.commands import ADMIN, OPERATOR
from callmarket.engine.events import HoldCaptured, HoldPlaced, HoldReleased, HoldStatus, TransferPosted
from callmarket.engine.fields import TokensPositive
from callmarket.persistence import queries
from callmarket.persistence.queries import HoldFilter, HoldRow

__all__ = ["CapturedHold", "HoldDetail", "HoldRow", "PlacedHold", "ReleasedHold"]


class PlacedHold(Struct, frozen=True):
    """The result of placing a hold: `held_tokens` of the account are held."""

    account_id: str
    hold_id: str
    held_tokens: int
    stamp: Stamp


class CapturedHold(Struct, frozen=True):
    """The result of a capture: the hold has ended. Part of it was paid by `transfer_id`; the rest was released."""

    account_id: str
    hold_id: str
    captured_tokens: int
    released_tokens: int
    transfer_id: int
    stamp: Stamp


class ReleasedHold(Struct, frozen=True):
    """The result of a release: the hold has ended, and all of its tokens are available again."""

    account_id: str
    hold_id: str
    released_tokens: int
    stamp: Stamp


class HoldDetail(HoldRow, frozen=True):
    """A named hold, read from the tables at `seq`."""

    seq: int
    durable_seq: int


@operation(
    "POST",
    "/holds",
    "Holds",
    "Place a hold",
    status=201,
    problems=(402,),
    example={
        "hold_id": "stake-1",
        "amount_tokens": 40,
        "reason": "stake",
        "reference_type": "artifact",
        "reference_id": "paper-7",
    },
)
def place_hold(
    hold_id: PathName,
    account_id: ActingAccount,
    amount_tokens: Sum,
    reason: Why,
    *,
    reference_type: ReferenceKind = "",
    reference_id: ReferenceName = "",
    expires_at: Annotated[datetime, Meta(tz=True, description="When an open hold is released. ISO 8601 with a zone.")]
    | None = None,
    memo: Note = "",
    command_id: str = "",
) -> Command[PlacedHold]:
    """Hold tokens of an account under an id, until they are captured, released or past `expires_at`.

    Needs the scope `bid`. The account is the key's; a key with several accounts names one in `Callmarket-Account`, and
    one with the scope `admin` may name any. Only the actor that placed a hold and the admin may end it: a hold placed
    by the admin cannot be ended by its account.
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


@operation(
    "POST",
    "/holds/{account_id}/{hold_id}/capture",
    "Holds",
    "Capture a hold",
    example={"to_account_id": "beta", "amount_tokens": 30},
)
def capture_hold(
    hold_id: PathName,
    account_id: PathName,
    to_account_id: Annotated[Named, Meta(description="The account that is paid.")],
    amount_tokens: Annotated[TokensPositive, Meta(description="Whole tokens; by default all of the hold.")]
    | None = None,
    *,
    command_id: str = "",
) -> Command[CapturedHold]:
    """Pay an account all or a part of a hold; the rest is released, and the hold ends.

    Only the actor that placed it, or a key with the scope `admin`, may capture it. The transfer has the reason, the
    reference and the memo of the hold.
    """
    _check_holder(account_id)
    command = commands.CaptureHold(hold_id, to_account_id, amount_tokens, account_id)
    return Command(request(ADMIN, command, command_id), _captured)


@operation("POST", "/holds/{account_id}/{hold_id}/release", "Holds", "Release a hold")
def release_hold(hold_id: PathName, account_id: PathName, *, command_id: str = "") -> Command[ReleasedHold]:
    """End a hold and release all of its tokens.

    Only the actor that placed it, or a key with the scope `admin`, may release it.
    """
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
    """Holds that match all of the given filters, or all holds, in the order in which they were placed, in pages.

    `reference_id` needs `reference_type`. `reference_type` without `reference_id` needs `account_id` or `reason`;
    `status` needs `account_id`, `reason` or a whole reference. Cost: one index scan over the holds of the account if it
    is given, else of the reference, else of the reason; the other filters are applied to each row of the scan.
    """
    wanted = HoldFilter(account_id, reference_type, reference_id, reason, status)
    _check_filter(wanted)
    kind, page = numbered("holds", limit, after, order)

    def answer(at: Tables) -> Page[HoldRow]:
        rows = queries.holds_page(at.connection, at.shard_id, wanted, page)
        return page_of(rows, limit, kind, lambda row: row.placed_seq, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/holds/{account_id}/{hold_id}", "Holds", "Get a hold")
def hold(hold_id: PathName, account_id: PathName) -> TableQuery[HoldDetail]:
    """The latest hold of an account with this id, and how it ended. Raises `NotFound` if there is none."""
    check_name("hold_id", hold_id)
    check_name("account_id", account_id)

    def answer(at: Tables) -> HoldDetail:
        found = queries.hold(at.connection, at.shard_id, hold_id, account_id)
        if found is None:
            raise NotFound("hold_id", hold_id, f"a hold of {account_id!r} that was placed")
        return detail(HoldDetail, found, at.seq, at.durable_seq)

    return TableQuery(answer)


def binding_of(reason: str, reference_type: str, reference_id: str) -> Request:
    """The request that binds the holds of a reason and reference: for a week only the admin may end them (HLD-8)."""
    return request(OPERATOR, commands.BindHolds(reason, reference_type, reference_id))


def _check_holder(account_id: str) -> None:
    """Refuse an empty account, which only older rows of the journal may have. Raises `Invalid`."""
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
    """The operations on holds, as methods of a market."""

    place_hold = place_hold
    capture_hold = capture_hold
    release_hold = release_hold
    holds = holds
    hold = hold
