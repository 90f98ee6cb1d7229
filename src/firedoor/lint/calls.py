"""Who calls whom, read from the names of guards: ``enrich->weather`` is a hop.

A hop begins at the zone that declares it, unless its caller is what another guard calls: then it
goes on from there. So ``enrich->weather`` and ``weather->stations`` are a path of two hops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from firedoor.spec.plan import DependencyPlan, GuardPlan, Plan, ZonePlan

ARROW = "->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One guard, as one zone declares it."""

    zone: str
    caller: str
    callee: str
    declared: DependencyPlan

    @property
    def guard(self) -> GuardPlan:
        """Its numbers."""
        return self.declared.guard

    @property
    def direct(self) -> bool:
        """Whether the zone itself makes the call."""
        return self.caller == self.zone


@dataclass(frozen=True, slots=True)
class Calls:
    """All hops of a pipeline."""

    hops: tuple[Hop, ...]

    def of(self, caller: str) -> tuple[Hop, ...]:
        """Return the hops that begin at a zone or service, each guard once."""
        found = {hop.guard.name: hop for hop in reversed(self.hops) if hop.caller == caller}
        return tuple(reversed(found.values()))

    def by_callee(self) -> dict[str, list[Hop]]:
        """Return the hops by whom they call."""
        found: dict[str, list[Hop]] = {}
        for hop in self.hops:
            found.setdefault(hop.callee, []).append(hop)
        return found

    def behind(self, start: str, *, hard: bool = False) -> dict[str, Hop]:
        """Return who is called from a zone or service, directly or not, with the hop to it.

        ``hard``: only through guards without a fallback.
        """
        found: dict[str, Hop] = {}
        left = [start]
        while left:
            for hop in self.of(left.pop()):
                if hop.callee not in found and not (hard and hop.guard.fallback):
                    found[hop.callee] = hop
                    left.append(hop.callee)
        return found

    def worst(self, start: str) -> tuple[int, tuple[Hop, ...]]:
        """Return the most attempts that one call from ``start`` can become, and by which path.

        That is the product of attempts along the worst path. A circle is cut where it closes.
        """
        known: dict[str, tuple[int, tuple[Hop, ...]]] = {}

        def from_(node: str, passed: frozenset[str]) -> tuple[int, tuple[Hop, ...]]:
            if node in known:
                return known[node]
            best: tuple[int, tuple[Hop, ...]] = (1, ())
            for hop in self.of(node):
                if hop.callee in passed:
                    continue
                rest, path = from_(hop.callee, passed | {hop.callee})
                attempts = hop.guard.attempts * rest
                if attempts > best[0] or not best[1]:
                    best = (attempts, (hop, *path))
            known[node] = best
            return best

        return from_(start, frozenset({start}))


def calls_of(plan: Plan) -> Calls:
    """Return who calls whom in a pipeline."""
    named = [(zone, one, *_ends(zone, one)) for zone in plan.zones for one in zone.depends]
    called = {callee for _, _, _, callee in named}
    return Calls(
        tuple(
            Hop(
                zone=zone.name,
                caller=caller if caller in called else zone.name,
                callee=callee,
                declared=one,
            )
            for zone, one, caller, callee in named
        )
    )


def groups(nodes: Iterable[str], after: Callable[[str], Iterable[str]]) -> Iterator[list[str]]:
    """Yield the nodes that lie on circles together, circle by circle."""
    listed = list(nodes)
    reach = {node: reachable([node], after) for node in listed}
    told: set[str] = set()
    for node in listed:
        if node in told or node not in reach[node]:
            continue
        together = [other for other in listed if other in reach[node] and node in reach[other]]
        told.update(together)
        yield together


def reachable(
    starts: Iterable[str], after: Callable[[str], Iterable[str]], *, without: str = ""
) -> set[str]:
    """Return what can be reached by one step or more, never through ``without``."""
    found: set[str] = set()
    left = [start for start in starts if start != without]
    while left:
        new = {node for node in after(left.pop()) if node not in found and node != without}
        found |= new
        left.extend(new)
    return found


def readers_of(plan: Plan) -> Mapping[str, list[str]]:
    """Return by zone the zones that read it."""
    found: dict[str, list[str]] = {zone.name: [] for zone in plan.zones}
    for edge in plan.edges:
        found[edge.publisher].append(edge.reader)
    return found


def _ends(zone: ZonePlan, one: DependencyPlan) -> tuple[str, str]:
    """Return who calls, and who is called."""
    caller, arrow, callee = one.guard.name.partition(ARROW)
    if not arrow or not caller.strip() or not callee.strip():
        return zone.name, one.guard.name.strip()
    return caller.strip(), callee.strip()
