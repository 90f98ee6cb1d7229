"""Predictions that both versions made, and what their labels say of them.

Bounded: the 200,000 latest requests, of each the first output of its first 1,000 rows. A label for
one that was forgotten is ``unknown``, never guessed.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from firedoor.gateway.services import Label, Labelled
from firedoor.rollout import betting
from firedoor.spec.service_plan import Loss
from firedoor.wire.evidence import Pairs

PREDICTIONS_MAX = 200_000
PAIR_BYTES_MAX = 256 * 2**20
"""Of all of them together, about."""
ROWS_MAX = 1_000
SLICES_MAX = 500
_ENTRY_BYTES = 400


class Pair(NamedTuple):
    """What both versions said to one request: float64 a row, little-endian."""

    candidate: bytes
    champion: bytes
    slices: tuple[str, ...]


class Sums:
    """Sums over pairs, which gateways add up."""

    __slots__ = ("_bad", "_good", "_loss", "_n")

    def __init__(self) -> None:
        """Begin at nothing."""
        self._n, self._loss = 0, 0.0
        self._bad = [0.0] * len(betting.STAKES)
        self._good = [0.0] * len(betting.STAKES)

    def add(self, d: float, *, margin: float, bound: float) -> None:
        """Add one pair whose losses differ by ``d``."""
        self._n += 1
        self._loss += d / bound
        bad = betting.log_wealth(d, margin=margin, bound=bound)
        good = betting.log_wealth_good(d, margin=margin, bound=bound)
        self._bad = [x + y for x, y in zip(self._bad, bad, strict=True)]
        self._good = [x + y for x, y in zip(self._good, good, strict=True)]

    def told(self) -> Pairs:
        """Return the sums so far."""
        if not self._n:
            return Pairs()
        return Pairs(
            n=self._n,
            loss_sum=self._loss,
            log_wealth=tuple(self._bad),
            log_wealth_good=tuple(self._good),
        )


class Pairing:
    """The memory of one rollout."""

    __slots__ = ("_bound", "_bytes", "_loss", "_margin", "_once", "_pairs", "_slices", "_sums",
                 "disagree_n", "disagree_sum")  # fmt: skip

    def __init__(self, loss: Loss, *, margin: float, loss_max: float | None) -> None:
        """Begin empty.

        Args:
            loss: of one prediction; empty: labels are not asked for.
            margin: by how much the candidate's mean may be higher.
            loss_max: the largest loss; None: as ``rollout.betting`` has it.
        """
        self._loss, self._margin = loss, margin
        self._bound = betting.loss_bound(loss, loss_max) if loss else 1.0
        self._pairs: OrderedDict[str, Pair] = OrderedDict()
        self._once: OrderedDict[str, set[int]] = OrderedDict()
        self._bytes = 0
        self._sums, self._slices = Sums(), dict[str, Sums]()
        self.disagree_sum, self.disagree_n = 0.0, 0

    def __len__(self) -> int:
        """Return how many predictions are remembered."""
        return len(self._pairs)

    def compared(
        self, prediction: str, candidate: bytes, champion: bytes, slices: tuple[str, ...] = ()
    ) -> None:
        """Take what both versions said to one request."""
        if len(candidate) != len(champion) or not candidate:
            return
        first, second = candidate[: 8 * ROWS_MAX], champion[: 8 * ROWS_MAX]
        off = [abs(a - b) for a, b in zip(unpack(first), unpack(second), strict=True)]
        self.disagree_sum += math.fsum(off) / len(off)
        self.disagree_n += 1
        if not self._loss:
            return
        self._pairs[prediction] = Pair(first, second, slices)
        self._bytes += _ENTRY_BYTES + 2 * len(first)
        while len(self._pairs) > PREDICTIONS_MAX or self._bytes > PAIR_BYTES_MAX:
            forgotten, oldest = self._pairs.popitem(last=False)
            self._bytes -= _ENTRY_BYTES + 2 * len(oldest.champion)
            self._once.pop(forgotten, None)

    def label(self, label: Label) -> Labelled | None:
        """Join a finite label, one a row; None: this prediction is not among the pairs."""
        pair = self._pairs.get(label.prediction)
        if pair is None:
            return None
        rows = len(pair.champion) // 8
        if not 0 <= label.row < rows:
            said = f"row {label.row} has no prediction: there are {rows}, numbered from 0"
            return Labelled("refused", said)
        once = self._once.setdefault(label.prediction, set())
        if label.row in once:
            return Labelled("kept", "this row had its label already: the first one counts")
        once.add(label.row)
        (candidate,) = struct.unpack_from("<d", pair.candidate, 8 * label.row)
        (champion,) = struct.unpack_from("<d", pair.champion, 8 * label.row)
        d = betting.difference(candidate, champion, label.value, loss=self._loss, bound=self._bound)
        self._sums.add(d, margin=self._margin, bound=self._bound)
        for name in pair.slices:
            sums = self._slices.get(name)
            if sums is None and len(self._slices) < SLICES_MAX:
                sums = self._slices[name] = Sums()
            if sums is not None:
                sums.add(d, margin=self._margin, bound=self._bound)
        return Labelled("joined")

    def pairs(self) -> Pairs:
        """Return the sums over all pairs that were labelled."""
        return self._sums.told()

    def slice_pairs(self) -> dict[str, Pairs]:
        """Return the sums by slice."""
        return {name: sums.told() for name, sums in self._slices.items()}


def unpack(scores: bytes) -> Sequence[float]:
    """Return scores as numbers."""
    return struct.unpack(f"<{len(scores) // 8}d", scores)
