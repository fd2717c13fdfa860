"""A look at the bytes of a request without parsing them, for a time when there is too much to parse.

It is for refusing alone: whose key a request shows, if these bytes are just one whole request by any reading.
Rule of this file: pure, some microseconds; where there is any doubt about where the request ends it says nothing, and
the parser decides.
"""

import re
from typing import Final, NamedTuple

_REQUEST_LINE: Final = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) /[!-~]* HTTP/1\.1\r\n")
# A name, a colon, a value, and no signs that somebody reads as the end of a line.
_HEADERS: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?(0|[1-9][0-9]{0,6})\r\n")
_AUTHORIZATION: Final = re.compile(rb"\r\n(?i:authorization): ?(Bearer [!-~]+)\r\n")
# With any of these it ends elsewhere, or something is to be done before it ends. To keep the connection is no more than
# saying nothing, and most libraries say it.
_DOUBTFUL: Final = re.compile(rb"transfer-encoding|\r\nconnection(?!: keep-alive\r\n)|\r\nexpect|\r\nupgrade")


class Glanced(NamedTuple):
    """What is seen of a request."""

    authorization: bytes
    is_change: bool


def glance(data: bytes) -> Glanced | None:
    """The one whole request that these bytes are; None if there is a doubt, or no key."""
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
