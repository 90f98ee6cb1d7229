"""Whether a candidate is worse for some of the subjects only, and who they are.

Each value of a declared column is a test of its own. Decisions fall at every look and are not
taken back, so the chance of *any* wrong one is what has to be bounded, over all looks: Bonferroni
over the 50 values a column that are counted at most. (e-BH, Wang and Ramdas 2022, bounds the share
of wrong ones among several found at one time that was chosen beforehand; one bad slice, the usual
case, needs as much there.) That is paid in logarithms: with the half that goes to the loss, some
80 % more requests of the slice, not 100 times as many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from firedoor.eprocess import Logs, add_gains, bad_grid, log_e, log_mean, ratio_gains
from firedoor.rollout.counts import Paired, Part

VALUES_MAX = 50
"""Of a column, that are counted."""
HELD_MAX = 3
"""Slices that stay with the champion at most: if more are worse, it is the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What was seen of one value of a column."""

    logs: Logs = ()
    """Evidence that more of its requests fail."""
    paired: Paired = field(default_factory=Paired)
    candidate: tuple[int, int] = (0, 0)
    """Requests, and how many failed."""
    baseline: tuple[int, int] = (0, 0)

    def log_bad(self, labels_min: int) -> float:
        """Return the log of the evidence that the candidate is worse here."""
        loss = log_mean(self.paired.worse) if self.paired.n >= labels_min else 0.0
        return log_mean((log_e(self.logs), loss))


def most(alpha: float) -> float:
    """Return what a look adds to the evidence against a slice at most: half of what is needed."""
    return math.log(2 * VALUES_MAX / alpha) / 2


def observe(
    found: dict[str, Slice], parts: dict[str, Part], ratio_good: float, *, most: float
) -> dict[str, Slice]:
    """Return the slices after a look, which adds ``most`` to each one's evidence at most."""
    if not parts:
        return found
    after = dict(found)
    for name, part in parts.items():
        if name not in after and _values(after, name) >= VALUES_MAX:
            continue
        one = after.get(name, Slice())
        n_c, x_c = part.candidate.n, part.candidate.failed
        n_b, x_b = part.baseline.n, part.baseline.failed
        gains = ratio_gains(bad_grid(ratio_good), ratio_good, (n_c, x_c), (n_b, x_b))
        after[name] = Slice(
            logs=add_gains(one.logs, tuple([min(gain, most) for gain in gains])),
            paired=one.paired.plus(part.paired),
            candidate=(one.candidate[0] + n_c, one.candidate[1] + x_c),
            baseline=(one.baseline[0] + n_b, one.baseline[1] + x_b),
        )
    return after


def without_counts(found: dict[str, Slice]) -> dict[str, Slice]:
    """Return slices of which only what labels said is kept."""
    return {name: Slice(paired=one.paired) for name, one in found.items() if one.paired.n}


def find_bad(found: dict[str, Slice], *, alpha: float, columns: int, labels_min: int) -> str | None:
    """Return the slice that speaks most against the candidate, if it is enough."""
    needed = math.log(VALUES_MAX * max(1, columns) / alpha)
    return _worst(found, needed, labels_min)


def find_culprit(
    found: dict[str, Slice], *, alpha: float, ratio_good: float, labels_min: int
) -> str | None:
    """Return the slice that explains why a candidate is worse on the whole, if one does.

    It does if by itself it is worse, and what is left without it has not half the evidence.
    """
    name = _worst(found, -math.log(alpha), labels_min)
    if name is None:
        return None
    column = name.partition("=")[0] + "="
    others = [one for other, one in found.items() if other != name and other.startswith(column)]
    n_c, x_c = (sum(one.candidate[part] for one in others) for part in (0, 1))
    n_b, x_b = (sum(one.baseline[part] for one in others) for part in (0, 1))
    if not n_c or not n_b:
        return None
    rest = ratio_gains(bad_grid(ratio_good), ratio_good, (n_c, x_c), (n_b, x_b))
    return name if log_e(rest) < -math.log(alpha) / 2 else None


def _worst(found: dict[str, Slice], needed: float, labels_min: int) -> str | None:
    """Return the slice with the most evidence against the candidate, if it is so much."""
    worst = max(found, key=lambda name: found[name].log_bad(labels_min), default=None)
    if worst is None or found[worst].log_bad(labels_min) < needed:
        return None
    return worst


def _values(found: dict[str, Slice], name: str) -> int:
    """Return how many values of its column are counted already."""
    column = name.partition("=")[0] + "="
    return sum(other.startswith(column) for other in found)
