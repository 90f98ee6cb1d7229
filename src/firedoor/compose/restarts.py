"""When a zone's process that died is started again. Pure.

The first time after 0.1 s, then after waits that double up to 5 s; a process that has lived for
10 s has earned a new beginning. Nothing is given up: at eight deaths in a row it is called a crash
loop.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How patient to be."""

    wait_min_s: float = 0.1
    """Wait after the first death."""
    wait_max_s: float = 5.0
    """Longest wait; it doubles up to there."""
    proven_s: float = 10.0
    """A process that lived so long did not die of its start."""
    loop_deaths: int = 8
    """Deaths in a row from which on it is called a crash loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """What is known of a zone's deaths."""

    deaths: int = 0
    """All of them."""
    in_a_row: int = 0
    """Since a process last lived long enough."""
    wait_s: float = 0.0
    """How long to wait before the next start."""


def after_death(state: Restarts, policy: RestartPolicy, *, lived_s: float) -> Restarts:
    """Return the state after a process died that had lived for ``lived_s``."""
    in_a_row = 1 if lived_s >= policy.proven_s else state.in_a_row + 1
    doubled = policy.wait_min_s * 2 ** min(in_a_row - 1, 30)
    return Restarts(
        deaths=state.deaths + 1, in_a_row=in_a_row, wait_s=min(doubled, policy.wait_max_s)
    )


def forgiven(state: Restarts) -> Restarts:
    """Return the state after a person said that the cause is removed."""
    return Restarts(deaths=state.deaths)


def looping(state: Restarts, policy: RestartPolicy) -> bool:
    """Return whether a zone's processes die again and again without getting anywhere."""
    return state.in_a_row >= policy.loop_deaths
