"""Random histories of artifact markets, sealed: every command, wrong ones among them, up to settlements and sweeps.

Rule of this file: what comes out is what a sequencer would hand to persistence, from a seed. It looks at the engine to
choose what may succeed, and leaves it to the engine whether it does.
"""

import random
from collections.abc import Callable
from typing import Any, Final

from callmarket.engine.capital import commands as capital
from callmarket.engine.capital.limits import FREEZE_US_MAX, PRICE_MICROS_MAX, PRICE_MICROS_MIN
from callmarket.engine.commands import ADMIN, OPERATOR, Burn, Command, Entry, ExpireDue, Mint, OpenAccount
from tests.support.sealed import AT_US, Sealer, Story

MINUTE_US: Final = 60 * 10**6
DAY_US: Final = 24 * 60 * MINUTE_US
ACCOUNTS: Final = ("trader0", "trader1", "trader2", "quest_x", "trader4")
ARTIFACTS: Final = ("paper0", "paper1", "paper2")


class CapitalStory:
    """A history that goes on, command by command."""

    def __init__(self, seed: int, sealer: Sealer | None = None) -> None:
        self.rng = random.Random(seed)
        self.sealer = sealer or Sealer()
        self.at_us = max(AT_US, self.engine.state.at_us)
        for name in ACCOUNTS:
            self.do(ADMIN, OpenAccount(name, "quest" if name.startswith("quest") else "agent"))
            self.do(ADMIN, Mint(name, self.rng.choice((50, 1_000, 10**6)), "grant:first"))
        self.do(ADMIN, Mint(capital.SUBSIDY_POOL, 5_000, "fund:markets"))
        self.opened = 0
        self.open_market()
        makers: list[tuple[int, Callable[[], None]]] = [
            (40, self.open_position),
            (20, self.close_position),
            (6, self.cancel_order),
            (1, self.open_market),
            (1, self.freeze),
            (2, self.unfreeze),
            (1, self.settle),
            (4, self.decay),
            (6, self.expire_due),
            (2, self.move_tokens),
        ]
        self.weights = [weight for weight, _ in makers]
        self.makers = [maker for _, maker in makers]

    @property
    def engine(self) -> Any:
        return self.sealer.engine

    def do(self, actor: str, command: Command) -> None:
        """Stamp and apply a command, some time after the one before."""
        self.at_us += self.rng.choice((0, 1, 7, 1_000_003, MINUTE_US, 20 * MINUTE_US))
        self.sealer.apply(Entry(len(self.sealer.rows) + 1, self.at_us, actor, command))

    def go_on(self, commands: int) -> None:
        """Do some more."""
        for _ in range(commands):
            if len(self.live()) < 2:
                self.open_market()
            self.rng.choices(self.makers, self.weights)[0]()

    # --- choices -----------------------------------------------------------------------------------------------

    def live(self) -> list[str]:
        """Markets that may still trade."""
        markets = self.engine.state.capital.markets
        return [name for name, market in markets.items() if market.phase.status != "settled"]

    def artifact(self) -> str:
        return self.rng.choice([*self.live()] * 5 + [*self.engine.state.capital.markets, "unknown"])

    def ending(self) -> dict[str, Any]:
        """How long an order lives, and at what price."""
        rng = self.rng
        limit = rng.choice((None, rng.randint(PRICE_MICROS_MIN, PRICE_MICROS_MAX), rng.randint(300_000, 700_000)))
        kind = rng.choice(("ioc", "fok", "gtd", "gtd", "gtd"))
        until = self.at_us + rng.choice((1, 40 * MINUTE_US, 2 * DAY_US, 20 * DAY_US))
        return {
            "limit_price_micros": limit,
            "time_in_force": kind,
            "expires_at_us": until + 60 * MINUTE_US if kind == "gtd" else None,
        }

    # --- one maker for each command ----------------------------------------------------------------------------

    def open_market(self) -> None:
        rng, name = self.rng, ARTIFACTS[self.opened % len(ARTIFACTS)] + "v" * (self.opened // len(ARTIFACTS))
        self.opened += 1
        rules = capital.OpenArtifactMarket(
            name,
            rng.choice((1, 10, 70, 500)),
            self.at_us + rng.choice((1, 12, 60)) * DAY_US,
            exit_fee_ppm=rng.choice((0, 50_000, 50_000, 333_333)),
            exposure_limit_ppm=rng.choice((500_000, 1_000_000)),
            decay_ppm=rng.choice((0, 10_000_000)),
            decay_floor_ppm=rng.choice((0, 250_000)),
            dispute_window_us=rng.choice((0, 0, 90 * MINUTE_US)),
            arbiter_id=rng.choice(("", "", "", "trader4")),
        )
        self.do(OPERATOR, rules)

    def open_position(self) -> None:
        account_id = self.rng.choice(ACCOUNTS)
        amount = self.rng.choice((1, 1, 2, 3, 7, 30))
        side = self.rng.choice(("long", "short"))
        self.do(account_id, capital.OpenPosition(self.artifact(), account_id, side, amount, **self.ending()))

    def close_position(self) -> None:
        positions = list(self.engine.state.capital.positions.values())
        if not positions:
            return
        position = self.rng.choice(positions)
        whole = position.microshares
        some = self.rng.choice((None, whole, self.rng.randint(1, whole), max(1, whole // 2)))
        self.do(position.account_id, capital.ClosePosition(position.position_id, some, **self.ending()))

    def cancel_order(self) -> None:
        orders = list(self.engine.state.capital.orders.values())
        if orders:
            order = self.rng.choice(orders)
            self.do(order.account_id, capital.CancelOrder(order.order_id))

    def freeze(self) -> None:
        wait = self.rng.choice((30 * MINUTE_US, 30 * MINUTE_US, 90 * MINUTE_US, FREEZE_US_MAX))
        self.do(OPERATOR, capital.FreezeArtifact(self.artifact(), self.at_us + wait))

    def unfreeze(self) -> None:
        self.do(OPERATOR, capital.UnfreezeArtifact(self.artifact()))

    def settle(self) -> None:
        settled_as, prices = self.rng.choice(
            [
                ("validated", (None, 700_000, 812_345)),
                ("flagged", (None, 123_457)),
                ("deprecated", (None, 99_999)),
                ("void", (None,)),
            ]
        )
        self.do(OPERATOR, capital.SettleArtifact(self.artifact(), settled_as, self.rng.choice(prices)))  # type: ignore[arg-type]

    def decay(self) -> None:
        self.do(OPERATOR, capital.DecaySubsidy(self.artifact()))

    def expire_due(self) -> None:
        self.do(OPERATOR, ExpireDue())

    def move_tokens(self) -> None:
        account_id = self.rng.choice(ACCOUNTS)
        if self.rng.random() < 0.5:
            self.do(ADMIN, Mint(account_id, 20, "grant:weekly"))
        else:
            self.do(ADMIN, Burn(account_id, 5, "fee"))


def continued(before: Story | None) -> Sealer:
    """A sealer that goes on after a history."""
    sealer = Sealer()
    if before is not None:
        sealer.engine, sealer.rows = before.engine, before.rows
    return sealer


def capital_story(seed: int, rows: int, before: Story | None = None) -> Story:
    """Decide a random history up to row `rows`, `before` it another."""
    story = CapitalStory(seed, continued(before))
    while len(story.sealer.rows) < rows:
        story.go_on(1)
    return Story(story.sealer.rows, story.sealer.engine)


def announced_story(seed: int, rows: int, before: Story | None = None) -> Story:
    """The same, and two more rows, after which a settlement is announced and not carried out."""
    story = CapitalStory(seed, continued(before))
    while len(story.sealer.rows) < rows:
        story.go_on(1)
    story.do(OPERATOR, capital.OpenArtifactMarket("last", 1, story.at_us + DAY_US, dispute_window_us=DAY_US))
    story.do(OPERATOR, capital.SettleArtifact("last", "flagged"))
    return Story(story.sealer.rows, story.sealer.engine)
