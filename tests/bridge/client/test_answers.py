"""Answers that no service of ours gives, to both clients alike: too long, too slow, cut, and of something else.

Method: a server on a real socket that answers what the test says, and either client, blocking or awaited.
"""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from callmarket import AsyncClient, Client, InDoubt, Invalid, Unavailable, UnknownOutcome
from callmarket.bridge.api.contract.results import Stamp
from callmarket.bridge.api.operations.bids import PlacedBid, place_bid
from callmarket.bridge.client import wire
from callmarket.bridge.server.problems import body_of, problem_of
from tests.bridge.conftest import START_US
from tests.support.small_market import at

Asked = tuple[str, str, str, str]
Ask = Callable[..., Any]
KEY = "cmk_any"


class Scripted(ThreadingHTTPServer):
    """Notes what it is asked (method, target, id, account), and answers by `respond`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.respond: Callable[[Answering], None] = lambda handler: handler.answer(b"{}")
        super().__init__(("127.0.0.1", 0), Answering)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    """One connection, without a word in the log."""

    server: Scripted
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = (self.headers.get("Idempotency-Key", ""), self.headers.get("Callmarket-Account", ""))
        self.server.asked.append((self.command, self.path, *headers))
        try:
            self.server.respond(self)
        except OSError:
            self.close_connection = True

    do_POST = do_DELETE = do_GET  # noqa: N815 -- its base's names for it

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "awaited"])
def ask(request: pytest.FixtureRequest, server: Scripted) -> Ask:
    """Do something with a client of either kind, and return what came of it."""

    def blocking(do: Callable[[Any], Any], **options: Any) -> Any:
        with Client(server.url, KEY, **options) as client:
            return do(client)

    async def awaited(do: Callable[[Any], Any], options: dict[str, Any]) -> Any:
        async with AsyncClient(server.url, KEY, **options) as client:
            result = do(client)
            return await result if inspect.isawaitable(result) else result

    return blocking if request.param is Client else lambda do, **options: asyncio.run(awaited(do, options))


def mint(client: Any) -> Any:
    return client.mint("a", 1, "grant:any", command_id="mine")


def test_an_answer_that_is_too_long_is_discarded(server: Scripted, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that had one may have been made; nobody reads more than the bound."""
    monkeypatch.setattr(wire, "ANSWER_BYTES_MAX", 1_000)
    server.respond = lambda handler: handler.answer(b'"' + b"x" * 10_000_000 + b'"')
    with pytest.raises(Unavailable, match="more than"):
        ask(lambda client: client.wallet("a"), timeout_s=0.2)
    with pytest.raises(InDoubt) as caught:
        ask(mint, timeout_s=0.2)
    assert caught.value.command_id == "mine"


def test_an_endless_answer_is_cut_off_at_the_deadline(server: Scripted, ask: Ask) -> None:
    """Though a byte of it comes all the time, so that no time-out of a single reading is met."""
    over = threading.Event()

    def dribble(handler: Answering) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not over.wait(0.01):
            handler.wfile.write(b" ")

    server.respond = dribble
    try:
        with pytest.raises(Unavailable, match="no complete answer in time"):
            ask(lambda client: client.wallet("a"), timeout_s=0.3)
        with pytest.raises(InDoubt):
            ask(mint, timeout_s=0.3)
    finally:
        over.set()


def test_a_stream_answered_by_something_else_fails_like_a_question(server: Scripted, ask: Ask) -> None:
    server.respond = lambda handler: handler.answer(b"<html>", 502)

    def first(client: Any) -> Any:
        stream = client.events(5)
        return next(stream) if isinstance(client, Client) else anext(stream)

    with pytest.raises(Unavailable, match="502"):
        ask(first, timeout_s=0.2)
    assert {target for _, target, _, _ in server.asked} == {"/api/v1/events?after_seq=5"}
    server.respond = lambda handler: handler.answer(body_of(problem_of(Invalid("after_seq", 5, "0 to 4"))), 400)
    with pytest.raises(Invalid, match="after_seq: expected 0 to 4, got 5"):
        ask(first)


def test_a_closed_client_sends_nothing(server: Scripted, ask: Ask) -> None:
    async def closed(client: AsyncClient) -> Any:
        await client.close()
        return await client.wallet("a")

    def use(client: Any) -> Any:
        if isinstance(client, AsyncClient):
            return closed(client)
        client.close()
        return client.wallet("a")

    with pytest.raises(Unavailable, match="this client is closed"):
        ask(use)
    assert server.asked == []


def test_only_an_in_doubt_error_can_be_resolved(server: Scripted, ask: Ask) -> None:
    with pytest.raises(Invalid, match="error: expected an InDoubt"):
        ask(lambda client: client.resolve(UnknownOutcome("not durable", range(4, 5))))
    assert server.asked == []


def test_a_call_carries_time_ack_command_id_and_account(server: Scripted, ask: Ask) -> None:
    """The account that the client acts for, unless the verb names one."""
    server.respond = lambda handler: handler.answer(body_of(problem_of(Invalid("x", 1, "y"))), 400)
    for do in (
        lambda client: client.clear_round("m", at(START_US), command_id="one"),
        lambda client: client.acting_as("b").cancel_bid(7, command_id="two"),
        lambda client: client.acting_as("b").open_account("c", command_id="three"),
    ):
        with pytest.raises(Invalid, match="x: expected y"):
            ask(do, ack="applied")
    assert server.asked == [
        ("POST", "/api/v1/markets/m/clear?now=2027-01-15T08%3A00%3A00Z&ack=applied", "one", ""),
        ("DELETE", "/api/v1/bids/7?ack=applied", "two", "b"),
        ("POST", "/api/v1/wallets?ack=applied", "three", "b"),
    ]


def test_interrupted_batches_are_resolved_as_a_whole(server: Scripted, ask: Ask) -> None:
    """By the ids of the first time."""
    placed = [PlacedBid(number, 1, Stamp(1, 1, at(START_US), False)) for number in (1, 2)]
    good = msgspec.json.encode(placed)
    away = body_of(problem_of(UnknownOutcome("not durable", range(5, 6))))

    def respond(handler: Answering) -> None:
        if len(server.asked) == 1 or over.is_set():
            handler.answer(good)
        else:
            handler.answer(away, 504)

    server.respond, over = respond, threading.Event()
    bids = [place_bid.request("m", name, f"t{number}", 1) for name in "ab" for number in range(2)]
    with pytest.raises(InDoubt, match="2 bids were answered, then") as caught:
        ask(lambda client: client.place_bids(bids), timeout_s=0.2)
    assert caught.value.seqs == range(5, 6)
    first, second = server.asked[0], server.asked[1]
    assert set(server.asked) == {first, second}
    over.set()
    server.asked.clear()
    assert ask(lambda client: client.resolve(caught.value)) == placed * 2
    assert server.asked == [first, second]
