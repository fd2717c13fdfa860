"""From the rows of the tables to the accounts of which days are reckoned.

Rule of this file: it asks and sorts, and reckons nothing. Each question is put once for all accounts.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.portfolio.days import Account, Day, Holding, Moved, Traded, days_of, held_at
from callmarket.persistence.queries import portfolios

if TYPE_CHECKING:
    import psycopg

# Sides of artifacts times days of one question: each may need the price of a day, which is a look-up of 20 us.
HOLDING_DAYS_MAX: Final = 100_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def accounts_of(
    connection: "psycopg.Connection", shard_id: int, account_ids: Sequence[str], today: int, period_days: int
) -> dict[str, tuple[int, Account]]:
    """Those of these accounts that have traded before today, each with the first of its days in the period."""
    cash = {
        row.account_id: row
        for row in portfolios.cash(connection, shard_id, account_ids)
        if row.first_day is not None and row.first_day < today
    }
    if not cash:
        return {}
    names = list(cash)
    first = {name: max(today - period_days, row.first_day or 0) for name, row in cash.items()}
    since = _EPOCH + timedelta(days=min(first.values()))
    shares: defaultdict[str, dict[Holding, int]] = defaultdict(dict)
    for one in portfolios.shares(connection, shard_id, names):
        shares[one.account_id][one.artifact_id, one.side] = one.shares_micros
    traded: defaultdict[str, list[Traded]] = defaultdict(list)
    for did in portfolios.traded_since(connection, shard_id, names, since):
        holding = (did.artifact_id, did.side)
        traded[did.account_id].append(Traded(did.day, holding, did.shares_micros, did.tokens_micros))
    moved: defaultdict[str, list[Moved]] = defaultdict(list)
    for came in portfolios.moved_since(connection, shard_id, names, since):
        moved[came.account_id].append(Moved(came.day, came.in_tokens, came.out_tokens))
    return {
        name: (
            first[name],
            Account(
                cash[name].cash_micros,
                shares[name],
                [one for one in traded[name] if one.day >= first[name]],
                [one for one in moved[name] if one.day >= first[name]],
            ),
        )
        for name in names
    }


def days(
    connection: "psycopg.Connection",
    shard_id: int,
    account_ids: Sequence[str],
    today: int,
    period_days: int,
    *,
    as_many_as_fit: bool = False,
) -> dict[str, list[Day]]:
    """The days of each of these accounts that has traded, up to yesterday.

    Raises `Invalid` if that is too much at once, or leaves out those that do not fit, `as_many_as_fit`.
    """
    accounts = accounts_of(connection, shard_id, account_ids, today, period_days)
    size = 0
    for name in [name for name in account_ids if name in accounts]:
        more = _holding_days(*accounts[name], today)
        if size + more > HOLDING_DAYS_MAX and as_many_as_fit:
            del accounts[name]
        else:
            size += more
    if size > HOLDING_DAYS_MAX:
        most = max(period_days * HOLDING_DAYS_MAX // size, 1)
        raise Invalid("period_days", period_days, f"at most {most}: every position of every day needs a price")
    wanted: set[tuple[str, int]] = set()
    for first_day, account in accounts.values():
        wanted |= held_at(account, first_day, today)
    prices = portfolios.prices_at(connection, shard_id, sorted(wanted))
    return {
        name: days_of(account, first_day, today, lambda artifact_id, day: prices[artifact_id, day])
        for name, (first_day, account) in accounts.items()
    }


def _holding_days(first_day: int, account: Account, today: int) -> int:
    """The days of an account times the sides of artifacts that it may have had on them."""
    return len({*account.microshares, *(one.holding for one in account.traded)}) * (today - first_day + 1)
