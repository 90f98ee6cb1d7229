"""Write the table of metrics into docs/guide/telemetry.md, from the table in the code.

``python tools/metric_pages.py`` writes it; a test refuses a page that says something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from firedoor.events.metrics import (
    GATEWAYS,
    JUDGED,
    LABELS,
    TELEMETRY_DROPPED,
    ZONES,
    Metric,
)

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "telemetry.md"
BEGINS, ENDS = "<!-- metrics: from the code -->", "<!-- metrics end -->"
GROUPS: tuple[tuple[str, Sequence[Metric]], ...] = (
    ("Of zones, and of what services and jobs promise", ZONES),
    ("Of whoever judges objectives", JUDGED),
    ("Of gateways", GATEWAYS),
    ("Of telemetry itself", (TELEMETRY_DROPPED,)),
)


def tables() -> str:
    """Return all tables as Markdown."""
    return "\n".join(_lines())


def with_tables(page: str) -> str:
    """Return a page with its tables written anew."""
    head, _, rest = page.partition(BEGINS)
    _, _, tail = rest.partition(ENDS)
    return f"{head}{BEGINS}\n\n{tables()}\n{ENDS}{tail}"


def _lines() -> Iterator[str]:
    """Yield the lines of the tables."""
    for title, group in GROUPS:
        yield f"**{title}**"
        yield ""
        yield "| Metric | Kind | Unit | Labels | What |"
        yield "|---|---|---|---|---|"
        for metric in group:
            labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
            yield f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |"
        yield ""
    yield "**Labels**"
    yield ""
    yield "| Label | What it may be | Values at most |"
    yield "|---|---|---|"
    for name, (told, most) in LABELS.items():
        yield f"| `{name}` | {told} | {'as declared' if most is None else most} |"
    yield ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"written: {PAGE.name}")


if __name__ == "__main__":
    main()
