"""Rules about calls out of a zone: attempts, timeouts, waits, fallbacks."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.lint.calls import Hop
from firedoor.lint.finding import Case, Finding, Said, Unjudged, rule
from firedoor.lint.load import timeout_of
from firedoor.spec.plan import GuardPlan

ATTEMPTS_ERROR = 10
ATTEMPTS_WARNING = 4
SAY_TIMEOUT = "no timeout_s is declared at guard"
SAY_CALLS = "is declared without calls= (fd.Dependency)"


@rule("FD101", "retry amplification")
def amplification(case: Case) -> Iterator[Said]:
    """Multiply the attempts of all guards along a path of calls.

    Error: 10 or more. Warning: 4 or more.
    Why: what fails at the end of the path is called so often for one call at its beginning, while
    it fails. Guards retry only where they are outermost, and that travels with
    ``fd.outgoing_headers()``; the product is what happens where a service does not take it over.
    Needs: ``depends``.
    """
    for zone in case.steps:
        attempts, path = case.calls.worst(zone.name)
        if attempts < ATTEMPTS_WARNING:
            continue
        product = " x ".join(str(hop.guard.attempts) for hop in path)
        worked = f"{product} = {attempts}" if len(path) > 1 else f"{attempts}"
        yield Finding(
            severity="error" if attempts >= ATTEMPTS_ERROR else "warning",
            zone=zone.name,
            about=" -> ".join([zone.name, *(hop.callee for hop in path)]),
            why=f"one call can become {worked} at {path[-1].callee}, just while it fails",
            remedy="keep retry= at the outermost guard alone, or ask for fewer attempts",
        )


@rule("FD102", "deadline inversion")
def inversion(case: Case) -> Iterator[Said]:
    """Compare the time that a caller has with the timeout of what it calls.

    Error: the callee's timeout is as long as the caller's, or longer. The caller of a first hop
    is the wall, with its ``timeout_s`` for a batch: it ends the worker, and what was a slow
    dependency looks like rows that hang. Warning: a guard that a step calls has no timeout.
    Needs: ``depends``, and ``timeout_s`` of the guards.
    """
    for hop, time_s, whose in _limits(case):
        timeout_s = hop.guard.timeout_s
        if timeout_s is None and hop.direct and time_s is not None:
            yield Finding(
                severity="warning",
                zone=hop.zone,
                about=hop.guard.name,
                why="it has no timeout, so a call that hangs is ended with its worker, by "
                f"{whose} after {time_s:g} s, and rows are blamed",
                remedy=f"write timeout_s= at the guard, less than {time_s:g}, and hand "
                "fd.remaining_s() to the transport",
            )
        elif timeout_s is None or time_s is None:
            name = hop.guard.name if timeout_s is None else _before(case, hop)
            yield Unjudged(zone=hop.zone, why=f"{SAY_TIMEOUT} {name}")
        elif time_s <= timeout_s:
            yield Finding(
                severity="error",
                zone=hop.zone,
                about=hop.guard.name,
                why=f"one attempt may take {timeout_s:g} s, and {whose} ends after {time_s:g} s",
                remedy=f"give the guard less than {time_s:g} s, or the caller more than "
                f"{timeout_s:g}",
            )


@rule("FD103", "retries that do not fit")
def unfit(case: Case) -> Iterator[Said]:
    """Compare the time that a caller has with all attempts of what it calls, and their waits.

    Error: attempts x timeout + the longest waits between them are more than the caller has: the
    last attempts are cut off, and their work is for nothing.
    Needs: ``depends``, and ``timeout_s`` of guards that retry. One call is counted, however many
    a batch makes.
    """
    for hop, time_s, whose in _limits(case):
        guard = hop.guard
        if guard.attempts == 1:
            continue
        if guard.timeout_s is None or time_s is None:
            name = guard.name if guard.timeout_s is None else _before(case, hop)
            yield Unjudged(zone=hop.zone, why=f"{SAY_TIMEOUT} {name}")
            continue
        waits_s = backoff_max_s(guard)
        needed_s = guard.attempts * guard.timeout_s + waits_s
        if guard.timeout_s < time_s < needed_s:
            yield Finding(
                severity="error",
                zone=hop.zone,
                about=guard.name,
                why=f"{guard.attempts} attempts of {guard.timeout_s:g} s and {waits_s:g} s of "
                f"waits take up to {needed_s:g} s, and {whose} ends after {time_s:g} s",
                remedy=f"give the caller {needed_s:g} s, or the guard fewer or shorter attempts",
            )


@rule("FD104", "no fallback")
def no_fallback(case: Case) -> Iterator[Said]:
    """Look for calls that a transform cannot do without.

    Error: a guard of ``priority="critical"`` has no ``fallback``. Warning: a zone promises
    latency or freshness, and a guard that it calls has none: while the dependency is away the
    zone stands still. A sink is not judged by it, for nothing can answer in place of a write.
    Needs: ``depends``.
    """
    for zone in case.steps:
        promised = [name for name in ("latency_p99_s", "freshness_s") if name in zone.slo]
        if zone.kind == "sink":
            continue
        for hop in case.calls.of(zone.name):
            critical = hop.guard.priority == "critical"
            if hop.guard.fallback or not (critical or promised):
                continue
            what = (
                "its calls are critical"
                if critical
                else f"the zone promises {promised[0]}={zone.slo[promised[0]]:g}"
            )
            yield Finding(
                severity="error" if critical else "warning",
                zone=zone.name,
                about=hop.guard.name,
                why=f"{what}, and nothing answers while {hop.callee} is away: the zone waits",
                remedy="write fallback=[fd.Stale(...), fd.Constant(...)] at the guard, or exempt "
                "it and say who accepts that",
            )


@rule("FD113", "no backoff")
def no_backoff(case: Case) -> Iterator[Said]:
    """Look for retries without a wait between them.

    Warning: a guard retries, and its waits are 0. Error: at the peak that is also more than the
    declared ``rate`` of the dependency. Waits always have full jitter, so that cannot be missing.
    Needs: ``depends``; for the error ``peak``, ``calls`` and ``rate``.
    """
    for hop in case.calls.hops:
        guard = hop.guard
        if guard.attempts == 1 or guard.wait_min_s > 0:
            continue
        calls_s = calls_at_peak(case, hop)
        worst_s = None if calls_s is None else calls_s * guard.attempts
        over = worst_s is not None and guard.rate is not None and worst_s > guard.rate
        figures = f": {worst_s:g} calls a second where it takes {guard.rate:g}" if over else ""
        yield Finding(
            severity="error" if over else "warning",
            zone=hop.zone,
            about=guard.name,
            why=f"{guard.attempts} attempts follow each other without a wait, when {hop.callee} "
            f"can bear it least{figures}",
            remedy="write retry=fd.RetryPolicy(attempts=..., wait_min_s=0.1)",
        )


def backoff_max_s(guard: GuardPlan) -> float:
    """Return the longest waits of a call between its attempts, together.

    >>> backoff_max_s(GuardPlan(name="a->b", attempts=4, wait_min_s=0.1, wait_max_s=0.3))
    0.6
    """
    waits = (guard.wait_min_s * float(1 << min(n, 30)) for n in range(guard.attempts - 1))
    return round(sum(min(guard.wait_max_s, wait_s) for wait_s in waits), 9)


def calls_at_peak(case: Case, hop: Hop) -> float | None:
    """Return the calls a second at the peak; None: it is not declared."""
    batches_s = case.rates[hop.zone].batches_s
    if batches_s is None or hop.declared.calls is None or not hop.direct:
        return None
    return batches_s * hop.declared.calls


def _limits(case: Case) -> Iterator[tuple[Hop, float | None, str]]:
    """Yield each hop with the time that its caller has (None: no timeout), and who ends it."""
    for hop in case.calls.hops:
        if hop.direct:
            yield hop, timeout_of(case.plan.zone(hop.zone)), f"the wall of {hop.zone}"
            continue
        before = [other for other in case.calls.hops if other.callee == hop.caller]
        times = [other.guard.timeout_s for other in before if other.guard.timeout_s is not None]
        tightest = min(times) if len(times) == len(before) else None
        yield hop, tightest, f"the attempt that waits for {hop.caller}"


def _before(case: Case, hop: Hop) -> str:
    """Return the name of the guard without a timeout that calls the caller of a hop."""
    return next(
        other.guard.name
        for other in case.calls.hops
        if other.callee == hop.caller and other.guard.timeout_s is None
    )
