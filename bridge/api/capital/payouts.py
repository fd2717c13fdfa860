"""What a settlement would pay, before anybody decides it.

Rule of this file: the engine says what the settlement is, and pays by it; this adds up and changes nothing.
"""

from datetime import datetime
from itertools import islice

from msgspec import Struct

from callmarket.bridge.api.capital.quoting import now_of
from callmarket.bridge.api.contract.pages import cursor
from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.contract.results import Refusal, refusal_of
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital import market as markets
from callmarket.engine.capital.commands import SettleArtifact, SettledAs, Side
from callmarket.engine.capital.events import ArtifactSettled, SettlementAnnounced
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.positions import Position
from callmarket.engine.commands import OPERATOR, Entry
from callmarket.engine.decide.capital import decide_capital
from callmarket.engine.events import Rejected
from callmarket.engine.ids import PositionId


class Payout(Struct, frozen=True):
    """What one position would be paid, and what it would have earned."""

    position_id: PositionId
    account_id: str
    side: Side
    shares: float
    cost_tokens: float
    payout_tokens: float
    realised_tokens: float


class SettlementPreview(Struct, frozen=True):
    """What a settlement would do if it came now, or its `refusal`; then nothing else is filled in.

    `price` is what a long share would be worth; None of a void market. It would be announced until `due_at`, where the
    market has a dispute window. All `positions` would be paid `paid_tokens` together, and `remainder_tokens` of pool
    and fees would go to the subsidy pool; `orders` would end. `payouts` is a page of them: hand `next` back as `after`.
    """

    artifact_id: str
    settled_as: SettledAs
    at: datetime
    refusal: Refusal | None
    price: float | None
    due_at: datetime | None
    positions: int
    orders: int
    cost_tokens: float
    paid_tokens: float
    remainder_tokens: float
    payouts: tuple[Payout, ...]
    next: str | None
    seq: int
    durable_seq: int


def preview_of(
    moment: Moment, market: ArtifactMarket, command: SettleArtifact, limit: int, last_id: int
) -> SettlementPreview:
    """The totals, and the first payouts after this position. O(positions): 0.5 us each."""
    state, now_us = moment.state, now_of(moment)
    first = decide_capital(state, Entry(state.seq + 1, now_us, OPERATOR, command), command)[0]
    refusal = refusal_of(first) if isinstance(first, Rejected) else None
    price, due_us = None, None
    if isinstance(first, ArtifactSettled | SettlementAnnounced):
        price = first.price_micros
        due_us = first.due_us if isinstance(first, SettlementAnnounced) else None
    payout = markets.Payout(price, market.funds_microtokens, market.cost_microtokens)
    found: list[Position] = []
    paid = 0
    if refusal is None:
        paid = sum(map(payout.microtokens, market.positions.values()))
        ids = islice(market.positions.irange(PositionId(last_id + 1)), limit + 1)
        found = [market.positions[position_id] for position_id in ids]
    page = tuple(_told(position, payout.microtokens(position)) for position in found[:limit])
    return SettlementPreview(
        artifact_id=market.rules.artifact_id,
        settled_as=command.settled_as,
        at=datetime_of(now_us),
        refusal=refusal,
        price=None if price is None else number_of(price),
        due_at=None if due_us is None else datetime_of(due_us),
        positions=len(market.positions) if refusal is None else 0,
        orders=len(market.orders) if refusal is None else 0,
        cost_tokens=number_of(market.cost_microtokens) if refusal is None else 0.0,
        paid_tokens=number_of(paid),
        remainder_tokens=number_of(market.funds_microtokens - paid) if refusal is None else 0.0,
        payouts=page,
        next=cursor("payouts", page[-1].position_id) if len(found) > limit else None,
        seq=state.seq,
        durable_seq=moment.durable_seq,
    )


def _told(position: Position, microtokens: int) -> Payout:
    return Payout(
        position_id=position.position_id,
        account_id=position.account_id,
        side=position.side,
        shares=number_of(position.microshares),
        cost_tokens=number_of(position.cost_microtokens),
        payout_tokens=number_of(microtokens),
        realised_tokens=number_of(microtokens - position.cost_microtokens),
    )
