"""The bulkhead: a fixed number of calls at once, where the right number is known.

Source: Nygard, *Release It!*, 2nd ed., section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.bounds import within


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadPolicy:
    """How many calls may be under way at once."""

    calls_max: int
    """Calls at once. 1 to 100,000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("calls_max", self.calls_max, 1, 100_000, "calls", whole=True)


def judge(inflight: int, policy: BulkheadPolicy) -> bool:
    """Return whether one more call may begin."""
    return inflight < policy.calls_max
