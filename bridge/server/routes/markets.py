"""Markets: opening one, calling it, sweeping what is due.

Rule of this file: that of its folder.
"""

from datetime import timedelta

import msgspec
from litestar import get, post, put
from litestar.params import JSONBody

from callmarket.bridge.api import results, verbs
from callmarket.bridge.api.bodies import CycleSetting, NewMarket
from callmarket.bridge.api.errors import told_as
from callmarket.bridge.api.figures import Candles, RecentStats
from callmarket.bridge.api.questions import RoundRow
from callmarket.bridge.api.reads import MarketDetail, MarketRow, OrderBook, Quote
from callmarket.bridge.api.results import Page, Round, Stamp, Swept
from callmarket.bridge.scheduler.caller import CycleStatus
from callmarket.bridge.server.routes.common import (
    COMMAND,
    QUESTION,
    AckQuery,
    After,
    Depth,
    GivenCaller,
    GivenService,
    Limit,
    Name,
    NameQuery,
    Newest,
    PathId,
    PeriodS,
    Price,
    Time,
    instant,
    problems,
)
from callmarket.bridge.server.service import Service


class CycleDetail(CycleStatus, frozen=True):
    """When a market is called and how that goes, at `seq` of the market's history."""

    seq: int
    durable_seq: int


@post("/markets", operation_id="open_market", summary="Open a market", responses=COMMAND)
async def open_market(
    data: JSONBody[NewMarket],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> Stamp:
    """Open a market with its rules, which stay as they are. Needs the scope `operate`; to pay rewards, `admin`."""
    request = verbs.open_market(
        data.market_id,
        pricing_rule=data.pricing_rule,
        reserve_price_tokens=data.reserve_price_tokens,
        awards_per_bidder_max=data.awards_per_bidder_max,
        lease=data.lease,
        lapse_policy=data.lapse_policy,
        reward_tokens_per_impact=data.reward_tokens_per_impact,
        reward_cap_tokens=data.reward_cap_tokens,
        task_scope=data.task_scope,
        reward_account_id=data.reward_account_id,
        reward_day_cap_tokens=data.reward_day_cap_tokens,
        command_id=caller.command_id,
    )
    return results.stamp(await service.submit(caller, request, ack))


@post(
    "/markets/{market_id:str}/clear",
    operation_id="clear_round",
    summary="Call a market",
    status_code=200,
    responses=COMMAND,
)
async def clear_round(
    market_id: PathId, caller: GivenCaller, service: GivenService, now: Time = None, ack: AckQuery = "durable"
) -> Round:
    """Match bids and slots, price and award, and release the losers. Needs the scope `operate`.

    `now` is for who drives the market's time: it may not be ahead of the service's clock by more than a second.
    """
    return await service.clear_round(caller, market_id, instant("now", now), ack)


@post("/sweep", operation_id="refund_unfilled", summary="End what is due", status_code=200, responses=COMMAND)
async def refund_unfilled(
    caller: GivenCaller, service: GivenService, now: Time = None, ack: AckQuery = "durable"
) -> Swept:
    """End bids and holds past their deadline and awards past their lease, and release losers. Needs `operate`.

    The service does so by itself; this is for those who cannot wait.
    """
    return await service.refund_unfilled(caller, instant("now", now), ack)


@get("/markets", operation_id="markets", summary="List markets", responses=QUESTION)
async def list_markets(service: GivenService) -> Page[MarketRow]:
    """All markets by name, with their rules and what is in them."""
    return await service.market.markets()


@get("/markets/{market_id:str}", operation_id="market", summary="Look at a market", responses=QUESTION)
async def get_market(market_id: PathId, service: GivenService) -> MarketDetail:
    """A market: its rules, and what is in it."""
    return await service.market.market(market_id)


@get("/markets/{market_id:str}/order-book", operation_id="get_order_book", summary="Order book", responses=QUESTION)
async def get_order_book(market_id: PathId, service: GivenService, limit: Limit = 100, depth: Depth = 20) -> OrderBook:
    """The best `limit` bids and first asks, and the best `depth` prices with the number of bids at each."""
    return await service.market.get_order_book(market_id, limit, depth)


@get("/markets/{market_id:str}/quote", operation_id="quote", summary="Would I win now?", responses=problems(404, 409))
async def get_quote(
    market_id: PathId,
    service: GivenService,
    max_price_tokens: Price,
    bidder_id: NameQuery = None,
    task_id: NameQuery = None,
    at: Time = None,
) -> Quote:
    """Whether a bid of this price would win if the market were called now, or `at`, and what it would pay.

    No promise: others may bid before the call. With a bidder and a task it minds their caps, funds, awards and bids.
    """
    return await service.market.quote(
        market_id, max_price_tokens, bidder_id=bidder_id, task_id=task_id, at=instant("at", at)
    )


@get("/markets/{market_id:str}/stats", operation_id="get_recent_stats", summary="Recent figures", responses=QUESTION)
async def get_recent_stats(
    market_id: PathId, service: GivenService, period_s: PeriodS = 86_400.0, limit: Limit = 1_000
) -> RecentStats:
    """Prices paid, fill rate, and the ten best winning bids beside their impact, of a period up to now.

    `limit` is how many of its rounds are listed at most, the newest first; the totals count all.
    """
    return await service.market.get_recent_stats(market_id, timedelta(seconds=period_s), limit=limit)


@get("/candles", operation_id="get_candles", summary="Figures of a chart", responses=QUESTION)
async def get_candles(
    market_id: Name, service: GivenService, period_s: PeriodS = 86_400.0, interval_s: PeriodS = 300.0
) -> Candles:
    """Prices paid, supply and awards of a period up to now, in at most a thousand equal parts."""
    with told_as(interval="interval_s"):
        return await service.market.get_candles(market_id, timedelta(seconds=period_s), timedelta(seconds=interval_s))


@get("/markets/{market_id:str}/cycle", operation_id="cycle", summary="When it is called", responses=QUESTION)
async def get_cycle(market_id: PathId, service: GivenService) -> CycleDetail:
    """When a market is called, when next, and how that went since this process leads."""
    return _cycle(await service.cycle(market_id), service)


@put(
    "/markets/{market_id:str}/cycle",
    operation_id="set_cycle",
    summary="Set when it is called",
    responses=problems(404, 408, 413),
)
async def set_cycle(
    market_id: PathId, data: JSONBody[CycleSetting], caller: GivenCaller, service: GivenService
) -> CycleDetail:
    """Set when a market is called, from now on. Needs the scope `operate`."""
    return _cycle(await service.set_cycle(caller, market_id, data.mode, data.period), service)


@get("/rounds", operation_id="get_rounds", summary="List rounds", responses=QUESTION)
async def list_rounds(
    service: GivenService,
    market_id: NameQuery = None,
    since: Time = None,
    limit: Limit = 100,
    after: After = None,
    order: Newest = "newest",
) -> Page[RoundRow]:
    """Calls of a market, or of all: supply, demand, price."""
    return await service.market.get_rounds(market_id, limit, since=instant("since", since), after=after, order=order)


def _cycle(status: CycleStatus, service: Service) -> CycleDetail:
    seq, durable_seq = service.position()
    return CycleDetail(**msgspec.structs.asdict(status), seq=seq, durable_seq=durable_seq)


HANDLERS = (
    open_market,
    list_markets,
    get_market,
    get_order_book,
    get_quote,
    get_recent_stats,
    get_candles,
    get_cycle,
    set_cycle,
    clear_round,
    list_rounds,
    refund_unfilled,
)
