"""Where the step is to blame and not a row: said as such, and nothing is dead-lettered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import steps

ROWS = 300


@pytest.fixture(scope="module")
def patient() -> Iterator[fd.Wall]:
    """Give a wall with a long limit, so that on a busy machine nothing else counts as a hang."""
    with fd.Wall(steps.double, timeout_s=60, memory="256MiB") as wall:
        yield wall


def test_a_batch_of_nothing_but_poison_is_the_step_s_fault_not_the_rows(
    patient: fd.Wall,
) -> None:
    frame = steps.rows([steps.SEGFAULTS] * ROWS)
    with pytest.raises(fd.StepAtFault) as caught:
        patient(frame)
    assert caught.value.code == "contrast"
    assert "SIGSEGV" in caught.value.signature
    assert caught.value.frame is frame


def test_a_step_that_always_hangs_is_at_fault_and_nothing_is_dead_lettered() -> None:
    frame = steps.rows([steps.GOOD] * ROWS)
    with fd.Wall(steps.hang_always, timeout_s=0.5) as hanging:
        with pytest.raises(fd.StepAtFault) as caught:
            hanging(frame)
        assert hanging.report().dead == 0
    assert caught.value.code == "contrast"
    assert caught.value.frame is frame


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (steps.return_none, "not_a_frame"),
        (steps.return_text, "not_a_frame"),
        (steps.duplicate, "rows_added"),
        (steps.drop_odd, "rows_vanished"),
        (steps.reverse, "rows_reordered"),
        (steps.fail_always, "always_fails"),
    ],
)
def test_a_step_that_breaks_the_contract_is_at_fault(step: object, code: str) -> None:
    frame = steps.rows([steps.GOOD] * 40)
    with fd.Wall(step) as broken, pytest.raises(fd.StepAtFault) as caught:  # type: ignore[arg-type]
        broken(frame)
    assert caught.value.code == code
    assert caught.value.frame is frame


@pytest.mark.parametrize("step", [steps.z_score, steps.shift])
def test_a_step_whose_rows_depend_on_each_other_is_found_out_and_its_output_not_changed(
    step: object,
) -> None:
    frame = steps.rows([steps.GOOD] * 40)
    with fd.Wall(step) as found_out:  # type: ignore[arg-type]
        good, dead = found_out(frame)
        assert_frame_equal(good, step(frame))  # type: ignore[operator]
        assert len(dead) == 0
        assert found_out.report().rowwise is False


def test_a_bad_row_costs_its_batch_where_rows_depend_on_each_other() -> None:
    frame = steps.rows([steps.GOOD] * 40)
    poisoned = steps.rows([steps.RAISES, *[steps.GOOD] * 39])
    with fd.Wall(steps.harmful_z_score) as found_out:
        good, _ = found_out(frame)
        lost = found_out(poisoned)
        again, _ = found_out(frame)
    assert_frame_equal(good, steps.harmful_z_score(frame))
    assert_frame_equal(again, good)
    assert lost.good.height == 0
    assert set(lost.dead.reasons["code"]) == {"batch"}
    assert_frame_equal(lost.dead.rows, poisoned)
