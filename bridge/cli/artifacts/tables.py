"""Artifact markets as tables and lines for the terminal.

Rule of this file: that of `cli.tables`. Numbers are shown whole, to the millionth, as they are in the ledger.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from callmarket.bridge.api.capital.holdings import OpenOrder, OpenPosition
from callmarket.bridge.api.capital.payouts import SettlementPreview
from callmarket.bridge.api.capital.quoting import ArtifactQuote
from callmarket.bridge.api.capital.receipts import Fill, MarketAfter, Resting
from callmarket.bridge.api.contract.results import Refusal
from callmarket.bridge.api.http.meanings import meaning_of
from callmarket.bridge.api.operations.artifact_books import ArtifactBook, ArtifactMarketRow
from callmarket.bridge.api.operations.artifact_markets import (
    DecayedSubsidy,
    FrozenArtifact,
    OpenedArtifactMarket,
    SettledArtifact,
)
from callmarket.bridge.api.operations.artifact_trades import ArtifactTrade
from callmarket.bridge.api.operations.positions import CancelledOrder, Placed
from callmarket.bridge.api.units import decimal_text
from callmarket.bridge.cli.tables import table

Renderable = RenderableType


def markets(rows: Sequence[ArtifactMarketRow]) -> Renderable:
    """A table of artifact markets."""
    shown = table(
        "artifact markets", "artifact", "status", "#price", "#average", "#subsidy", "#trades", "#positions", "!ends"
    )
    for row in rows:
        status = row.status if row.settled_as is None else f"{row.status}: {row.settled_as}"
        counts = (row.trades, row.positions)
        numbers = (number(row.price), number(row.price_average), number(row.subsidy_tokens), *map(str, counts))
        shown.add_row(row.artifact_id, status, *numbers, _day(row.due_at))
    return shown


def book(found: ArtifactBook) -> Renderable:
    """One artifact market: its prices and rules, its orders, and its depth."""
    sides = (
        ("bids: orders that move the price up", found.bids),
        ("asks: orders that move the price down", found.asks),
    )
    shown: list[Renderable] = [*map(Text, _lines_of(found))]
    for title, levels in sides:
        if levels:
            resting = table(title, "#price", "#shares", "#tokens", "#orders")
            for level in levels:
                resting.add_row(number(level.price), number(level.shares), number(level.tokens), str(level.orders))
            shown += [Text(), resting]
    if found.depth:
        depth = table("what it takes to move the price", "#to", "buying", "#shares", "#tokens")
        for point in found.depth:
            depth.add_row(number(point.price), point.side, number(point.shares), number(point.tokens))
        shown += [Text(), depth]
    if not found.is_complete:
        shown.append(Text("there are more orders than are shown"))
    return Group(*shown)


def _lines_of(found: ArtifactBook) -> Iterable[str]:
    amm = found.amm
    yield f"{found.artifact_id}: {found.status}, a long share costs {number(found.price)} tokens, a short one " + (
        f"{number(1 - found.price)}; the average is {number(found.price_average)}"
    )
    if found.settled_as is not None:
        worth = "" if found.settle_price is None else f": a long share is worth {number(found.settle_price)}"
        yield f"  {'announced' if found.status == 'announced' else 'settled'} as {found.settled_as}{worth}"
    yield f"  the pool has {number(amm.pool_tokens)} tokens; it pays {number(amm.long_shares)} if long is worth 1, " + (
        f"{number(amm.short_shares)} if short is"
    )
    yield (
        f"  the maker has a subsidy of {number(amm.subsidy_tokens)} tokens (b {number(amm.b)}), of which it can lose "
        + (f"{number(amm.loss_bound_tokens)}")
    )
    yield (
        f"  a sale pays {found.exit_fee:.2%} of its proceeds; an account may commit {found.exposure_limit:.2%} of "
        + ("its wealth here")
    )
    judge = f", or its arbiter {found.arbiter_id}" if found.arbiter_id else ""
    yield f"  it ends on {_time(found.closes_at)} UTC unless it is settled before by staff{judge}"


def quote(found: ArtifactQuote) -> Renderable:
    """What an order would do, or why it would be refused."""
    if found.refusal is not None:
        return Text(refused(found.refusal))
    lines = [f"{_traded(found, 'would buy', 'would sell')}; the price of long would go {_move(found)}"]
    if found.effect == "open" and found.shares:
        lines.append(f"  pays {number(found.payout_if_right_tokens)} tokens if {found.side} proves right, else nothing")
        if found.exit_value_tokens is not None:
            even = found.break_even_price
            regained = "no price gets back" if even is None else f"a price of {number(even)} gets back"
            value = number(found.exit_value_tokens)
            lines.append(f"  selling at once would bring {value} after the exit fee; {regained} its cost")
    if found.effect == "close":
        lines.append(_earned(found.fee_tokens, found.realised_tokens))
    lines += _left(found.resting, found.returned_tokens)
    if found.exposure_after is not None:
        lines.append(f"  {found.exposure_after:.2%} of the account's wealth would be committed to {found.artifact_id}")
    return Group(*map(Text, lines), *_fills(found.fills))


def placed(done: Placed) -> Renderable:
    """The receipt of an order."""
    lines = [f"order {done.order_id}, row {done.stamp.seq}: {_traded(done, 'bought', 'sold')}"]
    if done.market is not None:
        lines[0] += f"; the price of long went {_move(done.market)}"
    if done.effect == "close":
        lines.append(_earned(done.fee_tokens, done.realised_tokens))
        lines.append(f"  position {done.position_id}: {number(done.position_shares)} shares are left")
    elif done.position_shares:
        lines.append(f"  position {done.position_id}: {number(done.position_shares)} shares of {done.side}")
    lines += _left(done.resting, done.returned_tokens)
    if done.self_traded:
        lines.append(f"  own orders that it met have ended: {', '.join(map(str, done.self_traded))}")
    if done.stamp.repeated:
        lines.append("  it was done before, under this --command-id, and not again")
    return Group(*map(Text, lines), *_fills(done.fills))


def trades(artifact_id: str, rows: Sequence[ArtifactTrade]) -> Renderable:
    """The trades of an artifact, newest first."""
    if not rows:
        return Text(f"nothing was traded in {artifact_id} yet")
    shown = table(
        f"{artifact_id}: latest trades",
        "!at",
        "account",
        "did",
        "#shares",
        "#tokens",
        "#price after",
        "#average before",
    )
    for row in rows:
        did = f"{'bought' if row.effect == 'open' else 'sold'} {row.side}"
        numbers = (row.shares, row.tokens, row.market.price_after, row.market.price_average)
        shown.add_row(_time(row.at), row.account_id, did, *map(number, numbers))
    return shown


def positions(account_id: str, rows: Sequence[OpenPosition]) -> Renderable:
    """The open positions of an account."""
    if not rows:
        return Text(f"{account_id} has no open positions")
    shown = table(
        f"{account_id}: open positions", "#id", "artifact", "side", "#shares", "#cost", "#price", "#exit value"
    )
    for row in rows:
        value = "-" if row.exit_value_tokens is None else number(row.exit_value_tokens)
        amounts = (number(row.shares), number(row.cost_tokens), number(row.price))
        shown.add_row(str(row.position_id), row.artifact_id, row.side, *amounts, value)
    return shown


def orders(account_id: str, rows: Sequence[OpenOrder]) -> Renderable:
    """The resting orders of an account."""
    if not rows:
        return Text(f"{account_id} has no resting orders")
    shown = table(f"{account_id}: resting orders", "#id", "artifact", "to", "#limit", "#left", "of", "!until")
    for row in rows:
        what = f"buy {row.side}" if row.effect == "open" else f"sell {row.side}"
        left = (number(row.tokens), "tokens") if row.effect == "open" else (number(row.shares), "shares")
        shown.add_row(str(row.order_id), row.artifact_id, what, number(row.limit_price), *left, _time(row.expires_at))
    return shown


def cancelled(done: CancelledOrder) -> Renderable:
    """An order that was cancelled."""
    opens = done.effect == "open"
    left = f"{number(done.returned_tokens)} tokens are" if opens else f"{number(done.returned_shares)} shares are"
    return Text(f"order {done.order_id} in {done.artifact_id} is cancelled: {left} free again")


def opened(done: OpenedArtifactMarket) -> Renderable:
    """A market that was opened."""
    return Text(
        f"{done.artifact_id} has a market: {done.subsidy_tokens:,} tokens from lmsr_subsidy_pool (b {number(done.b)}), "
        f"price 0.5, until {_time(done.closes_at)} UTC"
    )


def frozen(done: FrozenArtifact) -> Renderable:
    """A market that was frozen."""
    average = number(done.price_average)
    return Text(f"{done.artifact_id} is frozen until {_time(done.until)} UTC; its average price stands at {average}")


def unfrozen(artifact_id: str) -> Renderable:
    """A market that trades again."""
    return Text(f"{artifact_id} trades again")


def settled(done: SettledArtifact) -> Renderable:
    """A market that was settled, or is about to be."""
    worth = "costs are given back" if done.price is None else f"a long share is worth {number(done.price)}"
    if done.due_at is not None:
        return Text(
            f"{done.artifact_id} will be settled as {done.settled_as} at {_time(done.due_at)} UTC ({worth}), unless it "
            "is frozen before"
        )
    paid = f"{done.positions_paid:,} of {done.positions:,} positions got {number(done.paid_tokens)} tokens"
    more = "; the service pays the others" if done.more_due else ""
    return Text(f"{done.artifact_id} is settled as {done.settled_as}: {worth}; {paid}{more}")


def preview(found: SettlementPreview) -> Renderable:
    """What a settlement would pay, and to whom; or why it would be refused."""
    if found.refusal is not None:
        return Text(refused(found.refusal))
    shown = table(
        f"{found.artifact_id} as {found.settled_as}", "#id", "account", "side", "#shares", "#cost", "#paid", "#earned"
    )
    for row in found.payouts:
        amounts = (row.shares, row.cost_tokens, row.payout_tokens, row.realised_tokens)
        shown.add_row(str(row.position_id), row.account_id, row.side, *map(number, amounts))
    left = found.positions - len(found.payouts)
    sums = (number(found.cost_tokens), number(found.paid_tokens), number(found.remainder_tokens))
    lines = [
        f"{found.positions:,} positions that cost {sums[0]} would be paid {sums[1]} tokens; {sums[2]} would go to "
        "lmsr_subsidy_pool"
    ]
    if left:
        lines.insert(0, f"and {left:,} more: --rows shows them")
    if found.orders:
        lines.append(f"{found.orders:,} resting {'order' if found.orders == 1 else 'orders'} would end")
    if found.due_at is not None:
        lines.append(f"it would be announced until {_time(found.due_at)} UTC")
    return Group(shown, *map(Text, [*lines, "nothing was done"]))


def decayed(done: DecayedSubsidy) -> Renderable:
    """A market with less liquidity."""
    subsidy, returned = number(done.subsidy_tokens), number(done.returned_tokens)
    return Text(f"{done.artifact_id} has a subsidy of {subsidy} tokens at the same price; {returned} went back")


def refused(refusal: Refusal) -> str:
    """Why an order would be refused, and what that means."""
    bound = f" (against {refusal.bound})" if refusal.bound != "" else ""
    what = f"{refusal.reason.value}: {refusal.field} {refusal.value!r}{bound}"
    return f"would be refused: {what}. {meaning_of(refusal.reason)}"


def number(value: float) -> str:
    """A number to the millionth, without zeros at its end."""
    return decimal_text(value, grouped=True)


def _traded(trade: ArtifactQuote | Placed, buys: str, sells: str) -> str:
    if trade.average_price is None:
        return "nothing trades at once"
    what = f"{number(trade.shares)} shares of {trade.side} in {trade.artifact_id} for {number(trade.tokens)} tokens"
    return f"{buys if trade.effect == 'open' else sells} {what}, {number(trade.average_price)} each"


def _move(trade: ArtifactQuote | MarketAfter) -> str:
    return f"from {number(trade.price_before)} to {number(trade.price_after)}"


def _earned(fee_tokens: float, realised_tokens: float) -> str:
    word = "earned" if realised_tokens >= 0 else "lost"
    return f"  exit fee {number(fee_tokens)} tokens; with it {number(abs(realised_tokens))} {word} against the cost"


def _left(resting: Resting | None, returned_tokens: float) -> list[str]:
    lines = []
    if resting is not None:
        what = f"{number(resting.tokens)} tokens" if resting.tokens else f"{number(resting.shares)} shares"
        lines.append(f"  {what} rest at {number(resting.limit_price)} until {_time(resting.expires_at)} UTC")
    if returned_tokens:
        lines.append(f"  {number(returned_tokens)} tokens are not used and stay with the account")
    return lines


def _fills(fills: Sequence[Fill]) -> list[Renderable]:
    if len(fills) < 2:
        # It says no more than the first line.
        return []
    shown = table("fills, in their order", "with", "#shares", "#tokens", "#price")
    for fill in fills:
        source = "the maker" if fill.order_id is None else f"order {fill.order_id}"
        shown.add_row(source, number(fill.shares), number(fill.tokens), number(fill.price))
    return [Text(), shown]


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d}"
