"""A look at the bytes of a request without parsing them, for times when there is too much to parse.

It serves only to refuse requests: it finds the key that a request shows, if the bytes are exactly one whole request by
any reading.
Rule of this file: pure, some microseconds. If it is not certain where the request ends, it returns None, and the parser
decides.
"""

import re
from typing import Final, NamedTuple

_REQUEST_LINE: Final = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) /[!-~]* HTTP/1\.1\r\n")
# A name, a colon and a value, without characters that some parsers read as the end of a line.
_HEADERS: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?(0|[1-9][0-9]{0,6})\r\n")
_AUTHORIZATION: Final = re.compile(rb"\r\n(?i:authorization): ?(Bearer [!-~]+)\r\n")
# With any of these the request ends elsewhere, or something must be done before its end. `Connection: keep-alive` is
# the default and changes nothing, and most libraries send it.
_DOUBTFUL: Final = re.compile(rb"transfer-encoding|\r\nconnection(?!: keep-alive\r\n)|\r\nexpect|\r\nupgrade")


class Glanced(NamedTuple):
    """What is seen of a request: its Authorization header, and whether it is a change (not a GET)."""

    authorization: bytes
    is_change: bool


def glance(data: bytes) -> Glanced | None:
    """What is seen of these bytes if they are surely one whole request with a key; else None."""
    end = data.find(b"\r\n\r\n")
    line = _REQUEST_LINE.match(data)
    if end < 0 or line is None:
        return None
    head = data[: end + 2]
    lower = head.lower()
    lengths = _LENGTH.findall(lower)
    if lower.count(b"content-length") != len(lengths) or len(lengths) > 1 or _DOUBTFUL.search(lower) is not None:
        return None
    if _HEADERS.fullmatch(head, line.end()) is None or len(data) != end + 4 + (int(lengths[0]) if lengths else 0):
        return None
    shown = _AUTHORIZATION.findall(head)
    if len(shown) != 1 or lower.count(b"\r\nauthorization") != 1:
        return None
    return Glanced(shown[0], line[1] != b"GET")
