"""What an account has in artifact markets: its portfolio, its profit and loss, its exposure.

Rule of this file: from the live state, at one row of the journal. What was realised before is history, which the tables
have; it is asked for up to the same row.
"""

from collections.abc import Generator
from datetime import datetime
from heapq import nsmallest
from typing import Any

from msgspec import Struct, structs

from callmarket.bridge.api.capital.holdings import OpenPosition, position_of
from callmarket.bridge.api.capital.quoting import exposure_of, now_of
from callmarket.bridge.api.checks import check_limit, check_name
from callmarket.bridge.api.contract.fields import After, PathName
from callmarket.bridge.api.contract.operation import Workflow, operation
from callmarket.bridge.api.contract.pages import cursor, name_after, number_after
from callmarket.bridge.api.contract.queries import SUMMING_UP, Moment, StateQuery, TableQuery, Tables, weight_of_rows
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.operations.positions import POSITIONS_PER_PAGE_MAX, PositionsLimit
from callmarket.bridge.api.portfolio.days import value
from callmarket.bridge.api.portfolio.standing import (
    EXITS_MAX,
    ArtifactStanding,
    Standing,
    exit_of,
    standing_of,
    value_of,
)
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital.limits import MICRO, PPM
from callmarket.engine.capital.maker import price_of_side
from callmarket.engine.capital.positions import Position
from callmarket.engine.state import State
from callmarket.persistence.queries import portfolios
from callmarket.persistence.queries.portfolios import RealisedRow

__all__ = ["ArtifactExposure", "Pnl", "Portfolio", "PortfolioPosition"]


class PortfolioPosition(OpenPosition, frozen=True):
    """A position. `value_tokens` is at the average price of its side; `unrealised_tokens` is that less its cost."""

    price_average: float
    value_tokens: float
    unrealised_tokens: float


class _Totals(Struct, frozen=True):
    """What both answers have: an account in all artifact markets, at `seq`."""

    account_id: str
    at: datetime
    cost_tokens: float
    value_tokens: float
    unrealised_tokens: float
    exit_value_tokens: float | None
    realised_tokens: float
    positions_open: int


class Pnl(_Totals, frozen=True):
    """What an account has earned in artifact markets, at `seq`. `total_tokens` is realised and unrealised together.

    Unrealised is at average prices, which nobody pays: `exit_value_tokens` is what closing all would bring now, after
    fee and price impact, from the markets that trade; None beyond 300 holdings. `realised_tokens` is what closes and
    settlements brought, less fees and costs. The counts are of all its positions, by how they ended.
    """

    total_tokens: float
    positions_closed: int
    positions_settled_profit: int
    positions_settled_loss: int
    positions_cancelled: int
    seq: int
    durable_seq: int


class Portfolio(_Totals, frozen=True):
    """An account in artifact markets at `seq`, with a page of its open positions in order of their ids.

    `equity_tokens` are wallet, purse and positions at average prices. `purse_tokens` are what it has of started tokens;
    `committed_tokens` is the cost of its positions and what is left to resting orders; `exposure` is that as a part of
    wallet and costs, None of an account that has neither. `exit_value_tokens` and `realised_tokens` are as in
    `compute_pnl`.
    """

    wallet_tokens: int
    held_tokens: int
    purse_tokens: float
    committed_tokens: float
    equity_tokens: float
    exposure: float | None
    artifacts: int
    positions: tuple[PortfolioPosition, ...]
    next: str | None
    seq: int
    durable_seq: int


class ArtifactExposure(Struct, frozen=True):
    """An account in one artifact: `net_long_shares` are its long shares less its short ones.

    `exposure` is what it has committed there as a part of its wealth, which a market bounds (POS-5).
    `exit_value_tokens` is what closing all of it would bring now; None while its market does not trade.
    """

    artifact_id: str
    long_shares: float
    short_shares: float
    net_long_shares: float
    cost_tokens: float
    committed_tokens: float
    exposure: float | None
    value_tokens: float
    unrealised_tokens: float
    exit_value_tokens: float | None


@operation("GET", "/portfolios/{account_id}", "Portfolios", "Get a portfolio")
def get_portfolio(
    account_id: PathName, *, limit: PositionsLimit = 50, after: After | None = None
) -> Workflow[Portfolio]:
    """What an account has in artifact markets: wallet, equity, exposure, profit, and its open positions, in pages.

    Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)
    _check_limit(limit)
    last_id = number_after("portfolio", after) or 0

    def steps() -> Generator[Any, Any, Portfolio]:
        found: Portfolio = yield StateQuery(
            lambda moment: _portfolio(moment, account_id, limit, last_id),
            lambda state: _weight(state, account_id, limit),
        )
        realised: RealisedRow = yield _realised(account_id, found.seq)
        return structs.replace(found, realised_tokens=number_of(realised.realised_micros))

    return Workflow(steps())


@operation("GET", "/portfolios/{account_id}/pnl", "Portfolios", "Get profit and loss")
def compute_pnl(account_id: PathName) -> Workflow[Pnl]:
    """What an account has earned in artifact markets: realised, unrealised, and what closing all would bring now.

    Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)

    def steps() -> Generator[Any, Any, Pnl]:
        found: Pnl = yield StateQuery(
            lambda moment: _pnl(moment, account_id), lambda state: _weight(state, account_id, 0)
        )
        realised: RealisedRow = yield _realised(account_id, found.seq)
        return structs.replace(
            found,
            realised_tokens=number_of(realised.realised_micros),
            total_tokens=number_of(realised.realised_micros + round(found.unrealised_tokens * MICRO)),
            positions_closed=realised.closed,
            positions_settled_profit=realised.settled_profit,
            positions_settled_loss=realised.settled_loss,
            positions_cancelled=realised.cancelled,
        )

    return Workflow(steps())


@operation("GET", "/portfolios/{account_id}/exposure", "Portfolios", "Get exposure by artifact")
def compute_exposure(
    account_id: PathName, *, limit: PositionsLimit = 50, after: After | None = None
) -> StateQuery[Page[ArtifactExposure]]:
    """What an account has in each artifact, in order of their ids, in pages: net long, committed, and as a part of all.

    Raises `NotFound` if there is no such account.
    """
    check_name("account_id", account_id)
    _check_limit(limit)
    last = name_after("exposure", after) or ""

    def answer(moment: Moment) -> Page[ArtifactExposure]:
        standing = _standing(moment.state, account_id)
        names = nsmallest(limit + 1, (name for name in standing.artifacts if name > last))
        items = tuple(_exposure(moment, account_id, standing.artifacts[name]) for name in names[:limit])
        more = cursor("exposure", names[limit - 1]) if len(names) > limit else None
        return Page(items, more, moment.state.seq, moment.durable_seq)

    return StateQuery(answer, lambda state: _weight(state, account_id, 2 * limit))


def _check_limit(limit: int) -> None:
    check_limit(limit)
    if limit > POSITIONS_PER_PAGE_MAX:
        raise Invalid("limit", limit, f"1 to {POSITIONS_PER_PAGE_MAX}")


def _standing(state: State, account_id: str) -> Standing:
    if account_id not in state.ledger.accounts:
        raise NotFound("account_id", account_id, "an open account")
    return standing_of(state, account_id)


def _weight(state: State, account_id: str, walks: int) -> int:
    """Each walk costs 30 us, and each position a microsecond."""
    held = len(state.capital.positions_by_account.get(account_id, ()))
    orders = len(state.capital.orders_by_account.get(account_id, ()))
    return weight_of_rows(20 * (min(walks, held) + min(EXITS_MAX, 2 * held)) + held + orders)


def _realised(account_id: str, seq: int) -> TableQuery[RealisedRow]:
    def answer(at: Tables) -> RealisedRow:
        return portfolios.realised(at.connection, at.shard_id, account_id, seq)

    return TableQuery(answer, SUMMING_UP)


def _totals(moment: Moment, account_id: str, standing: Standing, worth: int) -> dict[str, Any]:
    markets, now_us = moment.state.capital.markets, now_of(moment)
    exits: int | None = None
    if sum(len(list(one.sides())) for one in standing.artifacts.values()) <= EXITS_MAX:
        exits = sum(exit_of(markets[name], one, account_id, now_us) or 0 for name, one in standing.artifacts.items())
    return {
        "account_id": account_id,
        "at": datetime_of(now_us),
        "cost_tokens": number_of(standing.cost_microtokens),
        "value_tokens": number_of(worth),
        "unrealised_tokens": number_of(worth - standing.cost_microtokens),
        "exit_value_tokens": None if exits is None else number_of(exits),
        # It is filled in by the tables, as all that is over.
        "realised_tokens": 0.0,
        "positions_open": standing.positions,
        "seq": moment.state.seq,
        "durable_seq": moment.durable_seq,
    }


def _worth(moment: Moment, standing: Standing) -> int:
    """All positions at average prices, in microtokens."""
    markets, now_us = moment.state.capital.markets, now_of(moment)
    return sum(value_of(markets[name], one, now_us) for name, one in standing.artifacts.items())


def _pnl(moment: Moment, account_id: str) -> Pnl:
    standing = _standing(moment.state, account_id)
    return Pnl(
        **_totals(moment, account_id, standing, _worth(moment, standing)),
        total_tokens=0.0,
        positions_closed=0,
        positions_settled_profit=0,
        positions_settled_loss=0,
        positions_cancelled=0,
    )


def _portfolio(moment: Moment, account_id: str, limit: int, last_id: int) -> Portfolio:
    state, standing = moment.state, _standing(moment.state, account_id)
    held = state.capital.positions_by_account.get(account_id, {})
    ids = nsmallest(limit + 1, (one for one in held if one > last_id))
    worth, committed = _worth(moment, standing), standing.committed_microtokens
    wallet = standing.wallet_tokens * MICRO
    wealth = state.capital.wealth_microtokens(state.ledger.accounts[account_id])
    return Portfolio(
        **_totals(moment, account_id, standing, worth),
        wallet_tokens=standing.wallet_tokens,
        held_tokens=standing.held_tokens,
        purse_tokens=number_of(standing.change_microtokens),
        committed_tokens=number_of(committed),
        equity_tokens=number_of(wallet + standing.change_microtokens + worth),
        exposure=number_of(committed * PPM // wealth) if wealth else None,
        artifacts=len(standing.artifacts),
        positions=tuple(_position(moment, held[one]) for one in ids[:limit]),
        next=cursor("portfolio", ids[limit - 1]) if len(ids) > limit else None,
    )


def _position(moment: Moment, position: Position) -> PortfolioPosition:
    state, now_us = moment.state, now_of(moment)
    average = state.capital.markets[position.artifact_id].average_at(now_us).micros
    worth = value(position.side, position.microshares, average)
    return PortfolioPosition(
        **structs.asdict(position_of(state, position, now_us)),
        price_average=number_of(price_of_side(position.side, average)),
        value_tokens=number_of(worth),
        unrealised_tokens=number_of(worth - position.cost_microtokens),
    )


def _exposure(moment: Moment, account_id: str, standing: ArtifactStanding) -> ArtifactExposure:
    state, now_us = moment.state, now_of(moment)
    market = state.capital.markets[standing.artifact_id]
    worth, exits = value_of(market, standing, now_us), exit_of(market, standing, account_id, now_us)
    return ArtifactExposure(
        artifact_id=standing.artifact_id,
        long_shares=number_of(standing.long_microshares),
        short_shares=number_of(standing.short_microshares),
        net_long_shares=number_of(standing.net_long_microshares),
        cost_tokens=number_of(standing.cost_microtokens),
        committed_tokens=number_of(standing.committed_microtokens),
        exposure=exposure_of(state, market, account_id),
        value_tokens=number_of(worth),
        unrealised_tokens=number_of(worth - standing.cost_microtokens),
        exit_value_tokens=None if exits is None else number_of(exits),
    )


class PortfolioHoldings:
    """The questions about what accounts have, as methods of a market."""

    get_portfolio = get_portfolio
    compute_pnl = compute_pnl
    compute_exposure = compute_exposure
