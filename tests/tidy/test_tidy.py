"""The style of the project as a machine sees it: imports, purity of the engine, sizes, words that must not be there.

Goal: what ARCHITECTURE.md promises of the tree stays true. Method: each check reads the syntax tree or the text of one
file and says what is wrong in which line; it is run over every file of the project, and, so that it is known to be able
to fail, over a planted example that it must find and over a harmless one that it must leave alone.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]

# What is installed: one package, with the three folders inside it.
PACKAGE = "callmarket"
# Each folder with those that it may import: tests -> benchmarks -> the face of the package -> bridge -> persistence ->
# engine; and examples, which show what a user may do, use the face and the bridge alone.
LAYERS = {
    "engine": {"engine"},
    "persistence": {"engine", "persistence"},
    "bridge": {"engine", "persistence", "bridge"},
    PACKAGE: {PACKAGE, "bridge", "engine"},
    "examples": {PACKAGE, "engine", "bridge", "examples"},
    "benchmarks": {PACKAGE, "engine", "persistence", "bridge", "benchmarks"},
    "tests": {PACKAGE, "engine", "persistence", "bridge", "examples", "benchmarks", "tests"},
    "dev.py": set(),
}
INSIDE = ("engine", "persistence", "bridge")
# What stands at the root of a folder, from what knows nothing of the others to what knows them all.
ORDER = {
    layer: names.split()
    for layer, names in {
        "persistence": "errors durable_file database embedded queries stores journal postings snapshots tables writer "
        "recovery snapshot_follower time_travel archive loss leadership verify",
        "bridge": "ledger_export api ending_signals systemd feed access config timekeeping market client scheduler "
        "fleet server telemetry mcp_server studies serve cli",
    }.items()
}
PRODUCT = (PACKAGE, *INSIDE, "examples")
SIZED = (*PRODUCT, "benchmarks", "dev.py")

# What the engine may import beside itself: modules that compute and do nothing else.
PURE_MODULES = {
    "bisect",
    "collections",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "msgspec",
    "operator",
    "sortedcontainers",
    "typing",
}
# What the engine may not call: I/O, code made of text, and what differs from process to process.
IMPURE_CALLS = {
    "open",
    "print",
    "input",
    "eval",
    "exec",
    "compile",
    "breakpoint",
    "__import__",
    "hash",
    "id",
    "globals",
}
# What reads the time of day. Waiting and measuring (`monotonic`, `perf_counter`, `sleep`) is no business of the engine.
WALL_CLOCKS = {f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime")} | {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
# The one reading of a clock that can reach the engine.
CLOCK = "bridge/api/clock.py"
# What makes an ordered thing of what it is given, so that the order of a set would show.
ORDERING_CALLS = {
    "chain",
    "deque",
    "dict",
    "enumerate",
    "extend",
    "filter",
    "fromkeys",
    "islice",
    "iter",
    "join",
    "list",
    "map",
    "next",
    "tuple",
    "zip",
}
SETS = {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 700

# Spelled in two parts, so that this file does not find itself.
UNDONE = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
MACHINE_PATH = re.compile(r"""(?:^|[\s"'`=(:<\[])/(?:wo""" + r"""rk\b|(?:ro""" + r"""ot|ho""" + r"""me)/\w)""")
WORKPLACE = re.compile(r"\bsha" + r"red/")


@dataclass(frozen=True)
class Source:
    """One file by its path in the project; only Python files are asked for their `tree`."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def layer(self) -> str:
        """The folder at the top, or the name of a file that stands there."""
        return PurePosixPath(self.path).parts[0]


Complaints = Iterator[tuple[int, str]]
Check = Callable[[Source], Complaints]


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every import with its line, as a dotted name: `from a.b import c` is `a.b.c`; ours as the folders stand."""
    for line, name in written_imports(tree):
        package, _, rest = name.partition(".")
        yield line, rest if package == PACKAGE and rest.split(".")[0] in INSIDE else name


def written_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}") for alias in node.names)


def imports_of(source: Source, *modules: str) -> Complaints:
    for line, name in imports(source.tree):
        for module in modules:
            if name == module or name.startswith(f"{module}."):
                yield line, f"imports {name}"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def called(node: ast.Call) -> str:
    """The last name of what is called: `x.y.z(...)` is `z`."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


# Imports


def imports_point_one_way(source: Source) -> Complaints:
    for line, name in imports(source.tree):
        top = name.split(".")[0]
        if not top:
            yield line, f"relative import of {name}"
        elif top in LAYERS and top not in LAYERS[source.layer]:
            yield line, f"{source.layer} imports {top}"


def ours_is_imported_by_its_one_name(source: Source) -> Complaints:
    """A user's own `engine.py` is not in our way, and ours not in his."""
    for line, name in written_imports(source.tree):
        if name.split(".")[0] in INSIDE:
            yield line, f"imports {name}, which is installed as {PACKAGE}.{name}"


def the_engine_imports_what_computes(source: Source) -> Complaints:
    if source.layer == "engine":
        for line, name in imports(source.tree):
            if name.split(".")[0] not in PURE_MODULES | {"engine"}:
                yield line, f"imports {name}"


def the_engine_imports_at_the_top(source: Source) -> Complaints:
    if source.layer == "engine":
        for function in functions(source.tree):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield node.lineno, f"import inside {function.name}"


def decide_and_evolve_do_not_know_each_other(source: Source) -> Complaints:
    if source.path.startswith("engine/decide/"):
        yield from imports_of(source, "engine.evolve", "engine.core")
    if source.path == "engine/evolve.py":
        yield from imports_of(source, "engine.decide", "engine.core")


def folders_import_downwards(source: Source) -> Complaints:
    """A folder or file at the root of one in `ORDER` imports those before it there, and none behind it."""
    order = ORDER.get(source.layer, [])
    room = _room(source.path.removesuffix(".py").replace("/", "."), source.layer)
    if room in order:
        for line, name in imports(source.tree):
            other = _room(name, source.layer)
            if other in order and order.index(other) > order.index(room):
                yield line, f"{room} imports {other}"
            elif name.startswith(f"{source.layer}.") and other not in order:
                yield line, f"{other} has no place in the order"
    elif order and room not in ("__init__", "__main__"):
        yield 1, f"{room} has no place in the order"


def _room(module: str, layer: str) -> str:
    return module.split(".")[1] if module.startswith(f"{layer}.") else ""


def the_server_knows_the_exchange_only(source: Source) -> Complaints:
    if source.path.startswith("bridge/server/"):
        yield from imports_of(source, "engine.state", "persistence")


def dev_needs_the_standard_library_only(source: Source) -> Complaints:
    if source.path == "dev.py":
        for line, name in imports(source.tree):
            if name.split(".")[0] not in sys.stdlib_module_names:
                yield line, f"imports {name}"


# The engine is pure


def the_engine_calls_nothing_impure(source: Source) -> Complaints:
    if source.layer == "engine":
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
                yield node.lineno, f"calls {node.func.id}"


def the_engine_knows_whole_numbers_only(source: Source) -> Complaints:
    if source.layer == "engine":
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
                yield node.lineno, f"a float: {node.value}"
            elif isinstance(node, ast.Name) and node.id in ("float", "complex"):
                yield node.lineno, f"the type {node.id}"
            elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
                yield node.lineno, "a true division"
            elif isinstance(node, ast.Call) and called(node) == "round":
                yield node.lineno, "a rounding"


def the_engine_orders_no_set(source: Source) -> Complaints:
    """Best effort: what is written as a set, called one, annotated or assigned as one, is not iterated."""
    if source.layer != "engine":
        return
    names = set_names(source.tree) | engine_set_attributes()
    for node in ast.walk(source.tree):
        iterated: list[ast.expr] = []
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            iterated = [node.iter]
        elif isinstance(node, ast.Starred | ast.YieldFrom):
            iterated = [node.value]
        elif isinstance(node, ast.Call) and called(node) in ORDERING_CALLS:
            iterated = node.args
        for one in iterated:
            if is_set(one, names):
                yield one.lineno, f"the order of the set {ast.unparse(one)}"


def is_set(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in ("set", "frozenset")
        case ast.Call(func=ast.Attribute(value=value, attr="union" | "intersection" | "difference" | "copy")):
            return is_set(value, names)
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return is_set(left, names) or is_set(right, names)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in names
        case _:
            return False


def set_names(tree: ast.Module) -> set[str]:
    """Names, arguments and attributes that are annotated or assigned as sets."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and is_set_annotation(node.annotation):
            found.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and is_set_annotation(node.annotation):
            found |= target_names(node.target)
        elif isinstance(node, ast.Assign) and is_set(node.value, found):
            for target in node.targets:
                found |= target_names(target)
    return found


def target_names(target: ast.expr) -> set[str]:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
        case _:
            return set()


def is_set_annotation(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Subscript(value=ast.Name(id="Final"), slice=inner):
            return is_set_annotation(inner)
        case ast.Subscript(value=ast.Name(id=name)) | ast.Name(id=name):
            return name in SETS
        case ast.BinOp(left=left, right=right):
            return is_set_annotation(left) or is_set_annotation(right)
        case _:
            return False


@cache
def engine_set_attributes() -> set[str]:
    """Attributes of the engine's classes that are sets, known in every file of it."""
    found: set[str] = set()
    for source in python_files():
        if source.layer == "engine":
            attributes = {node.attr for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)}
            found |= set_names(source.tree) & attributes
    return found


def the_engine_matches_exhaustively(source: Source) -> Complaints:
    """The last case of every `match` is `case _ as never: assert_never(never)`, so that mypy finds a missing one."""
    if source.layer == "engine":
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Match):
                last = node.cases[-1]
                calls = [one for one in ast.walk(last) if isinstance(one, ast.Call) and called(one) == "assert_never"]
                if not is_wildcard(last.pattern) or last.guard or not calls:
                    yield node.lineno, "a match without assert_never"


def is_wildcard(pattern: ast.pattern | None) -> bool:
    """`_`, a bare name, or `_ as name`."""
    return pattern is None or (isinstance(pattern, ast.MatchAs) and is_wildcard(pattern.pattern))


def one_file_reads_the_clock(source: Source) -> Complaints:
    if source.layer in PRODUCT and source.path != CLOCK:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if f"{owner}.{node.attr}" in WALL_CLOCKS:
                    yield node.lineno, f"reads {owner}.{node.attr}"
        yield from imports_of(source, *(name for name in WALL_CLOCKS if name.startswith("time.")))


def no_console_reads_markup(source: Source) -> Complaints:
    """Names come from strangers, and a terminal's markup in one would be obeyed, or end the command."""
    if source.layer in PRODUCT:
        yield from imports_of(source, "rich.markup")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and called(node) == "Console":
                given = {one.arg: ast.unparse(one.value) for one in node.keywords}
                if (given.get("markup"), given.get("emoji")) != ("False", "False"):
                    yield node.lineno, "a Console without markup=False, emoji=False"
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "[/]" in node.value:
                yield node.lineno, "has markup, which is shown as it is: use rich.text.Text"


def nothing_reads_standard_input_as_a_file(source: Source) -> Complaints:
    """A thread that waits in it holds its lock, and the interpreter dies of that at its end: `os.read` holds none."""
    if source.layer in PRODUCT:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.stdin":
                yield node.lineno, "uses sys.stdin"


# Sizes, names and docstrings


def functions_fit_a_screen(source: Source) -> Complaints:
    if source.layer in SIZED:
        for function in functions(source.tree):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield function.lineno, f"{function.name} has {lines} lines"


def files_are_short(source: Source) -> Complaints:
    most = TEST_FILE_LINES_MAX if source.layer == "tests" else FILE_LINES_MAX
    lines = len(source.text.splitlines())
    if lines > most:
        yield lines, f"{lines} lines"


def files_open_with_a_docstring(source: Source) -> Complaints:
    docstring = ast.get_docstring(source.tree) or ""
    if not docstring:
        yield 1, "no docstring"
    elif source.layer in PRODUCT and not re.search(r"\bRule of this (file|folder)\b", " ".join(docstring.split())):
        yield 1, "the docstring names no rule of this file or folder"


def files_are_not_named_after_their_folder(source: Source) -> Complaints:
    path = PurePosixPath(source.path)
    if path.stem == path.parent.name:
        yield 1, f"repeats its folder's name: {source.path}"


# Words


def nothing_is_left_undone(source: Source) -> Complaints:
    yield from found(source, UNDONE)


def no_path_of_a_machine_is_named(source: Source) -> Complaints:
    yield from found(source, MACHINE_PATH)


def the_workplace_is_not_named(source: Source) -> Complaints:
    yield from found(source, WORKPLACE)


def found(source: Source, pattern: re.Pattern[str]) -> Complaints:
    for line, text in enumerate(source.text.splitlines(), 1):
        if hit := pattern.search(text):
            yield line, f"says {hit.group().strip()!r}"


CODE_CHECKS: tuple[Check, ...] = (
    imports_point_one_way,
    ours_is_imported_by_its_one_name,
    the_engine_imports_what_computes,
    the_engine_imports_at_the_top,
    decide_and_evolve_do_not_know_each_other,
    folders_import_downwards,
    the_server_knows_the_exchange_only,
    dev_needs_the_standard_library_only,
    the_engine_calls_nothing_impure,
    the_engine_knows_whole_numbers_only,
    the_engine_orders_no_set,
    the_engine_matches_exhaustively,
    one_file_reads_the_clock,
    no_console_reads_markup,
    nothing_reads_standard_input_as_a_file,
    functions_fit_a_screen,
    files_are_short,
    files_open_with_a_docstring,
    files_are_not_named_after_their_folder,
)
TEXT_CHECKS: tuple[Check, ...] = (nothing_is_left_undone, no_path_of_a_machine_is_named, the_workplace_is_not_named)


@cache
def text_files() -> tuple[Source, ...]:
    """Every text file that git knows or would add; outside a checkout, every one that is not hidden or made."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        found_paths = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        names = [str(path) for path in found_paths if not re.search(r"(^|/)(\.|__pycache__|build/|dist/)", str(path))]
    sources = []
    for name in sorted(names):
        path = ROOT / name
        if path.is_file():
            try:
                sources.append(Source(PurePosixPath(name).as_posix(), path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue
    return tuple(sources)


def python_files() -> tuple[Source, ...]:
    return tuple(source for source in text_files() if source.path.endswith(".py"))


def complaints(check: Check, sources: tuple[Source, ...]) -> list[str]:
    return [f"{source.path}:{line}: {what}" for source in sources for line, what in check(source)]


def test_the_files_are_found() -> None:
    """Else every other test here would pass for want of files."""
    layers = {source.layer for source in python_files()}
    assert {*INSIDE, PACKAGE, "tests", "dev.py"} <= layers <= set(LAYERS)
    assert {"RULES.md", "pyproject.toml", "Makefile"} <= {source.path for source in text_files()}


@pytest.mark.parametrize("check", CODE_CHECKS, ids=lambda check: check.__name__)
def test_the_code_is_tidy(check: Check) -> None:
    assert complaints(check, python_files()) == []


@pytest.mark.parametrize("check", TEXT_CHECKS, ids=lambda check: check.__name__)
def test_the_texts_are_tidy(check: Check) -> None:
    assert complaints(check, text_files()) == []


def test_the_two_dispatches_of_the_engine_are_matches() -> None:
    """What decides and what evolves is one flat `match` each, or the check of matches would have nothing to find."""
    for path in ("engine/decide/__init__.py", "engine/evolve.py"):
        (source,) = (source for source in python_files() if source.path == path)
        assert sum(isinstance(node, ast.Match) for node in ast.walk(source.tree)) == 1


def lines(count: int) -> str:
    return "x = 1\n" * count


RULED = '"""A file.\n\nRule of this file: one.\n"""\n'
# Check, path, what it must find there, and what it must leave alone.
PLANTED: list[tuple[Check, str, str, str]] = [
    (
        imports_point_one_way,
        "engine/x.py",
        "from callmarket.persistence import x",
        "from callmarket.engine import book",
    ),
    (imports_point_one_way, "engine/x.py", "from . import book", "import engine.book"),
    (imports_point_one_way, "persistence/x.py", "import bridge", "from engine import codec"),
    (imports_point_one_way, "bridge/x.py", "def f():\n    from tests import support", "import persistence"),
    (imports_point_one_way, "examples/x.py", "import persistence.journal", "import bridge.client"),
    (imports_point_one_way, "benchmarks/x.py", "import tests.support", "import bridge.market.exchange"),
    (imports_point_one_way, "bridge/x.py", "from callmarket import Client", "from callmarket.bridge import client"),
    (imports_point_one_way, "callmarket/x.py", "from callmarket.persistence import x", "import callmarket.bridge"),
    (imports_point_one_way, "dev.py", "import engine", "import subprocess"),
    (ours_is_imported_by_its_one_name, "tests/x.py", "from engine.book import Book", "from callmarket.engine import x"),
    (
        ours_is_imported_by_its_one_name,
        "bridge/x.py",
        "import bridge.client",
        "import bridges, callmarket.bridge.client",
    ),
    (the_engine_imports_what_computes, "engine/x.py", "import time", "import heapq"),
    (the_engine_imports_what_computes, "engine/x.py", "from datetime import datetime", "from typing import Final"),
    (the_engine_imports_what_computes, "engine/x.py", "from random import Random", "import msgspec"),
    (the_engine_imports_what_computes, "engine/x.py", "import os.path", "from sortedcontainers import SortedDict"),
    (the_engine_imports_what_computes, "engine/x.py", "import psycopg", "from engine import limits"),
    (the_engine_imports_at_the_top, "engine/x.py", "def f():\n    import heapq", "import heapq\ndef f(): pass"),
    (decide_and_evolve_do_not_know_each_other, "engine/decide/x.py", "from engine import evolve", "import engine.book"),
    (decide_and_evolve_do_not_know_each_other, "engine/decide/x.py", "from engine.evolve import evolve", ""),
    (decide_and_evolve_do_not_know_each_other, "engine/evolve.py", "from engine.decide.bids import place", ""),
    (
        folders_import_downwards,
        "bridge/feed/x.py",
        "from bridge.market import node",
        "from bridge.api import units",
    ),
    (folders_import_downwards, "bridge/config.py", "import bridge.serve", "from bridge.api.errors import Invalid"),
    (
        folders_import_downwards,
        "persistence/journal/x.py",
        "import persistence.tables.rows",
        "import persistence.errors",
    ),
    (folders_import_downwards, "persistence/stores/x.py", "from persistence.new import x", "import engine.codec"),
    (folders_import_downwards, "bridge/cli/x.py", "from bridge import Exchange", "from engine import codec"),
    (the_server_knows_the_exchange_only, "bridge/server/x.py", "from engine.state import State", "import bridge.api.x"),
    (the_server_knows_the_exchange_only, "bridge/server/x.py", "from engine import state", "from engine import limits"),
    (the_server_knows_the_exchange_only, "bridge/server/x.py", "import persistence.queries", "import persistency"),
    (dev_needs_the_standard_library_only, "dev.py", "import rich", "import hashlib"),
    (the_engine_calls_nothing_impure, "engine/x.py", "print(1)", "self.print(1)"),
    (the_engine_calls_nothing_impure, "engine/x.py", "key = hash(name)", "key = sha256(name)"),
    (the_engine_calls_nothing_impure, "engine/x.py", "key = id(bid)", "key = bid.id"),
    (the_engine_calls_nothing_impure, "engine/x.py", "open('x')", "ledger.open('x')"),
    (the_engine_knows_whole_numbers_only, "engine/x.py", "rate = 0.5", "rate = 5"),
    (the_engine_knows_whole_numbers_only, "engine/x.py", "rate = 1e6", "rate = 10**6"),
    (the_engine_knows_whole_numbers_only, "engine/x.py", "def f(rate: float): pass", "def f(rate: int): pass"),
    (the_engine_knows_whole_numbers_only, "engine/x.py", "half = whole / 2", "half = whole // 2"),
    (the_engine_knows_whole_numbers_only, "engine/x.py", "whole /= 2", "whole //= 2"),
    (the_engine_knows_whole_numbers_only, "engine/x.py", "round(whole)", "market.round_no"),
    (the_engine_orders_no_set, "engine/x.py", "for x in {1, 2}: pass", "for x in (1, 2): pass"),
    (the_engine_orders_no_set, "engine/x.py", "y = [x for x in set(z)]", "y = [x for x in sorted(set(z))]"),
    (the_engine_orders_no_set, "engine/x.py", "s = {x for x in z}\nlist(s)", "s = {x for x in z}\nsorted(s)"),
    (
        the_engine_orders_no_set,
        "engine/x.py",
        "def f(s: set[int]): return tuple(s)",
        "def f(s: set[int]): return 1 in s",
    ),
    (
        the_engine_orders_no_set,
        "engine/x.py",
        "s: Final[frozenset[int]] = g()\nx = [*s]",
        "s: list[int] = g()\nx = [*s]",
    ),
    (the_engine_orders_no_set, "engine/x.py", "self.s: set[int] = g()\nfor x in self.s: pass", "for x in self.t: pass"),
    (the_engine_orders_no_set, "engine/x.py", "for x in one._tasks_taken: pass", "for x in ledger.accounts: pass"),
    (the_engine_orders_no_set, "engine/x.py", "s = set()\nfor x in s | t: pass", "s = 1\nfor x in s | t: pass"),
    (the_engine_orders_no_set, "engine/x.py", "s = set()\n','.join(s)", "s = set()\nlen(s)"),
    (
        the_engine_matches_exhaustively,
        "engine/x.py",
        "match x:\n    case 1: f()",
        "match x:\n    case 1: f()\n    case _ as never: assert_never(never)",
    ),
    (
        the_engine_matches_exhaustively,
        "engine/x.py",
        "match x:\n    case 1: f()\n    case _: pass",
        "match x:\n    case _: assert_never(x)",
    ),
    (
        one_file_reads_the_clock,
        "persistence/x.py",
        "import time\nnow = time.time_ns()",
        "import time\ntime.monotonic()",
    ),
    (one_file_reads_the_clock, "bridge/x.py", "from time import time", "from time import sleep"),
    (one_file_reads_the_clock, "bridge/x.py", "now = datetime.now(UTC)", "day = datetime(2020, 1, 1, tzinfo=UTC)"),
    (one_file_reads_the_clock, "bridge/x.py", "f = datetime.datetime.utcnow", "import datetime"),
    (no_console_reads_markup, "bridge/x.py", "Console(stderr=True)", "Console(markup=False, emoji=False)"),
    (no_console_reads_markup, "bridge/x.py", "Console(markup=True, emoji=False)", "console()"),
    (no_console_reads_markup, "bridge/x.py", "f'[bold]{x}[/]'", "Text(x, style='bold')"),
    (no_console_reads_markup, "examples/x.py", "from rich.markup import escape", "from rich.text import Text"),
    (nothing_reads_standard_input_as_a_file, "bridge/x.py", "sys.stdin.buffer.read(1)", "os.read(0, 1)"),
    (functions_fit_a_screen, "bridge/x.py", "def f():\n" + "    x = 1\n" * 70, "def f():\n" + "    x = 1\n" * 69),
    (functions_fit_a_screen, "dev.py", "async def f():\n" + "    x = 1\n" * 70, lines(71)),
    (files_are_short, "engine/x.py", lines(401), lines(400)),
    (files_are_short, "tests/x.py", lines(701), lines(700)),
    (files_open_with_a_docstring, "tests/x.py", "x = 1", '"""A file."""'),
    (files_open_with_a_docstring, "engine/x.py", '"""A file."""', RULED),
    (files_open_with_a_docstring, "bridge/x.py", '"""A file. Rule: one."""', '"""A\n\nRule of this\nfolder: one."""'),
    (files_open_with_a_docstring, "persistence/x.py", "# Rule of this file\n", RULED),
    (files_are_not_named_after_their_folder, "engine/engine.py", "x = 1", ""),
    (files_are_not_named_after_their_folder, "bridge/server/server.py", "x = 1", ""),
    (nothing_is_left_undone, "engine/x.py", "# TO" + "DO: later", "# todo lists"),
    (nothing_is_left_undone, "README.md", "FIX" + "ME", "PREFIX"),
    (
        no_path_of_a_machine_is_named,
        "README.md",
        "see /wo" + "rk/main",
        "see homework/main, /workers, https://x.org/work",
    ),
    (no_path_of_a_machine_is_named, "x.py", 'p = "/ho' + 'me/me"', 'p = f"{parent}/home"'),
    (no_path_of_a_machine_is_named, "x.sql", "COPY x FROM '/ro" + "ot/x'", "an environment below /root"),
    (the_workplace_is_not_named, "README.md", "see sha" + "red/design", "shared by all/none"),
]


@pytest.mark.parametrize(
    ("check", "path", "wrong", "right"),
    PLANTED,
    ids=[f"{check.__name__}-{number}" for number, (check, _, _, _) in enumerate(PLANTED)],
)
def test_a_check_finds_what_is_planted_and_leaves_the_rest_alone(
    check: Check, path: str, wrong: str, right: str
) -> None:
    assert list(check(Source(path, wrong))), "nothing found"
    if check is not files_are_not_named_after_their_folder:
        assert list(check(Source(path, right))) == []


def test_a_file_in_a_folder_of_another_name_may_be_called_so() -> None:
    assert list(files_are_not_named_after_their_folder(Source("bridge/server/app.py", ""))) == []


def test_the_one_clock_may_read_the_time() -> None:
    assert list(one_file_reads_the_clock(Source(CLOCK, "import time\ntime.time_ns()"))) == []


def test_the_rules_of_the_engine_are_for_the_engine() -> None:
    """A float in the bridge, where people are met, is fine."""
    text = "import time\nrate = 0.5\nprint(hash(1))\nfor x in {1}: pass\nmatch x:\n    case 1: pass\n"
    for check in CODE_CHECKS:
        if "the_engine" in check.__name__:
            assert list(check(Source("bridge/x.py", text))) == []


def test_every_check_has_a_planted_example() -> None:
    assert {check for check, _, _, _ in PLANTED} == set(CODE_CHECKS) | set(TEXT_CHECKS)


def test_every_text_check_finds_each_of_its_words() -> None:
    """Also at the beginning of a line and in quotes."""
    for path in ("/ho" + "me/x", "/ro" + "ot/x", "/wo" + "rk"):
        for text in (path, f"'{path}'", f"x={path}", f"({path})", f"`{path}`"):
            assert list(no_path_of_a_machine_is_named(Source("x.md", text))), text
