"""What a look at the gateways shows: what came since the look before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from firedoor.rollout.betting import add as add_logs

Metric = Literal["error", "non_finite", "slow95", "slow99", "fallback"]
METRICS: tuple[Metric, ...] = ("error", "non_finite", "slow95", "slow99", "fallback")


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of one arm, by what became of its own attempt. See ``wire.evidence.Counts``."""

    n: int = 0
    error: int = 0
    non_finite: int = 0
    slow95: int = 0
    slow99: int = 0
    fallback: int = 0

    def of(self, metric: Metric) -> int:
        """Return how many were bad in one way."""
        return int(getattr(self, metric))

    @property
    def failed(self) -> int:
        """Return how many had no answer that can be used."""
        return min(self.n, self.error + self.non_finite)

    def plus(self, other: Tally) -> Tally:
        """Return both together."""
        if not other.n:
            return self
        return Tally(
            self.n + other.n, self.error + other.error, self.non_finite + other.non_finite,
            self.slow95 + other.slow95, self.slow99 + other.slow99, self.fallback + other.fallback,
        )  # fmt: skip

    def less(self, other: Tally) -> Tally:
        """Return what is left without ``other``, nothing below 0."""
        if not other.n:
            return self
        return Tally(
            max(0, self.n - other.n), max(0, self.error - other.error),
            max(0, self.non_finite - other.non_finite), max(0, self.slow95 - other.slow95),
            max(0, self.slow99 - other.slow99), max(0, self.fallback - other.fallback),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Requests that both versions predicted and whose label came."""

    n: int = 0
    loss_sum: float = 0.0
    """Of candidate minus champion, as a share of the largest loss."""
    worse: tuple[float, ...] = ()
    """Log wealths of bets that the candidate is worse, by stake."""
    fine: tuple[float, ...] = ()
    """The same, that it is not worse by the margin."""

    def plus(self, other: Paired) -> Paired:
        """Return both together."""
        if not other.n:
            return self
        return Paired(
            n=self.n + other.n,
            loss_sum=self.loss_sum + other.loss_sum,
            worse=add_logs((self.worse, other.worse)),
            fine=add_logs((self.fine, other.fine)),
        )

    def less(self, other: Paired) -> Paired:
        """Return what is left without ``other``: exact, since all of it are sums over pairs."""
        if not other.n:
            return self
        return self.plus(
            Paired(
                n=-other.n,
                loss_sum=-other.loss_sum,
                worse=tuple([-log for log in other.worse]),
                fine=tuple([-log for log in other.fine]),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The share of a look that has one value of a declared column."""

    candidate: Tally = field(default_factory=Tally)
    baseline: Tally = field(default_factory=Tally)
    paired: Paired = field(default_factory=Paired)

    def plus(self, other: Part) -> Part:
        """Return both together."""
        return Part(
            candidate=self.candidate.plus(other.candidate),
            baseline=self.baseline.plus(other.baseline),
            paired=self.paired.plus(other.paired),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What all gateways counted between two looks."""

    candidate: Tally = field(default_factory=Tally)
    """In shadow: of the copies that it was given."""
    baseline: Tally = field(default_factory=Tally)
    """Two thirds of the champion's requests: what the candidate is compared with."""
    sentinel: Tally = field(default_factory=Tally)
    """The other third: by it alone is told whether the champion is sick."""
    paired: Paired = field(default_factory=Paired)
    parts: dict[str, Part] = field(default_factory=dict)
    """By slice, ``carrier=UA``."""
    gateways: int = 0
    """That spoke. None of them: there is no evidence."""

    def plus(self, other: Look) -> Look:
        """Return both together, as one longer look."""
        names = dict.fromkeys((*self.parts, *other.parts))
        none = Part()
        return Look(
            candidate=self.candidate.plus(other.candidate),
            baseline=self.baseline.plus(other.baseline),
            sentinel=self.sentinel.plus(other.sentinel),
            paired=self.paired.plus(other.paired),
            parts={
                name: self.parts.get(name, none).plus(other.parts.get(name, none)) for name in names
            },
            gateways=max(self.gateways, other.gateways),
        )

    def without(self, names: Iterable[str]) -> Look:
        """Return what is left without the requests of some slices.

        A request that is of two of them is taken away twice; nothing goes below 0.
        """
        candidate, baseline, paired = self.candidate, self.baseline, self.paired
        parts = dict(self.parts)
        for name in names:
            part = parts.pop(name, None)
            if part is not None:
                candidate = candidate.less(part.candidate)
                baseline = baseline.less(part.baseline)
                paired = paired.less(part.paired)
        return Look(
            candidate=candidate, baseline=baseline, sentinel=self.sentinel, paired=paired,
            parts=parts, gateways=self.gateways,
        )  # fmt: skip
