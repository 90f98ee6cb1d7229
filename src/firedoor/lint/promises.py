"""Rules about what zones promise, on whom they hang, and who looks after them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from firedoor.lint.calls import groups, reachable, readers_of
from firedoor.lint.finding import Case, Finding, Said, Unjudged, rule

TOGETHER = 2


@rule("FD108", "objective above its dependencies")
def above_dependencies(case: Case) -> Iterator[Said]:
    """Multiply the availability of everything that a zone cannot do without.

    Error: the zone promises more. A dependency that is called in two ways counts once, and one
    behind a guard with a ``fallback`` does not count. Zones before it do not either: what they
    cause is told as inherited.
    Needs: ``slo`` with an availability, and ``availability`` of the dependencies.
    """
    for zone in case.steps:
        hard = case.calls.behind(zone.name, hard=True)
        promised = zone.slo.get("availability")
        if promised is None or not hard:
            continue
        known = {name: hop.declared.availability for name, hop in hard.items()}
        missing = [name for name, share in known.items() if share is None]
        shares = {name: share for name, share in known.items() if share is not None}
        product = math.prod(shares.values())
        if round(promised - product, 12) > 0:
            factors = " x ".join(f"{share:g} ({name})" for name, share in shares.items())
            total = f" = {product:.6g}" if len(shares) > 1 else ""
            yield Finding(
                severity="error",
                zone=zone.name,
                about=zone.name,
                why=f"it promises {promised:g} and hangs on {factors}{total}",
                remedy=f"promise at most {product:.6g}, or write a fallback= at the guard",
            )
        elif missing:
            yield Unjudged(
                zone=zone.name,
                why=f"no availability= is declared of {', '.join(missing)} (fd.Dependency)",
            )


@rule("FD109", "single point of failure")
def single_point(case: Case) -> Iterator[Said]:
    """Look for what everything hangs on.

    Warning: a dependency that two zones or more call without a fallback; or zones without which
    two or more sinks that promise something get no rows. Sources are left out.
    Needs: ``depends``; ``slo`` at the sinks.
    """
    hanging: dict[str, list[str]] = {}
    for zone in case.steps:
        for callee in case.calls.behind(zone.name, hard=True):
            hanging.setdefault(callee, []).append(zone.name)
    for callee, zones in hanging.items():
        if len(zones) >= TOGETHER:
            yield Finding(
                severity="warning",
                zone=zones[-1],
                about=callee,
                why=f"{', '.join(zones)} call it without a fallback: while it is away, "
                f"{len(zones)} of {len(case.plan.zones)} zones stand still",
                remedy="write a fallback= at the guards of those that can do without it",
            )
    yield from _on_every_way(case)


@rule("FD110", "cyclic coupling")
def circles(case: Case) -> Iterator[Said]:
    """Look for circles.

    Error: guards call in a circle, ``a->b`` and ``b->a``: each waits for the other. Warning: a
    sink writes to what a zone before it reads, so that the pipeline feeds itself. Edges between
    zones cannot form a circle: a zone is declared after those that it reads.
    Needs: ``depends``.
    """
    calls, readers = case.calls, readers_of(case.plan)
    called = {hop.caller: None for hop in calls.hops} | {hop.callee: None for hop in calls.hops}
    for group in groups(called, lambda node: [hop.callee for hop in calls.of(node)]):
        hop = next(hop for hop in calls.hops if hop.caller in group and hop.callee in group)
        yield Finding(
            severity="error",
            zone=hop.zone,
            about=" -> ".join([*group, group[0]]),
            why="they call each other in a circle: when one is slow, each waits for itself",
            remedy="take one of the calls out: hand its result over as data, or read it from a "
            "lookup",
        )
    sinks = {zone.name for zone in case.plan.zones if zone.kind == "sink"}
    fed: dict[str, list[str]] = {name: list(after) for name, after in readers.items()}
    for hop in calls.hops:
        if hop.direct:
            start, end = (hop.zone, hop.callee) if hop.zone in sinks else (hop.callee, hop.zone)
            fed.setdefault(start, []).append(end)
    for group in groups(fed, lambda node: fed.get(node, ())):
        writers = [name for name in group if name in sinks]
        stores = [name for name in group if name not in readers]
        if writers and stores:
            taking = [name for name in group if name in readers and name not in sinks]
            yield Finding(
                severity="warning",
                zone=writers[0],
                about=" -> ".join([*writers, *stores, *taking]),
                why=f"{writers[0]} writes to {stores[0]}, which {taking[0]} reads before it: an "
                "error feeds itself",
                remedy="read a version from before (a lookup), or exempt it if it is meant",
            )


@rule("FD117", "a fallback that is too old")
def stale_fallback(case: Case) -> Iterator[Said]:
    """Compare the age of fallback answers with the freshness that a zone promises.

    Warning: a rung may answer with something older than ``freshness_s``. Error: a rung calls,
    through a guard, what it stands in for.
    Needs: ``slo`` with ``freshness_s``.
    """
    guards = {hop.guard.name: hop for hop in case.calls.hops}
    for hop in case.calls.hops:
        fresh_s = case.plan.zone(hop.zone).slo.get("freshness_s")
        for rung in hop.guard.fallback:
            around = guards.get(rung.guard)
            end = rung.guard.rpartition("->")[2].strip() if around is None else around.callee
            if rung.guard and (end == hop.callee or hop.callee in case.calls.behind(end)):
                yield Finding(
                    severity="error",
                    zone=hop.zone,
                    about=hop.guard.name,
                    why=f"its fallback calls {hop.callee}, through guard {rung.guard!r}: it is "
                    "away just when it is needed",
                    remedy="fall back on something that does not depend on it",
                )
            if rung.age_max_s is None:
                continue
            if fresh_s is None:
                yield Unjudged(zone=hop.zone, why="no freshness_s is promised (slo=)")
            elif rung.age_max_s > fresh_s:
                yield Finding(
                    severity="warning",
                    zone=hop.zone,
                    about=hop.guard.name,
                    why=f"its fallback answers with what is up to {rung.age_max_s:g} s old, and "
                    f"the zone promises freshness_s={fresh_s:g}",
                    remedy=f"write age_max_s={fresh_s:g}, or promise less",
                )


@rule("FD118", "unowned or unobserved")
def unowned(case: Case) -> Iterator[Said]:
    """Look for zones that nobody looks after.

    Error: a zone that promises something (``slo``), so that somebody is paged, has no ``owner``,
    no ``runbook``, or a runbook that is not there. Warning: a zone that promises nothing has no
    owner, or a runbook that is not there. Whether a zone is alive is always watched.
    Needs: ``slo``: a zone that promises nothing cannot be seen to fail.
    """
    nobody = [z.name for z in case.plan.zones if not z.owner and not z.slo]
    if nobody:
        yield Finding(
            severity="warning",
            zone="",
            about=", ".join(nobody),
            why="nobody owns them, so nobody is told",
            remedy=f'write fd.Pipeline("{case.plan.pipeline}", owner="...")',
        )
    for zone in case.plan.zones:
        wrong = []
        if zone.slo and not zone.owner:
            wrong.append(("it has no owner", "write owner= at the zone or the pipeline"))
        if zone.runbook in case.absent:
            wrong.append((f"its runbook {zone.runbook} is not there", "write it, or correct it"))
        elif zone.slo and not zone.runbook:
            named = ", ".join(zone.slo)
            remedy = "write runbook= at the zone or the pipeline: a URL, or a path"
            wrong.append((f"it promises {named}, and a page would have no runbook", remedy))
        for why, remedy in wrong:
            yield Finding(
                severity="error" if zone.slo else "warning",
                zone=zone.name,
                about=zone.name,
                why=why,
                remedy=remedy,
            )
        if not zone.slo:
            yield Unjudged(zone=zone.name, why="nothing is promised (slo=)")


def _on_every_way(case: Case) -> Iterator[Finding]:
    """Tell zones without which several sinks that promise something get no rows."""
    readers = readers_of(case.plan)
    sources = [zone.name for zone in case.plan.zones if zone.kind == "source"]
    promising = {zone.name for zone in case.plan.zones if zone.kind == "sink" and zone.slo}

    def after(node: str) -> Iterable[str]:
        return readers[node]

    by_sinks: dict[tuple[str, ...], list[str]] = {}
    for zone in case.plan.zones:
        if zone.kind == "transform":
            cut = promising - reachable(sources, after, without=zone.name)
            if len(cut) >= TOGETHER:
                by_sinks.setdefault(tuple(sorted(cut)), []).append(zone.name)
    for sinks, zones in by_sinks.items():
        yield Finding(
            severity="warning",
            zone=zones[-1],
            about=", ".join(zones),
            why=f"every row of {' and '.join(sinks)} passes through {'each' * (len(zones) > 1)}"
            f"{'it' * (len(zones) == 1)}, and a zone is one process",
            remedy="give one of the sinks a way of its own, or exempt it: what waits is kept",
        )
