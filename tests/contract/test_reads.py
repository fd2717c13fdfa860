"""What every way to a market owes who asks it something: the answer, the seqs that it saw, pages, and the errors.

Goal: as `test_verbs`. Method: one small market with something in each state; lists are read page by page, in both
orders.
"""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from callmarket import Exchange, Invalid, ManualClock, NotFound
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.accounts import Earnings, Wallet
from callmarket.bridge.api.operations.bids import BidDetail, Outcome
from callmarket.bridge.api.operations.holds import HoldDetail
from callmarket.bridge.api.operations.markets import MarketDetail, MarketRow, OrderBook, Quote
from callmarket.bridge.api.operations.quest_budgets import QuestBudgets
from callmarket.bridge.api.operations.rounds import Candles, RecentStats
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.engine.commands import LapsePolicy, PricingRule
from callmarket.engine.reject import Reject
from callmarket.persistence.queries import AwardRow, BidRow, HoldRow, MovementRow, RoundRow, SlotRow, WalletRow
from tests.bridge.conftest import START_US
from tests.support.small_market import at


@pytest.fixture
def lived(api: Market, clock: ManualClock) -> Market:
    """A market with two rounds a minute apart, awards of three kinds, and a book. Bidders a and b, provider p."""
    rules: dict[str, Any] = {"pricing_rule": "first_rejected", "lapse_policy": "refund"}
    api.open_market("m", lease=timedelta(hours=1), awards_per_bidder_max=3, **rules)
    api.open_market("other")
    for bidder_id in ("a", "b"):
        api.open_account(bidder_id, "quest" if bidder_id == "b" else "agent")
        api.mint(bidder_id, 1_000, "grant:initial", "week", "1", "hello")
    api.open_account("p", "provider")
    for number in range(3):
        api.offer_slot("m", f"s{number}", provider_id="p", reserve_price_tokens=5)
        api.place_bid("m", "a", f"t{number}", 50 + number, expected_value_usd=1.25)
    api.place_bid("m", "b", "t9", 40)
    api.clear_round("m")
    clock.set_us(START_US + 60_000_000)
    api.settle("s0", 39, 2.5, provider_id="p")
    api.void("s1", provider_id="p")
    api.offer_slot("m", "s3", reserve_price_tokens=7)
    api.offer_slot("m", "s4", at(START_US + 3_600_000_000))
    api.place_bid("m", "b", "t10", 30, time_in_force="gtd", ttl_at=at(START_US + 90_000_000))
    api.clear_round("m")
    api.place_bid("m", "a", "t11", 20)
    api.place_bid("m", "b", "t12", 20)
    api.place_bid("m", "b", "t13", 10)
    return api


LAST_SEQ = 24


def walk(ask: Callable[..., Page[Any]], limit: int, *, seq: int = LAST_SEQ, **how: Any) -> list[Any]:
    """All items, page after page; each page says how far it is durable and is full, but the last."""
    items: list[Any] = []
    after: str | None = None
    for _ in range(100):
        page = ask(limit=limit, after=after, **how)
        assert (page.seq, page.durable_seq) == (seq, seq)
        items += page.items
        if page.next is None:
            assert len(page.items) <= limit
            return items
        assert len(page.items) == limit
        after = page.next
    raise AssertionError("pages without end")


def test_wallet(lived: Market) -> None:
    found = lived.wallet("a")
    assert (found.kind, found.balance_tokens, found.held_tokens, found.available_tokens) == ("agent", 960, 60, 900)
    assert (found.seq, found.durable_seq) == (LAST_SEQ, LAST_SEQ)


def test_order_book(lived: Market) -> None:
    """BID-2, CLR-1: bids, levels of both books together, asks in the order of sale; the totals count all."""
    book = lived.get_order_book("m", limit=2, depth=1)
    assert [(bid.bidder_id, bid.max_price_tokens) for bid in book.bids] == [("a", 20), ("b", 20)]
    assert [(level.price_tokens, level.bids) for level in book.levels] == [(20, 2)]
    assert [ask.slot_id for ask in book.asks] == ["s4"]
    assert (book.bids_total, book.asks_total, book.seq, book.durable_seq) == (3, 1, LAST_SEQ, LAST_SEQ)
    levels = [(level.price_tokens, level.bids) for level in lived.get_order_book("m").levels]
    assert levels == [(20, 2), (10, 1)]


def test_levels_of_resting_and_of_round_bids_are_one(api: Market) -> None:
    """BID-4: a price at which bids of both kinds stand is one level."""
    api.open_market("m")
    api.open_account("a")
    api.mint("a", 1_000, "grant:any")
    for number, price in enumerate((5, 5, 7, 3)):
        force: Any = "gtd" if number % 2 else "round"
        api.place_bid("m", "a", f"t{number}", price, time_in_force=force, ttl_at=at(START_US + 1_000_000))
    assert [(one.price_tokens, one.bids) for one in api.get_order_book("m").levels] == [(7, 1), (5, 2), (3, 1)]


def test_markets(lived: Market) -> None:
    page = lived.markets()
    assert [one.market_id for one in page.items] == ["m", "other"]
    assert (page.next, page.seq, page.durable_seq) == (None, LAST_SEQ, LAST_SEQ)
    one = lived.market("m")
    rule: PricingRule = "first_rejected"
    policy: LapsePolicy = "refund"
    assert (one.pricing_rule, one.lapse_policy, one.lease) == (rule, policy, timedelta(hours=1))
    assert (one.awards_per_bidder_max, one.reserve_price_tokens, one.reward_cap_tokens) == (3, 0, 0)
    assert (one.bids_open, one.slots_offered, one.slots_awarded, one.rounds_called) == (3, 1, 2, 2)
    assert (one.seq, one.durable_seq) == (LAST_SEQ, LAST_SEQ)


def test_markets_stand_by_their_names(api: Market) -> None:
    """In whatever order they were opened."""
    for market_id in ("m", "z", "a", "B", "k"):
        api.open_market(market_id)
    assert [one.market_id for one in api.markets().items] == ["B", "a", "k", "m", "z"]


def test_quote(lived: Market, clock: ManualClock) -> None:
    """CLR-3, CLR-4: nothing is on offer before the last slot is available; then two bids are in the way of a third."""
    now = lived.quote("m", 25)
    assert (now.wins, now.slots_available, now.winning_price_tokens) == (False, 0, None)
    assert now.at == at(clock())
    later = at(START_US + 3_600_000_000)
    wins = lived.quote("m", 25, bidder_id="b", task_id="t14", at=later)
    assert (wins.wins, wins.price_tokens, wins.rank, wins.bids_ahead, wins.at) == (True, 20, 1, 0, later)
    assert (wins.clearing_price_tokens, wins.clearing_price_without_tokens) == (20, 20)
    loses = lived.quote("m", 20, bidder_id="b", task_id="t14", at=later)
    assert (loses.wins, loses.price_tokens, loses.rank, loses.winning_price_tokens) == (False, None, None, 21)
    moved = lived.quote("m", 21, bidder_id="b", task_id="t12", at=later)
    assert (moved.wins, moved.replaces_bid_id) == (True, 7)
    poor = lived.quote("m", 5_000, bidder_id="b", at=later)
    assert poor.refusal is not None
    assert (poor.refusal.reason, poor.refusal.field) == (Reject.FUNDS_INSUFFICIENT, "max_price_tokens")
    assert (poor.wins, poor.seq, poor.durable_seq) == (False, LAST_SEQ, LAST_SEQ)


def test_slots(lived: Market) -> None:
    """SLT-2: live ones from the live market, ended ones and all from the tables: the same fields."""
    by_status = {status: walk(lived.slots, 1, market_id="m", status=status) for status in ("offered", "awarded")}
    assert [slot.slot_id for slot in by_status["offered"]] == ["s4"]
    assert [slot.slot_id for slot in by_status["awarded"]] == ["s2", "s3"]
    assert [slot.slot_id for slot in lived.slots("m", "voided").items] == ["s1"]
    assert lived.slots("m", "withdrawn").items == ()
    for limit in (1, 2, 100):
        everything = walk(lived.slots, limit, market_id="m")
        assert [slot.slot_id for slot in everything] == ["s0", "s1", "s2", "s3", "s4"]
    live = [slot for slot in everything if slot.status in by_status]
    assert live == sorted(by_status["offered"] + by_status["awarded"], key=lambda slot: slot.slot_id)
    assert (live[0].provider_id, live[0].reserve_price_tokens, live[0].lease) == ("p", 5, timedelta(hours=1))
    assert (live[0].award_id, live[-1].award_id) == (3, None)
    assert lived.slots("other").items == ()


def test_bid_and_bids(lived: Market) -> None:
    one = lived.bid(1)
    assert (one.bid_id, one.market_id, one.bidder_id, one.task_id) == (1, "m", "a", "t0")
    assert (one.max_price_tokens, one.expected_value_usd, one.status, one.award_id) == (50, 1.25, "won", 3)
    assert (one.placed_at, one.round_no, one.seq, one.durable_seq) == (at(START_US), 1, LAST_SEQ, LAST_SEQ)
    for limit in (1, 2, 3, 100):
        assert [bid.bid_id for bid in walk(lived.bids, limit)] == [8, 7, 6, 5, 4, 3, 2, 1]
        assert [bid.bid_id for bid in walk(lived.bids, limit, market_id="m", order="oldest")] == [*range(1, 9)]
        assert [bid.bid_id for bid in walk(lived.bids, limit, bidder_id="b")] == [8, 7, 5, 4]
        assert [bid.bid_id for bid in walk(lived.bids, limit, market_id="m", status="open")] == [8, 7, 6]
        mine = walk(lived.bids, limit, market_id="m", bidder_id="b", status="open", order="oldest")
        assert [bid.bid_id for bid in mine] == [7, 8]
        assert walk(lived.bids, limit, market_id="other", bidder_id="b") == []


def test_awards(lived: Market) -> None:
    for limit in (1, 2, 100):
        assert [one.award_id for one in walk(lived.awards, limit)] == [4, 3, 2, 1]
        assert [one.award_id for one in walk(lived.awards, limit, bidder_id="a", order="oldest")] == [1, 2, 3]
        late = walk(lived.awards, limit, since=at(START_US + 1))
        assert [one.award_id for one in late] == [4]
        assert [one.award_id for one in walk(lived.awards, limit, market_id="m", since=at(START_US))] == [4, 3, 2, 1]
        assert walk(lived.awards, limit, market_id="m", since=at(START_US + 61_000_000)) == []
        live = walk(lived.awards, limit, market_id="m", status="awarded")
        assert [(one.award_id, one.slot_id) for one in live] == [(4, "s3"), (3, "s2")]
    (settled,) = lived.awards(bidder_id="a", status="settled").items
    assert (settled.slot_id, settled.provider_id, settled.price_tokens, settled.charged_tokens) == ("s0", "p", 40, 40)
    assert (settled.task_id, settled.runner_up_task_id, settled.actual_impact) == ("t2", "t9", 2.5)
    assert (settled.actual_cost_tokens, settled.premium_tokens, settled.round_no) == (39, 12, 1)
    assert (settled.slot_started_at, settled.slot_finished_at) == (at(START_US), at(START_US + 60_000_000))


def test_rounds(lived: Market) -> None:
    for limit in (1, 2, 100):
        assert [one.round_no for one in walk(lived.get_rounds, limit)] == [2, 1]
        assert [one.round_no for one in walk(lived.get_rounds, limit, market_id="m", order="oldest")] == [1, 2]
        for market_id in (None, "m"):
            late = walk(lived.get_rounds, limit, market_id=market_id, since=at(START_US + 60_000_000))
            assert [one.round_no for one in late] == [2]
            assert walk(lived.get_rounds, limit, market_id=market_id, since=at(START_US + 60_000_001)) == []
        assert walk(lived.get_rounds, limit, market_id="other") == []
    newest = lived.get_rounds("m", 1).items[0]
    assert (newest.called_at, newest.slots_available, newest.awards_granted) == (at(START_US + 60_000_000), 1, 1)
    assert (newest.bids_open, newest.clearing_price_tokens) == (1, 7)


def test_wallets_and_statement(lived: Market) -> None:
    for limit in (1, 3, 100):
        names = [one.account_id for one in walk(lived.wallets, limit)]
        assert names == sorted(["a", "b", "p", "issuance", "treasury", "capital_escrow", "lmsr_subsidy_pool"])
        moves = walk(lived.statement, limit, account_id="a")
        assert [(one.transfer_id, one.amount_tokens) for one in moves] == [(3, 40), (1, 1_000)]
        assert walk(lived.statement, limit, account_id="a", order="oldest") == moves[::-1]
    paid, minted = moves
    assert (paid.from_account_id, paid.to_account_id, paid.from_balance_tokens, paid.at) == (
        "a",
        "p",
        960,
        at(START_US + 60_000_000),
    )
    assert (minted.reason, minted.reference_type, minted.reference_id, minted.memo) == (
        "grant:initial",
        "week",
        "1",
        "hello",
    )
    rich = next(one for one in lived.wallets().items if one.account_id == "a")
    assert (rich.balance_tokens, rich.held_tokens, rich.available_tokens) == (960, 60, 900)
    assert (type(rich.total_earned_tokens), rich.total_earned_tokens, rich.total_spent_tokens) == (int, 1_000, 40)


def test_holds(api: Market) -> None:
    """HLD-1, HLD-6: by each filter and by several, in both orders, and each answer survives JSON."""
    for account_id in ("a", "b"):
        api.open_account(account_id)
        api.mint(account_id, 1_000, "grant:initial")
    for number, (account_id, reason, reference_id) in enumerate(
        [("a", "stake", "x"), ("b", "stake", "x"), ("a", "bounty", "y"), ("a", "stake", "y"), ("b", "bounty", "x")]
    ):
        api.place_hold(f"h{number}", account_id, 10, reason, reference_type="artifact", reference_id=reference_id)
    api.place_hold("h5", "a", 10, "stake")
    api.release_hold("h0", "a")
    api.capture_hold("h2", "a", "b")
    artifact = {"reference_type": "artifact"}
    for limit in (1, 2, 100):
        for wanted, expected in (
            ({}, "012345"),
            ({"account_id": "a"}, "0235"),
            ({"account_id": "a", "status": "open"}, "35"),
            (artifact | {"reference_id": "x"}, "014"),
            (artifact | {"reference_id": "x", "reason": "stake"}, "01"),
            (artifact | {"reference_id": "x", "reason": "stake", "status": "open"}, "1"),
            (artifact | {"reason": "stake"}, "013"),
            ({"reason": "bounty"}, "24"),
            ({"reason": "bounty", "status": "captured"}, "2"),
            ({"account_id": "b", "reason": "none"}, ""),
        ):
            rows = walk(api.holds, limit, seq=12, order="oldest", **wanted)
            assert [row.hold_id for row in rows] == [f"h{number}" for number in expected], wanted
            assert walk(api.holds, limit, seq=12, **wanted) == rows[::-1], wanted
    one, page = api.hold("h2", "a"), api.holds()
    assert (one.status, one.captured_tokens, one.captured_to, one.expires_at) == ("captured", 10, "b", None)
    assert (one.seq, one.durable_seq, page.seq) == (12, 12, 12)
    assert msgspec.json.decode(msgspec.json.encode(one), type=HoldDetail) == one
    assert msgspec.json.decode(msgspec.json.encode(page), type=Page[HoldRow]) == page


def test_stats_and_why(lived: Market) -> None:
    stats = lived.get_recent_stats("m")
    assert (stats.totals.rounds, stats.totals.price_max_tokens, stats.fill_rate) == (2, 40, 1.0)
    assert (stats.top_wins[0].award_id, stats.top_wins[0].actual_impact) == (1, 2.5)
    assert (stats.seq, stats.durable_seq) == (LAST_SEQ, LAST_SEQ)
    assert lived.get_recent_stats("m", timedelta(seconds=30)).totals.rounds == 1
    assert [one.round_no for one in lived.get_recent_stats("m", limit=1).rounds] == [2]
    outcome = lived.why(4)
    assert (outcome.status, outcome.seq, outcome.durable_seq) == ("lost", LAST_SEQ, LAST_SEQ)
    assert "outbid" in outcome.reason


def test_earnings(lived: Market) -> None:
    """LED-4: all that came in, by reason and period, the greatest first; payments by the account are not in it."""
    lived.mint("p", 7, "earn:review", "review", "1")
    lived.mint("p", 5, "earn:review", "review", "2")
    lived.transfer("p", "b", 1, "tip")
    first = lived.earnings("p", limit=2)
    assert (first.total_earned_tokens, first.day_tokens, first.week_tokens, first.month_tokens) == (52, 52, 52, 52)
    sums = [(one.reason, one.day_tokens, one.month_tokens, one.month_credits) for one in first.by_reason]
    assert sums == [("settle:slot", 40, 40, 1), ("earn:review", 12, 12, 2)]
    assert [(one.amount_tokens, one.reference_id) for one in first.credits] == [(5, "2"), (7, "1")]
    last = lived.earnings("p", limit=2, after=first.next)
    assert [(one.amount_tokens, one.from_account_id, one.reason) for one in last.credits] == [(40, "a", "settle:slot")]
    assert (last.next, last.seq, last.durable_seq) == (None, LAST_SEQ + 3, LAST_SEQ + 3)
    assert lived.earnings("p", order="oldest").credits == (*last.credits, *first.credits[::-1])
    assert lived.earnings("treasury").by_reason == ()


def test_candles(lived: Market) -> None:
    """CLR-4, CLR-7: the two calls, a minute apart, in parts of a minute and in one of an hour."""
    found = lived.get_candles("m", timedelta(hours=1), timedelta(minutes=1))
    assert (found.market_id, found.interval, found.seq, found.durable_seq) == (
        "m",
        timedelta(minutes=1),
        LAST_SEQ,
        LAST_SEQ,
    )
    one, two = found.candles
    assert two.opens_at - one.opens_at == timedelta(minutes=1)
    assert (one.rounds, one.close_price_tokens) == (1, 40)
    assert (two.slots_available, two.awards_granted, two.bids_open_max, two.open_price_tokens) == (1, 1, 1, 7)
    finest = lived.get_candles("m", timedelta(seconds=1_000), timedelta(seconds=1))
    assert [(one.rounds, one.close_price_tokens) for one in finest.candles] == [(1, 40), (1, 7)]
    longest = timedelta(days=366)
    assert [one.rounds for one in lived.get_candles("m", longest, longest).candles] == [2]
    (both,) = lived.get_candles("m", timedelta(hours=10), timedelta(hours=10)).candles
    assert (both.rounds, both.slots_available) == (2, one.slots_available + 1)
    assert (both.open_price_tokens, both.high_price_tokens) == (40, 40)
    assert (both.low_price_tokens, both.close_price_tokens) == (7, 7)
    assert lived.get_candles("other").candles == ()


@pytest.mark.parametrize(
    ("pricing_rule", "paid"), [("first_rejected", (900, 0)), ("pay_as_bid", (1_000, 20)), ("vickrey", (900, 0))]
)
def test_figures_are_of_what_was_paid(api: Market, pricing_rule: PricingRule, paid: tuple[int, int]) -> None:
    """CLR-4, CLR-5, BID-6: not of the round's price, which winners with rivals exceed and not all rounds have."""
    api.open_market("m", pricing_rule=pricing_rule)
    for bidder_id, task_id, price_tokens in (("a", "t", 1_000), ("b", "t", 900), ("a", "u", 20)):
        if task_id == "t":
            api.open_account(bidder_id, "agent")
            api.mint(bidder_id, 2_000, "grant:initial")
        api.place_bid("m", bidder_id, task_id, price_tokens)
    for number in range(3):
        api.offer_slot("m", f"s{number}")
    called = api.clear_round("m")
    assert called.clearing_price_tokens == (0 if pricing_rule == "first_rejected" else None)
    totals = api.get_recent_stats("m").totals
    assert (totals.price_max_tokens, totals.price_min_tokens) == paid
    assert totals.price_median_tokens == sum(paid) / 2
    (candle,) = api.get_candles("m").candles
    assert (candle.open_price_tokens, candle.close_price_tokens) == paid
    assert (candle.high_price_tokens, candle.low_price_tokens) == paid


def test_quest_budgets(api: Market, owner: Exchange, clock: ManualClock) -> None:
    """BRG-4: how a day is split, what is left, and who gave out work last: nobody, the auction, the budget."""
    today = at(clock()).date()
    nothing = api.get_quest_budgets()
    assert (nothing.day, nothing.paying, nothing.quests, nothing.totals.quests) == (today, None, (), 0)
    with DailyBudgets(owner.node.url, owner.node.shard_id, clock) as budgets:
        budgets.allocate({"small": 100, "large": 900, "none": 0})
        owner.open_market("m")
        owner.open_account("a")
        owner.mint("a", 1_000, "grant:initial")
        owner.offer_slot("m", "s1")
        owner.place_bid("m", "a", "t1", 5)
        owner.acknowledging("projected").clear_round("m")
        found = api.get_quest_budgets()
        assert (found.paying, found.last_awarded_at, found.last_reserved_at) == ("auction", at(clock()), None)
        first_us = clock()
        clock.set_us(first_us + 1_000_000)
        owner.offer_slot("m", "s2")
        owner.place_bid("m", "a", "t9", 5)
        owner.acknowledging("projected").clear_round("m")
        assert api.get_quest_budgets().last_awarded_at == at(clock()) > at(first_us), "the latest"
        one = budgets.reserve("t2", "large", 300, "worker")
        two = budgets.reserve("t3", "large", 100, "worker")
        assert one
        assert two
        budgets.spend(one.reservation_id, 250)
    found = api.get_quest_budgets(today, 2)
    assert [(row.quest, row.left_tokens) for row in found.quests] == [("large", 550), ("small", 100)]
    large, totals = found.quests[0], found.totals
    assert (large.allocated_tokens, large.reserved_tokens, large.spent_tokens, large.overrun_tokens) == (
        900,
        100,
        250,
        0,
    )
    assert (totals.quests, totals.allocated_tokens, totals.reserved_tokens, totals.spent_tokens) == (3, 1_000, 100, 250)
    # Rows of the budget are timed by the database, which is not where this market's clock stands.
    assert found.last_reserved_at
    assert found.paying == ("budget" if found.last_reserved_at > at(clock()) else "auction")
    assert found.seq == found.durable_seq == api.get_rounds().seq
    assert api.get_quest_budgets(today - timedelta(days=1)).quests == ()


MISSING: list[tuple[str, object, Callable[[Market], object]]] = [
    ("account_id", "nobody", lambda api: api.wallet("nobody")),
    ("account_id", "nobody", lambda api: api.statement("nobody")),
    ("account_id", "nobody", lambda api: api.earnings("nobody")),
    ("market_id", "none", lambda api: api.get_order_book("none")),
    ("market_id", "none", lambda api: api.market("none")),
    ("market_id", "none", lambda api: api.quote("none", 1)),
    ("bidder_id", "nobody", lambda api: api.quote("m", 1, bidder_id="nobody")),
    ("market_id", "none", lambda api: api.slots("none")),
    ("market_id", "none", lambda api: api.slots("none", "offered")),
    ("market_id", "none", lambda api: api.get_rounds("none")),
    ("market_id", "none", lambda api: api.get_recent_stats("none")),
    ("market_id", "none", lambda api: api.get_candles("none")),
    ("bid_id", 99, lambda api: api.bid(99)),
    ("bid_id", 99, lambda api: api.why(99)),
    ("hold_id", "none", lambda api: api.hold("none", "a")),
]


def test_what_is_not_there_is_not_found(lived: Market) -> None:
    for field, value, ask in MISSING:
        with pytest.raises(NotFound) as caught:
            ask(lived)
        assert (caught.value.field, caught.value.value) == (field, value)


WRONG: list[tuple[str, Callable[[Market], object]]] = [
    ("limit", lambda api: api.get_order_book("m", limit=0)),
    ("depth", lambda api: api.get_order_book("m", depth=1_001)),
    ("limit", lambda api: api.bids(limit=1_001)),
    ("limit", lambda api: api.awards(limit=True)),
    ("limit", lambda api: api.wallets(limit=-1)),
    ("limit", lambda api: api.slots("m", limit=0)),
    ("limit", lambda api: api.get_rounds(limit=0)),
    ("limit", lambda api: api.statement("a", limit=0)),
    ("limit", lambda api: api.earnings("a", limit=1_001)),
    ("order", lambda api: api.earnings("a", order="best")),  # type: ignore[arg-type]
    ("order", lambda api: api.bids(order="best")),  # type: ignore[arg-type]
    ("status", lambda api: api.bids("m", status="awarded")),  # type: ignore[arg-type]
    ("status", lambda api: api.bids(status="open")),
    ("status", lambda api: api.awards(status="awarded")),
    ("status", lambda api: api.slots("m", "won")),  # type: ignore[arg-type]
    ("since", lambda api: api.awards(since=1)),  # type: ignore[arg-type]
    ("market_id", lambda api: api.bids("nul\0")),
    ("bidder_id", lambda api: api.awards(bidder_id="\ud800")),
    ("account_id", lambda api: api.statement("")),
    ("account_id", lambda api: api.earnings("no name")),
    ("max_price_tokens", lambda api: api.quote("m", 0)),
    ("task_id", lambda api: api.quote("m", 1, task_id="no task")),
    ("bid_id", lambda api: api.bid(0)),
    ("bid_id", lambda api: api.why(10**30)),
    ("hold_id", lambda api: api.hold("no hold", "a")),
    ("reference_id", lambda api: api.holds(reference_id="x")),
    ("reference_type", lambda api: api.holds(reference_type="artifact")),
    ("status", lambda api: api.holds(status="open")),
    ("status", lambda api: api.holds("a", status="won")),  # type: ignore[arg-type]
    ("reason", lambda api: api.holds(reason="")),
    ("account_id", lambda api: api.holds("nul\0")),
    ("period", lambda api: api.get_recent_stats("m", 5)),  # type: ignore[arg-type]
    ("limit", lambda api: api.get_recent_stats("m", limit=0)),
    ("limit", lambda api: api.get_quest_budgets(limit=1_001)),
    ("day", lambda api: api.get_quest_budgets("2026-01-01")),  # type: ignore[arg-type]
    ("period", lambda api: api.get_candles("m", 5)),  # type: ignore[arg-type]
    ("interval", lambda api: api.get_candles("m", timedelta(seconds=1), timedelta(seconds=0.5))),
    ("interval", lambda api: api.get_candles("m", timedelta(seconds=1_001), timedelta(seconds=1))),
    ("interval", lambda api: api.get_candles("m", timedelta.max, timedelta.max)),
    ("since", lambda api: api.awards(since=datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))))),
    ("since", lambda api: api.get_rounds(since=datetime.min.replace(tzinfo=timezone(timedelta(hours=14))))),
]


def test_what_makes_no_sense_is_invalid(lived: Market) -> None:
    for field, ask in WRONG:
        with pytest.raises(Invalid) as caught:
            ask(lived)
        assert caught.value.field == field
        assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("name", [[], {}, [1], None, b"m", 5])
def test_what_is_no_name_is_nowhere(lived: Market, name: Any) -> None:
    for ask in (lived.market, lived.get_order_book, lambda name: lived.quote(name, 5)):
        with pytest.raises(Invalid, match="market_id"):
            ask(name)
    with pytest.raises(Invalid, match="account_id"):
        lived.wallet(name)


def test_a_cursor_is_only_good_for_its_list(lived: Market) -> None:
    """Another list's, another order's, a changed or a made up one is refused; the list's own goes on."""
    mine = lived.bids(limit=1).next
    names = lived.wallets(limit=1).next
    assert mine
    assert names
    assert lived.bids(limit=1, after=mine).items[0].bid_id == 7
    for after in (lived.awards(limit=1).next, names, mine[:-1], mine + "A", "", "!", "Ymlkcw", 5, "x" * 10_000, "ä"):
        with pytest.raises(Invalid, match="after: expected a cursor"):
            lived.bids(after=after)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="after"):
        lived.bids(after=mine, order="oldest")
    for after in (mine, "d2FsbGV0czo", "d2FsbGV0czpubyBuYW1l"):
        with pytest.raises(Invalid, match="after"):
            lived.wallets(after=after)


def test_what_comes_between_two_pages_moves_nothing(lived: Market) -> None:
    """A page goes on after a key: bids that come meanwhile are neither shown nor make one show twice."""
    first = lived.bids(limit=3)
    lived.place_bid("m", "a", "t20", 1)
    assert first.next
    second = lived.bids(limit=3, after=first.next)
    assert [bid.bid_id for bid in (*first.items, *second.items)] == [8, 7, 6, 5, 4, 3]
    assert second.durable_seq == first.durable_seq + 1


def test_what_was_acknowledged_is_seen(lived: Market, owner: Exchange) -> None:
    """Read your writes: a durable reply is in the tables when it arrives, for every list and every way."""
    for number in range(20):
        placed = lived.place_bid("m", "a", f"u{number}", 1)
        page = lived.bids("m", limit=1)
        assert page.items[0].bid_id == placed.bid_id
        assert page.durable_seq >= placed.stamp.seq
        assert lived.wallet("a").durable_seq >= placed.stamp.seq


def test_answers_are_json_and_back(lived: Market) -> None:
    """What a network carries is what is answered here: each answer survives JSON, value for value."""
    page_of = {
        Page[MarketRow]: lived.markets(),
        Page[SlotRow]: lived.slots("m"),
        Page[BidRow]: lived.bids(),
        Page[AwardRow]: lived.awards(),
        Page[RoundRow]: lived.get_rounds(),
        Page[WalletRow]: lived.wallets(),
        Page[MovementRow]: lived.statement("a"),
        Quote: lived.quote("m", 5_000, bidder_id="a"),
        OrderBook: lived.get_order_book("m"),
        MarketDetail: lived.market("m"),
        BidDetail: lived.bid(1),
        Wallet: lived.wallet("a"),
        RecentStats: lived.get_recent_stats("m"),
        Candles: lived.get_candles("m"),
        QuestBudgets: lived.get_quest_budgets(),
        Outcome: lived.why(1),
        Earnings: lived.earnings("a"),
    }
    for kind, answer in page_of.items():
        assert msgspec.json.decode(msgspec.json.encode(answer), type=kind) == answer
