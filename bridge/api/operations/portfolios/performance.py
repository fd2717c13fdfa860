"""How well an account does in artifact markets: its days, its Sharpe ratio, its record, and who does best.

Rule of this file: from the tables. Days are whole days of UTC up to yesterday, and what is judged was judged by
somebody outside the market; no figure is told without the number of observations that it rests on.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from callmarket.bridge.api.checks import check_name, check_one_of
from callmarket.bridge.api.contract.fields import PathName
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.queries import SUMMING_UP, TableQuery, Tables
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.portfolio import facts
from callmarket.bridge.api.portfolio.days import DAY_S, Day
from callmarket.bridge.api.portfolio.figures import NoSharpe, SharpeRatio, drawdown, sharpe
from callmarket.bridge.api.portfolio.track_record import Bits, Forecast, bits_of, calibration, error_of_sum
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital.limits import MICRO
from callmarket.persistence.queries import portfolios
from callmarket.persistence.queries.portfolios import LeaderRow

__all__ = ["CalibrationDecile", "Leader", "PortfolioDay", "PortfolioDays", "Sharpe", "TrackRecord"]

PERIOD_DAYS_MAX: Final = 366
# Artifacts that were judged, in which an account must have traded to be among the leaders.
ARTIFACTS_MIN: Final = 5
# Returns that a Sharpe ratio among the leaders rests on: more than one that is merely told.
RETURNS_MIN: Final = 20
LEADERS_MAX: Final = 50
# Of how many accounts, those with most profit, the days are reckoned to find the best ratios.
CANDIDATES_MAX: Final = 100
# Trades of a track record, the latest: a tenth of a second.
FORECASTS_MAX: Final = 20_000

LeaderOrder = Literal["profit", "bits", "sharpe"]
BestBy = Annotated[LeaderOrder, Meta(description="What they are ordered by.")]
PeriodDays = Annotated[int, Meta(ge=1, le=PERIOD_DAYS_MAX, description="Whole days of UTC, up to yesterday.")]
LeadersLimit = Annotated[int, Meta(ge=1, le=LEADERS_MAX, description="The largest number of accounts to return.")]


class Sharpe(Struct, frozen=True):
    """The Sharpe ratio of an account's daily returns, a year, against a return of 0.

    `sharpe` is None for a `reason`. `standard_error` is in the same unit: 1.96 errors away from 0 the ratio differs
    from that at 95 %, and `days_needed` are the days until then, if they are like these. Days that began with
    nothing have no return, and are not among the `returns`.
    """

    account_id: str
    period_days: int
    returns: int
    sharpe: float | None
    standard_error: float | None
    days_needed: int | None
    reason: NoSharpe | None
    seq: int
    durable_seq: int


class PortfolioDay(Struct, frozen=True):
    """A day: equity at its beginning and end (positions at average prices), what came and went, and the rest, earned.

    `day_return` is what was earned as a part of what it began with and what came; None if it began with nothing.
    """

    began_at: datetime
    start_tokens: float
    in_tokens: int
    out_tokens: int
    earned_tokens: float
    end_tokens: float
    day_return: float | None


class PortfolioDays(Struct, frozen=True):
    """The days of an account from its first trade on, the oldest first, and the drawdowns of its returns.

    A drawdown is how far it is below the best before: `drawdown_worst` at the worst, `drawdown_last` at the end.
    """

    account_id: str
    days: tuple[PortfolioDay, ...]
    earned_tokens: float
    drawdown_worst: float
    drawdown_last: float
    seq: int
    durable_seq: int


class CalibrationDecile(Struct, frozen=True):
    """Trades that left the price between `price_from` and a tenth more: their mean price, and what long was worth."""

    price_from: float
    forecasts: int
    price: float | None
    outcome: float | None


class TrackRecord(Struct, frozen=True):
    """What an account knew: the bits by which its trades moved prices towards what artifacts turned out to be.

    `standard_error` is that of `bits`, over artifacts; None of fewer than two. `is_complete`: all trades of the period
    are counted, and not only the latest.
    """

    account_id: str
    artifacts: int
    forecasts: int
    bits: float
    standard_error: float | None
    calibration: tuple[CalibrationDecile, ...]
    is_complete: bool
    seq: int
    durable_seq: int


class Leader(Struct, frozen=True):
    """An account among the best. `artifacts` were judged, and it realised `profit_tokens` in them together.

    Bits are as in `get_track_record`. The Sharpe ratio is there if it is what leaders are ordered by. Each figure has
    its standard error: accounts whose figures are within it of each other cannot be told apart.
    """

    account_id: str
    artifacts: int
    profit_tokens: float
    profit_error_tokens: float | None
    bits: float
    bits_error: float | None
    forecasts: int
    returns: int
    sharpe: float | None
    sharpe_error: float | None


@operation("GET", "/portfolios/{account_id}/sharpe", "Portfolios", "Get the Sharpe ratio")
def compute_sharpe(account_id: PathName, period_days: PeriodDays = 30) -> TableQuery[Sharpe]:
    """The Sharpe ratio of an account's last days, with its standard error; None if there are too few, or all alike.

    Raises `NotFound` if there is no such account. Costs the trades and movements of the period.
    """
    check_name("account_id", account_id)
    _check_period(period_days)

    def answer(at: Tables) -> Sharpe:
        found = sharpe(_returns(_days(at, account_id, period_days)))
        return Sharpe(
            account_id=account_id,
            period_days=period_days,
            returns=found.returns,
            sharpe=_number(found.ratio_ppm),
            standard_error=_number(found.error_ppm),
            days_needed=found.days_needed,
            reason=found.reason,
            seq=at.seq,
            durable_seq=at.durable_seq,
        )

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/portfolios/{account_id}/days", "Portfolios", "Get a portfolio day by day")
def get_portfolio_days(account_id: PathName, period_days: PeriodDays = 30) -> TableQuery[PortfolioDays]:
    """Each of an account's last days: equity, flows, what it earned, and its return. Also those without a trade.

    Raises `NotFound` if there is no such account. Costs the trades and movements of the period.
    """
    check_name("account_id", account_id)
    _check_period(period_days)

    def answer(at: Tables) -> PortfolioDays:
        days = _days(at, account_id, period_days)
        falls = drawdown(_returns(days))
        return PortfolioDays(
            account_id=account_id,
            days=tuple(map(_told, days)),
            earned_tokens=number_of(sum(day.earned_microtokens for day in days)),
            drawdown_worst=number_of(falls.worst_ppm),
            drawdown_last=number_of(falls.last_ppm),
            seq=at.seq,
            durable_seq=at.durable_seq,
        )

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/portfolios/{account_id}/track-record", "Portfolios", "Get a track record")
def get_track_record(account_id: PathName, period_days: PeriodDays = PERIOD_DAYS_MAX) -> TableQuery[TrackRecord]:
    """How well an account forecasts: bits and calibration over artifacts that were judged in the period.

    Void markets, and those that ended without a judgement, say nothing. Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)
    _check_period(period_days)

    def answer(at: Tables) -> TrackRecord:
        _check_account(at, account_id)
        record, forecasts = _record(at, account_id, period_days)
        return TrackRecord(
            account_id=account_id,
            artifacts=record.artifacts,
            forecasts=record.forecasts,
            bits=number_of(record.micros),
            standard_error=_number(record.error_micros),
            calibration=tuple(
                CalibrationDecile(
                    one.price_from_micros / MICRO, one.forecasts, _number(one.price_micros), _number(one.outcome_micros)
                )
                for one in calibration(forecasts)
            ),
            is_complete=len(forecasts) < FORECASTS_MAX,
            seq=at.seq,
            durable_seq=at.durable_seq,
        )

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/leaderboard", "Portfolios", "Get the top performers")
def get_top_performers(
    limit: LeadersLimit = 10,
    order: BestBy = "profit",
    period_days: PeriodDays = 90,
) -> TableQuery[Page[Leader]]:
    """The accounts that did best where artifacts were judged in the period, in five of them or more.

    By what they realised there, by bits, or by Sharpe ratio (of 20 returns or more, and of the hundred with most
    profit). What is not judged yet counts for nothing, at whatever price it stands. Costs all positions in these
    artifacts.
    """
    _check_leaders(limit)
    check_one_of("order", order, get_args(LeaderOrder))
    _check_period(period_days)

    def answer(at: Tables) -> Page[Leader]:
        since = _since(at, period_days)
        found = _by_sharpe(at, period_days) if order == "sharpe" else _by(at, order, since, limit)
        leaders = [_leader(at, row, told, period_days) for row, told in found[:limit]]
        if order == "bits":
            leaders.sort(key=lambda one: (-one.bits, one.account_id))
        return Page(tuple(leaders), None, at.seq, at.durable_seq)

    return TableQuery(answer, SUMMING_UP)


def _check_period(period_days: int) -> None:
    if type(period_days) is not int or not 1 <= period_days <= PERIOD_DAYS_MAX:
        raise Invalid("period_days", period_days, f"whole days, 1 to {PERIOD_DAYS_MAX}")


def _check_leaders(limit: int) -> None:
    if type(limit) is not int or not 1 <= limit <= LEADERS_MAX:
        raise Invalid("limit", limit, f"1 to {LEADERS_MAX}")


def _check_account(at: Tables, account_id: str) -> None:
    if not portfolios.account_exists(at.connection, at.shard_id, account_id):
        raise NotFound("account_id", account_id, "an open account")


def _number(millionths: int | None) -> float | None:
    return None if millionths is None else number_of(millionths)


def _today(at: Tables) -> int:
    return int(at.now.timestamp()) // DAY_S


def _since(at: Tables, period_days: int) -> datetime:
    return at.now - timedelta(days=period_days)


def _days(at: Tables, account_id: str, period_days: int) -> list[Day]:
    _check_account(at, account_id)
    found = facts.days(at.connection, at.shard_id, [account_id], _today(at), period_days)
    return found.get(account_id, [])


def _returns(days: Sequence[Day]) -> list[int]:
    return [day.return_ppm for day in days if day.return_ppm is not None]


def _told(day: Day) -> PortfolioDay:
    return PortfolioDay(
        began_at=datetime_of(day.day * DAY_S * MICRO),
        start_tokens=number_of(day.start_microtokens),
        in_tokens=day.in_tokens,
        out_tokens=day.out_tokens,
        earned_tokens=number_of(day.earned_microtokens),
        end_tokens=number_of(day.end_microtokens),
        day_return=_number(day.return_ppm),
    )


def _record(at: Tables, account_id: str, period_days: int) -> tuple[Bits, list[Forecast]]:
    rows = portfolios.forecasts(at.connection, at.shard_id, account_id, _since(at, period_days), FORECASTS_MAX)
    found = [
        Forecast(row.artifact_id, row.price_before_micros, row.price_after_micros, row.settle_price_micros)
        for row in rows
    ]
    return bits_of(found), found


def _by(
    at: Tables, order: Literal["profit", "bits"], since: datetime, limit: int
) -> list[tuple[LeaderRow, SharpeRatio | None]]:
    rows = portfolios.leaders(at.connection, at.shard_id, order, since, ARTIFACTS_MIN, limit)
    if order == "bits":
        # They come first by their trades; what they realised is asked for.
        known = {row.account_id: row for row in _profit(at, [row.account_id for row in rows], since)}
        rows = [known.get(row.account_id, LeaderRow(row.account_id, 0, 0, 0)) for row in rows]
    return [(row, None) for row in rows]


def _profit(at: Tables, account_ids: list[str], since: datetime) -> list[LeaderRow]:
    return portfolios.judged_profit(at.connection, at.shard_id, account_ids, since)


def _by_sharpe(at: Tables, period_days: int) -> list[tuple[LeaderRow, SharpeRatio | None]]:
    since = _since(at, period_days)
    rows = portfolios.leaders(at.connection, at.shard_id, "profit", since, ARTIFACTS_MIN, CANDIDATES_MAX)
    names = [row.account_id for row in rows]
    days = facts.days(at.connection, at.shard_id, names, _today(at), period_days, as_many_as_fit=True)
    ratios = {name: sharpe(_returns(of_account)) for name, of_account in days.items()}
    told = [
        (ratio.ratio_ppm, row, ratio)
        for row in rows
        if (ratio := ratios.get(row.account_id)) and ratio.ratio_ppm is not None and ratio.returns >= RETURNS_MIN
    ]
    return [(row, ratio) for _, row, ratio in sorted(told, key=lambda one: (-one[0], one[1].account_id))]


def _leader(at: Tables, row: LeaderRow, ratio: SharpeRatio | None, period_days: int) -> Leader:
    record, _ = _record(at, row.account_id, period_days)
    return Leader(
        account_id=row.account_id,
        artifacts=row.artifacts,
        profit_tokens=number_of(row.profit_micros),
        profit_error_tokens=_number(error_of_sum(row.artifacts, row.profit_micros, row.squares)),
        bits=number_of(record.micros),
        bits_error=_number(record.error_micros),
        forecasts=record.forecasts,
        returns=0 if ratio is None else ratio.returns,
        sharpe=None if ratio is None else _number(ratio.ratio_ppm),
        sharpe_error=None if ratio is None else _number(ratio.error_ppm),
    )


class PortfolioPerformance:
    """The questions about how well accounts do, as methods of a market."""

    compute_sharpe = compute_sharpe
    get_portfolio_days = get_portfolio_days
    get_track_record = get_track_record
    get_top_performers = get_top_performers
