"""A look at bytes without parsing them. Goal: it never sees a request where the parser sees another, or none.

Method: requests put together from good and odd pieces, at random; whatever the glance is sure of is held against the
parser and the checks of heads.
"""

import random

import httptools
import pytest

from callmarket.bridge.server.http.glance import Glanced, glance
from callmarket.bridge.server.http.heads import check_head

KEY = b"Bearer cmk_" + b"A" * 12 + b"_" + b"B" * 43
LINES = (b"POST /api/v1/markets/m/bids HTTP/1.1", b"GET /api/v1/me?x=1 HTTP/1.1", b"DELETE /api/v1/bids/7 HTTP/1.1")
ODD_LINES = (b"POST /x HTTP/1.0", b"POST  /x HTTP/1.1", b"post /x HTTP/1.1", b"POST x HTTP/1.1", b"HEAD /x HTTP/1.1")
HEADERS = (
    b"Host: x",
    b"Accept: */*",
    b"Connection: keep-alive",
    b"User-Agent: a b",
    b"X-Cookie: a=b; c",
    b"Authorization: " + KEY,
)
ODD_HEADERS = (
    b"Content-Length: 5",
    b"content-length:3",
    b"Content-Length : 3",
    b"Content-Length:\t3",
    b"Content-Length: +3",
    b"Content-Length: 03",
    b"X: y\nContent-Length: 3",
    b"X: y\r\n folded",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive, close",
    b"Connection:keep-alive",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Authorization: " + KEY,
    b"authorization:" + KEY,
    b"Authorization : " + KEY,
    b"Host: y",
    b"",
)
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")


class Whole:
    """What the parser makes of the bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.whole = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.whole += 1


def made(draw: random.Random) -> bytes:
    """A request, perhaps an odd one."""
    odd = draw.random() < 0.7
    lines = [draw.choice(LINES if draw.random() < 0.9 else ODD_LINES)]
    lines += draw.sample(HEADERS, draw.randrange(1, len(HEADERS) + 1))
    body = b"x" * draw.randrange(6)
    if draw.random() < 0.8:
        lines.append(b"Content-Length: %d" % len(body))
    if odd:
        lines += draw.sample(ODD_HEADERS, draw.randrange(1, 3))
    head, rest = lines[0], lines[1:]
    draw.shuffle(rest)
    data = b"".join(line + (draw.choice(ENDS) if odd else b"\r\n") for line in [head, *rest]) + b"\r\n" + body
    return data[: draw.randrange(len(data))] if draw.random() < 0.1 else data + b"x" * (draw.random() < 0.1)


def test_a_glanced_request_is_one_whole_request_to_the_parser(seed: int) -> None:
    draw = random.Random(seed)
    seen = 0
    for _ in range(20_000):
        data = made(draw)
        glanced = glance(data)
        if glanced is None:
            continue
        seen += 1
        try:
            parsed = Whole(data)
        except httptools.HttpParserError:
            # It would be refused and hung up on; to be told to come back instead changes nothing.
            continue
        assert parsed.whole == 1, data
        assert parsed.parser.should_keep_alive(), data
        assert [value for name, value in parsed.headers if name == b"authorization"] == [glanced.authorization], data
        assert glanced.is_change == (parsed.parser.get_method() != b"GET")
        if (b"host", b"x") in parsed.headers and len([1 for name, _ in parsed.headers if name == b"host"]) == 1:
            framing = check_head("1.1", parsed.url, parsed.headers, 65_536)
            head_bytes = data.index(b"\r\n\r\n") + 4
            assert (framing.body_bytes, framing.chunked, framing.continues) == (len(data) - head_bytes, False, False)
    assert seen > 500, "it is sure of nothing"


@pytest.mark.parametrize("header", [one for one in ODD_HEADERS if one[:6] not in (b"Host: ", b"")])
def test_doubtful_bytes_are_left_to_the_parser(header: bytes) -> None:
    good = b"POST /x HTTP/1.1\r\nHost: x\r\nAuthorization: " + KEY + b"\r\nContent-Length: 3\r\n"
    assert glance(good + b"\r\nabc") == Glanced(KEY, is_change=True)
    assert glance(good + header + b"\r\n\r\nabc") is None


def test_requests_of_common_libraries_are_not_doubtful() -> None:
    lines = [b"GET /x HTTP/1.1", b"Host: x", b"Connection: keep-alive", b"Authorization: " + KEY]
    assert glance(b"\r\n".join(lines) + b"\r\n\r\n") == Glanced(KEY, is_change=False)
