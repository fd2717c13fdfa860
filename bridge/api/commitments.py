"""Tokens committed to an artifact: stakes, and bounties for work on it.

Rule of this file: a stake and a bounty are holds of the market and nothing else, by their reason and reference; so they
are as durable as any command, and may be ended by whoever placed the hold, and by the admin. A claim reserves the work
and does not bind the tokens: a bounty that its poster shall not take back is posted by the admin for that account.
Each of these may be sent again. They need a market that acknowledges when durable, as it does unless told otherwise.
"""

from datetime import datetime
from typing import Final

from callmarket.bridge.api.artifact_api import AllocatorApi
from callmarket.bridge.api.artifacts import BountyDetail, BountyRow
from callmarket.bridge.api.errors import Conflict, NotFound, Refused, told_as
from callmarket.bridge.api.hold_questions import HoldDetail, HoldRow
from callmarket.engine.commands import TREASURY
from callmarket.engine.reject import Reject

STAKE: Final = "stake"
BOUNTY: Final = "bounty"
ARTIFACT: Final = "artifact"


def stake(
    market: AllocatorApi,
    stake_id: str,
    account_id: str,
    artifact_id: str,
    tokens: int,
    *,
    expires_at: datetime | None = None,
    command_id: str = "",
) -> HoldDetail:
    """Commit tokens of an account to an artifact until they are taken back: a tenth of them funds research on it.

    Raises `NotFound` if there is no such artifact, `Refused` as `place_hold`.
    """
    market.artifact(artifact_id)
    with told_as(hold_id="stake_id", amount_tokens="tokens"):
        return _placed(market, stake_id, account_id, tokens, STAKE, artifact_id, expires_at, "", command_id)


def unstake(market: AllocatorApi, stake_id: str, account_id: str, *, command_id: str = "") -> HoldDetail:
    """Take an account's stake back. Raises `NotFound` if there is no such stake, `Refused` as `release_hold`."""
    with told_as(hold_id="stake_id"):
        _catch_up(market)
        check_stake(market.hold(stake_id, account_id))
        _released(market, stake_id, account_id, command_id)
        return market.hold(stake_id, account_id)


def post_bounty(
    market: AllocatorApi,
    bounty_id: str,
    account_id: str,
    artifact_id: str,
    tokens: int,
    *,
    expires_at: datetime,
    description: str = "",
    command_id: str = "",
) -> BountyDetail:
    """Offer tokens of an account for work on an artifact. From `expires_at` on they go back to it.

    Raises `NotFound` if there is no such artifact, `Refused` as `place_hold`.
    """
    market.artifact(artifact_id)
    with told_as(hold_id="bounty_id", amount_tokens="tokens", memo="description"):
        _placed(market, bounty_id, account_id, tokens, BOUNTY, artifact_id, expires_at, description, command_id)
    return market.bounty(bounty_id, account_id)


def pay_bounty(
    market: AllocatorApi, bounty_id: str, account_id: str, tokens: int | None = None, *, command_id: str = ""
) -> BountyDetail:
    """Pay an account's bounty to its claimant: all of it, or `tokens` and the rest goes back. Either way it has ended.

    Raises `NotFound`, `Conflict` if nobody has claimed it, `Refused` as `capture_hold`.
    """
    _catch_up(market)
    found = market.bounty(bounty_id, account_id)
    if found.status == "paid" and found.tokens_paid == (found.tokens_offered if tokens is None else tokens):
        return found
    with told_as(hold_id="bounty_id", amount_tokens="tokens"):
        market.capture_hold(bounty_id, account_id, payee_of(found), tokens, command_id=command_id)
    return market.bounty(bounty_id, account_id)


def withdraw_bounty(market: AllocatorApi, bounty_id: str, account_id: str, *, command_id: str = "") -> BountyDetail:
    """Take back an account's bounty that nobody has claimed.

    Raises `NotFound`, `Conflict` if somebody has, `Refused` as `release_hold`. Of a bounty that is claimed in this very
    moment the claimant learns that it was withdrawn.
    """
    _catch_up(market)
    check_unclaimed(market.bounty(bounty_id, account_id))
    with told_as(hold_id="bounty_id"):
        _released(market, bounty_id, account_id, command_id)
    return market.bounty(bounty_id, account_id)


def check_stake(hold: HoldRow) -> None:
    """Check that a hold is a stake. Raises `NotFound`."""
    if (hold.reason, hold.reference_type) != (STAKE, ARTIFACT):
        raise NotFound("stake_id", hold.hold_id, "a stake on an artifact")


def payee_of(bounty: BountyRow) -> str:
    """Whom a bounty is to be paid to. Raises `Conflict` where there is nobody; whether it has ended the market says."""
    if bounty.claimant_id is None:
        raise Conflict("bounty_id", bounty.bounty_id, f"a bounty that is claimed: it is {bounty.status}")
    return bounty.claimant_id


def check_unclaimed(bounty: BountyRow) -> None:
    """Check that nobody works for a bounty. Raises `Conflict`; whether it has ended the market says."""
    if bounty.status == "claimed":
        raise Conflict(
            "bounty_id", bounty.bounty_id, f"a bounty without a claim: {bounty.claimant_id!r} has claimed it"
        )


def _catch_up(market: AllocatorApi) -> None:
    """Hear how far all is durable: then what is asked next has it, whoever has done it."""
    market.wallet(TREASURY)


def _placed(
    market: AllocatorApi,
    hold_id: str,
    account_id: str,
    tokens: int,
    reason: str,
    artifact_id: str,
    expires_at: datetime | None,
    memo: str,
    command_id: str,
) -> HoldDetail:
    """The hold, which may have been there: whoever lost the answer asks again, perhaps after the market forgot it."""
    try:
        market.place_hold(
            hold_id,
            account_id,
            tokens,
            reason,
            reference_type=ARTIFACT,
            reference_id=artifact_id,
            expires_at=expires_at,
            memo=memo,
            command_id=command_id,
        )
    except Refused as refused:
        if refused.reason is not Reject.HOLD_EXISTS:
            raise
        found = market.hold(hold_id, account_id)
        asked = (tokens, reason, ARTIFACT, artifact_id, expires_at, memo)
        there = (found.amount_tokens, found.reason, found.reference_type, found.reference_id)
        if asked != (*there, found.expires_at, found.memo):
            raise
        return found
    return market.hold(hold_id, account_id)


def _released(market: AllocatorApi, hold_id: str, account_id: str, command_id: str) -> None:
    try:
        market.release_hold(hold_id, account_id, command_id=command_id)
    except Refused as refused:
        if refused.reason is not Reject.HOLD_RELEASED:
            raise
