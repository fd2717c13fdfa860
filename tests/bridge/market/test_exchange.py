"""The verbs on a real database: what each returns, each of the errors, who acts, retries, and many callers at once."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from callmarket import AsyncExchange, Exchange, Invalid, ManualClock, NotFound, Refused, Request, open_exchange
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.operations.accounts import mint, open_account, wallet
from callmarket.bridge.api.operations.bids import PlacedBid, all_placed, place_bid
from callmarket.bridge.api.operations.rounds import clear_request
from callmarket.engine import limits
from callmarket.engine.commands import ClearRound
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from tests.bridge.conftest import START_US
from tests.support.client_log import read_rows
from tests.support.small_market import at, award_one, furnish, in_threads, last_seq

# --- the good path of every verb ---------------------------------------------------------------------------------


def test_mint_transfer_and_burn_return_the_balances_after_them(market: Exchange) -> None:
    """LED-1, LED-4: mint, transfer and burn say the balances after them."""
    opened = market.open_account("a", "quest")
    assert (opened.seq, opened.at, opened.durable, opened.repeated) == (1, at(START_US), True, False)
    market.open_account("b")
    minted = market.mint("a", 100, "earn:debate", "debate", "7", "well argued")
    assert (minted.transfer_id, minted.amount_tokens, minted.to_balance_tokens) == (1, 100, 100)
    moved = market.transfer("a", "b", 30, "gift:any")
    assert (moved.from_balance_tokens, moved.to_balance_tokens) == (70, 30)
    burned = market.burn("b", 5, "fee:any")
    assert (burned.from_balance_tokens, burned.to_balance_tokens) == (25, -95)
    wallet = market.wallet("a")
    assert (wallet.kind, wallet.balance_tokens, wallet.available_tokens, wallet.seq) == ("quest", 70, 70, 5)


def test_round_from_offer_to_settlement(market: Exchange) -> None:
    """CLR-4, CLR-6, SET-1, SET-3: the winner pays the first rejected price, and is rewarded."""
    rewards = {"reward_tokens_per_impact": 50, "reward_cap_tokens": 500, "reward_day_cap_tokens": 500}
    market.open_market("m", lease=timedelta(hours=2), **rewards)
    market.mint("treasury", 100, "fund:rewards")
    for bidder_id in ("a", "b"):
        market.open_account(bidder_id)
        market.mint(bidder_id, 1_000, "grant:initial")
    market.open_account("p", "provider")
    assert market.offer_slot("m", "s", provider_id="p", reserve_price_tokens=100).durable
    assert market.place_bid("m", "a", "t1", 900, expected_value_usd=1.5).held_tokens == 900
    assert market.place_bid("m", "b", "t2", 700).bid_id == 2
    cleared = market.clear_round("m")
    assert (cleared.round_no, cleared.slots_available, cleared.bids_open) == (1, 1, 2)
    assert (cleared.clearing_price_tokens, cleared.losers_remaining) == (700, 0)
    (award,) = cleared.awards
    assert (award.slot_id, award.bidder_id, award.task_id, award.provider_id) == ("s", "a", "t1", "p")
    assert (award.price_tokens, award.premium_tokens, award.runner_up_task_id) == (700, 200, "t2")
    assert (award.slot_started_at, award.lease_until) == (at(START_US), at(START_US) + timedelta(hours=2))
    assert market.wallet("a").held_tokens == 700
    assert market.wallet("b").held_tokens == 0
    settled = market.settle("s", actual_cost_tokens=640, actual_impact=1.5, provider_id="p", award_id=award.award_id)
    assert (settled.price_tokens, settled.actual_cost_tokens, settled.actual_impact) == (700, 640, 1.5)
    assert (settled.reward_tokens, settled.roi_impact_per_token) == (75, 1.5 / 700)
    assert [market.wallet(name).balance_tokens for name in ("a", "b", "p", "treasury")] == [375, 1_000, 700, 25]


def test_bid_is_amended_and_cancelled(market: Exchange, clock: ManualClock) -> None:
    """BID-5, BID-7."""
    furnish(market, "a")
    bid = market.place_bid("m", "a", "t", 100)
    deadline = at(START_US + 5_000_000)
    amended = market.acting_as("a").amend_bid(bid.bid_id, max_price_tokens=150, ttl_at=deadline)
    assert (amended.max_price_tokens, amended.ttl_at) == (150, deadline)
    assert market.amend_bid(bid.bid_id, ttl_at=deadline).max_price_tokens == 150
    book = market.get_order_book("m")
    assert [(one.bid_id, one.max_price_tokens, one.ttl_at) for one in book.bids] == [(1, 150, deadline)]
    assert market.acting_as("a").cancel_bid(bid.bid_id).durable
    assert market.wallet("a").held_tokens == 0
    assert market.get_order_book("m").bids == ()


def test_slot_is_withdrawn_and_award_voided(market: Exchange) -> None:
    """SLT-2, SET-4."""
    furnish(market, "a")
    market.offer_slot("m", "gone")
    assert market.withdraw_slot("gone").durable
    award_id = award_one(market, price_tokens=10)
    voided = market.void("s", award_id=award_id)
    assert (voided.award_id, voided.bid_id, voided.released_tokens) == (award_id, 1, 0)
    assert market.wallet("a").held_tokens == 0


def test_sweep_ends_what_is_due(market: Exchange, clock: ManualClock) -> None:
    """BID-3, SET-5, SET-6."""
    market.open_market("m", lease=timedelta(seconds=1))
    market.open_account("a")
    market.mint("a", 1_000, "grant:initial")
    award_one(market)
    market.place_bid("m", "a", "t", 5, ttl_at=at(START_US + 1_000), time_in_force="gtd")
    clock.set_us(START_US + 1_000_000)
    swept = market.refund_unfilled()
    assert (swept.bids_lost, swept.bids_expired, swept.awards_lapsed, swept.more_due) == (0, 1, 1, False)


def test_book_shows_both_sides_and_counts_all(market: Exchange) -> None:
    furnish(market, "a", "b")
    for number in range(3):
        market.offer_slot("m", f"s{number}", reserve_price_tokens=number)
        market.place_bid("m", "a", f"t{number}", 10 + number)
    book = market.get_order_book("m", limit=2)
    assert [bid.max_price_tokens for bid in book.bids] == [12, 11]
    assert [ask.slot_id for ask in book.asks] == ["s0", "s1"]
    assert (book.bids_total, book.asks_total, book.seq) == (3, 3, last_seq(market))


def test_durable_questions_are_answered_from_the_tables(market: Exchange) -> None:
    """What is durable can be asked in words and figures: `why`, `get_recent_stats`, `verify`."""
    furnish(market, "a", "b")
    market.offer_slot("m", "s")
    market.place_bid("m", "a", "t1", 90)
    market.place_bid("m", "b", "t2", 70)
    market.clear_round("m")
    market.settle("s", 60, 2.5)
    loser, winner = market.why(2), market.why(1)
    assert (loser.status, winner.status) == ("lost", "settled")
    assert "outbid" in loser.reason
    with pytest.raises(NotFound, match="bid_id: expected a bid that was accepted, got 3"):
        market.why(3)
    stats = market.get_recent_stats("m")
    assert (stats.totals.rounds, stats.totals.price_median_tokens, stats.fill_rate) == (1, 70.0, 1.0)
    assert [(win.bidder_id, win.bid_tokens) for win in stats.top_wins] == [("a", 90)]
    assert market.get_recent_stats("m", timedelta(0)).fill_rate is None
    assert market.get_recent_stats("m", timedelta.max).totals.rounds == 1
    market.ensure_schema()
    report = market.verify()
    assert report.ok, report
    assert report.rows == last_seq(market)


# --- the errors --------------------------------------------------------------------------------------------------


def test_refusal_says_why_and_is_recorded(market: Exchange, database_url: str) -> None:
    """LED-7: reason, field, value, bound and seq; the seq moves, the money does not."""
    furnish(market, "a", tokens=50)
    before = last_seq(market)
    with pytest.raises(Refused) as caught:
        market.place_bid("m", "a", "t", 51)
    refused = caught.value
    assert (refused.reason, refused.field) == (Reject.FUNDS_INSUFFICIENT, "max_price_tokens")
    assert (refused.value, refused.bound, refused.seq) == (51, 50, before + 1)
    assert str(refused) == "FUNDS_INSUFFICIENT: max_price_tokens 51 (against 50)"
    assert last_seq(market) == before + 1
    assert market.wallet("a").available_tokens == 50
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT reason, value, bound FROM refusals WHERE seq = %s", (refused.seq,)).fetchone()
    assert row == ("FUNDS_INSUFFICIENT", "51", "50")


def refusals(market: Exchange) -> list[tuple[Reject, Callable[[], object]]]:
    """Each verb with something that the market says no to."""
    return [
        (Reject.ACCOUNT_EXISTS, lambda: market.open_account("a")),
        (Reject.NAME_RESERVED, lambda: market.open_account("treasury")),
        (Reject.REFERENCE_MISSING, lambda: market.mint("a", 1, "earn:debate")),
        (Reject.FUNDS_INSUFFICIENT, lambda: market.burn("a", 10_000, "fee:any")),
        (Reject.SAME_ACCOUNT, lambda: market.transfer("a", "a", 1, "gift:any")),
        (Reject.MARKET_EXISTS, lambda: market.open_market("m")),
        (Reject.MARKET_UNKNOWN, lambda: market.offer_slot("none", "s")),
        (Reject.SLOT_UNKNOWN, lambda: market.withdraw_slot("none")),
        (Reject.TTL_MISSING, lambda: market.place_bid("m", "a", "t", 1, time_in_force="gtd")),
        (Reject.BID_UNKNOWN, lambda: market.amend_bid(99, max_price_tokens=1)),
        (Reject.BID_UNKNOWN, lambda: market.cancel_bid(99)),
        (Reject.MARKET_UNKNOWN, lambda: market.clear_round("none")),
        (Reject.SLOT_UNKNOWN, lambda: market.settle("none", 1, 1)),
        (Reject.SLOT_UNKNOWN, lambda: market.void("none")),
        (Reject.NOT_PERMITTED, lambda: market.acting_as("a").refund_unfilled()),
    ]


def test_every_verb_can_be_refused(market: Exchange) -> None:
    furnish(market, "a")
    for reason, ask in refusals(market):
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.reason is reason
        assert caught.value.seq == last_seq(market)


def test_invalid_request_is_not_recorded(market: Exchange) -> None:
    """Field, value and expectation are named; the seq does not move."""
    furnish(market, "a")
    before = last_seq(market)
    with pytest.raises(Invalid) as caught:
        market.place_bid("m", "a", "t", 0)
    invalid = caught.value
    assert (invalid.field, invalid.value) == ("max_price_tokens", 0)
    assert ">= 1" in invalid.expected
    for ask in (
        lambda: market.place_bid("m", "a", "t", 5, command_id=None),  # type: ignore[arg-type]
        lambda: market.submit([]),
        lambda: market.submit([open_account.request("x")] * 1_001),
        lambda: market.submit([open_account.request("x")], ack="durabel"),  # type: ignore[arg-type]
        lambda: market.acknowledging("never"),  # type: ignore[arg-type]
        lambda: market.wallet("nobody"),
        lambda: market.get_order_book("nowhere"),
        lambda: market.get_order_book("m", limit=0),
        lambda: market.get_order_book("m", depth=1_001),
        lambda: market.why(0),
        lambda: market.why(10**30),
        lambda: market.why("1"),  # type: ignore[arg-type]
        lambda: market.get_recent_stats("m", 5),  # type: ignore[arg-type]
    ):
        with pytest.raises(Invalid):
            ask()
    assert last_seq(market) == before == market.durable_seq
    assert market.open_account("fine").seq == before + 1


def test_no_accepted_text_can_harm_the_journal(market: Exchange) -> None:
    """Every character that a name or a memo may hold comes back from PostgreSQL as it went in (digest chain whole)."""
    name = "".join(map(chr, range(ord("!"), ord("~") + 1)))
    # What is named in URLs has no slash.
    account = name.replace("/", "")
    market.open_account(account)
    market.mint(account, 5, "grant:any", name, name, memo="\x01\t\n\\ \x7f € 𝄞 \u2028 ' \" {}", command_id=name)
    assert market.verify().ok


# --- who acts ----------------------------------------------------------------------------------------------------


def test_acting_as_fixes_the_actor(market: Exchange) -> None:
    """BID-7: verbs act as who would usually do it, unless an exchange acts for one."""
    furnish(market, "a", "b")
    bid = market.place_bid("m", "a", "t", 5)
    with pytest.raises(Refused) as caught:
        market.acting_as("b").cancel_bid(bid.bid_id)
    assert (caught.value.reason, caught.value.bound) == (Reject.NOT_PERMITTED, "a")
    (outcome,) = market.acting_as("b").place_bids([place_bid.request("m", "a", "t2", 5)])
    assert isinstance(outcome, Refused)
    assert market.acting_as("a").cancel_bid(bid.bid_id).durable


def test_acting_as_nobody_is_invalid(market: Exchange) -> None:
    """A name that PostgreSQL cannot store would stop the journal for everyone."""
    for actor in ("", "no body", "nul\0", "\ud800", 5, None):
        with pytest.raises(Invalid, match="actor: expected"):
            market.acting_as(actor)  # type: ignore[arg-type]


# --- batches -----------------------------------------------------------------------------------------------------


def test_place_bids_has_one_outcome_for_each(market: Exchange) -> None:
    furnish(market, "a", tokens=100)
    asked = [place_bid.request("m", "a", f"t{number}", price) for number, price in enumerate((60, 60, 40))]
    first, second, third = market.place_bids(asked)
    assert isinstance(first, PlacedBid)
    assert isinstance(second, Refused)
    assert isinstance(third, PlacedBid)
    assert (first.held_tokens, second.reason, third.bid_id) == (60, Reject.FUNDS_INSUFFICIENT, 2)
    assert [first.stamp.seq, second.seq, third.stamp.seq] == list(range(first.stamp.seq, first.stamp.seq + 3))
    assert first.stamp.durable


def test_place_bids_takes_only_bids(market: Exchange) -> None:
    furnish(market, "a")
    before = last_seq(market)
    with pytest.raises(Invalid, match="requests: expected bids"):
        market.place_bids([place_bid.request("m", "a", "t", 5), clear_request("m")])
    assert last_seq(market) == before


def test_batch_of_a_thousand_is_taken_and_no_more(market: Exchange) -> None:
    asked = [open_account.request(f"a{number}") for number in range(1_000)]
    assert [reply.seq for reply in market.submit(asked)] == list(range(1, 1_001))
    with pytest.raises(Invalid, match="requests: expected 1 to 1000 requests, got 1001"):
        market.submit([*asked, asked[0]])


# --- clearing large books ----------------------------------------------------------------------------------------


def test_clear_round_releases_all_losers(market: Exchange) -> None:
    """BID-4, SET-6: the call ends the first hundred, sweeps of five hundred the others, and every token is back."""
    furnish(market, "a", tokens=10_000)
    market.offer_slot("m", "s")
    all_placed(market.place_bids([place_bid.request("m", "a", f"t{number}", 10) for number in range(750)]))
    cleared = market.clear_round("m")
    assert cleared.losers_remaining == 750 - 1 - limits.LOSERS_PER_CALL_MAX
    assert market.wallet("a").held_tokens == 10
    assert market.read(lambda state: dict(state.unreleased_losers)) == {}
    sweeps = last_seq(market) - cleared.stamp.seq
    assert sweeps == 2
    market.read(State.check)


def test_retried_call_releases_the_remaining_losers(market: Exchange) -> None:
    """IDM-1, BID-4: the caller died between the call and its sweeps; the retry is the same round, and ends them."""
    furnish(market, "a", tokens=10_000)
    all_placed(market.place_bids([place_bid.request("m", "a", f"t{number}", 10) for number in range(150)]))
    asked = clear_request("m", command_id="round-1")
    accepted(market.submit([asked]))
    assert market.wallet("a").held_tokens == 50 * 10
    again = market.clear_round("m", command_id="round-1")
    assert (again.stamp.repeated, again.round_no, again.losers_remaining) == (True, 1, 50)
    assert market.wallet("a").held_tokens == 0


# --- retries -----------------------------------------------------------------------------------------------------


def test_retry_is_answered_with_the_first_reply(market: Exchange) -> None:
    """IDM-1: the same seq, the same events; refusals too."""
    furnish(market, "a", tokens=100)
    first = market.place_bid("m", "a", "t", 60, command_id="bid")
    again = market.place_bid("m", "a", "t", 60, command_id="bid")
    assert (again.bid_id, again.stamp.seq) == (first.bid_id, first.stamp.seq)
    assert (first.stamp.repeated, again.stamp.repeated) == (False, True)
    assert again.stamp.durable
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            market.place_bid("m", "a", "t2", 60, command_id="too-much")
    first_refusal = caught.value.seq
    market.cancel_bid(first.bid_id)
    with pytest.raises(Refused) as caught:
        market.place_bid("m", "a", "t2", 60, command_id="too-much")
    assert (caught.value.reason, caught.value.seq) == (Reject.FUNDS_INSUFFICIENT, first_refusal)


def test_a_retry_after_a_restart_gets_the_first_reply(database_url: str, clock: ManualClock) -> None:
    """IDM-1: after recovery the same command gives its first reply, another under its id is refused."""
    with open_exchange(database_url, clock=clock) as market:
        furnish(market, "a")
        first = market.transfer("a", "treasury", 10, "gift:any", command_id="pay")
        image = market.image()
    clock.set_us(START_US + 60_000_000)
    with open_exchange(database_url, clock=clock) as market:
        assert market.image() == image
        assert market.recovery.rows == 4
        again = market.transfer("a", "treasury", 10, "gift:any", command_id="pay")
        assert again.stamp.repeated
        assert (again.stamp.seq, again.stamp.at, again.from_balance_tokens) == (4, first.stamp.at, 990)
        with pytest.raises(Refused) as caught:
            market.transfer("a", "treasury", 11, "gift:any", command_id="pay")
        assert (caught.value.reason, caught.value.bound) == (Reject.COMMAND_ID_REUSED, 4)
        assert market.wallet("a").balance_tokens == 990


# --- acknowledging -----------------------------------------------------------------------------------------------


def test_durable_reply_is_in_the_journal(market: Exchange, database_url: str) -> None:
    """AUC-17: a reply leaves when its row is committed: whoever looks finds it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for number in range(20):
            stamp = market.open_account(f"a{number}")
            assert stamp.durable
            found = connection.execute("SELECT max(seq) FROM journal").fetchone()
            assert found == (stamp.seq,)
            assert market.durable_seq >= stamp.seq


def test_applied_reply_says_whether_it_is_durable(market: Exchange) -> None:
    """ack="applied" is answered at once; the watermark tells when it is in the journal."""
    eager = market.acknowledging("applied")
    accepted(eager.submit([open_account.request(f"a{number}") for number in range(1_000)]))
    stamp = eager.open_account("last")
    assert stamp.seq == 1_001
    assert not stamp.durable or stamp.seq <= market.durable_seq
    after = market.open_account("after")
    assert after.durable
    assert market.durable_seq >= after.seq
    assert eager.open_market("m").seq == after.seq + 1


def test_many_threads_lose_no_reply_and_make_one_order(market: Exchange, database_url: str) -> None:
    """BID-2: 8 threads with 200 bids each; every reply has a seq of its own, and the journal says the same."""
    bidder_ids = [f"bidder-{number}" for number in range(8)]
    furnish(market, *bidder_ids, tokens=100_000)
    before = last_seq(market)
    seqs: dict[int, tuple[str, int]] = {}
    lock = threading.Lock()

    def bid(bidder_id: str) -> None:
        mine = [market.place_bid("m", bidder_id, f"{bidder_id}-{number}", 7) for number in range(200)]
        assert [one.stamp.seq for one in mine] == sorted(one.stamp.seq for one in mine)
        assert all(one.stamp.durable for one in mine)
        with lock:
            seqs.update({one.stamp.seq: (bidder_id, one.bid_id) for one in mine})

    assert in_threads([lambda bidder_id=bidder_id: bid(bidder_id) for bidder_id in bidder_ids]) == []
    assert sorted(seqs) == list(range(before + 1, before + 1_601))
    journaled = {row.seq: (row.actor, json.loads(row.events)[0]["bid_id"]) for row in read_rows(database_url)[before:]}
    assert journaled == seqs
    assert market.verify().ok


def test_same_command_from_many_threads_is_done_once(market: Exchange) -> None:
    """IDM-1: a client that sends the same at once from everywhere is answered everywhere with one effect."""
    furnish(market, "a")
    transfer_ids: list[tuple[int, int]] = []

    def pay() -> None:
        posted = market.transfer("a", "treasury", 10, "gift:any", command_id="pay")
        transfer_ids.append((posted.transfer_id, posted.stamp.seq))

    assert in_threads([pay] * 16) == []
    assert len(transfer_ids) == 16
    assert len(set(transfer_ids)) == 1
    assert market.wallet("a").balance_tokens == 990


def test_raw_requests_give_refusals_as_events(market: Exchange) -> None:
    (reply,) = market.submit([request("operator", ClearRound("none"))])
    assert type(reply.events[0]).__name__ == "Rejected"
    assert reply.seq == 1


# --- what is no request, no question, no change ----------------------------------------------------------------------

NO_REQUEST = (None, "mint", mint.request, ClearRound("m"), Exchange, [open_account.request("b")])
BY_HAND = (
    Request("admin", "nonsense"),
    Request("admin", None),
    Request(5, ClearRound("m")),
    Request("admin", ClearRound(7)),
)  # type: ignore[arg-type]


def test_an_argument_that_is_not_a_request_is_refused_without_effect(market: Exchange) -> None:
    """Built by hand it may be anything: the engine, which would stop at it for good, never sees it."""
    furnish(market, "a")
    image = market.image()
    for wrong in (*NO_REQUEST, *BY_HAND):
        for ask in (market.submit_one, market.acting_as("a").submit_one, lambda one: market.submit([one])):
            with pytest.raises(Invalid):
                ask(wrong)  # type: ignore[arg-type]
    for many in (None, 5, open_account.request("b"), iter(())):
        with pytest.raises(Invalid, match="requests: expected a list of Requests"):
            market.submit(many)  # type: ignore[arg-type]
    assert market.image() == image
    assert market.submit_one(open_account.request("b")).seq == 4


def test_an_argument_that_is_not_a_question_or_change_is_refused(market: Exchange) -> None:
    for wrong in (None, "wallet", wallet.plan, open_account.request("b"), lambda _: 5):
        with pytest.raises(Invalid, match="question: expected a question"):
            market.ask(wrong)  # type: ignore[arg-type]
        with pytest.raises(Invalid, match="change: expected a Change"):
            market.change(wrong)  # type: ignore[arg-type]


def test_asyncio_refuses_the_same_requests(market: Exchange) -> None:
    exchange = AsyncExchange(market)

    async def run() -> None:
        for wrong in (*NO_REQUEST, *BY_HAND):
            for ask in (exchange.submit_one, exchange.acting_as("a").submit_one, exchange.ask, exchange.change):
                with pytest.raises(Invalid):
                    await ask(wrong)  # type: ignore[operator]
            with pytest.raises(Invalid):
                await exchange.submit([wrong])  # type: ignore[list-item]
        assert (await exchange.submit_one(open_account.request("b"))).seq == 1

    asyncio.run(run())


def test_a_read_does_not_wait_for_rows_that_other_threads_see_meanwhile(market: Exchange) -> None:
    """What one is told while another asks is not what that one waits for."""
    furnish(market, "a")
    stop, failed = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            market.mint("a", 1, "grant:more")

    def read() -> None:
        try:
            for _ in range(60):
                assert market.wallets().seq
        except Exception as error:  # noqa: BLE001 -- handed to the test
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(3)]
    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in readers:
        thread.join(60)
    stop.set()
    for thread in writers:
        thread.join(60)
    assert failed == []


def test_whoever_is_derived_from_an_exchange_reads_what_the_others_have_written(market: Exchange) -> None:
    """And remembers as who, and how, it was derived."""
    a = market.acting_as("a")
    quick = a.acknowledging("applied")
    assert (a.actor, a.ack, quick.actor, quick.ack) == ("a", "durable", "a", "applied")
    assert (market.actor, market.ack) == (None, "durable")
    assert a.seen is quick.seen is market.seen
    written = market.open_account("b").seq
    assert quick.seen.seq == written
    assert AsyncExchange(quick).acting_as("c")._exchange.seen is market.seen
    assert Exchange(market.node).seen is not market.seen, "another one begins anew"
