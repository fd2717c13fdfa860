"""Artifact markets: opening, freezing, settling, and lowering their liquidity.

Rule of this file: what staff and arbiters decide, and what follows from it at once. LMSR-1, LMSR-9 and STL rules.
"""

from math import isqrt

from callmarket.engine import limits as engine_limits
from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketOpened,
    ArtifactUnfrozen,
    SettlementAnnounced,
    SubsidyDecayed,
)
from callmarket.engine.capital.fixed import BITS, EXPONENT_BITS, LOG2E, exp2_neg
from callmarket.engine.capital.limits import MICRO, PPM
from callmarket.engine.capital.maker import pool_for
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.commands import OPERATOR, Entry
from callmarket.engine.decide.capital.cash import Cash
from callmarket.engine.decide.capital.halts import refuse_halted
from callmarket.engine.decide.capital.settlement import settled
from callmarket.engine.decide.refusals import is_staff, refused
from callmarket.engine.events import Events
from callmarket.engine.reasons import CAPITAL_SETTLE, CAPITAL_SUBSIDY
from callmarket.engine.reject import Reject
from callmarket.engine.state import State

# What a long share is worth if no price is named, the least and the most that may be named (STL-2).
_WORTH = {
    "validated": (MICRO, 700_000, MICRO),
    "flagged": (250_000, 0, 299_999),
    "deprecated": (0, 0, 99_999),
}


def open_market(state: State, entry: Entry, command: OpenArtifactMarket) -> Events:
    """Open a market with a subsidy from the pool (LMSR-1)."""
    capital, artifact_id, arbiter_id = state.capital, command.artifact_id, command.arbiter_id
    if arbiter_id and arbiter_id not in state.ledger.accounts:
        return refused(Reject.ACCOUNT_UNKNOWN, "arbiter_id", arbiter_id)
    if not is_staff(entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    if artifact_id in capital.markets:
        return refused(Reject.ARTIFACT_MARKET_EXISTS, "artifact_id", artifact_id)
    if command.closes_at_us <= entry.at_us:
        return refused(Reject.TTL_PAST, "closes_at_us", command.closes_at_us, entry.at_us)
    if len(capital.markets) >= limits.ARTIFACT_MARKETS_MAX:
        return refused(Reject.ARTIFACT_MARKETS_FULL, "artifact_id", artifact_id, limits.ARTIFACT_MARKETS_MAX)
    available_tokens = state.ledger.accounts[SUBSIDY_POOL].available_tokens
    if command.subsidy_tokens > available_tokens:
        return refused(Reject.SUBSIDY_EXHAUSTED, "subsidy_tokens", command.subsidy_tokens, available_tokens)
    opened = ArtifactMarketOpened(
        artifact_id=artifact_id,
        subsidy_tokens=command.subsidy_tokens,
        closes_at_us=command.closes_at_us,
        exit_fee_ppm=command.exit_fee_ppm,
        exposure_limit_ppm=command.exposure_limit_ppm,
        decay_ppm=command.decay_ppm,
        decay_floor_ppm=command.decay_floor_ppm,
        dispute_window_us=command.dispute_window_us,
        arbiter_id=arbiter_id,
    )
    cash = Cash(state, CAPITAL_SUBSIDY)
    cash.pay(SUBSIDY_POOL, artifact_id, -command.subsidy_tokens * MICRO)
    return (opened, *cash.events())


def freeze(state: State, entry: Entry, command: FreezeArtifact) -> Events:
    """Stop trading for a while, and take back a settlement that is only announced (STL-7)."""
    market, artifact_id = state.capital.markets.get(command.artifact_id), command.artifact_id
    if market is None:
        return refused(Reject.ARTIFACT_MARKET_UNKNOWN, "artifact_id", artifact_id)
    if not _may_judge(market, entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    if command.until_us <= entry.at_us:
        return refused(Reject.TTL_PAST, "until_us", command.until_us, entry.at_us)
    if command.until_us > entry.at_us + limits.FREEZE_US_MAX:
        return refused(Reject.UNTIL_TOO_FAR, "until_us", command.until_us, entry.at_us + limits.FREEZE_US_MAX)
    if market.phase.status == "settled":
        return refused(Reject.ARTIFACT_SETTLED, "artifact_id", artifact_id)
    return (ArtifactFrozen(artifact_id, command.until_us, market.average_at(entry.at_us).micros),)


def unfreeze(state: State, entry: Entry, command: UnfreezeArtifact) -> Events:
    """Let a frozen market trade again."""
    market, artifact_id = state.capital.markets.get(command.artifact_id), command.artifact_id
    if market is None:
        return refused(Reject.ARTIFACT_MARKET_UNKNOWN, "artifact_id", artifact_id)
    if not _may_judge(market, entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    if market.phase.status == "settled":
        return refused(Reject.ARTIFACT_SETTLED, "artifact_id", artifact_id)
    if market.phase.status != "frozen":
        return refused(Reject.ARTIFACT_NOT_FROZEN, "artifact_id", artifact_id, market.phase.status)
    return (ArtifactUnfrozen(artifact_id),)


def settle(state: State, entry: Entry, command: SettleArtifact) -> Events:
    """Say what the artifact was worth, or announce it (STL-2, STL-9)."""
    market, artifact_id = state.capital.markets.get(command.artifact_id), command.artifact_id
    if market is None:
        return refused(Reject.ARTIFACT_MARKET_UNKNOWN, "artifact_id", artifact_id)
    if not _may_judge(market, entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    price = command.price_micros
    if command.settled_as == "void":
        if price is not None:
            return refused(Reject.SETTLE_PRICE_RANGE, "price_micros", price, "none")
    else:
        worth, least, most = _WORTH[command.settled_as]
        price = worth if price is None else price
        if not least <= price <= most:
            return refused(Reject.SETTLE_PRICE_RANGE, "price_micros", price, least if price < least else most)
    if market.phase.status == "settled":
        return refused(Reject.ARTIFACT_SETTLED, "artifact_id", artifact_id)
    if market.rules.dispute_window_us:
        due_us = entry.at_us + market.rules.dispute_window_us
        return (SettlementAnnounced(artifact_id, command.settled_as, price, due_us),)
    cash = Cash(state, CAPITAL_SETTLE)
    ends = settled(market, command.settled_as, price, engine_limits.SWEEP_ITEMS_MAX, cash)
    return (*ends.events, *cash.events())


def decay(state: State, entry: Entry, command: DecaySubsidy) -> Events:
    """Lower the liquidity of a calm market, at an unchanged price (LMSR-9)."""
    market, artifact_id = state.capital.markets.get(command.artifact_id), command.artifact_id
    if market is None:
        return refused(Reject.ARTIFACT_MARKET_UNKNOWN, "artifact_id", artifact_id)
    if not is_staff(entry.actor):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, OPERATOR)
    if refusal := refuse_halted(market, entry):
        return refusal
    if len(market.prices) < limits.DECAY_PRICES:
        return refused(Reject.DECAY_NOT_DUE, "trades", len(market.prices), limits.DECAY_PRICES)
    next_us = market.decayed_at_us + limits.DECAY_INTERVAL_US
    if entry.at_us < next_us:
        return refused(Reject.DECAY_NOT_DUE, "at_us", entry.at_us, next_us)
    event = _decayed(market)
    if event is None:
        return refused(Reject.DECAY_NOT_DUE, "subsidy_microtokens", market.maker.subsidy_microtokens, "less")
    cash = Cash(state, CAPITAL_SUBSIDY)
    cash.pay(SUBSIDY_POOL, artifact_id, event.returned_microtokens)
    return (event, *cash.events())


def _decayed(market: ArtifactMarket) -> SubsidyDecayed | None:
    """The maker with less liquidity; None if it would have no less, or the pool not be enough."""
    maker, rules = market.maker, market.rules
    subsidy = max(
        # Of less than a token a microshare would move the price by more than a millionth.
        MICRO,
        rules.subsidy_tokens * rules.decay_floor_ppm,
        rules.subsidy_tokens * MICRO * exp2_neg(_decay_exponent(market)) >> BITS,
    )
    if subsidy >= maker.subsidy_microtokens:
        return None
    difference = maker.long - maker.short
    shrunk = abs(difference) * subsidy // maker.subsidy_microtokens
    offset = (shrunk if difference >= 0 else -shrunk) - maker.long_microshares + maker.short_microshares
    long_offset, short_offset = max(offset, 0), max(-offset, 0)
    pool = pool_for(maker.long_microshares + long_offset, maker.short_microshares + short_offset, subsidy)
    if pool > maker.pool_microtokens:
        return None
    returned = maker.pool_microtokens - pool
    return SubsidyDecayed(rules.artifact_id, subsidy, long_offset, short_offset, pool, returned)


def _decay_exponent(market: ArtifactMarket) -> int:
    """Decay * (1 - deviation of the latest prices) * log2 e, as an exponent of two."""
    prices = market.prices
    squares, total = sum(price * price for price in prices), sum(prices)
    deviation = isqrt((len(prices) * squares - total * total) // len(prices) ** 2)
    calm = market.rules.decay_ppm * (MICRO - deviation)
    return calm * LOG2E // (PPM * MICRO) >> (BITS - EXPONENT_BITS)


def _may_judge(market: ArtifactMarket, actor: str) -> bool:
    """Whether the actor may freeze and settle here (STL-8)."""
    return is_staff(actor) or actor == market.rules.arbiter_id
