"""A zone that is degraded is well, and yet all are told, with why and how good its rows are."""

from __future__ import annotations

from typing import Any

import msgspec

from control.test_status import CHAIN, NOW_S, picture
from control.world import make_plan
from firedoor.control.board import show_board
from firedoor.control.causes import show_why
from firedoor.control.harm import first_line
from firedoor.control.provenance import _counts
from firedoor.control.status import Snapshot, decode_snapshot, encode_snapshot
from firedoor.quality.grades import Grade
from firedoor.wire.records import BatchRecord, Degraded

PLAN = make_plan(CHAIN)
FOUND = Degraded(
    rungs=("older", "sample"),
    since_s=NOW_S - 60,
    why="takes the step sample",
    weight=10.0,
    quality={"sky": Grade("older", 130.2), "fees": Grade("default", None)},
)


def shown(degraded: Degraded | None, state: str = "running", **more: Any) -> Snapshot:
    """Return a picture in which zone clean is degraded."""
    snapshot = picture(PLAN, {"clean": state}, **more)
    zones = tuple(
        msgspec.structs.replace(zone, degraded=degraded) if zone.zone == "clean" else zone
        for zone in snapshot.zones
    )
    return msgspec.structs.replace(snapshot, zones=zones)


def row(snapshot: Snapshot) -> str:
    """Return the row of zone clean."""
    lines = show_board(PLAN, snapshot, now_s=NOW_S)
    return next(line for line in lines if line.startswith("clean "))


def test_the_first_line_and_the_row_name_the_steps() -> None:
    steps = "degraded: older, sample (a row stands for 10)"
    assert first_line(PLAN, shown(FOUND)) == f"all zones well; clean is {steps}"
    assert steps in row(shown(FOUND))


def test_why_tells_what_the_latest_batch_was_made_of() -> None:
    said = show_why(PLAN, shown(FOUND), "clean", None, now_s=NOW_S)
    at = said.index("degraded: older, sample (a row stands for 10)")
    assert said[at + 1].endswith("UTC: takes the step sample")
    assert said[at + 2 : at + 5] == [
        "what the latest batch was made of:",
        "  fees: default",
        "  sky: older, 130 s old",
    ]


def test_a_zone_on_no_step_tells_only_how_good_its_features_are() -> None:
    snapshot = shown(Degraded(quality={"sky": Grade("live", 12.0)}))
    assert first_line(PLAN, snapshot) == "all zones well"
    assert "degraded" not in row(snapshot)
    said = "\n".join(show_why(PLAN, snapshot, "clean", None, now_s=NOW_S))
    assert "\nwhat the latest batch was made of:\n  sky: live, 12 s old\n" in said + "\n"
    assert "degraded" not in said


def test_a_graver_cause_is_told_first_and_what_has_ended_is_degraded_no_more() -> None:
    halted = shown(FOUND, "halted", causes={"clean": "the step is at fault"})
    assert "the step is at fault" in row(halted)
    assert "degraded" not in row(halted)
    assert "degraded" not in row(shown(FOUND, "stopped"))
    assert "degraded" not in first_line(PLAN, shown(FOUND, "done"))


def test_a_trace_tells_weight_and_what_a_row_was_made_of() -> None:
    record = BatchRecord(
        zone="clean", batch="flights-000001", zone_version="1", rows_in=10, rows_out=4, passed=4,
        dropped={"sampled": 6}, began_s=0.0, ended_s=0.0, cut_s=0.0, weight=2.5,
        quality=FOUND.quality | {"dew": Grade("live", 3.0)}, elsewhere={"clean:best": 4},
        models={"late": "late@3"},
    )  # fmt: skip
    assert _counts(record, None, known=True) == (
        "4 of 10 rows passed, dropped as declared: 6 sampled, each stands for 2.5, made of fees, "
        "default, made of sky, older, 130 s old, scored by late@3, not good enough for best"
    )


def test_json_has_all_of_it() -> None:
    beat = next(zone for zone in decode_snapshot(encode_snapshot(shown(FOUND))).zones
                if zone.zone == "clean")  # fmt: skip
    assert beat.degraded == FOUND
