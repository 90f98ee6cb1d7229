"""How long to wait before another worker is started, after so many have died."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class RelapsePolicy:
    """When deaths are a crash loop."""

    free: int = 4
    """Deaths that are mended at once. Range 0 to 100."""
    first_s: float = 0.1
    """Wait after the next one; each further one doubles it. Range 0.01 to 10."""
    brief_s: float = 1.0
    """Longest wait for one that starts quickly. Range 0.1 to 600."""
    starts: float = 2.0
    """Longest wait for one that does not, in times of what a start takes: whoever starts for long
    keeps a processor busy for long. Range 0 to 100."""
    most_s: float = 30.0
    """Longest wait of all. Range 1 to 600."""
    calm_s: float = 60.0
    """Without a death for so long, all is forgotten. Range 1 to 3,600."""


@dataclass(frozen=True, slots=True)
class Relapses:
    """Deaths of one kind of worker, as far as they hang together."""

    count: int = 0
    last_s: float = 0.0


def died(state: Relapses, policy: RelapsePolicy, now_s: float) -> Relapses:
    """Return the state after another death.

    >>> died(Relapses(3, 10.0), RelapsePolicy(), 100.0)
    Relapses(count=1, last_s=100.0)
    """
    calm = now_s - state.last_s > policy.calm_s
    return replace(state, count=1 if calm else state.count + 1, last_s=now_s)


def wait_s(state: Relapses, policy: RelapsePolicy, *, start_s: float = 0.0) -> float:
    """Return the seconds from the last death until the next worker may be started.

    Args:
        state: what has died.
        policy: how long to wait.
        start_s: what the last start took. What ends the deaths may be over at any time, and
            nobody else tells: a wait that is long beside a start is time without an answer.

    >>> [wait_s(Relapses(count), RelapsePolicy()) for count in (4, 5, 6, 20)]
    [0.0, 0.1, 0.2, 1.0]
    >>> [wait_s(Relapses(20), RelapsePolicy(), start_s=start_s) for start_s in (0.5, 5.0, 60.0)]
    [1.0, 10.0, 30.0]
    """
    beyond = state.count - policy.free
    if beyond <= 0:
        return 0.0
    most_s = min(policy.most_s, max(policy.brief_s, policy.starts * start_s))
    return min(most_s, policy.first_s * 2.0 ** min(beyond - 1, 60))


def explained(state: Relapses) -> Relapses:
    """Return the state without one death, of which it is known that it will not happen again."""
    return replace(state, count=max(0, state.count - 1))
