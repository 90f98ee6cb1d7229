"""The gate parts good rows from bad as dataframely does, and says more about the bad ones."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from firedoor.quality import gate


class Flight(dy.Schema):
    flight = dy.Int64(primary_key=True)
    origin = dy.Enum(["EWR", "JFK", "LGA"], primary_key=True)
    distance = dy.Int64(min=1, max=6_000)
    dep_delay = dy.Int64(nullable=True, min=-60, max=2_000)
    air_time = dy.Int64(nullable=True)

    @dy.rule()
    def flew_some_time(cls) -> pl.Expr:
        return pl.col("air_time").is_null() | (pl.col("air_time") > 0)


def flights(**columns: list[object]) -> pl.DataFrame:
    height = max((len(values) for values in columns.values()), default=4)
    clean: dict[str, list[object]] = {
        "flight": list(range(height)),
        "origin": ["EWR"] * height,
        "distance": [100] * height,
        "dep_delay": [None] * height,
        "air_time": [60] * height,
    }
    return pl.DataFrame(clean | columns, strict=False)


def declared(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.cast({"origin": pl.Enum(["EWR", "JFK", "LGA"]), "dep_delay": pl.Int64})


def test_a_clean_frame_comes_back_as_the_very_same_frame() -> None:
    frame = declared(flights())
    gated = gate.judge(frame, Flight)
    assert gated.kept is frame
    assert gated.rows.to_list() == [0, 1, 2, 3]
    assert gated.rejected.schema == {
        "row": pl.UInt32,
        "rules": pl.List(pl.String),
        "message": pl.String,
    }


def test_a_value_that_cannot_be_cast_costs_its_row_and_is_shown() -> None:
    gated = gate.judge(flights(distance=["100", "a hundred", "300"]), Flight)
    assert gated.rows.to_list() == [0, 2]
    assert gated.kept["distance"].to_list() == [100, 300]
    assert gated.rejected.to_dicts() == [
        {
            "row": 1,
            "rules": ["distance|dtype"],
            "message": "distance|dtype: 'a hundred' is not Int64",
        }
    ]


def test_every_rule_that_a_row_fails_is_named() -> None:
    frame = flights(distance=["x", 9_999, 5], dep_delay=[9_999, -99, 0], air_time=[-1, 0, 1])
    rejected = gate.judge(frame, Flight).rejected
    assert rejected["row"].to_list() == [0, 1]
    assert rejected["rules"].to_list() == [
        ["distance|dtype", "flew_some_time", "dep_delay|max"],
        ["flew_some_time", "distance|max", "dep_delay|min"],
    ]
    assert "distance|max: distance='9999'" in rejected["message"][1]


def test_a_long_value_is_shortened_in_the_message() -> None:
    message = gate.judge(flights(distance=["9" * 1_000]), Flight).rejected["message"][0]
    assert message == f"distance|dtype: '{'9' * 60}...' is not Int64"


def test_both_rows_of_a_doubled_primary_key_are_rejected() -> None:
    gated = gate.judge(flights(flight=[1, 2, 1]), Flight)
    assert gated.rows.to_list() == [1]
    assert gated.rejected["rules"].to_list() == [["primary_key"]] * 2
    assert gated.rejected["message"][0] == "primary_key: flight=1, origin='EWR'"


def test_a_missing_column_breaks_the_schema_and_the_likely_new_name_is_said() -> None:
    with pytest.raises(gate.SchemaBroken, match="Was 'distance' renamed to 'distances'") as caught:
        gate.judge(flights().rename({"distance": "distances"}), Flight)
    assert (caught.value.code, caught.value.columns) == ("wrong_schema", ("distance",))


def test_undeclared_columns_are_kept_in_place_refused_or_dropped() -> None:
    frame = flights().insert_column(1, pl.Series("tail", ["a", "b", "c", "d"]))
    order = frame.columns
    assert gate.judge(frame, Flight, extra="keep").kept.columns == order
    assert "tail" not in gate.judge(frame, Flight, extra="drop").kept.columns
    with pytest.raises(gate.SchemaBroken, match="'tail' is not declared") as caught:
        gate.judge(frame, Flight, extra="refuse")
    assert caught.value.columns == ("tail",)


def test_a_rule_over_all_columns_does_not_see_undeclared_ones() -> None:
    class AllPositive(dy.Schema):
        a = dy.Int64()

        @dy.rule()
        def positive(cls) -> pl.Expr:
            return pl.all_horizontal(pl.all() > 0)

    frame = pl.DataFrame({"a": [1, -1], "z": [-1, -1]})
    assert gate.judge(frame, AllPositive).rows.to_list() == [0]


def test_a_dtype_that_can_never_be_cast_breaks_the_schema() -> None:
    frame = flights().with_columns(distance=pl.concat_list("distance"))
    with pytest.raises(gate.SchemaBroken, match="is List") as caught:
        gate.judge(frame, Flight)
    assert caught.value.rule == "distance|dtype"
    assert gate.judge(frame.clear(), Flight).kept.schema["distance"] == pl.Int64


def test_a_fraction_is_not_silently_cut_to_an_integer() -> None:
    gated = gate.judge(flights(distance=[1.0, 3.7, 4.0]), Flight)
    assert gated.kept["distance"].to_list() == [1, 4]
    assert gated.rejected["message"].to_list() == ["distance|dtype: 3.7 is not Int64"]
    decimals = flights(distance=[Decimal("1.0"), Decimal("3.7"), None])
    assert gate.judge(decimals, Flight).rejected["rules"].to_list() == [
        ["distance|dtype"],
        ["distance|nullability"],
    ]


class Nested(dy.Schema):
    steps = dy.List(dy.Int64(nullable=True), nullable=True)
    place = dy.Struct({"x": dy.Int64(nullable=True)}, nullable=True)
    pair = dy.Array(dy.Int64(nullable=True), shape=2, nullable=True)


def nested(steps: list[object], place: list[object], pair: list[object]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "steps": pl.Series(steps, dtype=pl.List(pl.String)),
            "place": pl.Series(place, dtype=pl.Struct({"x": pl.String})),
            "pair": pl.Series(pair, dtype=pl.List(pl.Int64)),
        }
    )


def test_a_value_deep_inside_a_list_or_struct_that_cannot_be_cast_costs_its_row() -> None:
    frame = nested(
        [["1"], ["2", "two"], [], None, [None]],
        [{"x": "1"}, {"x": "2"}, {"x": "three"}, None, {"x": None}],
        [[1, 2], [1, 2], [1, 2], None, [1, 2]],
    )
    gated = gate.judge(frame, Nested)
    assert gated.rows.to_list() == [0, 3, 4]
    assert gated.kept.to_dicts()[2] == {"steps": [None], "place": {"x": None}, "pair": [1, 2]}
    assert gated.rejected["rules"].to_list() == [["steps|dtype"], ["place|dtype"]]
    assert gated.rejected["message"][0] == ("steps|dtype: ['2', 'two'] is not List(Int64)")


def test_a_list_of_the_wrong_width_costs_its_row() -> None:
    frame = nested([["1"]] * 3, [{"x": "1"}] * 3, [[1, 2], [1], [3, 4]])
    gated = gate.judge(frame, Nested)
    assert gated.rows.to_list() == [0, 2]
    assert gated.kept.schema["pair"] == pl.Array(pl.Int64, 2)


def test_a_struct_without_a_declared_field_breaks_the_schema() -> None:
    frame = nested([["1"]], [{"x": "1"}], [[1, 2]]).with_columns(place=pl.struct(y=pl.lit(1)))
    with pytest.raises(gate.SchemaBroken, match="no field 'x'"):
        gate.judge(frame, Nested)


class Typed(dy.Schema):
    kind = dy.Categorical(nullable=True)
    price = dy.Decimal(10, 2, min=Decimal(0))
    at = dy.Datetime(time_zone="UTC")
    size = dy.Enum(["s", "m"], nullable=True)


def test_categoricals_decimals_datetimes_and_enums_pass_as_declared() -> None:
    frame = pl.DataFrame(
        {
            "kind": ["a", None, "b"],
            "price": ["1.50", "-1", "x"],
            "at": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 3,
            "size": ["s", "xl", "m"],
        }
    )
    gated = gate.judge(frame, Typed)
    assert gated.kept.to_dicts() == [
        {
            "kind": "a",
            "price": Decimal("1.50"),
            "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "size": "s",
        }
    ]
    assert gated.kept.schema["size"] == pl.Enum(["s", "m"])
    assert gated.rejected["rules"].to_list() == [["size|dtype", "price|min"], ["price|dtype"]]


class Departure(dy.Schema):
    at = dy.Datetime(time_zone="America/New_York")
    day = dy.Date(nullable=True)
    late = dy.Bool(nullable=True)


def test_text_is_read_as_times_dates_and_switches_and_what_is_none_costs_its_row() -> None:
    frame = pl.DataFrame(
        {
            "at": ["2013-01-01T10:00:00Z", "2013-01-01T10:00:00", "soon"],
            "day": ["2013-01-31", None, None],
            "late": ["true", "perhaps", None],
        }
    )
    gated = gate.judge(frame, Departure)
    assert gated.kept["at"].to_list() == [dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC)]
    assert gated.kept.row(0)[1:] == (dt.date(2013, 1, 31), True)
    assert gated.rejected["rules"].to_list() == [["at|dtype", "late|dtype"], ["at|dtype"]]
    assert "'soon' is not Datetime" in gated.rejected["message"][1]


def test_a_time_without_a_zone_is_utc_or_is_refused() -> None:
    naive = pl.DataFrame({"at": [dt.datetime(2013, 1, 1, 10)]})  # noqa: DTZ001 - on purpose
    more = pl.DataFrame({"day": [None], "late": [None]})
    with pytest.raises(
        gate.SchemaBroken, match=r"replace_time_zone\(\"America/New_York\"\)"
    ) as told:
        gate.judge(pl.concat([naive, more], how="horizontal"), Departure)
    assert told.value.columns == ("at",)
    frame = naive.with_columns(kind=pl.lit("a"), price=pl.lit("1"), size=pl.lit("s"))
    assert gate.judge(frame, Typed).kept["at"].to_list() == [
        dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC)
    ]


class PerOrigin(dy.Schema):
    origin = dy.String()
    delay = dy.Float64()

    @dy.rule()
    def origin_has_two_flights(cls) -> pl.Expr:
        return (pl.len() >= 2).over("origin")

    @dy.rule()
    def some_delay(cls) -> pl.Expr:
        return pl.col("delay").sum() > 0


def test_rules_over_groups_and_over_the_whole_frame_work() -> None:
    frame = pl.DataFrame({"origin": ["a", "a", "b"], "delay": [1.0, 2.0, 3.0]})
    assert gate.judge(frame, PerOrigin).rejected.select("row", "rules").to_dicts() == [
        {"row": 2, "rules": ["origin_has_two_flights"]}
    ]
    none_late = frame.with_columns(delay=pl.lit(0.0))
    assert gate.judge(none_late, PerOrigin).kept.height == 0


def test_no_rows_pass_and_keep_their_declared_dtypes() -> None:
    gated = gate.judge(flights().clear(), Flight)
    assert gated.kept.height == 0
    assert gated.kept.schema["origin"] == pl.Enum(["EWR", "JFK", "LGA"])


def parses_to_odd(text: str) -> bool:
    return int(text) % 2 == 1


class Raising(dy.Schema):
    code = dy.String(nullable=True)

    @dy.rule()
    def is_odd(cls) -> pl.Expr:
        return pl.col("code").map_elements(parses_to_odd, return_dtype=pl.Boolean)


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_a_rule_that_raises_on_one_row_costs_that_row() -> None:
    codes = ["1"] * 500
    codes[77], codes[300] = "seven", "2"
    gated = gate.judge(pl.DataFrame({"code": codes}), Raising)
    assert gated.kept.height == 498
    assert gated.rejected["row"].to_list() == [77, 300]
    assert gated.rejected["message"].to_list() == [
        "is_odd raised ValueError: invalid literal for int() with base 10: 'seven' on code='seven'",
        "is_odd: code='2'",
    ]


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_a_rule_that_raises_on_most_rows_is_itself_at_fault() -> None:
    with pytest.raises(gate.SchemaBroken, match="rule 'is_odd' of Raising raises") as caught:
        gate.judge(pl.DataFrame({"code": ["x"] * 500}), Raising)
    assert (caught.value.code, caught.value.columns) == ("rule_fails", ("code",))


class NamesNothing(dy.Schema):
    a = dy.Int64()

    @dy.rule()
    def typo(cls) -> pl.Expr:
        return pl.col("aa") > 0


class NotATruth(dy.Schema):
    a = dy.Int64()

    @dy.rule()
    def number(cls) -> pl.Expr:
        return pl.col("a") + 1


class Unbuildable(dy.Schema):
    a = dy.Int64()

    @dy.rule()
    def divides(cls) -> pl.Expr:
        return pl.col("a") > 1 / 0


@pytest.mark.parametrize(
    ("schema", "rule"),
    [(NamesNothing, "typo"), (NotATruth, "number"), (Unbuildable, "divides")],
)
def test_a_bad_rule_is_named(schema: type[dy.Schema], rule: str) -> None:
    with pytest.raises(gate.SchemaBroken, match=rule) as caught:
        gate.judge(pl.DataFrame({"a": [1, 2]}), schema)
    assert (caught.value.code, caught.value.rule) == ("rule_fails", rule)


def test_the_columns_of_a_rule_are_known() -> None:
    assert gate.columns_of_rule(Flight, "flew_some_time") == ("air_time",)
    assert gate.columns_of_rule(Flight, "primary_key") == ("flight", "origin")
    assert gate.columns_of_rule(Flight, "distance|max") == ("distance",)
    assert gate.columns_of_rule(Flight, "distance|dtype") == ("distance",)
    assert gate.columns_of_rule(Flight, "no such rule") == ()


def test_an_output_of_another_dtype_breaks_the_schema_instead_of_being_cast() -> None:
    good = declared(flights(distance=[1, 9_999]))
    assert gate.check_output(good, Flight).rejected["row"].to_list() == [1]
    wrong = good.with_columns(pl.col("distance").cast(pl.Float64))
    with pytest.raises(gate.SchemaBroken, match="Cast it in the step") as caught:
        gate.check_output(wrong, Flight)
    assert caught.value.rule == "distance|dtype"
    with pytest.raises(gate.SchemaBroken, match="not in the frame"):
        gate.check_output(good.drop("distance"), Flight)


def test_an_output_column_of_nothing_but_nulls_takes_the_declared_dtype() -> None:
    frame = declared(flights()).with_columns(dep_delay=pl.lit(None))
    assert gate.check_output(frame, Flight).kept.schema["dep_delay"] == pl.Int64


def test_rows_judged_before_are_cast_without_being_judged_again() -> None:
    frame = flights(distance=["1", "2"])
    assert_frame_equal(gate.cast(frame, Flight), gate.judge(frame, Flight).kept)
    with pytest.raises(gate.SchemaBroken, match="judge the frame first"):
        gate.cast(flights(distance=["1", "x"]), Flight)


class Suspicious(dy.Schema):
    value = dy.Any(check={"absent": lambda column: column.is_null()})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (dt.timedelta(days=1), "1d"),
        (dt.time(1), "01:00:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (True, "true"),
        (1.5, "1.5"),
        ("x" * 100, "'" + "x" * 60 + "...'"),
        (b"x", "b'x'"),
        ({"a": 1}, "{'a': 1}"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7]"),
    ],
)
def test_values_of_every_dtype_are_shown(value: object, shown: str) -> None:
    frame = pl.DataFrame({"value": [None, value]})
    assert gate.judge(frame, Suspicious).rejected.to_dicts() == [
        {
            "row": 1,
            "rules": ["value|check__absent"],
            "message": f"value|check__absent: value={shown}",
        }
    ]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["EWR", "JFK", "XXX"]),
        st.sampled_from(["1", "6000", "6001", "-1", "x", None]),
        st.sampled_from([None, -61, -60, 2_000, 2_001]),
        st.sampled_from([None, -1, 0, 1]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_the_gate_and_dataframely_keep_the_same_rows(
    rows: list[tuple[int, str, str | None, int | None, int | None]],
) -> None:
    names = ["flight", "origin", "distance", "dep_delay", "air_time"]
    dtypes = dict(zip(names, [pl.Int64, pl.String, pl.String, pl.Int64, pl.Int64], strict=True))
    frame = pl.DataFrame(rows, schema=dtypes, orient="row")
    theirs, failure = Flight.filter(frame, cast=True)
    ours = gate.judge(frame, Flight)
    assert_frame_equal(ours.kept, theirs)
    assert_frame_equal(frame[ours.rejected["row"]], failure.invalid())
    assert sorted([*ours.rows, *ours.rejected["row"]]) == list(range(len(rows)))
    named = ours.rejected.explode("rules")["rules"].value_counts()
    counts = dict(named.iter_rows())
    for rule, count in failure.counts().items():
        # dataframely says "unknown" about every rule of a row with a value it could not cast.
        assert counts[rule] >= count
