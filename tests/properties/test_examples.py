"""Examples computed by hand, on both implementations: the oracle is not trusted because it says so.

Goal: the naive market agrees with numbers that were worked out on paper from RULES.md; so does the engine.
Method: each example is run on `NaiveMarket` and on `Engine`; the expected numbers stand in the test.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from callmarket.engine.commands import (
    AmendBid,
    CancelBid,
    ClearRound,
    Command,
    Entry,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PricingRule,
    SettleAward,
    VoidAward,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import (
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    BidsExpired,
    BidsLost,
    Event,
    Events,
    Rejected,
    Repeated,
    RoundCleared,
    SweepFinished,
    TransferPosted,
    one_by_one,
)
from callmarket.engine.limits import TOKENS_MAX
from tests.support.naive import NaiveMarket
from tests.support.streams import bounds

E = TypeVar("E", bound=Event)


class Table:
    """A market told one command after another, by the admin unless somebody else is named."""

    def __init__(self, implementation: Callable[[], Any]) -> None:
        self.market = implementation()
        self.seq = 0

    def do(self, command: Command, at_us: int = 100, actor: str = "admin", command_id: str = "") -> Events:
        """Stamp and apply one command."""
        self.seq += 1
        events: Events = self.market.apply(Entry(self.seq, at_us, actor, command, command_id))
        return events

    def refusal(self, command: Command, at_us: int = 100, actor: str = "admin") -> str:
        """Apply a command and return why it was refused."""
        (event,) = self.do(command, at_us, actor)
        assert isinstance(event, Rejected), event
        return event.reason.value

    def people(self, *names: str, tokens: int = 100_000) -> None:
        """Open agents with tokens."""
        for name in names:
            self.do(OpenAccount(name, "agent"))
            self.do(Mint(name, tokens, "grant:first"))

    def bids(self, *prices: int, bidder: str = "") -> None:
        """Place a bid per price, each by an agent of its own (a0, a1, ...) unless one is named."""
        for price in prices:
            name = bidder or f"a{self.seq}"
            if not bidder:
                self.people(name)
            self.do(PlaceBid("m", name, f"task{self.seq}", price))

    def slots(self, *reserves: int) -> None:
        """Offer a slot per reserve."""
        for reserve in reserves:
            self.do(OfferSlot("m", f"slot{self.seq}", 0, reserve))

    def call(self, at_us: int = 100) -> tuple[list[int], RoundCleared]:
        """Call the market. Return the prices paid, best bid first, and the round."""
        events = self.do(ClearRound("m"), at_us)
        return [award.price_tokens for award in of_type(AwardGranted, events)], of_type(RoundCleared, events)[0]


def of_type(event_type: type[E], events: Events) -> list[E]:
    return [event for event in one_by_one(events) if isinstance(event, event_type)]


@pytest.fixture(params=[NaiveMarket, Engine])
def table(request: pytest.FixtureRequest) -> Table:
    return Table(request.param)


def test_ten_bids_and_five_slots_clear_at_the_sixth(table: Table) -> None:
    """CLR-10, CLR-4, CLR-6: ten bids from 1k to 100k, five slots: the sixth highest; losers get every token back."""
    table.do(OpenMarket("m"))
    table.bids(1_000, 12_000, 23_000, 34_000, 45_000, 56_000, 67_000, 78_000, 89_000, 100_000)
    table.slots(0, 0, 0, 0, 0)
    prices, cleared = table.call()
    assert prices == [45_000] * 5
    assert (cleared.slots_available, cleared.bids_open, cleared.clearing_price_tokens) == (5, 10, 45_000)
    assert (cleared.awards_granted, cleared.losers_remaining) == (5, 0)


@pytest.mark.parametrize(
    ("rule", "bids", "reserves", "prices"),
    [
        ("first_rejected", [9, 7, 5], [0, 0], [5, 5]),
        ("first_rejected", [9, 7, 5], [0, 6], [6, 6]),
        ("first_rejected", [9, 7], [0, 3, 8], [3, 3]),
        ("first_rejected", [9], [0], [0]),
        ("first_rejected", [9, 7, 5], [8, 8], [8]),
        ("first_rejected", [9, 7], [7, 8], [7]),
        ("first_rejected", [5, 5, 5], [5, 5], [5, 5]),
        ("first_rejected", [4], [5], []),
        ("last_accepted", [9, 7, 5], [0, 0], [7, 7]),
        ("last_accepted", [9, 7], [9, 9], [9]),
        ("pay_as_bid", [9, 7, 5], [1, 7], [9, 7]),
        ("vickrey", [9, 7, 5], [0, 0], [5, 5]),
        ("vickrey", [9, 7, 5], [0, 6], [6, 6]),
        ("vickrey", [9, 7], [2, 3], [3, 3]),
    ],
)
def test_clearing_prices_worked_out_by_hand(
    table: Table, rule: PricingRule, bids: list[int], reserves: list[int], prices: list[int]
) -> None:
    """CLR-3, CLR-4, CLR-5: what is paid, worked out by hand, each bid by a bidder of its own."""
    table.do(OpenMarket("m", rule))
    table.bids(*reversed(bids))
    table.slots(*reversed(reserves))
    paid, cleared = table.call()
    assert paid == prices
    one_price = rule in ("first_rejected", "last_accepted") and prices
    assert cleared.clearing_price_tokens == (prices[0] if one_price else None)


def test_vickrey_charges_a_bidder_what_it_takes_from_others(table: Table) -> None:
    """CLR-5: A bids 10, 9, 4; B bids 8, 6; C bids 5; three slots with reserves 1, 2, 7.

    Winners are A 10, A 9, B 8. A has w = 2: its best pays max(B's 6, reserve 2) = 6, its second pays max(C's 5,
    reserve 7) = 7. B has w = 1: max(C's 5, as the 6 is its own and the 4 is less, reserve 7) = 7.
    """
    table.do(OpenMarket("m", "vickrey"))
    table.people("A", "B", "C")
    for bidder, prices in (("A", (10, 9, 4)), ("B", (8, 6)), ("C", (5,))):
        table.bids(*prices, bidder=bidder)
    table.slots(7, 1, 2)
    paid, _ = table.call()
    assert paid == [6, 7, 7]


def test_caps_and_tasks_pass_bids_over(table: Table) -> None:
    """CLR-2, CLR-4, BID-6: a capped bidder's further bids set no price, and a rival's only that of its task.

    A bids 10 and 9 under a cap of 1; B bids 8 on A's first task; C bids 7, D bids 6. Two slots: A 10 and C 7 win, C at
    6 and A at 8.
    """
    table.do(OpenMarket("m", awards_per_bidder_max=1))
    table.people("A", "B", "C", "D")
    for bidder, task, price in (("A", "x", 10), ("A", "y", 9), ("B", "x", 8), ("C", "z", 7), ("D", "u", 6)):
        table.do(PlaceBid("m", bidder, task, price))
    table.slots(0, 0)
    events = table.do(ClearRound("m"))
    awards = of_type(AwardGranted, events)
    assert [(award.bidder_id, award.price_tokens, award.runner_up_task_id) for award in awards] == [
        ("A", 8, "u"),
        ("C", 6, "u"),
    ]
    assert of_type(BidsLost, events)[0].bid_ids == (2, 3, 5)


def test_supply_goes_by_reserve_then_availability_then_offer(table: Table) -> None:
    """CLR-1: the i-th best bid gets the i-th slot; a slot that is not available yet is no supply."""
    table.do(OpenMarket("m"))
    for slot_id, available_at_us, reserve in (("d", 9, 1), ("c", 9, 0), ("b", 8, 0), ("e", 9, 1), ("f", 101, 0)):
        table.do(OfferSlot("m", slot_id, available_at_us, reserve))
    table.bids(5, 9, 7, 8, 6)
    awards = of_type(AwardGranted, table.do(ClearRound("m")))
    assert [award.slot_id for award in awards] == ["b", "c", "d", "e"]
    assert [award.price_tokens for award in awards] == [5] * 4


def test_amending_moves_in_time_unless_only_the_deadline(table: Table) -> None:
    """BID-2, BID-5: A, B and C bid 5; A names the price 5 again and is last; B's new deadline keeps its place."""
    table.do(OpenMarket("m"))
    table.people("A", "B", "C")
    for bidder in ("A", "B", "C"):
        table.do(PlaceBid("m", bidder, bidder, 5))
    table.do(AmendBid(1, 5))
    table.do(AmendBid(2, None, 1000))
    table.slots(0, 0)
    awards = of_type(AwardGranted, table.do(ClearRound("m")))
    assert [(award.bidder_id, award.price_tokens) for award in awards] == [("B", 5), ("C", 5)]


def test_losers_beyond_the_bound_wait_for_sweeps(table: Table) -> None:
    """BID-4, BID-3, SET-6: five lose, one of them past its deadline; the call releases two, sweeps of two the rest."""
    table.do(OpenMarket("m"))
    table.people("A")
    for price, ttl_at_us in ((9, None), (8, None), (7, 120), (6, None), (5, 999)):
        table.do(PlaceBid("m", "A", f"task{price}", price, 0, ttl_at_us))
    with bounds({"LOSERS_PER_CALL_MAX": 2, "SWEEP_ITEMS_MAX": 2}):
        events = table.do(ClearRound("m"), 120)
        assert of_type(RoundCleared, events)[0].losers_remaining == 3
        assert events[1:] == (BidsLost("m", 1, (1, 2), ("A", "A"), (9, 8)),)
        assert table.refusal(CancelBid(3), 120) == "BID_EXPIRED"
        assert table.refusal(CancelBid(5), 1000) == "BID_LOST"
        assert table.do(ExpireDue(), 1000) == (
            BidsExpired((3,), ("A",), (7,)),
            BidsLost("m", 1, (4,), ("A",), (6,)),
            SweepFinished(1, 1, 0, True),
        )
        assert table.do(ExpireDue(), 1000) == (BidsLost("m", 1, (5,), ("A",), (5,)), SweepFinished(1, 0, 0, False))
    assert table.refusal(CancelBid(5), 1000) == "BID_CLOSED"
    assert table.refusal(CancelBid(6), 1000) == "BID_UNKNOWN"


def test_settling_captures_the_price_and_pays_the_reward(table: Table) -> None:
    """SET-1, SET-3, SLT-3, LED-6: 2.5 impact at 3 tokens is 7 after rounding down, capped at 6."""
    table.do(OpenMarket("m", reward_tokens_per_impact=3, reward_cap_tokens=6, reward_day_cap_tokens=6))
    table.do(Mint("treasury", 10, "fund:rewards"))
    table.people("A", "P")
    table.do(OfferSlot("m", "s", 0, 4, "P"))
    table.do(PlaceBid("m", "A", "task", 9))
    table.call()
    settle = SettleAward("s", 1, 2_500_000, 1, "P")
    assert table.refusal(SettleAward("s", 1, 0, 2, "P"), 100, "P") == "AWARD_STALE"
    assert table.refusal(settle, 100, "A") == "NOT_PERMITTED"
    assert table.do(settle, 100, "P") == (
        AwardSettled(1, "s", 1, "A", 4, 1, 2_500_000, 6, "m", "P"),
        TransferPosted(4, "A", "P", 4, "settle:slot", "award", "1", "", 99_996, 100_004),
        TransferPosted(5, "treasury", "A", 6, "reward:impact", "award", "1", "", 4, 100_002),
    )
    assert table.refusal(settle, 100, "P") == "SLOT_SETTLED"
    assert table.refusal(VoidAward("s", None, "P"), 100, "A") == "NOT_PERMITTED"
    assert table.refusal(CancelBid(1), 100, "A") == "BID_CLOSED"


@pytest.mark.parametrize(("policy", "charged"), [("charge", 4), ("refund", 0)])
def test_an_award_lapses_at_its_lease(table: Table, policy: Any, charged: int) -> None:
    """SET-5, BID-6: from `lease_until` on nobody settles; until the sweep the task is still awarded."""
    table.do(OpenMarket("m", lease_us=10, lapse_policy=policy))
    table.people("A")
    table.slots(4)
    table.do(PlaceBid("m", "A", "task", 9))
    _, cleared = table.call()
    assert cleared.awards_granted == 1
    slot_id = "slot3"
    assert table.refusal(SettleAward(slot_id, 0, 0), 110) == "LEASE_EXPIRED"
    assert table.refusal(PlaceBid("m", "A", "task", 9), 110) == "TASK_AWARDED"
    events = table.do(ExpireDue(), 110)
    assert events[0] == AwardLapsed(1, slot_id, 1, "A", 4, charged, "m", "treasury")
    assert [transfer.amount_tokens for transfer in of_type(TransferPosted, events)] == [charged] * (charged > 0)
    assert events[-1] == SweepFinished(0, 0, 1, False)
    assert not of_type(Rejected, table.do(PlaceBid("m", "A", "task", 9), 110))


def test_a_sweep_says_whether_more_is_due(table: Table) -> None:
    """SET-6: two awards are due, then two bids; a sweep of one at a time says so until nothing is left."""
    table.do(OpenMarket("m", lease_us=10))
    table.slots(0, 0)
    table.bids(9, 8)
    table.call()
    table.bids(7, 6)
    for bid_id in (3, 4):
        table.do(AmendBid(bid_id, None, 105))
    with bounds({"SWEEP_ITEMS_MAX": 1}):
        swept = [table.do(ExpireDue(), 110)[-1] for _ in range(5)]
    assert swept == [
        SweepFinished(0, 0, 1, True),
        SweepFinished(0, 0, 1, True),
        SweepFinished(0, 1, 0, True),
        SweepFinished(0, 1, 0, False),
        SweepFinished(0, 0, 0, False),
    ]


def test_a_sweep_of_awards_alone_says_that_more_is_due(table: Table) -> None:
    """SET-6: the award that did not fit is due, though no bid is."""
    table.do(OpenMarket("m", lease_us=10))
    table.slots(0, 0)
    table.bids(9, 8)
    table.call()
    with bounds({"SWEEP_ITEMS_MAX": 1}):
        assert table.do(ExpireDue(), 110)[-1] == SweepFinished(0, 0, 1, True)
        assert table.do(ExpireDue(), 110)[-1] == SweepFinished(0, 0, 1, False)


def test_a_reward_stops_at_what_its_account_has(table: Table) -> None:
    """SET-3: three tokens are there, so a reward of five is one of three, and the next is nothing."""
    table.do(OpenMarket("m", reward_tokens_per_impact=5, reward_cap_tokens=9, reward_day_cap_tokens=9))
    table.do(Mint("treasury", 3, "fund:rewards"))
    table.people("A")
    for slot_id in ("s", "t"):
        table.do(OfferSlot("m", slot_id, 0))
    table.bids(1, 1, bidder="A")
    table.call()
    settled = [of_type(AwardSettled, table.do(SettleAward(slot_id, 0, 1_000_000)))[0] for slot_id in ("s", "t")]
    assert [event.reward_tokens for event in settled] == [3, 0]


def test_the_last_token_can_be_minted_and_no_more(table: Table) -> None:
    """LED-4: the last token can be minted, and no more."""
    table.people("A", tokens=TOKENS_MAX)
    assert table.refusal(Mint("A", 1, "grant:late")) == "SUPPLY_EXCEEDED"


def test_a_retry_is_answered_by_the_first_reply(table: Table) -> None:
    """IDM-1: the same id and command repeats, even a refusal; another command is refused; the window is bounded."""
    refused = CancelBid(1)
    with bounds({"RECEIPTS_MAX": 1}):
        assert of_type(Rejected, table.do(refused, command_id="k"))
        assert table.do(refused, command_id="k") == (Repeated(1),)
        assert of_type(Rejected, table.do(ExpireDue(), command_id="k"))[0].reason.value == "COMMAND_ID_REUSED"
        assert of_type(SweepFinished, table.do(ExpireDue(), actor="operator", command_id="k"))
        assert table.do(refused, command_id="k") == (Repeated(1),)
        assert of_type(Rejected, table.do(refused, command_id="k2"))
        assert of_type(Rejected, table.do(refused, command_id="k"))


def test_an_expired_bid_makes_room(table: Table) -> None:
    """BID-3, BID-9: a bid past its deadline leaves its task to a new one at once, and its place with its bidder."""
    table.do(OpenMarket("m"))
    table.people("A")
    with bounds({"BIDS_PER_BIDDER_MAX": 1, "BIDS_PER_MARKET_MAX": 2}):
        table.do(PlaceBid("m", "A", "task", 9, 0, 110, "gtd"))
        assert table.refusal(PlaceBid("m", "A", "task", 9), 109) == "TASK_BID_OPEN"
        assert table.refusal(PlaceBid("m", "A", "other", 9), 110) == "BIDS_PER_BIDDER_FULL"
        assert not of_type(Rejected, table.do(PlaceBid("m", "A", "task", 9, 0, 120, "gtd"), 110))
        assert table.refusal(PlaceBid("m", "A", "task", 9), 120) == "BIDS_PER_MARKET_FULL"
