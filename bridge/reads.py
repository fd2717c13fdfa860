"""What the live engine answers without a command: wallets and books, as of one moment.

Rule of this file: queries on the state, run under the sequencer's lock: bounded, and they copy what they give.
"""

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Final

from msgspec import Struct

from bridge.errors import Invalid
from bridge.units import datetime_of
from engine.book import Bid, best_first
from engine.state import State

# A page of rows that a person or an agent can use; more would hold the sequencer for milliseconds.
BOOK_ROWS_MAX: Final = 1_000


class Wallet(Struct, frozen=True):
    """An account, as the engine has it at `seq`."""

    account_id: str
    kind: str
    balance_tokens: int
    held_tokens: int
    available_tokens: int
    seq: int


class BookBid(Struct, frozen=True):
    """A bid in the book."""

    bid_id: int
    bidder_id: str
    task_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    time_in_force: str


class BookAsk(Struct, frozen=True):
    """A slot on offer."""

    slot_id: str
    available_at: datetime
    reserve_price_tokens: int
    provider_id: str


class OrderBook(Struct, frozen=True):
    """The best bids and the first asks of a market, as the engine has them at `seq`; the totals count all."""

    market_id: str
    bids: tuple[BookBid, ...]
    asks: tuple[BookAsk, ...]
    bids_total: int
    asks_total: int
    seq: int


def wallet(account_id: str) -> Callable[[State], Wallet]:
    """The query for one wallet. Raises `Invalid` if there is no such account."""

    def query(state: State) -> Wallet:
        account = state.ledger.accounts.get(account_id)
        if account is None:
            raise Invalid("account_id", account_id, "an open account")
        return Wallet(
            account_id=account_id,
            kind=account.kind,
            balance_tokens=account.balance_tokens,
            held_tokens=account.held_tokens,
            available_tokens=account.available_tokens,
            seq=state.seq,
        )

    return query


def order_book(market_id: str, rows_max: int) -> Callable[[State], OrderBook]:
    """The query for the top of a book. Raises `Invalid` if there is no such market."""
    check_rows(rows_max)

    def query(state: State) -> OrderBook:
        market = state.markets.get(market_id)
        if market is None:
            raise Invalid("market_id", market_id, "an open market")
        bids = islice(best_first(market.resting, market.round_bids), rows_max)
        asks = islice(market.offers, rows_max)
        return OrderBook(
            market_id=market_id,
            bids=tuple(_bid(bid) for bid in bids),
            asks=tuple(
                BookAsk(slot.slot_id, datetime_of(slot.available_at_us), slot.reserve_price_tokens, slot.provider_id)
                for slot in asks
            ),
            bids_total=market.bids_open,
            asks_total=len(market.offers),
            seq=state.seq,
        )

    return query


def check_rows(rows_max: int) -> None:
    """Check how many rows are asked for. Raises `Invalid`."""
    if not 0 < rows_max <= BOOK_ROWS_MAX:
        raise Invalid("rows_max", rows_max, f"1 to {BOOK_ROWS_MAX}")


def _bid(bid: Bid) -> BookBid:
    ttl_at = None if bid.ttl_at_us is None else datetime_of(bid.ttl_at_us)
    return BookBid(bid.bid_id, bid.bidder_id, bid.task_id, bid.max_price_tokens, ttl_at, bid.time_in_force)
