"""Habits of the code that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 600
"""A list of claims is read one at a time."""
FOLDERS = ("src", "tests", "tools", "examples", "benchmarks")
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc", "base"}

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

LONG_ON_PURPOSE: dict[str, str] = {
    "src/firedoor/guarding/fuse.py::full": "a guarded call is one frame, or it costs twice",
    "src/firedoor/guarding/fuse_async.py::full": "a guarded call is one frame, or it costs twice",
    "src/firedoor/guarding/fuse_async.py::guarded": "the frame itself",
}
"""Paths, or ``path::function``, over the limits, each with the reason why it is better whole."""


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each function's name and its number of lines without the docstring."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0]
        documented = ast.get_docstring(node) is not None
        doc = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
        yield node.name, (node.end_lineno or 0) - node.lineno + 1 - doc


def test_files_and_functions_are_short_enough_to_read() -> None:
    long = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        where = str(path.relative_to(ROOT))
        if text.count("\n") > (
            TEST_FILE_LINES_MAX if where.startswith("tests/") else FILE_LINES_MAX
        ):
            long.append((where, text.count("\n")))
        for name, lines in functions(ast.parse(text)):
            if lines > FUNCTION_LINES_MAX:
                long.append((f"{where}::{name}", lines))
    over = [f"{where}: {lines} lines" for where, lines in long if where not in LONG_ON_PURPOSE]
    assert not over, (
        f"over {FILE_LINES_MAX} lines a file or {FUNCTION_LINES_MAX} a function: split by meaning, "
        "or give the reason in LONG_ON_PURPOSE:\n" + "\n".join(over)
    )
    forgotten = set(LONG_ON_PURPOSE) - {where for where, _ in long}
    assert not forgotten, f"not long any more, take out of LONG_ON_PURPOSE: {sorted(forgotten)}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = [str(path.relative_to(ROOT)) for path in sources() if path.stem in NO_NAMES]
    named += [str(p.relative_to(ROOT)) for p in (ROOT / "src").rglob("*") if p.name in NO_NAMES]
    assert not named, f"name a module for what it does: {named}"


def test_nothing_is_left_for_later_in_the_code() -> None:
    left = []
    mark = re.compile(r"#.*\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if mark.search(line):
                left.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not left, "do it, or open an issue:\n" + "\n".join(left)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="there is no history to look at")
def test_nothing_is_kept_that_is_to_be_ignored() -> None:
    """What a run leaves behind (stores, logs, figures of a peer) is no part of the project."""
    listing = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    told = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert not told.stdout, f"run: git rm --cached\n{told.stdout}"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_names_no_index_and_hashes_everything(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--|file:|^-e", text, re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert pinned
    for requirement in pinned:
        assert re.match(r"[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?==[\w.+!]+ ", requirement), requirement
        assert " --hash=sha256:" in requirement, requirement
