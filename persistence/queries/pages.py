"""Lists that go on, page after page: bids, awards, slots, rounds, wallets, movements, holds.

Rule of this file: a page begins after a key, never at an offset, so the thousandth page costs what the first does, and
rows added meanwhile move nothing. Each query is one walk of an index for each status asked for, of `limit` rows at
most (`tests/persistence/queries/test_pages.py` reads the plans). Numbers are ints and floats, as people use them.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, get_args

from callmarket.engine.events import HoldStatus, SlotStatus
from callmarket.engine.ids import BidId
from callmarket.persistence.database.row_factories import row_of
from callmarket.persistence.queries.rows import (
    AwardRow,
    AwardStatus,
    BidRow,
    BidStatus,
    HoldFilter,
    HoldRow,
    MovementRow,
    Paging,
    RoundRow,
    SlotRow,
    WalletRow,
)
from callmarket.persistence.queries.walks import bound_of, direction, fetched, raise_floor, walk, walks

if TYPE_CHECKING:
    import psycopg

_BID: Final = """id AS bid_id, market_id, bidder_id, task_id, max_price_tokens,
    expected_value_usd::float8 AS expected_value_usd, ttl_at, time_in_force, status, placed_at, closed_at, round_no,
    award_id"""
_AWARD: Final = """award_id, market_id, round_no, slot_id, bid_id, bidder_id, provider_id, winning_task_id AS task_id,
    runner_up_task_id, clearing_price_tokens AS price_tokens, premium_tokens, slot_started_at, slot_finished_at,
    lease_until, status, charged_tokens, actual_cost_tokens, actual_impact::float8 AS actual_impact, reward_tokens"""
_SLOT: Final = """slot_id, provider_id, market_id, status, available_at, reserve_price_tokens,
    lease_us * interval '1 microsecond' AS lease, award_id"""
_ROUND: Final = """market_id, round_no, called_at, slots_available, bids_open, awards_granted, clearing_price_tokens,
    seq"""
WALLET: Final = """account_id, kind, balance AS balance_tokens, held AS held_tokens,
    balance - held AS available_tokens, total_earned AS total_earned_tokens, total_spent AS total_spent_tokens,
    updated_at"""
MOVEMENT: Final = """id AS transfer_id, "timestamp" AS at, from_account AS from_account_id,
    to_account AS to_account_id, amount AS amount_tokens, reason, reference_type, reference_id, memo,
    balance_after_from AS from_balance_tokens, balance_after_to AS to_balance_tokens"""
_HOLD: Final = """hold_id, placed_seq, account_id, placed_by, amount AS amount_tokens, captured AS captured_tokens,
    captured_to, reason, reference_type, reference_id, memo, status, placed_at, expires_at, ended_at"""


def market_exists(connection: "psycopg.Connection", shard_id: int, market_id: str) -> bool:
    """Whether there is such a market."""
    query = "SELECT FROM compute_auction_markets WHERE shard_id = %s AND market_id = %s"
    return connection.execute(query, (shard_id, market_id)).fetchone() is not None


def bid(connection: "psycopg.Connection", shard_id: int, bid_id: BidId) -> BidRow | None:
    """One bid, None if there is none of this id."""
    query = f"SELECT {_BID} FROM compute_auction_bids WHERE shard_id = %(shard)s AND id = %(bid)s"  # noqa: S608
    rows = fetched(connection, BidRow, query, {"shard": shard_id, "bid": bid_id})
    return rows[0] if rows else None


def bids_page(
    connection: "psycopg.Connection",
    shard_id: int,
    market_id: str | None,
    bidder_id: str | None,
    status: BidStatus | None,
    page: Paging,
) -> list[BidRow]:
    """Bids of a market, of a bidder, or of a bidder in a market, or all, by id.

    With both named it walks the bidder's bids and passes over those in other markets.
    """
    bound = bound_of(shard_id, page) | {"market": market_id, "bidder": bidder_id}
    if market_id is None and bidder_id is None:
        assert status is None, status
        return fetched(connection, BidRow, walk(_BID, "compute_auction_bids", "true", "id", page), bound)
    bound["statuses"] = [status] if status else list(get_args(BidStatus))
    query = walks(_BID, "compute_auction_bids", _owner(market_id, bidder_id), ("id", "bid_id"), page)
    return fetched(connection, BidRow, query, bound)


def awards_page(
    connection: "psycopg.Connection",
    shard_id: int,
    market_id: str | None,
    bidder_id: str | None,
    status: AwardStatus | None,
    since: datetime | None,
    page: Paging,
) -> list[AwardRow]:
    """Awards as `bids_page`, by id, granted at `since` or later."""
    bound = bound_of(shard_id, page) | {"market": market_id, "bidder": bidder_id}
    if since is not None:
        # Ids rise with time, so the time becomes a bound of the key that is walked.
        query = """SELECT award_id FROM compute_auction_clears WHERE shard_id = %s AND slot_started_at >= %s
            ORDER BY slot_started_at, award_id LIMIT 1"""
        if not raise_floor(connection, query, (shard_id, since), bound):
            return []
    if market_id is None and bidder_id is None:
        assert status is None, status
        return fetched(connection, AwardRow, walk(_AWARD, "compute_auction_clears", "true", "award_id", page), bound)
    bound["statuses"] = [status] if status else list(get_args(AwardStatus))
    owner = _owner(market_id, bidder_id)
    query = walks(_AWARD, "compute_auction_clears", owner, ("award_id", "award_id"), page)
    return fetched(connection, AwardRow, query, bound)


def slots_page(
    connection: "psycopg.Connection",
    shard_id: int,
    market_id: str,
    status: SlotStatus | None,
    limit: int,
    after: tuple[str, str] | None,
) -> list[SlotRow]:
    """The slots of a market by name, those of one name by provider, after such a pair."""
    slot_id, provider_id = after or ("", "")
    query = f"""SELECT found.* FROM unnest(%(statuses)s::text[]) AS wanted CROSS JOIN LATERAL (
            SELECT {_SLOT} FROM compute_auction_slots
            WHERE shard_id = %(shard)s AND market_id = %(market)s AND status = wanted
                AND (slot_id, provider_id) > (%(slot)s, %(provider)s)
            ORDER BY slot_id, provider_id LIMIT %(limit)s) AS found
        ORDER BY found.slot_id, found.provider_id LIMIT %(limit)s"""  # noqa: S608 -- only the constant above is put in
    bound = {
        "shard": shard_id,
        "market": market_id,
        "statuses": [status] if status else list(get_args(SlotStatus)),
        "slot": slot_id,
        "provider": provider_id,
        "limit": limit,
    }
    return fetched(connection, SlotRow, query, bound)


def rounds_page(
    connection: "psycopg.Connection", shard_id: int, market_id: str | None, since: datetime | None, page: Paging
) -> list[RoundRow]:
    """The calls of a market, or of all, by the journal row that called, at `since` or later."""
    bound = bound_of(shard_id, page) | {"market": market_id}
    if since is not None:
        query = """SELECT seq FROM compute_auction_rounds WHERE shard_id = %s AND called_at >= %s
            ORDER BY called_at, seq LIMIT 1"""
        if not raise_floor(connection, query, (shard_id, since), bound):
            return []
    owner = "true" if market_id is None else "market_id = %(market)s"
    return fetched(connection, RoundRow, walk(_ROUND, "compute_auction_rounds", owner, "seq", page), bound)


def wallets_page(connection: "psycopg.Connection", shard_id: int, page: Paging) -> list[WalletRow]:
    """Wallets by name."""
    assert not page.newest, "wallets have names, not ages"
    query = walk(WALLET, "token_accounts", "true", "account_id", page)
    with connection.cursor(row_factory=row_of(wallet_of)) as cursor:
        return cursor.execute(query, bound_of(shard_id, page) | {"floor": page.after or ""}).fetchall()


def statement_page(
    connection: "psycopg.Connection", shard_id: int, account_id: str, page: Paging
) -> list[MovementRow] | None:
    """The movements of an account, by id; None if there is no such account."""
    query = "SELECT FROM token_accounts WHERE shard_id = %s AND account_id = %s"
    if connection.execute(query, (shard_id, account_id)).fetchone() is None:
        return None
    # Two walks and a merge: one condition with OR would scan the whole ledger. No movement is in both.
    paid = walk(MOVEMENT, "token_ledger", "from_account = %(account)s", "id", page)
    earned = walk(MOVEMENT, "token_ledger", "to_account = %(account)s", "id", page)
    query = f"({paid}) UNION ALL ({earned}) ORDER BY transfer_id {direction(page)} LIMIT %(limit)s"
    return fetched(connection, MovementRow, query, bound_of(shard_id, page) | {"account": account_id})


def credits_page(connection: "psycopg.Connection", shard_id: int, account_id: str, page: Paging) -> list[MovementRow]:
    """The movements to an account, by id."""
    query = walk(MOVEMENT, "token_ledger", "to_account = %(account)s", "id", page)
    return fetched(connection, MovementRow, query, bound_of(shard_id, page) | {"account": account_id})


def hold(connection: "psycopg.Connection", shard_id: int, hold_id: str, account_id: str) -> HoldRow | None:
    """An account's latest hold of this name, None if there is none."""
    query = f"""SELECT {_HOLD} FROM token_holds
        WHERE shard_id = %(shard)s AND account_id = %(account)s AND hold_id = %(hold)s
        ORDER BY placed_seq DESC LIMIT 1"""  # noqa: S608 -- only the constant above is put in
    rows = fetched(connection, HoldRow, query, {"shard": shard_id, "account": account_id, "hold": hold_id})
    return rows[0] if rows else None


def holds_page(connection: "psycopg.Connection", shard_id: int, wanted: HoldFilter, page: Paging) -> list[HoldRow]:
    """Holds in the order in which they were placed: of an account, else of a reference, else for a reason, or all.

    What else is wanted is looked for among those, passing over the others.
    """
    names = {name: getattr(wanted, name) for name in ("account_id", "reference_type", "reference_id", "reason")}
    owner = " AND ".join(f"{name} = %({name})s" for name, value in names.items() if value is not None)
    bound = bound_of(shard_id, page) | names
    if not owner:
        assert wanted.status is None, wanted
        return fetched(connection, HoldRow, walk(_HOLD, "token_holds", "true", "placed_seq", page), bound)
    bound["statuses"] = [wanted.status] if wanted.status else list(get_args(HoldStatus))
    return fetched(connection, HoldRow, walks(_HOLD, "token_holds", owner, ("placed_seq", "placed_seq"), page), bound)


def _owner(market_id: str | None, bidder_id: str | None) -> str:
    if bidder_id is None:
        return "market_id = %(market)s"
    return "bidder_id = %(bidder)s" + ("" if market_id is None else " AND market_id = %(market)s")


def wallet_of(**columns: Any) -> WalletRow:
    """The row of these columns."""
    # The totals are numeric: they may pass the end of a bigint. They are whole.
    for name in ("total_earned_tokens", "total_spent_tokens"):
        columns[name] = int(columns[name])
    return WalletRow(**columns)
