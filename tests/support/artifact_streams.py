"""Random commands to artifact markets, for `tests.support.streams`: orders near the price and at the edges.

Rule of this file: that of `streams`, of whose class this is a part.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    CancelOrder,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.commands import ADMIN, ISSUANCE, OPERATOR, TREASURY, Command, Mint
from tests.support.seen import Seen
from tests.support.swarms import Swarm

GHOST = "ghost"


class ArtifactCommands:
    """The makers of commands to artifact markets. The other half of a stream brings what these declare."""

    rng: random.Random
    swarm: Swarm
    seen: Seen
    at_us: int
    names: list[str]
    _chance: Callable[[float], bool]
    _wrong: Callable[[], bool]
    _actor: Callable[..., str]
    _account: Callable[[], str]
    _deadline: Callable[[], int]

    def _artifact_opening(self) -> Iterator[tuple[str, Command]]:
        """Yield what makes artifact markets possible."""
        if not self.swarm.artifacts:
            return
        yield ADMIN, Mint(SUBSIDY_POOL, self.swarm.subsidy_max * 4, "fund:liquidity")
        for number in range(self.swarm.artifacts):
            yield OPERATOR, self._artifact_market(f"artifact{number}")

    def _artifact_market(self, artifact: str) -> OpenArtifactMarket:
        rng = self.rng
        lives_us = (30, 300, 3_000, 10**9, 10**9, 10**9)
        closes_at_us = max(0, self.at_us - rng.choice((0, 1))) if self._wrong() else self.at_us + rng.choice(lives_us)
        return OpenArtifactMarket(
            artifact_id=artifact,
            subsidy_tokens=rng.choice((1, self.swarm.subsidy_max, rng.randint(1, self.swarm.subsidy_max))),
            closes_at_us=closes_at_us,
            exit_fee_ppm=rng.choice((0, 50_000, 50_000, 333_333, limits.PPM)),
            exposure_limit_ppm=rng.choice(self.swarm.exposures_ppm),
            decay_ppm=rng.choice((0, 100_000, 2_000_000, limits.DECAY_PPM_MAX)),
            decay_floor_ppm=rng.choice((0, 250_000, 900_000)),
            dispute_window_us=rng.choice(self.swarm.windows_us),
            arbiter_id=self._arbiter(),
        )

    def _arbiter(self) -> str:
        if self._wrong():
            return GHOST
        return self.rng.choice(self.names) if self._chance(0.25) else ""

    def _open_artifact_market(self) -> tuple[str, OpenArtifactMarket]:
        return self._actor(OPERATOR, ADMIN), self._artifact_market(f"artifact{self.rng.randrange(100)}")

    def _artifact(self) -> str:
        live, ended = self.seen.artifacts.prices, self.seen.artifacts.settled
        if self._wrong():
            return self.rng.choice((GHOST, *ended))
        return self.rng.choice(list(live) or [GHOST])

    def _limit(self, artifact: str, side: str) -> int | None:
        """Return a limit: none, near the price, that of a resting order, or at an edge."""
        rng, seen = self.rng, self.seen.artifacts
        if self._chance(self.swarm.market_order_chance):
            return None
        near = seen.prices.get(artifact, limits.MICRO // 2) + rng.choice((0, 1, -1, 7, -7, 20_000, -20_000, 150_000))
        resting = [price for price, where in seen.resting_prices() if where == artifact] or [near]
        edge = rng.choice((limits.PRICE_MICROS_MIN, limits.PRICE_MICROS_MAX, 500_000, 200_000, 800_000))
        of_long = rng.choice((near, near, rng.choice(resting), rng.choice(resting) + rng.choice((1, -1)), edge))
        of_side = of_long if side == "long" else limits.MICRO - of_long
        return min(max(of_side, limits.PRICE_MICROS_MIN), limits.PRICE_MICROS_MAX)

    def _terms(self) -> dict[str, Any]:
        """Return how long an order is good for."""
        rng = self.rng
        in_force = "gtd" if self._chance(self.swarm.gtd_chance) else rng.choice(("ioc", "ioc", "ioc", "fok"))
        named = (in_force == "gtd") != self._wrong()
        return {"time_in_force": in_force, "expires_at_us": self._deadline() if named else None}

    def _open_position(self) -> tuple[str, OpenPosition | OpenArtifactMarket]:
        if not self.seen.artifacts.prices:
            return self._open_artifact_market()
        rng, artifact = self.rng, self._artifact()
        account = self._account() if self._wrong() else rng.choice(self.seen.bidders or self.names)
        side = rng.choice(("long", "short"))
        most = self.swarm.subsidy_max
        tokens = rng.choice(
            (1, rng.randint(1, max(1, most // 10)), rng.randint(1, most), most * rng.choice((1, 3, 30)))
        )
        resting = [order.left // limits.MICRO for order in self.seen.artifacts.resting.values()]
        if any(resting) and self._chance(0.2):
            tokens = max(1, rng.choice(resting))
        command = OpenPosition(artifact, account, side, tokens, self._limit(artifact, side), **self._terms())  # type: ignore[arg-type]
        return self._actor(account, account, ADMIN), command

    def _position_id(self) -> int:
        seen = self.seen.artifacts
        if self._wrong() or not seen.positions:
            return self.rng.randint(1, seen.orders_ever + 1)
        winning = [position_id for position_id in seen.positions if seen.price_of(position_id) > 800_000]
        if winning and self.swarm.takes_profits:
            return self.rng.choice(winning)
        return self.rng.choice(list(seen.positions))

    def _close_position(self) -> tuple[str, Command]:
        if not self.seen.artifacts.positions and not self._wrong():
            return self._open_position()
        rng, position_id = self.rng, self._position_id()
        account, artifact, side, shares = self.seen.artifacts.positions.get(position_id, (ADMIN, GHOST, "long", 1))
        parts = (None, None, shares, max(1, shares // 2), rng.randint(1, max(1, shares)), min(shares, 999))
        microshares = shares + rng.choice((1, 10**6)) if self._wrong() else rng.choice(parts)
        limit = self._limit(artifact, side)
        return self._actor(account, account, ADMIN), ClosePosition(position_id, microshares, limit, **self._terms())

    def _cancel_order(self) -> tuple[str, CancelOrder]:
        rng, seen = self.rng, self.seen.artifacts
        likely = list(seen.resting)
        unlikely = rng.randint(1, seen.orders_ever + 1)
        order_id = rng.choice(likely) if likely and not self._wrong() else unlikely
        account = seen.resting[order_id].account_id if order_id in seen.resting else ADMIN
        return self._actor(account, account, ADMIN), CancelOrder(order_id)

    def _judge(self, artifact: str) -> str:
        return self._actor(OPERATOR, ADMIN, *self.seen.artifacts.arbiters.get(artifact, ()))

    def _freeze_artifact(self) -> tuple[str, FreezeArtifact]:
        artifact = self._artifact()
        longest = limits.FREEZE_US_MAX
        waits = (0, longest + 1) if self._wrong() else (1, 5, 20, 20, longest)
        return self._judge(artifact), FreezeArtifact(artifact, self.at_us + min(self.rng.choice(waits), longest + 1))

    def _unfreeze_artifact(self) -> tuple[str, UnfreezeArtifact]:
        frozen = sorted(self.seen.artifacts.frozen)
        artifact = self.rng.choice(frozen) if frozen and not self._wrong() else self._artifact()
        return self._judge(artifact), UnfreezeArtifact(artifact)

    def _settle_artifact(self) -> tuple[str, SettleArtifact]:
        rng, artifact = self.rng, self._artifact()
        settled_as = rng.choice(self.swarm.settled_as)
        prices = {"validated": (700_000, 999_999), "flagged": (0, 299_999), "deprecated": (0, 99_999)}
        price = rng.choice((None, *prices.get(settled_as, (None,))))
        if self._wrong():
            price = rng.choice((699_999, 300_000, 100_000))
        return self._judge(artifact), SettleArtifact(artifact, settled_as, price)

    def _decay_subsidy(self) -> tuple[str, DecaySubsidy]:
        return self._actor(OPERATOR, ADMIN), DecaySubsidy(self._artifact())

    def _fund_liquidity(self) -> tuple[str, Mint]:
        name = self.rng.choice((TREASURY, ISSUANCE)) if self._wrong() else SUBSIDY_POOL
        return self._actor(ADMIN), Mint(name, self.rng.randint(1, self.swarm.subsidy_max), "fund:liquidity")
