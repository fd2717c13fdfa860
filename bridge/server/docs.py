"""The OpenAPI document and the page to try it on, which works without any other host.

The page is Swagger UI, kept in `swagger_ui` beside its licences; its README says which version and where it is from.

Rule of this file: what is sent is fixed when the service starts, and the page may load nothing from elsewhere.
"""

from collections.abc import Sequence
from functools import cache
from gzip import decompress
from importlib.resources import files
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from bridge.server.openapi import Document

DOCUMENT_PATH: Final = "/api/openapi.json"
PAGE_PATH: Final = "/api/docs"

_HEADERS: Final = {
    # Only from here, and nothing in the page itself; pictures in the style sheet are data. Who frames the page could
    # make somebody click on it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A new version of the service is a new document.
    "Cache-Control": "no-cache",
}

_PAGE: Final = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>callmarket</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{PAGE_PATH}/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="{PAGE_PATH}/swagger-ui-bundle.js"></script>
<script src="{PAGE_PATH}/page.js"></script>
</body>
</html>
"""

# Without the validator, which would send the document's address to another host. A key is forgotten with the page.
_SCRIPT: Final = f"""\
SwaggerUIBundle({{
  url: "{DOCUMENT_PATH}",
  dom_id: "#page",
  validatorUrl: null,
  persistAuthorization: false,
  deepLinking: true,
  docExpansion: "none",
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
}});
"""

# The framework adds that they are UTF-8.
_JAVASCRIPT: Final = "text/javascript"
_CSS: Final = "text/css"
_HTML: Final = "text/html"
# Of the files that are kept compressed.
_ASSETS: Final = {"swagger-ui-bundle.js": _JAVASCRIPT, "swagger-ui.css": _CSS}

AnyRequest = Request[Any, Any, Any]


def handlers(document: Document) -> Sequence[HTTPRouteHandler]:
    """The routes of document and page. They are not in the document: they are about it."""

    @get(DOCUMENT_PATH, include_in_schema=False)
    async def openapi_json() -> Response[bytes]:
        return _fixed(document.body, "application/json")

    @get(PAGE_PATH, include_in_schema=False)
    async def page() -> Response[bytes]:
        return _fixed(_PAGE.encode(), _HTML)

    @get(f"{PAGE_PATH}/page.js", include_in_schema=False)
    async def page_js() -> Response[bytes]:
        return _fixed(_SCRIPT.encode(), _JAVASCRIPT)

    return openapi_json, page, page_js, *(_asset(name, media_type) for name, media_type in _ASSETS.items())


def _asset(name: str, media_type: str) -> HTTPRouteHandler:
    @get(f"{PAGE_PATH}/{name}", include_in_schema=False)
    async def asset(request: AnyRequest) -> Response[bytes]:
        compressed = _file(f"{name}.gz")
        if "gzip" in request.headers.get("accept-encoding", ""):
            return _fixed(compressed, media_type, {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
        return _fixed(decompress(compressed), media_type, {"Vary": "Accept-Encoding"})

    return asset


def _fixed(body: bytes, media_type: str, more: dict[str, str] | None = None) -> Response[bytes]:
    return Response(body, media_type=media_type, headers={**_HEADERS, **(more or {})})


@cache
def _file(name: str) -> bytes:
    return (files("bridge.server") / "swagger_ui" / name).read_bytes()
