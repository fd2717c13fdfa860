"""Tokens committed to artifacts: stakes, and bounties for work on them.

Rule of this file: stakes and bounties are named holds of the market, told apart by their reason and reference. So they
are as durable as any command, and may be ended by the actor that placed the hold and by the admin. A claim reserves the
work but does not bind the tokens; a bounty that its account must not take back is posted for it by the admin.
"""

from collections.abc import Generator
from datetime import datetime
from typing import Annotated, Any, Final, get_args

from msgspec import Meta

from callmarket.bridge.api.checks import check_limit, check_name, check_one_of
from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.contract.fields import ActingAccount, After, Limit, Named, PathName, Sum
from callmarket.bridge.api.contract.operation import IsRetry, MayDo, Workflow, operation
from callmarket.bridge.api.contract.pages import number_below, page_of
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.results import Page, detail
from callmarket.bridge.api.errors import Conflict, Invalid, NotFound, told_as
from callmarket.bridge.api.operations.artifacts import artifact
from callmarket.bridge.api.operations.holds import (
    CapturedHold,
    HoldRow,
    PlacedHold,
    ReleasedHold,
    capture_hold,
    hold,
    place_hold,
    release_hold,
)
from callmarket.engine.fields import Memo, TokensPositive
from callmarket.persistence.stores import artifacts
from callmarket.persistence.stores.artifacts import BountyRow, BountyStatus

__all__ = ["ARTIFACT", "BOUNTY", "STAKE", "BountyDetail", "BountyRow", "BountyStatus"]

STAKE: Final = "stake"
BOUNTY: Final = "bounty"
ARTIFACT: Final = "artifact"


class BountyDetail(BountyRow, frozen=True):
    """A bounty and its status, read from the tables at `seq`."""

    seq: int
    durable_seq: int


@operation(
    "POST",
    "/artifacts/{artifact_id}/stakes",
    "Commitments",
    "Stake tokens",
    status=201,
    problems=(402,),
    example={"stake_id": "belief-1", "tokens": 200},
)
def stake(
    stake_id: PathName,
    account_id: ActingAccount,
    artifact_id: PathName,
    tokens: Sum,
    *,
    expires_at: Annotated[datetime, Meta(tz=True, description="When the tokens are released. ISO 8601 with a zone.")]
    | None = None,
    command_id: str = "",
) -> Workflow[PlacedHold]:
    """Stake tokens of an account on an artifact. A tenth of all stakes counts towards its research budget (BRG-3).

    The account keeps its tokens, but they are held until the stake is withdrawn or expires. A stake is a hold with the
    reason `stake`: read it through the operations on holds. Raises `NotFound` if there is no such artifact, and
    `Refused` for the same reasons as `place_hold`.
    """
    with told_as(hold_id="stake_id", amount_tokens="tokens"):
        placing = place_hold.plan(
            stake_id,
            account_id,
            tokens,
            STAKE,
            reference_type=ARTIFACT,
            reference_id=artifact_id,
            expires_at=expires_at,
            command_id=command_id,
        )

    def steps() -> Generator[Any, Any, PlacedHold]:
        yield artifact.plan(artifact_id)
        with told_as(hold_id="stake_id", amount_tokens="tokens"):
            placed: PlacedHold = yield placing
        return placed

    return Workflow(steps())


@operation("DELETE", "/stakes/{account_id}/{stake_id}", "Commitments", "Withdraw a stake")
def unstake(stake_id: PathName, account_id: PathName, *, command_id: str = "") -> Workflow[ReleasedHold]:
    """Withdraw a stake: all of its tokens are released. Only the actor that placed it and the admin may do so.

    Raises `NotFound` if there is no such stake, and `Refused` for the same reasons as `release_hold`.
    """
    with told_as(hold_id="stake_id"):
        releasing = release_hold.plan(stake_id, account_id, command_id=command_id)

    def steps() -> Generator[Any, Any, ReleasedHold]:
        with told_as(hold_id="stake_id"):
            # A retry is not checked: by now the id may belong to another hold.
            if not (yield IsRetry(release_hold.request(stake_id, account_id, command_id=command_id))):
                check_stake((yield hold.plan(stake_id, account_id)))
            released: ReleasedHold = yield releasing
        return released

    return Workflow(steps())


@operation(
    "POST",
    "/artifacts/{artifact_id}/bounties",
    "Commitments",
    "Post a bounty",
    status=201,
    problems=(402,),
    example={
        "bounty_id": "bounty-1",
        "tokens": 100,
        "expires_at": "2100-01-01T00:00:00Z",
        "description": "Repeat the second experiment",
    },
)
def post_bounty(
    bounty_id: PathName,
    account_id: ActingAccount,
    artifact_id: PathName,
    tokens: Sum,
    *,
    expires_at: Annotated[
        datetime, Meta(tz=True, description="When the tokens are released. ISO 8601 with a time zone.")
    ],
    description: Annotated[Memo, Meta(description="The work to be done, as free text.")] = "",
    command_id: str = "",
) -> Workflow[PlacedHold]:
    """Offer tokens of an account for work on an artifact. They are held until the bounty is paid, withdrawn or expires.

    A bounty is a hold with the reason `bounty`. One that the admin posts for an account can be paid and withdrawn by
    the admin alone. Raises `NotFound` if there is no such artifact, and `Refused` for the same reasons as `place_hold`.
    """
    told = {"hold_id": "bounty_id", "amount_tokens": "tokens", "memo": "description"}
    with told_as(**told):
        placing = place_hold.plan(
            bounty_id,
            account_id,
            tokens,
            BOUNTY,
            reference_type=ARTIFACT,
            reference_id=artifact_id,
            expires_at=expires_at,
            memo=description,
            command_id=command_id,
        )

    def steps() -> Generator[Any, Any, PlacedHold]:
        yield artifact.plan(artifact_id)
        with told_as(**told):
            placed: PlacedHold = yield placing
        return placed

    return Workflow(steps())


@operation("POST", "/bounties/{account_id}/{bounty_id}/claim", "Commitments", "Claim a bounty")
def claim_bounty(bounty_id: PathName, account_id: PathName, claimant_id: ActingAccount) -> Change[BountyDetail]:
    """Reserve an open bounty for `claimant_id`, until the bounty ends. Idempotent.

    Raises `NotFound` if there is no such bounty or claimant, and `Conflict` if the bounty has ended, belongs to the
    claimant, or is claimed by another account.
    """
    check_name("bounty_id", bounty_id)
    check_name("account_id", account_id)
    check_name("claimant_id", claimant_id)

    def make(at: WriteContext) -> BountyDetail:
        found = artifacts.bounty(at.connection, at.shard_id, bounty_id, account_id)
        if found is not None:
            artifacts.claim_bounty(at.connection, at.shard_id, found.posted_seq, claimant_id)
            found = artifacts.bounty(at.connection, at.shard_id, bounty_id, account_id)
        if found is None:
            raise unknown_bounty(bounty_id, account_id)
        if found.claimant_id != claimant_id:
            raise _not_claimed(found, claimant_id)
        return detail(BountyDetail, found, *at.positions())

    return Change(make, decides_by_tables=True)


@operation("POST", "/bounties/{account_id}/{bounty_id}/pay", "Commitments", "Pay a bounty", example={"tokens": 60})
def pay_bounty(
    bounty_id: PathName,
    account_id: PathName,
    tokens: Annotated[TokensPositive, Meta(description="Whole tokens; by default all of the bounty.")] | None = None,
    *,
    command_id: str = "",
) -> Workflow[CapturedHold]:
    """Pay all or a part of a bounty to its claimant; the rest is released. Only the poster and the admin may pay it.

    Raises `NotFound` if there is no such bounty, `Conflict` if it is not claimed, and `Refused` for the same reasons as
    `capture_hold`.
    """
    told = {"hold_id": "bounty_id", "amount_tokens": "tokens"}
    # The payee is not known yet, so permission is checked by a release: releasing and capturing need the same right.
    with told_as(**told):
        releasing = release_hold.request(bounty_id, account_id)

    def steps() -> Generator[Any, Any, CapturedHold]:
        yield MayDo(releasing)
        payee = payee_of((yield bounty.plan(bounty_id, account_id)))
        with told_as(**told):
            paid: CapturedHold = yield capture_hold.plan(bounty_id, account_id, payee, tokens, command_id=command_id)
        return paid

    return Workflow(steps())


@operation("DELETE", "/bounties/{account_id}/{bounty_id}", "Commitments", "Withdraw a bounty")
def withdraw_bounty(bounty_id: PathName, account_id: PathName, *, command_id: str = "") -> Workflow[ReleasedHold]:
    """Withdraw a bounty that is not claimed. Only the poster and the admin may withdraw it.

    Raises `NotFound` if there is no such bounty, `Conflict` if it is claimed, and `Refused` for the same reasons as
    `release_hold`. A claim that is made at the same moment does not stop the withdrawal; its bounty is `withdrawn`.
    """
    with told_as(hold_id="bounty_id"):
        releasing = release_hold.plan(bounty_id, account_id, command_id=command_id)

    def steps() -> Generator[Any, Any, ReleasedHold]:
        with told_as(hold_id="bounty_id"):
            # A retry is not checked: by now the id may belong to another hold.
            if not (yield IsRetry(release_hold.request(bounty_id, account_id, command_id=command_id))):
                check_unclaimed((yield bounty.plan(bounty_id, account_id)))
            released: ReleasedHold = yield releasing
        return released

    return Workflow(steps())


@operation("GET", "/bounties", "Commitments", "List bounties")
def bounties(
    artifact_id: Named | None = None,
    status: BountyStatus | None = None,
    *,
    limit: Limit = 100,
    after: After | None = None,
) -> TableQuery[Page[BountyRow]]:
    """Bounties on one artifact, or all, with the status of each, newest first, in pages."""
    if artifact_id is not None:
        check_name("artifact_id", artifact_id)
    if status is not None:
        check_one_of("status", status, get_args(BountyStatus))
    check_limit(limit)
    before = number_below("bounties", after)

    def answer(at: Tables) -> Page[BountyRow]:
        rows = artifacts.bounties_page(at.connection, at.shard_id, artifact_id, status, limit + 1, before)
        return page_of(rows, limit, "bounties", lambda row: row.posted_seq, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/bounties/{account_id}/{bounty_id}", "Commitments", "Get a bounty")
def bounty(bounty_id: PathName, account_id: PathName) -> TableQuery[BountyDetail]:
    """A bounty of an account, and its status. Raises `NotFound` if the account has no such bounty."""
    check_name("bounty_id", bounty_id)
    check_name("account_id", account_id)

    def answer(at: Tables) -> BountyDetail:
        found = artifacts.bounty(at.connection, at.shard_id, bounty_id, account_id)
        if found is None:
            raise unknown_bounty(bounty_id, account_id)
        return detail(BountyDetail, found, at.seq, at.durable_seq)

    return TableQuery(answer)


def unknown_bounty(bounty_id: str, account_id: str) -> NotFound:
    """The error for a bounty that does not exist."""
    return NotFound("bounty_id", bounty_id, f"a bounty of {account_id!r} that was posted")


def check_stake(found: HoldRow) -> None:
    """Check that a hold is a stake. Raises `NotFound`."""
    if (found.reason, found.reference_type) != (STAKE, ARTIFACT):
        raise NotFound("stake_id", found.hold_id, "a stake on an artifact")


def payee_of(found: BountyRow) -> str:
    """The claimant of a bounty. Raises `Conflict` if it is not claimed. An ended bounty is refused by the engine."""
    if found.claimant_id is None:
        raise Conflict("bounty_id", found.bounty_id, f"a bounty that is claimed: it is {found.status}")
    return found.claimant_id


def check_unclaimed(found: BountyRow) -> None:
    """Check that a bounty is not claimed. Raises `Conflict`. An ended bounty is refused by the engine."""
    if found.status == "claimed":
        raise Conflict("bounty_id", found.bounty_id, f"a bounty without a claim: {found.claimant_id!r} has claimed it")


def _not_claimed(found: BountyRow, claimant_id: str) -> Invalid:
    """The error for a claim that did not succeed."""
    if found.status == "claimed":
        return Conflict("bounty_id", found.bounty_id, f"an open bounty: {found.claimant_id!r} has claimed it")
    if found.status != "open":
        return Conflict("bounty_id", found.bounty_id, f"an open bounty: it is {found.status}")
    if claimant_id == found.bounty_source:
        return Conflict("claimant_id", claimant_id, "another account than the bounty's own")
    return NotFound("claimant_id", claimant_id, "an open account")


class Commitments:
    """The operations on stakes and bounties, as methods of a market."""

    stake = stake
    unstake = unstake
    post_bounty = post_bounty
    claim_bounty = claim_bounty
    pay_bounty = pay_bounty
    withdraw_bounty = withdraw_bounty
    bounties = bounties
    bounty = bounty
