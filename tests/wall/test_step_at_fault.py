"""A fault of the step is told from faults of rows: it is named, and nothing is dead-lettered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import broken, steps

Step = Callable[[pl.DataFrame], Any]


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """Keep a wall open, so that the walls of these tests share its fork server."""
    with fd.Wall(steps.double) as wall:
        wall(steps.rows([steps.GOOD] * 2))
        yield


def fault(step: Step, frame: pl.DataFrame, **options: Any) -> fd.StepAtFault:
    """Return the fault that a wall around ``step`` raises, having held it to what all share."""
    before = frame.clone()
    with fd.Wall(step, **options) as wall:
        with pytest.raises(fd.StepAtFault) as caught:
            wall(frame)
        report = wall.report()
    error = caught.value
    assert error.frame is frame
    assert_frame_equal(frame, before)
    assert error.undelivered == (frame,)
    assert report.dead == 0, "nothing may be dead-lettered"
    assert report.good == 0
    return error


def flights(count: int, *, unknown: int = 0) -> pl.DataFrame:
    """Return rows, of which every tenth, up to ``unknown``, has a destination without a city."""
    dest = [broken.GOOD_DEST[i % 3] for i in range(count)]
    for i in range(unknown):
        dest[i * 10] = "XXX"
    return steps.rows([steps.GOOD] * count).with_columns(dest=pl.Series(dest))


def line_of(step: Step, text: str) -> str:
    """Return ``file:line`` of the line of a step that holds ``text``."""
    lines, first = inspect.getsourcelines(step)
    number = next(first + i for i, line in enumerate(lines) if text in line)
    return f"{inspect.getsourcefile(step)}".rpartition("/")[2] + f":{number}"


# -------------------------------------------------------------------- a step that always fails


def test_a_renamed_column_is_named_with_the_line_that_asks_for_it() -> None:
    error = fault(steps.fail_always, steps.rows([steps.GOOD] * 500))
    assert error.code == "always_fails"
    assert set(error.columns) & {"distance", "air_time"}
    assert error.line is not None
    assert error.line.endswith(line_of(steps.fail_always, "speed="))
    assert error.signature == f"ColumnNotFoundError at {error.line}"
    assert error.failed_rows > 0


@pytest.mark.parametrize("rows", [1, 3, 500])
def test_a_step_that_fails_even_without_rows_blames_no_row_however_few_there_are(rows: int) -> None:
    error = fault(broken.raise_even_on_nothing, steps.rows([steps.GOOD] * rows))
    assert error.code == "always_fails"
    assert error.columns == ("kind",)
    assert error.line is not None
    assert error.line.endswith(line_of(broken.raise_even_on_nothing, "raise "))


@pytest.mark.parametrize(
    ("step", "signature", "options"),
    [
        (broken.raise_on_any_row, "LookupError at ", {}),
        (broken.segfault_always, "SIGSEGV at ", {}),
        (steps.hang_always, "hang in ", {"timeout_s": 0.3}),
        (broken.hang_even_on_nothing, "hang in ", {"timeout_s": 0.3}),
        (broken.eat_memory_always, "memory", {"memory": "128MiB", "timeout_s": 30}),
    ],
)
def test_a_step_that_fails_on_every_row_is_at_fault_and_soon(
    step: Step, signature: str, options: dict[str, Any]
) -> None:
    error = fault(step, steps.rows([steps.GOOD] * 500), **options)
    assert error.code == "contrast"
    assert error.signature.startswith(signature)
    assert "so it is the step, not the rows" in str(error)


def test_a_step_that_fails_on_every_row_costs_few_workers() -> None:
    with fd.Wall(broken.segfault_always) as wall:
        with pytest.raises(fd.StepAtFault):
            wall(steps.rows([steps.GOOD] * 10_000))
        assert wall.report().workers_lost <= 12


# ------------------------------------------------------------------ a step that returns no frame


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (steps.return_none, "None: was `return` forgotten?"),
        (steps.return_text, "give a polars, pandas or pyarrow frame"),
        (broken.return_lazy, "call .collect() on it"),
        (broken.return_series, "call .to_frame() on it"),
        (broken.return_dict, "make a frame of it"),
        (broken.return_objects, "column 'thing' holds Python objects"),
    ],
)
def test_a_step_that_returns_no_frame_hears_what_it_returned_and_what_to_do(
    step: Step, said: str
) -> None:
    error = fault(step, steps.rows([steps.GOOD] * 20))
    assert error.code == "not_a_frame"
    assert said in str(error)


# ------------------------------------------------------- rows that are added, moved, or vanish


@pytest.mark.parametrize("step", [steps.duplicate, broken.add_one_row])
def test_added_rows_are_a_fault_of_the_step(step: Step) -> None:
    error = fault(step, flights(40))
    assert error.code == "rows_added"
    assert "join" in str(error)


def test_rows_doubled_by_a_join_are_found_though_no_more_come_out_than_go_in() -> None:
    error = fault(broken.join_cities_twice, flights(40, unknown=4), may_drop=1)
    assert error.code == "rows_added"


@pytest.mark.parametrize("step", [steps.reverse, broken.sort_lazily])
def test_rows_in_another_order_are_a_fault_of_the_step(step: Step) -> None:
    assert fault(step, flights(40)).code == "rows_reordered"


def test_rows_in_another_order_are_found_where_others_are_dropped() -> None:
    assert fault(broken.reverse_and_drop, flights(40), may_drop=1).code == "rows_reordered"


def test_rows_that_vanish_in_an_inner_join_are_a_fault_of_the_step() -> None:
    error = fault(broken.join_cities, flights(40, unknown=1))
    assert error.code == "rows_vanished"
    assert error.failed_rows == 1
    assert "1 of 40 rows vanish" in str(error)
    assert "may_drop=" in str(error)


def test_more_rows_dropped_than_declared_are_a_fault_of_the_step() -> None:
    error = fault(broken.join_cities, flights(400, unknown=40), may_drop=0.05)
    assert error.code == "rows_vanished"
    assert error.failed_rows == 40
    assert "may_drop=0.05" in str(error)


def test_a_join_that_drops_within_its_declared_share_is_none() -> None:
    frame = flights(400, unknown=20)
    with fd.Wall(broken.join_cities, may_drop=0.05) as wall:
        outcome = wall(frame)
    assert_frame_equal(outcome.good, broken.join_cities(frame))
    assert outcome.dropped == {"may_drop": 20}
    assert outcome.rows is not None
    assert frame[outcome.rows]["dest"].is_in(broken.GOOD_DEST).all()


def test_rows_dropped_by_drop_are_declared_however_many() -> None:
    with fd.Wall(broken.drop_as_declared) as wall:
        outcome = wall(flights(40, unknown=4))
    assert outcome.dropped == {"no city": 4}
    assert outcome.good.height == 36


# ------------------------------------------------------------------------- schemas, and contrast


@pytest.mark.parametrize(
    ("schema", "columns", "rule"),
    [(broken.DoubledAsText, ("doubled",), "doubled|dtype"), (broken.Tripled, ("tripled",), None)],
)
def test_another_schema_than_declared_is_a_fault_of_the_step(
    schema: Any, columns: tuple[str, ...], rule: str | None
) -> None:
    error = fault(steps.double, steps.rows([steps.GOOD] * 20), out_schema=schema)
    assert error.code == "wrong_schema"
    assert error.columns == columns
    assert error.rule == rule


@pytest.mark.parametrize("where", ["schema", "out_schema"])
def test_a_rule_that_over_a_twentieth_of_the_rows_fail_is_at_fault(where: str) -> None:
    # In ``doubled`` at most 100 is allowed, so rows 51 to 59 fail, and then 51 to 69.
    step: Step = steps.double if where == "out_schema" else broken.give_back
    frame, larger = steps.rows([steps.GOOD] * 60), steps.rows([steps.GOOD] * 70)
    if where == "schema":
        frame, larger = steps.double(frame), steps.double(larger)
    error = fault(step, larger, **{where: broken.Doubled})
    assert error.code == "contrast"
    assert error.rule == "doubled|max"
    assert error.columns == ("doubled",)
    assert error.failed_rows == 19
    assert "rule 'doubled|max' of Doubled" in str(error)
    with fd.Wall(step, **{where: broken.Doubled}) as wall:  # type: ignore[arg-type]
        assert wall(frame).dead.reasons["row"].to_list() == list(range(51, 60))


def test_three_batches_running_that_are_all_dead_in_one_way_are_the_step_s_fault() -> None:
    dead, alive = steps.rows([steps.RAISES] * 4), steps.rows([steps.GOOD] * 4)
    with fd.Wall(steps.double) as wall:
        for frame in (dead, dead, alive, dead, dead):
            assert len(wall(frame).dead) == (4 if frame is dead else 0)
        with pytest.raises(fd.StepAtFault) as caught:
            wall(dead)
        assert wall.report().dead == 16, "the third batch was handed back, not dead-lettered"
    error = caught.value
    assert error.code == "contrast"
    assert error.signature.startswith("ValueError at ")
    assert error.frame is dead
    assert "3 batches running (12 rows)" in str(error)


def test_contrast_of_one_blames_rows_only() -> None:
    with fd.Wall(steps.double, contrast=1) as wall:
        for _ in range(3):
            assert len(wall(steps.rows([steps.RAISES] * 30)).dead) == 30


def test_a_search_that_takes_too_long_is_given_up() -> None:
    error = fault(
        steps.double,
        steps.rows([steps.SLEEPS, *[steps.GOOD] * 15] * 20),
        timeout_s=0.3,
        isolation_s=0.5,
        contrast=1,
    )
    assert error.code == "isolation_budget"
    assert "isolation_s" in str(error)


# ------------------------------------------------------------------------------------------ map


def test_map_hands_back_every_frame_that_it_took_and_did_not_deliver() -> None:
    frames = [steps.rows([steps.GOOD] * 20).with_columns(batch=pl.lit(i)) for i in range(8)]
    frames[3] = steps.rows([steps.RAISES] * 20)
    taken: list[pl.DataFrame] = []
    delivered: list[pl.DataFrame] = []

    def source() -> Iterator[pl.DataFrame]:
        for frame in frames:
            taken.append(frame)
            yield frame

    with fd.Wall(steps.double, workers=2) as wall:
        outcomes = wall.map(source())
        delivered += [next(outcomes).good for _ in range(3)]
        with pytest.raises(fd.StepAtFault) as caught:
            next(outcomes)
    error = caught.value
    assert [frame["batch"][0] for frame in delivered] == [0, 1, 2]
    assert error.frame is frames[3]
    assert error.undelivered[0] is frames[3]
    assert len(taken) == len(delivered) + len(error.undelivered)
    assert all(a is b for a, b in zip(error.undelivered, taken[3:], strict=True))


# -------------------------------------------------------------- steps that are not row-wise


@pytest.mark.parametrize("step", [steps.z_score, broken.rank_over_kind, broken.forward_fill])
def test_a_step_whose_rows_depend_on_each_other_is_found_out_at_the_first_batch(step: Step) -> None:
    frame = steps.rows([steps.GOOD] * 41).with_columns(text=pl.lit("same"))
    with fd.Wall(step) as wall:
        good, dead = wall(frame)
        report = wall.report()
    assert_frame_equal(good, step(frame))
    assert len(dead) == 0
    assert report.rowwise is False
    assert "depend on each other" in report.rowwise_why
    assert "no, so a bad row costs its batch" in str(report)


@pytest.mark.parametrize(
    "step",
    [steps.harmful_z_score, broken.harmful_shift, broken.harmful_rank, broken.harmful_unique],
)
@pytest.mark.parametrize("kind", [steps.RAISES, steps.SEGFAULTS])
def test_a_poison_row_in_the_first_batch_changes_no_other_row_of_such_a_step(
    step: Step, kind: int
) -> None:
    good = steps.rows([steps.GOOD] * 41).with_columns(text=pl.col("number").floordiv(7).cast(str))
    poisoned = good.with_columns(kind=pl.when(pl.col("number") == 17).then(kind).otherwise(0))
    with fd.Wall(step, may_drop=1) as wall:
        lost = wall(poisoned)
        assert lost.good.height == 0, "any row that came out would be wrong"
        assert lost.good.columns == step(good).columns
        assert set(lost.dead.reasons["code"]) == {"batch"}
        assert lost.dead.reasons["row"].to_list() == list(range(41))
        assert "not row-wise" in lost.dead.reasons["message"][0]
        assert "row 17" in lost.dead.reasons["message"][0]
        assert_frame_equal(lost.dead.rows, poisoned)
        assert wall.report().rowwise is False
        whole = wall(good)
        assert_frame_equal(whole.good, step(good))
        again = wall(poisoned)
        assert set(again.dead.reasons["code"]) == {"batch"}
        assert len(again.dead) == 41


def test_a_step_declared_batchwise_is_never_cut() -> None:
    frame = steps.rows([steps.GOOD] * 30)
    poisoned = steps.rows([steps.GOOD] * 29 + [steps.RAISES])
    with fd.Wall(steps.harmful_z_score, batchwise=True) as wall:
        assert_frame_equal(wall(frame).good, steps.harmful_z_score(frame))
        lost = wall(poisoned)
        report = wall.report()
    assert set(lost.dead.reasons["code"]) == {"batch"}
    assert lost.dead.reasons["attempts"][0] == {"exception": 2, "crash": 0, "hang": 0, "memory": 0}
    assert report.rowwise is False
    assert report.rowwise_why == "declared batchwise"


def test_a_batch_too_large_for_such_a_step_is_dead_rather_than_wrong_in_pieces() -> None:
    frame = steps.rows([steps.GOOD] * 400)
    with fd.Wall(broken.slow_z_score, timeout_s=0.5) as wall:
        outcome = wall(frame)
        assert wall.report().rowwise is False
        small = wall(frame.head(20))
    assert outcome.good.height == 0
    assert set(outcome.dead.reasons["code"]) == {"batch"}
    assert len(outcome.dead) == 400
    assert "exceeded 500 ms" in outcome.dead.reasons["message"][0]
    assert_frame_equal(small.good, steps.z_score(frame.head(20)))


def test_a_frame_that_is_sent_in_pieces_is_sent_whole_to_such_a_step() -> None:
    frame = steps.rows([steps.GOOD] * 1_000).with_columns(wide=pl.lit("x" * 10_000))
    with fd.Wall(steps.z_score, memory="128MiB") as wall:
        for _ in range(2):
            good, _ = wall(frame)
            assert_frame_equal(good, steps.z_score(frame))
        assert wall.report().rowwise is False


def test_a_step_that_is_row_wise_is_found_to_be() -> None:
    with fd.Wall(steps.double) as wall:
        assert wall.report().rowwise is None
        wall(steps.rows([steps.GOOD] * 30))
        assert wall.report().rowwise is True


def test_rows_that_differ_by_no_more_than_their_order_of_summing_are_row_wise() -> None:
    with fd.Wall(broken.matrix_product) as wall:
        frame = pl.DataFrame({f"x{i}": [((i * j) % 17) / 7 for j in range(997)] for i in range(8)})
        wall(frame)
        assert wall.report().rowwise is True
