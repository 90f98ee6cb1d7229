"""Schemas at the wall: cast at the door, failed rules as reasons, rules that do harm contained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import ruled, steps

ORIGINS = pl.Enum(["EWR", "JFK", "LGA"])


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """Keep a wall open, so that the walls of these tests share its fork server."""
    with fd.Wall(steps.double) as wall:
        wall(steps.rows([steps.GOOD] * 2))
        yield


def flights(count: int = 100, **changes: dict[int, object]) -> pl.DataFrame:
    """Return rows as they come from a file: all text. ``changes`` are by column and row."""
    columns: dict[str, list[object]] = {
        "origin": ["EWR"] * count,
        "distance": [str(100 + row) for row in range(count)],
        "air_time": ["60"] * count,
    }
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def fault(step: Any, frame: pl.DataFrame, **options: Any) -> fd.StepAtFault:
    """Return the fault that a wall raises; nothing may have been dead-lettered."""
    with fd.Wall(step, **options) as wall:
        with pytest.raises(fd.StepAtFault) as caught:
            wall(frame)
        assert wall.report().dead == 0
    assert caught.value.frame is frame
    return caught.value


# --------------------------------------------------------------------------------- on the way in


def test_columns_are_cast_at_the_door_and_the_step_sees_what_is_declared() -> None:
    frame = flights()
    with fd.Wall(ruled.speeds, schema=ruled.Flight) as wall:
        good, dead = wall(frame)
    cast = frame.cast({"origin": ORIGINS, "distance": pl.Int64, "air_time": pl.Int64})
    assert_frame_equal(good, ruled.speeds(cast))
    assert len(dead) == 0


def test_a_malformed_value_costs_its_row_which_keeps_it_as_it_came() -> None:
    frame = flights(distance={7: "a hundred"}, origin={40: "BOS"}, air_time={41: None})
    with fd.Wall(ruled.speeds, schema=ruled.Flight) as wall:
        outcome = wall(frame)
    assert outcome.dead.reasons["row"].to_list() == [7, 40]
    assert outcome.dead.reasons["code"].to_list() == ["schema", "schema"]
    assert "'a hundred' is not Int64" in outcome.dead.reasons["message"][0]
    assert outcome.dead.reasons["signature"].to_list() == [
        "rule distance|dtype",
        "rule origin|dtype",
    ]
    assert_frame_equal(outcome.dead.rows, frame[[7, 40]])
    assert outcome.rows is not None
    assert outcome.rows.to_list() == [row for row in range(100) if row not in {7, 40}]
    assert (
        outcome.dead.reasons["attempts"].to_list()
        == [{"exception": 0, "crash": 0, "hang": 0, "memory": 0}] * 2
    ), "rows that fail a rule were never tried"


def test_every_rule_that_a_row_fails_is_named() -> None:
    frame = flights(distance={5: "9999", 6: "0"}, air_time={5: "-1"})
    with fd.Wall(ruled.speeds, schema=ruled.Flight) as wall:
        reasons = wall(frame).dead.reasons
    assert reasons["signature"].to_list() == [
        "rule flew_some_time, distance|max",
        "rule distance|min",
    ]
    assert "distance='9999'" in reasons["message"][0]
    assert "air_time='-1'" in reasons["message"][0]


def test_rows_that_fail_rules_and_rows_that_fail_in_the_step_keep_their_numbers() -> None:
    kinds = [steps.GOOD] * 30
    kinds[4], kinds[20], kinds[25] = steps.RAISES, steps.SEGFAULTS, steps.RAISES
    frame = steps.rows(kinds).with_columns(
        number=pl.when(pl.col("number").is_in([3, 19])).then(0).otherwise(pl.col("number"))
    )
    with fd.Wall(steps.double, schema=ruled.Keyed) as wall:
        outcome = wall(frame)
    reasons = outcome.dead.reasons
    assert reasons["row"].to_list() == [0, 3, 4, 19, 20, 25]
    assert reasons["code"].to_list() == (
        ["schema", "schema", "exception", "schema", "crash", "exception"]
    )
    assert_frame_equal(outcome.dead.rows, frame[[0, 3, 4, 19, 20, 25]])
    good = [row for row in range(30) if row not in {0, 3, 4, 19, 20, 25}]
    assert outcome.rows is not None
    assert outcome.rows.to_list() == good
    assert_frame_equal(outcome.good, steps.double(frame[good]))


def test_a_rule_over_groups_and_the_primary_key_see_the_whole_batch() -> None:
    texts = [f"t{row}" for row in range(100)]
    for row in (0, 50, 51, 99):
        texts[row] = "often"
    frame = pl.DataFrame({"number": range(100), "text": texts})
    with fd.Wall(ruled.give_back, schema=ruled.Keyed) as wall:
        reasons = wall(frame).dead.reasons
    assert reasons["row"].to_list() == [0, 50, 51, 99]
    assert set(reasons["signature"]) == {"rule at_most_three_of_a_kind"}


@pytest.mark.parametrize(
    ("extra", "columns"),
    [
        ("keep", ["origin", "distance", "air_time", "note", "speed"]),
        ("drop", ["origin", "distance", "air_time", "speed"]),
    ],
)
def test_undeclared_columns_are_kept_or_dropped_as_told(extra: Any, columns: list[str]) -> None:
    frame = flights(distance={3: "x"}).with_columns(note=pl.lit("n"))
    with fd.Wall(ruled.speeds, schema=ruled.Flight, extra=extra) as wall:
        good, dead = wall(frame)
    assert isinstance(good, pl.DataFrame)
    assert good.columns == columns
    assert isinstance(dead, fd.DeadLetters)
    assert_frame_equal(dead.rows, frame[[3]])  # dead rows keep all that they came with


def test_undeclared_columns_are_refused_as_told() -> None:
    frame = flights().with_columns(note=pl.lit("n"))
    error = fault(ruled.speeds, frame, schema=ruled.Flight, extra="refuse")
    assert error.code == "wrong_schema"
    assert error.columns == ("note",)


def test_a_missing_column_is_a_fault_that_names_the_likely_new_name() -> None:
    frame = flights().rename({"air_time": "airtime"})
    error = fault(ruled.speeds, frame, schema=ruled.Flight)
    assert error.code == "wrong_schema"
    assert error.columns == ("air_time",)
    assert "renamed to 'airtime'" in str(error)


def test_a_column_that_can_never_be_cast_is_a_fault() -> None:
    frame = flights().with_columns(air_time=pl.lit([1, 2]))
    error = fault(ruled.speeds, frame, schema=ruled.Flight)
    assert error.code == "wrong_schema"
    assert error.columns == ("air_time",)


# -------------------------------------------------------------------------------- rules do harm


def test_a_rule_that_raises_on_one_row_costs_that_row() -> None:
    kinds = [steps.GOOD] * 40
    kinds[11] = steps.RAISES
    with fd.Wall(ruled.give_back, schema=ruled.RaisesOnOne) as wall:
        outcome = wall(steps.rows(kinds))
    assert outcome.dead.reasons["row"].to_list() == [11]
    assert outcome.dead.reasons["code"].to_list() == ["schema"]
    assert "harmless raised" in outcome.dead.reasons["message"][0]
    assert "this row is poison" in outcome.dead.reasons["message"][0]


def test_a_rule_that_raises_always_is_a_fault_that_names_the_rule() -> None:
    error = fault(ruled.give_back, steps.rows([steps.GOOD] * 40), schema=ruled.RaisesAlways)
    assert error.code == "rule_fails"
    assert error.rule == "impossible"
    assert error.columns == ("no_such_column",)


@pytest.mark.parametrize("kind", [steps.SEGFAULTS, steps.EXITS, steps.SLEEPS])
def test_a_rule_that_kills_its_worker_on_one_row_costs_that_row(kind: int) -> None:
    kinds = [steps.GOOD] * 40
    kinds[11] = kind
    frame = steps.rows(kinds)
    with fd.Wall(ruled.give_back, schema=ruled.RaisesOnOne, timeout_s=0.5) as wall:
        outcome = wall(frame)
        calm, _ = wall(frame.filter(pl.col("kind") == steps.GOOD))
    good = [row for row in range(40) if row != 11]
    assert outcome.dead.reasons["row"].to_list() == [11]
    assert outcome.dead.reasons["code"].to_list() == [steps.CODES[kind]]
    assert_frame_equal(outcome.good, frame[good])
    assert outcome.rows is not None
    assert outcome.rows.to_list() == good
    assert_frame_equal(calm, frame[good])


def test_rules_and_the_step_may_each_kill_workers_over_rows_of_their_own() -> None:
    kinds = [steps.GOOD] * 40
    kinds[11], kinds[12], kinds[30] = steps.SEGFAULTS, steps.RAISES, steps.SEGFAULTS
    frame = steps.rows(kinds)
    with fd.Wall(steps.double, schema=ruled.RaisesOnOne) as wall:
        outcome = wall(frame)
    assert outcome.dead.reasons["row"].to_list() == [11, 12, 30]
    assert outcome.dead.reasons["code"].to_list() == ["crash", "schema", "crash"]
    assert_frame_equal(outcome.good, steps.double(frame.filter(pl.col("kind") == steps.GOOD)))


def test_a_rule_that_dies_on_rows_together_and_on_none_alone_is_a_fault() -> None:
    frame = steps.rows([steps.GOOD] * 16)
    error = fault(ruled.give_back, frame, schema=ruled.GroupCrash)
    assert error.code == "rule_fails"
    assert "a rule over groups of rows" in str(error)


# -------------------------------------------------------------------------------- on the way out


def test_rows_whose_output_fails_the_output_s_schema_are_dead_with_the_rule() -> None:
    frame = flights(air_time={8: "1", 9: None}).cast({"origin": ORIGINS})
    with fd.Wall(ruled.speeds, schema=ruled.Flight, out_schema=ruled.Fast) as wall:
        outcome = wall(frame)
    assert outcome.dead.reasons["row"].to_list() == [8]
    assert outcome.dead.reasons["code"].to_list() == ["out_schema"]
    assert outcome.dead.reasons["signature"].to_list() == ["rule speed|max"]
    assert_frame_equal(outcome.dead.rows, frame[[8]])
    assert outcome.good.height == 99
    assert outcome.rows is not None
    assert outcome.rows.to_list() == [row for row in range(100) if row != 8]


def test_output_rules_name_the_input_row_though_rows_are_dropped_rejected_and_poisoned() -> None:
    frame = flights(air_time={2: "6000", 8: "1", 60: "5999"}, distance={1: "none", 50: "0"})
    options: dict[str, Any] = {"schema": ruled.Flight, "out_schema": ruled.Fast, "may_drop": 0.1}
    with fd.Wall(ruled.speeds_without_slow, **options) as wall:
        outcome = wall(frame)
    found = dict(outcome.dead.reasons.select("row", "code").iter_rows())
    assert found == {1: "schema", 8: "out_schema", 50: "schema"}
    slow = {2, 60} | set(range(1))  # row 0 has 100 miles in an hour, which is not over 100
    assert outcome.rows is not None
    assert set(range(100)) - set(outcome.rows.to_list()) - set(found) == slow
    assert outcome.dropped == {"may_drop": len(slow)}


def test_the_dead_are_grouped_by_the_rules_that_they_failed() -> None:
    frame = flights(distance={1: "none", 2: "0", 3: "0"})
    with fd.Wall(ruled.speeds, schema=ruled.Flight) as wall:
        summary = wall(frame).dead.summary()
        assert wall.report().dead_by_code == {"schema": 3}
    assert summary.select("signature", "rows", "first_row").rows() == [
        ("rule distance|min", 2, 2),
        ("rule distance|dtype", 1, 1),
    ]


def test_a_batch_all_of_whose_rows_fail_has_the_columns_of_the_step() -> None:
    frame = flights(4, distance={0: "x", 1: "0", 2: "y", 3: "7000"})
    with fd.Wall(ruled.speeds, schema=ruled.Flight) as wall:
        good, dead = wall(frame)
    assert isinstance(good, pl.DataFrame)
    assert good.height == 0
    assert good.schema["speed"] == pl.Float64
    assert isinstance(dead, fd.DeadLetters)
    assert len(dead) == 4
