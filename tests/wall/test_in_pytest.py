"""A wall used in somebody's own test."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import steps


def test_the_step_is_still_an_ordinary_function() -> None:
    frame = steps.rows([steps.GOOD] * 3)
    assert steps.double(frame)["doubled"].to_list() == [0, 2, 4]


def test_a_wall_in_a_test_gives_the_good_rows_and_names_the_bad_ones() -> None:
    frame = steps.rows([steps.GOOD, steps.RAISES, steps.GOOD, steps.SEGFAULTS, steps.GOOD])
    with fd.Wall(steps.double) as wall:
        outcome = wall(frame)
    good, dead = outcome
    assert isinstance(good, pl.DataFrame)
    assert_frame_equal(good, steps.double(frame[[0, 2, 4]]))
    assert outcome.rows is not None
    assert outcome.rows.to_list() == [0, 2, 4]
    assert outcome.dead is dead
    assert_frame_equal(outcome.dead.rows, frame[[1, 3]])
    assert outcome.dead.reasons["row"].to_list() == [1, 3]
    assert outcome.dead.reasons["code"].to_list() == ["exception", "crash"]
    assert "this row is poison" in outcome.dead.reasons["message"][0]
    assert "SIGSEGV" in outcome.dead.reasons["signature"][1]


@pytest.fixture(scope="module")
def shared() -> Iterator[fd.Wall]:
    """Give one wall for a module of tests, as a user with many tests would make it."""
    with fd.Wall(steps.double) as wall:
        yield wall


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_wall_serves_many_tests(shared: fd.Wall, bad: int) -> None:
    kinds = [steps.GOOD] * 3
    kinds[bad] = steps.RAISES
    good, dead = shared(steps.rows(kinds))
    assert len(good) == 2
    assert len(dead) == 1


def test_a_step_that_always_fails_is_the_test_s_own_failure_with_the_column_named() -> None:
    frame = steps.rows([steps.GOOD] * 20)
    with fd.Wall(steps.fail_always) as wall, pytest.raises(fd.StepAtFault) as caught:
        wall(frame)
    assert caught.value.code == "always_fails"
    assert "air_time" in str(caught.value) or "distance" in str(caught.value)
    assert caught.value.frame is frame
