"""The parts of HTTP that both clients share: headers, time-outs, bounds, and the meaning of transport errors.

Rule of this file: nothing waits. The key is in the default headers of the connection and nowhere else, so that it is
never printed, logged or raised.
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

# A round of ten thousand awards with the longest names takes 9 MiB.
ANSWER_BYTES_MAX: Final = 32 * 2**20
# Concurrent calls; more wait for a connection.
CONNECTIONS_MAX: Final = 100
KEY_CHARS_MAX: Final = 200
TIMEOUT_S: Final = 60.0
TIMEOUT_S_MAX: Final = 86_400.0

_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True)
class Settings:
    """The checked settings of a client. Its repr does not show the key."""

    endpoints: Endpoints
    headers: Mapping[str, str]
    timeout_s: float

    def __repr__(self) -> str:
        """The addresses, without the key."""
        return f"Settings({','.join(self.endpoints.urls)})"


def settings_of(url: str | None, key: str | None, timeout_s: float) -> Settings:
    """The settings of a client; None is read from the environment. Raises `Invalid`, which never shows the key."""
    config = client_from_environment(os.environ)
    text = config.key if key is None else key
    if not text or len(text) > KEY_CHARS_MAX or not all("!" <= character <= "~" for character in text):
        raise Invalid("key", "...", "an API key (cmk_...), given or in CALLMARKET_KEY")
    if not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise Invalid("timeout_s", timeout_s, f"more than 0, at most {TIMEOUT_S_MAX:g}")
    headers = {
        "Authorization": f"Bearer {text}",
        "Accept": f"application/json, {MEDIA_TYPE}",
        # No compression: the size of the received bytes would not bound the size of the answer.
        "Accept-Encoding": "identity",
        "User-Agent": "callmarket",
    }
    return Settings(Endpoints(config.url if url is None else url, config.allow_plain_http), headers, timeout_s)


def options(settings: Settings) -> dict[str, Any]:
    """The options of the HTTP client: no redirects, which could leak the key, and a bounded number of connections."""
    return {
        "headers": settings.headers,
        "follow_redirects": False,
        # A proxy from the environment could read http:// requests; https:// ones it cannot.
        "trust_env": all(url.startswith("https:") for url in settings.endpoints.urls),
        "limits": httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
    }


def headers_of(call: Call[Any], seen_seq: int) -> dict[str, str]:
    """The headers of one call. A question asks for an answer that reflects at least the row `seen_seq`."""
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
    """A complete answer, with the row that its headers name."""
    return Answer(status, body, whole(headers.get(SEQ_HEADER, ""), SEQ_MAX) or 0)


def timeouts(within_s: float) -> httpx2.Timeout:
    """The time-outs of one attempt."""
    return httpx2.Timeout(within_s, connect=min(CONNECT_S_MAX, within_s))


def fault_of(error: httpx2.TransportError) -> TransportFailure:
    """The failure of an attempt, with whether the request may have arrived."""
    return TransportFailure(f"{type(error).__name__} {error}".strip(), not isinstance(error, _NOT_SENT))


TOO_LATE: Final = TransportFailure("no complete answer in time", sent=True)
TOO_LARGE: Final = TransportFailure(f"an answer of more than {ANSWER_BYTES_MAX} bytes", sent=True)
STREAM_ENDED: Final = TransportFailure("the stream has ended", sent=True)

# A stream that lasted longer than this counts as a success, however it ended, and resets the retries.
STEADY_S: Final = 1.0


def stream_options() -> dict[str, Any]:
    """The options of a stream: bounds on the size of an event and on the time without one."""
    timeout = httpx2.Timeout(CONNECT_S_MAX, read=SILENCE_S_MAX)
    return {"timeout": timeout, "max_event_size": EVENT_BYTES_MAX}
