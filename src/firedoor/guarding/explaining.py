"""Read the state of a guard into an explanation."""

from __future__ import annotations

from firedoor.guarding.edge import WINDOW_S, Edge
from firedoor.guards.breaker import BreakerPolicy
from firedoor.guards.explain import Asker, BadCall, Explanation, Totals, reason


def explain(edge: Edge) -> Explanation:
    """Return why a guard does what it does."""
    now_s = edge.clock()
    window, good_now, good, bad, neutral = edge.read(now_s)
    counts = window.counts(good_now)
    breaker, slots = edge.breaker, edge.slots
    policy: BreakerPolicy | None = edge.policies.breaker
    state, why, next_probe_s, by = reason(breaker, edge.why, now_s)
    return Explanation(
        guard=edge.name,
        state=state,
        why=why,
        next_probe_s=next_probe_s,
        by=by,
        calls=counts.calls,
        bad=counts.bad,
        slow=counts.slow,
        consecutive=counts.consecutive,
        window_s=WINDOW_S if policy is None else policy.window_s,
        last_bad=tuple(BadCall(cause, max(0.0, now_s - at_s)) for cause, at_s in edge.last_bad),
        asked=tuple(Asker(caller, refused) for caller, refused in edge.askers.told()),
        flapping=breaker is not None and breaker.flapping,
        totals=Totals(
            good=good,
            bad=bad,
            neutral=neutral,
            refused=edge.turned.total()
            + edge.askers.total()
            + (0 if slots is None else slots.refused),
            retries=edge.retries,
            degraded=edge.degraded,
        ),
        limit=None if slots is None else slots.size,
        inflight=None if slots is None else slots.inflight,
        waiting=0 if slots is None else slots.waiting,
        retry_tokens=None if edge.policies.retry is None else edge.tokens,
        listener_error=edge.listener_error,
    )
