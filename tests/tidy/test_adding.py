"""What docs/adding-an-operation.md says is so: these files, and no others, know an operation.

Goal: an operation is declared once, and stays so. Method: the page's two examples; the files that name the command, its
event or its operation are looked for in the product, without those parts that merely use the market.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-an-operation.md").read_text(encoding="utf-8")
# They are users of the market as anybody is, or words for models.
USERS = ("bridge/fleet/", "bridge/studies/", "bridge/cli/", "bridge/mcp_server/")


def listed(heading: str) -> set[str]:
    """The files in the table of a section."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([\w/.]+)` \|", section, re.MULTILINE))


def naming(pattern: str) -> set[str]:
    """The files of the product that name something."""
    found = set()
    for folder in ("engine", "persistence", "bridge"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(USERS) and re.search(pattern, path.read_text(encoding="utf-8")):
                found.add(name)
    return found


@pytest.mark.parametrize(
    ("heading", "pattern", "files_max"),
    [
        ("A question", r"get_candles|\bCandles\b|\bcandles\b", 3),
        ("A command", r"WithdrawSlot|SlotWithdrawn|withdraw_slot", 12),
    ],
)
def test_the_files_that_know_an_operation_are_those_of_the_page(heading: str, pattern: str, files_max: int) -> None:
    assert listed(heading) == naming(pattern)
    assert len(listed(heading)) <= files_max
    words = {3: "Three", 10: "Ten"}[len(listed(heading))]
    assert f"## {heading}\n\n{words} files" in PAGE
