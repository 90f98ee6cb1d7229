"""What a drill has run is told by the records of runs alone, and ends with one clean run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from firedoor.flow.drilled import due_for_drill, first_of
from firedoor.flow.triggers import Because, Due, Past, Sight, TriggerPlan, due

FAULT = "d1-3"
ON_TRAIN = TriggerPlan(kind="on", jobs=("train",))


def ran(number: int, outcome: str = "done", *, drill: str = "", **more: Any) -> Past:
    because = Because(trigger="drill", said="", drill=drill) if drill else None
    past = Past(number=number, outcome=outcome, began_s=0.0, ended_s=1.0, because=because)
    return replace(past, **more)


def train(wanted: str, *past: Past) -> Due | None:
    return due_for_drill(wanted, past, past, 9.0, alone=True)


def evaluate(wanted: str, own: tuple[Past, ...], first: tuple[Past, ...]) -> Due | None:
    return due_for_drill(wanted, own, first, 9.0, alone=False)


def test_a_fault_that_is_wanted_has_the_job_begin_at_once_and_once() -> None:
    found = train(FAULT, ran(1))
    assert found is not None
    assert (found.at_s, found.because.trigger, found.because.drill) == (9.0, "drill", FAULT)
    struck = ran(2, "failed", drill=FAULT, drilled=FAULT)
    assert train(FAULT, ran(1), replace(struck, outcome="running")) is None
    assert train(FAULT, ran(1), struck) is None
    assert train("d1-4", ran(1), struck) is not None


@pytest.mark.parametrize("outcome", ["lost", "cancelled"])
def test_a_run_that_was_cut_short_is_struck_again_for_as_long_as_the_fault_is_wanted(
    outcome: str,
) -> None:
    cut = ran(2, outcome, drill=FAULT, drilled=FAULT)
    assert train(FAULT, cut) is not None


@pytest.mark.parametrize("outcome", ["done", "failed", "lost"])
def test_once_the_fault_is_over_the_job_runs_once_more_and_then_as_ever(outcome: str) -> None:
    struck = ran(2, outcome, drill=FAULT, drilled=FAULT)
    found = train("", ran(1), struck)
    assert found is not None
    assert found.because.drill == f"after {FAULT}"
    assert train("", ran(1), struck, ran(3, "running", drill=f"after {FAULT}")) is None
    assert train("", ran(1), struck, ran(3, "failed", drill=f"after {FAULT}")) is None
    assert train("", ran(1)) is None
    assert train("") is None


def test_a_job_that_follows_others_is_struck_when_the_first_of_them_has_it_run() -> None:
    triggers = {"train": TriggerPlan(), "evaluate": ON_TRAIN, "tell": replace_jobs("evaluate")}
    assert [first_of(name, triggers) for name in triggers] == ["train"] * 3
    assert evaluate(FAULT, (), ()) is not None
    assert evaluate(FAULT, (), (ran(1, drill=FAULT),)) is None, "its trigger has it run"
    assert evaluate(FAULT, (), (ran(1, "failed", drill=FAULT),)) is None, "nothing to be struck"
    assert evaluate(FAULT, (), (ran(1, "lost", drill=FAULT),)) is not None


def test_of_one_that_follows_the_first_runs_again_once_the_fault_is_over() -> None:
    own, first = (ran(1, "failed", drilled=FAULT),), (ran(1, drill=FAULT),)
    found = evaluate("", own, first)
    assert found is not None
    assert found.because.drill == f"after {FAULT}"
    assert evaluate("", own, (*first, ran(2, drill=f"after {FAULT}"))) is None
    assert evaluate("", own, (*first, ran(2, "failed", drill=f"after {FAULT}"))) is None


def test_a_run_that_a_drill_began_answers_no_run_of_another_job() -> None:
    others = {"train": (ran(1), ran(2))}
    mine = ran(1, drill=FAULT)
    assert due(ON_TRAIN, Sight(now_s=9.0, past=(mine,), others=others)) is not None


def replace_jobs(*jobs: str) -> TriggerPlan:
    return TriggerPlan(kind="on", jobs=jobs)
