"""Every option of a wall: what it refuses, and that the refusal says field, value and remedy."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.errors import DeclarationError
from firedoor.spec.wall import WallArguments, WallOptions

BAD: list[tuple[str, object, str]] = [
    ("memory", "lots", "512MiB"),
    ("memory", "1 furlong", "512MiB"),
    ("memory", 1.5, "512MiB"),
    ("memory", None, "512MiB"),
    ("timeout_s", 0, "give 0.001 to 86,400 seconds"),
    ("timeout_s", -1, "give 0.001 to 86,400 seconds"),
    ("timeout_s", math.inf, "give 0.001 to 86,400 seconds"),
    ("timeout_s", math.nan, "give 0.001 to 86,400 seconds"),
    ("timeout_s", "5", "give 0.001 to 86,400 seconds"),
    ("timeout_s", True, "give 0.001 to 86,400 seconds"),
    ("timeout_s", None, "give 0.001 to 86,400 seconds"),
    ("load_timeout_s", 0, "give 0.1 to 86,400 seconds"),
    ("isolation_s", 0, "give 0.001 to 86,400 seconds"),
    ("isolation_s", "1 min", "give 0.001 to 86,400 seconds"),
    ("workers", 0, "give 1 to 256 workers"),
    ("workers", 257, "give 1 to 256 workers"),
    ("workers", 1.0, "give 1 to 256 workers"),
    ("workers", True, "give 1 to 256 workers"),
    ("extra", "ignore", "choose one of 'keep', 'refuse', 'drop'"),
    ("extra", ["keep"], "choose one of 'keep', 'refuse', 'drop'"),
    ("may_drop", -0.1, "give 0 to 1 a share of the rows"),
    ("may_drop", 5, "give 0 to 1 a share of the rows"),
    ("contrast", 1.01, "give 0 to 1 a share of the rows"),
    ("contrast", "5%", "give 0 to 1 a share of the rows"),
    ("batchwise", "yes", "choose one of True, False"),
    ("batchwise", 2, "choose one of True, False"),
    ("expands", "yes", "choose one of True, False"),
    ("cloudpickle", None, "choose one of True, False"),
    ("reads", "/data", "write reads=['/data']"),
    ("reads", Path("/data"), "write reads=['/data']"),
    ("reads", ["/no/such/folder"], "create it first"),
    ("reads", 5, "reads=["),
    ("reads", [5], "reads=["),
    ("network", "no", "give True, False, or [5432, 6379]"),
    ("network", [0], "give True, False, or [5432, 6379]"),
    ("network", [65_536], "give True, False, or [5432, 6379]"),
    ("network", ["5432"], "give True, False, or [5432, 6379]"),
    ("network", [True], "give True, False, or [5432, 6379]"),
    ("network", 5432, "give True, False, or [5432, 6379]"),
    ("network", None, "give True, False, or [5432, 6379]"),
    ("env", "AWS_REGION", 'write env=["NAME"]'),
    ("env", [""], 'write env=["NAME"]'),
    ("env", [1], 'write env=["NAME"]'),
    ("env", None, 'write env=["NAME"]'),
    ("preload", "lightgbm", 'write preload=["NAME"]'),
    ("preload", 3, 'write preload=["NAME"]'),
    ("start", "thread", "choose one of 'auto', 'fork', 'spawn'"),
    ("processes_max", 0, "give 1 to 4,096 processes"),
    ("processes_max", 4_097, "give 1 to 4,096 processes"),
    ("files_max", 63, "give 64 to 1,048,576 open files"),
    ("files_max", 2**20 + 1, "give 64 to 1,048,576 open files"),
]


@pytest.mark.parametrize(("field", "value", "remedy"), BAD)
def test_a_bad_value_is_refused_with_field_value_and_remedy(
    field: str, value: object, remedy: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        WallOptions(**{field: value})  # type: ignore[arg-type]
    error = caught.value
    assert error.field == field
    assert remedy in error.remedy
    assert str(error).startswith(f"{field}={error.value}: ")
    assert str(error).endswith(error.remedy)
    named = value[0] if isinstance(value, list) and "no/such" in str(value) else value
    assert error.value == repr(named)


def test_the_table_above_holds_every_field() -> None:
    assert {field for field, _, _ in BAD} == {f.name for f in dataclasses.fields(WallOptions)}


GOOD: list[tuple[str, Any]] = [
    ("memory", 2**30),
    ("memory", "1.5 GiB"),
    ("timeout_s", 0.001),
    ("timeout_s", 86_400),
    ("load_timeout_s", 0.1),
    ("isolation_s", 0.001),
    ("workers", 1),
    ("workers", 256),
    ("may_drop", 0),
    ("may_drop", 1),
    ("contrast", 0.0),
    ("contrast", 1),
    ("reads", []),
    ("reads", [Path(__file__), str(Path(__file__).parent)]),
    ("network", False),
    ("network", ()),
    ("network", [1, 65_535]),
    ("env", ("AWS_REGION",)),
    ("preload", ["sklearn"]),
    ("processes_max", 4_096),
    ("files_max", 64),
]


@pytest.mark.parametrize(("field", "value"), GOOD)
def test_values_at_the_edge_of_their_range_are_taken(field: str, value: Any) -> None:
    assert getattr(WallOptions(**{field: value}), field) == value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from([f.name for f in dataclasses.fields(WallOptions)]),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.lists(st.one_of(st.integers(), st.text(), st.none()), max_size=3),
        st.dictionaries(st.text(), st.integers(), max_size=2),
    ),
)
def test_any_value_at_all_is_taken_or_refused_as_a_declaration(field: str, value: Any) -> None:
    named = field
    try:
        options = WallOptions(**{field: value})
        assert options.memory_bytes == options.memory or isinstance(options.memory, str)
        assert options.isolation_limit_s > 0
    except DeclarationError as error:
        named = error.field
    assert named == field


def test_the_defaults_are_those_of_the_documentation() -> None:
    options = WallOptions()
    assert options.memory_bytes == 2**30
    assert (options.timeout_s, options.workers, options.start) == (5.0, 1, "auto")
    assert (options.extra, options.may_drop, options.batchwise) == ("keep", 0.0, False)
    assert (options.contrast, options.network, options.env) == (0.05, True, ())


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (WallOptions(), 150.0),
        (WallOptions(timeout_s=0.5), 60.0),
        (WallOptions(timeout_s=10), 300.0),
        (WallOptions(isolation_s=1.5, timeout_s=10), 1.5),
    ],
)
def test_the_search_may_take_thirty_limits_or_a_minute(
    options: WallOptions, seconds: float
) -> None:
    assert options.isolation_limit_s == seconds


def test_wall_takes_exactly_the_fields_of_the_options_as_arguments() -> None:
    types = {f.name: f.type for f in dataclasses.fields(WallOptions)}
    assert {name: kind.__forward_arg__ for name, kind in WallArguments.__annotations__.items()} == (
        types
    )


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        WallOptions().workers = 2  # type: ignore[misc]
