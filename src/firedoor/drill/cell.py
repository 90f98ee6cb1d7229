"""A cell of the containment matrix: what a fault in one zone did to another."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from firedoor.drill.counting import worse
from firedoor.drill.judging import Doubt, Finding, judge, share_bad
from firedoor.drill.measured import Measured
from firedoor.drill.planning import Exercise
from firedoor.drill.stage import Seat

Verdict = Literal["kept", "degraded", "expected", "no_evidence", "breach"]
CODES: dict[Verdict, str] = {
    "kept": "K", "degraded": "D", "expected": "E", "no_evidence": "?", "breach": "B",
}  # fmt: skip
"""From the best to the worst."""
ORDER: tuple[Verdict, ...] = tuple(CODES)
WORDS: dict[Verdict, str] = {
    "kept": "what is promised was kept",
    "degraded": "what is promised was kept by something worse: a fallback, an older lookup",
    "expected": "the hypothesis allows it: the faulted zone, or one that may be hurt or starve",
    "no_evidence": "too little was seen to say: it never passes",
    "breach": "hurt by a fault that it should not have felt",
}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one zone in one row. Shares are 0 to 1."""

    zone: str
    verdict: Verdict
    why: str
    """In a sentence."""
    findings: tuple[Finding, ...] = ()
    availability: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    stale_s: int = 0
    """Seconds in which it was not fresh, or silent."""
    degraded: float = 0.0
    """Share of its units that came through by something worse."""
    dead: int = 0
    """Rows that were dead-lettered."""
    waiting_max: int = 0
    hurt_s: float | None = None
    """When it was first seen hurt, after the injection; None: it was not."""
    well_s: float | None = None
    """When it was last seen hurt."""
    spent: float = 0.0
    """Share of the error budget of 30 days."""
    cause: str = ""
    """Whose fault it is, where it is hurt: ``own``, or from whom most is inherited."""
    known: str = ""
    """Who answers for this breach, until when; empty: nobody."""
    seeds: tuple[Verdict, ...] = ()
    """The verdict under each seed, where there are several."""

    @property
    def flaky(self) -> bool:
        """Whether the seeds disagree."""
        return len(set(self.seeds)) > 1

    @property
    def code(self) -> str:
        """Return the letter that stands for it, ``~`` where the seeds disagree."""
        return CODES[self.verdict] + ("~" if self.flaky else "")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one zone in one exercise."""

    before: Measured
    during: Measured
    hurt_s: float | None = None
    well_s: float | None = None
    well: bool = True
    """Whether it had recovered at the end."""


def judge_cell(
    seat: Seat, seen: Seen | None, exercise: Exercise, doubt: Doubt, *, why_void: str = ""
) -> Cell:
    """Return the verdict on one zone.

    Args:
        seat: the zone.
        seen: what was seen of it; None: it never said anything.
        exercise: the fault and its hypothesis.
        doubt: how sure is sure.
        why_void: why the exercise proves nothing; empty: it does.
    """
    if seen is None:
        why = "it says nothing of itself: is it running, and by this version of firedoor?"
        return Cell(zone=seat.name, verdict="no_evidence", why=why)
    findings = judge(
        seat, seen.before, seen.during, doubt,
        lambda indicator, cause: exercise.excuses(seat.name, indicator, cause),
    )  # fmt: skip
    inside = seat.name in exercise.may_hurt
    verdict, why, cause = _decide(seat, seen, findings, inside=inside)
    if why_void:
        verdict, why, cause = "no_evidence", why_void, ""
    during = seen.during
    stale = next(each for each in findings if each.indicator == "freshness")
    available = share_bad(during.availability)
    return Cell(
        zone=seat.name,
        verdict=verdict,
        why=why,
        findings=findings,
        availability=None if available is None else 1.0 - available,
        p95_s=during.slower_than_s(0.95),
        p99_s=during.slower_than_s(0.99),
        stale_s=stale.bad,
        degraded=during.degraded / max(1, during.availability.units),
        dead=during.dead,
        waiting_max=during.waiting_max,
        hurt_s=seen.hurt_s,
        well_s=seen.well_s,
        spent=spent(findings, seen.before),
        cause=cause,
    )


def _decide(
    seat: Seat, seen: Seen, findings: tuple[Finding, ...], *, inside: bool
) -> tuple[Verdict, str, str]:
    """Return verdict, reason and whose fault it is."""
    sick = [each for each in findings if each.judgement == "sick_before"]
    if sick:  # whatever else is so: where promises are missed without a fault, none is proven
        why = "; ".join(tell(each) for each in sick)
        return ("expected" if inside else "no_evidence"), why, ""
    hurt = [each for each in findings if each.judgement == "hurt"]
    if hurt or not seen.well:
        why = "; ".join(tell(each) for each in hurt)
        if not seen.well:
            why = "; ".join(filter(None, (why, "it was not well again in time")))
        return ("expected" if inside else "breach"), why, whose(hurt)
    starved = [each for each in findings if each.judgement == "excused"]
    open_ones = [each for each in findings if _is_open(each, seat)]
    if starved and all(each.judgement == "too_few" for each in open_ones):
        return "expected", "; ".join(tell(each) for each in starved), whose(starved)
    if open_ones:
        why = "; ".join(tell(each) for each in open_ones)
        return ("expected" if inside else "no_evidence"), why, ""
    told = "; ".join(tell(each) for each in findings if each.judgement == "kept")
    if _is_degraded(seen):
        share = seen.during.degraded / max(1, seen.during.availability.units)
        return "degraded", f"{share * 100:.3g} % came through by something worse; {told}", ""
    return "kept", told, ""


def _is_open(finding: Finding, seat: Seat) -> bool:
    """Return whether a promise could not be judged that has to be.

    Where nothing at all is promised, what came through is compared with before. What else is not
    promised counts where it shows that the zone was hurt, and is left out otherwise.
    """
    if finding.judgement in {"kept", "hurt", "excused"}:
        return False
    if finding.budget is not None:
        return True
    return not seat.promises and finding.indicator == "availability"


def _is_degraded(seen: Seen) -> bool:
    """Return whether more came through by something worse than before."""
    now, then = seen.during, seen.before
    units, units_before = now.availability.units, then.availability.units
    bad, bad_before = min(now.degraded, units), min(then.degraded, units_before)
    return bad > 0 and (not bad_before or worse(bad, units, bad_before, units_before) < 0.01)  # noqa: PLR2004


def whose(findings: list[Finding]) -> str:
    """Return whose fault most of it is: ``own``, or the name of who it is inherited from."""
    by: dict[str, int] = {}
    for finding in findings:
        if finding.own:
            by["own"] = by.get("own", 0) + finding.own
        for cause, count in finding.inherited.items():
            by[cause] = by.get(cause, 0) + count
    return max(by, key=lambda cause: by[cause], default="")


def spent(findings: tuple[Finding, ...], before: Measured) -> float:
    """Return the largest share of a budget of 30 days that was spent, at the pace of before."""
    shares = [0.0]
    for finding in findings:
        units_before = before.of(finding.indicator).units
        if not finding.budget or not units_before or not before.seconds:
            continue
        month = units_before / before.seconds * MONTH_S
        shares.append(finding.bad / (finding.budget * month))
    return max(shares)


def missed(seat: Seat, before: Measured, doubt: Doubt) -> str:
    """Return what a zone misses while nothing is injected, in words; empty: nothing."""
    sick = [
        each
        for each in judge(seat, before, before, doubt, lambda *_: False)
        if each.judgement == "sick_before"
    ]
    told = "; ".join(tell(replace(each, judgement="hurt")) for each in sick)
    return f"{seat.name} misses what it promises ({told})" if told else ""


MONTH_S = 30 * 86_400.0


def tell(finding: Finding) -> str:
    """Return one finding in words."""
    unit = "s" if finding.unit == "seconds" else finding.unit
    what = {"availability": "lost", "latency": "late", "freshness": "not fresh"}[finding.indicator]
    counts = f"{finding.bad:,} of {finding.units:,} {unit} {what}"
    if finding.bad and finding.units:
        counts += f" ({finding.bad / finding.units * 100:.3g} %)"
    may = "" if finding.budget is None else f", {finding.budget * 100:.4g} % may be"
    match finding.judgement:
        case "kept":
            return f"{counts}{may}"
        case "hurt":
            return f"{counts}{may}: {_from_whom(finding)}"
        case "excused":
            return f"{counts}: {_from_whom(finding)}, as expected"
        case "doubtful":
            return f"{counts}{may}: too many to be kept, too few to be sure; drill longer"
        case "too_few":
            return f"{counts}: too few to judge; give it more load, or drill longer"
        case "sick_before":
            return (
                f"{finding.indicator} was missed before anything was injected, so that no fault "
                "is to blame: is the machine too busy to judge on?"
            )


def _from_whom(finding: Finding) -> str:
    """Return whose fault bad units are."""
    parts = []
    own = finding.own - finding.silent
    if own:
        parts.append(f"{own:,} its own")
    if finding.silent:
        parts.append(f"{finding.silent:,} in which it said nothing")
    parts += [
        f"{count:,} inherited from {cause}"
        for cause, count in sorted(finding.inherited.items(), key=lambda pair: -pair[1])
    ]
    return ", ".join(parts) or "nobody's"
