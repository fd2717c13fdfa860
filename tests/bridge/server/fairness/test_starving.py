"""Nobody starves another: half-sent requests, greedy keys, dear reads, clients that hang up. A1, A10 and their kin.

Goal: whatever one key does, another bids, and who runs the market takes the key away. Method: a served market on real
sockets; requests wait because a foreign session has locked the journal, so that nothing hangs on time.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

from callmarket import Exchange, ManualClock, open_exchange
from callmarket.bridge.server import gateway
from callmarket.bridge.server.service import STREAMS_PER_KEY_MAX
from tests.support.served_market import Served, served
from tests.support.small_market import WAIT_S_MAX, furnish, in_threads

BIDS = "/api/v1/markets/m/bids"


@pytest.fixture
def market(database_url: str, clock: ManualClock) -> Iterator[tuple[Served, Exchange]]:
    """A market `m` with the bidders `a` and `b`, served."""
    with open_exchange(database_url, clock=clock) as owner:
        furnish(owner, "a", "b", tokens=1_000_000)
        with served(owner) as serving:
            yield serving, owner


def client(serving: Served, key: str) -> httpx2.Client:
    return httpx2.Client(
        base_url=serving.url, headers={"Authorization": f"Bearer {key}"}, timeout=WAIT_S_MAX, trust_env=False
    )


def bid(asking: httpx2.Client, task_id: str) -> httpx2.Response:
    return asking.post(BIDS, json={"task_id": task_id, "max_price_tokens": 1})


def connected(serving: Served) -> socket.socket:
    parts = urlsplit(serving.url)
    return socket.create_connection((parts.hostname, parts.port), WAIT_S_MAX)


def head(key: str, path: str = BIDS, size: int = 100) -> bytes:
    lines = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {size}\r\n\r\n"
    return lines.encode()


def whole(key: str, task_id: str) -> bytes:
    body = f'{{"task_id":"{task_id}","max_price_tokens":1}}'.encode()
    return head(key, size=len(body)) + body


@contextmanager
def journal_locked(database_url: str) -> Iterator[None]:
    """Nothing becomes durable within the block, so all that changes something waits."""
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
        yield


def until(met: Callable[[], Any]) -> None:
    """Wait for a condition."""
    waiting = threading.Event()
    for _ in range(int(WAIT_S_MAX / 0.01)):
        if met():
            return
        waiting.wait(0.01)
    raise AssertionError("it does not happen")


@pytest.mark.parametrize("scopes", [{}, {"bid": ("a",)}])
def test_half_sent_requests_block_no_other_client(market: tuple[Served, Exchange], scopes: dict[str, Any]) -> None:
    """A1: 300 requests of one key whose bodies never come, on every kind of route that has one."""
    serving, _ = market
    attacker, modest, admin = serving.key(**scopes), serving.key(bid=("b",)), serving.key(admin=True)
    paths = (BIDS, BIDS + "/batch", "/api/v1/wallets/a/transfers", "/api/v1/holds", "/api/v1/slots/p/s/settle")
    with ExitStack() as stack:
        held = [stack.enter_context(connected(serving)) for _ in range(300)]
        for number, one in enumerate(held):
            one.sendall(head(attacker, paths[number % len(paths)]) + b"{")
        with client(serving, modest) as asking, client(serving, admin) as ruling:
            # All of them have been read when this is answered: they came before it.
            assert bid(asking, "t1").status_code == 201
            until(lambda: len(serving.seen) + len(serving.front._bodies) > 300)
            assert len(serving.front._bodies) <= gateway.BODIES_PER_KEY_MAX
            assert len(serving.front.places) == 0
            assert bid(asking, "t2").status_code == 201
            assert ruling.delete(f"/api/v1/keys/{attacker[4:16]}").status_code == 200
            minted = ruling.post("/api/v1/wallets/b/mint", json={"amount_tokens": 1, "reason": "grant:x"})
            assert minted.status_code == 200
    until(lambda: not len(serving.front._bodies))


def test_a_greedy_key_leaves_places_to_others_and_the_staff_has_its_own(
    market: tuple[Served, Exchange], database_url: str
) -> None:
    """Whole requests that all wait: the next key finds a place, an admin revokes, and an operator calls."""
    serving, owner = market
    greedy, modest = serving.key(bid=("a",)), serving.key(bid=("b",))
    admin, operator = serving.key(admin=True), serving.key(operate=True)
    told: list[httpx2.Response] = []
    with ExitStack() as stack:
        with journal_locked(database_url):
            held = [stack.enter_context(connected(serving)) for _ in range(300)]
            for number, one in enumerate(held):
                one.sendall(whole(greedy, f"t{number}"))
            until(lambda: serving.front.turned_away + len(serving.seen) == 300 - 128)
            assert {status for _, status in serving.seen} <= {503}
            asking, ruling = (
                stack.enter_context(client(serving, modest)),
                stack.enter_context(client(serving, operator)),
            )
            threads = [
                threading.Thread(target=lambda: told.append(bid(asking, "mine"))),
                threading.Thread(target=lambda: told.append(ruling.post("/api/v1/markets/m/clear", json={}))),
            ]
            for thread in threads:
                thread.start()
            until(lambda: len(serving.front.places) == 130)
            with client(serving, admin) as revoking:
                assert revoking.delete(f"/api/v1/keys/{greedy[4:16]}").status_code == 200
        for thread in threads:
            thread.join(WAIT_S_MAX)
        assert sorted(one.status_code for one in told) == [200, 201]
        until(lambda: not len(serving.front.places))
    assert [status for _, status in serving.seen].count(201) == 129
    assert owner.wallet("b").held_tokens in (0, 1)


def test_refusals_for_want_of_places_are_in_order_and_keep_the_connection(
    market: tuple[Served, Exchange], database_url: str
) -> None:
    """The answer is a problem with `Retry-After`, behind those that are owed, and the next request is served."""
    serving, _ = market
    serving.front.places._max["all"] = 2  # a lone key has one of them
    key = serving.key(bid=("a",))
    with connected(serving) as first, connected(serving) as second:
        with journal_locked(database_url):
            first.sendall(whole(key, "t1"))
            until(lambda: len(serving.front.places) == 1)
            second.sendall(whole(key, "t2") * 3)
            refused = received(second, 3)
            assert [one.partition(b"\r\n")[0] for one in refused] == [b"HTTP/1.1 503 Service Unavailable"] * 3
            for one in refused:
                for part in (
                    b"\r\nretry-after: 1\r\n",
                    b"\r\nrequest-id: ",
                    b'"type":"/problems/unavailable"',
                    b"date:",
                ):
                    assert part in one
            # In two pieces: as the application refuses it.
            second.sendall(whole(key, "t2")[:-5])
            until(lambda: len(serving.front._bodies) == 1)
            second.sendall(whole(key, "t2")[-5:])
            assert received(second, 1)[0].startswith(b"HTTP/1.1 503 ")
            # Behind one that is read: the answers keep their order.
            second.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + whole(key, "t2"))
            assert [one.split(b" ")[1] for one in received(second, 2)] == [b"200", b"503"]
        assert received(first, 1)[0].startswith(b"HTTP/1.1 201 ")
        second.sendall(whole(key, "t2"))
        assert received(second, 1)[0].startswith(b"HTTP/1.1 201 ")


def received(sock: socket.socket, count: int) -> list[bytes]:
    """So many whole answers."""
    data, answers = b"", []
    while len(answers) < count:
        at = data.find(b"\r\n\r\n")
        size = int(data[:at].lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if at >= 0 else 0
        if at < 0 or len(data) < at + 4 + size:
            more = sock.recv(65_536)
            assert more, data
            data += more
            continue
        answers.append(data[: at + 4 + size])
        data = data[at + 4 + size :]
    assert not data
    return answers


def test_a_client_that_disconnects_gives_its_place_back(market: tuple[Served, Exchange], database_url: str) -> None:
    """While it waits for the journal; and before its request has begun, when nobody is answered at all (status 0)."""
    serving, _ = market
    key = serving.key(bid=("a",))
    with journal_locked(database_url):
        held = [connected(serving) for _ in range(50)]
        for number, one in enumerate(held):
            one.sendall(whole(key, f"t{number}"))
        until(lambda: len(serving.front.places) == 50)
        for one in held:
            one.close()
    until(lambda: not len(serving.front.places))
    for path in (BIDS, "/api/v1/wallets/a/transfers"):
        asyncio.run(gone(serving, path, key))
    assert len(serving.front.places) == 0
    assert [status for _, status in serving.seen[-2:]] == [0, 0]


async def gone(serving: Served, path: str, key: str) -> None:
    """A request that was admitted, of a client that is gone when it begins."""
    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-length", b"2")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "client": ("127.0.0.1", 1), "state": {}}
    assert serving.front.admit(scope, is_whole=True) is None
    assert len(serving.front.places) == 1

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        raise AssertionError("there is nobody to answer")

    await serving.front(scope, receive, send)


def test_queries_of_one_key_do_not_take_all_table_connections(
    market: tuple[Served, Exchange], database_url: str
) -> None:
    """A key whose questions hang, on a table that somebody has locked, leaves threads and connections to others."""
    serving, _ = market
    greedy, modest = serving.key(), serving.key()
    with ExitStack() as stack:
        with psycopg.connect(database_url) as connection:
            connection.execute("LOCK TABLE token_holds IN ACCESS EXCLUSIVE MODE")
            held = [stack.enter_context(connected(serving)) for _ in range(30)]
            for one in held:
                one.sendall(f"GET /api/v1/holds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {greedy}\r\n\r\n".encode())
            until(lambda: waiting_for_locks(database_url) == 2)
            with client(serving, modest) as asking:
                assert asking.get("/api/v1/wallets").status_code == 200
            assert waiting_for_locks(database_url) == 2
        for one in held:
            assert received(one, 1)[0].startswith(b"HTTP/1.1 200 ")


def waiting_for_locks(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_hanging_changes_of_tables_do_not_prevent_revoking_a_key(
    market: tuple[Served, Exchange], database_url: str
) -> None:
    """Claims that wait for each other's row take threads of their own."""
    serving, owner = market
    owner.put_artifact("h", "hypothesis")
    key, admin = serving.key(operate=True), serving.key(admin=True)
    told: list[int] = []

    def price() -> None:
        with client(serving, key) as asking:
            told.append(asking.put("/api/v1/artifacts/h/price", json={"market_price": 0.5}).status_code)

    def revoke() -> None:
        with client(serving, admin) as ruling:
            # All of them have been let in: one that comes after the key was revoked is rightly told so.
            until(lambda: len(serving.front.places) >= 12 and waiting_for_locks(database_url) >= 4)
            told.append(ruling.delete(f"/api/v1/keys/{key[4:16]}").status_code)
            connection.rollback()

    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT FROM artifact_records FOR UPDATE")
        assert not in_threads([*[price] * 12, revoke])
    assert told == [200] * 13


def test_streams_of_a_key_are_bounded(market: tuple[Served, Exchange]) -> None:
    serving, _ = market
    greedy, modest = serving.key(), serving.key()
    with ExitStack() as stack:
        streams = [stack.enter_context(connected(serving)) for _ in range(STREAMS_PER_KEY_MAX)]
        for one in streams:
            one.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {greedy}\r\n\r\n".encode())
            assert one.recv(12) == b"HTTP/1.1 200"
        with client(serving, greedy) as asking:
            told = asking.get("/api/v1/events")
            assert (told.status_code, told.headers["Retry-After"]) == (429, "5")
        with client(serving, modest) as asking, asking.stream("GET", "/api/v1/events") as other:
            assert other.status_code == 200
        streams[0].close()
        with client(serving, greedy) as asking:
            until(lambda: is_streamed(asking))


def is_streamed(asking: httpx2.Client) -> bool:
    with asking.stream("GET", "/api/v1/events") as told:
        return told.status_code == 200


def test_a_batch_costs_as_many_requests_as_it_has_bids(market: tuple[Served, Exchange]) -> None:
    serving, _ = market
    key = serving.key(bid=("a",), rate_per_s=1, burst=2_000)
    with client(serving, key) as asking:
        for number, status in enumerate((200, 200, 429)):
            bids = [{"task_id": f"t{number}-{task}", "max_price_tokens": 1} for task in range(1_000)]
            assert asking.post(BIDS + "/batch", json={"bids": bids}).status_code == status


@pytest.mark.parametrize(
    ("path", "times"),
    [
        ("/api/v1/wallets/a", 100),
        ("/api/v1/markets/m", 100),
        ("/api/v1/markets/m/order-book?limit=1000&depth=1000", 1),
        ("/api/v1/wallets?limit=1000", 1),
        ("/api/v1/bids?limit=200", 4),
        ("/api/v1/markets/m/stats", 1),
        ("/api/v1/candles?market_id=m", 1),
        ("/api/v1/wallets/a/earnings", 1),
        ("/api/compute-auction/order-book?limit=1000&depth=1000", 1),
        ("/metrics", 10),
    ],
)
def test_a_read_costs_what_it_weighs(market: tuple[Served, Exchange], path: str, times: int) -> None:
    """Of a rate that does not come back: so many of a read, and no more."""
    serving, _ = market
    with client(serving, serving.key(rate_per_s=1, burst=100)) as asking:
        began_s = time.monotonic()
        statuses = [asking.get(path).status_code for _ in range(times)]
        assert statuses == [200] * times
        more = 0
        while asking.get(path).status_code == 200:
            more += 1
        # One weighs more than 100 / (times + 1): so many are paid by what has come back meanwhile, one a second.
        assert more < 1 + (time.monotonic() - began_s) * (times + 1) / 100
