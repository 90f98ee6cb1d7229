"""A folder with a pipeline, rows whose truth is known, and models to be judged by them."""

from __future__ import annotations

import json
import math
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from firedoor.adapters.clock import SystemClock
from firedoor.compose.evaluations import run_evaluation
from firedoor.compose.jobs import job_of
from firedoor.compose.loading import load_plan
from firedoor.compose.models import Models
from firedoor.registry.model import Version
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.run import RunRecord
from firedoor.wire.verdict import VerdictNote

SPRING = datetime(2013, 3, 1, tzinfo=UTC)
SUMMER = datetime(2013, 7, 1, tzinfo=UTC)
ROWS = 1_200
"""In the sealed part."""


def frame_of(first: int, count: int, at: datetime, *, seed: int = 1) -> pl.DataFrame:
    """Return rows that are late by chance, the more likely the greater their x."""
    drawn, rows = random.Random(f"{seed} {first}"), []
    for number in range(first, first + count):
        x = drawn.gauss(0, 1)
        rows.append(
            {
                "flight": f"N{number}",
                "at": at + timedelta(hours=number),
                "day": f"d{number // 24}",
                "origin": "JFK" if number % 2 else "EWR",
                "x": x,
                "late": drawn.random() < 1 / (1 + math.exp(-1.5 * x)),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC")})


def write(place: Path, number: int, frame: pl.DataFrame) -> None:
    """Write a batch into the sink's folder."""
    (place / "out").mkdir(exist_ok=True)
    frame.write_parquet(place / "out" / f"rows-{number:06d}.parquet")


def settle(place: Path, *, test: pl.DataFrame | None = None) -> Plan:
    """Make a folder with the pipeline, and rows of spring and of summer."""
    for name in ("evaluated.py", "evaluated_model.py"):
        shutil.copy(Path(__file__).with_name(name), place / name)
    (place / "data").mkdir()
    (place / "data" / "rows.jsonl").write_text('{"late": true}\n')
    write(place, 1, frame_of(0, 100, SPRING))
    write(place, 2, frame_of(1_000, ROWS, SUMMER) if test is None else test)
    return load_plan(place / "evaluated.py")


def add(place: Path, weight: float = 1.5, how: str = "", **more: Any) -> Version:
    """Add a model by hand."""
    folder = place / "trained"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"weight": weight, "how": how}))
    given = {"loader": "evaluated_model:load", "inputs": {"x": "Float64"}, **more}
    return Models(place, by="ann").add("late", folder, **given)


def judge(plan: Plan, place: Path, name: str = "evaluate", **more: Any) -> RunRecord:
    """Evaluate a version."""
    job: JobPlan = job_of(plan, name)
    return run_evaluation(plan, job, project=place, clock=SystemClock(), by="ann", **more)


def version(place: Path, number: int) -> Version:
    """Return a version as it is."""
    return Models(place).find(f"late@{number}")[1]


def verdict_of(record: RunRecord) -> VerdictNote:
    """Return the verdict of a run that has given one."""
    assert record.outcome == "done", record.message
    assert record.verdict is not None
    assert record.verdict.given
    return record.verdict


def left(place: Path, record: RunRecord) -> set[str]:
    """Return what is in the folder of a run."""
    return {path.name for path in (place / ".firedoor" / "runs" / record.id).iterdir()}
