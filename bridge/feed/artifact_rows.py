"""The messages of what happened in artifact markets.

Rule of this file: that of `rows`, which leads here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

from callmarket.bridge.api.capital.receipts import fills_of, left_of, market_after
from callmarket.bridge.api.units import datetime_of, duration_of, number_of
from callmarket.bridge.feed.artifact_messages import (
    ArtifactAnnouncedMessage,
    ArtifactDecayedMessage,
    ArtifactEndedMessage,
    ArtifactFrozenMessage,
    ArtifactMatchedMessage,
    ArtifactMessage,
    ArtifactOpenedMessage,
    ArtifactOrderMessage,
    ArtifactSettledMessage,
    ArtifactTradedMessage,
    ArtifactUnfrozenMessage,
    EndedOrder,
)
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


def artifact_messages_of(seq: int, at: datetime, event: CapitalEvent) -> Iterator[ArtifactMessage]:
    """The messages of one event; of orders that ended together, one for each artifact."""
    match event:
        case SharesTraded():
            yield _traded(seq, at, event)
        case OrderRested():
            yield _rested(seq, at, event)
        case OrderMatched():
            yield _matched(seq, at, event)
        case OrdersEnded():
            yield from _ended(seq, at, event)
        case PursesSet() | PositionsPaid() | ArtifactMarketClosed():
            return
        case _:
            yield _of_life(seq, at, event)


def _of_life(
    seq: int,
    at: datetime,
    event: ArtifactMarketOpened
    | ArtifactFrozen
    | ArtifactUnfrozen
    | SettlementAnnounced
    | ArtifactSettled
    | SubsidyDecayed,
) -> ArtifactMessage:
    match event:
        case ArtifactMarketOpened():
            return _opened(seq, at, event)
        case ArtifactFrozen():
            average = number_of(event.average_price_micros)
            return ArtifactFrozenMessage(seq, at, event.artifact_id, datetime_of(event.until_us), average)
        case ArtifactUnfrozen():
            return ArtifactUnfrozenMessage(seq, at, event.artifact_id)
        case SettlementAnnounced():
            due_at, price = datetime_of(event.due_us), _price(event.price_micros)
            return ArtifactAnnouncedMessage(seq, at, event.artifact_id, event.settled_as, price, due_at)
        case ArtifactSettled():
            return ArtifactSettledMessage(
                seq,
                at,
                event.artifact_id,
                event.settled_as,
                _price(event.price_micros),
                number_of(event.pool_microtokens),
                number_of(event.fees_microtokens),
                event.positions,
                event.orders,
            )
        case SubsidyDecayed():
            return ArtifactDecayedMessage(
                seq,
                at,
                event.artifact_id,
                number_of(event.subsidy_microtokens),
                number_of(event.pool_microtokens),
                number_of(event.returned_microtokens),
            )
        case _ as never:
            assert_never(never)


def _opened(seq: int, at: datetime, event: ArtifactMarketOpened) -> ArtifactOpenedMessage:
    return ArtifactOpenedMessage(
        seq,
        at,
        event.artifact_id,
        event.subsidy_tokens,
        datetime_of(event.closes_at_us),
        number_of(event.exit_fee_ppm),
        number_of(event.exposure_limit_ppm),
        number_of(event.decay_ppm),
        number_of(event.decay_floor_ppm),
        duration_of(event.dispute_window_us),
        event.arbiter_id or None,
    )


def _traded(seq: int, at: datetime, event: SharesTraded) -> ArtifactTradedMessage:
    return ArtifactTradedMessage(
        seq,
        at,
        event.artifact_id,
        event.order_id,
        event.account_id,
        event.position_id,
        event.side,
        event.effect,
        number_of(sum(event.microshares)),
        number_of(sum(event.microtokens)),
        fills_of(event),
        market_after(event),
    )


def _rested(seq: int, at: datetime, event: OrderRested) -> ArtifactOrderMessage:
    tokens, shares = left_of(event)
    return ArtifactOrderMessage(
        seq,
        at,
        event.artifact_id,
        event.order_id,
        event.account_id,
        event.position_id,
        event.side,
        event.effect,
        number_of(event.limit_price_micros),
        tokens,
        shares,
        datetime_of(event.expires_at_us),
    )


def _matched(seq: int, at: datetime, event: OrderMatched) -> ArtifactMatchedMessage:
    tokens, shares = left_of(event)
    return ArtifactMatchedMessage(
        seq,
        at,
        event.artifact_id,
        event.order_id,
        event.account_id,
        event.position_id,
        event.side,
        event.effect,
        number_of(event.microshares),
        tokens,
        shares,
    )


def _ended(seq: int, at: datetime, event: OrdersEnded) -> Iterator[ArtifactEndedMessage]:
    by_artifact: dict[str, list[EndedOrder]] = {}
    for order_id, artifact_id, account_id in zip(event.order_ids, event.artifact_ids, event.account_ids, strict=True):
        by_artifact.setdefault(artifact_id, []).append(EndedOrder(order_id, account_id))
    for artifact_id, orders in by_artifact.items():
        yield ArtifactEndedMessage(seq, at, artifact_id, event.reason, tuple(orders))


def _price(price_micros: int | None) -> float | None:
    return None if price_micros is None else number_of(price_micros)
