"""Answers as text for a model: one or a few sentences, with what to do next.

Rule of this file: pure; bounded by the requested rows. The text has everything that the next call needs, since some
clients show nothing else to a model.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from callmarket.bridge.api.contract.results import Page, Stamp
from callmarket.bridge.api.http.meanings import meaning_of
from callmarket.bridge.api.operations.accounts import Wallet
from callmarket.bridge.api.operations.awards import AwardRow
from callmarket.bridge.api.operations.bids import AmendedBid, BidRow, Outcome, PlacedBid
from callmarket.bridge.api.operations.markets import MarketRow, OrderBook, Quote
from callmarket.bridge.api.operations.slots import Settled, Voided

_MINUTE_S: Final = 60


def markets(found: Page[MarketRow]) -> str:
    """All markets."""
    if not found.items:
        return "No market is open. An operator can open one."
    rows = (
        f"{row.market_id}: {row.slots_offered} slots on offer, {row.bids_open} open bids; rule {row.pricing_rule}, "
        f"lapsed awards: {row.lapse_policy}"
        + (f", pays for impact from {row.reward_account_id}" if _pays_for_impact(row) else "")
        + (", each bidder's task_ids are its own" if row.task_scope == "bidder" else "")
        for row in found.items
    )
    return lines(f"{len(found.items)} markets:", rows)


def _pays_for_impact(row: MarketRow) -> bool:
    return min(row.reward_tokens_per_impact, row.reward_cap_tokens, row.reward_day_cap_tokens) > 0


def quote(found: Quote) -> str:
    """Whether a bid would win, or why it would be refused."""
    if found.refusal is not None:
        meaning = meaning_of(found.refusal.reason)
        bound = f", against {found.refusal.bound}" if found.refusal.bound != "" else ""
        return f"This bid would be refused: {found.refusal.reason.value} ({found.refusal.field}{bound}). {meaning}"
    if found.wins:
        return (
            f"A bid of {found.max_price_tokens} would win if the market were called now, and pay {found.price_tokens}. "
            "This is not binding: others may bid before the call."
        )
    least = found.winning_price_tokens
    hint = "No price would win now" if least is None else f"The lowest price that would win now is {least}"
    return (
        f"A bid of {found.max_price_tokens} would not win if the market were called now: {found.slots_available} slots "
        f"on offer, {found.bids_ahead} or more bids ahead. {hint}."
    )


def order_book(found: OrderBook) -> str:
    """The best of the order book."""
    prices = ", ".join(f"{level.bids} at {level.price_tokens}" for level in found.levels) or "none"
    return (
        f"{found.market_id}: {found.bids_total} open bids, {found.asks_total} slots on offer. Best prices: {prices}. "
        f"The best {len(found.bids)} bids and {len(found.asks)} slots are in the structured answer."
    )


def placed(found: PlacedBid) -> str:
    """A bid was placed."""
    before = " It was placed by an earlier attempt of this call." if found.stamp.repeated else ""
    return (
        f"Bid {found.bid_id} is placed and {found.held_tokens} tokens are held.{before} Wait for the call of the "
        "market with my_awards and wait_s."
    )


def amended(found: AmendedBid) -> str:
    """A bid was amended."""
    until = f", until {time(found.ttl_at)}" if found.ttl_at else ""
    return f"Bid {found.bid_id} is now at {found.max_price_tokens} tokens{until}."


def cancelled(_found: Stamp) -> str:
    """A bid was cancelled."""
    return "The bid is cancelled, and its whole hold was released."


def bids(found: Page[BidRow]) -> str:
    """The caller's bids."""
    if not found.items:
        return "No bids match."
    rows = (
        f"bid {row.bid_id}: {row.status}, task {row.task_id} in {row.market_id}, at most {row.max_price_tokens}"
        + (f", award {row.award_id}" if row.award_id else "")
        for row in found.items
    )
    return lines(f"{len(found.items)} bids, newest first:", rows) + more(found.next)


def awards(found: Page[AwardRow], now: datetime) -> str:
    """The caller's awards. A model has no clock, so the text says how much time is left."""
    if not found.items:
        return (
            "No awards match. If you have an open bid, wait again; my_bids shows whether it is still open, and why "
            "explains why it lost."
        )
    return lines(f"{len(found.items)} awards, newest first:", (_award(row, now) for row in found.items)) + more(
        found.next
    )


def _award(row: AwardRow, now: datetime) -> str:
    slot = f"provider_id {row.provider_id}, slot_id {row.slot_id}"
    about = f"award_id {row.award_id}, {slot}, task {row.task_id} in {row.market_id}"
    if row.status != "awarded":
        return f"{about}: {row.status}, price {row.price_tokens}"
    left_s = int((row.lease_until - now).total_seconds())
    if left_s <= 0:
        return f"{about}: its lease has run out, so it can no longer be settled"
    left = f"{left_s // _MINUTE_S} min" if left_s >= 2 * _MINUTE_S else f"{left_s} s"
    return f"{about}, price {row.price_tokens}: do the work and settle within {left}, before {time(row.lease_until)}"


def settled(found: Settled) -> str:
    """An award was settled."""
    reward = f", and {found.reward_tokens} tokens were earned for its impact" if found.reward_tokens else ""
    return f"Award {found.award_id} is settled: {found.price_tokens} tokens are paid{reward}."


def voided(found: Voided) -> str:
    """An award was voided."""
    return f"Award {found.award_id} is void: {found.released_tokens} tokens were released to its bidder."


def wallet(found: Wallet) -> str:
    """The balance, held and available tokens of a wallet."""
    return (
        f"{found.account_id} ({found.kind}) can spend {found.available_tokens} tokens: {found.balance_tokens}, of "
        f"which {found.held_tokens} are held for open bids and awards."
    )


def why(found: Outcome) -> str:
    """Why a bid won or lost."""
    return f"Bid {found.bid_id} ({found.status}): {found.reason}"


def lines(head: str, rows: Iterable[str]) -> str:
    """A list under its head."""
    return "\n- ".join([head, *rows])


def more(after: str | None) -> str:
    """How to get the next page, if there is one."""
    return f"\nThere are more: call again with after={after!r}." if after else ""


def time(at: datetime) -> str:
    """A time in UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
