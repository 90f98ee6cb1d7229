"""What is told of zones that say nothing, and of the broker, a failure domain of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from control.test_status import CHAIN, NOW_S, beat, picture
from control.world import make_plan
from firedoor.control.board import next_command, show_board
from firedoor.control.causes import show_why
from firedoor.control.harm import ZoneView, first_line, judge, view_zones
from firedoor.control.status import Kept, Snapshot, remember
from firedoor.wire.records import Order

PLAN = make_plan(CHAIN)
FULL = "the disk of /p is full: free some"
DRAINED = {"clean": Order(want="drain", by="ann", because="upgrade")}


def of_clean(snapshot: Snapshot) -> ZoneView:
    """Return what is told of zone clean."""
    return next(view for view in view_zones(PLAN, snapshot) if view.zone == "clean")


def without_clean(**more: Any) -> Snapshot:
    """Return a picture in which zone clean says nothing."""
    return picture(PLAN, {"clean": "gone"}, **more)


# ---- drained


@pytest.mark.parametrize("heard", [True, False], ids=["its last word", "nothing any more"])
def test_a_drained_zone_says_by_whom_why_and_how_to_go_on(*, heard: bool) -> None:
    states = {"clean": "stopped"} if heard else {"clean": "gone"}
    snapshot = picture(PLAN, states, orders=DRAINED, waiting={"flights:clean": 4})
    view = of_clean(snapshot)
    assert (view.condition, view.cause) == ("drained", "by ann: upgrade")
    assert next_command(PLAN, snapshot, view) == "firedoor zone resume clean"
    line = first_line(PLAN, snapshot)
    assert line.startswith("clean is drained (by ann: upgrade); others are hurt: weather and store")
    assert "inputs wait in the inbox (4 batches)" in line
    said = show_why(PLAN, snapshot, "clean", None, now_s=NOW_S)
    assert said[0].startswith("clean is drained")
    assert "next: firedoor zone resume clean" in said


def test_a_zone_that_drains_still_is_not_drained_yet() -> None:
    assert of_clean(picture(PLAN, {"clean": "draining"}, orders=DRAINED)).condition == "draining"
    assert of_clean(picture(PLAN, {"clean": "running"}, orders=DRAINED)).condition == "running"


def test_a_zone_that_stopped_at_the_end_of_a_run_needs_no_reason() -> None:
    snapshot = picture(PLAN, {"clean": "stopped"}, causes={"clean": "asked to leave"})
    assert of_clean(snapshot).cause == ""
    rows = show_board(PLAN, snapshot, now_s=NOW_S)
    assert not any("asked to leave" in row for row in rows)


# ---- processes that die


def test_a_crash_loop_is_told_with_how_often_and_how_its_processes_died() -> None:
    kept = {"clean": Kept(up=True, began_s=NOW_S, looping=True, deaths=9, last="got SIGSEGV")}
    for snapshot in (without_clean(kept=kept), picture(PLAN, kept=kept)):
        view = of_clean(snapshot)
        assert (view.condition, view.cause) == ("crash loop", "died 9 times, the last got SIGSEGV")
        assert judge(PLAN, snapshot).at_fault == (view,)
        assert next_command(PLAN, snapshot, view) == "firedoor why clean"
        said = "\n".join(show_why(PLAN, snapshot, "clean", None, now_s=NOW_S))
        assert "next: mend what .firedoor/logs/clean.log says" in said


@pytest.mark.parametrize(
    ("kept", "condition", "cause"),
    [
        (None, "gone", "no process of it says anything"),
        (Kept(up=True, began_s=NOW_S - 5), "starting", ""),
        (Kept(up=True, began_s=NOW_S - 90), "gone", "no process of it says anything"),
        (
            Kept(deaths=1, last="was ended by SIGKILL"),
            "gone",
            "no process of it is there: the last was ended by SIGKILL",
        ),
    ],
    ids=["nobody keeps it", "just started", "started long ago", "died just now"],
)
def test_of_a_zone_that_says_nothing_is_told_what_its_keeper_knows(
    kept: Kept | None, condition: str, cause: str
) -> None:
    view = of_clean(without_clean(kept={} if kept is None else {"clean": kept}))
    assert (view.condition, view.cause) == (condition, cause)


def test_where_nobody_runs_nothing_is_gone() -> None:
    assert {view.condition for view in view_zones(PLAN, Snapshot(pipeline="year", at_s=0))} == {
        "unknown"
    }


# ---- the broker


def test_a_broker_that_stores_nothing_is_told_first_with_what_to_do() -> None:
    snapshot = picture(PLAN, broker_fault=FULL)
    lines = show_board(PLAN, snapshot, now_s=NOW_S)
    assert lines[0] == (
        f"the broker cannot store ({FULL}): zones wait, nothing is dropped"
    )  # fmt: skip
    (row,) = [line for line in lines if line.startswith("(broker)")]
    assert "at fault" in row
    assert FULL in row
    assert row.endswith("firedoor doctor --project .")


def test_zones_at_fault_besides_are_told_as_well() -> None:
    snapshot = picture(PLAN, {"clean": "halted"}, broker_fault=FULL)
    line = first_line(PLAN, snapshot)
    assert line.startswith("the broker cannot store")
    assert "; besides: clean is halted" in line


def test_a_broker_that_is_away_has_a_row_of_its_own_and_its_reason() -> None:
    snapshot = picture(PLAN, broker="down", broker_fault=FULL)
    lines = show_board(PLAN, snapshot, now_s=NOW_S + 30)
    assert lines[0].startswith(f"the broker does not answer ({FULL}): zones wait")
    (row,) = [line for line in lines if line.startswith("(broker)")]
    assert "away" in row
    after = show_board(PLAN, snapshot, now_s=NOW_S + 30, running=False)
    assert not any(line.startswith("(broker)") for line in after), "after a run there is none"


def test_a_broker_that_is_well_has_no_row() -> None:
    assert not any(
        line.startswith("(broker)") for line in show_board(PLAN, picture(PLAN), now_s=NOW_S)
    )


def test_a_zone_that_the_broker_does_not_answer_waits_for_no_other_zone() -> None:
    away = beat("flights", "blocked", code="broker_away", next_command="firedoor doctor")
    snapshot = picture(PLAN)
    others = tuple(zone for zone in snapshot.zones if zone.zone != "flights")
    snapshot = msgspec.structs.replace(snapshot, zones=(away, *others))
    assert judge(PLAN, snapshot).blocked == ()
    assert first_line(PLAN, snapshot) == (
        "no zone is at fault; the broker does not answer flights"
    )  # fmt: skip


def test_before_there_is_any_picture_it_says_that_it_may_be_starting() -> None:
    nothing = Snapshot(pipeline="year", at_s=0.0, broker="down")
    lines = show_board(PLAN, nothing, now_s=NOW_S)
    assert "nothing was known before" in lines[0]
    assert lines[1] == "there is no snapshot yet: it may be just starting"


# ---- what is remembered


def test_what_was_said_within_ten_seconds_holds_unless_something_else_is_said() -> None:
    before = picture(PLAN, {"clean": "halted"})
    now = msgspec.structs.replace(before, at_s=NOW_S + 9, zones=(beat("clean", "running"),))
    found = {zone.zone: zone.state for zone in remember(PLAN, now, before).zones}
    assert found == {"flights": "running", "clean": "running", "weather": "running",
                     "store": "running"}  # fmt: skip
    late = msgspec.structs.replace(now, at_s=NOW_S + 10)
    assert [zone.zone for zone in remember(PLAN, late, before).zones] == ["clean"]
    assert remember(PLAN, now, None) == now


# ---- deployments


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("live", "version v2 from /new was deployed by ann"),
        (
            "failed",
            "version v2 from /new was not deployed, though wanted by ann: it hangs at import",
        ),
    ],
)
def test_why_tells_of_a_deployment_in_words(state: str, told: str) -> None:
    note = {"version": "v2", "before": "v1", "file": "f", "code": "/new", "state": state,
            "because": "it hangs\nat import" if state == "failed" else "", "by": "ann",
            "at_s": NOW_S}  # fmt: skip
    deploys = {"clean": msgspec.json.encode(note).decode()}
    said = show_why(PLAN, picture(PLAN, deploys=deploys), "clean", None, now_s=NOW_S)
    assert any(line.endswith(told) for line in said), said
    broken = picture(PLAN, deploys={"clean": "{"})
    assert show_why(PLAN, broken, "clean", None, now_s=NOW_S)
