"""The documents as a machine sees them: links, paths, decisions, and the one page of ARCHITECTURE.md.

Goal: what a reader follows is there. Method: each check reads a tree of files, given as texts by their paths, and says
what is wrong; it is run over the project, and, so that it is known to be able to fail, over a planted tree in which it
must find something and over one that it must leave alone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import PurePosixPath
from posixpath import normpath

import pytest

from tests.tidy.test_tidy import INSIDE, ORDER, text_files

Tree = Mapping[str, str]
Check = Callable[[Tree], Iterator[str]]

PAGE = "ARCHITECTURE.md"
PAGE_LINES_MAX = 200
DECISIONS = "docs/decisions"
INDEX = f"{DECISIONS}/README.md"
HEADINGS = ["Context", "Decision", "Consequences"]
# What was said of a release stays as it was, whatever has been moved since.
HISTORY = "CHANGELOG.md"

FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`]*`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
HEADING = re.compile(r"^#{1,6} +(.+?)[ #]*$", re.MULTILINE)
NAMED_PATH = re.compile(
    r"`((?:engine|persistence|bridge|callmarket|benchmarks|tests|examples|deploy|docs)/[\w./-]*)(?:: \w+)?`"
)
DECISION_FILE = re.compile(rf"{DECISIONS}/(\d\d)-[a-z0-9-]+\.md")
DATE = re.compile(r"^Date: \d{4}-\d\d-\d\d\b", re.MULTILINE)
CITED = re.compile(r"\bdecisions? (\d+(?:(?:, | and )\d+)*)", re.IGNORECASE)
STAGE = re.compile(r"^ {6}((?:engine|persistence|bridge)(?:/\w+)*) {2,}\S", re.MULTILINE)
ROW = re.compile(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]*) \|$", re.MULTILINE)


def documents(tree: Tree) -> Iterator[tuple[str, str]]:
    return ((path, text) for path, text in tree.items() if path.endswith(".md"))


def exists(tree: Tree, path: str) -> bool:
    """Whether it is a file of the tree, or a folder with files in it."""
    folder = path.rstrip("/") + "/"
    return path in tree or path in ("", ".") or any(name.startswith(folder) for name in tree)


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings: lower case, no punctuation, hyphens for spaces; a number for a second one."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        same = (slug if number == 0 else f"{slug}-{number}" for number in range(len(found) + 1))
        found.add(next(one for one in same if one not in found))
    return found


def links_lead_somewhere(tree: Tree) -> Iterator[str]:
    for path, text in documents(tree):
        for link in chain.from_iterable(LINK.findall(CODE_SPAN.sub("", FENCED.sub("", text)))):
            if link and not ELSEWHERE.match(link):
                to, _, anchor = link.partition("#")
                target = normpath(f"{PurePosixPath(path).parent}/{to}") if to else path
                if not exists(tree, target):
                    yield f"{path}: {link} is not there"
                elif anchor and anchor not in anchors(tree.get(target, "")):
                    yield f"{path}: {target} has no heading #{anchor}"


def paths_that_are_named_exist(tree: Tree) -> Iterator[str]:
    """A path in backticks is a file, a folder, or a module without its `.py`."""
    for path, text in documents(tree):
        for name in NAMED_PATH.findall(FENCED.sub("", text)) if path != HISTORY else ():
            if not exists(tree, name) and f"{name}.py" not in tree:
                yield f"{path}: {name} is not there"


def decisions_are_complete(tree: Tree) -> Iterator[str]:
    numbers = []
    for path, text in documents(tree):
        if path.startswith(f"{DECISIONS}/") and path != INDEX:
            named = DECISION_FILE.fullmatch(path)
            if named is None:
                yield f"{path}: not called NN-title.md"
                continue
            numbers.append(int(named.group(1)))
            if not text.startswith(f"# {numbers[-1]}. "):
                yield f"{path}: its title does not begin with its number"
            if not DATE.search(text.partition("\n## ")[0]):
                yield f"{path}: no date"
            if re.findall(r"^## (.+)$", text, re.MULTILINE) != HEADINGS:
                yield f"{path}: its headings are not {', '.join(HEADINGS)}"
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        yield f"{DECISIONS}: the numbers have gaps, or one is given twice"


def decisions_are_listed(tree: Tree) -> Iterator[str]:
    """By their titles, once each."""
    index = tree.get(INDEX, "")
    for path, text in documents(tree):
        if path.startswith(f"{DECISIONS}/") and path != INDEX:
            title = text.partition("\n")[0].removeprefix("# ")
            if index.count(f"- [{title}]({PurePosixPath(path).name})") != 1:
                yield f"{INDEX}: not once there: {title}"


def decisions_that_are_cited_exist(tree: Tree) -> Iterator[str]:
    numbers = {int(named.group(1)) for path in tree if (named := DECISION_FILE.fullmatch(path))}
    for path, text in tree.items():
        if path.endswith((".md", ".py", ".sql", ".toml")):
            for cited in CITED.findall(text):
                for number in re.findall(r"\d+", cited):
                    if int(number) not in numbers:
                        yield f"{path}: there is no decision {number}"


def the_architecture_is_one_page(tree: Tree) -> Iterator[str]:
    count = len(tree[PAGE].splitlines())
    if count > PAGE_LINES_MAX:
        yield f"{PAGE}: {count} lines"


def the_architecture_lists_the_folders(tree: Tree) -> Iterator[str]:
    """Those that are there, each with what may change it, in the order of their imports."""
    listed = [path for cell, _ in ROW.findall(tree[PAGE]) for path in re.findall(r"`([^`]+)`", cell)]
    for cell, change in ROW.findall(tree[PAGE]):
        if not change.strip():
            yield f"{PAGE}: nothing is said of what may change {cell}"
    for path in listed:
        if not exists(tree, path):
            yield f"{PAGE}: {path} is not there"
    for folder in sorted(folders(tree) - set(listed)):
        yield f"{PAGE}: {folder} is not listed"
    for layer, order in ORDER.items():
        rooms = [path.split("/")[1].removesuffix(".py") for path in listed if path.startswith(f"{layer}/")]
        placed = [order.index(room) for room in rooms if room in order]
        if placed != sorted(placed):
            yield f"{PAGE}: {layer}/ is not in the order of its imports"


def the_journey_enters_each_folder_once(tree: Tree) -> Iterator[str]:
    stages = STAGE.findall(tree[PAGE])
    if not stages:
        yield f"{PAGE}: no journey"
    for stage in stages:
        if f"{stage}/" not in folders(tree):
            yield f"{PAGE}: the journey enters {stage}, which is not there"
        if stages.count(stage) > 1:
            yield f"{PAGE}: the journey enters {stage} again"


def folders(tree: Tree) -> set[str]:
    """The folders of the product that have code in them, Python or SQL."""
    parents = {str(PurePosixPath(path).parent) for path in tree if path.endswith((".py", ".sql"))}
    return {f"{parent}/" for parent in parents if parent.split("/")[0] in INSIDE}


CHECKS: tuple[Check, ...] = (
    links_lead_somewhere,
    paths_that_are_named_exist,
    decisions_are_complete,
    decisions_are_listed,
    decisions_that_are_cited_exist,
    the_architecture_is_one_page,
    the_architecture_lists_the_folders,
    the_journey_enters_each_folder_once,
)


@cache
def project() -> Tree:
    return {source.path: source.text for source in text_files()}


def test_the_documents_are_found() -> None:
    """Else every other test here would pass for want of documents."""
    assert {PAGE, "README.md", INDEX, HISTORY} <= set(project())
    assert len([path for path in project() if DECISION_FILE.fullmatch(path)]) >= 44
    assert {"engine/", "engine/decide/", "persistence/sql/", "bridge/fleet/agent/"} <= folders(project())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_documents_are_true(check: Check) -> None:
    assert list(check(project())) == []


FIRST = f"{DECISIONS}/01-one.md"
DECIDED = "# 1. One\n\nDate: 2026-11-30.\n\n## Context\n\nx\n\n## Decision\n\nx\n\n## Consequences\n\nx\n"
LISTED = "| folder | what | change |\n|---|---|---|\n| `engine/` | x | a rule |\n"
CODE = {"engine/book.py": ""}
IN_ORDER = "| `bridge/api/` | x | y |\n| `bridge/cli/` | x | y |\n"
OUT_OF_ORDER = "| `bridge/cli/` | x | y |\n| `bridge/api/` | x | y |\n"
STEPS = "    a\n      bridge/api            x\n"
BRIDGE = {"bridge/api/x.py": "", "bridge/cli/x.py": ""}
# Check, a tree in which it must find something, and one that it must leave alone.
PLANTED: list[tuple[Check, Tree, Tree]] = [
    (links_lead_somewhere, {"a.md": "[b](b.md)"}, {"a.md": "[b](b.md) [c](https://x.org/c.md)", "b.md": ""}),
    (links_lead_somewhere, {"docs/a.md": "[b](b.md)", "b.md": ""}, {"docs/a.md": "[b](../b.md)", "b.md": ""}),
    (links_lead_somewhere, {"a.md": "![b](b.svg)"}, {"a.md": "`[b](b.svg)`\n\n```\n[b](b.svg)\n```\n"}),
    (links_lead_somewhere, {"a.md": "[b]: b.md"}, {"a.md": "[b]: docs/", "docs/b.md": ""}),
    (links_lead_somewhere, {"a.md": "[b](#b)\n# c"}, {"a.md": "[b](#b-or-c)\n## `B` or [c](https://x.org)!"}),
    (links_lead_somewhere, {"a.md": "[b](b.md#b-1)", "b.md": "# B"}, {"a.md": "[b](b.md#b-1)", "b.md": "# B\n# B"}),
    (links_lead_somewhere, {"a.md": "[b](b.md#b)", "b.md": "```\n# B\n```"}, {"a.md": "[b](b.md#b)", "b.md": "# B"}),
    (paths_that_are_named_exist, {"a.md": "`engine/x`"}, {"a.md": "`engine/book` `engine/`, `x/y`", **CODE}),
    (paths_that_are_named_exist, {"a.md": "`engine/x.py: RULES`"}, {"a.md": "`engine/book.py: RULES`", **CODE}),
    (paths_that_are_named_exist, {"docs/a.md": "`docs/x.md`"}, {HISTORY: "`engine/x`"}),
    (decisions_are_complete, {f"{DECISIONS}/one.md": DECIDED}, {FIRST: DECIDED}),
    (decisions_are_complete, {FIRST: DECIDED.replace("Date: 2026-11-30", "Date: today")}, {INDEX: "# Decisions"}),
    (decisions_are_complete, {FIRST: DECIDED.replace("## Context", "## Why")}, {"docs/one.md": "# One"}),
    (decisions_are_complete, {FIRST: DECIDED.replace("# 1.", "# 2.", 1)}, {FIRST: DECIDED + "\n### More\n"}),
    (decisions_are_complete, {f"{DECISIONS}/02-two.md": DECIDED.replace("# 1.", "# 2.", 1)}, {FIRST: DECIDED}),
    (
        decisions_are_listed,
        {FIRST: DECIDED, INDEX: "- [1. Two](01-one.md)"},
        {FIRST: DECIDED, INDEX: "- [1. One](01-one.md)"},
    ),
    (
        decisions_that_are_cited_exist,
        {FIRST: "", "a.py": "# decisions 1 and 2"},
        {FIRST: "", "a.py": "# Decision 1 takes 2 us"},
    ),
    (the_architecture_is_one_page, {PAGE: "x\n" * 201}, {PAGE: "x\n" * 200}),
    (the_architecture_lists_the_folders, {PAGE: LISTED}, {PAGE: LISTED, **CODE}),
    (the_architecture_lists_the_folders, {PAGE: LISTED, **CODE, "engine/x/y.py": ""}, {PAGE: LISTED, **CODE}),
    (the_architecture_lists_the_folders, {PAGE: LISTED, **CODE, "engine/sql/1.sql": ""}, {PAGE: "x", "docs/x.py": ""}),
    (the_architecture_lists_the_folders, {PAGE: LISTED.replace("a rule", ""), **CODE}, {PAGE: LISTED, **CODE}),
    (the_architecture_lists_the_folders, {PAGE: OUT_OF_ORDER, **BRIDGE}, {PAGE: IN_ORDER, **BRIDGE}),
    (the_journey_enters_each_folder_once, {PAGE: "      bridge/x  y\n", **BRIDGE}, {PAGE: STEPS, **BRIDGE}),
    (the_journey_enters_each_folder_once, {PAGE: STEPS * 2, **BRIDGE}, {PAGE: STEPS + "   bridge/api\n", **BRIDGE}),
    (the_journey_enters_each_folder_once, {PAGE: "bridge/api", **BRIDGE}, {PAGE: STEPS, **BRIDGE}),
]


@pytest.mark.parametrize(
    ("check", "wrong", "right"),
    PLANTED,
    ids=[f"{check.__name__}-{number}" for number, (check, _, _) in enumerate(PLANTED)],
)
def test_a_check_finds_what_is_planted_and_leaves_the_rest_alone(check: Check, wrong: Tree, right: Tree) -> None:
    assert list(check(wrong)), "nothing found"
    assert list(check(right)) == []


def test_every_check_has_a_planted_example() -> None:
    assert {check for check, _, _ in PLANTED} == set(CHECKS)
