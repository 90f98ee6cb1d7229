"""The page about the rules of `firedoor check`, made from the functions that judge.

`make docs` writes it with the rest of `docs/reference/`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from firedoor.lint import fmea
from firedoor.lint.finding import Rule
from firedoor.lint.judging import EXEMPTION, EXEMPTION_TITLE, RULES, SOON_DAYS
from firedoor.lint.sarif import OTHERS
from firedoor.spec.upkeep import SourceUpkeep, StepUpkeep, ZoneUpkeep
from guard_pages import field_notes

PART = re.compile(r"(?:^|(?<=[.:] ))(Error|Warning|Why|Needs): ")
ABOVE = (
    "How to use them, and how to be exempt from one, is in [Check](../guide/check.md). An *error* "
    "stops `firedoor run`; a *warning* does not. A rule that lacks a number to judge by says so "
    "(`unjudged`) and stops nothing: it is no pass."
)
DECLARED: tuple[tuple[str, type], ...] = (
    ("every zone", ZoneUpkeep),
    ("sources", SourceUpkeep),
    ("transforms, and sinks that are functions", StepUpkeep),
)


def page(written: str) -> str:
    """Return the page."""
    parts = ["# The rules of `firedoor check`", written, ABOVE, _index()]
    for rule in RULES:
        parts += list(_rule(rule))
    parts += list(_others())
    parts += ["## What to declare for them", _declared()]
    parts += ["## Failure modes", _text(inspect.cleandoc(fmea.__doc__ or ""))]
    return "\n\n".join(parts) + "\n"


def _index() -> str:
    """Return the rules in a table."""
    rows = ["| Rule | Finds | Severity |", "|---|---|---|"]
    for rule in RULES:
        kinds = [kind.lower() for kind in ("Error", "Warning") if f"{kind}: " in rule.doc]
        anchor = f"{rule.id.lower()}-{re.sub('[^a-z0-9 -]', '', rule.title).replace(' ', '-')}"
        rows.append(f"| [{rule.id}](#{anchor}) | {rule.title} | {' or '.join(kinds)} |")
    return "\n".join(rows)


def _rule(rule: Rule) -> Iterator[str]:
    """Describe one rule, each part of its docstring as a point."""
    first, _, rest = rule.doc.partition("\n\n")
    yield f"## {rule.id}: {rule.title}"
    yield _text(first)
    lead, *parts = PART.split(" ".join(rest.split()))
    if lead.strip():
        yield _text(lead.strip())
    pairs = zip(parts[::2], parts[1::2], strict=True)
    yield "\n".join(f"* **{name}**: {_text(said.strip())}" for name, said in pairs)


def _others() -> Iterator[str]:
    """Describe what is told beside the rules."""
    yield "## Other findings"
    rows = ["| Id | What | Severity |", "|---|---|---|"]
    for id_, title, _ in OTHERS:
        kind = "warning" if id_ == EXEMPTION else "error"
        rows.append(f"| {id_} | {title} | {kind} |")
    yield "\n".join(rows)
    yield (
        f"{EXEMPTION}, {EXEMPTION_TITLE}, is told from {SOON_DAYS} days before the end on, and "
        "where nothing falls under it. FD112, retries inside a breaker, cannot be broken: the "
        "[order](guard-behaviour.md#order) in a guard is fixed."
    )


def _declared() -> str:
    """Return the arguments that only the rules use, in a table."""
    rows = ["| Argument | Of | Meaning |", "|---|---|---|"]
    for who, kind in DECLARED:
        rows += [f"| `{name}` | {who} | {note} |" for name, note in field_notes(kind).items()]
    return "\n".join(rows)


def _text(doc: str) -> str:
    """Return a docstring as Markdown."""
    return doc.replace("``", "`")
