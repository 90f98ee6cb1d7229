"""When jobs with triggers are due, told by the records of runs alone."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from firedoor.flow.triggers import (
    INTERRUPTED_MAX,
    Because,
    Due,
    Files,
    Mark,
    Past,
    Sight,
    TriggerPlan,
    due,
)

DAY_S = 86_400.0
DAILY = TriggerPlan(kind="every", every_s=DAY_S)
ON_TRAIN = TriggerPlan(kind="on", jobs=("train",))
ON_STORE = TriggerPlan(kind="on", sinks=("store",), quiet_s=10.0)


def ran(number: int, outcome: str = "done", *, began_s: float = 0.0, **more: Any) -> Past:
    return replace(
        Past(number=number, outcome=outcome, began_s=began_s, ended_s=began_s + 1), **more
    )


def answering(number: int, because: Because, outcome: str = "done", **more: Any) -> Past:
    return ran(number, outcome, because=because, **more)


def seen(
    *past: Past, train: tuple[Past, ...] = (), files: Files | None = None, now_s: float = 100.0,
    ended: bool = False,
) -> Sight:  # fmt: skip
    sinks = {"store": files or Files(listing="", since_s=0.0)}
    return Sight(now_s=now_s, past=past, others={"train": train}, sinks=sinks, ended=ended)


def because(trigger: TriggerPlan, sight: Sight) -> Because:
    found = due(trigger, sight)
    assert found is not None
    assert found.at_s <= sight.now_s
    return found.because


# ---- by time


def test_a_job_that_never_ran_is_due_now_and_then_an_interval_after_its_last_run_began() -> None:
    said = Because(trigger="every", said="every 1d")
    assert due(DAILY, seen(now_s=7.0)) == Due(at_s=7.0, because=said)
    assert due(DAILY, seen(ran(1, began_s=5.0))) == Due(at_s=5.0 + DAY_S, because=said)


@pytest.mark.parametrize("outcome", ["done", "failed", "cancelled", "lost"])
def test_a_run_that_failed_waits_the_interval_as_well(outcome: str) -> None:
    past = (ran(1, began_s=5.0), answering(2, Because(trigger="every", said=""), outcome))
    found = due(DAILY, seen(*past, now_s=50.0))
    assert found is not None
    assert found.at_s == DAY_S


def test_the_last_run_is_that_of_the_greatest_number_and_a_clock_set_back_delays_nothing() -> None:
    future = ran(1, began_s=1e9)
    assert due(DAILY, seen(future)) == Due(
        at_s=100.0, because=Because(trigger="every", said="every 1d")
    )
    found = due(DAILY, seen(future, ran(2, began_s=90.0)))
    assert found is not None
    assert found.at_s == 90.0 + DAY_S


@pytest.mark.parametrize("trigger", [DAILY, ON_TRAIN, ON_STORE])
def test_nothing_is_due_while_a_run_of_the_job_is_at_work(trigger: TriggerPlan) -> None:
    sight = seen(ran(1, "running"), train=(ran(1),), files=Files(listing="a", since_s=0.0))
    assert due(trigger, sight) is None


def test_a_job_without_a_trigger_is_never_due() -> None:
    assert due(TriggerPlan(), seen(train=(ran(1),))) is None


# ---- on the end of another job


def test_a_run_that_ends_well_is_answered_once() -> None:
    first = because(ON_TRAIN, seen(train=(ran(1),)))
    assert (first.runs, first.said) == (("train-1",), "train-1 ended well")
    assert due(ON_TRAIN, seen(answering(1, first), train=(ran(1),))) is None
    second = because(ON_TRAIN, seen(answering(1, first), train=(ran(1), ran(2))))
    assert second.runs == ("train-2",)


@pytest.mark.parametrize("outcome", ["running", "failed", "cancelled", "lost"])
def test_a_run_that_did_not_end_well_is_none_to_answer(outcome: str) -> None:
    assert due(ON_TRAIN, seen(train=(ran(1, outcome),))) is None


def test_where_several_ended_meanwhile_one_stands_for_all_and_says_so() -> None:
    few = because(ON_TRAIN, seen(train=(ran(3), ran(1), ran(2, "failed"))))
    assert few.runs == ("train-1", "train-3")
    assert few.said == "train-3 ended well, and stands for train-1 as well"
    many = because(ON_TRAIN, seen(train=tuple(ran(n) for n in range(1, 8))))
    assert many.said.endswith("stands for train-4, train-5, train-6 and 3 more as well")
    assert len(many.runs) == 7


def test_a_run_that_was_at_work_when_a_later_one_was_answered_is_answered_when_it_ends() -> None:
    first = because(ON_TRAIN, seen(train=(ran(1, "running"), ran(2))))
    assert (first.runs, first.marks["train"]) == (("train-2",), Mark(upto=2, open=(1,)))
    after = seen(answering(1, first), train=(ran(1), ran(2)))
    assert because(ON_TRAIN, after).runs == ("train-1",)


def test_a_failed_answer_is_an_answer_and_a_manual_run_is_none() -> None:
    first = because(ON_TRAIN, seen(train=(ran(1),)))
    assert due(ON_TRAIN, seen(answering(1, first, "failed"), train=(ran(1),))) is None
    assert because(ON_TRAIN, seen(ran(1), train=(ran(1),))).runs == ("train-1",)


@pytest.mark.parametrize("outcome", ["cancelled", "lost"])
def test_an_answer_that_was_ended_from_outside_is_begun_again_but_not_for_ever(
    outcome: str,
) -> None:
    first = because(ON_TRAIN, seen(train=(ran(1),)))
    for times in range(1, INTERRUPTED_MAX):
        past = tuple(answering(n, first, outcome) for n in range(1, times + 1))
        assert because(ON_TRAIN, seen(*past, train=(ran(1),))).runs == ("train-1",)
    past = tuple(answering(n, first, outcome) for n in range(1, INTERRUPTED_MAX + 1))
    assert due(ON_TRAIN, seen(*past, train=(ran(1),))) is None


def test_a_run_by_hand_after_an_answer_that_was_cut_short_does_not_stand_for_it() -> None:
    first = because(ON_TRAIN, seen(train=(ran(1),)))
    past = (answering(1, first, "cancelled"), ran(2))
    assert because(ON_TRAIN, seen(*past, train=(ran(1),))).runs == ("train-1",)


def test_records_that_were_pruned_are_not_missed() -> None:
    trains = tuple(ran(n) for n in range(1, 60))
    last = because(ON_TRAIN, seen(train=trains))
    assert due(ON_TRAIN, seen(answering(9, last), train=trains)) is None
    assert due(ON_TRAIN, seen(answering(9, last), ran(10), train=trains[40:])) is None


def test_numbers_that_began_anew_since_records_were_removed_by_hand_are_answered() -> None:
    last = because(ON_TRAIN, seen(train=(ran(57),)))
    assert because(ON_TRAIN, seen(answering(1, last), train=(ran(1),))).runs == ("train-1",)


@pytest.mark.parametrize("seed", range(40))
def test_in_any_world_each_good_run_is_answered_once_whenever_somebody_looks(seed: int) -> None:
    chance = random.Random(seed)
    trains: list[Past] = []
    past: list[Past] = []
    answered: list[str] = []
    for moment in range(200):
        match chance.choice(["begin", "end", "look", "look", "prune"]):
            case "begin":
                trains.append(ran(len(trains) + 1, "running", began_s=moment))
            case "end":
                at_work = [n for n, run in enumerate(trains) if run.outcome == "running"]
                for n in at_work[: chance.randint(0, 2)]:
                    outcome = chance.choice(["done", "failed", "lost"])
                    trains[n] = replace(trains[n], outcome=outcome, ended_s=moment)
            case "look":
                found = due(ON_TRAIN, seen(*past, train=tuple(trains), now_s=moment))
                if found is not None:
                    how = chance.choice(["done", "failed", "cancelled"])
                    interrupted = past[:-INTERRUPTED_MAX:-1]
                    if how == "cancelled" and any(r.outcome == how for r in interrupted):
                        how = "done"
                    past.append(answering(moment, found.because, how, began_s=moment))
                    answered += found.because.runs if how != "cancelled" else ()
            case _:
                past = past[-INTERRUPTED_MAX:]
    trains = [replace(run, outcome="done") if run.outcome == "running" else run for run in trains]
    found = due(ON_TRAIN, seen(*past, train=tuple(trains), now_s=1e6))
    answered += found.because.runs if found else ()
    good = [f"train-{run.number}" for run in trains if run.outcome == "done"]
    assert sorted(answered) == sorted(good)


# ---- on files


def test_files_that_changed_are_waited_for_until_they_are_quiet() -> None:
    for since_s, at_s in ((50.0, 60.0), (95.0, 105.0)):
        found = due(ON_STORE, seen(files=Files(listing="a", since_s=since_s)))
        assert found is not None
        assert found.at_s == at_s
        assert found.because.said == "files of store have changed"


def test_when_the_pipelines_run_has_ended_nobody_waits_for_quiet() -> None:
    sight = seen(files=Files(listing="a", since_s=99.0), ended=True)
    assert because(ON_STORE, sight).sinks == ("store",)


def test_files_that_a_run_has_seen_are_not_new_whatever_began_it() -> None:
    files = Files(listing="a", since_s=0.0)
    assert due(ON_STORE, seen(ran(1, "failed", seen={"store": "a"}), files=files)) is None
    assert because(ON_STORE, seen(ran(1, seen={"store": "b"}), files=files)).sinks == ("store",)
    assert because(ON_STORE, seen(ran(1), files=files)).sinks == ("store",)


def test_a_sink_without_files_is_nothing_to_run_for() -> None:
    assert due(ON_STORE, seen()) is None
    assert due(ON_STORE, seen(ran(1, seen={"store": "a"}), ended=True)) is None


def test_of_jobs_and_sinks_any_is_enough_and_a_sink_that_is_not_quiet_is_not_told() -> None:
    both = TriggerPlan(kind="on", jobs=("train",), sinks=("store",))
    sight = seen(train=(ran(1),), files=Files(listing="a", since_s=99.0))
    found = because(both, sight)
    assert (found.runs, found.sinks, found.said) == (("train-1",), (), "train-1 ended well")
    quiet = replace(sight, sinks={"store": Files(listing="a", since_s=1.0)})
    assert because(both, quiet).said == "train-1 ended well; files of store have changed"
