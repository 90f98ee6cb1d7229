"""What an SRE reads: who is at risk, how much budget is left, and whom to ask."""

from __future__ import annotations

from firedoor.control.slo_board import NOTHING, show_slo
from firedoor.slo.status import Alert, ObjectiveStatus, SloStatus

NOW_S = 1_800_000_000.0


def one(zone: str, *, left: float = 0.87, alerts: tuple[Alert, ...] = ()) -> ObjectiveStatus:
    return ObjectiveStatus(
        zone=zone, indicator="availability", promise="99.9 % of rows come through", target=0.999,
        period_days=30, verdict="systemic" if alerts else "kept", left=left, burn=0.4, good=1_000,
        owner="ann@example.com", runbook="https://example.com/enrich", alerts=alerts,
    )  # fmt: skip


def shown(*objectives: ObjectiveStatus, at_s: float = NOW_S, blind: str = "") -> str:
    status = SloStatus(
        pipeline="flights", at_s=at_s, judge="zones", objectives=objectives, blind=blind
    )
    return "\n".join(show_slo([status], now_s=NOW_S))


def test_where_all_is_well_the_first_line_says_so() -> None:
    text = shown(one("enrich"), one("load"))
    assert text.splitlines()[0] == "nobody is paged, and no budget is spent (2 objectives)"
    assert "enrich  availability  99.9 % of rows come through  87%          0.4x       kept" in text


def test_a_page_is_told_first_with_its_owner_and_runbook() -> None:
    alert = Alert(
        severity="page", since_s=NOW_S - 200, detectors=("fast_burn",), text="all rows were bad",
        suffering=("predict",),
    )  # fmt: skip
    text = shown(one("load"), one("enrich", alerts=(alert,)))
    assert text.splitlines()[0] == "page: enrich (availability)"
    assert "page: enrich, availability, for 3 min: all rows were bad" in text
    assert "  suffer from it: predict" in text
    assert "  owner: ann@example.com" in text
    assert "  runbook: https://example.com/enrich" in text
    assert "  next: firedoor why enrich" in text


def test_a_budget_that_is_spent_is_told_though_nobody_is_paged() -> None:
    text = shown(one("enrich", left=-0.5))
    assert text.splitlines()[0] == (
        "nobody is paged; budgets that are spent: enrich (availability)"
    )
    assert "-50%" in text
    assert "below -999%" in shown(one("enrich", left=-50))


def test_an_old_status_is_told_with_its_age_and_a_blind_judge_with_its_reason() -> None:
    assert "zones: as of 2 min ago" in shown(one("enrich"), at_s=NOW_S - 120)
    assert "the broker is away" in shown(one("enrich"), blind="the broker is away")


def test_where_nothing_is_promised_it_says_how_to() -> None:
    assert show_slo([], now_s=NOW_S) == [NOTHING]
