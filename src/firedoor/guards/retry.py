"""Whether to try again, and when: few attempts, full jitter, and only for failures that pass.

| Failure | Again |
|---|---|
| ``transient``, ``timeout`` | after a wait drawn from 0 to ``wait_min_s`` x 2, 4, ... |
| ``overload`` | the same, but not before ``Retry-After`` is over |
| ``permanent``, ``data``, a refusal | never |
| in a call that an outer layer makes again | never: only the outermost layer retries |

Source: Brooker, "Exponential backoff and jitter" (AWS, 2015): full jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firedoor.bounds import ordered, within
from firedoor.guards.classify import ErrorClass

PASSES: frozenset[ErrorClass] = frozenset({"transient", "overload", "timeout"})
"""Classes of failure that may pass by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to try, and how long to wait in between. Only for calls that may be repeated."""

    attempts: int = 3
    """Attempts in all, the first included. 1 to 100."""
    wait_min_s: float = 0.1
    """Longest first wait; each is drawn evenly from 0 to its longest. 0 to 3,600."""
    wait_max_s: float = 5.0
    """Longest wait, to which it doubles; a longer ``Retry-After`` ends the call. 0 to 3,600."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("attempts", self.attempts, 1, 100, "attempts", whole=True)
        within("wait_min_s", self.wait_min_s, 0, 3_600, "seconds")
        within("wait_max_s", self.wait_max_s, 0, 3_600, "seconds")
        ordered("wait_min_s", self.wait_min_s, "wait_max_s", self.wait_max_s)


class Again(NamedTuple):
    """Try again after so long."""

    wait_s: float


class Stop(NamedTuple):
    """Let the caller have the failure; ``told``: its kind would have allowed another attempt."""

    why: str
    told: bool = False


def judge(
    attempt: int,
    kind: ErrorClass,
    policy: RetryPolicy,
    *,
    retry_after_s: float | None = None,
    remaining_s: float | None = None,
    outer_retries: bool = False,
    chance: float,
) -> Again | Stop:
    """Return whether to try again after a failed attempt.

    Args:
        attempt: number of the attempt that failed, from 1.
        kind: class of its failure.
        policy: what was declared.
        retry_after_s: what the dependency asked for, if it did.
        remaining_s: what the deadline leaves, if there is one.
        outer_retries: whether a layer further out makes the whole call again.
        chance: drawn evenly from 0 to 1.
    """
    if kind not in PASSES:
        return Stop(f"a {kind} failure does not pass")
    if outer_retries:
        return Stop("a layer further out tries again", told=True)
    if attempt >= policy.attempts:
        return Stop(f"{attempt} of {policy.attempts} attempts were made", told=True)
    wait_s = chance * min(policy.wait_max_s, policy.wait_min_s * 2 ** (attempt - 1))
    if retry_after_s is not None:
        if retry_after_s > policy.wait_max_s:
            return Stop(f"it asks for {retry_after_s:.1f} s without calls", told=True)
        wait_s = max(wait_s, retry_after_s)
    if remaining_s is not None and wait_s >= remaining_s:
        return Stop("the deadline comes before the next attempt", told=True)
    return Again(wait_s)
