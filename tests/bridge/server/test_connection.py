"""Connections that never become a request: they cost a descriptor for some seconds, then nothing.

Goal: nobody holds the server's descriptors or memory by saying nothing, or little. Method: a real server on a real
socket, with small bounds; what it does is read from the socket, and no time is measured.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridge.server import connection
from bridge.server.asgi import Message, Receive, Scope, Send
from bridge.server.http_server import Server, listening_socket

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Meet = Callable[[Callable[[], Awaitable[tuple[Reader, Writer]]]], Awaitable[None]]


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """The application: a short answer, for `/slow` a late one."""
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    message: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
    await send(message)
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S_MAX", 0.5)
    monkeypatch.setattr(connection, "HEAD_BYTES_MAX", 2_000)
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 3)


def meet(check: Meet) -> None:
    """Run a check against a server."""

    async def run() -> None:
        with listening_socket("127.0.0.1", 0) as listening:
            server = Server(hello, on_ending=lambda: None)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            host, port = listening.getsockname()
            opened: list[tuple[Reader, Writer]] = []

            async def connect() -> tuple[Reader, Writer]:
                while True:
                    try:
                        opened.append(await asyncio.open_connection(host, port))
                        return opened[-1]
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.01)  # it has not begun to listen

            try:
                async with asyncio.timeout(30):
                    await check(connect)
            finally:
                for _, writer in opened:
                    writer.close()
                server.end()
                await serving

    asyncio.run(run())


async def closed(reader: Reader) -> bytes:
    """All that comes until the server hangs up."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def answer(reader: Reader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b"\r\n")[0] + b" " + await reader.readexactly(5)


async def says_nothing(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
    reader, _ = await connect()
    assert await closed(reader) == b""


async def says_half(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
    reader, writer = await connect()
    writer.write(HEAD)
    assert await closed(reader) == b""


async def drips(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
    """A byte now and then does not begin the time anew."""
    reader, writer = await connect()

    async def drip() -> None:
        writer.write(HEAD + b"X: ")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert await closed(reader) == b""
    dripping.cancel()


async def sends_empty_lines(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
    """After a request that was answered: no head begins with them, so they must not keep it open either."""
    reader, writer = await connect()
    writer.write(HEAD + b"\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK hello"
    writer.write(b"\r\n")
    assert await closed(reader) == b""


async def sends_half_of_a_second_one(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
    reader, writer = await connect()
    writer.write(HEAD + b"\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK hello"
    writer.write(HEAD)
    assert await closed(reader) == b""


async def sends_a_head_without_end(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
    reader, writer = await connect()
    writer.write(HEAD + b"X: " + b"x" * 3_000)
    assert (await closed(reader)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "check", [says_nothing, says_half, drips, sends_empty_lines, sends_half_of_a_second_one, sends_a_head_without_end]
)
def test_who_sends_no_head_is_hung_up_on(check: Meet) -> None:
    meet(check)


def test_a_head_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is the bound there, not the time."""
    monkeypatch.setattr(connection, "HEAD_S_MAX", 3_600)
    meet(sends_a_head_without_end)


def test_an_answer_may_take_longer_than_a_head() -> None:
    async def check(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(HEAD.replace(b"/ ", b"/slow ") + b"\r\n")
            assert await answer(reader) == b"HTTP/1.1 200 OK hello"
        await asyncio.sleep(1)  # between two requests the bound of a head is not at work
        writer.write(HEAD + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK hello"

    meet(check)


def test_there_are_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S_MAX", 3_600)

    async def check(connect: Callable[[], Awaitable[tuple[Reader, Writer]]]) -> None:
        held = [await connect() for _ in range(3)]
        for reader, writer in held:
            writer.write(HEAD + b"\r\n")
            assert await answer(reader) == b"HTTP/1.1 200 OK hello"
        reader, _ = await connect()
        told = await closed(reader)
        assert told.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nretry-after: 1\r\n" in told
        held[0][1].close()
        await held[0][1].wait_closed()
        # Soon: the server has to hear of it first.
        told = b"HTTP/1.1 503"
        while told.startswith(b"HTTP/1.1 503"):
            reader, writer = await connect()
            writer.write(HEAD + b"\r\n")
            told = await answer(reader)
            writer.close()
        assert told == b"HTTP/1.1 200 OK hello"

    meet(check)
