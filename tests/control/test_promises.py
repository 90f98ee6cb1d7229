"""What is declared is what is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

import firedoor as fd
from firedoor.compose.loading import load_plan
from firedoor.control.promises import service_objectives, zone_objectives, zones_by_kind
from firedoor.errors import DeclarationError

FILE = """
import firedoor as fd

pipeline = fd.Pipeline("trips", owner="ann@example.com", runbook="https://example.com/trips")
rows = pipeline.source("rows", fd.jsonl("x.jsonl"), slo=fd.SLO(availability=0.999, freshness_s=60))
store = pipeline.sink(
    "store", fd.parquet("out/"), reads=rows, owner="bob", slo=fd.SLO(latency_p99_s=2, period_days=7)
)
raw = pipeline.sink("raw", fd.parquet("raw/"), reads=rows)


@pipeline.job(reads=store, slo=fd.SLO(availability=0.9))
def train(run: fd.Run, folder: object) -> None:
    pass
"""


def test_every_promise_that_is_declared_is_an_objective(tmp_path: Path) -> None:
    (tmp_path / "trips.py").write_text(FILE)
    plan = load_plan(tmp_path / "trips.py")
    found = zone_objectives(plan)
    assert [(one.zone, one.indicator, one.target) for one in found] == [
        ("rows", "availability", 0.999),
        ("rows", "freshness", 0.99),
        ("store", "latency", 0.99),
        ("train", "availability", 0.9),
    ]
    assert [one.owner for one in found] == ["ann@example.com"] * 2 + ["bob", "ann@example.com"]
    assert found[2].bound_s == 2
    assert found[2].period_days == 7
    assert found[2].runbook == "https://example.com/trips"
    assert found[3].promise == "90 % of runs come through"
    assert not service_objectives(plan)
    assert zones_by_kind(plan) == {
        "source": ("rows",),
        "sink": ("store", "raw"),
        "job": ("train",),
    }


def test_a_job_promises_that_runs_succeed_and_nothing_else() -> None:
    pipeline = fd.Pipeline("p")
    with pytest.raises(DeclarationError, match="nothing that a job can promise"):
        pipeline.job(slo=fd.SLO(freshness_s=60))
