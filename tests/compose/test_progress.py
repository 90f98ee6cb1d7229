"""Counts are of all processes that a zone had; states are told as status tells them."""

from __future__ import annotations

import io

import msgspec

from control.test_status import NOW_S, beat, picture
from control.world import make_plan
from firedoor.compose.progress import PROCESSES_MAX, Lines, Totals
from firedoor.control.status import Kept, Snapshot
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.records import Order

PLAN = make_plan(("flights:clean", "clean:store"))


def of_clean(totals: Totals, snapshot: Snapshot) -> tuple[int, int, str]:
    """Return what is shown of zone clean: rows in, dead, state."""
    row = next(row for row in totals.rows(PLAN, snapshot) if row.zone == "clean")
    return row.rows_in, row.dead, row.state


def test_rows_of_processes_that_died_count_on_and_few_of_them_are_remembered() -> None:
    totals, many = Totals(), 10 * PROCESSES_MAX
    for number in range(many):
        said = beat("clean", replica=f"here-{number}", at_s=NOW_S + number, rows_in=3, dead=1)
        shown = of_clean(totals, Snapshot(pipeline="year", at_s=NOW_S, zones=(said,)))
        assert shown == (3 * (number + 1), number + 1, "running")
    assert sum(len(processes) for processes in totals._now.values()) <= PROCESSES_MAX


def test_one_process_that_says_more_is_counted_once() -> None:
    totals = Totals()
    for rows in (5, 9):
        snapshot = Snapshot(
            pipeline="year", at_s=NOW_S, zones=(beat("clean", rows_in=rows),)
        )  # fmt: skip
        assert of_clean(totals, snapshot) == (rows, 0, "running")


def test_a_zone_that_says_nothing_is_told_as_what_it_is() -> None:
    silent = picture(PLAN, {"clean": "gone"})
    drained = msgspec.structs.replace(silent, orders={"clean": Order(want="drain")})
    looping = msgspec.structs.replace(silent, kept={"clean": Kept(looping=True, deaths=9)})
    begun = msgspec.structs.replace(silent, kept={"clean": Kept(up=True, began_s=NOW_S)})
    states = [of_clean(Totals(), each)[2] for each in (silent, drained, looping, begun)]
    assert states == ["gone", "drained", "crash loop", "starting"]


def test_lines_come_when_a_state_changes_and_else_every_few_seconds() -> None:
    out = io.StringIO()

    async def main() -> None:
        clock = VirtualClock()
        lines = Lines(out, clock)
        for second in range(12):
            rows = (beat("clean", "halted" if second == 7 else "running", rows_in=second),)
            lines.show(PLAN, Snapshot(pipeline="year", at_s=NOW_S, zones=rows))
            await clock.wait(1)

    run(main())
    told = [line for line in out.getvalue().splitlines() if line.startswith("clean")]
    assert told == [
        "clean: running, 0 in, 0 out",
        "clean: running, 5 in, 0 out",
        "clean: halted, 7 in, 0 out",
        "clean: running, 8 in, 0 out",
    ]
