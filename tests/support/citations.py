"""Numbered statements of a page, and the tests whose docstrings cite them.

Rule of this file: it reads texts and syntax trees, and judges nothing.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
ID = re.compile(r"\b[A-Z]{3,4}-\d+\b")

_ENTRY = re.compile(r"^- \*\*([A-Z]{3,4}-\d+)\*\*", re.MULTILINE)


def entries(page: str) -> dict[str, str]:
    """Each id that begins an item of this page, with the text up to the next."""
    parts = _ENTRY.split((ROOT / page).read_text(encoding="utf-8"))[1:]
    assert len(set(parts[::2])) == len(parts[::2]), "an id stands twice"
    return dict(zip(parts[::2], parts[1::2], strict=True))


def docstrings_of_tests(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Every test function of these files, as `tests/x/test_y.py::test_z`, with its docstring."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(ROOT)}::{node.name}", ast.get_docstring(node) or ""


def cites(docstring: str, entry: str) -> bool:
    """Whether a docstring names this id, and not one that only begins with it."""
    return re.search(rf"\b{entry}\b(?!\d)", docstring) is not None
