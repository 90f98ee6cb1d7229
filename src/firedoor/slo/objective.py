"""One thing that a zone promises, and what was counted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from firedoor.events.objective import Indicator
from firedoor.slo.policy import BUDGET_LEAST, BUDGET_MOST

Kind = Literal["source", "transform", "sink", "service", "job"]
LATENCY_TARGET = 0.99
"""Of ``latency_p99_s``: 99 of 100."""
FRESHNESS_TARGET = 0.99
"""Share of the seconds in which nothing waits for longer than ``freshness_s``."""
UNITS: dict[Kind, str] = {
    "source": "rows", "transform": "rows", "sink": "rows", "service": "requests", "job": "runs",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A promise of one zone, service or job."""

    zone: str
    kind: Kind
    indicator: Indicator
    target: float
    """Share of units that are good."""
    bound_s: float = 0.0
    """What is late, or not fresh; 0: neither is meant."""
    period_days: float = 30.0
    """Over which the error budget is reckoned."""
    time_scale: float = 1.0
    owner: str = ""
    runbook: str = ""

    @property
    def budget(self) -> float:
        """Share of units that may be bad."""
        return max(BUDGET_LEAST, 1.0 - self.target)

    @property
    def watched(self) -> bool:
        """Whether anybody can be paged for it: see ``BUDGET_MOST``."""
        return self.budget <= BUDGET_MOST

    @property
    def units(self) -> str:
        """What is counted."""
        return "seconds" if self.indicator == "freshness" else UNITS[self.kind]

    @property
    def promise(self) -> str:
        """The promise in words."""
        share = f"{self.target * 100:.6g} %"
        match self.indicator:
            case "availability":
                return f"{share} of {self.units} come through"
            case "latency":
                return f"{share} of {self.units} within {self.bound_s:g} s"
            case "freshness":
                return f"nothing waits for longer than {self.bound_s:g} s, {share} of the time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Units that were counted since the last one."""

    at_s: float
    good: int = 0
    own: int = 0
    """Bad, by the zone's own fault."""
    inherited: Mapping[str, int] = field(default_factory=dict)
    """Bad, by somebody else's: from whom."""

    @property
    def units(self) -> int:
        """All of them."""
        return self.good + self.own + sum(self.inherited.values())
