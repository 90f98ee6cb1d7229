"""A job is judged by its runs: the one that was struck, the next one, and those that follow it."""

from __future__ import annotations

from msgspec.structs import replace

from drilled import STAGE, course, following
from firedoor.drill.assembling import doubt_for, make_row
from firedoor.drill.cell import Cell
from firedoor.drill.job_runs import FOLLOW_S, JobSaid, RunSaid, RunsSeen
from firedoor.drill.matrix import Asked, Matrix
from firedoor.drill.planning import Exercise, plan_exercises
from firedoor.drill.scoring import score
from firedoor.drill.stage import Seat, Stage

JOBS = (
    Seat(name="train", kind="job", after=frozenset({"evaluate"})),
    Seat(name="evaluate", kind="job"),
    Seat(name="report", kind="job"),
)
WITH_JOBS = Stage(pipeline="year", seats=STAGE.seats, jobs=JOBS)
BEGAN_S = 1_000.0


def drilled(fault: str = "job_kill", zone: str = "train") -> Exercise:
    matrix = Matrix(rows=(Asked(fault=fault, zone=zone),))
    return plan_exercises(matrix, WITH_JOBS, drill="d")[0]


def ran(run: str, at_s: float, outcome: str = "done", **more: object) -> RunSaid:
    ended_s = None if outcome == "running" else BEGAN_S + at_s + 2.0
    said = RunSaid(run=run, started_s=BEGAN_S + at_s, ended_s=ended_s, outcome=outcome)
    return replace(said, **more)


def seen(*runs: RunSaid, done: Exercise | None = None) -> RunsSeen:
    made = RunsSeen(WITH_JOBS, drilled() if done is None else done, BEGAN_S)
    by: dict[str, list[RunSaid]] = {}
    for run in runs:
        by.setdefault(run.run.partition("-")[0], []).append(run)
    made.add(JobSaid(job=job, runs=tuple(told)) for job, told in by.items())
    return made


def cells(*runs: RunSaid, done: Exercise | None = None) -> dict[str, tuple[str, str]]:
    return {cell.zone: (cell.verdict, cell.why) for cell in seen(*runs, done=done).cells("")}


STRUCK = ran("train-7", 1, drilled="d-1", tries={"killed": 1}, model="delays@3")
GOOD = ran("train-8", 9, model="delays@4")
JUDGED = ran("evaluate-4", 4, judges="delays@3", verdict="promote")
AGAIN = ran("evaluate-5", 12, judges="delays@4", verdict="promote")


def test_one_that_ends_well_although_it_was_struck_has_kept_what_it_promises() -> None:
    found = cells(STRUCK, GOOD, JUDGED, AGAIN)
    assert found["train"] == (
        "kept", "train-7 ended well (killed 1); then train-8 ended well"
    )  # fmt: skip
    assert found["evaluate"][0] == "kept"
    assert "report" not in found, "no run of it fell into the exercise"


def test_one_that_fails_may_and_the_next_run_has_to_end_well() -> None:
    failed = ran("train-7", 1, "failed", drilled="d-1", cause="hang")
    assert cells(failed, GOOD)["train"] == (
        "expected", "train-7 failed (hang); then train-8 ended well"
    )  # fmt: skip
    for after in ((), (ran("train-8", 9, "failed", cause="raised"),), (ran("train-8", 9, "lost"),)):
        verdict, why = cells(failed, *after)["train"]
        assert verdict == "breach"
        assert "no run ended well in time after the fault" in why
    assert cells(GOOD)["train"][0] == "no_evidence"


def test_a_run_that_was_cut_short_and_gone_on_with_is_told_whole() -> None:
    lost = ran("train-6", 0.5, "lost", drilled="d-1", cause="supervisor")
    found = cells(lost, replace(STRUCK, tries={}), GOOD)
    assert found["train"] == (
        "kept", "train-6 lost (supervisor), train-7 ended well; then train-8 ended well"
    )  # fmt: skip


def test_what_learnt_from_changed_rows_may_be_made_and_must_not_be_let_pass() -> None:
    done = drilled("label_flip")
    spoilt = ran("train-7", 1, drilled="d-1", model="delays@3", changed=1_200)
    refused = replace(JUDGED, verdict="reject")
    found = cells(spoilt, refused, GOOD, AGAIN, done=done)
    assert found["train"] == (
        "expected",
        "train-7 ended well, 1,200 rows of what it read were changed; then train-8 ended well",
    )
    assert found["evaluate"][0] == "kept"
    assert "reject delays@3" in found["evaluate"][1]
    let_pass = cells(spoilt, JUDGED, GOOD, AGAIN, done=done)["evaluate"]
    assert let_pass == (
        "breach", "it lets delays@3 pass, which learnt from what the drill had changed"
    )  # fmt: skip
    verdict, why = cells(spoilt, GOOD, AGAIN, done=done)["train"]
    assert verdict == "no_evidence"
    assert "nothing judged delays@3" in why


def test_a_job_that_fails_beside_the_faulted_one_is_a_breach() -> None:
    found = cells(STRUCK, GOOD, JUDGED, AGAIN, ran("report-1", 3, "failed", cause="raised"))
    assert found["report"] == ("breach", "report-1 failed (raised)")
    other = plan_exercises(
        Matrix(rows=(Asked(fault="kill", zone="enrich"),)), WITH_JOBS, drill="d"
    )[0]  # fmt: skip
    assert cells(ran("train-9", 2, "failed", cause="raised"), done=other) == {
        "train": ("breach", "train-9 failed (raised)")
    }
    assert cells(ran("train-9", -8, "failed"), done=other) == {}, "it had ended before"


def test_an_exercise_with_a_job_is_over_when_nothing_is_waited_for_any_more() -> None:
    at_work = ran("train-7", 1, "running", drilled="d-1")
    assert not seen(at_work).answered
    assert seen(STRUCK).answered
    now_s = BEGAN_S + 15
    assert seen(STRUCK).waits_for(now_s) == "a good run of train"
    assert seen(STRUCK, GOOD, JUDGED).waits_for(now_s) == "runs of evaluate"
    later_s = BEGAN_S + 11 + FOLLOW_S + 1
    assert seen(STRUCK, GOOD, JUDGED).waits_for(later_s) == "", "it may have nothing to do"
    last = ran("evaluate-5", 12, "running")
    assert seen(STRUCK, GOOD, JUDGED, last).waits_for(later_s) == "the end of evaluate-5"
    assert seen(STRUCK, GOOD, JUDGED, AGAIN).waits_for(now_s) == ""
    done, spoilt = drilled("label_flip"), replace(STRUCK, changed=9)
    assert seen(spoilt, GOOD, done=done).waits_for(later_s) == "runs of evaluate"
    other = drilled("kill", "enrich")
    assert seen(at_work, done=other).waits_for(now_s) == "", "only where a job is faulted"


def test_a_row_has_the_cells_of_jobs_before_its_end_and_zones_are_judged_as_ever() -> None:
    done = drilled()
    made = following(done, {}, stage=WITH_JOBS)
    runs = seen(STRUCK, GOOD, JUDGED, AGAIN, done=done)
    doubt = doubt_for(doubt=0.01, cells=10, units_min=200)
    row = make_row(made, course(), doubt, runs)
    assert [cell.zone for cell in row.cells] == [
        "flights", "enrich", "store", "predict", "train", "evaluate", "end_to_end",
    ]  # fmt: skip
    assert {cell.verdict for cell in row.cells} == {"kept"}
    assert score([row]).breaches == 0
    void = make_row(made, course(hits=0), doubt, runs)
    assert isinstance(void.cell("train"), Cell)
    assert {cell.verdict for cell in void.cells} == {"no_evidence"}
    assert void.cell("evaluate") is None


def test_all_jobs_can_be_faulted_and_those_after_one_are_behind_it() -> None:
    rows = Matrix(rows=(Asked(fault="job_raise"), Asked(fault="label_flip", zone="train")))
    made = plan_exercises(rows, WITH_JOBS, drill="d")
    assert [each.row for each in made] == [
        "job_raise in train", "job_raise in evaluate", "job_raise in report", "label_flip in train",
    ]  # fmt: skip
    assert (set(made[0].may_hurt), set(made[0].may_starve)) == ({"train"}, {"evaluate"})
    assert WITH_JOBS.names == STAGE.names, "they are no columns of every row"
