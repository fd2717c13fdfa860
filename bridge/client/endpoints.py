"""The addresses of the market: those of the leader and its standbys.

Rule of this file: only addresses that the caller has given. The key is sent to no other, even if an answer names one.
"""

import ipaddress
from typing import Final

import httpx2

from callmarket.bridge.api.errors import Invalid

PLACES_MAX: Final = 16


class Endpoints:
    """Addresses, and which of them answered last. All calls of a client share it; a race costs at most one attempt."""

    def __init__(self, urls: str, allow_plain_http: bool) -> None:
        """`urls` are separated by commas. Raises `Invalid`, whose message never contains a password of a URL."""
        self.urls: Final = tuple(_checked(url.strip(), allow_plain_http) for url in urls.split(",") if url.strip())
        if not 1 <= len(self.urls) <= PLACES_MAX:
            raise Invalid("url", len(self.urls), f"1 to {PLACES_MAX} addresses, separated by commas")
        self.current = 0

    def index_of(self, url: str) -> int | None:
        """The index of an address; None if it is not one of these."""
        try:
            return self.urls.index(_plain(httpx2.URL(url)))
        except (ValueError, httpx2.InvalidURL):
            return None


def _checked(text: str, allow_plain_http: bool) -> str:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise Invalid("url", "...", "an address such as https://market.example.org") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise Invalid("url", f"{url.scheme}://{url.host}", "http or https, a host, perhaps a port and a path; no more")
    if url.scheme == "http" and not allow_plain_http and not _on_this_machine(url.host):
        raise Invalid("url", f"http://{url.host}", "https://, since http:// exposes the key to the network")
    return _plain(url)


def _plain(url: httpx2.URL) -> str:
    return str(url).rstrip("/")


def _on_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
