"""Rules about how much there is room for: queues, workers, breakers, shared limits."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.lint.calling import SAY_CALLS, calls_at_peak
from firedoor.lint.finding import Case, Finding, Said, Unjudged, rule
from firedoor.lint.load import longest_wait_s, most_waiting, workers_of
from firedoor.spec.plan import ZonePlan
from firedoor.units import format_bytes

BUSY_WARNING, BUSY_ERROR = 0.7, 0.9
OUTAGE_S = 600.0
"""Longest outage at the peak that may pass before a breaker opens."""
INBOX_MIN_BYTES = 8 * 2**20


@rule("FD105", "unbounded buffer")
def unbounded(case: Case) -> Iterator[Said]:
    """Look for an inbox without a bound.

    Error: an edge has no bound in bytes. ``fd.Edge`` and ``inbox=`` refuse that where it is
    declared; the rule is there for plans that were made otherwise.
    """
    for edge in case.plan.edges:
        if edge.bytes_max <= 0:
            yield Finding(
                severity="error",
                zone=edge.reader,
                about=edge.name,
                why=f"its inbox is bounded by {edge.bytes_max} bytes, which is no bound",
                remedy='write inbox="256MiB"',
            )


@rule("FD106", "queue deeper than the objective")
def too_deep(case: Case) -> Iterator[Said]:
    """Work out how long the last batch of a full inbox waits, by Little's law.

    The wait is batches x seconds a batch / workers. It is too long if it is more than
    ``freshness_s``, or more than ``latency_p99_s`` less the time of the batch itself.
    Error: ``when_full="shed"``, since rows are kept that will be late, where newer ones could have
    been in time. Warning: otherwise, since the backlog only waits elsewhere.
    Needs: ``slo`` with one of the two, ``batch_s``, ``batch_bytes``.
    """
    for zone in case.steps:
        limit, named = _wait_limit(zone)
        batch_s, batch_bytes = zone.load.batch_s, zone.load.batch_bytes
        if limit is None:
            yield Unjudged(zone=zone.name, why="no latency or freshness is promised (slo=)")
            continue
        if batch_s is None or batch_bytes is None:
            what = "batch_s" if batch_s is None else "batch_bytes"
            yield Unjudged(zone=zone.name, why=f"no {what}= is declared")
            continue
        edges, workers = case.plan.inboxes(zone.name), workers_of(zone)
        room = sum(edge.bytes_max for edge in edges)
        waiting = room / batch_bytes
        wait_s = longest_wait_s(waiting, batch_s, workers)
        if round(wait_s - limit, 9) <= 0:
            continue
        useful = most_waiting(limit, batch_s, workers)
        size = useful * batch_bytes / len(edges)
        less = f'write inbox="{format_bytes(size).replace(" ", "")}" at most'
        yield Finding(
            severity="error" if any(edge.when_full == "shed" for edge in edges) else "warning",
            zone=zone.name,
            about=", ".join(edge.name for edge in edges),
            why=f"{format_bytes(room)} hold {waiting:,.0f} batches, the last of which waits "
            f"{wait_s:g} s at {batch_s:g} s a batch and {say_workers(workers)}; {named} leaves "
            f"{limit:g} s, which is {useful:,} batches",
            remedy=f"{less if size >= INBOX_MIN_BYTES else 'promise less'}, or give it more "
            "workers",
        )


@rule("FD107", "saturation")
def saturated(case: Case) -> Iterator[Said]:
    """Work out how busy a zone is at the peak: batches a second x seconds a batch / workers.

    Error: 0.9 or more; from there on waits grow without end. Warning: 0.7 or more; or less, but
    0.9 or more if each batch took all attempts of the guard that it calls.
    Needs: ``peak`` (or ``rate``) of the sources, ``batch_s``.
    """
    for zone in case.steps:
        rate, batch_s, workers = case.rates[zone.name], zone.load.batch_s, workers_of(zone)
        if rate.batches_s is None or batch_s is None:
            missing = rate.missing if rate.batches_s is None else "no batch_s= is declared"
            yield Unjudged(zone=zone.name, why=missing)
            continue
        busy = round(rate.batches_s * batch_s / workers, 9)
        attempts = max((hop.guard.attempts for hop in case.calls.of(zone.name)), default=1)
        if busy < BUSY_WARNING and (attempts == 1 or round(busy * attempts, 9) < BUSY_ERROR):
            continue
        retried = f", and {busy * attempts:.0%} while {attempts} attempts are made"
        retried *= attempts > 1
        yield Finding(
            severity="error" if busy >= BUSY_ERROR else "warning",
            zone=zone.name,
            about=zone.name,
            why=f"at the peak {rate.batches_s:g} batches a second of {batch_s:g} s each are "
            f"{busy:.0%} of what {say_workers(workers)} can do{retried}",
            remedy=f"write workers={_workers_for(busy * workers, attempts)}, or make batches "
            "cheaper",
        )


@rule("FD111", "a breaker that cannot open")
def cannot_open(case: Case) -> Iterator[Said]:
    """Compare the calls in a breaker's window at the peak with those that it needs to judge.

    Warning: the window never holds ``calls_min``, so only bad calls in a row can open it, and a
    dependency that fails half of the time never does; or the window is shorter than the timeout.
    Error: then also 10 minutes pass at the peak before enough calls in a row were bad.
    Needs: ``peak`` (or ``rate``), ``calls``.
    """
    for hop in case.calls.hops:
        breaker, timeout_s = hop.guard.breaker, hop.guard.timeout_s
        if breaker is None:
            continue
        if timeout_s is not None and breaker.window_s < timeout_s:
            yield Finding(
                severity="warning",
                zone=hop.zone,
                about=hop.guard.name,
                why=f"its window of {breaker.window_s:g} s is shorter than one call may take, "
                f"{timeout_s:g} s: what hangs is never seen together",
                remedy="write breaker=fd.BreakerPolicy(window_s="
                f"{breaker.calls_min * timeout_s:g})",
            )
        calls_s = calls_at_peak(case, hop)
        if calls_s is None:
            missing = case.rates[hop.zone].missing or f"{hop.guard.name} {SAY_CALLS}"
            if not hop.direct:
                missing = f"how often {hop.caller} calls {hop.callee} cannot be declared"
            yield Unjudged(zone=hop.zone, why=missing)
            continue
        held = round(calls_s * breaker.window_s, 9)
        if held >= breaker.calls_min:
            continue
        in_row_s = breaker.consecutive / calls_s
        opens_s = min(in_row_s, max(breaker.row_s, in_row_s / 2))
        yield Finding(
            severity="error" if opens_s > OUTAGE_S else "warning",
            zone=hop.zone,
            about=hop.guard.name,
            why=f"{breaker.window_s:g} s hold {held:.3g} calls at the peak, and it judges from "
            f"{breaker.calls_min} on; enough bad ones in a row take {opens_s:.3g} s",
            remedy="write breaker=fd.BreakerPolicy(window_s=..., calls_min=..., consecutive=...) "
            f"for {calls_s:.3g} calls a second",
        )


@rule("FD116", "a shared bulkhead")
def shared(case: Case) -> Iterator[Said]:
    """Add up what several processes may ask of one dependency.

    Warning: a guard has a ``limit`` or a ``rate``, and more than one process calls through it, or
    through another one to the same dependency. A guard's state is one process's: each of them may
    make as many calls.
    Needs: ``depends``; ``workers`` of the zones.
    """
    for callee, hops in case.calls.by_callee().items():
        direct = [hop for hop in hops if hop.direct]
        for name, unit in (("limit", "calls at once"), ("rate", "calls a second")):
            bounded = [hop for hop in direct if getattr(hop.guard, name) is not None]
            workers = [workers_of(case.plan.zone(hop.zone)) for hop in bounded]
            if sum(workers) <= 1:
                continue
            each = [float(getattr(hop.guard, name)) for hop in bounded]
            total = sum(n * most for n, most in zip(workers, each, strict=True))
            worked = " + ".join(
                f"{n} x {most:g} ({hop.zone})"
                for n, most, hop in zip(workers, each, bounded, strict=True)
            )
            yield Finding(
                severity="warning",
                zone=bounded[-1].zone,
                about=callee,
                why=f"{name}= holds for one process: together they may make {worked} = {total:g} "
                f"{unit}",
                remedy=f"divide {name}= among them, or exempt it if {callee} can bear {total:g}",
            )


def _workers_for(work: float, attempts: int) -> int:
    """Return the workers that are well below the bounds with so much work a second."""
    return 1 + int(max(work / BUSY_WARNING, work * attempts / BUSY_ERROR))


def say_workers(workers: int) -> str:
    """Return a number of workers in words."""
    return "1 worker" if workers == 1 else f"{workers} workers"


def _wait_limit(zone: ZonePlan) -> tuple[float | None, str]:
    """Return how long a batch may wait for a zone, and which promise says so."""
    limits = []
    if "freshness_s" in zone.slo:
        limits.append((zone.slo["freshness_s"], f"freshness_s={zone.slo['freshness_s']:g}"))
    if "latency_p99_s" in zone.slo:
        promised = zone.slo["latency_p99_s"]
        own_s = zone.load.batch_s or 0.0
        limits.append((promised - own_s, f"latency_p99_s={promised:g}"))
    return min(limits) if limits else (None, "")
