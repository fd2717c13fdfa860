"""Bids on behalf of quests, on a real market, in this process and over HTTP alike.

Goal: what is in the book is what the backlog is worth; submitting again changes nothing; the market's refusals, a round
in the middle and an answer that was lost are reported, not raised, and no task ever has two bids.
"""

import math
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from callmarket import (
    Client,
    Exchange,
    ExchangeError,
    ManualClock,
    NotFound,
    Unavailable,
    UnknownOutcome,
    open_exchange,
)
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.ev_scorer import BidReport, submit_bids_for_tasks
from callmarket.bridge.fleet.tasks.model import Quest, Task
from tests.bridge.conftest import START_US
from tests.support.memory_tasks import MemoryTasks
from tests.support.served_market import served
from tests.support.service_process import served as served_process

CONFIG = Config(ev_default_cost_tokens=1_000, ev_tokens_per_impact=1_000)
TTL = timedelta(seconds=CONFIG.ev_bid_ttl_s)
# Of the exchange that all tests share, and that never goes back in time.
CLOCK = ManualClock(START_US)


@pytest.fixture(scope="module")
def owner(module_database_url: str) -> Iterator[Exchange]:
    """One exchange for the whole file: each test has a market and wallets of its own."""
    with open_exchange(module_database_url, clock=CLOCK) as exchange:
        yield exchange


@pytest.fixture(scope="module", params=["exchange", "client"])
def market(request: pytest.FixtureRequest, owner: Exchange) -> Iterator[Market]:
    if request.param == "exchange":
        yield owner
        return
    with served(owner) as service, Client(service.url, service.key(admin=True)) as client:
        yield client


class Stage:
    """A market of its own with one quest that has this many tokens."""

    def __init__(self, market: Market, tokens: int) -> None:
        self.market = market
        self.name = f"m-{uuid.uuid4().hex[:12]}"
        self.source = MemoryTasks()
        market.open_market(self.name)
        self.quest(f"quest-{self.name}", tokens)

    def quest(self, account_id: str, tokens: int, quest_id: str = "q", **more: Any) -> None:
        if account_id not in [quest.account_id for quest in self.source.quests()]:
            self.market.open_account(account_id, "quest")
            self.market.mint(account_id, tokens, "grant:initial")
        self.source.put(Quest(quest_id, account_id, **more))
        self.account_id = account_id

    def task(self, name: str, value: float = 1.0, quest_id: str = "q", **more: Any) -> None:
        """A task worth `value` thousand tokens; its name gets the market's, so that no two tests share one."""
        self.source.put(Task(self.id(name), quest_id, value, 1.0, 1.0, estimated_cost_tokens=1_000, **more))

    def id(self, name: str) -> str:
        return f"{name}-{self.name}"

    def submit(self, now: datetime | None = None, config: Config = CONFIG) -> BidReport:
        now = datetime_of(CLOCK()) if now is None else now
        report = submit_bids_for_tasks(self.market, self.source, self.name, now, config)
        if len(report.cases) == report.changed + report.kept + sum(report.skipped.values()):
            check_cases(report)
        return report

    def book(self) -> dict[str, int]:
        """The prices of the open bids, by the short name of their tasks."""
        bids = self.market.get_order_book(self.name, 1_000).bids
        assert len({bid.task_id for bid in bids}) == len(bids)
        return {bid.task_id.removesuffix(f"-{self.name}"): bid.max_price_tokens for bid in bids}

    def offer_and_call(self) -> None:
        self.market.offer_slot(self.name, f"slot-{uuid.uuid4().hex[:8]}")
        self.market.clear_round(self.name)


def check_cases(report: BidReport) -> None:
    """The cases say what the counts say."""
    for action in ("placed", "amended", "cancelled", "kept"):
        assert sum(case.action == action for case in report.cases) == getattr(report, action)
    for reason, count in report.skipped.items():
        assert sum((case.action, case.reason) == ("skipped", reason) for case in report.cases) == count


def numbers(report: BidReport) -> tuple[int, int, int, int, dict[str, int]]:
    return report.placed, report.amended, report.cancelled, report.kept, dict(report.skipped)


def test_each_open_task_of_a_backlog_gets_a_capped_bid(market: Market) -> None:
    """BRG-1, AUC-8: 0.6 of what each unblocked open task is worth, capped at the wallet // tasks; again: nothing."""
    stage = Stage(market, 3_000)
    for name, value in (("high", 5.0), ("mid", 1.0), ("low", 0.5), ("nothing", 0.001)):
        stage.task(name, value)
    stage.task("blocked", 9.0, blocked=True)
    stage.task("done", 9.0, status="done")
    report = stage.submit()
    assert numbers(report) == (3, 0, 0, 0, {"blocked": 1, "zero": 1})
    assert stage.book() == {"high": 1_000, "mid": 600, "low": 300}
    (bid, *_) = market.get_order_book(stage.name).bids
    assert (bid.bidder_id, bid.time_in_force, bid.ttl_at) == (stage.account_id, "gtd", datetime_of(CLOCK()) + TTL)
    assert market.wallet(stage.account_id).available_tokens == 1_100
    assert numbers(stage.submit()) == (0, 0, 0, 3, {"blocked": 1, "zero": 1})


def test_resting_bids_are_amended_or_cancelled_as_the_backlog_changes(market: Market) -> None:
    """BRG-1, BID-5: amended rather than doubled, cancelled when blocked, done or gone, and the cap grows with it."""
    stage = Stage(market, 1_000)
    for number in range(5):
        stage.task(f"t{number}")
    stage.submit()
    assert stage.book() == {f"t{number}": 200 for number in range(5)}
    stage.task("t0", blocked=True)
    stage.task("t1", status="done")
    stage.task("t2", 0.1)
    stage.task("t3", 0.0)
    report = stage.submit()
    assert numbers(report) == (0, 2, 3, 0, {})
    assert stage.book() == {"t2": 60, "t4": 500}
    reasons = {case.task_id.partition("-")[0]: case.reason for case in report.cases if case.action == "cancelled"}
    assert reasons == {"t0": "blocked", "t1": "not open", "t3": "zero"}
    assert numbers(stage.submit()) == (0, 0, 0, 2, {"blocked": 1, "zero": 1})


def test_an_award_ends_the_bidding_for_its_task(market: Market) -> None:
    """BRG-1, BID-6: a task with an award is not bid for although its source still calls it open, nor is it counted."""
    stage = Stage(market, 1_000)
    stage.task("won", 2.0)
    stage.task("other", 1.0)
    stage.submit()
    stage.offer_and_call()
    assert stage.book() == {"other": 500}
    report = stage.submit()
    # The award holds its price, the 500 of the other bid; all that is left is now the other's.
    assert numbers(report) == (0, 0, 0, 1, {"awarded": 1})
    market.mint(stage.account_id, 100, "grant:more")
    assert numbers(stage.submit()) == (0, 1, 0, 0, {"awarded": 1})
    assert stage.book() == {"other": 600}


def test_the_award_of_another_wallet_is_a_refusal_in_the_report(market: Market) -> None:
    """BID-6: the market says TASK_AWARDED; the other bids are placed all the same."""
    stage = Stage(market, 1_000)
    stage.task("shared")
    stage.task("own")
    other = f"agent-{stage.name}"
    market.open_account(other)
    market.mint(other, 10, "grant:initial")
    market.place_bid(stage.name, other, stage.id("shared"), 5)
    stage.offer_and_call()
    report = stage.submit()
    assert numbers(report) == (1, 0, 0, 0, {"TASK_AWARDED": 1})
    assert stage.book() == {"own": 500}


class Interrupted:
    """A market in which something happens right before the n-th change."""

    def __init__(self, market: Market, verb: str, happens: Any, at: int = 1) -> None:
        self._market, self._verb, self._happens, self._left = market, verb, happens, at

    def __getattr__(self, name: str) -> Any:
        if name == self._verb:
            self._left -= 1
            if not self._left:
                self._happens()
        return getattr(self._market, name)


@pytest.mark.parametrize("verb", ["amend_bid", "cancel_bid"])
def test_a_round_between_reading_and_changing(market: Market, verb: str) -> None:
    """BID-8: a bid that has won meanwhile is BID_WON in the report; the next submission sees its award."""
    stage = Stage(market, 1_000)
    stage.task("t")
    stage.submit()
    stage.task("t", 0.5, blocked=verb == "cancel_bid")
    stage.market = Interrupted(market, verb, stage.offer_and_call)  # type: ignore[assignment]
    assert numbers(stage.submit()) == (0, 0, 0, 0, {"BID_WON": 1})
    assert numbers(stage.submit()) == (0, 0, 0, 0, {"blocked" if verb == "cancel_bid" else "awarded": 1})


def test_tokens_that_are_spent_between_reading_and_bidding(market: Market) -> None:
    """LED-7: FUNDS_INSUFFICIENT for the bids that no longer fit, and the others are placed."""
    stage = Stage(market, 1_000)
    for name in ("a", "b"):
        stage.task(name)
    spend = lambda: market.burn(stage.account_id, 400, "spent")  # noqa: E731
    stage.market = Interrupted(market, "place_bids", spend)  # type: ignore[assignment]
    assert numbers(stage.submit()) == (1, 0, 0, 0, {"FUNDS_INSUFFICIENT": 1})
    assert numbers(stage.submit())[:4] == (1, 1, 0, 0)
    assert stage.book() == {"a": 300, "b": 300}


def test_submitting_again_after_a_lost_answer_does_each_thing_once(market: Market) -> None:
    """IDM-1, BID-5: submitting again after an unknown outcome does each thing once, also an amendment."""
    stage = Stage(market, 1_000)
    stage.task("a")
    stage.task("b")
    for verb in ("place_bids", "amend_bid", "cancel_bid"):
        lost = Lost(market, verb)
        stage.market = lost  # type: ignore[assignment]
        with pytest.raises(UnknownOutcome):
            stage.submit()
        stage.submit()
        assert numbers(stage.submit())[:3] == (0, 0, 0)
        assert lost.lost
        if verb == "place_bids":
            assert stage.book() == {"a": 500, "b": 500}
            stage.task("a", 0.5)
        elif verb == "amend_bid":
            assert stage.book() == {"a": 300, "b": 500}
            stage.task("a", blocked=True)
    assert stage.book() == {"b": 600}


class Lost:
    """A market whose first answer to a verb is lost: it was done, and nobody knows."""

    def __init__(self, market: Market, verb: str) -> None:
        self._market, self._verb = market, verb
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._market, name)
        if name != self._verb or self.lost:
            return method

        def lose(*args: Any, **kwargs: Any) -> Any:
            method(*args, **kwargs)
            self.lost = True
            raise UnknownOutcome("the answer was lost", range(0))

        return lose


def test_bids_are_prolonged_and_run_out_without_a_scorer(market: Market) -> None:
    """BRG-1, BID-3: a deadline that is half over moves, and the bid keeps its id; without a scorer all comes back."""
    stage = Stage(market, 1_000)
    stage.task("t")
    stage.submit()
    (before,) = market.get_order_book(stage.name).bids
    ttl_us = TTL // timedelta(microseconds=1)
    CLOCK.set_us(CLOCK() + ttl_us * 3 // 4)
    assert numbers(stage.submit()) == (0, 1, 0, 0, {})
    (after,) = market.get_order_book(stage.name).bids
    assert after == msgspec.structs.replace(before, ttl_at=datetime_of(CLOCK()) + TTL)
    CLOCK.set_us(CLOCK() + ttl_us)
    market.refund_unfilled()
    assert market.wallet(stage.account_id).available_tokens == 1_000


def test_quests_that_share_a_wallet_share_its_cap(market: Market) -> None:
    """BRG-1, Precisely: 900 tokens and three tasks of two quests, each with its own fraction."""
    stage = Stage(market, 900)
    stage.quest(stage.account_id, 0, "r", bid_fraction=0.1)
    stage.task("q1")
    stage.task("q2")
    stage.task("r1", quest_id="r")
    assert numbers(stage.submit()) == (3, 0, 0, 0, {})
    assert stage.book() == {"q1": 300, "q2": 300, "r1": 100}


@pytest.mark.parametrize("fraction", [math.nan, math.inf, -0.1, 11.0, 10**400, None, "half"])
def test_a_missing_wallet_stops_no_other(market: Market, fraction: Any) -> None:
    """BRG-1: nor does one whose fraction is no number, or out of bounds."""
    stage = Stage(market, 900)
    stage.task("t")
    stage.source.put(Quest("a", "wallet-of-nobody"), Quest("b", stage.account_id, bid_fraction=fraction))
    stage.task("of-nobody", quest_id="a")
    stage.task("of-nan", quest_id="b")
    assert numbers(stage.submit()) == (1, 0, 0, 0, {"NotFound": 1, "unsound": 1, "zero": 1})
    assert stage.book() == {"t": 600}


def test_an_empty_wallet_is_priced_out_until_it_earns(market: Market) -> None:
    """LED-7, BRG-1, AUC-14: what rests is kept, nothing new is bid, and tokens bring it back."""
    stage = Stage(market, 1)
    stage.task("a")
    stage.task("b")
    assert numbers(stage.submit()) == (0, 0, 0, 0, {"funds": 2})
    market.mint(stage.account_id, 99, "earn:debate", "debate", stage.name)
    assert numbers(stage.submit()) == (2, 0, 0, 0, {})
    assert stage.book() == {"a": 50, "b": 50}


def test_a_market_that_there_is_not(market: Market) -> None:
    with pytest.raises(NotFound, match="market_id"):
        submit_bids_for_tasks(market, MemoryTasks(), "nowhere", datetime_of(CLOCK()))


def test_more_tasks_than_one_request_or_page_takes(market: Market) -> None:
    """BRG-1, BID-9: 1,700 bids of 2,500 tasks, in batches and pages; the report names some and counts all."""
    stage = Stage(market, 10**9)
    config = msgspec.structs.replace(CONFIG, ev_bids_per_wallet_max=1_700)
    for number in range(2_500):
        stage.task(f"t{number:04}", 1.0 + number / 1_000)
    report = stage.submit(config=config)
    assert numbers(report) == (1_700, 0, 0, 0, {"outranked": 800})
    assert len(report.cases) == 200
    assert numbers(stage.submit(config=config)) == (0, 0, 0, 1_700, {"outranked": 800})
    assert market.market(stage.name).bids_open == 1_700


def test_a_service_that_is_killed_in_the_middle(database_url: str) -> None:
    """BRG-1, IDM-1: a real process, killed between two wallets and started again: each task has its one bid."""
    with served_process(database_url) as service, Client(service.url, service.key, timeout_s=5) as client:
        now = client.refund_unfilled().stamp.at
        stage = Stage(client, 60_000)
        stage.quest(f"second-{stage.name}", 60_000, "r")
        for number in range(200):
            stage.task(f"t{number:03}", quest_id="qr"[number % 2])
        stage.market = Interrupted(client, "place_bids", service.kill, at=2)  # type: ignore[assignment]
        with pytest.raises(ExchangeError) as raised:
            stage.submit(now)
        assert isinstance(raised.value, Unavailable | UnknownOutcome)
        with served_process(database_url, service.home) as again, Client(again.url, service.key) as market:
            stage.market = market
            assert numbers(stage.submit(now)) == (100, 0, 0, 100, {})
            assert numbers(stage.submit(now)) == (0, 0, 0, 200, {})
            assert stage.book() == {f"t{number:03}": 600 for number in range(200)}
