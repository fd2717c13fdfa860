"""What the tables answer, in people's words: bids, awards, slots, rounds, wallets, and why.

Rule of this file: what is asked is checked here, before the database is. Each answer is one snapshot of the tables, and
says up to which row they have come: `seq`, which is never ahead of `durable_seq`. The queries are in
`persistence.queries`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nsmallest
from typing import Final, Generic, TypeVar, get_args

import msgspec

from callmarket.bridge.api import units
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.pages import Order, check_order, cursor, name_after, names_after, number_after, two_names
from callmarket.bridge.api.reads import Live, Moment, check_limit, check_name, weight_of_rows
from callmarket.bridge.api.results import Page
from callmarket.bridge.api.units import datetime_of, duration_of
from callmarket.engine.events import SlotStatus
from callmarket.engine.limits import SEQ_MAX
from callmarket.engine.slots import Slot
from callmarket.engine.state import State
from callmarket.persistence import queries
from callmarket.persistence.database.reader_pool import Snapshot
from callmarket.persistence.queries import (
    AwardRow,
    AwardStatus,
    BidRow,
    BidStatus,
    Earned,
    MovementRow,
    OutcomeRow,
    Paging,
    RoundRow,
    SlotRow,
    WalletRow,
)

__all__ = [
    "AwardRow",
    "AwardStatus",
    "BidDetail",
    "BidRow",
    "BidStatus",
    "Durable",
    "Earnings",
    "MovementRow",
    "Outcome",
    "RoundRow",
    "SlotRow",
    "WalletRow",
    "awards",
    "bid",
    "bids",
    "earnings",
    "get_rounds",
    "slots",
    "statement",
    "wallets",
    "why",
]

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)


# What a question to the tables costs this process, in the units of `reads.weight_of_rows`: to ask anything; one that
# sums up a period, of which PostgreSQL has a hundred times as much to do.
ASKING: Final = 4
SUMMING_UP: Final = 100


def weight_of_page(limit: int) -> int:
    """What a page of so many rows costs: each is read from a row of the table and told as JSON."""
    return ASKING + limit // 10


@dataclass(frozen=True)
class Durable(Generic[T]):
    """A question to the tables: its answer at a snapshot, and at the exchange's time; and its weight."""

    answer: Callable[[Snapshot, datetime], T]
    weight: int = ASKING


def check_question(question: object) -> None:
    """Check that it is one to the tables. Raises `Invalid`."""
    if not isinstance(question, Durable):
        raise Invalid("question", question, "a question, as the functions of callmarket.bridge.api make it")


class BidDetail(BidRow, frozen=True):
    """A bid, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class Outcome(OutcomeRow, frozen=True):
    """Where a bid stands, and why, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class Earnings(Earned, frozen=True):
    """What an account was credited with, as the tables have it at `seq`: the sums, and the credits page after page."""

    credits: tuple[MovementRow, ...]
    next: str | None
    seq: int
    durable_seq: int


def bid(bid_id: int) -> Durable[BidDetail]:
    """A bid and where it stands. Raises `NotFound` if there is no such bid."""
    _check_id("bid_id", bid_id)

    def answer(at: Snapshot, _: datetime) -> BidDetail:
        found = queries.bid(at.connection, at.shard_id, bid_id)
        if found is None:
            raise NotFound("bid_id", bid_id, "a bid that was accepted")
        return BidDetail(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer)


def bids(
    market_id: str | None = None,
    bidder_id: str | None = None,
    status: BidStatus | None = None,
    *,
    limit: int = 100,
    after: str | None = None,
    order: Order = "newest",
) -> Durable[Page[BidRow]]:
    """Bids of a market, of a bidder, of both, or all; a status needs one of the two. By id, page after page."""
    _check_owner(market_id, bidder_id, status, get_args(BidStatus))
    kind, page = numbered("bids", limit, after, order)

    def answer(at: Snapshot, _: datetime) -> Page[BidRow]:
        rows = queries.bids_page(at.connection, at.shard_id, market_id, bidder_id, status, page)
        return page_of(rows, limit, kind, lambda row: row.bid_id, at)

    return Durable(answer, weight_of_page(limit))


def awards(
    market_id: str | None = None,
    bidder_id: str | None = None,
    status: AwardStatus | None = None,
    *,
    since: datetime | None = None,
    limit: int = 100,
    after: str | None = None,
    order: Order = "newest",
) -> Durable[Page[AwardRow]]:
    """Awards of a market, of a bidder, of both, or all; a status needs one of the two. By id, page after page.

    With `since`, those granted then or later.
    """
    _check_owner(market_id, bidder_id, status, get_args(AwardStatus))
    _check_since(since)
    kind, page = numbered("awards", limit, after, order)

    def answer(at: Snapshot, _: datetime) -> Page[AwardRow]:
        rows = queries.awards_page(at.connection, at.shard_id, market_id, bidder_id, status, since, page)
        return page_of(rows, limit, kind, lambda row: row.award_id, at)

    return Durable(answer, weight_of_page(limit))


def slots(
    market_id: str, status: SlotStatus | None = None, *, limit: int = 100, after: str | None = None
) -> Live[Page[SlotRow]] | Durable[Page[SlotRow]]:
    """The slots of a market by name and provider, page after page.

    `offered` and `awarded` ones are live; ended ones, or all, durable. Raises `NotFound` if there is no such market.
    """
    check_name("market_id", market_id)
    if status is not None:
        check_one_of("status", status, get_args(SlotStatus))
    check_limit(limit)
    names = names_after("slots", after)

    def answer_live(moment: Moment) -> Page[SlotRow]:
        state = moment.state
        market = state.markets.get(market_id)
        if market is None:
            raise NotFound("market_id", market_id, "an open market")
        if status == "offered":
            live = market.offers.unordered()
        else:
            live = [state.slots[state.awards[award_id].slot_key] for award_id in market.tasks_awarded.values()]
        listed = ((slot.slot_id, slot.provider_id) for slot in live)
        found = nsmallest(limit + 1, (pair for pair in listed if names is None or pair > names))
        rows = [_slot(state.slots[provider_id, slot_id]) for slot_id, provider_id in found]
        items = tuple(rows[:limit])
        more = cursor("slots", _slot_names(items[-1])) if len(rows) > limit else None
        return Page(items, more, state.seq, moment.durable_seq)

    def answer(at: Snapshot, _: datetime) -> Page[SlotRow]:
        check_market(at, market_id)
        rows = queries.slots_page(at.connection, at.shard_id, market_id, status, limit + 1, names)
        return page_of(rows, limit, "slots", _slot_names, at)

    if status not in ("offered", "awarded"):
        return Durable(answer, weight_of_page(limit))
    # The live ones of a market are put in order first.
    return Live(answer_live, lambda state: weight_of_rows(limit + _live_slots(state, market_id) // 5))


def get_rounds(
    market_id: str | None = None,
    limit: int = 100,
    *,
    since: datetime | None = None,
    after: str | None = None,
    order: Order = "newest",
) -> Durable[Page[RoundRow]]:
    """The calls of a market, or of all, page after page; with `since`, those then or later.

    Raises `NotFound` if there is no such market.
    """
    if market_id is not None:
        check_name("market_id", market_id)
    _check_since(since)
    kind, page = numbered("rounds", limit, after, order)

    def answer(at: Snapshot, _: datetime) -> Page[RoundRow]:
        if market_id is not None:
            check_market(at, market_id)
        rows = queries.rounds_page(at.connection, at.shard_id, market_id, since, page)
        return page_of(rows, limit, kind, lambda row: row.seq, at)

    return Durable(answer, weight_of_page(limit))


def wallets(*, limit: int = 100, after: str | None = None) -> Durable[Page[WalletRow]]:
    """All wallets by name, page after page."""
    check_limit(limit)
    page = Paging(limit + 1, name_after("wallets", after), newest=False)

    def answer(at: Snapshot, _: datetime) -> Page[WalletRow]:
        rows = queries.wallets_page(at.connection, at.shard_id, page)
        return page_of(rows, limit, "wallets", lambda row: row.account_id, at)

    return Durable(answer, weight_of_page(limit))


def statement(
    account_id: str, *, limit: int = 100, after: str | None = None, order: Order = "newest"
) -> Durable[Page[MovementRow]]:
    """The movements of an account, page after page. Raises `NotFound` if there is no such account."""
    check_name("account_id", account_id)
    kind, page = numbered("statement", limit, after, order)

    def answer(at: Snapshot, _: datetime) -> Page[MovementRow]:
        rows = queries.statement_page(at.connection, at.shard_id, account_id, page)
        if rows is None:
            raise NotFound("account_id", account_id, "an open account")
        return page_of(rows, limit, kind, lambda row: row.transfer_id, at)

    return Durable(answer, weight_of_page(limit))


def earnings(
    account_id: str, *, limit: int = 100, after: str | None = None, order: Order = "newest"
) -> Durable[Earnings]:
    """What an account was credited with: its sums by reason over three periods, and the credits, page after page.

    Raises `NotFound` if there is no such account. Costs its credits of the last thirty days.
    """
    check_name("account_id", account_id)
    kind, page = numbered("earnings", limit, after, order)

    def answer(at: Snapshot, now: datetime) -> Earnings:
        sums = queries.earned(at.connection, at.shard_id, account_id, now)
        if sums is None:
            raise NotFound("account_id", account_id, "an open account")
        rows = queries.credits_page(at.connection, at.shard_id, account_id, page)
        listed = page_of(rows, limit, kind, lambda row: row.transfer_id, at)
        return Earnings(
            **msgspec.structs.asdict(sums),
            credits=listed.items,
            next=listed.next,
            seq=at.seq,
            durable_seq=at.durable_seq,
        )

    return Durable(answer, SUMMING_UP)


def why(bid_id: int) -> Durable[Outcome]:
    """Why a bid won or lost, in words. Raises `NotFound` if there is no such bid."""
    _check_id("bid_id", bid_id)

    def answer(at: Snapshot, _: datetime) -> Outcome:
        found = queries.outcome(at.connection, at.shard_id, bid_id)
        if found is None:
            raise NotFound("bid_id", bid_id, "a bid that was accepted")
        return Outcome(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer)


def numbered(name: str, limit: int, after: str | None, order: Order) -> tuple[str, Paging]:
    """The kind of a list's cursors, and the page to ask for: one row more, which tells whether there is a next one."""
    check_limit(limit)
    check_order(order)
    kind = f"{name}-{order}"
    return kind, Paging(limit + 1, number_after(kind, after), newest=order == "newest")


def page_of(rows: Sequence[R], limit: int, kind: str, key: Callable[[R], int | str], at: Snapshot) -> Page[R]:
    """The page of these rows, which are one more than were asked for if there is a next one."""
    items = tuple(rows[:limit])
    return Page(items, cursor(kind, key(items[-1])) if len(rows) > limit else None, at.seq, at.durable_seq)


def _live_slots(state: State, market_id: str) -> int:
    market = state.markets.get(market_id)
    return 0 if market is None else len(market.offers) + len(market.tasks_awarded)


def _slot_names(row: SlotRow) -> str:
    return two_names(row.slot_id, row.provider_id)


def _slot(slot: Slot) -> SlotRow:
    return SlotRow(
        slot_id=slot.slot_id,
        market_id=slot.market_id,
        status=slot.status,
        provider_id=slot.provider_id,
        available_at=datetime_of(slot.available_at_us),
        reserve_price_tokens=slot.reserve_price_tokens,
        lease=duration_of(slot.lease_us),
        award_id=slot.award_id or None,
    )


def check_market(at: Snapshot, market_id: str) -> None:
    """Check that there is such a market. Raises `NotFound`."""
    if not queries.market_exists(at.connection, at.shard_id, market_id):
        raise NotFound("market_id", market_id, "an open market")


def _check_owner(market_id: str | None, bidder_id: str | None, status: str | None, statuses: Sequence[str]) -> None:
    for field, name in (("market_id", market_id), ("bidder_id", bidder_id)):
        if name is not None:
            check_name(field, name)
    if status is not None:
        check_one_of("status", status, statuses)
        if market_id is None and bidder_id is None:
            raise Invalid("status", status, "a market_id or a bidder_id with it")


def check_one_of(field: str, value: str, allowed: Sequence[str]) -> None:
    """Check a word of a closed list. Raises `Invalid`."""
    if value not in allowed:
        raise Invalid(field, value, f"one of {', '.join(allowed)}")


def _check_since(since: datetime | None) -> None:
    if since is not None:
        units.check_instant("since", since)
        try:
            since.astimezone(UTC)
        except OverflowError:
            raise Invalid("since", since.isoformat(), "a time that is in the years 1 to 9999 of UTC too") from None


def _check_id(field: str, number: int) -> None:
    if type(number) is not int or not 0 < number <= SEQ_MAX:
        raise Invalid(field, number, f"a whole number from 1 to {SEQ_MAX}")
