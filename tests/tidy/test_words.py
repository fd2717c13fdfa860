"""The words of the project as a machine sees them: those that docs/glossary.md says not to use.

Goal: prose that an engineer reads without stumbling stays so. Method: as in `test_tidy`: each word is looked for in
every file of the product and its documents, and, so that the search is known to be able to fail, in a planted example
that it must find and in a harmless one that it must leave alone.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PRODUCT = ("engine/", "persistence/", "bridge/", "callmarket/", "examples/", "docs/", "deploy/", "README.md", "dev.py")
# The list of these words has to name them.
SPARED = ("docs/glossary.md",)
# Pattern, what to use instead, an example that must be found, and one that must be left alone.
WORDS = (
    (
        r"[Ww]hoever\b",
        "the caller, the client, the leader",
        "Whoever waits is told.",
        "A caller that waits is notified.",
    ),
    (r"[Ss]o (many|long)\b(?! as\b)", "up to `limit`, for `timeout_s`", "Waits so long.", "As long as it takes."),
    (r"Again, or |Again: (nothing|no )", "Idempotent.", "Close it. Again: nothing.", "Again: it may have gone on."),
    (r"(?i:he|his|him|himself)\b", "it, its", "A thread writes by himself.", "The history of this is there."),
    (r"(is|was|be) away\b", "is unavailable", "The database is away.", "It was put away, awaited."),
    (r"[Ll]ets? go of\b", "release, drop", "Let go of the lease.", "Let this go on."),
    (r"people's (units|words)\b", "user-facing units", "In people's units.", "As people count."),
    (r"market (said|says) no\b", "was refused", "The market said no.", "The market said when."),
    (r"[Rr]eigns?\b", "leader session", "The end of a reign.", "Foreign rows are refused."),
    (r"(Change)?Desk\b|Rhythm\b|Prospect\b", "table reader, cadence, probe", "A Rhythm for each.", "No desktop."),
    (
        r"(AuctionSwitch|BudgetServices|AsItIs|Puzzling|Succession)\b",
        "fallback switch, unrecognized response, takeover",
        "Puzzling()",
        "A puzzle.",
    ),
    (r"\"\"\"As it is\.\"\"\"", "what it returns", '"""As it is."""', '"""The value as it is stored."""'),
)


def found(text: str) -> list[tuple[int, str]]:
    """Each line with such a word, and what to say instead."""
    return [
        (number, f"not {match[0]!r} but {instead}")
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, instead, _, _ in WORDS
        for match in re.finditer(rf"(?<![\w'-])(?:{pattern})", line)
    ]


def files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return sorted(
        name
        for name in names
        if name.startswith(PRODUCT)
        and not name.startswith(SPARED)
        and name.endswith((".py", ".md", ".toml", ".service"))
        and (ROOT / name).is_file()
    )


def test_the_words_not_to_use_do_not_stand_in_the_product_or_its_documents() -> None:
    wrong = [f"{name}:{line}: {what}" for name in files() for line, what in found((ROOT / name).read_text("utf-8"))]
    assert wrong == []


def test_the_files_that_are_read_are_those_of_the_product() -> None:
    """Else the test above would pass for want of files."""
    names = files()
    assert {"README.md", "docs/faults.md", "engine/book.py", "persistence/journal/protocol.py"} <= set(names)
    assert len(names) > 200


@pytest.mark.parametrize(("pattern", "_instead", "planted", "harmless"), WORDS, ids=[word[0] for word in WORDS])
def test_each_word_is_found_and_its_like_left_alone(pattern: str, _instead: str, planted: str, harmless: str) -> None:
    assert [what for _, what in found(planted)], pattern
    assert found(harmless) == []


def test_the_glossary_says_what_to_use_instead() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    assert [instead for _, instead, _, _ in WORDS if not all(part in glossary for part in instead.split(", "))] == []
