"""The end of a server while a request is under way: it is answered, or cancelled when it takes too long.

Method: the real server on a real socket, with an application that waits for the test.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from callmarket.bridge.server.http import http_server
from callmarket.bridge.server.http.http_server import Server, listening_socket
from tests.support.small_market import WAIT_S_MAX, until


class Waiting:
    """An application whose requests wait until they may go, and what became of each."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended: list[str] = []
        self.may_go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        try:
            while not self.may_go.is_set():  # noqa: ASYNC110 -- it is set in another thread
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        self.ended.append("answered")


@pytest.fixture
def app() -> Waiting:
    return Waiting()


@pytest.fixture
def end(app: Waiting) -> Iterator[Callable[[], None]]:
    """A request is under way at a server; ends the server."""
    told: list[str] = []
    with listening_socket("127.0.0.1", 0) as listening:
        ready = threading.Event()
        server = Server(app, lambda: told.append("ending"), ready.set)

        async def serve() -> None:
            await server.serve(sockets=[listening])
            # Before the loop ends, which would cancel whatever is left: a service closes its market first.
            await asyncio.sleep(0)
            app.ended.append("the server has ended")

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        assert ready.wait(WAIT_S_MAX)
        with socket.create_connection(listening.getsockname(), WAIT_S_MAX) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: app.begun == 1)

            def ending() -> None:
                server.end()
                until(lambda: told == ["ending"])

            yield ending
            thread.join(WAIT_S_MAX)
            assert not thread.is_alive()


def test_a_request_under_way_is_answered(app: Waiting, end: Callable[[], None]) -> None:
    end()
    assert app.ended == []
    app.may_go.set()
    until(lambda: app.ended == ["answered", "the server has ended"])


def test_a_request_that_takes_too_long_is_cancelled_and_the_server_ends(
    app: Waiting, end: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It could go on for ever in a process that has let go of everything else."""
    monkeypatch.setattr(http_server, "DRAIN_S_MAX", 0.05)
    with caplog.at_level(logging.WARNING):
        end()
        until(lambda: len(app.ended) == 2)
    assert app.ended == ["cancelled", "the server has ended"]
    assert "requests that were not answered within 0 s: 1, cancelled" in caplog.text
