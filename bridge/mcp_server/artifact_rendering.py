"""Answers about artifact markets as text for a model.

Rule of this file: that of `rendering`. A price is of a share, in tokens, and of long unless a side is named.
"""

from collections.abc import Iterable
from typing import Final

from callmarket.bridge.api.capital.book import ArtifactLevel
from callmarket.bridge.api.capital.holdings import OpenOrder
from callmarket.bridge.api.capital.quoting import ArtifactQuote
from callmarket.bridge.api.capital.receipts import Resting
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.http.meanings import meaning_of
from callmarket.bridge.api.operations.artifact_books import ArtifactBook, ArtifactMarketRow
from callmarket.bridge.api.operations.portfolios.holdings import Portfolio
from callmarket.bridge.api.operations.positions import CancelledOrder, Placed
from callmarket.bridge.api.units import decimal_text as number
from callmarket.bridge.mcp_server.rendering import lines, more, time

_LEVELS_SAID_MAX: Final = 3


def markets(found: Page[ArtifactMarketRow]) -> str:
    """A page of markets."""
    if not found.items:
        return "No artifact market matches. An operator can open one."
    rows = (f"{row.artifact_id}: {_state(row)}" for row in found.items)
    return lines(f"{len(found.items)} artifact markets; prices are of a long share:", rows) + more(found.next)


def book(found: ArtifactBook) -> str:
    """A market, and what it takes to move its price."""
    subsidy = number(found.amm.subsidy_tokens)
    said = [
        f"{found.artifact_id}: {_state(found)}. A short share costs {number(1 - found.price)}. Fair is the price that "
        "equals the probability.",
        f"Spending {subsidy} tokens on a side halves the remaining doubt about it, which is the distance of its price "
        f"from 1, if no order meets you. A sale pays {found.exit_fee:.2%} of its proceeds as exit fee; waiting for the "
        "settlement pays none.",
        f"You may commit {found.exposure_limit:.2%} of your wealth here. It closes at {time(found.closes_at)}.",
        f"Resting orders, by the price of long: bids {_levels(found.bids)}; asks {_levels(found.asks)}.",
    ]
    if found.depth:
        depth = (f"{number(one.tokens)} tokens of {one.side} move it to {number(one.price)}" for one in found.depth)
        said.append(f"What moves the price: {'; '.join(depth)}.")
    return " ".join(said)


def quote(found: ArtifactQuote) -> str:
    """What buying would do now, or why it would be refused."""
    if found.refusal is not None:
        meaning = meaning_of(found.refusal.reason)
        bound = f", against {found.refusal.bound}" if found.refusal.bound != "" else ""
        return f"This would be refused: {found.refusal.reason.value} ({found.refusal.field}{bound}). {meaning}"
    said = [_traded("would buy", found.shares, found.side, found.artifact_id, found.tokens, found.average_price)]
    if found.average_price is not None:
        said.append(
            f"They pay {number(found.payout_if_right_tokens)} if {found.side} proves right and nothing if not, so buy "
            f"only if you think that this is likelier than {number(found.average_price)}. The price of long would go "
            f"from {number(found.price_before)} to {number(found.price_after)}."
        )
    if found.exit_value_tokens is not None:
        said.append(f"Selling them at once would bring only {number(found.exit_value_tokens)}, after the exit fee.")
    said.append(_left(found.resting, found.returned_tokens))
    said.append("Nothing was done, and others may trade before you do.")
    return " ".join(filter(None, said))


def traded(done: Placed) -> str:
    """What an order did."""
    opens = done.effect == "open"
    verb = "Bought" if opens else "Sold"
    said = [_traded(verb, done.shares, done.side, done.artifact_id, done.tokens, done.average_price)]
    if done.stamp.repeated:
        said.append("This was done by an earlier attempt of this call, and not again.")
    if opens and done.shares:
        said.append(f"They are position {done.position_id}; see it with my_portfolio, sell it with artifact_close.")
    if not opens:
        earned = f"{'earned' if done.realised_tokens >= 0 else 'lost'} {number(abs(done.realised_tokens))}"
        said.append(
            f"After the exit fee of {number(done.fee_tokens)} you have {earned} against the cost; position "
            f"{done.position_id} has {number(done.position_shares)} shares left."
        )
    if done.market is not None:
        before, after = done.market.price_before, done.market.price_after
        said.append(f"The price of long went from {number(before)} to {number(after)}.")
    said.append(_left(done.resting, done.returned_tokens))
    if done.resting is not None:
        said.append(f"What rests is order {done.order_id}: cancel it with artifact_cancel.")
    return " ".join(filter(None, said))


def cancelled(done: CancelledOrder) -> str:
    """An order that was cancelled."""
    opens = done.effect == "open"
    left = f"{number(done.returned_tokens)} tokens" if opens else f"{number(done.returned_shares)} shares"
    return f"Order {done.order_id} in {done.artifact_id} is cancelled, and {left} are free again."


def portfolio(found: Portfolio) -> str:
    """The caller's wealth, and its positions with what each would bring now."""
    exposed = "" if found.exposure is None else f", {found.exposure:.2%} of your wealth"
    head = (
        f"You have {found.wallet_tokens} tokens in your wallet and have realised {number(found.realised_tokens)} in "
        f"artifact markets; {number(found.committed_tokens)} tokens are committed{exposed}."
    )
    if not found.positions:
        return f"{head} You have no open positions; my_orders lists orders that rest."
    rows = (
        f"position {row.position_id}: {number(row.shares)} {row.side} in {row.artifact_id}, cost "
        f"{number(row.cost_tokens)} ({number(row.entry_price)} a share); the price is {number(row.price)}, and selling "
        + ("is not possible now" if row.exit_value_tokens is None else f"all brings {number(row.exit_value_tokens)}")
        for row in found.positions
    )
    head += f" {found.positions_open} positions are open. Held to the settlement, each share of the right side pays 1:"
    return lines(head, rows) + more(found.next)


def orders(found: Page[OpenOrder]) -> str:
    """The caller's resting orders."""
    if not found.items:
        return "You have no resting orders."
    rows = (
        f"order {row.order_id}: {'buy' if row.effect == 'open' else 'sell'} {row.side} in {row.artifact_id} at "
        f"{number(row.limit_price)}, "
        + (f"{number(row.tokens)} tokens" if row.effect == "open" else f"{number(row.shares)} shares")
        + f" left, until {time(row.expires_at)}"
        for row in found.items
    )
    return lines(f"{len(found.items)} resting orders:", rows) + more(found.next)


def _state(row: ArtifactMarketRow) -> str:
    if row.status == "settled":
        worth = "costs were given back" if row.settle_price is None else f"long was worth {number(row.settle_price)}"
        return f"settled as {row.settled_as}, {worth}"
    due = f" as {row.settled_as}" if row.settled_as else ""
    waits = f" until {time(row.due_at)}" if row.due_at and row.status != "open" else ""
    return f"{row.status}{due}{waits}, price {number(row.price)}, average {number(row.price_average)}"


def _levels(levels: Iterable[ArtifactLevel]) -> str:
    said = [f"{number(one.shares)} shares at {number(one.price)}" for one in levels]
    return ", ".join(said[:_LEVELS_SAID_MAX]) or "none"


def _traded(verb: str, shares: float, side: str, artifact_id: str, tokens: float, price: float | None) -> str:
    if price is None:
        return "Nothing trades at once."
    verb = verb if verb[0].isupper() else f"You {verb}"
    return (
        f"{verb} {number(shares)} shares of {side} in {artifact_id} for {number(tokens)} tokens, {number(price)} each."
    )


def _left(resting: Resting | None, returned_tokens: float) -> str:
    said = []
    if resting is not None:
        what = f"{number(resting.tokens)} tokens" if resting.tokens else f"{number(resting.shares)} shares"
        said.append(f"{what} rest at {number(resting.limit_price)} until {time(resting.expires_at)}.")
    if returned_tokens:
        said.append(f"{number(returned_tokens)} tokens are not used and stay yours.")
    return " ".join(said)
