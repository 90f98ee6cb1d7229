"""Promises of docs/guarantees.md that can be seen from outside, kept by real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import other_frames, steps

ROWS = 300
AT = (7, 150, 299)


@pytest.fixture(scope="module")
def hasty() -> Iterator[fd.Wall]:
    """Give a wall with a short limit, for rows that hang."""
    with fd.Wall(steps.double, timeout_s=1) as wall:
        yield wall


@pytest.fixture(scope="module")
def patient() -> Iterator[fd.Wall]:
    """Give a wall with a long limit, so that on a busy machine nothing else counts as a hang."""
    with fd.Wall(steps.double, timeout_s=60, memory="256MiB") as wall:
        yield wall


@pytest.mark.parametrize("kind", sorted(steps.CODES))
def test_a_poison_row_of_any_kind_costs_that_row_and_no_other(
    hasty: fd.Wall, patient: fd.Wall, kind: int
) -> None:
    wall = hasty if steps.CODES[kind] == "hang" else patient
    frame = steps.rows([kind if row == AT[1] else steps.GOOD for row in range(ROWS)])
    outcome = wall(frame)
    good = [row for row in range(ROWS) if row != AT[1]]
    assert_frame_equal(outcome.good, steps.double(frame[good]))
    assert outcome.rows is not None
    assert outcome.rows.to_list() == good
    assert_frame_equal(outcome.dead.rows, frame[[AT[1]]])
    assert outcome.dead.reasons["code"].to_list() == [steps.CODES[kind]]


def test_different_faults_in_one_batch_cost_a_row_each(hasty: fd.Wall) -> None:
    kinds = dict(zip(AT, (steps.SEGFAULTS, steps.SLEEPS, steps.RAISES), strict=True))
    frame = steps.rows([kinds.get(row, steps.GOOD) for row in range(ROWS)])
    outcome = hasty(frame)
    assert_frame_equal(outcome.good, steps.double(frame.filter(pl.col("kind") == steps.GOOD)))
    assert outcome.dead.reasons["row"].to_list() == list(AT)
    assert outcome.dead.reasons["code"].to_list() == ["crash", "hang", "exception"]


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


def test_pandas_and_pyarrow_frames_come_back_as_they_went_in() -> None:
    frame = steps.rows([steps.GOOD, steps.RAISES, steps.GOOD])
    with fd.Wall(other_frames.double_pandas) as pandas_wall:
        good, dead = pandas_wall(frame.to_pandas())
    assert isinstance(good, pd.DataFrame)
    assert good["doubled"].tolist() == [0, 4]
    assert good.index.tolist() == [0, 2]
    assert len(dead) == 1
    with fd.Wall(other_frames.double_arrow) as arrow_wall:
        table, dead = arrow_wall(frame.to_arrow())
    assert isinstance(table, pa.Table)
    assert table["doubled"].to_pylist() == [0, 4]
    assert len(dead) == 1


def test_a_hundred_rows_that_raise_are_named_each(patient: fd.Wall) -> None:
    bad = list(range(0, 10_000, 100))
    frame = steps.rows([steps.GOOD if row % 100 else steps.RAISES for row in range(10_000)])
    outcome = patient(frame)
    assert outcome.dead.reasons["row"].to_list() == bad
    assert_frame_equal(outcome.good, steps.double(frame.filter(pl.col("kind") == steps.GOOD)))


def test_map_gives_outcomes_in_order_and_takes_few_frames_in_advance() -> None:
    taken = []

    def batches() -> Iterator[pl.DataFrame]:
        for number in range(12):
            taken.append(number)
            kinds = [steps.GOOD] * 20
            kinds[number] = steps.SEGFAULTS if number % 4 == 0 else steps.GOOD
            yield steps.rows(kinds).with_columns(number=pl.lit(number))

    with fd.Wall(steps.double, workers=2) as pipelined:
        for position, (good, dead) in enumerate(pipelined.map(batches())):
            assert good["number"].unique().to_list() == [position]
            assert len(dead) == (position % 4 == 0)
            assert len(taken) <= position + 1 + 3
    assert taken == list(range(12))
