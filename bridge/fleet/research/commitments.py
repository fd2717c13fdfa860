"""Committing tokens to artifacts, safe to be done again: stakes, and bounties for work.

Rule of this file: each is an operation of the market, with a look at what is there: a caller that lost the answer asks
again, perhaps after the market forgot it, and is told what it has. They need a market that acknowledges when durable,
as it does unless told otherwise.
"""

from datetime import datetime

from callmarket.bridge.api.errors import Refused, told_as
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.commitments import (
    ARTIFACT,
    BOUNTY,
    STAKE,
    BountyDetail,
    check_stake,
    check_unclaimed,
    payee_of,
)
from callmarket.bridge.api.operations.holds import HoldDetail
from callmarket.engine.commands import TREASURY
from callmarket.engine.reject import Reject


def stake(
    market: Market,
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


def unstake(market: Market, stake_id: str, account_id: str, *, command_id: str = "") -> HoldDetail:
    """Take an account's stake back. Raises `NotFound` if there is no such stake, `Refused` as `release_hold`."""
    with told_as(hold_id="stake_id"):
        _catch_up(market)
        check_stake(market.hold(stake_id, account_id))
        _released(market, stake_id, account_id, command_id)
        return market.hold(stake_id, account_id)


def post_bounty(
    market: Market,
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
    market: Market, bounty_id: str, account_id: str, tokens: int | None = None, *, command_id: str = ""
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


def withdraw_bounty(market: Market, bounty_id: str, account_id: str, *, command_id: str = "") -> BountyDetail:
    """Take back an account's bounty that nobody has claimed.

    Raises `NotFound`, `Conflict` if somebody has, `Refused` as `release_hold`. Of a bounty that is claimed in this very
    moment the claimant learns that it was withdrawn.
    """
    _catch_up(market)
    check_unclaimed(market.bounty(bounty_id, account_id))
    with told_as(hold_id="bounty_id"):
        _released(market, bounty_id, account_id, command_id)
    return market.bounty(bounty_id, account_id)


def _catch_up(market: Market) -> None:
    """Hear how far all is durable: then the next question has it, whichever process did it."""
    market.wallet(TREASURY)


def _placed(
    market: Market,
    hold_id: str,
    account_id: str,
    tokens: int,
    reason: str,
    artifact_id: str,
    expires_at: datetime | None,
    memo: str,
    command_id: str,
) -> HoldDetail:
    """The hold, which may have been there: a retry may come, perhaps after the market forgot it."""
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


def _released(market: Market, hold_id: str, account_id: str, command_id: str) -> None:
    try:
        market.release_hold(hold_id, account_id, command_id=command_id)
    except Refused as refused:
        if refused.reason is not Reject.HOLD_RELEASED:
            raise
