"""What an order would do now, by the very decision of the engine: the quote is the trade.

Rule of this file: it lets the engine decide the command that would be sent, and changes nothing by what was decided. A
quote is no promise: until the order comes, others may trade.
"""

from copy import copy
from datetime import datetime

from msgspec import Struct, structs

from callmarket.bridge.api.capital.receipts import Fill, Resting, trade_of
from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.contract.results import Refusal, refusal_of
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital.commands import ClosePosition, OpenPosition, Side
from callmarket.engine.capital.events import Effect, OrderRested, SharesTraded
from callmarket.engine.capital.limits import MICRO, PPM, PRICE_MICROS_MIN
from callmarket.engine.capital.maker import Maker
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.capital.route import Route
from callmarket.engine.commands import Entry
from callmarket.engine.decide.capital import decide_capital
from callmarket.engine.decide.capital.trades import fee_of
from callmarket.engine.events import Events, Rejected
from callmarket.engine.ids import OrderId
from callmarket.engine.state import State


class ArtifactQuote(Struct, frozen=True):
    """What an order would do at `at`, if nothing came before it; or its `refusal`, and then nothing else is filled in.

    `tokens` is what the `shares` would cost or, before `fee_tokens`, bring; `average_price` is that of a share of
    `side`; `price_before` and `price_after` are those of a long share. `resting` would rest, and `returned_tokens`
    would not be used. `payout_if_right_tokens` is what the shares pay if their side is worth 1. Of an order that opens:
    `exit_value_tokens` is what one order would get for all of them right after, less the exit fee;
    `break_even_price` is the price of the side at which selling gets back their cost after the fee, without moving the
    price, None if there is no such price; and a settlement at `average_price` or more gets it back. `exposure_after` is
    what would be committed to the artifact, as a part of the account's wealth (POS-5).
    """

    artifact_id: str
    account_id: str
    side: Side
    effect: Effect
    at: datetime
    refusal: Refusal | None
    shares: float
    tokens: float
    average_price: float | None
    fee_tokens: float
    realised_tokens: float
    returned_tokens: float
    price_before: float
    price_after: float
    fills: tuple[Fill, ...]
    resting: Resting | None
    payout_if_right_tokens: float
    exit_value_tokens: float | None
    break_even_price: float | None
    exposure_after: float | None
    seq: int
    durable_seq: int


def now_of(moment: Moment) -> int:
    """The time that a command would have, which is not before that of the latest one."""
    return max(moment.state.at_us, moment.now_us)


def trades(market: ArtifactMarket, now_us: int) -> bool:
    """Whether orders are taken (STL-1, STL-5)."""
    return market.phase.status == "open" and now_us < market.rules.closes_at_us


def quote_of_open(moment: Moment, market: ArtifactMarket, command: OpenPosition) -> ArtifactQuote:
    """The quote of an order to open a position. About 50 us, and 20 us for each resting order that it meets."""
    events = _decided(moment, command, command.account_id)
    quote = _quote(moment, market, events, command.account_id, command.side, "open", command.amount_tokens)
    traded = next((event for event in events if isinstance(event, SharesTraded)), None)
    if traded is None:
        return quote
    value = exit_microtokens(_after(market, traded), _bought(traded), now_of(moment))
    return _with(quote, exit_value_tokens=number_of(value), break_even_price=_break_even(market, traded))


def quote_of_close(moment: Moment, market: ArtifactMarket, position: Position, command: ClosePosition) -> ArtifactQuote:
    """The quote of an order to close a position, or a part of it. Costs the same."""
    events = _decided(moment, command, position.account_id)
    return _quote(moment, market, events, position.account_id, position.side, "close", 0, position)


def exit_microtokens(market: ArtifactMarket, position: Position, now_us: int) -> int:
    """What one order would get now for all shares of a position, after the exit fee. As if none were reserved."""
    order = Order(
        order_id=OrderId(0),
        artifact_id=position.artifact_id,
        account_id=position.account_id,
        position_id=position.position_id,
        side=position.side,
        effect="close",
        limit_price_micros=PRICE_MICROS_MIN,
        left=position.microshares,
        expires_at_us=0,
    )
    microtokens = Route(market, order, now_us).microtokens
    return microtokens - fee_of(market, microtokens)


def exposure_of(state: State, market: ArtifactMarket, account_id: str, more_microtokens: int = 0) -> float | None:
    """What an account has committed to an artifact and would commit more, as a part of its wealth (POS-5)."""
    wealth = state.capital.wealth_microtokens(state.ledger.accounts[account_id])
    if not wealth:
        return None
    return number_of((market.committed.get(account_id, 0) + more_microtokens) * PPM // wealth)


def _decided(moment: Moment, command: OpenPosition | ClosePosition, account_id: str) -> Events:
    state = moment.state
    return decide_capital(state, Entry(state.seq + 1, now_of(moment), account_id, command), command)


def _quote(
    moment: Moment,
    market: ArtifactMarket,
    events: Events,
    account_id: str,
    side: Side,
    effect: Effect,
    amount_tokens: int,
    position: Position | None = None,
) -> ArtifactQuote:
    price = number_of(market.maker.price_micros)
    quote = ArtifactQuote(
        artifact_id=market.rules.artifact_id,
        account_id=account_id,
        side=side,
        effect=effect,
        at=datetime_of(now_of(moment)),
        refusal=None,
        shares=0.0,
        tokens=0.0,
        average_price=None,
        fee_tokens=0.0,
        realised_tokens=0.0,
        returned_tokens=0.0,
        price_before=price,
        price_after=price,
        fills=(),
        resting=None,
        payout_if_right_tokens=0.0,
        exit_value_tokens=None,
        break_even_price=None,
        exposure_after=None,
        seq=moment.state.seq,
        durable_seq=moment.durable_seq,
    )
    first = events[0]
    if isinstance(first, Rejected):
        return _with(quote, refusal=refusal_of(first))
    trade = trade_of(events, amount_tokens)
    more = sum(_committed_by(event, position) for event in events)
    return _with(
        quote,
        shares=trade.shares,
        tokens=trade.tokens,
        average_price=trade.average_price,
        fee_tokens=trade.fee_tokens,
        realised_tokens=trade.realised_tokens,
        returned_tokens=trade.returned_tokens,
        price_after=trade.market.price_after if trade.market else price,
        fills=trade.fills,
        resting=trade.resting,
        payout_if_right_tokens=trade.shares,
        exposure_after=exposure_of(moment.state, market, account_id, more),
    )


def _with(quote: ArtifactQuote, **changes: object) -> ArtifactQuote:
    return structs.replace(quote, **changes)


def _committed_by(event: object, position: Position | None) -> int:
    """What an event of an order commits more to the artifact (POS-5); below 0 for what a close frees."""
    match event:
        case SharesTraded(effect="open"):
            return sum(event.microtokens)
        case SharesTraded():
            assert position is not None, event
            return -position.cost_of(sum(event.microshares))
        case OrderRested(effect="open"):
            return event.left
        case _:
            return 0


def _bought(traded: SharesTraded) -> Position:
    shares, cost = sum(traded.microshares), sum(traded.microtokens)
    return Position(traded.position_id, traded.artifact_id, traded.account_id, traded.side, shares, cost, 0)


def _after(market: ArtifactMarket, traded: SharesTraded) -> ArtifactMarket:
    """The market as the order leaves it, for one that goes the other way: the orders which that meets are the same."""
    after, maker = copy(market), market.maker
    after.maker = Maker(
        maker.subsidy_microtokens,
        traded.long_microshares,
        traded.short_microshares,
        maker.long_offset_microshares,
        maker.short_offset_microshares,
        traded.pool_microtokens,
        traded.price_after_micros,
    )
    return after


def _break_even(market: ArtifactMarket, traded: SharesTraded) -> float | None:
    shares, cost, kept = sum(traded.microshares), sum(traded.microtokens), PPM - market.rules.exit_fee_ppm
    if not kept:
        return None
    price = -(-cost * MICRO * PPM // (shares * kept))
    return number_of(price) if price <= MICRO else None
