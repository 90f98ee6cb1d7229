"""The pages do what they say: fences run, promises have tests, words have a meaning."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import firedoor
import reference
from architecture import pages
from architecture.pages import ROOT

LANGUAGES = {"python", "console", "text"}
MODULES = sorted(m.name for m in pkgutil.walk_packages(firedoor.__path__, "firedoor."))
PAGES = pages.pages()
RUNNING = [p for p in PAGES if {"python", "console"} & {f.language for f in pages.fences(p)}]
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)(?:::(\w+))?`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_a_page_runs_and_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    wrong = pages.run_python(page, tmp_path)
    for fence in pages.fences(page):
        if fence.language == "console" and fence.runs:
            wrong += pages.run_console(fence, tmp_path)
    assert not wrong, f"{name_of(page)}:\n" + "\n\n".join(wrong)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_right(name: str) -> None:
    said: list[str] = []
    test = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(importlib.import_module(name)):
        test.run(example, out=said.append)
    assert not said, "".join(said)


def test_set_up_commands_in_the_docs_name_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?:^|\$ |`)make ([a-z-]+)", text, re.MULTILINE):
            assert target in pages.make_targets(), f"{name_of(page)}: no target make {target}"
        for named in re.findall(r"firedoor\[([\w,]+)\]", text):
            assert set(named.split(",")) <= extras, f"{name_of(page)}: no extra {named}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_only_fences_that_are_checked(page: Path) -> None:
    languages = {fence.language for fence in pages.fences(page)}
    if page.parent == reference.FOLDER:
        languages.discard("pycon")  # written from docstrings, whose examples are run above
    assert languages <= LANGUAGES, f"unknown fences: {languages - LANGUAGES}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_inside_the_docs_leads_somewhere(page: Path) -> None:
    prose = pages.FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", prose):
        assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_the_reference_is_what_the_docstrings_say() -> None:
    told = reference.pages()
    there = {p.name: p.read_text(encoding="utf-8") for p in reference.FOLDER.glob("*.md")}
    assert sorted(told) == sorted(there), "run: make docs"
    stale = [name for name, text in told.items() if there[name] != text]
    assert not stale, f"these pages are not what the docstrings say: {stale}; run: make docs"


def test_every_public_name_is_in_the_reference() -> None:
    told = "\n".join(reference.pages().values())
    missing = [n for n in firedoor.__all__ if n != "__version__" and f"\n## `{n}`\n" not in told]
    assert not missing, f"put them on a page in tools/reference.py: {missing}"


def test_every_code_of_a_dead_row_and_of_a_fault_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "guide" / "dead-letters.md").read_text(encoding="utf-8")
    doc = firedoor.StepAtFault.__doc__ or ""
    faults = re.findall(r"``(\w+)``", doc[doc.index("code:") : doc.index("signature:")])
    assert len(faults) >= 10
    dead = ["schema", "exception", "crash", "hang", "memory", "out_schema", "batch"]
    missing = [code for code in [*dead, *faults] if f"`{code}`" not in guide]
    assert not missing, f"not explained in docs/guide/dead-letters.md: {missing}"
    words = re.findall(r"^\| \*\*([^*]+)\*\* \| .{20,} \|$", glossary, re.MULTILINE)
    assert len(words) == len(re.findall(r"^\| \*\*", glossary, re.MULTILINE))
    assert len(words) == len(set(words)), "a word has one meaning"
    assert words == sorted(words, key=str.casefold)


def test_every_word_that_the_public_names_use_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").casefold()
    for name in ("Wall", "Dead letter", "Step", "Report", "Outcome", "Failure", "Refused"):
        assert f"| **{name}** |".casefold() in glossary, name


def test_every_promise_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = NODE.findall(text)
    assert named
    gone = []
    for file, *path in named:
        names = [part for part in path if part]
        if not (ROOT / file).exists() or not has(ast.parse((ROOT / file).read_text()), names):
            gone.append("::".join([file, *names]))
    assert not gone, f"guarantees.md names tests that are not there: {gone}"
    promised = text.partition("## What is not")[0]
    promises = re.findall(r"^\| (?!Promise|---)(.+?) \|(.+)$", promised, re.MULTILINE)
    unproven = [promise for promise, rest in promises if not NODE.search(rest)]
    assert not unproven, f"promises without a test: {unproven}"


def has(tree: ast.Module, names: list[str]) -> bool:
    """Return whether a test (in a class, perhaps) is defined in a module."""
    body: list[ast.stmt] = tree.body
    for name in names:
        found = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name == name
        ]
        if not found:
            # Hypothesis names a state machine's test by assignment.
            assigned = [ast.unparse(n.targets[0]) for n in body if isinstance(n, ast.Assign)]
            return name in assigned
        body = found[0].body
    return True


def test_the_changelog_has_an_entry_for_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == firedoor.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = dict(
        re.findall(r"^## \[(.+?)\](.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    )
    assert firedoor.__version__ in entries
    kinds = re.findall(r"^### (\w+)$", entries[firedoor.__version__], re.MULTILINE)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Removed", "Fixed", "Deprecated", "Security"}


def test_every_target_of_make_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == pages.make_targets()
    assert {"setup", "run", "test", "check", "sim", "soak", "bench", "docs", "clean"} <= set(
        phony[1].split()
    )


def test_decisions_say_what_was_rejected_and_what_would_change_them() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert records
    assert [int(p.name[:4]) for p in records] == list(range(1, len(records) + 1))
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Choice", "Rejected", "What would change it"], record.name
