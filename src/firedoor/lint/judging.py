"""All rules on one plan: what they find, what they cannot judge, what is exempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from firedoor.lint import calling, capacity, effects, promises
from firedoor.lint.calls import calls_of
from firedoor.lint.finding import Case, Finding, Rule, Unjudged
from firedoor.lint.load import rates_of
from firedoor.spec.plan import ExemptPlan, Plan

RULES: tuple[Rule, ...] = (
    calling.amplification,
    calling.inversion,
    calling.unfit,
    calling.no_fallback,
    capacity.unbounded,
    capacity.too_deep,
    capacity.saturated,
    promises.above_dependencies,
    promises.single_point,
    promises.circles,
    capacity.cannot_open,
    calling.no_backoff,
    effects.repeated,
    effects.dead_letter_hole,
    capacity.shared,
    promises.stale_fallback,
    promises.unowned,
)
"""By id. FD112, retries within a breaker, cannot happen: the order in a guard is fixed."""
EXEMPTION = "FD100"
EXEMPTION_TITLE = "an exemption that ends"
SOON_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Excused:
    """A finding that does not count, for now."""

    finding: Finding
    by: ExemptPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rules say of a pipeline."""

    findings: tuple[Finding, ...]
    unjudged: tuple[Unjudged, ...]
    excused: tuple[Excused, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop a run."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The others."""
        return tuple(one for one in self.findings if one.severity == "warning")


def judge(plan: Plan, *, today: date, absent: frozenset[str] = frozenset()) -> Judgement:
    """Return what the rules say, errors first, then by rule and zone.

    Args:
        plan: the pipeline.
        today: decides which exemptions hold.
        absent: runbooks that it names and that are not there.
    """
    case = Case(plan=plan, calls=calls_of(plan), rates=rates_of(plan), absent=absent)
    findings: list[Finding] = []
    unjudged: dict[Unjudged, None] = {}
    for rule in RULES:
        for said in rule.check(case):
            if isinstance(said, Finding):
                findings.append(replace(said, rule=rule.id, title=rule.title))
            else:
                unjudged[replace(said, rule=rule.id)] = None
    counting: list[Finding] = []
    excused: list[Excused] = []
    for finding in findings:
        by = _exemption(plan, finding, today)
        if by is None:
            counting.append(finding)
        else:
            excused.append(Excused(finding=finding, by=by))
    counting += _exemptions_told(plan, findings, today)
    return Judgement(
        findings=tuple(sorted(counting, key=lambda one: (one.severity, one.rule))),
        unjudged=tuple(unjudged),
        excused=tuple(excused),
    )


def _exemption(plan: Plan, finding: Finding, today: date) -> ExemptPlan | None:
    """Return the exemption under which a finding falls today."""
    listed = plan.zone(finding.zone).exempt if finding.zone else plan.exempt
    return next((one for one in listed if one.rule == finding.rule and not _over(one, today)), None)


def _exemptions_told(plan: Plan, findings: list[Finding], today: date) -> Iterator[Finding]:
    """Tell exemptions that are over, are over soon, or that nothing falls under."""
    declared = [("", one) for one in plan.exempt]
    declared += [(zone.name, one) for zone in plan.zones for one in zone.exempt]
    for zone, one in declared:
        left = (date.fromisoformat(one.until) - today).days
        used = any(found.rule == one.rule and found.zone == zone for found in findings)
        if not used:
            why, remedy = "nothing falls under it", "take it out"
        elif left < 0:
            why, remedy = f"it ended on {one.until}, and the rule counts again", "mend the cause"
        elif left < SOON_DAYS:
            why, remedy = f"it ends on {one.until}; then the rule counts again", "mend the cause"
        else:
            continue
        yield Finding(
            severity="warning",
            zone=zone,
            about=f"{one.rule} at {zone or plan.pipeline}",
            why=f"{why}; {one.owner} said: {one.reason}",
            remedy=f"{remedy}, or ask {one.owner}",
            rule=EXEMPTION,
            title=EXEMPTION_TITLE,
        )


def _over(one: ExemptPlan, today: date) -> bool:
    """Return whether an exemption has ended."""
    return date.fromisoformat(one.until) < today
