"""What the tokens did, read from the tables of a finished economy and from nothing else.

Rule of this file: plain SQL and sums. The simulated bidders are not asked, so the results are evidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from psycopg.rows import class_row

from callmarket.bridge.api.units import at_us
from callmarket.bridge.studies.economy.options import SHARD_ID
from callmarket.bridge.studies.economy.play import BEGINS_US, DAY_US, FUND, POOL, RESERVE_TOKENS
from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.engine.reject import Reject
from callmarket.persistence.database.connections import connect

GRANT: Final = "earn:grant"
REVIEW: Final = "earn:review"
REWARD: Final = "reward:impact"
SLOT: Final = "settle:slot"
DEMURRAGE: Final = "demurrage"


class Movement(Struct, frozen=True):
    """One row of the ledger."""

    seq: int
    at: datetime
    from_account: str
    to_account: str
    tokens: int
    reason: str
    reference_id: str

    @property
    def day(self) -> int:
        """The day that it belongs to, from 0; a midnight to the day that ends."""
        return max(0, (at_us("at", self.at) - BEGINS_US - 1) // DAY_US)


class RefusedBid(Struct, frozen=True):
    """A bid that its bidder could not pay for: what it wanted to bid, what it had, and the price of the next call.

    It was priced out if it had less than that price.
    """

    seq: int
    at: datetime
    bidder_id: str
    wanted_tokens: int
    available_tokens: int
    price_tokens: int

    @property
    def priced_out(self) -> bool:
        """Whether it could not have bought a slot, whatever it bid."""
        return self.available_tokens < self.price_tokens


class Day(Struct, frozen=True):
    """What was made and destroyed in a day, and what there was at its end. `day` counts from 1.

    `minted_tokens` is granted, funded and earned together: `rewarded` tokens come out of funded ones.
    `supply_tokens` is all that there is, `treasury_tokens` and `pool_tokens` what of it no bidder has. `gini` of the
    bidders' wallets: 0 if all are equal, near 1 if one has all.
    """

    day: int
    granted_tokens: int
    funded_tokens: int
    rewarded_tokens: int
    earned_tokens: int
    minted_tokens: int
    burnt_tokens: int
    demurrage_tokens: int
    supply_tokens: int
    treasury_tokens: int
    pool_tokens: int
    bids_refused: int
    gini: float


class Return(Struct, frozen=True):
    """Somebody was priced out, and perhaps came back (LED-7).

    From the first call whose price it could not pay, to the first slot after it that was bought for more than the
    reserve (`back_at` None: not yet). Meanwhile it `earned` by reviews and got `rewarded` for slots at the reserve,
    less what they cost.
    """

    account_id: str
    refused_at: datetime
    out_price_tokens: int
    available_tokens: int
    bids_refused: int
    earned_tokens: int
    rewarded_tokens: int
    back_at: datetime | None
    price_tokens: int | None


def read_ledger(url: str) -> list[Movement]:
    """All movements, in order."""
    query = """SELECT seq, "timestamp" AS at, from_account, to_account, amount AS tokens, reason, reference_id
        FROM token_ledger WHERE shard_id = %s ORDER BY id"""
    with (
        connect(url, "callmarket economy", read_only=True) as connection,
        connection.cursor(row_factory=class_row(Movement)) as cursor,
    ):
        return cursor.execute(query, (SHARD_ID,)).fetchall()


def read_refused(url: str) -> list[RefusedBid]:
    """All bids that were refused for lack of tokens, in order."""
    query = """SELECT refused.seq, refused_at AS at, command ->> 'bidder_id' AS bidder_id,
          value::bigint AS wanted_tokens, bound::bigint AS available_tokens,
          coalesce(called.clearing_price_tokens, 0) AS price_tokens
        FROM refusals AS refused CROSS JOIN LATERAL (
            SELECT clearing_price_tokens FROM compute_auction_rounds AS round
            WHERE round.shard_id = refused.shard_id AND round.seq > refused.seq ORDER BY round.seq LIMIT 1) AS called
        WHERE shard_id = %s AND refused.seq > 0 AND reason = %s AND command_type = 'place_bid' ORDER BY refused.seq"""
    with (
        connect(url, "callmarket economy", read_only=True) as connection,
        connection.cursor(row_factory=class_row(RefusedBid)) as cursor,
    ):
        return cursor.execute(query, (SHARD_ID, Reject.FUNDS_INSUFFICIENT.value)).fetchall()


def balances_by_day(movements: Iterable[Movement], days: int) -> list[dict[str, int]]:
    """Every account's balance at the end of each day."""
    by_day: list[list[Movement]] = [[] for _ in range(days)]
    for one in movements:
        by_day[one.day].append(one)
    balances: dict[str, int] = {}
    ends = []
    for moved in by_day:
        for one in moved:
            balances[one.from_account] = balances.get(one.from_account, 0) - one.tokens
            balances[one.to_account] = balances.get(one.to_account, 0) + one.tokens
        ends.append(dict(balances))
    return ends


def days_of(movements: Sequence[Movement], refused: Sequence[RefusedBid], days: int, names: Sequence[str]) -> list[Day]:
    """The supply, day by day; `names` are the bidders."""
    found = []
    for number, balances in enumerate(balances_by_day(movements, days)):
        moved = [one for one in movements if one.day == number]
        minted = [one for one in moved if one.from_account == ISSUANCE]
        found.append(
            Day(
                day=number + 1,
                granted_tokens=_sum(minted, GRANT),
                funded_tokens=_sum(minted, FUND),
                rewarded_tokens=_sum(moved, REWARD),
                earned_tokens=_sum(minted, REVIEW),
                minted_tokens=sum(one.tokens for one in minted),
                burnt_tokens=sum(one.tokens for one in moved if one.to_account == ISSUANCE),
                demurrage_tokens=_sum(moved, DEMURRAGE),
                supply_tokens=-balances.get(ISSUANCE, 0),
                treasury_tokens=balances.get(TREASURY, 0),
                pool_tokens=balances.get(POOL, 0),
                bids_refused=sum((at_us("at", one.at) - BEGINS_US) // DAY_US == number for one in refused),
                gini=round(gini([balances.get(name, 0) for name in names]), 4),
            )
        )
    return found


def returns_of(movements: Sequence[Movement], refused: Sequence[RefusedBid]) -> list[Return]:
    """Every time that somebody was priced out, in order, each with how it ended."""
    found = []
    back_seq: dict[str, int] = {}
    for number, first in enumerate(refused):
        if not first.priced_out or first.seq < back_seq.get(first.bidder_id, 0):
            continue
        after = [one for one in movements if one.seq > first.seq]
        back = next(
            (
                one
                for one in after
                if one.from_account == first.bidder_id and one.reason == SLOT and one.tokens > RESERVE_TOKENS
            ),
            None,
        )
        until = after[-1].seq + 1 if back is None else back.seq
        back_seq[first.bidder_id] = until
        meanwhile = [one for one in after if one.seq < until]
        got = [one for one in meanwhile if one.to_account == first.bidder_id]
        paid = [one for one in meanwhile if one.from_account == first.bidder_id]
        found.append(
            Return(
                account_id=first.bidder_id,
                refused_at=first.at,
                out_price_tokens=first.price_tokens,
                available_tokens=first.available_tokens,
                bids_refused=sum(one.bidder_id == first.bidder_id and one.seq < until for one in refused[number:]),
                earned_tokens=_sum(got, REVIEW),
                rewarded_tokens=_sum(got, REWARD) - _sum(paid, SLOT),
                back_at=None if back is None else back.at,
                price_tokens=None if back is None else back.tokens,
            )
        )
    return found


def sums_of(movements: Iterable[Movement]) -> Mapping[tuple[str, str], int]:
    """What each account got (positive) and paid (negative) for each reason."""
    sums: dict[tuple[str, str], int] = {}
    for one in movements:
        for account_id, tokens in ((one.from_account, -one.tokens), (one.to_account, one.tokens)):
            key = account_id, one.reason
            sums[key] = sums.get(key, 0) + tokens
    return sums


def gini(tokens: Sequence[int]) -> float:
    """The Gini coefficient: the mean difference of two wallets, over twice the mean. O(n log n)."""
    total, count = sum(tokens), len(tokens)
    if total == 0:
        return 0.0
    return sum((2 * rank - count - 1) * one for rank, one in enumerate(sorted(tokens), 1)) / (count * total)


def _sum(movements: Iterable[Movement], reason: str) -> int:
    return sum(one.tokens for one in movements if one.reason == reason)
