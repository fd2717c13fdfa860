"""The page `/resources`: what an operator of a fleet looks at. Its files are in `resources_ui`.

It asks the routes of `/api` with a key that the reader gives it, and has no route of its own for what it shows.

Rule of this file: it serves the page's files and says what the page may do. No markup, no script, no style here.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from callmarket.bridge.server.pages.static_files import CSS, HTML, JAVASCRIPT, POLICY, StaticFile, StaticRoute

RESOURCES_PATH: Final = "/resources"

_MEDIA_TYPES: Final = {".css": CSS, ".html": HTML, ".mjs": JAVASCRIPT}
# Nothing in the page makes markup of text, and a browser that knows Trusted Types holds it to that.
_POLICY: Final = f"{POLICY}; require-trusted-types-for 'script'; trusted-types 'none'"


def static_routes() -> Sequence[StaticRoute]:
    """The files of the page."""
    found = []
    for file in (files("callmarket.bridge.server.pages") / "resources_ui").iterdir():
        stem, dot, ending = file.name.rpartition(".")
        served = StaticFile.of(file.read_bytes(), _MEDIA_TYPES[dot + ending], _POLICY)
        found.append(StaticRoute(RESOURCES_PATH if stem == "index" else f"{RESOURCES_PATH}/{file.name}", served))
    return found
