"""Rows keep their identity through a step that never sees a helper column."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.isolation.dropping import collect_drops, drop
from firedoor.isolation.tracing import identify, locate, trace

Step = Callable[[pl.DataFrame], pl.DataFrame]

HEIGHT = 420
CARRIERS = pl.DataFrame({"carrier": ["x", "y", "z"], "name": ["X", "Y", "Z"]})
TWICE = pl.DataFrame({"carrier": ["x", "x"]})


def flights(height: int = HEIGHT) -> pl.DataFrame:
    rows = range(height)
    return pl.DataFrame(
        {
            "row": rows,
            "delay": [None if row % 7 == 0 else row / 3 for row in rows],
            "ratio": [float("nan") if row % 11 == 0 else 1.0 for row in rows],
            "carrier": ["wxyz"[row % 4] for row in rows],
            "stops": [[row, -row] for row in rows],
        },
        schema_overrides={
            "row": pl.Int64,
            "delay": pl.Float64,
            "ratio": pl.Float64,
            "carrier": pl.String,
            "stops": pl.List(pl.Int64),
        },
    )


TRACED: dict[str, Step] = {
    "filter": lambda frame: frame.filter(pl.col("row") > 10),
    "filter by several": lambda frame: frame.filter(pl.col("row") > 10, carrier="x"),
    "filter over all columns": lambda f: f.filter(~pl.any_horizontal(pl.all().is_null())),
    "filter by a numeric selector": lambda f: f.filter(pl.all_horizontal(pl.col(pl.Int64) > 3)),
    "filter by a series": lambda frame: frame.filter(frame["row"] % 3 == 0),
    "filter by a list": lambda frame: frame.filter([row % 3 == 0 for row in frame["row"]]),
    "remove": lambda frame: frame.remove(pl.col("delay") > 50),
    "inner join": lambda f: f.join(CARRIERS, on="carrier", maintain_order="left"),
    "left join, then filter": lambda f: f.join(CARRIERS, on="carrier", how="left").drop_nulls(),
    "semi join": lambda f: f.join(CARRIERS, on="carrier", how="semi", maintain_order="left"),
    "anti join": lambda f: f.join(CARRIERS, on="carrier", how="anti", maintain_order="left"),
    "drop_nulls": lambda frame: frame.drop_nulls(),
    "drop_nulls of a column": lambda frame: frame.drop_nulls("delay"),
    "drop_nans": lambda frame: frame.drop_nans(),
    "slices": lambda frame: frame[5:][:100].head(90).tail(80).slice(3).limit(50),
    "rows by number": lambda frame: frame[[1, 4, 7]],
    "rows and columns": lambda frame: frame[2:9, ["row", "carrier"]],
    "columns, then filter": lambda f: f[["row", "carrier"]].filter(pl.col("row") > 3),
    "gather_every": lambda frame: frame.gather_every(3),
    "first of each": lambda frame: frame.unique("carrier", keep="first", maintain_order=True),
    "sorted there and back": lambda f: f.sort("row", descending=True).filter(row=7).reverse(),
    "columns all along": lambda frame: (
        frame.with_columns(twice=pl.col("row") * 2)
        .filter(pl.col("twice") > 40)
        .select("row", "twice", "delay")
        .rename({"delay": "late"})
        .cast({"row": pl.Int32})
        .fill_null(0)
        .with_row_index()
        .drop("twice")
    ),
    "by way of a lazy frame": lambda frame: (
        frame.lazy().filter(pl.col("delay") > 3).select("row", pl.col("delay") * 2).collect()
    ),
    "a lazy join": lambda frame: (
        frame.lazy()
        .join(CARRIERS.lazy(), on="carrier", maintain_order="left")
        .with_columns(twice=pl.col("row") * 2)
        .collect()
    ),
    "in place": lambda f: f.filter(pl.col("row") > 3).insert_column(0, pl.lit(1).alias("one")),
    "pipe": lambda frame: frame.pipe(lambda inner: inner.filter(pl.col("row") > 3)),
    "drop": lambda frame: drop(frame, pl.col("delay").is_null(), because="no delay"),
    "nothing left": lambda frame: frame.filter(pl.lit(value=False)),
}


@pytest.mark.parametrize("name", TRACED)
def test_identity_survives(name: str) -> None:
    step, frame = TRACED[name], flights()
    output = step(frame)
    found = trace(step, frame, output, calls_max=0)
    assert found.problem is None
    assert found.rows is not None
    assert found.rows.dtype == pl.UInt32
    if "row" in output.columns:
        assert found.rows.to_list() == output["row"].to_list()
    assert len(found.rows) == output.height


LOST: dict[str, Step] = {
    "numpy": lambda frame: pl.DataFrame({"row": frame["row"].to_numpy()[frame["row"] > 3]}),
    "concat": lambda frame: pl.concat([frame.filter(pl.col("row") != 5), frame.clear()]),
    "python rows": lambda frame: pl.DataFrame(
        [row for row in frame.iter_rows(named=True) if row["row"] not in (0, 9, 419)],
        schema=frame.schema,
    ),
    "sql": lambda frame: frame.sql("select row from self where row between 7 and 300"),
    "selected by expression": lambda f: f.select(pl.all().filter(pl.col("row") < 300)),
    "nothing dropped": lambda frame: pl.DataFrame(frame.to_dict()),
    "all dropped": lambda frame: frame.clear().vstack(frame.clear()),
    "many dropped": lambda frame: frame.sql("select row from self where row % 3 > 0"),
    "few dropped, and every value new": lambda f: f.sql(
        "select row + 10000 as row from self where row not in (3, 70, 71)"
    ).with_columns(row=pl.col("row") - 10_000),
}


@pytest.mark.parametrize("name", LOST)
def test_where_identity_is_lost_it_is_found_by_value_or_counting(name: str) -> None:
    step, frame = LOST[name], flights()
    output = step(frame)
    assert trace(step, frame, output, calls_max=0).rows is None
    found = trace(step, frame, output)
    assert found.rows is not None
    assert found.rows.to_list() == output["row"].to_list()


def test_rows_are_found_by_counting_where_no_value_comes_through() -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sql("select row * 2 as twice from self where row not in (3, 70, 71, 400)")

    frame = flights()
    found = trace(step, frame, step(frame))
    assert found.rows is not None
    assert found.rows.to_list() == [row for row in range(HEIGHT) if row not in (3, 70, 71, 400)]


def test_rows_alike_in_all_but_floats_are_found_by_these() -> None:
    frame = pl.DataFrame({"carrier": ["x"] * 300, "delay": [row / 3 for row in range(300)]})

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sql("select * from self where delay % 2 > 1")

    found = trace(step, frame, step(frame))
    assert found.rows is not None
    assert frame[found.rows].equals(step(frame))


def test_values_that_only_look_alike_are_not_believed() -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sql("select row + 1 as row from self where row < 100")

    frame = flights()
    found = trace(step, frame, step(frame))
    assert found.rows is not None
    assert found.rows.to_list() == list(range(100))


def test_the_search_stops_when_it_takes_too_many_calls() -> None:
    calls = 0

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        nonlocal calls
        calls += 1
        return frame.sql("select row * 2 as twice from self where row % 3 > 0")

    frame = flights()
    output = step(frame)
    found = trace(step, frame, output, calls_max=50)
    assert (found.rows, found.problem) == (None, None)
    assert calls == 1 + 1 + 50


DOUBLING: dict[str, Step] = {
    "join": lambda frame: frame.join(TWICE, on="carrier", maintain_order="left"),
    "lost join": lambda frame: pl.concat(
        [frame.join(TWICE, on="carrier"), frame.clear().select(frame.columns)]
    ),
    "explode": lambda frame: frame.explode("stops").head(HEIGHT - 20),
}


@pytest.mark.parametrize("name", DOUBLING)
def test_a_doubled_row_is_a_problem(name: str) -> None:
    frame = flights()
    assert trace(DOUBLING[name], frame, DOUBLING[name](frame)).problem == "doubled"


REORDERING: dict[str, Step] = {
    "sort": lambda frame: frame.sort("row", descending=True),
    "reverse": lambda frame: frame.filter(pl.col("row") > 3).reverse(),
    "lazy join in another order": lambda frame: (
        frame.lazy().join(CARRIERS.lazy(), on="carrier").sort("carrier").collect()
    ),
}


@pytest.mark.parametrize("name", REORDERING)
def test_reordered_rows_are_a_problem(name: str) -> None:
    frame = flights()
    assert trace(REORDERING[name], frame, REORDERING[name](frame)).problem == "reordered"


def test_a_row_dropped_and_one_doubled_are_not_taken_for_two_kept() -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        rows = frame["row"].to_list()
        return pl.DataFrame({"row": [0] * rows.count(0) * 2 + [r for r in rows if r not in (0, 5)]})

    frame = flights()
    found = locate(step, frame, step(frame))
    assert found.rows is None


def test_a_step_that_is_not_rowwise_is_not_accused_of_doubling() -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.group_by("carrier", maintain_order=True).agg(pl.col("row").first())

    frame = flights()
    found = trace(step, frame, step(frame))
    assert (found.rows, found.problem) == (None, None)


def test_a_traced_run_that_differs_from_the_real_one_is_not_believed() -> None:
    runs = iter([0, 200])

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("row") > next(runs))

    frame = flights()
    assert trace(step, frame, step(frame), calls_max=0).rows is None


def test_a_step_that_cannot_live_with_a_traced_frame_is_only_not_traced() -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        if type(frame) is not pl.DataFrame:
            raise TypeError
        return frame.filter(pl.col("row") > 3)

    frame = flights()
    assert trace(step, frame, step(frame), calls_max=0).rows is None


def test_the_step_sees_no_helper_column() -> None:
    seen: list[list[str]] = []

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        for stage in (frame, frame.filter(pl.col("row") > 3), frame.join(CARRIERS, on="carrier")):
            seen.append(stage.columns)
            seen.append(stage.lazy().drop_nulls().collect_schema().names())
        return frame.drop_nulls()

    frame = flights()
    assert trace(step, frame, step(frame)).rows is not None
    assert {name for names in seen for name in names} == {*frame.columns, "name"}


def test_rows_that_did_not_come_from_the_input_have_no_identity() -> None:
    assert identify(pl.Series([0, None, 2])).rows is None
    assert identify(pl.Series([0, 2, 1])).problem == "reordered"
    assert identify(pl.Series([0, 2, 2])).problem == "doubled"
    assert identify(pl.Series([], dtype=pl.UInt32)).rows is not None


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(0, 200),
    dropped=st.sets(st.integers(0, 199), max_size=8),
    calls_max=st.sampled_from([0, 256]),
)
def test_counting_finds_any_few_rows(height: int, dropped: set[int], calls_max: int) -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        kept = [row for row in frame["row"] if row not in dropped]
        return pl.DataFrame({"new": pl.Series(kept, dtype=pl.Int64) * 2})

    frame = flights(height)
    found = trace(step, frame, step(frame), calls_max=calls_max)
    if calls_max == 0:
        assert found.rows is None
    else:
        assert found.rows is not None
        assert found.rows.to_list() == [row for row in range(height) if row not in dropped]


STAGES: list[Step] = [
    lambda frame: frame.filter(pl.col("row") % 3 > 0),
    lambda frame: frame.lazy().remove(pl.col("row") % 5 == 0).collect(),
    lambda frame: frame.with_columns(row_again=pl.col("row")),
    lambda frame: frame.sort("carrier", maintain_order=True),
    lambda frame: frame.sort("row"),
    lambda frame: frame.reverse(),
    lambda frame: frame[3:],
    lambda frame: frame.gather_every(2),
    lambda frame: (
        frame.drop("name", strict=False)
        .lazy()
        .join(CARRIERS.lazy(), on="carrier", how="left", maintain_order="left")
        .collect()
    ),
    lambda frame: frame.join(TWICE, on="carrier", how="left", maintain_order="left"),
    lambda frame: frame.drop_nulls("delay"),
    lambda frame: frame.select("row", "carrier", "delay"),
    lambda frame: pl.DataFrame(frame.to_dict()),
]


@settings(max_examples=150, deadline=None)
@given(stages=st.lists(st.sampled_from(STAGES), max_size=6), height=st.integers(0, 40))
def test_identity_through_any_chain_of_methods_is_right_or_unknown(
    stages: list[Step], height: int
) -> None:
    def step(frame: pl.DataFrame) -> pl.DataFrame:
        for stage in stages:
            frame = stage(frame)
        return frame

    frame = flights(height)
    output = step(frame)
    found = trace(step, frame, output, calls_max=0)
    rows = output["row"].to_list()
    if found.rows is not None:
        assert found.rows.to_list() == rows
    elif found.problem == "doubled":
        assert len(set(rows)) < len(rows)
    elif found.problem == "reordered":
        assert rows != sorted(rows)
    else:
        assert STAGES[-1] in stages


def test_declared_drops_are_counted_by_reason_where_somebody_counts() -> None:
    frame = flights()

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        frame = drop(frame, pl.col("delay").is_null(), because="no delay")
        return drop(frame, pl.col("row") > 1_000, because="never true")

    assert step(frame).height == 360
    with collect_drops() as drops:
        step(frame)
        with collect_drops() as inner:
            step(frame)
    assert drops == inner == {"no delay": 60}


def test_a_drop_whose_condition_is_null_keeps_the_row() -> None:
    assert drop(flights(8), pl.col("delay") > 0, because="late").height == 2


def test_what_cannot_be_counted_is_refused_with_the_remedy() -> None:
    frame = flights()
    with pytest.raises(TypeError, match="Collect a LazyFrame first"):
        drop(frame.lazy(), pl.col("row") > 1, because="x")  # type: ignore[type-var]
    with pytest.raises(TypeError, match="takes a polars expression and got bool"):
        drop(frame, True, because="x")  # type: ignore[arg-type]  # noqa: FBT003
    with pytest.raises(ValueError, match="needs a reason"):
        drop(frame, pl.col("row") > 1, because=" ")
