"""No point that was asked for without a test that proves it, and no proof that is only on paper.

Goal: docs/acceptance.md and the tests say the same of each other, and what the page names is there. Method: the text of
the page and the syntax trees of the tests.
"""

import importlib
import re

import pytest

from tests.support.citations import ID, ROOT, cites, docstrings_of_tests, entries

PAGE = "docs/acceptance.md"
POINTS = entries(PAGE)
TESTS = dict(docstrings_of_tests(sorted((ROOT / "tests").rglob("test_*.py"))))
FAMILIES = ("AUC", "RES", "PRT")
TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")
FILE = re.compile(r"`((?:persistence|tests|docs)/[\w/.]+)`")
NAME = re.compile(r"`(callmarket(?:\.\w+)+)`")


def resolved(name: str) -> object:
    """What a dotted name stands for. Raises where it stands for nothing."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def test_the_points_are_those_that_are_known() -> None:
    """Numbered without gaps: a point that the pattern does not find would never be missed."""
    counts = {"AUC": 21, "RES": 13, "PRT": 8}
    assert list(POINTS) == [f"{family}-{number + 1}" for family, count in counts.items() for number in range(count)]


@pytest.mark.parametrize("point", POINTS)
def test_a_point_is_cited_by_the_tests_that_the_page_names(point: str) -> None:
    """By those and no others, and by one at least."""
    named = set(TEST.findall(POINTS[point]))
    assert named
    assert named == {test for test, words in TESTS.items() if cites(words, point)}


@pytest.mark.parametrize("point", POINTS)
def test_what_a_point_names_is_there(point: str) -> None:
    """Modules and functions by their dotted names, files by their paths."""
    names = NAME.findall(POINTS[point])
    assert names
    for name in names:
        resolved(name)
    for path in FILE.findall(POINTS[point]):
        assert (ROOT / path).exists(), path


def test_no_test_cites_a_point_that_does_not_exist() -> None:
    cited = {one for words in TESTS.values() for one in ID.findall(words) if one.startswith(FAMILIES)}
    assert cited == POINTS.keys()


def test_a_name_that_stands_for_nothing_would_be_seen() -> None:
    for name in ("callmarket.bridge.fleet.agent.get_bottom_gap", "bridge.no_such_module.name"):
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            resolved(name)
