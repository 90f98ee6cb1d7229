"""One trace follows a row from its file to its prediction, through every process that had it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import firedoor as fd
from pipelines.shops import LIMIT_S, Shop, opened

ROWS = 400
BATCH = 100
ODD = 250
"""A row that dies."""
PIPELINE = """
import logging

import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders.jsonl"), batch_rows=100)


@pipeline.transform(reads=orders)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    if 250 in orders["id"]:
        raise ValueError("row 250 is odd")
    return orders


@pipeline.transform(reads=priced, models={"model": fd.model("late", column="model_version")})
def score(orders: pl.DataFrame, model: int) -> pl.DataFrame:
    logging.getLogger("score").info("scores %d rows", orders.height)
    return orders.with_columns(score=pl.lit(model))


@pipeline.sink(reads=score)
def post(frame: pl.DataFrame, key: str) -> None:
    print("posted", key)
"""
LOADING = """
def one(folder):
    return 1
"""

Told = dict[str, Any]


class Receiver:
    """A process that takes what is told by OTLP."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "firedoor.testing.otlp", "--into", str(folder), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], LIMIT_S)[0]
        found = re.fullmatch(r"listens at (http://\S+)\n", self.process.stdout.readline())
        assert found
        self.environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": found[1],
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }

    def told(self, name: str) -> list[Told]:
        file = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def until(self, what: Callable[[], bool], why: str) -> None:
        ends_s = time.monotonic() + LIMIT_S
        while not what():
            assert time.monotonic() < ends_s, why
            time.sleep(0.05)


@contextmanager
def receiving(folder: Path, *words: str) -> Iterator[Receiver]:
    receiver = Receiver(folder, *words)
    try:
        yield receiver
    finally:
        receiver.process.kill()
        receiver.process.wait(LIMIT_S)
        assert receiver.process.stdout is not None
        receiver.process.stdout.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path / "shop", rows=ROWS) as shop:
        (shop.folder / "shop.py").write_text(PIPELINE)
        (shop.folder / "loading.py").write_text(LOADING)
        trained = shop.folder / "trained"
        trained.mkdir()
        (trained / "weights").write_text("1")
        models = fd.Models(shop.folder)
        models.add("late", trained, loader="loading:one")
        models.qualify("late@1", "promote", because="it was measured")
        models.promote("late@1", anyway=True)
        yield shop


def of_batch(spans: list[Told], batch: str) -> dict[str, Told]:
    """The span of each zone of a batch, by the zone."""
    found = [span for span in spans if span["attributes"].get("firedoor.batch") == batch]
    return {str(span["attributes"]["firedoor.zone"]): span for span in found}


def below(spans: list[Told], span: Told) -> list[Told]:
    return [each for each in spans if each["parent"] == span["span"]]


def test_one_trace_follows_a_row_from_its_file_to_its_prediction_across_eight_processes(
    shop: Shop, tmp_path: Path
) -> None:
    with receiving(tmp_path / "told") as receiver:
        code, said = shop.call("run", "shop.py", env={**receiver.environ, "FIREDOOR_LOG": "json"})
        assert code == 0, said
        zones = ("orders", "priced", "score", "post")
        batch = f"orders-{ODD // BATCH:06}"
        receiver.until(
            lambda: set(zones) <= set(of_batch(receiver.told("spans"), batch)), "every span"
        )
        receiver.until(lambda: bool(scored(receiver.told("logs"))), "the line of a worker")
        spans = receiver.told("spans")
        check_the_way(spans, [of_batch(spans, batch)[zone] for zone in zones])
        check_lines(shop, receiver, spans)
        names = {metric["name"] for metric in receiver.told("metrics")}
        assert {"firedoor.objective_units", "firedoor.zone_rows", "firedoor.zone_batch"} <= names


def check_the_way(spans: list[Told], way: list[Told]) -> None:
    """Each zone's span lies below that of the zone before it, and its worker's below its own."""
    source, priced, score, _ = way
    origin = f"orders.jsonl:{ODD // BATCH * BATCH + 1}"
    assert source["attributes"]["firedoor.origin"].endswith(origin)
    assert score["attributes"]["firedoor.models"] == ["late@1"]
    assert source["parent"] == ""
    for before, after in itertools.pairwise(way):
        assert after["parent"] == before["span"]
    runs = [run for span in way for run in below(spans, span) if run not in way]
    assert {span["trace"] for span in (*way, *runs)} == {source["trace"]}
    trusted = {span["resource"]["process.pid"] for span in way}
    workers = {run["attributes"]["process.pid"] for run in runs}
    assert (len(trusted), len(trusted & workers)) == (4, 0)
    assert len(workers) >= 4
    (letters,) = [event for event in priced["events"] if event["name"] == "dead_letters"]
    assert letters["attributes"]["firedoor.rows"] == 1
    assert "ValueError" in letters["attributes"]["firedoor.signature"]
    begun = {span["trace"] for span in spans if span["name"] == "cut orders"}
    assert len(begun) == ROWS // BATCH


def scored(lines: list[Told]) -> list[Told]:
    """The lines that the step of ``score`` wrote, in its worker."""
    return [line for line in lines if "scores" in str(line.get("body", line.get("message")))]


def check_lines(shop: Shop, receiver: Receiver, spans: list[Told]) -> None:
    """What a step logs names the trace of its batch, at the collector and in the zone's log.

    A spare worker that is warmed by a sample works on no batch: its lines name none.
    """
    traces = {span["trace"] for span in spans}
    sent = {line["trace"] for line in scored(receiver.told("logs"))} - {""}
    assert sent
    assert sent <= traces
    log = (shop.project / "logs" / "score.log").read_text().splitlines()
    kept = scored([json.loads(line) for line in log if line.startswith("{")])
    assert {line["trace_id"] for line in kept if "trace_id" in line} == sent
    assert {(line["zone"], line["worker_logger"]) for line in kept} == {("score", "score")}


def test_a_collector_that_is_broken_keeps_nobody_and_is_told_of_once(
    shop: Shop, tmp_path: Path
) -> None:
    with receiving(tmp_path / "told", "--status", "400") as receiver:
        code, said = shop.call("run", "shop.py", env=receiver.environ)
    assert code == 0, said
    log = (shop.project / "logs" / "score.log").read_text()
    assert log.count("telemetry: spans cannot be sent") == 1
    assert "Traceback" not in log


@pytest.mark.soak
@pytest.mark.parametrize("slow", [True, False], ids=["slow", "away"])
def test_a_collector_that_is_slow_or_away_keeps_no_process_at_its_end(
    shop: Shop, tmp_path: Path, *, slow: bool
) -> None:
    patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "300"}
    with contextlib.ExitStack() as stack:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
        if slow:
            environ = stack.enter_context(receiving(tmp_path / "told", "--slow-s", "300")).environ
        code, said = shop.call("run", "shop.py", env={**environ, **patient}, within_s=LIMIT_S)
        assert code == 0, said
