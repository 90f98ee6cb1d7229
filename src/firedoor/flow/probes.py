"""When a zone that something is the matter with tries again.

A probe is one batch, due 2 s after the trouble; each that fails doubles the wait up to 60 s. Where
a dependency is away, it is due after 1 s, half as much more each time, 4 s at most, or when the
dependency asks for it: what is waited for comes back by itself, and a batch is little to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePolicy:
    """When to probe."""

    probe_min_s: float = 2.0
    """Wait before the first probe."""
    probe_max_s: float = 60.0
    """Longest wait between probes; it doubles up to there."""
    quick_min_s: float = 1.0
    """Wait before the first probe of a dependency, and ``quick_growth`` its factor after each."""
    quick_growth: float = 1.5
    quick_max_s: float = 4.0
    asked_max_s: float = 300.0
    """Longest wait that a dependency may ask for."""
    relapse_s: float = 60.0
    """A trouble that comes back within this time after a probe passed is the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What halts or pauses a zone."""

    word: Literal["halted", "paused"]
    code: str
    why: str
    probes: bool = False
    """Whether trying again may help without anybody doing anything."""
    quick: bool = False
    """Whether a dependency is away: it is tried sooner, by one process for all of the zone's."""
    retry_after_s: float | None = None
    """When the dependency asks to be tried again."""
    fault: str = ""
    """Id of the fault that a drill injected, and that it came of: it ends with it."""

    @property
    def rank(self) -> int:
        """How grave: a halt outranks a pause, and of either what only a person ends."""
        return 2 * (self.word == "halted") + (not self.probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """When to try again, and how long the latest wait was."""

    due_s: float
    wait_s: float


def first_s(trouble: Trouble, policy: ZonePolicy) -> float:
    """Return the wait before the first probe of a trouble."""
    if trouble.retry_after_s is not None:
        return min(trouble.retry_after_s, policy.asked_max_s)
    return policy.quick_min_s if trouble.quick else policy.probe_min_s


def longer_s(wait_s: float, trouble: Trouble, policy: ZonePolicy) -> float:
    """Return the wait before a further probe, after one of ``wait_s``."""
    if trouble.retry_after_s is not None:
        return min(trouble.retry_after_s, policy.asked_max_s)
    if trouble.quick:
        longer_s = max(wait_s * policy.quick_growth, policy.quick_min_s)
        return min(longer_s, policy.quick_max_s)
    return min(max(wait_s * 2, policy.probe_min_s), policy.probe_max_s)
