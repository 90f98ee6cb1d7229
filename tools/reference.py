"""Write docs/reference from the docstrings, the dataclasses and the tree of errors.

`make docs` runs this; a test runs it too and refuses pages that differ from what it would write.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import check_pages
import firedoor
import guard_pages
from api import documented_attributes, functions_of, public_members
from firedoor import errors
from firedoor.spec.dataset import DatasetOptions
from firedoor.spec.evaluation import EvaluationOptions
from firedoor.spec.job import JobOptions
from firedoor.spec.service import ServiceOptions
from firedoor.spec.wall import WallOptions
from guard_pages import field_notes

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
PAGES = {
    "wall.md": ("The wall", ("Wall", "Outcome", "drop")),
    "dead-letters.md": ("Dead letters", ("DeadLetters",)),
    "pipelines.md": (
        "Pipelines",
        (
            "Pipeline",
            "Edge",
            "Shed",
            "Older",
            "Sample",
            "Slower",
            "Quality",
            "SLO",
            "Dependency",
            "Exempt",
            "Features",
            "lookup",
            "model",
            "jsonl",
            "csv",
            "parquet",
            "frames",
        ),
    ),
    "models.md": ("Models", ("Models",)),
    "report.md": ("The report", ("WallReport", "Lost", "Failure")),
    "guards.md": (
        "Guards",
        (
            "Guard",
            "deadline",
            "priority",
            "remaining_s",
            "outgoing_headers",
            "incoming",
            "BreakerPolicy",
            "RetryPolicy",
            "BudgetPolicy",
            "LimitPolicy",
            "BulkheadPolicy",
            "SheddingPolicy",
            "RatePolicy",
            "Stale",
            "Previous",
            "Constant",
            "Function",
            "Answer",
            "Explanation",
        ),
    ),
}
WRITTEN = "*Written by `make docs` from the docstrings. Do not edit.*"


def pages() -> dict[str, str]:
    """Return every page of the reference by its file name."""
    told = {file: _page(title, names) for file, (title, names) in PAGES.items()}
    told["options.md"] = _options()
    told["jobs.md"] = _jobs()
    told["datasets.md"] = _datasets()
    told["evaluations.md"] = _evaluations()
    told["services.md"] = _services()
    told["errors.md"] = _errors()
    told["guard-behaviour.md"] = guard_pages.page(WRITTEN)
    told["checks.md"] = check_pages.page(WRITTEN)
    told["README.md"] = _index(told)
    return told


def _page(title: str, names: tuple[str, ...]) -> str:
    """Return a page about some public names."""
    parts = [f"# {title}", WRITTEN]
    for name in names:
        parts += list(_entry(name, getattr(firedoor, name)))
    return "\n\n".join(parts) + "\n"


def _entry(name: str, value: object) -> Iterator[str]:
    """Describe one public name and its members."""
    if not isinstance(value, type) and not callable(value):
        yield f"## `{name}`"
        yield _prose(value)
        return
    if not isinstance(value, type):
        yield f"## `{name}`"
        yield f"```text\n{name}{_signature(value)}\n```"
        yield _prose(value)
        return
    yield f"## `{name}`"
    yield _prose(value)
    if dataclasses.is_dataclass(value):
        undocumented = not documented_attributes(value)
        if undocumented:
            yield _table(value)
    elif "__init__" in vars(value):
        yield f"```text\n{name}{_signature(vars(value)['__init__'])}\n```"
    for member_name, member in public_members(value).items():
        if isinstance(member, property):
            yield f"### `{name}.{member_name}`"
            yield _prose(member.fget)
        else:
            awaited = "await " if inspect.iscoroutinefunction(member) else ""
            yield f"### `{awaited}{_call(name, member_name)}{_signature(member)}`"
            yield _prose(member)


def _call(name: str, member: str) -> str:
    """Return how a method is written by the user."""
    return name.lower() if member == "__call__" else f"{name}.{member}"


def _signature(function: object) -> str:
    """Return a signature without ``self``, and without module names before the types."""
    assert callable(function)
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    text = str(signature.replace(parameters=parameters)).replace("'", "")
    return re.sub(r"\b(?:firedoor|collections|typing|types)(?:\.\w+)*\.", "", text)


def _prose(value: object) -> str:
    """Return a Google-style docstring as Markdown."""
    doc = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    doc = doc.replace("``", "`")
    out: list[str] = []
    section = False
    for line in doc.splitlines():
        heading = re.fullmatch(r"(Args|Attributes|Raises|Returns|Yields):", line)
        if heading:
            section = True
            out += [f"**{heading[1]}**", ""]
        elif section and re.match(r"    \S", line):
            out.append("* " + re.sub(r"^(\w+(?:, \w+)*): ", r"`\1`: ", line.strip()))
        elif section and line.startswith("        "):
            out.append("  " + line.strip())
        else:
            section = section and not line
            out.append(line)
    return _fenced("\n".join(out)).strip()


def _fenced(text: str) -> str:
    """Put examples into fences, so that they are shown, and run, as such."""
    return re.sub(
        r"(?:^>>> .*\n?(?:^(?!\n).+\n?)*)", lambda m: f"```pycon\n{m[0].strip()}\n```", text,
        flags=re.MULTILINE,
    )  # fmt: skip


def _table(kind: type) -> str:
    """Return the fields of a dataclass as a table."""
    notes = field_notes(kind)
    rows = ["| Field | Type | Meaning |", "|---|---|---|"]
    for field in dataclasses.fields(kind):
        declared = str(field.type).replace("|", "\\|")
        rows.append(f"| `{field.name}` | `{declared}` | {notes.get(field.name, '')} |")
    return "\n".join(rows)


def _options() -> str:
    """Return the options of a wall as a table."""
    notes = field_notes(WallOptions)
    rows = ["| Option | Default | Meaning |", "|---|---|---|"]
    rows += [
        f"| `{field.name}` | `{field.default!r}` | {notes[field.name]} |"
        for field in dataclasses.fields(WallOptions)
    ]
    said = (
        "Keyword arguments of `fd.Wall`. A wrong one is refused when the wall is made, before "
        "anything runs."
    )
    return "\n\n".join(["# Options of a wall", WRITTEN, said, "\n".join(rows)]) + "\n"


def _jobs() -> str:
    """Return the page about jobs: what is declared, what the function is given."""
    told = "Keyword arguments of `Pipeline.job` beside `reads`, `trigger` and `name`."
    page = _page("Jobs", ("Run", "manual", "every", "on"))
    return _with_options(page, "## Options of a job", told, JobOptions)


def _datasets() -> str:
    """Return the page about datasets: how rows are parted, what parts must not share."""
    told = "Keyword arguments of `Pipeline.dataset` beside `reads` and `split`."
    page = _page("Datasets", ("ByTime", "ByKey", "LeakPolicy"))
    return _with_options(page, "## Options of a dataset", told, DatasetOptions)


def _evaluations() -> str:
    """Return the page about evaluations: rules, and what is declared besides."""
    told = "Keyword arguments of `Pipeline.evaluation` beside those that it names."
    page = _page("Evaluations", ("rules",))
    parts = [page.strip()]
    for name, function in functions_of(firedoor.rules).items():
        parts += [f"### `rules.{name}{_signature(function)}`", _prose(function)]
    page = "\n\n".join(parts)
    return _with_options(page, "## Options of an evaluation", told, EvaluationOptions)


def _services() -> str:
    """Return the page about services: what answers where the model cannot, how versions change."""
    told = "Keyword arguments of `Pipeline.service` beside those that it names."
    page = _page("Services", ("Fallback", "RolloutPolicy"))
    return _with_options(page, "## Options of a service", told, ServiceOptions)


def _with_options(page: str, heading: str, told: str, options: type) -> str:
    """Return a page with the keyword arguments of a declaration as a table."""
    notes = field_notes(options)
    rows = ["| Option | Type | Meaning |", "|---|---|---|"]
    for field, annotation in options.__annotations__.items():
        declared = str(annotation.__forward_arg__).replace("|", "\\|")
        rows.append(f"| `{field}` | `{declared}` | {notes[field]} |")
    return "\n\n".join([page.strip(), heading, told, "\n".join(rows)]) + "\n"


def _errors() -> str:
    """Return the tree of errors and each error's fields."""
    tree = inspect.cleandoc(errors.__doc__ or "").partition("\n\n")[2].strip()
    drawing, _, after = tree.partition("\n\n")
    parts = ["# Errors", WRITTEN, f"```text\n{drawing}\n```", after]
    for name in firedoor.__all__:
        value = getattr(firedoor, name)
        if isinstance(value, type) and issubclass(value, Exception):
            parts += [f"## `{name}`", _prose(value)]
    return "\n\n".join(parts) + "\n"


def _index(told: dict[str, str]) -> str:
    """Return the first page, with the titles of the others."""
    rows = [f"* [{text.splitlines()[0][2:]}]({file})" for file, text in sorted(told.items())]
    return "\n\n".join(["# Reference", WRITTEN, "\n".join(rows)]) + "\n"


def main() -> None:
    """Write the pages, and remove what is no page any more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    told = pages()
    for file in FOLDER.glob("*.md"):
        if file.name not in told:
            file.unlink()
    for file_name, text in told.items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")
    print(f"written: {len(told)} pages in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
