"""Champion and challenger on the same rows.

Both are drawn together, row by row, so that what makes a row hard makes it hard for both and falls
out of the difference: the interval is several times narrower than that of two figures apart.

| Gain of the challenger, with its interval | Verdict |
|---|---|
| all of it above 0 | ``better`` |
| all of it at or above ``-margin`` | ``no worse`` |
| all of it below ``-margin`` | ``worse`` |
| otherwise, or there is none | ``not known`` |

The gain is positive where the challenger is better, whatever the metric. ``margin`` is what may be
lost and is not missed, in the unit of the metric: who is equal is never shown to be equal, only to
be no worse than that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from firedoor.bounds import within
from firedoor.evaluation.intervals import (
    Estimate,
    IntervalPolicy,
    bca,
    bootstrap,
    cluster_codes,
    too_few,
)
from firedoor.evaluation.metrics import Unknown, figure, metric, usable

if TYPE_CHECKING:
    import polars as pl

    from firedoor.evaluation.metrics import Floats, Values

Word = Literal["better", "no worse", "worse", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPolicy:
    """What is compared, and what may be lost."""

    margin: float = 0.0
    """Loss that is not missed, in the unit of the metric. 0 to 1,000,000,000."""
    interval: IntervalPolicy = field(default_factory=IntervalPolicy)
    """How the interval of the gain is drawn."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("margin", self.margin, 0, 10**9, "in the unit of the metric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is known of a challenger."""

    verdict: Word
    gain: Estimate | Unknown
    champion: float | Unknown
    challenger: float | Unknown


def compare(
    name: str,
    labels: Values,
    champion: Values,
    challenger: Values,
    *,
    seed: int,
    policy: PairPolicy | None = None,
    clusters: pl.Series | None = None,
) -> Comparison:
    """Return whether a challenger is better than the champion, no worse, worse, or not known.

    Args:
        name: of the metric.
        labels: shape (rows,).
        champion: shape (rows,); predictions of the model that is live.
        challenger: shape (rows,); predictions of the new one, of the same rows in their order.
        seed: chance.
        policy: what may be lost.
        clusters: shape (rows,); rows of one value are drawn together.

    Raises:
        DeclarationError: if there is no such metric.

    >>> labels, worse = [0, 1] * 100, [0.4, 0.6] * 100
    >>> compare("log_loss", labels, worse, [0.3, 0.7] * 100, seed=1).verdict
    'better'
    """
    how, policy = metric(name), policy or PairPolicy()
    old, new = usable(how, labels, champion), usable(how, labels, challenger)
    for whose, rows in (("champion", old), ("challenger", new)):
        if isinstance(rows, Unknown):
            return _not_known(f"of the {whose}: {rows.why}")
    assert not isinstance(old, Unknown)
    assert not isinstance(new, Unknown)
    codes = cluster_codes(clusters, old[0].size, policy.interval)
    few = [too_few(how, *rows, policy.interval) for rows in (old, new)]
    for why in (*few, codes):
        if isinstance(why, Unknown):
            return _not_known(why.why)
    assert not isinstance(codes, Unknown)
    of_old, of_new = how.prepare(*old), how.prepare(*new)
    sign = 1.0 if how.higher_is_better else -1.0

    def gains(weights: Floats) -> Floats:
        return sign * (of_new(weights) - of_old(weights))

    drawn = bootstrap(how, gains, old[0].size, codes, seed=seed, policy=policy.interval)
    if isinstance(drawn, Unknown):
        return _not_known(drawn.why)
    low, high = bca(drawn, policy.interval)
    gain = Estimate(
        value=drawn.value,
        low=low,
        high=high,
        rows=old[0].size,
        confidence=policy.interval.confidence,
    )
    return Comparison(
        verdict=word(gain, policy.margin),
        gain=gain,
        champion=figure(how, *old),
        challenger=figure(how, *new),
    )


def word(gain: Estimate, margin: float) -> Word:
    """Return what the interval of a gain shows."""
    if gain.low > 0:
        return "better"
    if gain.low >= -margin:
        return "no worse"
    return "worse" if gain.high < -margin else "not known"


def _not_known(why: str) -> Comparison:
    """Return that nothing is known."""
    nothing = Unknown(why)
    return Comparison(verdict="not known", gain=nothing, champion=nothing, challenger=nothing)
