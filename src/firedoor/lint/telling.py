"""What the rules say, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.lint.finding import Finding
from firedoor.lint.judging import Judgement
from firedoor.spec.plan import Plan

_MARGIN = " " * 10


def lines_of(plan: Plan, finding: Finding) -> Iterator[str]:
    """Yield a finding: what, where, why, and what to do."""
    where = place_of(plan, finding.zone)
    aside = f" ({where[0]}:{where[1]})" if where else ""
    yield f"{finding.severity:<8}  {finding.rule}  {finding.title}: {finding.about}{aside}"
    yield f"{_MARGIN}why: {finding.why}"
    yield f"{_MARGIN}do:  {finding.remedy}"


def asides(judgement: Judgement) -> Iterator[str]:
    """Yield what is exempt, and what could not be judged, a line a rule and reason."""
    for one in judgement.excused:
        found, by = one.finding, one.by
        yield (
            f"exempt    {found.rule}  {found.title}: {found.about}; until {by.until}, "
            f"{by.owner}: {by.reason}"
        )
    grouped: dict[tuple[str, str], list[str]] = {}
    for said in judgement.unjudged:
        grouped.setdefault((said.rule, said.why), []).append(said.zone)
    for (rule, why), zones in sorted(grouped.items()):
        yield f"unjudged  {rule}  {why}: {', '.join(dict.fromkeys(zones))}"


def place_of(plan: Plan, zone: str) -> tuple[str, int] | None:
    """Return file and line of a zone's step, or of its declaration; of the pipeline: line 1."""
    if not zone:
        return plan.file, 1
    found = plan.zone(zone)
    where = found.step.where if found.step is not None and found.step.where else found.where
    file, _, line = where.rpartition(":")
    return (file, int(line)) if file and line.isdigit() else None
