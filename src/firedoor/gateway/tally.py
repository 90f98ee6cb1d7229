"""The counts of a rollout: what became of each arm's own attempts, whole and by slice.

One tally a rollout; a request counts in the tally that it began under, so that nothing of an older
rollout is counted for a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.wire.evidence import ArmName, Counts
from firedoor.wire.route import Cutoffs
from firedoor.wire.serving import FAILURES, Outcome

SLICE_VALUES_MAX = 50
"""Values of one column that are counted by themselves: those met first."""
COUNTED = FAILURES | {Outcome.OK}
"""What is an attempt: all else was refused, or never begun."""
_N, _ERROR, _NON_FINITE, _SLOW95, _SLOW99, _FALLBACK = range(6)
_Cells = dict[ArmName, list[int]]


class Tally:
    """Counts kept in place, because each request touches them."""

    __slots__ = ("_slices", "_values", "_whole", "rollout")

    def __init__(self, rollout: str) -> None:
        """Begin at nothing."""
        self.rollout = rollout
        self._whole: _Cells = {}
        self._slices: dict[str, _Cells] = {}
        self._values: dict[str, int] = {}

    def count(
        self,
        arm: ArmName,
        outcome: Outcome,
        seconds: float,
        *,
        cutoffs: Cutoffs,
        slices: Sequence[str] = (),
        degraded: bool = False,
    ) -> None:
        """Count one attempt, unless it was none.

        ``degraded``: with features worse than live. Failures count as slow where anything does.
        """
        failed = outcome is not Outcome.OK
        if failed and outcome not in COUNTED:
            return
        non_finite = outcome is Outcome.NON_FINITE
        q95_s, q99_s = cutoffs.q95_s, cutoffs.q99_s
        slow95 = q95_s is not None and (failed or seconds > q95_s)
        slow99 = q99_s is not None and (failed or seconds > q99_s)
        cells = [self._whole.get(arm) or self._cell(self._whole, arm)]
        if slices:
            cells += [self._cell(self._slice(name), arm) for name in slices if self._known(name)]
        for cell in cells:
            cell[_N] += 1
            cell[_ERROR] += failed and not non_finite
            cell[_NON_FINITE] += non_finite
            cell[_SLOW95] += slow95
            cell[_SLOW99] += slow99
            cell[_FALLBACK] += degraded

    def well(self, arm: ArmName, seconds: float, cutoffs: Cutoffs) -> None:
        """Count an attempt that was well, of no slice and with live features: what most are."""
        cell = self._whole.get(arm) or self._cell(self._whole, arm)
        cell[_N] += 1
        q95_s, q99_s = cutoffs.q95_s, cutoffs.q99_s
        if q95_s is not None and seconds > q95_s:
            cell[_SLOW95] += 1
        if q99_s is not None and seconds > q99_s:
            cell[_SLOW99] += 1

    def arms(self) -> dict[ArmName, Counts]:
        """Return the counts of each arm."""
        return {arm: Counts(*cell) for arm, cell in self._whole.items()}

    def slices(self) -> dict[str, dict[ArmName, Counts]]:
        """Return the counts of each arm by slice."""
        return {
            name: {arm: Counts(*cell) for arm, cell in cells.items()}
            for name, cells in self._slices.items()
        }

    def _known(self, name: str) -> bool:
        """Return whether a slice is counted, which the first values of a column are."""
        if name in self._slices:
            return True
        column = name.partition("=")[0]
        values = self._values.get(column, 0)
        if values >= SLICE_VALUES_MAX:
            return False
        self._values[column] = values + 1
        return True

    def _slice(self, name: str) -> _Cells:
        """Return the counts of a slice."""
        return self._slices.setdefault(name, {})

    @staticmethod
    def _cell(cells: _Cells, arm: ArmName) -> list[int]:
        """Return the counts of an arm, to be changed."""
        cell = cells.get(arm)
        if cell is None:
            cell = cells[arm] = [0, 0, 0, 0, 0, 0]
        return cell
