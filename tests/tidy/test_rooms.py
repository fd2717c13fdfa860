"""The house has small rooms: no folder of the product has more files at its root than a reader takes in at once.

Goal: who opens a folder sees what belongs in it. Method: the files are counted, with a planted example.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A dozen, and some. `engine` is one machine, whose structures stand side by side.
FILES_MAX = 16
MEASURED = ("bridge", "persistence")


def crowded(root: Path) -> Iterator[str]:
    """The folders with too many modules, `__init__` not counted."""
    for top in MEASURED:
        for folder in [root / top, *(path for path in (root / top).rglob("*") if path.is_dir())]:
            files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            if len(files) > FILES_MAX:
                yield f"{folder.relative_to(root).as_posix()}: {len(files)} files"


def test_no_folder_has_more_files_than_a_reader_takes_in() -> None:
    assert list(crowded(ROOT)) == []


def test_a_crowded_folder_is_found(tmp_path: Path) -> None:
    for top in MEASURED:
        (tmp_path / top / "x").mkdir(parents=True)
    for number in range(FILES_MAX + 1):
        (tmp_path / "bridge" / "x" / f"m{number}.py").touch()
    (tmp_path / "bridge" / "x" / "__init__.py").touch()
    assert list(crowded(tmp_path)) == [f"bridge/x: {FILES_MAX + 1} files"]
