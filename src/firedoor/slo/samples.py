"""What a judge says, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.events.metrics import ALERT, BUDGET_LEFT, Sample
from firedoor.slo.status import SloStatus


def samples_of_slo(status: SloStatus) -> Iterator[Sample]:
    """Yield what is left of each budget, and 1 for every alert that is firing, 0 for the others."""
    for one in status.objectives:
        of = (one.zone, one.indicator)
        yield Sample(BUDGET_LEFT, of, one.left)
        firing = {alert.severity for alert in one.alerts}
        for severity in ("page", "ticket"):
            yield Sample(ALERT, (*of, severity), float(severity in firing))
