"""Read the fences of a Markdown page, and run them. The convention is in CONTRIBUTING.md."""

from __future__ import annotations

import doctest
import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# (?P<name>[\w/]+\.\w+)\n")
SETUP = re.compile(r"(?:make|pip install|git clone|cd) ")
CUT = "-- next fence --"
PAGE_TIMEOUT_S = 100


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block of a page."""

    language: str
    requires: tuple[str, ...]
    body: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file that the fence is, as its first line says."""
        named = FILE.match(self.body)
        return named["name"] if named and self.language in {"python", "csv", "json"} else None

    @property
    def runs(self) -> bool:
        """Whether what the fence requires is installed."""
        return all(importlib.util.find_spec(module) for module in self.requires)


def pages() -> list[Path]:
    """Return every page that a reader may open."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(found)


def fences(page: Path) -> list[Fence]:
    """Return the fences of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, *options = match["info"].split() or [""]
        requires = [o.removeprefix("requires=") for o in options if o.startswith("requires=")]
        body = re.sub(f"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Fence(language, tuple(requires), body, line))
    return found


def pairs(page: Path) -> list[tuple[Fence, str | None]]:
    """Return each fence that does something, with the output that the page promises for it."""
    found: list[tuple[Fence, str | None]] = []
    for fence in fences(page):
        if fence.language != "text":
            found.append((fence, None))
        elif found and found[-1][0].language == "python" and found[-1][0].file is None:
            found[-1] = (found[-1][0], fence.body)
    return found


def run_python(page: Path, folder: Path) -> list[str]:
    """Run a page's Python as one script in ``folder``; return what differs from the page."""
    script: list[tuple[Fence, str | None]] = []
    for fence, expected in pairs(page):
        if not fence.runs:
            continue
        if fence.file is not None:
            target = folder / fence.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fence.body, encoding="utf-8")
        elif fence.language == "python":
            script.append((fence, expected))
    if not script:
        return []
    source = f"\nprint({CUT!r}, flush=True)\n".join(fence.body for fence, _ in script)
    (folder / "page.py").write_text(source, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "page.py"],
        cwd=folder, capture_output=True, text=True, timeout=PAGE_TIMEOUT_S, check=False,
    )  # fmt: skip
    if ended.returncode:
        return [f"{page.name}: its Python ended with {ended.returncode}:\n{ended.stderr[-3000:]}"]
    shown = ended.stdout.split(CUT + "\n")
    assert len(shown) == len(script)
    return [
        f"{page.name}:{fence.line} shows\n{expected}\nbut it printed\n{output}"
        for (fence, expected), output in zip(script, shown, strict=True)
        if expected is not None and not agrees(expected, output)
    ]


def run_console(fence: Fence, folder: Path) -> list[str]:
    """Run the ``$`` commands of a fence in ``folder``; return what differs from the page."""
    wrong = []
    for command, expected in commands(fence):
        if SETUP.match(command):
            continue
        ended = subprocess.run(
            ["/bin/bash", "-c", command], cwd=folder, env=_environment(folder),
            capture_output=True, text=True, timeout=PAGE_TIMEOUT_S, check=False,
        )  # fmt: skip
        if ended.returncode:
            wrong.append(f"{command}: ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        elif expected and not agrees(expected, ended.stdout):
            wrong.append(f"{command}: shown is\n{expected}\nbut it printed\n{ended.stdout}")
    return wrong


def commands(fence: Fence) -> list[tuple[str, str]]:
    """Return each command of a console fence with the output shown below it."""
    pieces = re.split(r"^\$ ", fence.body, flags=re.MULTILINE)[1:]
    cut = [piece.partition("\n") for piece in pieces]
    return [(command, expected) for command, _, expected in cut]


def agrees(expected: str, output: str) -> bool:
    """Return whether output is as expected; ``...`` in the page stands for anything."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, output, flags)


def make_targets() -> set[str]:
    """Return the targets that ``make`` lists."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a reader's shell: this interpreter's programs first."""
    bin_folder = Path(sys.executable).parent
    return {"PATH": f"{bin_folder}:/usr/bin:/bin", "HOME": str(folder), "COLUMNS": "120"}
