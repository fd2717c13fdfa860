"""No rule without a test, and no refusal that nothing provokes.

Goal: every id in RULES.md and every `Precisely` is cited by the docstring of some test, and every `Reject` is the
expected result of a line in some test. Method: the text of RULES.md and the syntax trees of the tests.
"""

import re

import pytest

from callmarket.engine.reject import Reject
from tests.support.citations import ID, ROOT, cites, docstrings_of_tests, entries

ENGINE_TESTS = sorted((ROOT / "tests" / "engine").rglob("test_*.py"))
# The rules of what stands beside the market (BRG, EXP) are proved where that is.
BRIDGE_TESTS = sorted(path for part in ("persistence", "bridge") for path in (ROOT / "tests" / part).rglob("test_*.py"))
RULES = entries("RULES.md")
POINTS = entries("docs/acceptance.md")

DOCSTRINGS = [
    *(words for _, words in docstrings_of_tests(ENGINE_TESTS)),
    *(words for _, words in docstrings_of_tests(BRIDGE_TESTS) if "BRG-" in words or "EXP-" in words),
]


def test_the_rules_are_those_that_are_known() -> None:
    """The families and how many each has: a rule that the pattern does not find would never be missed."""
    families: dict[str, int] = {}
    for rule in RULES:
        family = rule.partition("-")[0]
        families[family] = families.get(family, 0) + 1
    of_bids = {"LED": 8, "BID": 9, "SLT": 4, "CLR": 10, "SET": 6, "HLD": 8}
    of_artifacts = {"CAP": 3, "LMSR": 10, "ORD": 9, "POS": 6, "STL": 9, "PRC": 1}
    assert families == of_bids | of_artifacts | {"IDM": 1, "HST": 1, "BRG": 5, "EXP": 7}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_cited_by_a_test(rule: str) -> None:
    assert any(cites(docstring, rule) for docstring in DOCSTRINGS)


@pytest.mark.parametrize("rule", [rule for rule, text in RULES.items() if "*Precisely:*" in text])
def test_every_precisely_is_cited_by_a_test(rule: str) -> None:
    """By a docstring that begins `RULE, Precisely`, as the binding line it is."""
    assert any(re.match(rf"{rule}, Precisely\b", docstring) for docstring in DOCSTRINGS)


@pytest.mark.parametrize("reason", [reason.value for reason in Reject])
def test_every_refusal_is_expected_by_some_line(reason: str) -> None:
    """`-> REASON` in a script is a result that was compared."""
    assert any(re.search(rf"-> {reason}\b", path.read_text(encoding="utf-8")) for path in ENGINE_TESTS)


def test_no_test_cites_a_rule_that_does_not_exist() -> None:
    """But for the points of docs/acceptance.md, which `tests/acceptance` looks after."""
    cited = {rule for docstring in DOCSTRINGS for rule in ID.findall(docstring)}
    assert cited - RULES.keys() - POINTS.keys() - {"SHA-256"} == set()


def test_a_rule_that_nobody_cites_would_be_seen() -> None:
    """CLR-1 is not cited by CLR-10, nor the other way round."""
    assert cites("CLR-1: x", "CLR-1")
    assert cites("x (CLR-10)", "CLR-10")
    assert not cites("CLR-10", "CLR-1")
    assert not cites("CLR-1", "CLR-10")
