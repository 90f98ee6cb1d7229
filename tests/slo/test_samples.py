"""Budgets and alerts as metrics."""

from __future__ import annotations

from firedoor.events.exposition import expose
from firedoor.slo.samples import samples_of_slo
from firedoor.slo.status import Alert, ObjectiveStatus, SloStatus


def test_every_objective_has_a_budget_and_an_alert_of_either_kind() -> None:
    one = ObjectiveStatus(
        zone="enrich", indicator="availability", promise="", target=0.999, period_days=30,
        verdict="systemic", left=-0.5,
        alerts=(Alert(severity="page", since_s=0, detectors=("fast_burn",), text=""),),
    )  # fmt: skip
    status = SloStatus(pipeline="p", at_s=0, judge="zones", objectives=(one,))
    lines = expose(samples_of_slo(status)).decode().splitlines()
    labels = 'zone="enrich",indicator="availability"'
    assert f"firedoor_budget_left_ratio{{{labels}}} -0.5" in lines
    assert f'firedoor_alert{{{labels},severity="page"}} 1' in lines
    assert f'firedoor_alert{{{labels},severity="ticket"}} 0' in lines
