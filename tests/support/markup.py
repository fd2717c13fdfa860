"""A page of HTML, read for what it loads and runs.

Rule of this file: what a browser would do with the markup, without a browser.
"""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page loads, and whether anything in it would run."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.inline = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        self.inline += data.strip() if self._in_script else ""
