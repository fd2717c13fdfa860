"""Files that are the same for everybody as long as the service runs: what a page is made of.

They are public, so nothing of the market is in them. A browser may keep them, and asks each time whether they are still
the same, because a new version of the service has new ones.

Rule of this file: bytes and headers; which pages there are, and what they may load, is theirs to say.
"""

from dataclasses import dataclass
from functools import cached_property
from gzip import compress, decompress
from hashlib import sha256
from http import HTTPStatus
from typing import Final

from callmarket.bridge.server.endpoint import Answer, Asked
from callmarket.bridge.server.service import Service

CSS: Final = "text/css; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"
JSON: Final = "application/json"

# Nothing but what a page names is loaded, run or sent, and only from here. Who frames a page could make somebody click.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class StaticFile:
    """One file, held compressed as well."""

    def __init__(self, compressed: bytes, media_type: str, policy: str = POLICY) -> None:
        """A file that was compressed with gzip. `policy` is its Content-Security-Policy."""
        self._compressed: Final = compressed
        self._media_type: Final = media_type
        self._policy: Final = policy

    @classmethod
    def of(cls, body: bytes, media_type: str, policy: str = POLICY) -> "StaticFile":
        """A file as it is."""
        return cls(compress(body, mtime=0), media_type, policy)

    @cached_property
    def body(self) -> bytes:
        """As it is."""
        return decompress(self._compressed)

    @cached_property
    def tag(self) -> str:
        """Names its content; weak, because it is the same whether compressed or not (RFC 9110, 8.8.3)."""
        return f'W/"{sha256(self.body).hexdigest()[:32]}"'

    def answer(self, if_none_match: str, accept_encoding: str) -> Answer:
        """The file, or that it is what the browser has."""
        headers = [
            ("Content-Security-Policy", self._policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-cache"),
            ("ETag", self.tag),
            ("Vary", "Accept-Encoding"),
        ]
        if self.tag.removeprefix("W/") in if_none_match:
            return Answer(b"", HTTPStatus.NOT_MODIFIED, self._media_type, headers)
        if "gzip" in accept_encoding:
            return Answer(self._compressed, HTTPStatus.OK, self._media_type, [*headers, ("Content-Encoding", "gzip")])
        return Answer(self.body, HTTPStatus.OK, self._media_type, headers)


@dataclass(frozen=True)
class StaticRoute:
    """A file at its path. It is not in the OpenAPI document, which is about the market."""

    template: str
    file: StaticFile
    method: str = "GET"

    async def serve(self, _: Service, asked: Asked) -> Answer:
        """The file."""
        headers = dict(asked.scope["headers"])
        wanted, takes = headers.get(b"if-none-match", b""), headers.get(b"accept-encoding", b"")
        return self.file.answer(wanted.decode("latin-1"), takes.decode("latin-1"))
