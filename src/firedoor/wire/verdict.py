"""What an evaluation says of a version: a word, and all that it hangs on. Part of a run's record.

Figures are those of ``firedoor.evaluation`` as plain values: a record is read where that, and
numpy, is not installed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

VerdictWord = Literal["promote", "hold", "reject"]


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure and its interval, or why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    confidence: float = 0.95
    why: str = ""
    """Why there is none."""


class RuleNote(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a rule."""

    rule: str
    """As it is declared; ``rows``: what has to hold before any."""
    outcome: Literal["pass", "hold", "reject"]
    figure: Figure
    sentence: str


class SliceNote(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one value of a column."""

    value: str
    rows: int
    figure: Figure


class SlicesNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure by the values of a column."""

    column: str
    metric: str
    slices: tuple[SliceNote, ...] = ()
    """Those with rows enough, the worst first."""
    small: int = 0
    """Values with too few rows."""
    small_rows: int = 0
    why: str = ""
    """Why there are none."""


class BinNote(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose predictions are alike."""

    rows: int
    predicted: float
    observed: float


class CalibrationNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far probabilities are off."""

    rmsce: Figure
    chance: float | None = None
    """Share of perfect models that look as bad."""
    bins: tuple[BinNote, ...] = ()


class Judgement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the judge says, who knows labels and predictions and not whose they are."""

    word: VerdictWord
    rules: tuple[RuleNote, ...]
    metrics: dict[str, Figure] = {}
    champion: dict[str, float] = {}
    """Figures of the champion on the same rows."""
    slices: tuple[SlicesNote, ...] = ()
    calibration: CalibrationNote | None = None
    predictions: str = ""
    """SHA-256 of the predictions."""

    @property
    def why(self) -> tuple[str, ...]:
        """The sentences that stand in the way."""
        return tuple(rule.sentence for rule in self.rules if rule.outcome != "pass")

    def worst(self) -> list[tuple[SlicesNote, SliceNote]]:
        """Return the worst slice that has a figure, of each column and metric."""
        found = []
        for one in self.slices:
            known = [part for part in one.slices if part.figure.value is not None]
            if known:
                found.append((one, known[0]))
        return found


class VerdictNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A verdict on a version, and on which ground."""

    judged: str
    """The version: ``late@3``."""
    judgement: Judgement
    champion: str = ""
    """The version that was live, and with which it was compared if a rule says so."""
    dataset: str = ""
    """Id of the snapshot."""
    part: str = ""
    rows: int = 0
    notes: tuple[str, ...] = ()
    """What a reader has to know beside it: a seal that was advisory, leaks that were let pass."""
    given: bool = False
    """Whether the registry has it."""

    @property
    def word(self) -> VerdictWord:
        """What is to become of the version."""
        return self.judgement.word
