"""What every HTML report of ours must be: one file that needs no network and runs nothing.

Rule of this file: it reads a page as a browser would.
"""

import re
from html.parser import HTMLParser


class Links(HTMLParser):
    """Collects what a browser would load, and what could run."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "srcset", "poster") and value is not None:
                self.loaded.append(value)


def check_self_contained(text: str) -> None:
    """Assert that the page loads nothing, runs nothing, and that what its figures refer to is there, once."""
    links = Links()
    links.feed(text)
    assert [link for link in links.loaded if not link.startswith(("#", "data:"))] == []
    assert not {"script", "link", "iframe", "object"} & set(links.tags)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert re.findall(r"url\((?!#)[^)]*\)", text) == []
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links.loaded if link.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
