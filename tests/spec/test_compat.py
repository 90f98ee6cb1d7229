"""What fits on an edge, held against what polars and the door make of it."""

from __future__ import annotations

from typing import Any

import dataframely as dy
import polars as pl
import pytest

from firedoor.spec.compat import fits, fits_beside, misfits, plan_misfits, widens
from firedoor.spec.plan import EdgePlan, Plan, SchemaNote, ZonePlan
from firedoor.spec.schema_note import note_schema


class Wide(dy.Schema):
    origin = dy.Enum(["EWR", "JFK", "LGA"])
    distance = dy.Int64(min=1)
    dep_delay = dy.Int64(nullable=True)


class Narrow(dy.Schema):
    origin = dy.Enum(["JFK", "EWR"])
    distance = dy.Int16()
    more = dy.String()


def note(schema: type[dy.Schema]) -> SchemaNote:
    found = note_schema("schema", schema)
    assert found is not None
    return found


def columns(nullable: tuple[str, ...] = (), **types: Any) -> SchemaNote:
    """Return a schema with columns of these types."""
    written = {name: str(dtype) for name, dtype in types.items()}
    return SchemaNote(name="S", columns=written, nullable=nullable, rules={})


def test_a_note_knows_columns_types_nulls_and_rules() -> None:
    known = note(Wide)
    assert known.columns["distance"] == "Int64"
    assert known.columns["origin"] == "Enum(categories=['EWR', 'JFK', 'LGA'])"
    assert known.nullable == ("dep_delay",)
    assert known.rules["distance|min"] == ("distance",)


def test_the_same_schema_fits_and_so_do_fewer_categories_and_a_narrower_number() -> None:
    assert misfits(note(Wide), note(Wide)) == ()
    assert misfits(note(Narrow), columns(origin=pl.Enum(["EWR", "JFK", "LGA"]))) == ()
    assert misfits(note(Narrow), columns(distance=pl.Int64())) == ()


def test_what_is_not_declared_is_not_judged() -> None:
    assert misfits(None, note(Wide)) == ()
    assert misfits(note(Wide), None) == ()


@pytest.mark.parametrize("read", [pl.Int64(), pl.Enum(["a"]), pl.Date(), pl.Datetime("us", "UTC")])
def test_text_fits_since_the_door_casts_it(read: pl.DataType) -> None:
    assert widens(str(pl.String()), str(read))


def test_each_misfit_is_told_with_its_column() -> None:
    told = misfits(note(Wide), note(Narrow))
    assert told == (
        "column 'origin' may be 'LGA' in Wide, which Narrow lacks",
        "column 'distance' is Int64 in Wide and Int16 in Narrow; only a wider type passes",
        "column 'more' is declared in Narrow and not in Wide",
    )


def test_a_renamed_column_is_named() -> None:
    told = misfits(columns(arr_dely=pl.Int64()), columns(arr_delay=pl.Int64()))
    assert told[0].endswith("; was it renamed to 'arr_dely'?")


def test_nulls_do_not_fit_where_none_may_be() -> None:
    (told,) = misfits(columns(a=pl.Int64(), nullable=("a",)), columns(a=pl.Int64()))
    assert "nullable=True" in told
    assert misfits(columns(a=pl.Int64()), columns(a=pl.Int64(), nullable=("a",))) == ()


WIDENING = [
    (pl.Int8(), pl.Int64()), (pl.UInt8(), pl.Int16()), (pl.UInt32(), pl.Int64()),
    (pl.Float32(), pl.Float64()), (pl.Int64(), pl.Float64()), (pl.Int16(), pl.Float32()),
    (pl.Enum(["a"]), pl.String()), (pl.Categorical(), pl.String()),
    (pl.Enum(["a", "b"]), pl.Enum(["b", "c", "a"])),
    (pl.Datetime("ms"), pl.Datetime("us")), (pl.Datetime("us", "UTC"), pl.Datetime("ns", "UTC")),
    (pl.Duration("ms"), pl.Duration("ns")), (pl.Date(), pl.Datetime("us")),
    (pl.List(pl.Int8()), pl.List(pl.Int64())), (pl.Null(), pl.Int64()), (pl.String(), pl.Null()),
    (pl.Struct({"a": pl.Int8()}), pl.Struct({"a": pl.Int8()})),
]  # fmt: skip
NARROWING = [
    (pl.Int64(), pl.Int32()), (pl.Int8(), pl.UInt64()), (pl.UInt64(), pl.Int64()),
    (pl.Float64(), pl.Float32()), (pl.Float64(), pl.Int64()),
    (pl.List(pl.Int64()), pl.List(pl.String())),
    (pl.String(), pl.List(pl.String())), (pl.Enum(["a", "b"]), pl.Enum(["a"])),
    (pl.Datetime("ns"), pl.Datetime("us")), (pl.Datetime("us"), pl.Datetime("us", "UTC")),
    (pl.Datetime("us", "UTC"), pl.Datetime("us", "Europe/Berlin")),
    (pl.Datetime("us"), pl.Date()), (pl.Date(), pl.Datetime("us", "UTC")),
    (pl.Duration("ms"), pl.Datetime("ms")), (pl.List(pl.Int64()), pl.List(pl.Int8())),
    (pl.Boolean(), pl.String()), (pl.Int64(), pl.String()),
]  # fmt: skip


@pytest.mark.parametrize(("published", "read"), WIDENING)
def test_a_wider_type_passes(published: pl.DataType, read: pl.DataType) -> None:
    assert widens(str(published), str(read))
    if read != pl.Null:
        pl.Series("a", [], dtype=published).cast(read)  # polars can


@pytest.mark.parametrize(("published", "read"), NARROWING)
def test_a_narrower_or_another_type_does_not(published: pl.DataType, read: pl.DataType) -> None:
    assert not widens(str(published), str(read))


def transform(name: str, read: SchemaNote | None, made: SchemaNote | None, **more: Any) -> ZonePlan:
    return ZonePlan(
        name=name, kind="transform", owner="", version="1", schema=read, out_schema=made, **more
    )


def test_a_version_that_reads_and_publishes_as_much_fits() -> None:
    old = transform("a", columns(x=pl.Int32()), columns(y=pl.Int64()))
    new = transform("a", columns(x=pl.Int64()), columns(y=pl.Int32(), z=pl.String()))
    assert fits(old, new) == ()
    assert fits(old, old) == ()


def test_a_version_that_reads_more_or_publishes_less_is_told_why_not() -> None:
    old = transform("a", columns(x=pl.Int64()), columns(y=pl.Int64()))
    greedy = transform("a", columns(x=pl.Int64(), w=pl.Int64()), columns(y=pl.Int64()))
    assert fits(old, greedy) == (
        "a no longer reads what it is sent: column 'w' is declared in S and not in S",
    )
    less = transform("a", columns(x=pl.Int64()), columns(y=pl.Float64()))
    (told,) = fits(old, less)
    assert told.startswith("a no longer publishes what was promised: column 'y'")
    (silent,) = fits(old, transform("a", columns(x=pl.Int64()), None))
    assert "out_schema= was S" in silent


def test_another_kind_of_zone_or_a_lookup_that_is_not_pinned_does_not_fit() -> None:
    old = transform("a", None, None)
    sink = ZonePlan(name="a", kind="sink", owner="", version="2")
    assert fits(old, sink) == ("a: was a transform and is a sink",)
    (told,) = fits(old, transform("a", None, None, lookups={"w": "weather"}))
    assert "joins to 'weather'" in told


def test_neighbours_are_asked_where_the_old_version_declared_nothing() -> None:
    source = ZonePlan(
        name="s", kind="source", owner="", version="1", schema=columns(x=pl.Float64())
    )
    reader = transform("r", columns(y=pl.Int64()), None)
    old = transform("a", None, None)
    plan = Plan(
        pipeline="p", owner="", file="", sys_path=(), zones=(source, old, reader),
        edges=(EdgePlan(publisher="s", reader="a"), EdgePlan(publisher="a", reader="r")),
    )  # fmt: skip
    new = transform("a", columns(x=pl.Int64()), columns(z=pl.Int64()))
    told = fits_beside(plan, new)
    assert [line.partition(":")[0] for line in told] == ["s -> a", "a -> r"]
    assert plan_misfits(plan) == ()
    with pytest.raises(KeyError):
        fits_beside(plan, transform("nobody", None, None))
