"""Artifact markets opened, frozen and calmed down (LMSR-1, LMSR-9, STL-7), naively."""

from collections.abc import Iterator

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    UnfreezeArtifact,
)
from callmarket.engine.capital.events import ArtifactFrozen, ArtifactMarketOpened, ArtifactUnfrozen, SubsidyDecayed
from callmarket.engine.commands import OPERATOR
from callmarket.engine.reject import Reject
from tests.support.naive.capital.maker import Reserves, decayed, pool_for
from tests.support.naive.capital.purses import SUBSIDY, move_tokens
from tests.support.naive.capital.state import ArtifactMarket
from tests.support.naive.shard import Shard, permit


def refuse_open_artifact_market(shard: Shard, command: OpenArtifactMarket, actor: str) -> Iterator[Reject]:
    """LMSR-1, STL-8, POS-6."""
    if command.arbiter_id and command.arbiter_id not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    yield from permit(actor, OPERATOR)
    if command.artifact_id in shard.capital.markets:
        yield Reject.ARTIFACT_MARKET_EXISTS
    if command.closes_at_us <= shard.now:
        yield Reject.TTL_PAST
    if len(shard.capital.markets) >= limits.ARTIFACT_MARKETS_MAX:
        yield Reject.ARTIFACT_MARKETS_FULL
    if shard.available(SUBSIDY_POOL) < command.subsidy_tokens:
        yield Reject.SUBSIDY_EXHAUSTED


def open_artifact_market(shard: Shard, command: OpenArtifactMarket) -> None:
    """LMSR-1: the pool of the market is its subsidy."""
    subsidy = command.subsidy_tokens * limits.MICRO
    market = ArtifactMarket(command, shard.now, subsidy, subsidy, average_at=shard.now)
    shard.capital.markets[command.artifact_id] = market
    shard.say(ArtifactMarketOpened(*(getattr(command, name) for name in command.__struct_fields__)))
    shard.capital.pay(SUBSIDY_POOL, command.artifact_id, -subsidy)
    move_tokens(shard, SUBSIDY)


def refuse_decay_subsidy(shard: Shard, command: DecaySubsidy, actor: str) -> Iterator[Reject]:
    """LMSR-9."""
    yield from permit(actor, OPERATOR)
    market = shard.capital.markets.get(command.artifact_id)
    if market is None:
        yield Reject.ARTIFACT_MARKET_UNKNOWN
        return
    yield from refuse_to_trade(shard, market)
    if market.status != "settled" and not decay_is_due(shard, command.artifact_id, market):
        yield Reject.DECAY_NOT_DUE


def refuse_to_trade(shard: Shard, market: ArtifactMarket) -> Iterator[Reject]:
    """STL-1, STL-5, STL-7, STL-9."""
    if market.status == "settled":
        yield Reject.ARTIFACT_SETTLED
    if market.status in ("frozen", "announced"):
        yield Reject.ARTIFACT_FROZEN
    if market.rules.closes_at_us <= shard.now:
        yield Reject.ARTIFACT_CLOSED


def decay_is_due(shard: Shard, artifact: str, market: ArtifactMarket) -> bool:
    """LMSR-9: so many trades, so long after the last one, and less of everything."""
    since = market.opened_at if market.decayed_at is None else market.decayed_at
    if len(market.prices) < limits.DECAY_PRICES or shard.now - since < limits.DECAY_INTERVAL_US:
        return False
    subsidy = calmer_subsidy(market)
    if subsidy >= market.subsidy:
        return False
    return pool_after(shard, artifact, subsidy) <= market.pool


def calmer_subsidy(market: ArtifactMarket) -> int:
    """Return S' (LMSR-9)."""
    rules = market.rules
    prices = market.prices[-limits.DECAY_PRICES :]
    return decayed(rules.subsidy_tokens * limits.MICRO, rules.decay_ppm, rules.decay_floor_ppm, prices)


def offsets_after(shard: Shard, artifact: str, subsidy: int) -> Reserves:
    """Return r' (LMSR-9): of d' and the outstanding shares, and one of the two is 0."""
    long_reserve, short_reserve = shard.capital.reserves(artifact)
    spread = long_reserve - short_reserve
    size = abs(spread) * subsidy // shard.capital.markets[artifact].subsidy
    wanted = size if spread > 0 else -size
    long, short = shard.capital.outstanding(artifact)
    offset = wanted - (long - short)
    return max(offset, 0), max(-offset, 0)


def pool_after(shard: Shard, artifact: str, subsidy: int) -> int:
    """Return K(V') of a decay."""
    long, short = shard.capital.outstanding(artifact)
    offsets = offsets_after(shard, artifact, subsidy)
    return pool_for(subsidy, (long + offsets[0], short + offsets[1]))


def decay_subsidy(shard: Shard, command: DecaySubsidy) -> None:
    """LMSR-9: what the maker no longer needs goes back."""
    artifact = command.artifact_id
    market = shard.capital.markets[artifact]
    shard.capital.read_average(artifact, shard.now)
    subsidy = calmer_subsidy(market)
    pool, offsets = pool_after(shard, artifact, subsidy), offsets_after(shard, artifact, subsidy)
    given_back = market.pool - pool
    market.subsidy, market.pool, market.offsets, market.decayed_at = subsidy, pool, offsets, shard.now
    market.returned += given_back
    shard.say(SubsidyDecayed(artifact, subsidy, *offsets, pool, given_back))
    shard.capital.pay(SUBSIDY_POOL, artifact, given_back)
    move_tokens(shard, SUBSIDY)


def refuse_freeze_artifact(shard: Shard, command: FreezeArtifact, actor: str) -> Iterator[Reject]:
    """STL-7."""
    yield from refuse_judge(shard, command.artifact_id, actor)
    if command.until_us <= shard.now:
        yield Reject.TTL_PAST
    if command.until_us > shard.now + limits.FREEZE_US_MAX:
        yield Reject.UNTIL_TOO_FAR


def refuse_judge(shard: Shard, artifact: str, actor: str) -> Iterator[Reject]:
    """STL-1, STL-2, STL-7: what staff and the arbiter may do, until the market is settled."""
    market = shard.capital.markets.get(artifact)
    if market is None:
        yield Reject.ARTIFACT_MARKET_UNKNOWN
        return
    arbiter = [market.rules.arbiter_id] if market.rules.arbiter_id else []
    yield from permit(actor, OPERATOR, *arbiter)
    if market.status == "settled":
        yield Reject.ARTIFACT_SETTLED


def freeze_artifact(shard: Shard, command: FreezeArtifact) -> None:
    """STL-7, STL-9: an announced settlement is taken back."""
    market = shard.capital.markets[command.artifact_id]
    average = shard.capital.read_average(command.artifact_id, shard.now)
    market.status, market.until = "frozen", command.until_us
    shard.say(ArtifactFrozen(command.artifact_id, command.until_us, average))


def refuse_unfreeze_artifact(shard: Shard, command: UnfreezeArtifact, actor: str) -> Iterator[Reject]:
    """STL-7."""
    yield from refuse_judge(shard, command.artifact_id, actor)
    market = shard.capital.markets.get(command.artifact_id)
    if market is not None and market.status in ("open", "announced"):
        yield Reject.ARTIFACT_NOT_FROZEN


def unfreeze_artifact(shard: Shard, command: UnfreezeArtifact) -> None:
    """STL-7."""
    unfreeze(shard, command.artifact_id)


def unfreeze(shard: Shard, artifact: str) -> None:
    """STL-7: the average goes on from now."""
    shard.capital.read_average(artifact, shard.now)
    shard.capital.markets[artifact].status = "open"
    shard.say(ArtifactUnfrozen(artifact))
