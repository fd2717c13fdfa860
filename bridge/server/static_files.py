"""Files that are the same for everybody as long as the service runs: what a page is made of.

They are public, so nothing of the market is in them. A browser may keep them, and asks each time whether they are still
the same, because a new version of the service has new ones.

Rule of this file: bytes and headers; which pages there are, and what they may load, is theirs to say.
"""

from functools import cached_property
from gzip import compress, decompress
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

CSS: Final = "text/css"
HTML: Final = "text/html"
JAVASCRIPT: Final = "text/javascript"
JSON: Final = "application/json"

# Nothing but what a page names is loaded, run or sent, and only from here. Who frames a page could make somebody click.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

AnyRequest = Request[Any, Any, Any]


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

    def answer(self, request: AnyRequest) -> Response[bytes]:
        """The file, or that it is what the browser has."""
        headers = {
            "Content-Security-Policy": self._policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
            "ETag": self.tag,
            "Vary": "Accept-Encoding",
        }
        if self.tag.removeprefix("W/") in request.headers.get("if-none-match", ""):
            return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, media_type=self._media_type, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self._compressed, media_type=self._media_type, headers=headers)
        return Response(self.body, media_type=self._media_type, headers=headers)

    def at(self, path: str) -> HTTPRouteHandler:
        """Its route. It is not in the OpenAPI document, which is about the market."""

        @get(path, include_in_schema=False)
        async def static_file(request: AnyRequest) -> Response[bytes]:
            return self.answer(request)

        return static_file
