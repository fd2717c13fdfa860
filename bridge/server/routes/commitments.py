"""Tokens committed to artifacts: stakes, and bounties for work on them. Both are holds of the market.

Rule of this file: that of its folder. Whose the tokens are is the acting account, as with a bid; then paths say it.
"""

from litestar import delete, get, post
from litestar.params import FromQuery, JSONBody

from callmarket.bridge.api import results, verbs
from callmarket.bridge.api.artifacts import BountyDetail, BountyRow, BountyStatus
from callmarket.bridge.api.bodies import BountyPayment, NewBounty, NewStake
from callmarket.bridge.api.commitments import ARTIFACT, BOUNTY, STAKE, check_stake, check_unclaimed, payee_of
from callmarket.bridge.api.errors import told_as
from callmarket.bridge.api.results import CapturedHold, Page, PlacedHold, ReleasedHold
from callmarket.bridge.server.routes.common import (
    COMMAND,
    PAYMENT,
    QUESTION,
    AckQuery,
    After,
    GivenCaller,
    GivenService,
    Limit,
    NameQuery,
    PathId,
)


@post("/artifacts/{artifact_id:str}/stakes", operation_id="stake", summary="Stake tokens", responses=PAYMENT)
async def stake(
    artifact_id: PathId, data: JSONBody[NewStake], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> PlacedHold:
    """Commit tokens of the acting account to an artifact. They are held, and stay its own, until they are taken back.

    A stake is a hold: it is listed, and looked at, where holds are.
    """
    account_id = service.bidder(caller)
    await service.market.artifact(artifact_id)
    with told_as(hold_id="stake_id", amount_tokens="tokens"):
        request = verbs.place_hold(
            data.stake_id,
            account_id,
            data.tokens,
            STAKE,
            reference_type=ARTIFACT,
            reference_id=artifact_id,
            expires_at=data.expires_at,
            command_id=caller.command_id,
        )
        return results.placed_hold(await service.submit(caller, request, ack))


@delete(
    "/stakes/{account_id:str}/{stake_id:str}",
    operation_id="unstake",
    summary="Take a stake back",
    status_code=200,
    responses=COMMAND,
)
async def unstake(
    account_id: PathId, stake_id: PathId, caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> ReleasedHold:
    """Take all of a stake back. By whoever placed it, or the admin."""
    with told_as(hold_id="stake_id"):
        request = verbs.release_hold(stake_id, account_id, command_id=caller.command_id)
        if not service.is_retry(caller, request):
            check_stake(await service.market.hold(stake_id, account_id))
        return results.released_hold(await service.submit(caller, request, ack))


@post("/artifacts/{artifact_id:str}/bounties", operation_id="post_bounty", summary="Post a bounty", responses=PAYMENT)
async def post_bounty(
    artifact_id: PathId,
    data: JSONBody[NewBounty],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> PlacedHold:
    """Offer tokens of the acting account for work on an artifact. They are held until it is paid, withdrawn or expires.

    A bounty is a hold. One that the admin posts for an account can be paid and withdrawn by the admin alone.
    """
    account_id = service.bidder(caller)
    await service.market.artifact(artifact_id)
    with told_as(hold_id="bounty_id", amount_tokens="tokens", memo="description"):
        request = verbs.place_hold(
            data.bounty_id,
            account_id,
            data.tokens,
            BOUNTY,
            reference_type=ARTIFACT,
            reference_id=artifact_id,
            expires_at=data.expires_at,
            memo=data.description,
            command_id=caller.command_id,
        )
        return results.placed_hold(await service.submit(caller, request, ack))


@post(
    "/bounties/{account_id:str}/{bounty_id:str}/claim",
    operation_id="claim_bounty",
    summary="Claim a bounty",
    status_code=200,
    responses=COMMAND,
)
async def claim_bounty(
    account_id: PathId, bounty_id: PathId, caller: GivenCaller, service: GivenService
) -> BountyDetail:
    """Say that the acting account works for a bounty, so that no other does. It has one claimant, until it ends."""
    return await service.claim_bounty(caller, bounty_id, account_id)


@post(
    "/bounties/{account_id:str}/{bounty_id:str}/pay",
    operation_id="pay_bounty",
    summary="Pay a bounty",
    status_code=200,
    responses=COMMAND,
)
async def pay_bounty(
    account_id: PathId,
    bounty_id: PathId,
    data: JSONBody[BountyPayment],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> CapturedHold:
    """Pay a bounty to its claimant, all or a part; the rest goes back. By whoever posted it, or the admin."""
    # Whom it pays is not known yet; who may release a hold may capture it.
    service.check_may(caller, verbs.release_hold(bounty_id, account_id))
    payee = payee_of(await service.market.bounty(bounty_id, account_id))
    with told_as(hold_id="bounty_id", amount_tokens="tokens"):
        request = verbs.capture_hold(bounty_id, account_id, payee, data.tokens, command_id=caller.command_id)
        return results.captured_hold(await service.submit(caller, request, ack))


@delete(
    "/bounties/{account_id:str}/{bounty_id:str}",
    operation_id="withdraw_bounty",
    summary="Withdraw a bounty",
    status_code=200,
    responses=COMMAND,
)
async def withdraw_bounty(
    account_id: PathId, bounty_id: PathId, caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> ReleasedHold:
    """Take back a bounty that nobody has claimed. By whoever posted it, or the admin."""
    with told_as(hold_id="bounty_id"):
        request = verbs.release_hold(bounty_id, account_id, command_id=caller.command_id)
        # The name may be another bounty's by now.
        if not service.is_retry(caller, request):
            check_unclaimed(await service.market.bounty(bounty_id, account_id))
        return results.released_hold(await service.submit(caller, request, ack))


@get("/bounties", operation_id="bounties", summary="List bounties", responses=QUESTION)
async def list_bounties(
    service: GivenService,
    artifact_id: NameQuery = None,
    status: FromQuery[BountyStatus | None] = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[BountyRow]:
    """Bounties for an artifact, or all, the newest first, with where each stands."""
    return await service.market.bounties(artifact_id, status, limit=limit, after=after)


@get(
    "/bounties/{account_id:str}/{bounty_id:str}", operation_id="bounty", summary="Look at a bounty", responses=QUESTION
)
async def get_bounty(account_id: PathId, bounty_id: PathId, service: GivenService) -> BountyDetail:
    """A bounty and where it stands."""
    return await service.market.bounty(bounty_id, account_id)


HANDLERS = (
    stake,
    unstake,
    post_bounty,
    claim_bounty,
    pay_bounty,
    withdraw_bounty,
    list_bounties,
    get_bounty,
)
