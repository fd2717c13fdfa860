"""The OpenAPI document and the page to try it out on, which needs no other host.

The page is Swagger UI, kept in `swagger_ui` beside its licences; the README there says which version and from where.

Rule of this file: the files are fixed when the service starts, and the page may load nothing from other hosts.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from callmarket.bridge.server.pages.static_files import CSS, HTML, JAVASCRIPT, JSON, POLICY, StaticFile, StaticRoute

DOCUMENT_PATH: Final = "/api/openapi.json"
PAGE_PATH: Final = "/api/docs"

# Swagger UI uses inline styles.
_POLICY: Final = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

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

# Without the validator, which would send the document's URL to another host. The page does not store the key.
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

# The files that are kept compressed, with their media types.
_ASSETS: Final = {"swagger-ui-bundle.js": JAVASCRIPT, "swagger-ui.css": CSS}


def static_routes(document: bytes) -> Sequence[StaticRoute]:
    """The routes of the document and the page. The document does not list them."""
    kept = files("callmarket.bridge.server.pages") / "swagger_ui"
    return (
        StaticRoute(DOCUMENT_PATH, StaticFile.of(document, JSON, _POLICY)),
        StaticRoute(PAGE_PATH, StaticFile.of(_PAGE.encode(), HTML, _POLICY)),
        StaticRoute(f"{PAGE_PATH}/page.js", StaticFile.of(_SCRIPT.encode(), JAVASCRIPT, _POLICY)),
        *(
            StaticRoute(f"{PAGE_PATH}/{name}", StaticFile((kept / f"{name}.gz").read_bytes(), media_type, _POLICY))
            for name, media_type in _ASSETS.items()
        ),
    )
