"""Overload: beyond a bound of requests under way, changes are refused at once and told when to come back."""

import asyncio
from typing import Any, cast

import httpx2

from callmarket.bridge.server.gateway import Gateway
from callmarket.bridge.server.http.one_write import OneWrite
from tests.bridge.server.conftest import BASE, Served

BIDS = "/api/v1/markets/m/bids"


async def together(app: Any, key: str, count: int) -> tuple[list[httpx2.Response], httpx2.Response]:
    """So many bids at the same time, and a look at the market while they wait."""
    transport = httpx2.ASGITransport(app=app)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
        bids = [
            asyncio.create_task(client.post(BIDS, json={"task_id": f"t{number}", "max_price_tokens": 1}))
            for number in range(count)
        ]
        look = asyncio.create_task(client.get("/api/v1/wallets/a"))
        return await asyncio.gather(*bids), await look


def test_changes_beyond_the_bound_are_refused_and_reads_are_not(served: Served) -> None:
    app = Gateway(served.service, lambda *_: None, changes_waiting_max=5)
    key = served.key(bid=("a",))
    told, look = asyncio.run(together(app, key, 12))
    statuses = [one.status_code for one in told]
    # A key may have as many as are still free: alone, half of them.
    assert (statuses.count(201), statuses.count(503)) == (3, 9)
    for refused in told:
        if refused.status_code == 503:
            assert refused.headers["Retry-After"] == "1"
            assert refused.json()["type"] == "/problems/unavailable"
    assert look.status_code == 200
    assert served.exchange.wallet("a").held_tokens == 3, "what was refused has not happened"
    # Room again: the count goes down with every answer, refusals included.
    told, _ = asyncio.run(together(app, key, 3))
    assert 503 not in {one.status_code for one in told}


class Recorded:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True


def test_a_head_leaves_with_its_body_and_never_later_than_its_answer() -> None:
    head = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n"
    for steps, writes in (
        (["head", "body"], [head + b"{}"]),
        (["head", "flush"], [head]),  # an answer to HEAD
        (["head", "close"], [head]),
        (["head", "body", "head", "body"], [head + b"{}"] * 2),
    ):
        recorded = Recorded()
        transport = OneWrite(cast(asyncio.Transport, recorded), lambda: None)
        for step in steps:
            match step:
                case "head":
                    transport.write(head)
                case "body":
                    transport.write(b"{}")
                case "flush":
                    transport.flush()
                case "close":
                    transport.hang_up()
        assert recorded.writes == writes, steps


def test_what_has_no_body_or_no_known_end_is_written_at_once() -> None:
    for head in (
        b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ):
        recorded = Recorded()
        OneWrite(cast(asyncio.Transport, recorded), lambda: None).write(head)
        assert recorded.writes == [head]
