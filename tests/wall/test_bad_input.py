"""Bad steps and bad frames: one clear error that says what to do, or they go through."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from firedoor.compute.limits import MEMORY_MIN_BYTES
from wall import inputs, other_frames, passing, steps


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """Keep a wall open, so that the walls of these tests share its fork server."""
    with fd.Wall(steps.double) as wall:
        wall(frame_of(2))
        yield


def declared(step: Any, **options: Any) -> fd.DeclarationError:
    """Return the error of a declaration that is refused before anything is started."""
    with pytest.raises(fd.DeclarationError) as caught:
        fd.Wall(step, **options)
    return caught.value


def frame_of(count: int) -> pl.DataFrame:
    return steps.rows([steps.GOOD] * count)


# ------------------------------------------------------------------------ how a step is given


@pytest.mark.parametrize(
    "step",
    [
        steps.double,
        "wall.steps:double",
        "wall.inputs:Scaler.plain",
        inputs.Scaler(2).scale,
        inputs.Scaler.plain,
        inputs.Scaler(2),
        functools.partial(inputs.scale, by=2),
    ],
)
def test_a_step_is_a_function_a_method_an_object_a_partial_or_a_reference(step: Any) -> None:
    with fd.Wall(step) as wall:
        good, dead = wall(frame_of(5))
        assert wall.name.isidentifier()
    assert isinstance(good, pl.DataFrame)
    assert good["doubled"].to_list() == [0, 2, 4, 6, 8]
    assert not len(dead)


def make_closure(by: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def closure(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(doubled=pl.col("number") * by)

    return closure


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (lambda frame: frame, "is a lambda"),
        (make_closure(2), "is defined inside a function"),
        (functools.partial(make_closure(2)), "is defined inside a function"),
        (inputs.Unpicklable().scale, "cannot be sent to a worker"),
    ],
)
def test_what_no_other_process_can_import_is_refused_with_the_remedy(step: Any, why: str) -> None:
    error = declared(step)
    assert error.field == "step"
    assert why in str(error)
    assert "cloudpickle=True" in error.remedy


@pytest.mark.parametrize(
    "step", [make_closure(2), lambda f: f.with_columns(doubled=f["number"] * 2)]
)
def test_closures_and_lambdas_are_carried_by_value_when_asked_for(step: Any) -> None:
    pytest.importorskip("cloudpickle")
    with fd.Wall(step, cloudpickle=True, name="carried") as wall:
        good, _ = wall(frame_of(5))
    assert isinstance(good, pl.DataFrame)
    assert good["doubled"].to_list() == [0, 2, 4, 6, 8]


def test_cloudpickle_that_is_not_installed_is_said_with_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cloudpickle", None)
    error = declared(make_closure(2), cloudpickle=True)
    assert error.field == "cloudpickle"
    assert "firedoor[cloudpickle]" in error.remedy


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (inputs.coroutine, "is a coroutine or generator"),
        (inputs.generator, "is a coroutine or generator"),
        (inputs.AsyncCall(), "is a coroutine or generator"),
        (functools.partial(inputs.coroutine), "is a coroutine or generator"),
        ("no_colon", "is not a reference"),
        (":function", "is not a reference"),
        ("module:", "is not a reference"),
        (42, "cannot be called"),
        (None, "cannot be called"),
        (pl.DataFrame(), "cannot be called"),
    ],
)
def test_what_is_no_step_is_refused_when_it_is_declared(step: Any, why: str) -> None:
    error = declared(step)
    assert error.field == "step"
    assert why in str(error)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("wall.no_such_module:step", "No module named 'wall.no_such_module'"),
        ("wall.steps:no_such_step", "module 'wall.steps' has no 'no_such_step'"),
        ("wall.steps:GOOD", "'wall.steps:GOOD' is a int, not a function"),
        ("wall.importing.raises:step", "RuntimeError: the settings are not there"),
        ("misspelt:step", "SyntaxError"),
        ("wall.importing.leaves:step", "SystemExit"),
        ("wall.importing.lacks:step", "No module named 'no_such_library'"),
    ],
)
def test_a_step_that_cannot_be_imported_says_why(
    reference: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "misspelt.py").write_text("def step(frame) -> return frame", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with fd.Wall(reference) as wall:
        for _ in range(2):
            with pytest.raises(fd.StepUnloadable) as caught:
                wall(frame_of(3))
            assert said in str(caught.value)
            assert "cannot be loaded" in str(caught.value)
        assert wall.report().batches == 0


def test_a_module_that_crashes_when_it_is_imported_is_said_to() -> None:
    with fd.Wall("wall.importing.crashes:step") as wall:
        with pytest.raises(fd.WorkersUnavailable, match="SIGSEGV") as caught:
            wall(frame_of(3))
        assert "when it is imported" in str(caught.value)


def test_a_module_that_hangs_when_it_is_imported_is_ended() -> None:
    with (
        fd.Wall("wall.importing.hangs:step", load_timeout_s=0.5, start="spawn") as wall,
        pytest.raises(fd.WorkersUnavailable, match="exceeded 500 ms"),
    ):
        wall(frame_of(3))


@pytest.mark.parametrize(
    ("module", "start"),
    [
        ("uses_polars", "auto"),
        ("starts_threads", "auto"),
        ("starts_a_pool", "auto"),
        ("uses_polars", "spawn"),
    ],
)
def test_a_module_that_works_or_starts_threads_when_it_is_imported_is_no_trouble(
    module: str, start: Any
) -> None:
    kinds = [steps.GOOD] * 12
    kinds[5] = steps.SEGFAULTS
    with fd.Wall(f"wall.importing.{module}:step", start=start) as wall:
        outcome = wall(steps.rows(kinds))
    assert outcome.dead.reasons["row"].to_list() == [5]
    assert outcome.good["doubled"].to_list() == [2 * i for i in range(12) if i != 5]


def test_a_wall_inside_a_step_is_refused_with_the_remedy() -> None:
    with fd.Wall(inputs.nested, contrast=1) as wall:
        reasons = wall(frame_of(2)).dead.reasons
    assert set(reasons["code"]) == {"exception"}
    assert reasons["message"][0].startswith("NestedWall: wall 'double' was called inside a worker")
    assert 'if __name__ == "__main__":' in reasons["message"][0]


@pytest.mark.parametrize(
    ("options", "field", "remedy"),
    [
        ({"memory": MEMORY_MIN_BYTES - 1}, "memory", "give at least 96 MiB"),
        ({"memory": "1MiB"}, "memory", "give at least 96 MiB"),
        ({"memory": -1}, "memory", "give at least 96 MiB"),
        ({"name": "two words"}, "name", "letters, digits"),
        ({"name": "x" * 101}, "name", "at most 100"),
        ({"name": 5}, "name", "letters, digits"),
        ({"schema": dict}, "schema", "subclass of dataframely.Schema"),
        ({"schema": {"a": int}}, "schema", "subclass of dataframely.Schema"),
        ({"out_schema": pl.Schema({})}, "out_schema", "subclass of dataframely.Schema"),
        ({"timeout": 5}, "timeout", "timeout_s"),
        ({"worker": 5}, "worker", "workers"),
        ({"zzz": 5}, "zzz", "leave it out"),
    ],
)
def test_an_option_that_cannot_work_is_refused_with_the_remedy(
    options: dict[str, Any], field: str, remedy: str
) -> None:
    error = declared(steps.double, **options)
    assert error.field == field
    assert remedy in error.remedy


def test_a_wall_works_in_the_least_memory_that_it_takes() -> None:
    with fd.Wall(steps.double, memory=MEMORY_MIN_BYTES) as wall:
        good, _ = wall(frame_of(1_000))
    assert len(good) == 1_000


# ------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_frame_of_few_rows_goes_through(rows: int) -> None:
    frame = frame_of(rows)
    with fd.Wall(steps.double) as wall:
        outcome = wall(frame)
        again = wall(frame)
    assert_frame_equal(outcome.good, steps.double(frame))
    assert_frame_equal(again.good, outcome.good)
    assert outcome.rows is not None
    assert outcome.rows.to_list() == list(range(rows))
    assert_frame_equal(outcome.dead.rows, frame.clear())


def test_a_million_rows_go_through_and_a_bad_one_among_them_is_found() -> None:
    frame = frame_of(1_000_000).with_columns(
        kind=pl.when(pl.col("number") == 654_321).then(steps.SEGFAULTS).otherwise(0)
    )
    with fd.Wall(steps.double, timeout_s=60) as wall:
        outcome = wall(frame)
    assert outcome.dead.reasons["row"].to_list() == [654_321]
    assert_frame_equal(outcome.good, steps.double(frame.filter(pl.col("kind") == 0)))


def test_a_frame_over_the_worker_s_memory_goes_in_pieces() -> None:
    count = 20_000
    frame = frame_of(count).with_columns(
        kind=pl.when(pl.col("number").is_in([3, 15_000])).then(steps.RAISES).otherwise(0),
        wide=pl.lit("x" * 8_192).str.slice(0, 8_192 - pl.col("number") % 2),
    )
    assert frame.estimated_size() > 128 * 2**20
    with fd.Wall(steps.double, memory="128MiB", timeout_s=60) as wall:
        outcome = wall(frame)
        notes = wall.report().notes
    assert outcome.dead.reasons["row"].to_list() == [3, 15_000]
    assert outcome.rows is not None
    assert outcome.rows.to_list() == [row for row in range(count) if row not in {3, 15_000}]
    assert outcome.good["doubled"].to_list() == [2 * row for row in outcome.rows]
    assert [note for note in notes if "pieces" in note]


def test_one_row_over_the_worker_s_memory_is_dead_or_delivered_but_ends() -> None:
    frame = frame_of(1).with_columns(wide=pl.lit("x" * (130 * 2**20)))
    with fd.Wall(steps.double, memory="96MiB", timeout_s=60, contrast=1) as wall:
        outcome = wall(frame)
        calm = wall(frame_of(10))
    assert outcome.dead.reasons["code"].to_list() == ["memory"]
    assert calm.good.height == 10


def test_every_dtype_comes_back_as_it_went_in() -> None:
    frame = passing.every_dtype(8)
    with fd.Wall(passing.give_back) as wall:
        assert_frame_equal(wall(frame).good, frame)
        assert_frame_equal(wall(frame.clear()).good, frame.clear())


@pytest.mark.parametrize("columns", [{}, {"a": []}])
def test_a_frame_without_columns_or_rows_comes_back(columns: dict[str, list[int]]) -> None:
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Int64))
    with fd.Wall(passing.give_back) as wall:
        outcome = wall(frame)
    assert_frame_equal(outcome.good, frame)
    assert len(outcome.dead) == 0


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"thing": pl.Series([object()], dtype=pl.Object)}), "column 'thing' holds"),
        (pl.LazyFrame({"a": [1]}), "call .collect() on it"),
        (pl.Series("a", [1]), "call .to_frame() on it"),
        ([{"a": 1}], "make a frame of it"),
        ({"a": [1]}, "make a frame of it"),
        (None, "a wall takes a frame and got None"),
        ("frame.parquet", "give a polars, pandas or pyarrow frame"),
        (pd.DataFrame({"a": [object()]}), "column 'a'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a'"),
    ],
)
def test_what_is_no_frame_is_refused_before_a_worker_is_started(frame: Any, said: str) -> None:
    with fd.Wall(steps.double) as wall:
        with pytest.raises(fd.FrameRefused) as caught:
            wall(frame)
        assert said in str(caught.value)
        assert wall.report().batches == 0
        assert wall.processes()["workers"] == []


def test_a_pandas_frame_comes_back_with_the_index_of_its_good_rows() -> None:
    kinds = [steps.GOOD, steps.RAISES, steps.GOOD, steps.SEGFAULTS, steps.GOOD]
    frame = steps.rows(kinds).to_pandas().set_index(pd.Index(list("abcde"), name="key"))
    with fd.Wall(other_frames.double_pandas) as wall:
        outcome = wall(frame)
    assert isinstance(outcome.good, pd.DataFrame)
    assert outcome.good.index.tolist() == ["a", "c", "e"]
    assert outcome.good.index.name == "key"
    assert outcome.good["doubled"].tolist() == [0, 4, 8]
    assert outcome.dead.reasons["row"].to_list() == [1, 3]
    assert outcome.dead.rows["number"].to_list() == [1, 3]


def test_a_step_gets_the_frame_that_it_asks_for_whatever_the_caller_has() -> None:
    frame = frame_of(3)
    with fd.Wall(other_frames.double_arrow) as wall:
        assert_frame_equal(wall(frame).good, frame.with_columns(doubled=pl.col("number") * 2))
        table = wall(frame.to_arrow()).good
        pandas = wall(frame.to_pandas()).good
    assert isinstance(table, pa.Table)
    assert table["doubled"].to_pylist() == [0, 2, 4]
    assert isinstance(pandas, pd.DataFrame)
    assert pandas["doubled"].tolist() == [0, 2, 4]


def test_a_step_that_changes_what_it_was_given_changes_nothing_of_the_caller_s() -> None:
    frame = frame_of(4)
    with fd.Wall(inputs.change_in_place) as wall:
        good, _ = wall(frame)
    assert isinstance(good, pl.DataFrame)
    assert good["number"].to_list() == [-1, 1, 2, 3]
    assert frame["number"].to_list() == [0, 1, 2, 3]


# -------------------------------------------------------------------------- a deadly odd number


def test_a_step_that_ends_itself_with_a_signal_without_a_name_costs_its_row() -> None:
    with fd.Wall(inputs.end_by_real_time_signal) as wall:
        outcome = wall(frame_of(12))
    assert outcome.dead.reasons["row"].to_list() == [5]
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
    assert "signal 40" in outcome.dead.reasons["signature"][0]


def test_a_step_that_raises_what_cannot_be_printed_costs_its_row() -> None:
    with fd.Wall(inputs.raise_unprintable) as wall:
        outcome = wall(frame_of(12))
    assert outcome.dead.reasons["row"].to_list() == [5]
    assert outcome.dead.reasons["code"].to_list() == ["exception"]
    assert "Unprintable" in outcome.dead.reasons["message"][0]


def test_a_message_that_is_no_text_in_any_encoding_costs_its_row() -> None:
    with fd.Wall(inputs.raise_surrogate) as wall:
        outcome = wall(frame_of(12))
    assert outcome.dead.reasons["row"].to_list() == [5]
    assert "ValueError" in outcome.dead.reasons["message"][0]


def test_a_step_that_writes_over_its_line_to_the_wall_costs_its_row() -> None:
    with fd.Wall(inputs.garble) as wall:
        outcome = wall(frame_of(12))
    assert outcome.dead.reasons["row"].to_list() == [5]
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
    assert "garbled" in outcome.dead.reasons["signature"][0]


def test_a_step_that_closes_its_line_to_the_wall_costs_its_row() -> None:
    with fd.Wall(inputs.hang_up) as wall:
        outcome = wall(frame_of(12))
    assert outcome.dead.reasons["row"].to_list() == [5]
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
