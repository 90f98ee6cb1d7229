"""What is told arrives at a receiver that speaks OTLP, as what it was."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.otel.listening import Listening
from firedoor.adapters.otel.wishes import wishes_of
from firedoor.events import metrics
from firedoor.events.metrics import Sample, Spread
from firedoor.events.trace import CURRENT, Place, read, write
from firedoor.events.work import BatchWorked, Died, Ran, RequestAnswered
from firedoor.testing.otlp import receiver

NOW_S = 1_767_225_600.0
PARENT = write(Place(7, 8, sampled=True))


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a receiver work; return the folder that it writes into."""
    server = receiver(tmp_path)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield tmp_path
    server.shutdown()
    server.server_close()
    thread.join(10)


def listen(**environ: str) -> Listening:
    wishes = wishes_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "it is in the environment", **environ})
    return Listening(
        wishes,
        {"service.namespace": "shop", "service.name": "clean", "service.instance.id": "here-1"},
        clock=SystemClock(),
        chance=random.Random(1),
        release="0.1",
        tell=pytest.fail,
    )


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    file = folder / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def worked(listening: Listening, **more: Any) -> BatchWorked:
    fields: dict[str, Any] = {
        "zone": "clean", "batch": "flights-000001", "edge": "flights:clean", "began_s": NOW_S,
        "seconds": 2.0, "waited_s": 0.5, "rows_in": 10, "rows_out": 9, "passed": 9,
        "traceparent": listening.begin(PARENT), "parent": PARENT,
    }  # fmt: skip
    return BatchWorked(**(fields | more))


def test_a_batch_is_a_span_with_one_below_it_for_each_run_in_a_worker(at: Path) -> None:
    listening = listen()
    event = worked(
        listening, dead=(Died("rule", "x|min", 1),), attempts=(("crash", 2),), deliveries=3,
        ran=(Ran(77, NOW_S + 0.1, 0.4, 10, "crash"), Ran(78, NOW_S + 0.6, 0.2, 10)),
    )  # fmt: skip
    listening.batch(event)
    listening.close(10)
    batch, *runs = lines(at, "spans")
    own = read(event.traceparent)
    assert own is not None
    assert (batch["trace"], batch["span"]) == (f"{own.trace:032x}", f"{own.span:016x}")
    assert batch["parent"] == f"{8:016x}"
    assert batch["ended_ns"] - batch["began_ns"] == 2_000_000_000
    assert batch["attributes"]["firedoor.batch"] == "flights-000001"
    assert batch["attributes"]["messaging.destination.name"] == "flights:clean"
    assert batch["resource"]["service.name"] == "clean"
    assert [event["name"] for event in batch["events"]] == ["dead_letters", "retry", "redelivered"]
    assert [run["attributes"]["process.pid"] for run in runs] == [77, 78]
    assert [run["error"] for run in runs] == ["crash", ""]
    assert {run["parent"] for run in runs} == {batch["span"]}
    assert {run["trace"] for run in runs} == {batch["trace"]}


def test_a_batch_that_came_to_nothing_is_an_error_that_names_its_trouble(at: Path) -> None:
    listening = listen()
    listening.batch(worked(listening, fate="bad", trouble="dependency_down", cause="dependency:db"))
    listening.close(10)
    (span,) = lines(at, "spans")
    assert span["error"] == "dependency_down"
    assert span["attributes"]["firedoor.cause"] == "dependency:db"


def test_a_request_is_a_span_of_a_server(at: Path) -> None:
    listening = listen()
    listening.request(
        RequestAnswered(
            service="delays", id="p1", began_s=NOW_S, seconds=0.01, rows=2, status=503,
            arm="champion",
            version="delays@3", degraded="", fate="bad", traceparent=listening.begin(), ran=(
                Ran(9, NOW_S, 0.005, 2),
            ),
        )
    )  # fmt: skip
    listening.close(10)
    span, run = lines(at, "spans")
    assert (span["kind"], span["parent"], span["error"]) == (2, "", "503")
    assert span["attributes"]["http.response.status_code"] == 503
    assert run["attributes"]["firedoor.model.version"] == "delays@3"


def test_totals_are_told_as_metrics_with_their_units(at: Path) -> None:
    listening = listen()
    counts = (0,) * len(metrics.BATCH_BOUNDS_S)
    listening.measure(
        lambda: [
            Sample(metrics.ZONE_DEAD, ("clean", "here-1", "rule"), 3),
            Sample(metrics.ZONE_MEMORY, ("clean", "here-1"), 5),
            Sample(metrics.ZONE_SECONDS, ("clean", "here-1"), Spread((4, *counts), 0.1)),
        ]
    )
    listening.close(10)
    told = {metric["name"]: metric for metric in lines(at, "metrics")}
    dead = told["firedoor.zone_dead_rows"]
    assert (dead["unit"], dead["sum"]["isMonotonic"]) == ("{row}", True)
    (point,) = dead["sum"]["dataPoints"]
    assert float(point.get("asInt", point.get("asDouble"))) == 3
    told_of = {pair["key"]: pair["value"]["stringValue"] for pair in point["attributes"]}
    assert set(told_of) == {"zone", "process", "code", "pipeline"}
    assert told_of["pipeline"] == "shop"
    assert told["firedoor.zone_memory"]["unit"] == "By"
    (spread,) = told["firedoor.zone_batch"]["histogram"]["dataPoints"]
    assert (spread["count"], spread["bucketCounts"][0]) == ("4", "4")
    assert "firedoor.telemetry_dropped" in told


def test_a_log_line_names_the_trace_of_the_work_that_wrote_it(at: Path) -> None:
    listening = listen()
    log = logging.getLogger("firedoor.of_this_test")
    log.addHandler(listening.lines)
    logging.getLogger("opentelemetry.noise").addHandler(listening.lines)
    token = CURRENT.set(PARENT)
    try:
        log.warning("row %d is odd", 3)
        logging.getLogger("opentelemetry.noise").critical("would come back for ever")
    finally:
        CURRENT.reset(token)
        log.removeHandler(listening.lines)
        logging.getLogger("opentelemetry.noise").removeHandler(listening.lines)
    listening.close(10)
    (line,) = lines(at, "logs")
    assert (line["body"], line["severity"]) == ("row 3 is odd", "WARNING")
    assert (line["trace"], line["span"]) == (f"{7:032x}", f"{8:016x}")


@pytest.mark.parametrize(
    ("sampler", "parent", "sampled"),
    [
        ("", "", True),
        ("", PARENT, True),
        ("", write(Place(7, 8, sampled=False)), False),
        ("always_on", write(Place(7, 8, sampled=False)), True),
        ("parentbased_always_off", "", False),
        ("always_off", PARENT, False),
    ],
)
def test_a_trace_is_seen_as_the_sampler_says(
    at: Path, sampler: str, parent: str, *, sampled: bool
) -> None:
    del at
    listening = listen(OTEL_TRACES_SAMPLER=sampler)
    place = read(listening.begin(parent))
    listening.close(10)
    assert place is not None
    assert place.sampled == sampled
    assert not parent or place.trace == 7


def test_spans_are_not_asked_for_where_only_metrics_are_wanted(at: Path) -> None:
    listening = listen(OTEL_TRACES_EXPORTER="none")
    place = read(listening.begin())
    listening.close(10)
    assert place is not None
    assert not place.sampled
    assert lines(at, "spans") == []
