"""The page `/resources` as the service serves it: public, complete, the same for everybody, and tightly held.

Goal: a page that is given an API key may not be made to hand it on, and works where no other host can be reached.
Method: its bytes and headers, as anybody gets them, and the words of its scripts. `test_resources_browser` uses it.
"""

import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from callmarket.bridge import server
from callmarket.bridge.server.pages.resources import RESOURCES_PATH
from callmarket.bridge.server.pages.static_files import StaticFile
from tests.bridge.server.conftest import Served
from tests.support.markup import Page

FOLDER = Path(server.__file__).parent / "pages" / "resources_ui"
PARTS = sorted(f"{RESOURCES_PATH}/{path.name}" for path in FOLDER.iterdir() if path.name != "index.html")
NODE = shutil.which("node")
TYPES = {"css": "text/css", "mjs": "text/javascript", "resources": "text/html"}
# What makes markup or code of text, keeps something longer than a tab, or sends it elsewhere.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|DOMParser|createContextualFragment"
    r"|srcdoc|localStorage|indexedDB|document\.cookie|sendBeacon|postMessage|window\.open|importScripts|import\("
)


def get(served: Served, path: str, **headers: str) -> httpx2.Response:
    return served.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("path", [RESOURCES_PATH, *PARTS])
def test_every_file_of_the_page_is_public_with_a_strict_policy(served: Served, path: str) -> None:
    told = get(served, path)
    assert told.status_code == 200
    assert told.headers["content-type"] == TYPES[re.split("[/.]", path)[-1]] + "; charset=utf-8"
    rules = dict(rule.split(" ", 1) for rule in told.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert (rules["require-trusted-types-for"], rules["trusted-types"]) == ("'script'", "'none'")
    assert "unsafe" not in told.headers["content-security-policy"]
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["referrer-policy"] == "no-referrer"


def test_the_page_is_complete_and_loads_nothing_from_elsewhere(served: Served) -> None:
    """All that it names is there, all that is there is named, and nothing in the markup runs by itself."""
    page = Page()
    page.feed(get(served, RESOURCES_PATH).text)
    assert page.inline == ""
    waiting = [source for source in page.sources if source != "data:," and not source.startswith("#")]
    seen: set[str] = set()
    while waiting:
        source = waiting.pop()
        assert source.startswith(RESOURCES_PATH + "/"), source
        if source not in seen:
            seen.add(source)
            text = get(served, source).text
            waiting += [f"{RESOURCES_PATH}/{name}" for name in re.findall(r'from "\./([\w.]+)"', text)]
            addresses = set(re.findall(r"\w+://[^\"'\s]*|url\([^)]*\)|@import[^;]*", text))
            assert addresses <= {"http://www.w3.org/2000/svg"}, source
    assert sorted(seen) == PARTS


@pytest.mark.parametrize("path", [path for path in PARTS if path.endswith(".mjs")])
def test_no_script_makes_markup_of_text_or_keeps_the_key(path: str) -> None:
    text = (FOLDER / path.rpartition("/")[2]).read_text(encoding="utf-8")
    assert DANGEROUS.search(text) is None, DANGEROUS.search(text)
    assert "sessionStorage" not in text or path.endswith("/main.mjs")


def test_the_check_for_dangerous_scripts_finds_planted_ones() -> None:
    assert DANGEROUS.search("one.innerHTML = name")
    assert DANGEROUS.search('localStorage.setItem("key", key)')


def test_a_cached_file_is_answered_with_304(served: Served) -> None:
    first = get(served, PARTS[0], accept_encoding="identity")
    packed = get(served, PARTS[0], accept_encoding="gzip")
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", first.content)
    assert packed.headers["etag"] == first.headers["etag"]
    for known in (first.headers["etag"], f'"other", {first.headers["etag"]}'):
        again = get(served, PARTS[0], if_none_match=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert get(served, PARTS[0], if_none_match='W/"other"').status_code == 200
    assert StaticFile.of(b"a", "text/css").tag != StaticFile.of(b"b", "text/css").tag


def test_no_other_files_are_served(served: Served) -> None:
    """The folder is no door to other files, and the page takes nothing."""
    for path in ("/resources/index.html", "/resources/none.mjs", "/resources/front.py"):
        assert get(served, path).status_code == 404, path
    assert get(served, "/resources/%2e%2e/front.py").status_code == 400
    assert served.ask("POST", RESOURCES_PATH, json={}).status_code == 405


@pytest.mark.skipif(NODE is None, reason="the pure parts of the page are tried with node, which is not here")
def test_the_javascript_tests_of_the_page_pass() -> None:
    """Numbers, times, scales, the stream's text and what it changes, when a part is asked for: `node --test`."""
    assert NODE
    done = subprocess.run(
        [NODE, "--test", str(Path(__file__).with_name("resources_page.test.mjs"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"# pass [1-9]\d", done.stdout), done.stdout
