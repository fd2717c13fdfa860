"""What both clients share of HTTP: headers, time-outs, bounds, and what a broken connection means.

Rule of this file: nothing waits here. The key stands in the connection's own headers and nowhere else, so that it is
in no text that is printed, logged or raised.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.http.headers import ACCOUNT_HEADER, IDEMPOTENCY_HEADER, MIN_SEQ_HEADER, SEQ_HEADER
from callmarket.bridge.api.http.problem import MEDIA_TYPE
from callmarket.bridge.api.spelling import whole
from callmarket.bridge.client.answers import Answer, TransportFailure
from callmarket.bridge.client.attempts import CONNECT_S_MAX
from callmarket.bridge.client.call import Call
from callmarket.bridge.client.endpoints import Endpoints
from callmarket.bridge.client.streaming import EVENT_BYTES_MAX, SILENCE_S_MAX
from callmarket.bridge.config import client_from_environment
from callmarket.engine.limits import SEQ_MAX

# A round of ten thousand awards with the longest names takes nine.
ANSWER_BYTES_MAX: Final = 32 * 2**20
# Calls at a time; more wait for a connection.
CONNECTIONS_MAX: Final = 100
KEY_CHARS_MAX: Final = 200
TIMEOUT_S: Final = 60.0
TIMEOUT_S_MAX: Final = 86_400.0

_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True)
class Settings:
    """What a client is made from, checked. It does not show its key."""

    endpoints: Endpoints
    headers: Mapping[str, str]
    timeout_s: float

    def __repr__(self) -> str:
        """Without the key."""
        return f"Settings({','.join(self.endpoints.urls)})"


def settings_of(url: str | None, key: str | None, timeout_s: float) -> Settings:
    """The settings of a client; what is None is the environment's. Raises `Invalid`, without the key."""
    config = client_from_environment(os.environ)
    text = config.key if key is None else key
    if not text or len(text) > KEY_CHARS_MAX or not all("!" <= character <= "~" for character in text):
        raise Invalid("key", "...", "an API key, as cmk_..., given or in CALLMARKET_KEY")
    if not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise Invalid("timeout_s", timeout_s, f"more than 0, at most {TIMEOUT_S_MAX:g}")
    headers = {
        "Authorization": f"Bearer {text}",
        "Accept": f"application/json, {MEDIA_TYPE}",
        # What is unpacked cannot be bounded by what arrives.
        "Accept-Encoding": "identity",
        "User-Agent": "callmarket",
    }
    return Settings(Endpoints(config.url if url is None else url, config.allow_plain_http), headers, timeout_s)


def options(settings: Settings) -> dict[str, Any]:
    """How an HTTP client is made: it follows no redirect with its key, and is bounded."""
    return {
        "headers": settings.headers,
        "follow_redirects": False,
        # A proxy of the environment sees what goes over http://; over https:// it sees nothing.
        "trust_env": all(url.startswith("https:") for url in settings.endpoints.urls),
        "limits": httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
    }


def headers_of(call: Call[Any], seen_seq: int) -> dict[str, str]:
    """The headers of one call. A question is answered from what has the row that was seen."""
    headers = {}
    if seen_seq and call.method == "GET":
        headers[MIN_SEQ_HEADER] = str(seen_seq)
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if call.account:
        headers[ACCOUNT_HEADER] = call.account
    if call.command_id:
        headers[IDEMPOTENCY_HEADER] = call.command_id
    return headers


def answer_of(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """A whole answer, with what its headers say."""
    return Answer(status, body, whole(headers.get(SEQ_HEADER, ""), SEQ_MAX) or 0)


def timeouts(within_s: float) -> httpx2.Timeout:
    """The time-outs of one attempt."""
    return httpx2.Timeout(within_s, connect=min(CONNECT_S_MAX, within_s))


def fault_of(error: httpx2.TransportError) -> TransportFailure:
    """What a failed attempt means: whether the request may have arrived."""
    return TransportFailure(f"{type(error).__name__} {error}".strip(), not isinstance(error, _NOT_SENT))


TOO_LATE: Final = TransportFailure("no whole answer in time", sent=True)
TOO_LARGE: Final = TransportFailure(f"an answer of more than {ANSWER_BYTES_MAX} bytes", sent=True)
STREAM_ENDED: Final = TransportFailure("the stream has ended", sent=True)

# A stream that has lived so long was no failure, however it ended.
STEADY_S: Final = 1.0


def stream_options() -> dict[str, Any]:
    """How a stream is asked for: bounded in what one event may take, and in how long nothing may be said."""
    timeout = httpx2.Timeout(CONNECT_S_MAX, read=SILENCE_S_MAX)
    return {"timeout": timeout, "max_event_size": EVENT_BYTES_MAX}
