"""Every metric and every event is in the guide, as the code has it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import get_args

import metric_pages
from firedoor.adapters.otel import lines, spans
from firedoor.compose import observed
from firedoor.events.metrics import TABLE
from firedoor.guards import events as guards_events

ATTRIBUTE = re.compile(r"[a-z]+(\.[a-z_]+)+")


def test_the_guide_lists_every_metric_and_label_as_the_code_has_them() -> None:
    page = metric_pages.PAGE.read_text(encoding="utf-8")
    wrong = "run: python tools/metric_pages.py"
    assert page == metric_pages.with_tables(page), wrong
    assert all(f"| `{metric.name}` |" in page for metric in TABLE), wrong


def test_the_guide_lists_every_attribute_and_event_of_a_span() -> None:
    listed = set(re.findall(r"`([a-z_.]+)`", metric_pages.PAGE.read_text(encoding="utf-8")))
    told: set[str] = set()
    for module in (spans, lines, observed):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        told |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and ATTRIBUTE.fullmatch(node.value)
        }  # fmt: skip
        told |= {
            str(node.args[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Event"
            and isinstance(node.args[0], ast.Constant)
        }  # fmt: skip
    assert {"firedoor.batch", "service.name", "exception.type", "retry"} <= told
    assert told <= listed, sorted(told - listed)


def test_the_guide_lists_every_event_of_a_guard_as_the_code_has_it() -> None:
    page = (metric_pages.PAGE.parent / "guards.md").read_text(encoding="utf-8")
    table = page.partition("\n## What it tells\n")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", table, re.MULTILINE))
    told = {
        (
            event.__name__,
            str(inspect.getdoc(event)).replace("``", "`"),
            ", ".join(f"`{field}`" for field in event._fields),
        )
        for event in get_args(guards_events.Event)
    }
    assert rows == told
