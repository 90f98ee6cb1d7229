"""Every refusal of a declaration: field, value and remedy; and what a good one amounts to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

import firedoor as fd
from firedoor.errors import DeclarationError
from firedoor.spec.lookup import Lookup
from firedoor.spec.zone import Zone


class Flight(dy.Schema):
    distance = dy.Int64(min=1)
    tailnum = dy.String(nullable=True)


class Bare(dy.Schema):
    pass


class Naive(dy.Schema):
    at = dy.Datetime()


class Named(dy.Schema):
    distance = dy.Int64()
    tailnum = dy.String()


def step(frame: pl.DataFrame) -> pl.DataFrame:
    """Double the distance.

    More of it.
    """
    return frame


def post(frame: pl.DataFrame, key: str) -> None:
    """Send it."""


async def later(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def begun() -> tuple[fd.Pipeline, Zone]:
    pipeline = fd.Pipeline("flights", owner="ops@example.com")
    return pipeline, pipeline.source("flights", fd.jsonl("data/*.jsonl"))


def refused(declare: Callable[[], object], field: str, remedy: str) -> DeclarationError:
    """Return the refusal, which names the field, shows the value, and says what to do."""
    with pytest.raises(DeclarationError) as caught:
        declare()
    assert caught.value.field == field
    assert remedy in caught.value.remedy
    assert str(caught.value).startswith(f"{field}={caught.value.value}: ")
    return caught.value


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"name": "Flights"}, "pipeline", "small letter"),
        ({"name": "a.b"}, "pipeline", "small letter"),
        ({"name": "x" * 61}, "pipeline", "at most 60"),
        ({"name": 3}, "pipeline", "small letter"),
        ({"owner": "two\nlines"}, "owner", "one line"),
        ({"owner": None}, "owner", "one line"),
        ({"dead_bytes": "much"}, "dead_bytes", "512MiB"),
        ({"dead_bytes": 5}, "dead_bytes", "give 1 MiB to"),
        ({"predictions_bytes": "1KiB"}, "predictions_bytes", "give 1 MiB to"),
        ({"retention_days": 0}, "retention_days", "give 0.01 to 3,650 days"),
        ({"retention_days": "30"}, "retention_days", "days"),
    ],
)
def test_a_pipeline_that_cannot_be_is_refused(
    given: dict[str, Any], field: str, remedy: str
) -> None:
    arguments = {"name": "flights", **given}
    refused(lambda: fd.Pipeline(arguments.pop("name"), **arguments), field, remedy)


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"name": "end-of-day"}, "source", "small letter"),
        ({"form": "data.jsonl"}, "form", "fd.jsonl("),
        ({"batch_rows": 0}, "batch_rows", "give 1 to 1,000,000 rows"),
        ({"batch_rows": 1.5}, "batch_rows", "give 1 to 1,000,000 rows"),
        ({"batch_rows": True}, "batch_rows", "give 1 to 1,000,000 rows"),
        ({"rate": 0}, "rate", "rows a second"),
        ({"rate": float("nan")}, "rate", "rows a second"),
        ({"schema": "Flight"}, "schema", "dataframely.Schema"),
        ({"schema": Bare}, "schema", "declare at least one"),
        ({"sensitive": "tailnum"}, "sensitive", 'sensitive=["tailnum"]'),
        ({"sensitive": [1]}, "sensitive", 'sensitive=["tailnum"]'),
        ({"sensitive": ["a", "a"]}, "sensitive", "name each once"),
        ({"throttle_share": 2}, "throttle_share", "give 0 to 1"),
        ({"dead_max": -0.1}, "dead_max", "give 0 to 1"),
        ({"slo": 0.999}, "slo", "fd.SLO("),
        ({"owner": 3}, "owner", "one line"),
        ({"schema": Naive}, "schema", 'at = dy.Datetime(time_zone="UTC")'),
    ],
)
def test_a_source_that_cannot_be_is_refused(given: dict[str, Any], field: str, remedy: str) -> None:
    arguments = {"name": "flights", "form": fd.jsonl("x.jsonl"), **given}
    name, form = arguments.pop("name"), arguments.pop("form")
    refused(lambda: fd.Pipeline("flights").source(name, form, **arguments), field, remedy)


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"reads": "flihgts"}, "reads", "did you mean 'flights'?"),
        ({"reads": "weather"}, "reads", "read one of: flights"),
        ({"reads": step}, "reads", "read one of: flights"),
        ({"reads": 3}, "reads", "read one of: flights"),
        ({"reads": []}, "reads", "name what it reads"),
        ({"reads": ["flights", "flights"]}, "reads", "name it once"),
        ({"reads": fd.Pipeline("other").source("flights", fd.jsonl("x"))}, "reads", "read one of"),
        ({"name": "Clean"}, "name", "small letter"),
        ({"schema": dict}, "schema", "dataframely.Schema"),
        ({"out_schema": Bare}, "out_schema", "declare at least one"),
        ({"memroy": "1GiB"}, "memroy", "write memory="),
        ({"expand": True}, "expand", "write expands="),
        ({"colour": "red"}, "colour", "leave it out: there are"),
        ({"memory": "lots"}, "memory", "512MiB"),
        ({"timeout_s": 0}, "timeout_s", "seconds"),
        ({"may_drop": 2}, "may_drop", "give 0 to 1"),
        ({"may_read": "data"}, "may_read", "may_read=["),
        ({"may_read": ["no/such/folder"]}, "may_read", "create it first"),
        ({"expands": "yes"}, "expands", "True or False"),
        ({"batchwise": "yes"}, "batchwise", "True, False"),
        ({"when_full": "wait"}, "when_full", "'block', 'shed', 'detach'"),
        ({"when_full": "shed"}, "when_full", "fd.Shed(keep=0.1"),
        ({"inbox": 100}, "inbox", "give 8 MiB to"),
        ({"inbox": "big"}, "inbox", "512MiB"),
        ({"lookups": ["weather"]}, "lookups", "fd.lookup("),
        ({"lookups": {"weather": "w.parquet"}}, "lookups", "fd.lookup("),
        ({"lookups": {"not a name": fd.lookup("w", "w.parquet")}}, "lookups", "fd.lookup("),
    ],
)
def test_a_transform_that_cannot_be_is_refused(
    given: dict[str, Any], field: str, remedy: str
) -> None:
    pipeline, flights = begun()
    arguments = {"reads": flights, **given}
    refused(lambda: pipeline.transform(**arguments)(step), field, remedy)
    assert [zone.name for zone in pipeline.zones] == ["flights"]


@pytest.mark.parametrize(
    ("function", "why", "remedy"),
    [
        (3, "is not a function", "write def step(frame)"),
        (dict, "is not a function", "def dict(frame)"),
        (later, "is a coroutine", "def later(frame)"),
        (lambda: None, "cannot be called", "(frame)"),
        (post, "cannot be called with a frame (missing", "write def post(frame)"),
    ],
)
def test_a_step_that_cannot_be_called_with_a_frame_is_refused(
    function: Any, why: str, remedy: str
) -> None:
    pipeline, flights = begun()
    error = refused(lambda: pipeline.transform(reads=flights, name="x")(function), "step", remedy)
    assert why in str(error)


def test_a_lookup_that_no_parameter_takes_is_refused() -> None:
    pipeline, flights = begun()
    weather = {"weather": fd.lookup("weather", "w.parquet")}
    declare = pipeline.transform(reads=flights, lookups=weather)
    error = refused(lambda: declare(step), "step", "write def step(frame, weather)")
    assert "cannot be called with a frame and weather=" in str(error)


def test_a_lambda_needs_a_name() -> None:
    pipeline, flights = begun()
    refused(lambda: pipeline.transform(reads=flights)(lambda frame: frame), "name", "write name=")


def test_one_name_for_two_zones_is_refused() -> None:
    pipeline, flights = begun()
    pipeline.transform(reads=flights)(step)
    refused(lambda: pipeline.transform(reads=flights)(step), "transform", "name=")
    refused(lambda: pipeline.source("step", fd.jsonl("x")), "source", "name=")


def test_one_name_for_two_lookups_is_refused_and_one_lookup_twice_is_not() -> None:
    pipeline, flights = begun()

    def join(frame: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
        return frame.join(weather, on="origin")

    weather = fd.lookup("weather", "a.parquet")
    pipeline.transform(reads=flights, lookups={"weather": weather})(join)
    again = pipeline.transform(reads=flights, name="again", lookups={"weather": weather})
    again(join)
    other: dict[str, Lookup] = {"weather": fd.lookup("weather", "b.parquet")}
    refused(lambda: pipeline.transform(reads=flights, lookups=other), "lookups", "name of its own")
    assert pipeline.lookups == (weather,)


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"name": "Store"}, "sink", "small letter"),
        ({"name": None}, "sink", "small letter"),
        ({"to": fd.jsonl("out/")}, "to", 'fd.parquet("out/")'),
        ({"to": "out/"}, "to", 'fd.parquet("out/")'),
        ({"to": fd.parquet("out/*")}, "to", 'fd.parquet("out/")'),
        ({"to": fd.parquet(["a/", "b/"])}, "to", 'fd.parquet("out/")'),
        ({"to": fd.parquet("out.parquet")}, "to", 'fd.parquet("out/")'),
        ({"memory": "1GiB"}, "memory", "leave it out: there are name"),
        ({"schema": Flight}, "schema", "leave it out"),
        ({"reads": "store"}, "reads", "read one of: flights"),
    ],
)
def test_a_sink_that_cannot_be_is_refused(given: dict[str, Any], field: str, remedy: str) -> None:
    pipeline, flights = begun()
    arguments = {"name": "store", "to": fd.parquet("out/"), "reads": flights, **given}
    refused(lambda: pipeline.sink(**arguments), field, remedy)


def test_a_sink_is_read_by_nobody() -> None:
    pipeline, flights = begun()
    store = pipeline.sink("store", fd.parquet("out/"), reads=flights)
    for sink in (store, "store"):
        error = refused(lambda sink=sink: pipeline.transform(reads=sink), "reads", "read one of")  # type: ignore[misc]
        assert "is a sink" in str(error)


def test_a_function_sink_takes_a_key() -> None:
    pipeline, flights = begun()
    refused(lambda: pipeline.sink(reads=flights)(step), "step", "write def step(frame, key)")
    assert pipeline.sink(reads=flights)(post) is post
    assert pipeline.zone("post").kind == "sink"


@pytest.mark.parametrize(
    ("make", "field", "remedy"),
    [
        (lambda: fd.jsonl([]), "paths", "write a path or glob"),
        (lambda: fd.jsonl(""), "paths", "write a path or glob"),
        (lambda: fd.jsonl(b"x"), "paths", "write a path or glob"),  # type: ignore[arg-type]
        (lambda: fd.csv([3]), "paths", "write a path or glob"),  # type: ignore[list-item]
        (lambda: fd.parquet("a\0b"), "paths", "write a path or glob"),
        (lambda: fd.jsonl("x", follow=1), "follow", "True or False"),  # type: ignore[arg-type]
        (lambda: fd.jsonl("x", line_bytes_max="1GiB"), "line_bytes_max", "1 KiB to 4 MiB"),
        (lambda: fd.frames(pl.DataFrame()), "frames", "fd.frames([frame])"),
        (lambda: fd.frames("x.jsonl"), "frames", "pass an iterable"),
        (lambda: fd.frames(3), "frames", "pass an iterable"),  # type: ignore[arg-type]
        (lambda: fd.frames(step), "frames", "without arguments"),  # type: ignore[arg-type]
        (lambda: fd.frames(later), "frames", "without arguments"),  # type: ignore[arg-type]
        (lambda: fd.lookup("Weather", "w.parquet"), "lookup", "small letter"),
        (lambda: fd.lookup("w", "w.xlsx"), "table", ".parquet"),
        (lambda: fd.lookup("w", 3), "table", "pass a path"),  # type: ignore[arg-type]
        (lambda: fd.lookup("w", step), "table", "without arguments"),  # type: ignore[arg-type]
        (lambda: fd.lookup("w", "w.csv", key="origin"), "key", 'key=["tailnum"]'),
        (lambda: fd.lookup("w", "w.csv", refresh_s=0), "refresh_s", "seconds"),
        (lambda: fd.SLO(availability=99.9), "availability", "give 0 to 1"),
        (lambda: fd.SLO(latency_p99_s=0), "latency_p99_s", "seconds"),
        (lambda: fd.SLO(freshness_s="1 h"), "freshness_s", "seconds"),  # type: ignore[arg-type]
        (lambda: fd.Shed(keep=0, key=["a"]), "keep", "0.001 to 0.999"),
        (lambda: fd.Shed(keep=0.1), "key", "fd.Shed(keep=0.1, key="),
        (lambda: fd.Shed(keep=0.1, key=["a"], priority="b"), "key", "fd.Shed(keep=0.1, key="),
        (lambda: fd.Shed(keep=0.1, key="tailnum"), "key", 'key=["tailnum"]'),
        (lambda: fd.Shed(keep=0.1, priority=3), "priority", "priority="),  # type: ignore[arg-type]
        (lambda: fd.Edge("a", when_full="wait"), "when_full", "'block'"),  # type: ignore[arg-type]
        (lambda: fd.Edge("a", inbox=1), "inbox", "8 MiB"),
        (lambda: fd.Edge("a", shed=0.1), "shed", "fd.Shed("),  # type: ignore[arg-type]
        (
            lambda: fd.Edge("a", when_full="block", shed=fd.Shed(keep=0.1, key=["a"])),
            "shed",
            'when_full="shed"',
        ),
    ],
)
def test_a_part_of_a_declaration_that_cannot_be_is_refused(
    make: Callable[[], object], field: str, remedy: str
) -> None:
    refused(make, field, remedy)


def test_a_decorated_function_is_the_plain_function_and_can_be_read_by_itself() -> None:
    pipeline, flights = begun()
    assert pipeline.transform(reads=flights)(step) is step
    pipeline.sink("store", fd.parquet("out/"), reads=step)
    assert [edge.name for edge in pipeline.freeze()] == ["flights:step", "step:store"]
    assert pipeline.zone("step").doc == "Double the distance."
    assert pipeline.zone("step").owner == "ops@example.com"


def test_a_function_that_is_the_step_of_two_zones_must_be_named() -> None:
    pipeline, flights = begun()
    pipeline.transform(reads=flights)(step)
    pipeline.transform(reads=flights, name="again")(step)
    error = refused(lambda: pipeline.transform(reads=step), "reads", "name the zone")
    assert "step, again" in str(error)


def test_an_edge_overrides_what_the_zone_says() -> None:
    pipeline, flights = begun()
    other = pipeline.source("other", fd.csv("x.csv"))
    shed = fd.Shed(keep=0.1, key=["tailnum"])
    reads: list[fd.Edge | Zone] = [fd.Edge(flights, shed=shed, inbox="8MiB"), other]
    pipeline.sink("store", fd.parquet("out/"), reads=reads, when_full="detach", inbox="16MiB")
    first, second = pipeline.freeze()
    assert (first.when_full, first.bytes_max) == ("shed", 8 * 2**20)
    assert first.shed is not None
    assert first.shed.key == ("tailnum",)
    assert (second.when_full, second.bytes_max, second.shed) == ("detach", 16 * 2**20, None)


def test_schemas_that_do_not_fit_are_refused_where_the_reader_is_declared() -> None:
    pipeline = fd.Pipeline("flights")
    flights = pipeline.source("flights", fd.jsonl("x"), schema=Flight)
    declare = pipeline.transform(reads=flights, schema=Named)
    error = refused(lambda: declare(step), "reads", "make schema= of flights and schema= of step")
    assert "column 'tailnum' may be null in Flight, and must not be in Named" in str(error)


def test_rows_that_come_from_nowhere_or_go_nowhere_are_refused() -> None:
    pipeline = fd.Pipeline("flights")
    assert "has no zones" in str(refused(pipeline.freeze, "pipeline", "declare a source"))
    flights = pipeline.source("flights", fd.jsonl("x"))
    error = refused(pipeline.freeze, "source", "write reads=flights")
    assert "is read by no zone" in str(error)
    pipeline.transform(reads=flights)(step)
    refused(pipeline.freeze, "transform", "write reads=step")
    pipeline.sink("store", fd.parquet("out/"), reads=step)
    pipeline.freeze()


def test_a_frozen_pipeline_takes_no_more_zones() -> None:
    pipeline, flights = begun()
    pipeline.sink("store", fd.parquet("out/"), reads=flights)
    edges = pipeline.freeze()
    refused(lambda: pipeline.source("more", fd.jsonl("x")), "source", "at the top of the file")
    assert pipeline.freeze() is edges


def test_paths_are_relative_to_the_file_that_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert fd.Pipeline("flights").folder == Path(__file__).resolve().parent
    pipeline, flights = begun()
    pipeline.transform(reads=flights, may_read=["../spec"])(step)
    assert pipeline.zone("step").given["reads"] == [str(Path(__file__).resolve().parent)]
