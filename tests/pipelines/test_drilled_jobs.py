"""Jobs are drilled in a pipeline of real processes: what strikes one hurts nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.drill.report import Report, decode_report
from pipelines.shops import Shop

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

PIPELINE = '''
import json
import threading
from pathlib import Path

import polars as pl

import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com", runbook="https://example.com/book")
promised = fd.SLO(availability=0.99, latency_p99_s=5, freshness_s=20)
files = fd.jsonl("orders*.jsonl", follow=True)
orders = pipeline.source("orders", files, batch_rows=50, rate=250, slo=promised)


@pipeline.transform(reads=orders, timeout_s=2, slo=promised)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    """Say which orders are dear, as near as that is known."""
    noise = (pl.col("id") * 13) % 11 / 4
    return orders.with_columns(x=pl.col("price") - 3.0, dear=pl.col("price") + noise > 4)


store = pipeline.sink("store", fd.parquet("out"), reads=priced, slo=promised)
rows = pipeline.dataset(
    "rows", reads=store, split=fd.ByKey(key=("id",), shares={"train": 0.6, "test": 0.4}),
    sealed=["test"], label="dear", leakage=fd.LeakPolicy(key=("id",)),
)


@pipeline.job(reads=rows, attempts=2, hang_s=2, memory="256MiB", timeout_s=60)
def train(run: fd.Run, folder: Path) -> None:
    """Learn which way x goes with the label, and take some time over it."""
    frame = pl.read_parquet(folder / "train" / "*.parquet")
    for number in range(10):
        threading.Event().wait(0.15)
        with run.checkpoint("round") as made:
            (made / "n").write_text(str(number))
    weight = frame.select(pl.corr("x", pl.col("dear").cast(pl.Float64))).item()
    made = run.scratch / "model"
    made.mkdir()
    (made / "model.json").write_text(json.dumps({"weight": weight}))
    run.save("dear", made, loader="scores:load", inputs={"x": "Float64"})


@pipeline.evaluation(
    reads=rows, part="test", model="dear", trigger=fd.on(train),
    rules=[fd.rules.at_least("roc_auc", 0.65)], memory="512MiB", timeout_s=60,
)
def evaluate(model: dict, frame: pl.DataFrame) -> pl.Series:
    """Return how likely each order is a dear one."""
    return frame.select((1 / (1 + (-model["weight"] * pl.col("x")).exp())).alias("p"))["p"]
'''
MODEL = """
import json


def load(folder):
    return json.loads((folder / "model.json").read_text())
"""
MATRIX = """
version: 1
warm_up_s: 6
for_s: 3
settle_s: 1
recover_s: 60
rows:
  - {fault: job_kill, zone: train}
  - {fault: job_hang, zone: train}
  - {fault: job_raise, zone: evaluate}
  - {fault: label_flip, zone: train, column: dear, share: 0.9}
  - {fault: kill, zone: train}
  - {fault: freeze, zone: train}
  - {fault: crash_loop, zone: train, intensity: 1}
"""
ROWS = 150_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "shop", rows=ROWS)
    (shop.folder / "shop.py").write_text(PIPELINE)
    (shop.folder / "scores.py").write_text(MODEL)
    (shop.folder / "drills.yaml").write_text(MATRIX)
    yield shop
    shop.close()


def have_champion(shop: Shop) -> None:
    """Have a model go live that was made by hand."""
    made = shop.folder / "made"
    made.mkdir()
    (made / "model.json").write_text('{"weight": 0.123}')
    models = Models(shop.folder, by="ann")
    models.add("dear", made, loader="scores:load", inputs={"x": "Float64"})
    models.qualify("dear@1", "promote", because="it is the first")
    models.promote("dear@1", because="it is the first")
    shutil.rmtree(made)


def last_report(shop: Shop) -> Report:
    (found,) = (shop.project / "drills").glob("*/containment.json")
    return decode_report(found.read_bytes())


def test_faults_of_jobs_stay_in_them_and_what_they_spoil_is_refused(shop: Shop) -> None:
    have_champion(shop)
    run = shop.start("up", "shop.py")
    shop.until(run, lambda: shop.stored().height >= 2_000, "at work")
    code, told = shop.call("drill", "run", "--gate", within_s=500)
    report = last_report(shop)
    assert code == 0, told
    found = {
        row.name.partition(" (")[0]: {cell.zone: cell.verdict for cell in row.cells}
        for row in report.rows
    }
    for row, verdicts in found.items():
        assert {verdicts[zone] for zone in ("orders", "priced", "store")} == {"kept"}, (row, told)
    assert {row: verdicts.get("train") for row, verdicts in found.items()} == {
        "job_kill in train": "kept",
        "job_hang in train": "expected",
        "job_raise in evaluate": "kept",
        "label_flip in train": "expected",
        "kill in train": "kept",
        "freeze in train": "kept",
        "crash_loop in train": "expected",
    }, told
    assert all(row.hits and row.cleaned and row.recovered_s is not None for row in report.rows)
    assert all(each.holds for row in report.rows for each in row.conservation)
    spoilt = [one for one in Runs(shop.folder).every("train") if one.changed]
    assert len(spoilt) == 1
    judged = Models(shop.folder).find(spoilt[0].model)[1]
    assert judged.state == "quarantined", "it is barred from going live"
    assert Models(shop.folder).read("dear").state.champion == 1, "the live model stays"
    cut_short = [one for one in Runs(shop.folder).every("train") if one.outcome == "lost"]
    assert len(cut_short) >= 3, "one by a kill, and more by a loop of them"
    family = psutil.Process(run.pid).children(recursive=True)
    assert not [one for one in family if one.status() == psutil.STATUS_STOPPED]
