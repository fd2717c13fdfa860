"""What an artifact was worth, and who is paid (STL), naively; and what the sweep does for artifact markets (SET-6)."""

from collections.abc import Iterator

from callmarket.engine import limits as shard_limits
from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import SUBSIDY_POOL, SettleArtifact
from callmarket.engine.capital.events import (
    ArtifactMarketClosed,
    ArtifactSettled,
    PositionsPaid,
    SettlementAnnounced,
)
from callmarket.engine.reject import Reject
from tests.support.naive.capital.ends import end_orders
from tests.support.naive.capital.markets import refuse_judge, unfreeze
from tests.support.naive.capital.purses import SETTLE, move_tokens
from tests.support.naive.capital.state import ArtifactMarket, Order, Position
from tests.support.naive.shard import Shard

# STL-2: what a long share is worth where no price is named.
WORTH = {"validated": limits.MICRO, "flagged": limits.MICRO // 4, "deprecated": 0, "void": None}


def is_in_range(settled_as: str, price: int) -> bool:
    """STL-2: which prices may be named."""
    if settled_as == "validated":
        return price >= 700_000
    if settled_as == "flagged":
        return price < 300_000
    return settled_as == "deprecated" and price < 100_000


def refuse_settle_artifact(shard: Shard, command: SettleArtifact, actor: str) -> Iterator[Reject]:
    """STL-1, STL-2."""
    yield from refuse_judge(shard, command.artifact_id, actor)
    if command.price_micros is not None and not is_in_range(command.settled_as, command.price_micros):
        yield Reject.SETTLE_PRICE_RANGE


def settle_artifact(shard: Shard, command: SettleArtifact) -> None:
    """STL-2 to STL-4; or announced, where there is a dispute window (STL-9)."""
    artifact = command.artifact_id
    market = shard.capital.markets[artifact]
    market.settled_as = command.settled_as
    market.settled_price = WORTH[command.settled_as] if command.price_micros is None else command.price_micros
    window = market.rules.dispute_window_us
    if window:
        shard.capital.read_average(artifact, shard.now)
        market.status, market.until = "announced", shard.now + window
        shard.say(SettlementAnnounced(artifact, command.settled_as, market.settled_price, market.until))
        return
    settle(shard, artifact)
    pay_out(shard, artifact, shard_limits.SWEEP_ITEMS_MAX)
    move_tokens(shard, SETTLE)


def settle(shard: Shard, artifact: str) -> None:
    """STL-1: decided for ever."""
    capital = shard.capital
    market = capital.markets[artifact]
    positions, orders = capital.positions_of(artifact), capital.orders_of(artifact)
    market.status = "settled"
    capital.settlements_ever += 1
    market.settled_place = capital.settlements_ever
    market.settled_money = market.pool + market.fees
    market.settled_costs = sum(position.cost for position in positions)
    shard.say(
        ArtifactSettled(
            artifact_id=artifact,
            settled_as=market.settled_as,  # type: ignore[arg-type]  # one of the words
            price_micros=market.settled_price,
            pool_microtokens=market.pool,
            fees_microtokens=market.fees,
            cost_microtokens=market.settled_costs,
            positions=len(positions),
            orders=len(orders),
        )
    )


def payout(market: ArtifactMarket, position: Position) -> int:
    """STL-3, STL-6."""
    if market.settled_price is None:
        if market.settled_money >= market.settled_costs:
            return position.cost
        return position.cost * market.settled_money // market.settled_costs
    worth = market.settled_price if position.side == "long" else limits.MICRO - market.settled_price
    return position.shares * worth // limits.MICRO


def pay_out(shard: Shard, artifact: str, room: int) -> tuple[int, int]:
    """STL-4: orders, then positions, as far as there is room. Return how many of each."""
    capital = shard.capital
    market = capital.markets[artifact]
    orders = capital.orders_of(artifact)[:room]
    positions = capital.positions_of(artifact)[: room - len(orders)]
    end_orders(shard, "settled", orders)
    if positions:
        pay_positions(shard, market, positions)
    if not capital.orders_of(artifact) and not capital.positions_of(artifact):
        market.closed = True
        remainder = market.pool + market.fees
        market.pool = market.fees = 0
        shard.say(ArtifactMarketClosed(artifact, remainder))
        capital.pay(SUBSIDY_POOL, artifact, remainder)
    return len(orders), len(positions)


def pay_positions(shard: Shard, market: ArtifactMarket, positions: list[Position]) -> None:
    """STL-3, STL-6: these positions end."""
    artifact = market.rules.artifact_id
    columns = []
    for position in positions:
        paid = payout(market, position)
        market.pool -= paid
        del shard.capital.positions[position.position_id]
        shard.capital.pay(position.account, artifact, paid)
        columns.append((position.position_id, position.account, paid, paid - position.cost))
    shard.say(PositionsPaid(artifact, market.settled_as, market.settled_price, *zip(*columns, strict=True)))


def orders_due(shard: Shard) -> list[Order]:
    """Return the resting orders past their deadline, in the order of deadline and id; a settlement ends its own."""
    capital = shard.capital
    live = [order for order in capital.orders.values() if capital.markets[order.artifact].status != "settled"]
    due = [order for order in live if order.expires_at <= shard.now]
    return sorted(due, key=lambda order: (order.expires_at, order.order_id))


def markets_due(shard: Shard) -> list[str]:
    """Return the artifacts whose market is to be opened again or settled, in the order of time and id."""
    markets = shard.capital.markets.items()
    due = [(market.due_at, artifact) for artifact, market in markets if market.status != "settled"]
    return [artifact for due_at, artifact in sorted(due) if due_at <= shard.now]


def markets_unpaid(shard: Shard) -> list[str]:
    """Return the artifacts that are settled and not yet paid, in the order of settlement."""
    markets = shard.capital.markets.items()
    unpaid = [(one.settled_place, artifact) for artifact, one in markets if one.status == "settled" and not one.closed]
    return [artifact for _, artifact in sorted(unpaid)]


def is_due(shard: Shard) -> bool:
    """Whether a sweep would find something to do in artifact markets."""
    return bool(orders_due(shard) or markets_due(shard) or markets_unpaid(shard))


def sweep(shard: Shard, room: int) -> tuple[int, int]:
    """SET-6: the first kind that is due. Return how many orders ended and how many positions were paid."""
    orders = positions = 0
    if unpaid := markets_unpaid(shard):
        for artifact in unpaid:
            if room > 0:
                ended, paid = pay_out(shard, artifact, room)
                orders, positions, room = orders + ended, positions + paid, room - ended - paid
    elif expired := orders_due(shard)[: max(room, 0)]:
        end_orders(shard, "expired", expired)
        orders = len(expired)
    else:
        for artifact in markets_due(shard):
            if room > 0:
                ended, paid = open_or_settle(shard, artifact, room - 1)
                orders, positions, room = orders + ended, positions + paid, room - 1 - ended - paid
    return orders, positions


def open_or_settle(shard: Shard, artifact: str, room: int) -> tuple[int, int]:
    """STL-5, STL-7, STL-9: what is due of a market."""
    market = shard.capital.markets[artifact]
    if market.status == "frozen":
        unfreeze(shard, artifact)
        return 0, 0
    if market.status == "open":
        market.settled_as = "listed"
        market.settled_price = shard.capital.read_average(artifact, shard.now)
    settle(shard, artifact)
    return pay_out(shard, artifact, room)


def finish_sweep(shard: Shard) -> None:
    """CAP-3: what a sweep did in artifact markets moves tokens at its end."""
    move_tokens(shard, SETTLE)
