"""Static files: the parts of the pages, which are the same for all clients while the service runs.

They are public, so they contain no data of the market. A browser may cache them and revalidates them on each use, as a
new version of the service has new files.

Rule of this file: bytes and headers; the modules of the pages decide which files there are and what they may load.
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

# A page loads, runs and sends nothing except from and to this host. It may not be framed, against clickjacking.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class StaticFile:
    """One file, held in memory compressed and, once it is needed, uncompressed."""

    def __init__(self, compressed: bytes, media_type: str, policy: str = POLICY) -> None:
        """A file that is already compressed with gzip. `policy` is its Content-Security-Policy."""
        self._compressed: Final = compressed
        self._media_type: Final = media_type
        self._policy: Final = policy

    @classmethod
    def of(cls, body: bytes, media_type: str, policy: str = POLICY) -> "StaticFile":
        """A file from its uncompressed bytes."""
        return cls(compress(body, mtime=0), media_type, policy)

    @cached_property
    def body(self) -> bytes:
        """The uncompressed bytes."""
        return decompress(self._compressed)

    @cached_property
    def tag(self) -> str:
        """The ETag of its content; weak, because it is the same with and without compression (RFC 9110, 8.8.3)."""
        return f'W/"{sha256(self.body).hexdigest()[:32]}"'

    def answer(self, if_none_match: str, accept_encoding: str) -> Answer:
        """The response with the file, or 304 if the browser has this content already."""
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
        """The response with the file."""
        headers = dict(asked.scope["headers"])
        wanted, takes = headers.get(b"if-none-match", b""), headers.get(b"accept-encoding", b"")
        return self.file.answer(wanted.decode("latin-1"), takes.decode("latin-1"))
