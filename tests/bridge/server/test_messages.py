"""Where a message ends, over raw sockets to a real service: nothing of a body is ever executed as a request.

Goal: RFC 9112 and RFC 9110, where two servers might differ. Method: one process with a real PostgreSQL; each message is
sent whole, in two parts cut anywhere, and byte by byte, and what the market holds afterwards says what was executed.
"""

import json
import random
import socket
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import httpx2
import pytest

from tests.support.service_process import ServiceProcess, served

BIDS = "/api/v1/markets/m/bids"
ASKING = b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n"


class Answer(NamedTuple):
    """One answer of several on a line."""

    status: int
    head: bytes
    body: bytes

    @property
    def problem(self) -> dict[str, object]:
        """What it says is wrong."""
        told: dict[str, object] = json.loads(self.body)
        return told


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ServiceProcess]:
    """A service with the market `m` and the wallets `a` and `b`."""
    with served(module_database_url) as running:
        running.make(
            ("/markets", {"market_id": "m"}),
            ("/wallets", {"account_id": "a"}),
            ("/wallets", {"account_id": "b"}),
            ("/wallets/a/mint", {"amount_tokens": 10**12, "reason": "grant:initial"}),
            ("/wallets/b/mint", {"amount_tokens": 10**12, "reason": "grant:initial"}),
        )
        with running.client() as client:
            key = client.post(
                "/api/v1/keys", json={"name": "two", "bid": ["a", "b"], "rate_per_s": 10**6, "burst": 10**6}
            )
        running.key = key.json()["key"]
        yield running


class Line:
    """A connection of somebody who writes bytes."""

    def __init__(self, service: ServiceProcess) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Write these, each in a packet of its own; who has been hung up on is not told here."""
        try:
            for number, part in enumerate(parts):
                if 0 < number < 5:
                    time.sleep(0.005)
                self.socket.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def rest(self) -> bytes:
        """All that comes until the service hangs up."""
        told = b""
        try:
            while chunk := self.socket.recv(65_536):
                told += chunk
        except ConnectionResetError:
            pass
        return told

    def answers(self, *parts: bytes) -> list[Answer]:
        """What is answered until the service hangs up, as it has to: the client says nothing more."""
        self.send(*parts)
        return split(self.rest())


def split(told: bytes) -> list[Answer]:
    """The answers on a line: each has a length, or none at all."""
    found = []
    while told:
        head, _, told = told.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body, told = told[:length], told[length:]
        if status != 100:
            found.append(Answer(status, head, body))
    return found


def key_of(service: ServiceProcess, account: str = "a") -> bytes:
    return f"Authorization: Bearer {service.key}\r\nCallmarket-Account: {account}\r\n".encode()


def bid(task_id: str) -> bytes:
    return json.dumps({"task_id": task_id, "max_price_tokens": 5}).encode()


def posting(service: ServiceProcess, *lines: str, path: str = BIDS, version: str = "1.1") -> bytes:
    """A head that asks for a bid, without its end."""
    start = f"POST {path} HTTP/{version}\r\nHost: x\r\n".encode()
    return start + key_of(service) + b"".join(f"{line}\r\n".encode() for line in lines)


def tasks(service: ServiceProcess, *accounts: str) -> set[str]:
    """The tasks that somebody has bid for."""
    with service.client() as client:
        found = set()
        # How far all is durable, whoever has sent it: what is asked next has that.
        client.get("/api/v1/wallets/a")
        for account in accounts or ("a", "b"):
            told = client.get("/api/v1/bids", params={"bidder_id": account, "limit": 1000})
            found |= {row["task_id"] for row in told.json()["items"]}
        return found


def ways(message: bytes, rng: random.Random) -> Iterator[Sequence[bytes]]:
    """A message in one piece, in two cut anywhere, and byte by byte."""
    yield [message]
    cut = rng.randrange(1, len(message))
    yield [message[:cut], message[cut:]]
    yield [message[at : at + 1] for at in range(len(message))]


# --- a body is read as a body, whatever else a head says -------------------------------------------------------------

OFFERS = {
    "h2c, as Java and curl send it": (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
    ),
    "websocket": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"),
    "what nobody knows": ("Connection: keep-alive, upgrade", "Upgrade: foo/7, bar"),
    "twice": ("Connection: upgrade", "Upgrade: a", "upgrade: b"),
    "without Connection": ("Upgrade: h2c",),
    "Connection alone": ("Connection: upgrade",),
}


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upgrade_header_is_ignored(service: ServiceProcess, name: str, chunked: bool, seed: int) -> None:
    """RFC 9110 7.8. The body belongs to its request, and what follows it is the next."""
    rng = random.Random(f"{seed}{name}")
    for number in range(3):
        task = f"offer-{abs(hash(name))}-{chunked}-{number}"
        body = bid(task)
        if chunked:
            head = posting(service, *OFFERS[name], "Transfer-Encoding: chunked") + b"\r\n"
            body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
        else:
            head = posting(service, *OFFERS[name], f"Content-Length: {len(body)}") + b"\r\n"
        after = ASKING + key_of(service) + b"Connection: close\r\n\r\n"
        parts = list(ways(head + body + after, rng))[number]
        with Line(service) as line:
            told = line.answers(*parts)
        assert [answer.status for answer in told] == [201, 200], (seed, number, told)
        assert task in tasks(service, "a")


@pytest.mark.parametrize("name", OFFERS)
def test_a_body_after_an_upgrade_header_is_never_the_next_request(service: ServiceProcess, name: str) -> None:
    inner = ASKING + key_of(service) + b"Connection: close\r\n\r\n"
    close = tuple(line.replace("Connection: ", "Connection: close, ") for line in OFFERS[name])
    head = posting(service, *close, f"Content-Length: {len(inner)}") + b"\r\n"
    with Line(service) as line:
        line.send(head, inner)
        line.socket.shutdown(socket.SHUT_WR)
        told = split(line.rest())
    assert [answer.status for answer in told] == [400], told
    assert b"key_id" not in told[0].body


# --- heads that two servers might read differently -------------------------------------------------------------------

BODY = b'{"task_id": "smuggled", "max_price_tokens": 5}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


class Bad(NamedTuple):
    """A head with a body that must not count."""

    lines: tuple[str, ...]
    body: bytes = BODY
    status: int = 400
    start: str = f"POST {BIDS} HTTP/1.1"
    host: str = "Host: x"


BAD = {
    "two lengths": Bad((LENGTH, "Content-Length: 3")),
    "two equal lengths": Bad((LENGTH, LENGTH)),
    "a list of lengths": Bad((f"{LENGTH}, {len(BODY)}",)),
    "length and chunks": Bad((LENGTH, "Transfer-Encoding: chunked"), CHUNKS),
    "chunks and length": Bad(("Transfer-Encoding: chunked", LENGTH), CHUNKS),
    "length 0 and chunks": Bad(("Content-Length: 0", "Transfer-Encoding: chunked"), CHUNKS),
    "chunked twice": Bad(("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), CHUNKS),
    "chunked, chunked": Bad(("Transfer-Encoding: chunked, chunked",), CHUNKS),
    "gzip, chunked": Bad(("Transfer-Encoding: gzip, chunked",), CHUNKS, 501),
    "identity": Bad(("Transfer-Encoding: identity", LENGTH)),
    "chunked in HTTP/1.0": Bad(("Transfer-Encoding: chunked",), CHUNKS, start=f"POST {BIDS} HTTP/1.0"),
    "xchunked": Bad(("Transfer-Encoding: xchunked",), CHUNKS, 501),
    "a sign": Bad((LENGTH.replace(": ", ": +"),)),
    "a zero before it": Bad((LENGTH.replace(": ", ": 0"),)),
    "hexadecimal": Bad((f"Content-Length: {len(BODY):#x}",)),
    "an underscore": Bad(("Content-Length: 4_6",)),
    "a fraction": Bad((f"{LENGTH}.0",)),
    "an exponent": Bad(("Content-Length: 46e0",)),
    "negative": Bad(("Content-Length: -1",)),
    "empty": Bad(("Content-Length:",)),
    "another script": Bad(("Content-Length: ٤٦",)),
    "very long": Bad((f"Content-Length: {'9' * 30}",)),
    "a fold": Bad((LENGTH, "X: y\r\n z")),
    "a folded length": Bad((f"Content-Length:\r\n {len(BODY)}",)),
    "a bare line feed": Bad((LENGTH, "X: y\nZ: a")),
    "a bare return": Bad((LENGTH, "X: y\rZ: a")),
    "a NUL": Bad((LENGTH, "X: y\0z")),
    "a blank before the colon": Bad((f"Content-Length : {len(BODY)}",)),
    "a name with a blank": Bad((LENGTH, "X Y: z")),
    "no colon": Bad((LENGTH, "nothing")),
    "an empty name": Bad((LENGTH, ": x")),
    "no host": Bad((LENGTH,), host="X: y"),
    "two hosts": Bad((LENGTH, "Host: x")),
    "another host": Bad((LENGTH, "host: y")),
    "a host with a user": Bad((LENGTH,), host="Host: me@x"),
    "a host with a path": Bad((LENGTH,), host="Host: x/y"),
    "a host with a blank": Bad((LENGTH,), host="Host: x y"),
    "two hosts in HTTP/1.0": Bad((LENGTH, "Host: x"), start=f"POST {BIDS} HTTP/1.0"),
    "an address with a user": Bad((LENGTH,), start=f"POST http://me@x{BIDS} HTTP/1.1"),
    "an address without a host": Bad((LENGTH,), start=f"POST http://{BIDS} HTTP/1.1"),
    "another kind of address": Bad((LENGTH,), start=f"POST ftp://x{BIDS} HTTP/1.1"),
    "a fragment": Bad((LENGTH,), start=f"POST {BIDS}#x HTTP/1.1"),
    "a star": Bad((LENGTH,), start="POST * HTTP/1.1"),
    "a tunnel": Bad((LENGTH,), status=501, start="CONNECT x:1 HTTP/1.1"),
    "HTTP/2 without asking": Bad(("",), b"SM\r\n\r\n", start="PRI * HTTP/2.0"),
    "HTTP/2.0": Bad((LENGTH,), status=505, start=f"POST {BIDS} HTTP/2.0"),
    "HTTP/0.9": Bad((LENGTH,), status=505, start=f"POST {BIDS} HTTP/0.9"),
    "HTTP/1.2": Bad((LENGTH,), start=f"POST {BIDS} HTTP/1.2"),
    "no version": Bad((LENGTH,), status=505, start=f"POST {BIDS}"),
    "a tab": Bad((LENGTH,), start=f"POST\t{BIDS} HTTP/1.1"),
    "small letters": Bad((LENGTH,), start=f"post {BIDS} HTTP/1.1"),
    "no method": Bad((LENGTH,), start=f"BID {BIDS} HTTP/1.1"),
    "another expectation": Bad((LENGTH, "Expect: 200-ok"), status=417),
    "trailers": Bad(("Transfer-Encoding: chunked",), CHUNKS[:-2] + b"X: y\r\n\r\n"),
    "two trailers": Bad(("Transfer-Encoding: chunked",), CHUNKS[:-2] + b"Callmarket-Account: b\r\nX: y\r\n\r\n"),
    "a chunk of no size": Bad(("Transfer-Encoding: chunked",), b"\r\n" + CHUNKS),
    "a chunk with a sign": Bad(("Transfer-Encoding: chunked",), b"+" + CHUNKS),
    "a chunk of 0x": Bad(("Transfer-Encoding: chunked",), b"0x" + CHUNKS),
    "a chunk too long": Bad(("Transfer-Encoding: chunked",), CHUNKS.replace(BODY, BODY + b" ")),
    "a chunk of ten to the ninth": Bad(("Transfer-Encoding: chunked",), b"f" * 17 + b"\r\n" + CHUNKS),
    "a chunk with a line feed": Bad(("Transfer-Encoding: chunked",), CHUNKS.replace(b"\r\n", b"\n")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_message_that_two_servers_might_read_differently_is_refused_and_ends_the_connection(
    service: ServiceProcess, name: str, seed: int
) -> None:
    """Once, and whatever comes behind it: the answer says what is wrong, and neither is executed."""
    bad, rng = BAD[name], random.Random(f"{seed}{name}")
    head = "".join(f"{line}\r\n" for line in (bad.start, bad.host, *bad.lines)).encode()
    after = ASKING + key_of(service) + b"\r\n"
    for parts in ways(head + key_of(service) + b"\r\n" + bad.body + after, rng):
        with Line(service) as line:
            told = line.answers(*parts)
        assert [answer.status for answer in told] == [bad.status], (seed, len(parts), told)
        assert b"\r\nconnection: close" in told[0].head
        assert b"\r\ncontent-type: application/problem+json" in told[0].head
        assert told[0].problem["status"] == bad.status
        assert told[0].problem["detail"]
    assert "smuggled" not in tasks(service)


def test_chunk_extensions_and_odd_sizes_are_read_by_the_standard(service: ServiceProcess, seed: int) -> None:
    body = bid("chunks")
    chunks = b'00%X;a="b;c";d\r\n%b\r\n%x ;x\r\n%b\r\n000;last\r\n\r\n' % (5, body[:5], len(body) - 5, body[5:])
    if b" ;" in chunks:
        chunks = chunks.replace(b" ;", b";")
    message = posting(service, "Transfer-Encoding: Chunked", "Connection: close") + b"\r\n" + chunks
    for parts in ways(message, random.Random(seed)):
        with Line(service) as line:
            told = line.answers(*parts)
        assert told[0].status in (201, 409), (seed, told)
    assert "chunks" in tasks(service, "a")


@pytest.mark.parametrize("blank", [" ", "\t", " \t "], ids=["space", "tab", "both"])
def test_blanks_around_a_value_are_no_part_of_it(service: ServiceProcess, blank: str, seed: int) -> None:
    """RFC 9110, 5.5: before it and behind it, in each header that is read here.

    Around `chunked` the parser knows spaces only, and refuses what it does not know.
    """
    task = f"blank-{len(blank)}-{ord(blank[0])}"
    fields = {
        "Host": "x",
        "Authorization": f"Bearer {service.key}",
        "Callmarket-Account": "a",
        "Idempotency-Key": task,
        "Request-Id": task,
        "Expect": "100-continue",
        "Connection": "close",
    }
    body = bid(task)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for framing, sent in (({"Content-Length": str(len(body))}, body), ({"Transfer-Encoding": "chunked"}, chunks)):
        lines = [f"{name}:{blank}{value}{blank}\r\n" for name, value in fields.items()]
        lines += [f"{name}: {value} \r\n" for name, value in framing.items()]
        message = f"POST {BIDS} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + sent
        for parts in ways(message, random.Random(seed)):
            with Line(service) as line:
                told = line.answers(*parts)
            assert [answer.status for answer in told] == [201], (seed, told)
            assert f"\r\nrequest-id: {task}\r\n".encode() in told[0].head + b"\r\n"
    assert task in tasks(service, "a")


@pytest.mark.parametrize("field", ["Authorization", "Callmarket-Account", "Idempotency-Key", "Host", "Content-Length"])
def test_trailers_after_a_body_have_no_effect(service: ServiceProcess, field: str, seed: int) -> None:
    """Trailers: a proxy that keeps rules about headers has not seen them. Not for this request, nor for the next."""
    value = {"Authorization": f"Bearer {service.key}", "Callmarket-Account": "b", "Content-Length": "5"}.get(field, "x")
    task = f"trailer-{field}"
    body = bid(task)
    account = b"" if field == "Authorization" else key_of(service)
    head = f"POST {BIDS} HTTP/1.1\r\nHost: x\r\n".encode() + account + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, f"{field}: {value}".encode())
    after = ASKING + b"Connection: close\r\n\r\n"
    for parts in [*ways(head + chunks + after, random.Random(seed)), [head, chunks, after], [head, chunks + after]]:
        with Line(service) as line:
            told = line.answers(*parts)
        assert told[0].status in (400, 401), (seed, told)
        assert all(answer.status in (400, 401) for answer in told), (seed, told)
    assert task not in tasks(service)


def test_a_change_begins_when_its_body_is_complete(service: ServiceProcess) -> None:
    """Also where no body is asked for: what is refused for its end has done nothing."""
    with service.client() as client:
        before = client.get("/api/v1/me").json()["seq"]
        head = posting(service, "Transfer-Encoding: chunked", path="/api/v1/bids/1", version="1.1").replace(
            b"POST", b"DELETE"
        )
        with Line(service) as line:
            told = line.answers(head + b"\r\n", b"0\r\nX: y\r\n\r\n")
        assert [answer.status for answer in told] == [400]
        assert client.get("/api/v1/me").json()["seq"] == before


# --- more than one request on a line ---------------------------------------------------------------------------------


def test_answers_that_are_owed_come_before_the_end(service: ServiceProcess, seed: int) -> None:
    """Behind good requests a bad one: those are answered, in their order, and nothing is told of the bad one."""
    rng = random.Random(seed)
    bodies = [bid(f"owed-{number}") for number in range(3)]
    good = b"".join(posting(service, f"Content-Length: {len(body)}") + b"\r\n" + body for body in bodies)
    bads = [
        b"\x16\x03\x01\x02",
        ASKING + b"Host: y\r\n\r\n",
        posting(service, "Transfer-Encoding: chunked") + b"\r\nzz",
    ]
    for number, bad in enumerate(bads):
        parts = list(ways(good.replace(b"owed-", b"owed-%d" % number) + bad, rng))[number]
        parts = [good.replace(b"owed-", b"owed%d" % number) + bad] if number != 1 else parts
        with Line(service) as line:
            told = line.answers(*parts)
        statuses = [answer.status for answer in told]
        assert statuses[:3] == [201, 201, 201] or number == 1, (seed, number, told)
        assert set(statuses[3:]) <= {400}, (seed, number, told)


def test_the_number_of_pipelined_requests_is_bounded(service: ServiceProcess) -> None:
    """Who sends a thousand at once has the first answered, and may send the rest again on another line."""
    waiting = ASKING.replace(b"/api/v1/me", b"/api/v1/awards?bidder_id=a&wait_s=0.3") + key_of(service) + b"\r\n"
    with Line(service) as line:
        told = line.answers(waiting + (ASKING + key_of(service) + b"\r\n") * 1_000)
    assert 2 <= len(told) <= 70, len(told)
    assert {answer.status for answer in told} == {200}
    assert b"connection: close" in told[-1].head


def test_a_client_that_closes_its_half_is_answered(service: ServiceProcess, seed: int) -> None:
    """Half-close: a client that shuts its side down after its request, as `nc -N` does."""
    for number in range(3):
        body = bid(f"half-close-{number}")
        message = posting(service, f"Content-Length: {len(body)}") + b"\r\n" + body
        with Line(service) as line:
            line.send(*list(ways(message, random.Random(seed)))[number])
            line.socket.shutdown(socket.SHUT_WR)
            assert [answer.status for answer in split(line.rest())] == [201], (seed, number)
    waiting = ASKING.replace(b"/api/v1/me", b"/api/v1/awards?bidder_id=a&wait_s=0.2") + key_of(service) + b"\r\n"
    with Line(service) as line:
        line.send(waiting + ASKING + key_of(service) + b"\r\n" + ASKING)
        line.socket.shutdown(socket.SHUT_WR)
        assert [answer.status for answer in split(line.rest())] == [200, 200], "both whole ones, not the third"


def test_a_request_that_is_not_whole_when_its_client_leaves_is_not_executed(service: ServiceProcess) -> None:
    body = bid("left")
    with Line(service) as line:
        line.send(posting(service, f"Content-Length: {len(body) + 1}") + b"\r\n" + body)
        line.socket.shutdown(socket.SHUT_WR)
        assert line.rest() == b""
    assert "left" not in tasks(service, "a")


def test_a_client_that_leaves_a_stream_frees_it_whatever_it_sent_after_the_request(service: ServiceProcess) -> None:
    """A second request behind the one for the stream: both are over when the client is."""

    def listening() -> float:
        with service.client() as client:
            text = client.get("/metrics").text
        found = [line for line in text.splitlines() if line.startswith("callmarket_streams ")]
        return float(found[0].split()[1])

    stream = ASKING.replace(b"/api/v1/me", b"/api/v1/events") + key_of(service) + b"\r\n"
    with Line(service) as line:
        line.send(stream + ASKING + key_of(service) + b"\r\n")
        assert line.socket.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert listening() == 1
    end_s = time.monotonic() + 30
    while listening():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_browser_resumes_with_the_url_that_it_began_with(service: ServiceProcess) -> None:
    """WHATWG HTML 9.2: an EventSource that began with `after_seq` sends the last id as a header to the same address."""
    with service.client() as client:
        placing = {"headers": {"Callmarket-Account": "a"}, "json": {"task_id": "resumed", "max_price_tokens": 5}}
        last = client.post(BIDS, **placing).json()["stamp"]["seq"]
    for header, first in ((b"", 1), (b"Last-Event-ID: %d\r\n" % (last - 1), last)):
        with Line(service) as line:
            line.send(ASKING.replace(b"/me", b"/events?after_seq=0") + key_of(service) + header + b"\r\n")
            told = b""
            while b"\nid: %d\n" % last not in told:
                told += line.socket.recv(65_536)
        assert b" 200 " in told.split(b"\r\n")[0]
        ids = [int(part.split(b"\n")[0]) for part in told.split(b"\nid: ")[1:]]
        assert ids[0] >= first


# --- bodies and heads that are too large -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [70_000, 140_000, 1_000_000])
@pytest.mark.parametrize("behind", [False, True], ids=["first", "behind another"])
def test_a_head_is_bounded_however_it_is_sent(service: ServiceProcess, size: int, behind: bool) -> None:
    first = ASKING + key_of(service) + b"\r\n" if behind else b""
    head = (
        ASKING + key_of(service) + b"".join(b"X-%d: %b\r\n" % (at, b"x" * 990) for at in range(size // 1_000)) + b"\r\n"
    )
    with Line(service) as line:
        told = line.answers(first + head)
    assert [answer.status for answer in told] in ([431], [200, 431], [200]), told
    assert len(told) <= 1 + behind
    assert told[-1].status == 431 or behind


def test_the_size_of_a_head_counts_short_lines_too(service: ServiceProcess) -> None:
    """What stands between a name and a value, and behind it, counts too: here that is half of it."""
    with Line(service) as line:
        told = line.answers(ASKING + key_of(service) + b"X: y\r\n" * 12_000 + b"\r\n")
    assert [answer.status for answer in told] == [431]


def test_a_head_that_never_ends_is_bounded_while_another_is_answered(service: ServiceProcess) -> None:
    """Behind a stream, whose answer has no end: the service would keep all of the head."""
    stream = ASKING.replace(b"/api/v1/me", b"/api/v1/awards?bidder_id=a&wait_s=1") + key_of(service) + b"\r\n"
    with Line(service) as line:
        line.send(stream + ASKING)
        sent = 0
        try:
            line.socket.settimeout(0.5)
            while sent < 50_000_000:
                sent += line.socket.send(b"X: " + b"x" * 65_000 + b"\r\n")
        except OSError:
            pass
        line.socket.settimeout(30)
        told = split(line.rest())
    # The last where the client came to it only when the other was answered.
    assert [answer.status for answer in told] in ([], [200], [200, 431])
    assert sent < 50_000_000, "what the service has not read stays with the client"


@pytest.mark.parametrize("declared", [1_048_577, 99_999_999, 10**18])
def test_a_body_that_will_be_refused_is_not_asked_for(service: ServiceProcess, declared: int) -> None:
    """Expect: 100-continue: the answer is 413 before anybody has sent a byte."""
    head = posting(service, f"Content-Length: {declared}", "Expect: 100-continue") + b"\r\n"
    with Line(service) as line:
        line.send(head)
        told = line.rest()
    assert b"100 Continue" not in told
    assert [answer.status for answer in split(told)] == [413]
    assert b"connection: close" in split(told)[0].head


def test_a_client_without_a_key_is_refused_before_it_sends_a_body(service: ServiceProcess) -> None:
    head = f"POST {BIDS} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n".encode()
    with Line(service) as line:
        line.send(head)
        told = line.rest()
    assert b"100 Continue" not in told
    assert [answer.status for answer in split(told)] == [401]


def test_a_body_that_is_wanted_is_asked_for(service: ServiceProcess) -> None:
    for version, expected in (("1.1", b"HTTP/1.1 100 Continue\r\n\r\n"), ("1.0", b"")):
        body = bid(f"continued-{version}")
        with Line(service) as line:
            lines = (f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
            line.send(posting(service, *lines, version=version) + b"\r\n")
            told = line.socket.recv(len(expected)) if expected else b""
            assert told == expected
            assert [answer.status for answer in line.answers(body)] == [201]


def test_the_answer_to_a_body_that_is_too_large_arrives(service: ServiceProcess) -> None:
    """Though the client is still sending: the connection is not reset under it."""
    with Line(service) as line:
        body = b" " * 3_000_000
        told = line.answers(posting(service, f"Content-Length: {len(body)}") + b"\r\n" + body)
    assert [answer.status for answer in told] == [413]
    with Line(service) as line:
        told = line.answers(
            posting(service, "Transfer-Encoding: chunked") + b"\r\n", *([b"8000\r\n%b\r\n" % (b" " * 32_768)] * 64)
        )
    assert [answer.status for answer in told] == [413]


# --- methods and targets ---------------------------------------------------------------------------------------------


def test_head_is_get_without_its_body(service: ServiceProcess) -> None:
    with service.client() as client:
        paths = [path for path, item in client.get("/api/openapi.json").json()["paths"].items() if "get" in item]
        named = {"market_id": "m", "account_id": "a", "bid_id": "1", "slug": "invalid"}
        for path in [*paths, "/api/docs", "/resources", "/api/openapi.json"]:
            where = path
            for name, value in named.items():
                where = where.replace(f"{{{name}}}", value)
            where = where.replace("{", "no").replace("}", "") + (
                "?max_price_tokens=5" if where.endswith("quote") else ""
            )
            head = client.head(where)
            assert head.content == b""
            if path == "/api/v1/events":
                assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream")
                continue
            told = client.get(where)
            assert head.status_code == told.status_code, where
            differs = {"date", "request-id", "content-length"}
            assert {*head.headers} == {*told.headers}, where
            same = [(head.headers[name], told.headers[name]) for name in told.headers if name not in differs]
            assert all(one == other for one, other in same), where
    with httpx2.Client(base_url=service.url, timeout=60) as client:
        assert client.head("/healthz").status_code == client.head("/readyz").status_code == 200
        assert client.head("/api/v1/me").status_code == 401


def test_the_response_to_a_wrong_method_lists_the_allowed_ones(service: ServiceProcess) -> None:
    with service.client() as client:
        for method, path, allowed in (
            ("PATCH", "/healthz", {"GET", "HEAD"}),
            ("OPTIONS", "/api/v1/me", {"GET", "HEAD"}),
            ("OPTIONS", BIDS, {"POST"}),
            ("GET", BIDS, {"POST"}),
            ("HEAD", BIDS, {"POST"}),
            ("PUT", "/api/v1/bids/1", {"GET", "HEAD", "PATCH", "DELETE"}),
            ("TRACE", "/api/v1/wallets", {"GET", "HEAD", "POST"}),
        ):
            told = client.request(method, path)
            assert told.status_code == 405, (method, path, told.text)
            assert set(told.headers["allow"].split(", ")) == allowed


def test_the_host_of_an_absolute_target_is_ignored(service: ServiceProcess) -> None:
    """RFC 9112 3.2.2: what a proxy sends, which this is not; so the host is nobody's."""
    for target in ("http://elsewhere/api/v1/me", "HTTP://Elsewhere:80/api/v1/me", "https://[::1]:1/api/v1/me"):
        with Line(service) as line:
            head = f"GET {target} HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n".encode()
            assert [answer.status for answer in line.answers(head + key_of(service) + b"\r\n")] == [200], target


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/wallets/a%2Fmint",
        "/api/v1/wallets%2fa",
        "/api/v1//wallets/a",
        "/api/v1/wallets/a//",
        "/api/v1/wallets/a/",
        "/api/v1/keys/",
        "/healthz/",
        "/api/v1/wallets/./a",
        "/api/v1/x/../wallets/a",
        "/api/v1/x/%2e%2e/wallets/a",
        "/api/v1/x/.%2E/wallets/a",
        "/api/v1/wallets/a/.",
        "/api/v1/wallets/..",
        "/healthz/../api/v1/wallets/a",
        "/healthz%2f..%2fapi%2fv1%2fwallets%2fa",
        "/api/v1/wallets/a%",
        "/api/v1/wallets/%4",
        "/api/v1/wallets/%zz",
    ],
)
def test_a_path_has_one_step_for_each_slash(service: ServiceProcess, path: str) -> None:
    """What a proxy in front may take for another path is nothing here, with a key and without."""
    for key in (key_of(service), b""):
        with Line(service) as line:
            (told,) = line.answers(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + key + b"\r\n")
        assert told.status == 400, told
        assert told.problem["field"] == "path"


def test_a_name_with_escapes_is_the_same_name(service: ServiceProcess) -> None:
    """RFC 3986 6.2.2: `%61` is `a` for everybody."""
    with service.client() as client:
        assert client.get("/api/v1/wallets/%61").json()["account_id"] == "a"


def test_an_http_1_0_request_is_answered_and_the_connection_closed(service: ServiceProcess) -> None:
    for more in (b"", b"Connection: keep-alive\r\n", b"Host: x\r\n"):
        with Line(service) as line:
            told = line.answers(b"GET /api/v1/me HTTP/1.0\r\n" + more + key_of(service) + b"\r\n")
        assert [answer.status for answer in told] == [200]
