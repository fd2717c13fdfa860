"""The rows of artifact markets, folded for `projections`: markets, their states, and purses.

Rule of this file: pure, as `projections` is. Positions, orders and trades are in `trading_rows`; what an order holds of
a wallet is told to `hold`, for the account's own row.
"""

from collections.abc import Callable
from typing import Final, assert_never

from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketClosed,
    ArtifactMarketOpened,
    ArtifactSettled,
    ArtifactUnfrozen,
    CapitalEvent,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    PursesSet,
    SettlementAnnounced,
    SharesTraded,
    SubsidyDecayed,
)
from callmarket.engine.capital.limits import MICRO
from callmarket.persistence.tables.capital_shapes import (
    ArtifactMarketChange,
    ArtifactMarketRow,
    ArtifactStateRow,
    PurseRow,
)
from callmarket.persistence.tables.table import POSTGRES_EPOCH_US
from callmarket.persistence.tables.trading_rows import TradingRows


class CapitalRows:
    """What some journal rows do to the tables of artifact markets."""

    __slots__ = ("_at", "_hold", "_seq", "changed", "new", "purses", "states", "trading")

    def __init__(self, hold: Callable[[str, int], None]) -> None:
        """Begin with nothing changed. `hold` adds to the tokens that an account holds."""
        self.new: Final[dict[str, ArtifactMarketRow]] = {}
        self.changed: Final[dict[str, ArtifactMarketChange]] = {}
        # By artifact and journal row: if one row leads through two states, the last counts.
        self.states: Final[dict[tuple[str, int], ArtifactStateRow]] = {}
        self.purses: Final[dict[str, PurseRow]] = {}
        self.trading: Final = TradingRows()
        self._hold: Final = hold
        self._at = self._seq = 0

    def add(self, event: CapitalEvent, at: int, seq: int) -> None:  # noqa: C901 -- one flat, exhaustive dispatch
        """Fold in an event. Times are PostgreSQL's, as in `tables`. O(1), or O(what the event lists)."""
        self._at, self._seq = at, seq
        match event:
            case SharesTraded():
                self._trade(event)
            case OrderMatched():
                self._match(event)
            case OrderRested():
                self._rest(event)
            case OrdersEnded():
                self._end_orders(event)
            case PursesSet():
                for account_id, micros in zip(event.account_ids, event.microtokens, strict=True):
                    self.purses[account_id] = PurseRow(account_id, micros, at, seq)
            case ArtifactMarketOpened():
                self._open(event)
            case ArtifactFrozen():
                self._freeze(event)
            case ArtifactUnfrozen():
                self._enter_status(event.artifact_id, "open", None).averaged_at = at
                self._enter_state(event.artifact_id, "listed")
            case SettlementAnnounced():
                self._announce(event)
            case ArtifactSettled():
                self._settle(event)
            case PositionsPaid():
                self.trading.pay(event, at, seq)
                market = self._market(event.artifact_id)
                market.paid_micros += sum(event.microtokens)
                market.positions_open -= len(event.position_ids)
            case ArtifactMarketClosed():
                market = self._market(event.artifact_id)
                market.closed_at = at
                market.remainder_micros += event.remainder_microtokens
            case SubsidyDecayed():
                self._decay(event)
            case _ as never:
                assert_never(never)

    # --- markets -----------------------------------------------------------------------------------------------

    def _market(self, artifact_id: str) -> ArtifactMarketRow | ArtifactMarketChange:
        market = self.new.get(artifact_id) or self.changed.get(artifact_id)
        if market is None:
            market = self.changed[artifact_id] = ArtifactMarketChange(artifact_id)
        market.seq = self._seq
        return market

    def _open(self, event: ArtifactMarketOpened) -> None:
        at, subsidy_micros = self._at, event.subsidy_tokens * MICRO
        self.new[event.artifact_id] = ArtifactMarketRow(
            artifact_id=event.artifact_id,
            subsidy_tokens=event.subsidy_tokens,
            closes_at=event.closes_at_us - POSTGRES_EPOCH_US,
            exit_fee_ppm=event.exit_fee_ppm,
            exposure_limit_ppm=event.exposure_limit_ppm,
            decay_ppm=event.decay_ppm,
            decay_floor_ppm=event.decay_floor_ppm,
            dispute_window_us=event.dispute_window_us,
            arbiter_id=event.arbiter_id,
            opened_at=at,
            status="open",
            status_at=at,
            due_at=None,
            announced_as=None,
            announced_price_micros=None,
            settled_as=None,
            settle_price_micros=None,
            settled_at=None,
            closed_at=None,
            price_micros=MICRO // 2,
            average_price_micros=MICRO // 2,
            averaged_at=at,
            subsidy_micros=subsidy_micros,
            long_micros=0,
            short_micros=0,
            long_offset_micros=0,
            short_offset_micros=0,
            pool_micros=subsidy_micros,
            fees_micros=0,
            returned_micros=0,
            paid_micros=0,
            remainder_micros=0,
            positions_open=0,
            orders_open=0,
            trades=0,
            volume_micros=0,
            seq=self._seq,
        )
        self._enter_state(event.artifact_id, "listed", average_price_micros=MICRO // 2)

    def _enter_status(
        self, artifact_id: str, status: str, due_at: int | None
    ) -> ArtifactMarketRow | ArtifactMarketChange:
        """Begin a status: what belonged to the one before is gone."""
        market = self._market(artifact_id)
        market.status = status
        market.status_at = self._at
        market.due_at = due_at
        market.announced_as = None
        market.announced_price_micros = None
        return market

    def _enter_state(
        self,
        artifact_id: str,
        state: str,
        *,
        announced_as: str | None = None,
        price_micros: int | None = None,
        average_price_micros: int | None = None,
        until_at: int | None = None,
    ) -> None:
        seq = self._seq
        self.states[artifact_id, seq] = ArtifactStateRow(
            artifact_id, seq, state, announced_as, price_micros, average_price_micros, until_at, self._at, seq
        )

    def _freeze(self, event: ArtifactFrozen) -> None:
        until_at, average = event.until_us - POSTGRES_EPOCH_US, event.average_price_micros
        market = self._enter_status(event.artifact_id, "frozen", until_at)
        market.average_price_micros = average
        market.averaged_at = self._at
        self._enter_state(event.artifact_id, "challenged", average_price_micros=average, until_at=until_at)

    def _announce(self, event: SettlementAnnounced) -> None:
        due_at, price_micros = event.due_us - POSTGRES_EPOCH_US, event.price_micros
        market = self._enter_status(event.artifact_id, "announced", due_at)
        market.announced_as = event.settled_as
        market.announced_price_micros = price_micros
        self._enter_state(
            event.artifact_id,
            "announced",
            announced_as=event.settled_as,
            price_micros=price_micros,
            until_at=due_at,
        )

    def _settle(self, event: ArtifactSettled) -> None:
        market = self._enter_status(event.artifact_id, "settled", None)
        market.settled_as = event.settled_as
        market.settle_price_micros = event.price_micros
        market.settled_at = self._at
        market.pool_micros = event.pool_microtokens
        market.fees_micros = event.fees_microtokens
        self._enter_state(event.artifact_id, event.settled_as, price_micros=event.price_micros)

    def _decay(self, event: SubsidyDecayed) -> None:
        market = self._market(event.artifact_id)
        market.subsidy_micros = event.subsidy_microtokens
        market.long_offset_micros = event.long_offset_microshares
        market.short_offset_micros = event.short_offset_microshares
        market.pool_micros = event.pool_microtokens
        market.returned_micros += event.returned_microtokens

    # --- trading -----------------------------------------------------------------------------------------------

    def _trade(self, event: SharesTraded) -> None:
        volume_micros = self.trading.trade(event, self._at, self._seq)
        market = self._market(event.artifact_id)
        market.price_micros = event.price_after_micros
        market.average_price_micros = event.average_price_micros
        market.averaged_at = self._at
        market.subsidy_micros = event.subsidy_microtokens
        market.long_micros = event.long_microshares
        market.short_micros = event.short_microshares
        market.pool_micros = event.pool_microtokens
        market.fees_micros = event.fees_microtokens
        market.trades += 1
        market.volume_micros += volume_micros
        self._count_position(market, event, sum(event.microshares))

    def _match(self, event: OrderMatched) -> None:
        self.trading.match(event, self._at, self._seq)
        market = self._market(event.artifact_id)
        self._count_position(market, event, event.microshares)
        if not event.left:
            market.orders_open -= 1
        if event.effect == "open":
            before = event.left + event.microtokens + event.returned
            self._hold(event.account_id, event.left // MICRO - before // MICRO)

    def _count_position(
        self,
        market: ArtifactMarketRow | ArtifactMarketChange,
        event: SharesTraded | OrderMatched,
        microshares: int,
    ) -> None:
        if event.effect == "close":
            market.positions_open -= event.position_microshares == 0
        else:
            market.positions_open += event.position_microshares == microshares

    def _rest(self, event: OrderRested) -> None:
        self.trading.rest(event, self._at, self._seq)
        self._market(event.artifact_id).orders_open += 1
        if event.effect == "open":
            self._hold(event.account_id, event.left // MICRO)

    def _end_orders(self, event: OrdersEnded) -> None:
        self.trading.end_orders(event, self._at, self._seq)
        for artifact_id in event.artifact_ids:
            self._market(artifact_id).orders_open -= 1
        freed = zip(event.account_ids, event.effects, event.left, strict=True)
        for account_id, effect, left in freed:
            if effect == "open":
                self._hold(account_id, -(left // MICRO))
