"""The page `/resources`: the live view of a market for operators of a fleet. Its files are in `resources_ui`.

The page gets its data from the routes of `/api` with a key that its reader enters. It has no data route of its own.

Rule of this file: it serves the page's files and sets their security policy. No markup, script or style is here.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from callmarket.bridge.server.pages.static_files import CSS, HTML, JAVASCRIPT, POLICY, StaticFile, StaticRoute

RESOURCES_PATH: Final = "/resources"

_MEDIA_TYPES: Final = {".css": CSS, ".html": HTML, ".mjs": JAVASCRIPT}
# The page never makes markup of text, and a browser with Trusted Types enforces that.
_POLICY: Final = f"{POLICY}; require-trusted-types-for 'script'; trusted-types 'none'"


def static_routes() -> Sequence[StaticRoute]:
    """The routes of the page's files."""
    found = []
    for file in (files("callmarket.bridge.server.pages") / "resources_ui").iterdir():
        stem, dot, ending = file.name.rpartition(".")
        served = StaticFile.of(file.read_bytes(), _MEDIA_TYPES[dot + ending], _POLICY)
        found.append(StaticRoute(RESOURCES_PATH if stem == "index" else f"{RESOURCES_PATH}/{file.name}", served))
    return found
