"""The clients against a service on real sockets: lost replies, keys and their rates, batches, pages, and the stream.

Goal: what the contract does not ask of every way to a market. Method: an exchange of the test's own behind the real
server, and a proxy that cuts lines at chosen bytes.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from callmarket import (
    AsyncClient,
    Client,
    Exchange,
    Forbidden,
    InDoubt,
    Invalid,
    Refused,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    each,
    each_async,
)
from callmarket.bridge.api.operations.bids import PlacedBid, all_placed, place_bid
from callmarket.bridge.feed.artifact_messages import ArtifactTradedMessage
from tests.support.following import projected
from tests.support.proxy import Moment, Proxy
from tests.support.served_market import Served, served
from tests.support.small_market import at, furnish, last_seq, until


@pytest.fixture
def service(market: Exchange) -> Iterator[Served]:
    """A market `m` with bidders `a` and `b`, served."""
    furnish(market, "a", "b", tokens=100_000)
    with served(market) as one:
        yield one


@pytest.fixture
def line(service: Served) -> Iterator[Proxy]:
    """A way to the service that can be cut."""
    with Proxy(f"host=127.0.0.1 port={service.url.rpartition(':')[2]}") as proxy:
        yield proxy


def through(line: Proxy) -> str:
    return f"http://127.0.0.1:{line.listener.getsockname()[1]}"


def test_a_name_that_http_cannot_carry_is_invalid(service: Served, market: Exchange) -> None:
    """In a body by the service, in a path by the client: the field, the value, and what is wrong with it."""
    before = last_seq(market)
    with Client(service.url, service.key(admin=True, operate=True, bid=("a",))) as client:
        for field, ask in (
            ("account_id", lambda: client.open_account("a/b")),
            ("account_id", lambda: client.wallet("a/b")),
            ("market_id", lambda: client.open_market("a/b")),
            ("market_id", lambda: client.place_bid("a/b", "a", "t", 1)),
            ("slot_id", lambda: client.offer_slot("m", "a/b")),
            ("hold_id", lambda: client.place_hold("a/b", "a", 1, "stake")),
            ("hold_id", lambda: client.release_hold("a/b", "a")),
        ):
            with pytest.raises(Invalid, match=f"^{field}: expected .*without.*/.*, got 'a/b'$") as caught:
                ask()
            assert (caught.value.field, caught.value.value) == (field, "a/b")
        for name, words in (("..", r"and not `\.` or `\.\.`"), ("ü", "visible ASCII"), ("x" * 129, "<= 128")):
            with pytest.raises(Invalid, match=f"^account_id: expected .*{words}"):
                client.wallet(name)
        with pytest.raises(Invalid, match=r"^after_seq: expected 0 to \d+, the last durable row, got 9000$"):
            next(client.events(9_000))
    assert last_seq(market) == before


@pytest.mark.parametrize("moment", ["before", "sent", "answered", "torn"])
def test_a_command_with_a_lost_reply_is_retried_and_done_once(
    service: Served, line: Proxy, market: Exchange, moment: Moment
) -> None:
    """IDM-1: wherever the line is cut, the bid is placed once and its result comes."""
    with Client(through(line), service.key(bid=("a",))) as client:
        line.cut(b"POST /api/v1/markets/m/bids", moment)
        placed = client.place_bid("m", "a", "t", 10)
        assert line.cuts_made == 1
        # Where the line is cut as soon as the service has the request, it may be that it has not read it.
        assert moment == "sent" or placed.stamp.repeated is (moment == "answered")
        projected(market.node.url)
        assert [bid.bid_id for bid in market.bids("m").items] == [placed.bid_id]
        line.cut(b"PATCH /api/v1/bids", moment)
        assert client.amend_bid(placed.bid_id, max_price_tokens=12).max_price_tokens == 12
        line.cut(b"DELETE /api/v1/bids", moment)
        assert client.cancel_bid(placed.bid_id).durable


def test_a_batch_is_placed_once(service: Served, line: Proxy, market: Exchange) -> None:
    with Client(through(line), service.key(bid=("*",))) as client:
        line.cut(b"/bids/batch", "answered")
        outcomes = client.place_bids([place_bid.request("m", "a", f"t{number}", 10) for number in range(1_500)])
    assert all(isinstance(one, PlacedBid) for one in outcomes)
    assert len({one.bid_id for one in outcomes if isinstance(one, PlacedBid)}) == 1_500
    assert market.get_order_book("m").bids_total == 1_500


def test_bids_of_several_bidders_keep_their_order(service: Served, market: Exchange) -> None:
    """BID-2: at one price the earlier bid is first, also where a batch is of several bidders, and some have ids."""
    requests = [
        place_bid.request("m", "ab"[number % 4 // 2], f"t{number}", 10, command_id="own" if number == 5 else "")
        for number in range(8)
    ]
    with Client(service.url, service.key(bid=("*",))) as client:
        outcomes = client.place_bids(requests)
        again = client.place_bid("m", requests[5].command.bidder_id, "t5", 10, command_id="own")  # type: ignore[union-attr]
    book = market.get_order_book("m").bids
    assert [bid.task_id for bid in book] == [f"t{number}" for number in range(8)]
    assert [one.bid_id for one in outcomes if isinstance(one, PlacedBid)] == [bid.bid_id for bid in book]
    assert again.stamp.repeated


def test_a_call_without_a_reply_is_in_doubt_and_can_be_resolved(service: Served, line: Proxy, market: Exchange) -> None:
    """The service has done it, and no reply comes through in time; later it does."""
    key = service.key(bid=("a",))
    with Client(through(line), key) as client, Client(through(line), key, timeout_s=0.7) as hasty:
        line.flowing.clear()
        with pytest.raises(InDoubt) as caught:
            hasty.place_bid("m", "a", "t", 10, command_id="mine")
        assert caught.value.command_id == "mine"
        line.flowing.set()
        placed: PlacedBid = client.resolve(caught.value)
        assert client.place_bid("m", "a", "t", 10, command_id="mine").bid_id == placed.bid_id
        projected(market.node.url)
        assert [bid.bid_id for bid in market.bids("m").items] == [placed.bid_id]
        line.cut(b"POST /api/v1/markets/m/bids", "answered")
        with pytest.raises(Refused):
            client.place_bid("m", "a", "t", 10)
    line.refusing = True
    line.cut_all()
    with Client(through(line), service.key(bid=("a",)), timeout_s=0.5) as client, pytest.raises(InDoubt):
        client.place_bid("m", "a", "t2", 10)


def test_an_address_without_a_service_is_unavailable(unused_url: str) -> None:
    with Client(unused_url, "cmk_any", timeout_s=0.5) as client:
        with pytest.raises(Unavailable, match="ConnectError"):
            client.place_bid("m", "a", "t", 10)
        with pytest.raises(Unavailable, match="ConnectError"):
            client.wallet("a")
    with pytest.raises(Unavailable, match="closed"):
        client.wallet("a")


@pytest.fixture
def unused_url() -> str:
    """An address where nobody listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_keys(service: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = service.key(bid=("a",))
    with Client(service.url, key) as client:
        with pytest.raises(Forbidden):
            client.place_bid("m", "b", "t", 10)
        with pytest.raises(Forbidden):
            client.mint("a", 10, "grant:any")
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    with Client(service.url, wrong) as client, pytest.raises(Unauthorized) as caught:
        client.wallet("a")
    assert wrong not in str(caught.value)
    assert key not in caplog.text
    assert wrong not in caplog.text


def test_acting_as_one_of_several(service: Served) -> None:
    """A key of several accounts says by which one a bid is cancelled."""
    with Client(service.url, service.key(bid=("a", "b"))) as client:
        bid = client.place_bid("m", "b", "t", 10)
        with pytest.raises(Invalid, match="Callmarket-Account"):
            client.cancel_bid(bid.bid_id)
        with pytest.raises(Refused, match="NOT_PERMITTED"):
            client.acting_as("a").cancel_bid(bid.bid_id)
        assert client.acting_as("b").cancel_bid(bid.bid_id).durable
        assert client.transfer("a", "b", 5, "gift:any").amount_tokens == 5


def test_rates_are_respected(service: Served) -> None:
    """A 429 is waited out where there is time for it, else raised with how long to wait."""
    with Client(service.url, service.key(rate_per_s=1, burst=1)) as client:
        # As soon as two of them come within a second.
        while 429 not in [status for _, status in service.seen]:
            client.wallet("a")
    with Client(service.url, service.key(rate_per_s=1, burst=100), timeout_s=20) as client:
        client.wallets(limit=1_000)  # it weighs all of the burst, which takes a hundred seconds to come back
        with pytest.raises(TooManyRequests) as caught:
            client.wallets(limit=1_000)
    assert 20 < (caught.value.retry_after_s or 0) <= 100


def test_names_with_special_characters_are_escaped_or_refused(service: Served) -> None:
    """Not to another route, above all: `/wallets/` is the list of all."""
    with Client(service.url, service.key(admin=True)) as client:
        before = len(service.seen)
        for name in ("", ".", "..", "a/b"):
            with pytest.raises(Invalid):
                client.wallet(name)
            with pytest.raises(Invalid):
                client.mint(name, 1, "grant:any")
        assert len(service.seen) == before
        for name in ("a?b", "a#b", "a%2Fb", "a&b=c", "~a", "a+b"):
            client.open_account(name)
            assert client.wallet(name).account_id == name
            assert client.bids(bidder_id=name).items == ()
        with pytest.raises(Invalid, match="command_id"):
            client.open_account("x", command_id="c" * 128)


def test_all_pages(service: Served, market: Exchange) -> None:
    all_placed(market.place_bids([place_bid.request("m", "a", f"t{number}", 10) for number in range(25)]))
    key = service.key()
    with Client(service.url, key) as client:
        assert [bid.task_id for bid in each(client.bids, "m", limit=10, order="oldest")] == [f"t{n}" for n in range(25)]
        assert len(list(each(client.bids, "m", limit=10, items_max=12))) == 12

    async def walk() -> int:
        async with AsyncClient(service.url, key) as client:
            return len([bid async for bid in each_async(client.bids, "m", limit=10)])

    assert asyncio.run(walk()) == 25


def test_waiting_for_an_award(service: Served, market: Exchange) -> None:
    """The answer comes with the award, long before the time is up."""
    market.offer_slot("m", "s")
    with Client(service.url, service.key()) as client:
        assert client.awards(bidder_id="a", wait_s=0.05).items == ()
        market.place_bid("m", "a", "t", 10)
        caller = threading.Timer(0.2, lambda: market.clear_round("m"))
        caller.start()
        (award,) = client.awards(bidder_id="a", wait_s=60).items
        caller.join()
        assert award.task_id == "t"
        for wrong in ({"bidder_id": "a", "wait_s": 61}, {"bidder_id": "a", "wait_s": "5"}, {"wait_s": 1}):
            with pytest.raises(Invalid):
                client.awards(**wrong)


def test_the_stream_resumes_where_it_broke(service: Served, line: Proxy, market: Exchange) -> None:
    """Each bid once, in order, though the connection is cut again and again."""
    with Client(through(line), service.key()) as client:
        heard: list[Any] = []
        listening = threading.Thread(
            target=lambda: heard.extend(islice(client.events(last_seq(market), kinds=("bid",)), 60)), daemon=True
        )
        listening.start()
        for number in range(60):
            market.place_bid("m", "a", f"t{number}", 10)
            if number % 10 == 5:
                until(lambda: bool(line.pairs))
                line.cut_all()
        listening.join(60)
    assert [one.task_id for one in heard] == [f"t{number}" for number in range(60)]


def test_the_stream_begins_now_and_refuses_invalid_arguments(service: Served, market: Exchange) -> None:
    market.place_bid("m", "a", "before", 10)

    async def listen() -> list[str]:
        async with AsyncClient(service.url, service.key()) as client:
            stream = client.events(market_ids=("m",), kinds=("bid",))
            first = asyncio.ensure_future(anext(stream))
            while not market.node.feed.subscribers:  # noqa: ASYNC110 -- nobody announces it
                await asyncio.sleep(0.005)
            await asyncio.to_thread(market.place_bid, "m", "a", "after", 10)
            heard = [(await first).task_id]  # type: ignore[union-attr]
            await stream.aclose()
            with pytest.raises(Invalid):
                await anext(client.events(kinds=("nonsense",)))
            return heard

    assert asyncio.run(listen()) == ["after"]
    with Client(service.url, "cmk_wrong") as client, pytest.raises(Unauthorized):
        next(client.events(0))


def test_a_stream_of_one_artifact_has_its_trades_alone(service: Served, market: Exchange) -> None:
    market.mint("lmsr_subsidy_pool", 100, "fund:markets")
    for artifact_id in ("paper", "other"):
        market.open_artifact_market(artifact_id, 10)
    after_seq = last_seq(market)
    market.place_bid("m", "a", "t", 10)
    for artifact_id in ("other", "paper"):
        market.open_position(artifact_id, "a", "long", 5)
    with Client(service.url, service.key()) as client:
        heard = next(client.events(after_seq, artifact_ids=("paper",), kinds=("artifact",)))
        with pytest.raises(Invalid, match="artifact_ids"):
            next(client.events(after_seq, artifact_ids=[str(number) for number in range(101)]))
    assert isinstance(heard, ArtifactTradedMessage)
    assert (heard.artifact_id, heard.account_id, heard.market.price_before) == ("paper", "a", 0.5)
    assert heard.tokens == pytest.approx(5, abs=0.00001)


def test_times_and_numbers_arrive_as_they_were(service: Served, market: Exchange) -> None:
    """To the microsecond and the millionth."""
    ttl_at = at(1_900_000_000_123_456)
    with Client(service.url, service.key(bid=("a",))) as client:
        bid = client.place_bid("m", "a", "t", 10, expected_value_usd=0.1 + 0.2, ttl_at=ttl_at, time_in_force="gtd")
    projected(market.node.url)
    row = market.bid(bid.bid_id)
    assert (row.expected_value_usd, row.ttl_at) == (0.3, ttl_at)
