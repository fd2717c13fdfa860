"""Connections that never become a request: they cost a descriptor for some seconds, then nothing.

Goal: nobody holds the server's descriptors or memory by saying nothing, or little. Method: a real server on a real
socket, with small bounds; what it does is read from the socket, and no time is measured.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest
import uvloop

from callmarket.bridge.access.principal import Principal
from callmarket.bridge.access.principal import Scope as KeyScope
from callmarket.bridge.access.sites import among
from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.server.http import connection, connection_table, inbox
from callmarket.bridge.server.http.admission import AdmitAll
from callmarket.bridge.server.http.asgi import PRINCIPAL, Message, Receive, Scope, Send
from callmarket.bridge.server.http.connection_table import ConnectionTable
from callmarket.bridge.server.http.glance import Glanced
from callmarket.bridge.server.http.http_server import Server, listening_socket

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Connect = Callable[[], Awaitable[tuple[Reader, Writer]]]
Meet = Callable[[Connect], Awaitable[None]]


# What has become of who waits until its client has gone.
WAITS: list[str] = []


async def stream_until_gone(receive: Receive, send: Send) -> None:
    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    WAITS.append("there")
    hearing = asyncio.create_task(gone())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not hearing.done():
        await send({"type": "http.response.body", "body": b"still here", "more_body": True})
        await asyncio.sleep(0.005)
    WAITS.append("gone")


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """The application: a short answer, for `/slow` a late one, for `/until-gone` one without end."""
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    if scope["path"] == "/until-gone":
        await stream_until_gone(receive, send)
        return
    message: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
    await send(message)
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S_MAX", 0.5)
    monkeypatch.setattr(connection, "HEAD_BYTES_MAX", 2_000)


class Naming(AdmitAll):
    """Whoever names a key has it; `staff` is the staff's."""

    def admit(self, scope: Scope, *, is_whole: bool) -> Problem | None:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scopes = {KeyScope.READ, *([KeyScope.OPERATE] if value == b"staff" else [])}
                scope[PRINCIPAL] = Principal(value.decode(), "", frozenset(scopes), frozenset(), frozenset(), 1, 1)
        return super().admit(scope, is_whole=is_whole)


async def until(met: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)


def meet(check: Meet, connections_max: int = 3, per_site_max: int = 100, proxies: str = "") -> None:
    """Run a check against a server with room for so many."""

    async def run() -> None:
        with listening_socket("127.0.0.1", 0) as listening:
            table = ConnectionTable(connections_max, per_site_max, among(proxies, "proxies"))
            server = Server(hello, on_ending=lambda: None, admission=Naming(), table=table)
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


async def says_nothing(connect: Connect) -> None:
    reader, _ = await connect()
    assert await closed(reader) == b""


async def says_half(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(HEAD)
    assert await closed(reader) == b""


async def drips(connect: Connect) -> None:
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


async def sends_empty_lines(connect: Connect) -> None:
    """After a request that was answered: no head begins with them, so they must not keep it open either."""
    reader, writer = await connect()
    writer.write(HEAD + b"\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK hello"
    writer.write(b"\r\n")
    assert await closed(reader) == b""


async def sends_half_of_a_second_one(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(HEAD + b"\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK hello"
    writer.write(HEAD)
    assert await closed(reader) == b""


async def sends_a_head_without_end(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(HEAD + b"X: " + b"x" * 3_000)
    assert (await closed(reader)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "check", [says_nothing, says_half, drips, sends_empty_lines, sends_half_of_a_second_one, sends_a_head_without_end]
)
def test_a_client_that_sends_no_head_is_disconnected(check: Meet) -> None:
    meet(check)


def test_a_head_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is the bound there, not the time."""
    monkeypatch.setattr(connection, "HEAD_S_MAX", 3_600)
    meet(sends_a_head_without_end)


def test_all_requests_of_a_lost_connection_are_disconnected() -> None:
    """Also the one that is under way while another of the same connection waits for its turn."""

    async def check(connect: Connect) -> None:
        WAITS.clear()
        _, writer = await connect()
        await ask(writer, "/until-gone")
        await until(lambda: WAITS == ["there"])
        await ask(writer)
        # A reset: who only closes has asked, and may still read.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        await until(lambda: WAITS == ["there", "gone"])

    meet(check)


def test_an_answer_may_take_longer_than_a_head() -> None:
    async def check(connect: Connect) -> None:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(HEAD.replace(b"/ ", b"/slow ") + b"\r\n")
            assert await answer(reader) == b"HTTP/1.1 200 OK hello"
        await asyncio.sleep(1)  # between two requests the bound of a head is not at work
        writer.write(HEAD + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK hello"

    meet(check)


async def ask(writer: Writer, path: str = "/", key: str = "") -> None:
    headers = f"Authorization: {key}\r\n".encode() if key else b""
    writer.write(HEAD.replace(b"/ ", path.encode() + b" ") + headers + b"\r\n")


async def is_served(connect: Connect, key: str = "") -> tuple[Reader, Writer]:
    """A new connection, on which a request is answered."""
    reader, writer = await connect()
    await ask(writer, key=key)
    assert await answer(reader) == b"HTTP/1.1 200 OK hello"
    return reader, writer


async def is_turned_away(connect: Connect) -> None:
    reader, _ = await connect()
    told = await closed(reader)
    assert told.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 1\r\n" in told


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S_MAX", 3_600)


@pytest.mark.usefixtures("_patient")
def test_idle_connections_without_a_key_give_way_to_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest without a key goes; one with a key stays, also if it is older."""
    monkeypatch.setattr(connection_table, "HALL_MAX", 0)

    async def check(connect: Connect) -> None:
        proven, proven_writer = await is_served(connect, key="k")
        first, _ = await is_served(connect)
        second, _ = await is_served(connect)
        third, _ = await is_served(connect)
        assert await closed(first) == b""
        for _ in range(20):  # as many as somebody likes to open
            await is_served(connect)
        assert await closed(second) == b""
        assert await closed(third) == b""
        await ask(proven_writer, key="k")
        assert await answer(proven) == b"HTTP/1.1 200 OK hello"

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_the_number_of_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes who waits for an answer, or has a key and no more than its share."""
    monkeypatch.setattr(connection_table, "HALL_MAX", 0)

    async def check(connect: Connect) -> None:
        held = [await is_served(connect, key=f"k{number}") for number in range(3)]
        await ask(held[0][1], "/slow", "k0")
        await is_turned_away(connect)
        held[1][1].close()
        await held[1][1].wait_closed()
        # Soon: the server has to hear of it first.
        told = b"HTTP/1.1 503"
        while told.startswith(b"HTTP/1.1 503"):
            reader, writer = await connect()
            await ask(writer)
            told = await answer(reader)
            writer.close()
        assert told == b"HTTP/1.1 200 OK hello"
        assert await answer(held[0][0]) == b"HTTP/1.1 200 OK hello"

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_idle_connections_of_a_key_over_its_share_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_table, "HALL_MAX", 0)

    async def check(connect: Connect) -> None:
        mine = await is_served(connect, key="modest")
        oldest, _ = await is_served(connect, key="greedy")
        await is_served(connect, key="greedy")
        await is_served(connect, key="other")
        assert await closed(oldest) == b""
        await ask(mine[1], key="modest")
        assert await answer(mine[0]) == b"HTTP/1.1 200 OK hello"

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_staff_finds_room_when_all_connections_have_keys() -> None:
    async def check(connect: Connect) -> None:
        for number in range(3):
            await is_served(connect, key=f"k{number}")
        reader, writer = await connect()
        await ask(writer, key="k9")
        assert b"\r\nconnection: close\r\n" in await closed(reader)
        reader, writer = await is_served(connect, key="staff")
        for _ in range(3):
            await ask(writer, key="staff")
            assert await answer(reader) == b"HTTP/1.1 200 OK hello"

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_connections_made_at_once_do_not_exceed_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they put each other out before they are even connected, unseen by the table."""
    monkeypatch.setattr(connection_table, "HALL_MAX", 2)

    async def check(connect: Connect) -> None:
        for number in range(3):
            await is_served(connect, key=f"k{number}")
        crowd = await asyncio.gather(*(connect() for _ in range(30)))
        ends = [asyncio.create_task(closed(reader)) for reader, _ in crowd]
        await until(lambda: sum(end.done() for end in ends) == 28)
        reader, writer = await is_served(connect, key="staff")
        await ask(writer, key="staff")
        assert await answer(reader) == b"HTTP/1.1 200 OK hello"
        for end in ends:
            end.cancel()

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_a_connection_with_a_key_takes_the_place_of_one_without() -> None:
    async def check(connect: Connect) -> None:
        silent = [await is_served(connect) for _ in range(2)]
        await is_served(connect, key="k1")
        reader, writer = await is_served(connect, key="k2")
        assert await closed(silent[0][0]) == b""
        await ask(writer, key="k2")
        assert await answer(reader) == b"HTTP/1.1 200 OK hello"

    meet(check)


def test_a_half_closed_connection_gets_the_answers_owed_before_invalid_bytes() -> None:
    async def check(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(HEAD.replace(b"/ ", b"/slow ") + b"\r\nwhatever\r\n\r\n")
        writer.write_eof()
        assert await answer(reader) == b"HTTP/1.1 200 OK hello"
        assert await closed(reader) == b""

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_a_stream_ends_when_its_client_closes_its_half() -> None:
    """Most who close one half have closed both, and a stream would never be the last answer that is owed."""
    WAITS.clear()

    async def check(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(HEAD.replace(b"/ ", b"/until-gone ") + b"\r\n")
        await reader.readuntil(b"still here")
        writer.write_eof()
        await closed(reader)
        await until(lambda: WAITS == ["there", "gone"])

    meet(check)


@pytest.mark.usefixtures("_patient")
def test_connections_of_an_address_are_bounded_unless_it_is_a_proxy() -> None:
    async def check(connect: Connect) -> None:
        held = [await is_served(connect) for _ in range(2)]
        await is_turned_away(connect)
        held[0][1].close()
        await closed(held[0][0])

    meet(check, connections_max=10, per_site_max=2)

    async def check_of_proxy(connect: Connect) -> None:
        for _ in range(5):
            await is_served(connect)

    meet(check_of_proxy, connections_max=10, per_site_max=2, proxies="127.0.0.0/8")


def test_many_connections_are_accepted_in_one_turn_of_the_loop() -> None:
    """Under load a turn takes a tenth of a second: with one connection in each, thousands wait for minutes."""
    connecting = 96

    async def run() -> int:
        with listening_socket("127.0.0.1", 0) as listening:
            server = Server(hello, on_ending=lambda: None)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await until(lambda: server.started)
            clients = [socket.create_connection(listening.getsockname()) for _ in range(connecting)]
            turns = 0
            while server.connections < connecting:
                turns += 1
                await asyncio.sleep(0)
            for client in clients:
                client.close()
            server.end()
            await serving
            return turns

    assert uvloop.run(run()) < connecting // 2


class Closed(AdmitAll):
    """Nobody is let in."""

    is_crowded = True

    def turns_away(self, glanced: Glanced, *, is_late: bool) -> bool:
        return True


def test_a_half_closed_connection_ends_after_a_request_was_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end comes while what it said still waits to be read."""
    monkeypatch.setattr(inbox, "READS_PER_TURN", 1)

    async def run() -> None:
        with listening_socket("127.0.0.1", 0) as listening:
            server = Server(hello, on_ending=lambda: None, admission=Closed())
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await until(lambda: server.started)
            clients = [socket.create_connection(listening.getsockname()) for _ in range(40)]
            for client in clients:
                client.sendall(HEAD + b"Authorization: Bearer k\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
            await until(lambda: server.connections)
            await until(lambda: not server.connections)
            for client in clients:
                assert client.recv(12) == b"HTTP/1.1 503"
                client.close()
            server.end()
            await serving

    uvloop.run(run())


@pytest.mark.parametrize("more", [b"G", HEAD], ids=["a byte", "most of a head"])
def test_a_head_begun_after_a_request_was_turned_away_has_the_usual_time_limit(more: bytes) -> None:
    """Its first request was answered without being read, so that it has had none."""

    async def run() -> None:
        with listening_socket("127.0.0.1", 0) as listening:
            server = Server(hello, on_ending=lambda: None, admission=Closed())
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await until(lambda: server.started)
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(HEAD + b"Authorization: Bearer k\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503")
            writer.write(more)
            try:
                async with asyncio.timeout(10):
                    await closed(reader)
            finally:
                writer.close()
                server.shutdown_now()
                await serving

    uvloop.run(run())


@pytest.mark.usefixtures("_patient")
def test_a_client_that_does_not_read_its_answer_is_cut_off() -> None:
    """A connection whose last answer nobody reads is ended when it has been idle for long, not flushed for ever."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        size = 32 * 2**20
        head: Message = {"type": "http.response.start", "status": 200}
        await send({**head, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": bytes(size)})

    async def run() -> None:
        with listening_socket("127.0.0.1", 0) as listening:
            server = Server(large, on_ending=lambda: None)
            server.config.timeout_keep_alive = 1
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await until(lambda: server.started)
            with closing(socket.create_connection(listening.getsockname())) as client:
                client.sendall(HEAD + b"\r\n")
                await until(lambda: server.connections)
                await until(lambda: not server.connections)
            server.end()
            await serving

    asyncio.run(run())
