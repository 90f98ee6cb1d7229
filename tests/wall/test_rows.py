"""One bad row costs one row: real workers that really die, for any set of poison rows and kinds.

The walls are shared by a module's tests. A limit of a second is for rows that hang; every other
kind has a minute, so that on a busy machine nothing is mistaken for a hang.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import passing, steps

CHEAP = [steps.RAISES, steps.RAISES_SYSTEM_EXIT]
DEADLY = [steps.SEGFAULTS, steps.EXITS, steps.ABORTS, steps.RAISES_MEMORY_ERROR]
HANGING = [
    steps.HANGS,
    steps.SLEEPS,
    steps.HANGS_HOLDING_THE_LOCK,
    steps.HANGS_IGNORING_SIGTERM,
]
POISON_MAX = 9
"""Ten rows that fail in one way may be the step's fault."""
real = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def patient() -> Iterator[fd.Wall]:
    with fd.Wall(steps.double, timeout_s=60, memory="256MiB") as wall:
        yield wall


@pytest.fixture(scope="module")
def hasty() -> Iterator[fd.Wall]:
    with fd.Wall(steps.double, timeout_s=0.4, memory="256MiB") as wall:
        yield wall


@st.composite
def batches(draw: st.DrawFn, kinds: list[int], poison_max: int) -> list[int]:
    """Draw a batch in which some rows, but not all, are poison of these kinds."""
    height = draw(st.integers(2, 60))
    count = draw(st.integers(1, min(poison_max, height - 1)))
    where = draw(st.lists(st.integers(0, height - 1), min_size=count, max_size=count, unique=True))
    batch = [steps.GOOD] * height
    for row in where:
        batch[row] = draw(st.sampled_from(kinds))
    return batch


def check(wall: fd.Wall, kinds: list[int]) -> fd.Outcome[pl.DataFrame]:
    """Good rows come out once, in order, as from the bare function; each bad row is named."""
    frame = steps.rows(kinds)
    outcome = wall(frame)
    good = [row for row, kind in enumerate(kinds) if kind == steps.GOOD]
    bad = [row for row, kind in enumerate(kinds) if kind != steps.GOOD]
    assert_frame_equal(outcome.good, steps.double(frame[good]))
    assert outcome.rows is not None
    assert outcome.rows.to_list() == good
    assert outcome.rows.dtype == pl.UInt32
    reasons = outcome.dead.reasons
    assert reasons["row"].to_list() == bad
    assert reasons["code"].to_list() == [steps.CODES[kinds[row]] for row in bad]
    assert_frame_equal(outcome.dead.rows, frame[bad])
    causes = [steps.CODES[kinds[row]] for row in bad]
    for cause, attempts in zip(causes, reasons["attempts"].to_list(), strict=True):
        assert attempts[cause] >= 2, "guilty only after it failed alone twice"
    return outcome


@settings(real, max_examples=120)
@given(batches(CHEAP, POISON_MAX))
def test_rows_that_raise_cost_these_rows(patient: fd.Wall, kinds: list[int]) -> None:
    check(patient, kinds)


@settings(real, max_examples=40)
@given(batches(CHEAP + DEADLY, 4))
def test_rows_that_kill_their_worker_cost_these_rows(patient: fd.Wall, kinds: list[int]) -> None:
    check(patient, kinds)


@settings(real, max_examples=6)
@given(batches(CHEAP + DEADLY + HANGING, 3))
def test_rows_that_hang_among_others_cost_these_rows(hasty: fd.Wall, kinds: list[int]) -> None:
    check(hasty, kinds)


@pytest.mark.parametrize("kind", [*HANGING, steps.PRINTS_WITHOUT_END])
def test_a_row_that_hangs_in_any_way_costs_that_row(hasty: fd.Wall, kind: int) -> None:
    outcome = check(hasty, [steps.GOOD, kind, steps.GOOD])
    assert "exceeded 400 ms" in outcome.dead.reasons["message"][0]


def test_a_row_that_eats_memory_costs_that_row(patient: fd.Wall) -> None:
    outcome = check(patient, [*[steps.GOOD] * 20, steps.EATS_MEMORY, *[steps.GOOD] * 20])
    assert "256 MiB" in outcome.dead.reasons["message"][0]
    assert patient.report().peak_bytes > 256 * 2**20


def test_one_poison_row_in_every_batch_costs_one_row_a_batch(patient: fd.Wall) -> None:
    before = patient.report()
    for batch in range(24):
        kinds = [steps.GOOD] * 30
        kinds[batch] = [steps.RAISES, steps.SEGFAULTS, steps.EXITS][batch % 3]
        check(patient, kinds)
    after = patient.report()
    assert after.dead - before.dead == 24
    assert after.good - before.good == 24 * 29
    assert after.batches - before.batches == 24


def test_a_poison_row_of_ten_thousand_costs_at_most_six_workers(patient: fd.Wall) -> None:
    before = patient.report().workers_lost
    kinds = [steps.GOOD] * 10_000
    kinds[6_789] = steps.SEGFAULTS
    outcome = check(patient, kinds)
    assert patient.report().workers_lost - before <= 6
    assert outcome.dead.reasons["attempts"].to_list() == [
        {"exception": 0, "crash": 6, "hang": 0, "memory": 0}
    ]


def test_a_batch_of_nothing_but_different_poison_is_all_dead_each_row_by_its_own(
    patient: fd.Wall,
) -> None:
    check(patient, [steps.RAISES, steps.SEGFAULTS, steps.EXITS, steps.ABORTS] * 3)


def test_nine_rows_of_a_small_batch_that_fail_alike_are_rows_and_ten_are_the_step(
    patient: fd.Wall,
) -> None:
    check(patient, [steps.RAISES] * 9 + [steps.GOOD] * 21)
    with pytest.raises(fd.StepAtFault) as caught:
        patient(steps.rows([steps.RAISES] * 10 + [steps.GOOD] * 20))
    assert caught.value.code == "contrast"
    check(patient, [steps.SEGFAULTS] * 5 + [steps.GOOD] * 20)


@pytest.mark.parametrize("kinds", [[steps.RAISES], [steps.SEGFAULTS]])
def test_a_batch_of_one_bad_row_is_dead(patient: fd.Wall, kinds: list[int]) -> None:
    check(patient, kinds)
    check(patient, [steps.GOOD])  # or three such batches running would be the step's fault


def test_a_reason_has_the_error_and_the_last_frames(patient: fd.Wall) -> None:
    outcome = check(patient, [steps.GOOD, steps.RAISES, steps.SEGFAULTS, steps.GOOD])
    raised, crashed = outcome.dead.reasons["message"]
    for message, deed in ((raised, steps._raise), (crashed, steps._segfault)):
        first = inspect.getsourcelines(deed)[1]
        last = first + len(inspect.getsourcelines(deed)[0]) - 1
        assert any(
            f"steps.py:{line} in {deed.__name__}" in message for line in range(first, last + 1)
        )
    assert raised.startswith("ValueError: this row is poison\n")
    assert crashed.startswith("SIGSEGV\n")
    assert outcome.dead.reasons["signature"][0].startswith("ValueError at ")


def test_a_summary_groups_by_what_rows_died_of(patient: fd.Wall) -> None:
    outcome = check(patient, [steps.EXITS, *[steps.RAISES, steps.GOOD] * 3])
    summary = outcome.dead.summary()
    assert summary.columns == ["code", "signature", "rows", "first_row", "message"]
    assert summary["code"].to_list() == ["exception", "crash"]
    assert summary["rows"].to_list() == [3, 1]
    assert summary["first_row"].to_list() == [1, 0]
    assert "exited with code 3" in summary["signature"][1]
    assert repr(outcome.dead) in {
        "DeadLetters(4: 3 exception, 1 crash)",
        "DeadLetters(4: 1 crash, 3 exception)",
    }


def test_the_dead_as_one_frame_have_their_columns_and_their_reasons(patient: fd.Wall) -> None:
    dead = check(patient, [steps.GOOD, steps.RAISES, steps.GOOD]).dead
    assert dead.frame.columns == [
        *["kind", "number", "text"],
        *["dead_row", "dead_code", "dead_signature", "dead_message", "dead_attempts"],
    ]
    assert dead.frame.select("number", "dead_row", "dead_code").rows() == [(1, 1, "exception")]
    assert dead.to_pandas()["dead_code"].tolist() == ["exception"]


def test_columns_of_the_reasons_names_are_refused_rather_than_hidden() -> None:
    with fd.Wall(steps.double) as wall:
        frame = steps.rows([steps.GOOD, steps.RAISES]).with_columns(dead_code=pl.lit("mine"))
        dead = wall(frame).dead
    assert dead.rows["dead_code"].to_list() == ["mine"]
    with pytest.raises(fd.FrameRefused, match="dead_code"):
        _ = dead.frame


def test_dead_rows_keep_every_dtype_they_came_with() -> None:
    frame = passing.every_dtype(6).with_columns(kind=pl.Series([0, 1, 0, 0, 2, 0]))
    with fd.Wall(passing.harm_only) as wall:
        outcome = wall(frame)
    assert_frame_equal(outcome.dead.rows, frame[[1, 4]])
    assert_frame_equal(outcome.good, frame[[0, 2, 3, 5]])


# ------------------------------------------------------------------------- rows that are dropped


def test_rows_are_right_though_some_are_dead_and_some_dropped_as_declared() -> None:
    kinds = [steps.GOOD] * 40
    kinds[7], kinds[20] = steps.RAISES, steps.SEGFAULTS
    frame = steps.rows(kinds)
    left = [row for row in range(40) if row % 4 and row != 7]
    with fd.Wall(passing.drop_every_fourth) as wall:
        outcome = wall(frame)
        assert wall.report().dropped == {"every fourth": 9}
    assert outcome.dead.reasons["row"].to_list() == [7, 20]
    assert outcome.dropped == {"every fourth": 9}  # 20 would have been dropped, but died first
    assert outcome.rows is not None
    assert outcome.rows.to_list() == left
    assert outcome.good["number"].to_list() == left


def test_rows_filtered_within_the_declared_share_are_counted_and_the_others_named() -> None:
    with fd.Wall(steps.drop_odd, may_drop=0.5) as wall:
        outcome = wall(steps.rows([steps.GOOD] * 40))
    assert outcome.dropped == {"may_drop": 20}
    assert outcome.rows is not None
    assert outcome.rows.to_list() == list(range(0, 40, 2))
    assert len(outcome.dead) == 0


# -------------------------------------------------------- accidents, and batches that are too large


@pytest.mark.parametrize("deed", ["raise", "crash", "exit", "hang"])
def test_what_does_not_repeat_blames_nobody(deed: str) -> None:
    with passing.Oracle([deed]) as oracle, fd.Wall(passing.ask, timeout_s=1) as wall:
        frame = steps.rows([steps.GOOD] * 30).with_columns(port=pl.lit(oracle.port))
        calm, _ = wall(frame.with_columns(port=pl.lit(0)))
        outcome = wall(frame)
        notes = wall.report().notes
        assert oracle.asked > 1
    assert_frame_equal(outcome.good, frame)
    assert calm.height == 30
    assert len(outcome.dead) == 0
    assert [note for note in notes if "did not repeat" in note]


@pytest.mark.parametrize(
    ("step", "what"), [(passing.slow_by_the_row, "time"), (passing.large_by_the_row, "memory")]
)
def test_a_batch_too_large_for_its_limit_is_delivered_in_pieces_and_this_is_said(
    step: object, what: str
) -> None:
    frame = steps.rows([steps.GOOD] * 400)
    timeout_s = 0.5 if what == "time" else 30
    with fd.Wall(step, timeout_s=timeout_s, memory="192MiB") as wall:  # type: ignore[arg-type]
        outcome = wall(frame)
        notes = wall.report().notes
    assert_frame_equal(outcome.good, frame)
    assert len(outcome.dead) == 0
    assert outcome.rows is not None
    assert outcome.rows.to_list() == list(range(400))
    assert [note for note in notes if f"batch too large for its limit of {what}" in note]
