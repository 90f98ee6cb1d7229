"""What to do with a batch that was delivered before and never finished.

| Earlier deliveries | Now |
|---|---|
| none, or all given back on purpose | process |
| this runner still holds it | nothing: it only came again |
| one ended with its runner | process, and count it |
| ``alone_after`` or more did | process with nothing else in flight, so that guilt is certain |
| ``deaths_max`` did | halt: whatever is in the batch ends the runner |

A delivery that was given back on purpose (a halt, a pause, a drain, a dependency that is away) is
marked with its number, so that the next one counts for nobody. After a halt the batch may be tried
again when a person says so; it is then alone from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RUNNER = "runner"
CODE = "runner_dies"

Action = Literal["process", "alone", "halt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsPolicy:
    """How often a batch may take its runner along."""

    alone_after: int = 2
    """Deaths of a runner after which a batch is processed alone. At least 1."""
    deaths_max: int = 8
    """Deaths of a runner after which the zone halts. More than ``alone_after``."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do, and the attempts by cause to note before it; None: nothing to note."""

    action: Action
    counts: dict[str, int] | None = None
    deaths: int = 0
    """Runners that ended with the batch in hand."""


def judge(
    deliveries: int, counts: Mapping[str, int], returned: int, policy: AttemptsPolicy
) -> Judgement:
    """Return what to do with a delivery.

    Args:
        deliveries: how often the batch was delivered, this time included; from 1.
        counts: attempts that came to nothing, by cause, as they are noted.
        returned: number of the latest delivery that was given back on purpose; 0: none.
        policy: the bounds.
    """
    known = counts.get(RUNNER, 0)
    if deliveries <= 1 or returned == deliveries - 1:
        return Judgement("alone" if known >= policy.alone_after else "process", deaths=known)
    deaths = known + 1
    if deaths >= policy.deaths_max:
        return Judgement("halt", {**counts, RUNNER: policy.alone_after}, deaths)
    action: Action = "alone" if deaths >= policy.alone_after else "process"
    return Judgement(action, {**counts, RUNNER: deaths}, deaths)


def count(counts: Mapping[str, int], cause: str) -> dict[str, int]:
    """Return the counts with one more run that came to nothing."""
    return {**counts, cause: counts.get(cause, 0) + 1}
